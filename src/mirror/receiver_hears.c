#include "mirror/receiver_state.h"
#include "mirror/time.h"

enum {
    REPORTS_ALONE = 32, /* STATUS in a window */
    REPORTS_OF_MANY = 8,
    JOINS_BEFORE_IN_VAIN = 6, /* of one attempt: a second, or two */
};

/* Whatever was done with the image: what does that change? */
static void image_changed(struct receiver *r, uint64_t now_ns)
{
    naks_noticed(&r->naks, &r->image.gaps);
    r->counters.missed = r->image.missed;
    r->counters.missed_bytes = r->image.missed_bytes;
    uint64_t report = r->window_bytes / (r->config.multicast ? REPORTS_OF_MANY : REPORTS_ALONE);
    if (r->image.position >= r->status_position + report) {
        r->status_due_ns = now_ns;
        r->status_wait_ns = rtt_overdue_ns(&r->naks.rtt);
    }
    if (r->image.position == r->end_position && r->state == RECEIVER_RECEIVING) {
        r->state = RECEIVER_ENDED;
        r->status_due_ns = now_ns;
    }
}

static struct notice notice_now(struct receiver *r, uint64_t now_ns)
{
    return (struct notice){r->heard.number, now_ns, naks_first_due(&r->naks, now_ns)};
}

static void announce(struct receiver *r, uint64_t now_ns, uint64_t position)
{
    struct notice notice = notice_now(r, now_ns);
    image_announce(&r->image, position, &notice);
    image_changed(r, now_ns);
}

/* An answer may be on its way to a JOIN that said where it is. */
static bool is_answered_soon(const struct receiver *r)
{
    return r->state == RECEIVER_JOINING && r->joins_sent > 0 && r->joins_sent <= JOINS_BEFORE_IN_VAIN;
}

bool receiver_offer(struct receiver *r, uint64_t now_ns)
{
    if (!image_holds(&r->image))
        return false;
    if (is_answered_soon(r))
        return true;
    uint64_t before = r->image.position;
    struct notice notice = notice_now(r, now_ns);
    image_offer(&r->image, &notice);
    image_changed(r, now_ns);
    if (r->state == RECEIVER_JOINING && r->joins_sent > 0 && r->image.position != before)
        receiver_join(r, now_ns); /* from there; an answer that comes yet is about where it was */
    return image_holds(&r->image);
}

/* What the sink has not taken yet comes before: it is asked for once more, and answered, when it has. */
static void skip(struct receiver *r, uint64_t now_ns, uint64_t position)
{
    if (image_holds(&r->image))
        return;
    if (position > r->image.position)
        r->counters.lost_bytes += position - r->image.position;
    struct notice notice = notice_now(r, now_ns);
    image_skip(&r->image, position, &notice);
    image_changed(r, now_ns);
}

static void hear(struct receiver *r, uint64_t now_ns, const struct datagram_head *head)
{
    r->heard_ns = r->naks.heard_ns = now_ns;
    if (head->number <= r->heard.number)
        return;
    r->heard.number = head->number;
    r->heard.echo_ns = head->header.timestamp;
    r->heard.delay_ns = now_ns; /* when it came; in a report: how long ago */
}

static void learn_rtt(struct receiver *r, uint32_t mean_ns, uint32_t variation_ns, uint32_t receivers)
{
    r->naks.receivers = receivers;
    if (mean_ns != 0)
        r->naks.rtt =
            (struct rtt){rtt_clamp(mean_ns), variation_ns < RTT_MOST_NS ? variation_ns : RTT_MOST_NS};
}

/* Is the log that the sender offers the one that there is a beginning of? The sender knows where the epoch of
 * the last byte ended, and offers a start before it if bytes from behind there are here. And what its latest
 * epoch began below, this one's bytes are not here under an older one. */
