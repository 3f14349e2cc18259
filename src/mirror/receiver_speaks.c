#include "mirror/random.h"
#include "mirror/receiver_state.h"
#include "mirror/time.h"

enum {
    GROWTH = 16,       /* a window that became smaller grows by such a part */
    SIGNS_OF_LIFE = 8, /* before silence is death */
};

#define STATUS_EVERY_NS 100000000u
#define JOIN_LATEST_NS 1000000000u

static int finish(struct receiver *r, uint64_t now_ns, struct mirror_packet *packet, enum datagram_type type,
                  uint32_t body_bytes)
{
    packet->to_group = type == DATAGRAM_NAK && r->config.multicast;
    packet->to = r->config.sender;
    packet->length = datagram_finish(packet->bytes, type, r->image.position, now_ns, ++r->number, r->session,
                                     r->receiver, body_bytes, receiver_guard(r));
    return 1;
}

static struct datagram_heard report_heard(const struct receiver *r, uint64_t now_ns)
{
    struct datagram_heard heard = r->heard;
    heard.delay_ns = now_ns - heard.delay_ns;
    return heard;
}

static int send_join(struct receiver *r, uint64_t now_ns, struct mirror_packet *packet)
{
    struct datagram_join *join = mirror_packet_body(packet);
    *join = (struct datagram_join){
        .protocol = DATAGRAM_PROTOCOL,
        .epoch = r->image.position == DATAGRAM_LIVE ? 0 : r->image.epoch,
        .topic_id = r->config.topic_id,
        .nonce = r->nonce,
        .cookie = r->cookie,
        .tag = r->config.tag,
        .window_bytes = r->window_bytes,
    };
    r->counters.joins++;
    r->joins_sent += r->cookie != 0;
    r->join_sent_ns = now_ns;
    r->join_due_ns = now_ns + r->join_wait_ns + random_below(&r->random, r->join_wait_ns);
    r->join_wait_ns = earlier(2 * r->join_wait_ns, JOIN_LATEST_NS);
    return finish(r, now_ns, packet, DATAGRAM_JOIN, sizeof *join);
}

static int send_nak(struct receiver *r, uint64_t now_ns, struct mirror_packet *packet)
{
    struct datagram_nak *nak = mirror_packet_body(packet);
    uint32_t count = naks_collect(&r->naks, &r->image.gaps, now_ns, nak->ranges);
    if (count == 0)
        return 0;
    nak->heard = report_heard(r, now_ns);
    r->counters.naks++;
    uint32_t bytes =
        (uint32_t)offsetof(struct datagram_nak, ranges) + count * (uint32_t)sizeof nak->ranges[0];
    return finish(r, now_ns, packet, DATAGRAM_NAK, bytes);
}

/* The last of a series of reports may be lost, and the sender wait for it: it is repeated, less and less
 * often. */
static uint64_t status_wait_ns(struct receiver *r)
{
    uint64_t wait = r->status_wait_ns, most = earlier(STATUS_EVERY_NS, r->config.silence_ns / SIGNS_OF_LIFE);
    r->status_wait_ns = earlier(2 * wait, most);
    return earlier(wait, most);
}

static int send_status(struct receiver *r, uint64_t now_ns, struct mirror_packet *packet)
{
    struct datagram_status *status = mirror_packet_body(packet);
    if (!r->overflowed && r->window_bytes < r->image.window_bytes)
        r->window_bytes = earlier(r->window_bytes + r->image.window_bytes / GROWTH, r->image.window_bytes);
    *status = (struct datagram_status){
        .heard = report_heard(r, now_ns),
        .window_bytes = r->window_bytes,
        .received_bytes = r->counters.bytes,
        .missed_bytes = r->counters.missed_bytes,
        .flags = (r->overflowed ? DATAGRAM_OVERFLOWED : 0u) | (r->leaving ? DATAGRAM_LEAVES : 0u),
    };
    r->overflowed = false;
    r->status_position = r->image.position;
    r->status_due_ns = r->state == RECEIVER_ENDED ? UINT64_MAX : now_ns + status_wait_ns(r);
    if (r->leaving)
        r->state = RECEIVER_LEFT;
    return finish(r, now_ns, packet, DATAGRAM_STATUS, sizeof *status);
}

static uint64_t silent_ns(const struct receiver *r)
{
    return r->state == RECEIVER_RECEIVING ? r->heard_ns + r->config.silence_ns : UINT64_MAX;
}

int receiver_next(struct receiver *r, uint64_t now_ns, struct mirror_packet *packet)
{
    if (now_ns >= silent_ns(r))
        receiver_join(r, now_ns);
    if (r->state == RECEIVER_JOINING)
        return now_ns >= r->join_due_ns ? send_join(r, now_ns, packet) : 0;
    if (!receiver_is_joined(r))
        return 0;
    if (now_ns >= r->naks.due_ns && send_nak(r, now_ns, packet) > 0)
        return 1;
    return now_ns >= r->status_due_ns ? send_status(r, now_ns, packet) : 0;
}

uint64_t receiver_wake_ns(const struct receiver *r)
{
    if (r->state == RECEIVER_JOINING)
        return r->join_due_ns;
    if (!receiver_is_joined(r))
        return UINT64_MAX;
    return earlier(earlier(r->naks.due_ns, r->status_due_ns), silent_ns(r));
}