static bool fits(struct receiver *r, uint64_t now_ns, const struct datagram_setup *setup)
{
    struct image *image = &r->image;
    uint64_t start = setup->start_position;
    if (image->position == DATAGRAM_LIVE)
        image_start(image, start, 0);
    if (start < image->position || setup->epoch < image->epoch)
        return false;
    if (setup->epoch != image->epoch && image->epoch != 0 && setup->epoch_position < image->position)
        return false;
    if (setup->epoch != image->epoch) {
        uint64_t begins = setup->epoch_position > image->position ? setup->epoch_position : image->position;
        image_forget_staged(image); /* it may be of an epoch in between, that was cut */
        (void)image_begin_epoch(image, begins, setup->epoch);
    }
    skip(r, now_ns, start);
    return true;
}

static void take_session(struct receiver *r, const struct datagram *d)
{
    r->session = d->head.session;
    r->incarnation = d->setup.incarnation;
    r->slice_bytes = d->setup.slice_bytes;
    r->end_position = UINT64_MAX;
}

static void joined(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    if (d->setup.nonce != r->nonce || d->head.receiver == 0)
        return;
    take_session(r, d);
    r->receiver = d->head.receiver;
    if (r->joins_sent == 1 && r->naks.rtt.mean_ns == 0)
        rtt_measured(&r->naks.rtt, now_ns - r->join_sent_ns);
    r->heard = (struct datagram_heard){0};
    hear(r, now_ns, &d->head);
    learn_rtt(r, d->setup.rtt_ns, d->setup.rtt_variation_ns, d->setup.receivers);
    r->state = RECEIVER_RECEIVING;
    bool same = r->topic_id == 0 || r->topic_id == d->setup.topic_id;
    r->topic_id = same ? d->setup.topic_id : r->topic_id;
    if (!same || !fits(r, now_ns, &d->setup)) {
        r->state = RECEIVER_DIVERGED;
        return;
    }
    r->status_due_ns = now_ns;
    r->status_wait_ns = rtt_overdue_ns(&r->naks.rtt);
    announce(r, now_ns, d->head.header.sequence);
}

static void follow_epoch(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    uint32_t epoch = d->setup.epoch;
    if (epoch <= r->image.epoch)
        return; /* an old SETUP, that was late */
    if (epoch != r->image.epoch + 1) {
        receiver_join(r, now_ns); /* only the sender knows where the epoch in between was cut */
        return;
    }
    hear(r, now_ns, &d->head);
    take_session(r, d);
    r->status_due_ns = now_ns;
    if (!image_begin_epoch(&r->image, d->setup.epoch_position, epoch)) {
        r->state = RECEIVER_DIVERGED;
        return;
    }
    announce(r, now_ns, d->head.header.sequence);
}

static int take_setup(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    if (r->config.topic_id != 0 && d->setup.topic_id != r->config.topic_id)
        return HERMES_EACCESS;
    if (r->state == RECEIVER_JOINING) {
        joined(r, now_ns, d);
    } else if (r->state == RECEIVER_RECEIVING && d->setup.incarnation != r->incarnation) {
        receiver_join(r, now_ns);
    } else if (r->state == RECEIVER_RECEIVING && d->head.session != r->session) {
        follow_epoch(r, now_ns, d);
    } else if (d->head.session == r->session && receiver_is_joined(r)) {
        hear(r, now_ns, &d->head);
        learn_rtt(r, d->setup.rtt_ns, d->setup.rtt_variation_ns, d->setup.receivers);
        if (d->head.receiver == r->receiver)
            r->status_due_ns = now_ns; /* it waits for a report */
        announce(r, now_ns, d->head.header.sequence);
    }
    return HERMES_OK;
}

static int take_challenge(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    if (r->state != RECEIVER_JOINING || d->challenge.nonce != r->nonce)
        return HERMES_EACCESS;
    if (r->cookie == d->challenge.cookie)
        return HERMES_OK; /* a second copy of it */
    r->cookie = d->challenge.cookie;
    r->joins_sent = 0;
    r->join_due_ns = now_ns;
    return HERMES_OK;
}

static void take_data(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    struct image *image = &r->image;
    uint64_t position = d->head.header.sequence;
    uint32_t in = gaps_find(&image->gaps, position);
    if (in < image->gaps.count && gaps_at(&image->gaps, in)->begin <= position) {
        naks_closing(&r->naks, gaps_at(&image->gaps, in), d->head.number, now_ns);
        r->counters.late += d->head.number < gaps_at(&image->gaps, in)->number;
    }
    struct notice notice = {r->heard.number, now_ns, now_ns};
    if (position > image->frontier)
        notice = notice_now(r, now_ns);
    switch (image_take(image, position, d->slice, d->slice_bytes, &notice)) {
    case IMAGE_NEW:
        r->counters.bytes += d->slice_bytes;
        break;
    case IMAGE_OLD:
        r->counters.duplicates++;
        break;
    case IMAGE_BEYOND:
    case IMAGE_NO_ROOM:
        r->counters.beyond++;
        break;
    }
    image_changed(r, now_ns);
}

static void take_heartbeat(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    learn_rtt(r, d->heartbeat.rtt_ns, d->heartbeat.rtt_variation_ns, d->heartbeat.receivers);
    if (d->heartbeat.state == DATAGRAM_ENDED)
        r->end_position = d->head.header.sequence;
    if (r->state == RECEIVER_ENDED)
        r->status_due_ns = now_ns; /* the last report may have been lost */
    announce(r, now_ns, d->head.header.sequence);
}

/* The sender has forgotten who this is, or has started anew. Who reports from another address than it joined
 * from is told so each time: joining for ever takes no more than joining in vain. */
static int take_unknown(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    bool meant =
        r->state == RECEIVER_RECEIVING && d->head.session == r->session && d->head.receiver == r->receiver;
    if (!meant)
        return HERMES_EACCESS;
    receiver_join(r, now_ns);
    r->join_due_ns = later(now_ns, r->join_sent_ns + JOIN_FIRST_NS);
    return HERMES_OK;
}

static int take_session_datagram(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    if (!receiver_is_joined(r) || d->head.session != r->session)
        return HERMES_EACCESS;
    hear(r, now_ns, &d->head);
    r->counters.datagrams++;
    if (d->head.header.type == DATAGRAM_DATA && d->slice_bytes > r->slice_bytes)
        return HERMES_EMALFORMED;
    if (d->head.header.type == DATAGRAM_DATA)
        take_data(r, now_ns, d);
    else if (d->head.header.type == DATAGRAM_HEARTBEAT)
        take_heartbeat(r, now_ns, d);
    else
        skip(r, now_ns, d->head.header.sequence);
    return HERMES_OK;
}

static int take_from_sender(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    switch (d->head.header.type) {
    case DATAGRAM_CHALLENGE:
        return take_challenge(r, now_ns, d);
    case DATAGRAM_SETUP:
        return take_setup(r, now_ns, d);
    case DATAGRAM_UNKNOWN:
        return take_unknown(r, now_ns, d);
    case DATAGRAM_DATA:
    case DATAGRAM_HEARTBEAT:
    case DATAGRAM_GONE:
        return take_session_datagram(r, now_ns, d);
    default:
        return HERMES_EACCESS;
    }
}

static int overhear(struct receiver *r, uint64_t now_ns, const struct datagram *d)
{
    bool anothers = r->config.multicast && receiver_is_joined(r) && d->head.header.type == DATAGRAM_NAK &&
                    d->head.session == r->session && d->head.receiver != r->receiver;
    if (!anothers)
        return HERMES_EACCESS;
    r->counters.overheard++;
    naks_overheard(&r->naks, &r->image.gaps, d->nak.ranges, d->ranges, now_ns);
    return HERMES_OK;
}

int receiver_receive(struct receiver *r, uint64_t now_ns, const struct mirror_address *from,
                     const void *bytes, size_t length)
{
    struct datagram d;
    int rc = datagram_check(bytes, length, receiver_guard(r), &d);
    if (rc < 0) {
        r->counters.refused++;
        return rc;
    }
    rc = mirror_address_is(from, &r->config.sender) ? take_from_sender(r, now_ns, &d)
                                                    : overhear(r, now_ns, &d);
    r->counters.strange += rc < 0;
    return rc;
}
