#include "mirror/sender_state.h"
#include "mirror/time.h"

static void measure(struct sender *s, uint64_t now_ns, struct listener *listener,
                    const struct datagram_heard *heard)
{
    if (heard->echo_ns == 0 || heard->echo_ns > now_ns || heard->delay_ns > now_ns - heard->echo_ns)
        return;
    rtt_measured(&listener->rtt, now_ns - heard->echo_ns - heard->delay_ns);
    s->rtt = listeners_rtt(&s->listeners);
    uint64_t told = s->told_rtt_ns;
    if (s->rtt.mean_ns > told + told / 4 || s->rtt.mean_ns < told - told / 4)
        s->heartbeat_due_ns = now_ns; /* receivers measure their patience by it */
}

static void take_nak(struct sender *s, uint64_t now_ns, struct listener *listener, const struct datagram *d)
{
    s->counters.naks++;
    for (uint32_t i = 0; i < d->ranges; i++) {
        const struct datagram_range *range = &d->nak.ranges[i];
        struct ask ask = {range->position, earlier(range->position + range->bytes, s->next),
                          d->nak.heard.number};
        if (ask.position >= ask.end)
            continue; /* not sent yet, so it cannot be missed */
        s->counters.ranges++;
        if (!listener_asks(&s->listeners, listener, &ask))
            s->counters.dropped++;
    }
    measure(s, now_ns, listener, &d->nak.heard);
}

static void find_rate(struct sender *s, uint64_t now_ns, struct listener *listener)
{
    uint64_t round_ns = s->rtt.mean_ns == 0 ? RTT_FIRST_NS : s->rtt.mean_ns;
    if (!s->config.congestion)
        return;
    arrival_reported(&listener->arrival, now_ns, round_ns, listener->received_bytes,
                     s->congestion.had_nothing);
    if (congestion_goes_on(&s->congestion, now_ns, round_ns, listeners_arrival(&s->listeners)))
        listeners_next_cycle(&s->listeners);
    s->congestion.had_nothing = false;
    s->pacer.bytes_per_s = congestion_rate(&s->congestion, round_ns, s->config.bytes_per_s);
}

static void take_status(struct sender *s, uint64_t now_ns, struct listener *listener,
                        const struct datagram *d)
{
    s->counters.statuses++;
    listener->session = d->head.session;
    listener->window_bytes = earlier(d->status.window_bytes, s->config.window_bytes);
    listener->received_bytes = d->status.received_bytes;
    listener->missed_bytes = d->status.missed_bytes;
    measure(s, now_ns, listener, &d->status.heard);
    find_rate(s, now_ns, listener);
    if (d->status.flags & DATAGRAM_LEAVES) {
        s->counters.complete += s->ended && listener->position == s->end_position;
        listeners_remove(&s->listeners, listener);
    }
}

/* It was silent for too long, or this sender has started since. In fewer bytes than the report has. */
static int unknown(struct sender *s, uint64_t now_ns, const struct mirror_address *from,
                   const struct datagram *d, struct mirror_packet *reply)
{
    reply->to_group = false;
    reply->to = *from;
    reply->length = datagram_finish(reply->bytes, DATAGRAM_UNKNOWN, 0, now_ns, ++s->number, d->head.session,
                                    d->head.receiver, 0, sender_guard(s));
    s->counters.strange++;
    return 1;
}

/* A report of somebody who is there: it says what can be, or is not listened to. */
static int take_report(struct sender *s, uint64_t now_ns, const struct mirror_address *from,
                       const struct datagram *d, struct mirror_packet *reply)
{
    struct listener *listener = listeners_find(&s->listeners, d->head.receiver, from);
    const struct datagram_heard *heard =
        d->head.header.type == DATAGRAM_NAK ? &d->nak.heard : &d->status.heard;
    if (listener == NULL)
        return unknown(s, now_ns, from, d, reply);
    if (d->head.session != s->listeners.session)
        return HERMES_EACCESS; /* of the epoch before: it will hear of the new one */
    if (d->head.header.sequence > s->end_position || heard->number > s->number)
        return HERMES_EMALFORMED;
    listener->heard_ns = now_ns;
    if (d->head.header.sequence > listener->position)
        listener->position = d->head.header.sequence;
    if (d->head.header.type == DATAGRAM_NAK)
        take_nak(s, now_ns, listener, d);
    else
        take_status(s, now_ns, listener, d);
    sender_find_limit(s);
    return HERMES_OK;
}

/* Where somebody begins that wants to, or has been, there. */
static uint64_t start_for(const struct sender *s, const struct datagram *d)
{
    if (d->head.header.sequence == DATAGRAM_LIVE) /* alone: next is where the last one was who left */
        return s->listeners.count == 1 ? s->end_position : s->next;
    uint64_t end = s->end_position, asked = d->head.header.sequence;
    if (d->join.epoch != 0 && d->join.epoch != s->epoch)
        end = earlier(end, s->source.epoch_end(s->source.context, d->join.epoch));
    return asked > end ? end : later(asked, s->first_position); /* less than it has: its log is another */
}

static int challenge(struct sender *s, uint64_t now_ns, const struct mirror_address *from,
                     const struct datagram *d, struct mirror_packet *reply)
{
    struct datagram_challenge *body = mirror_packet_body(reply);
    *body = (struct datagram_challenge){
        .nonce = d->join.nonce,
        .cookie = cookie_make(s->config.cookie_key, from, d->join.nonce, now_ns),
    };
    reply->to_group = false;
    reply->to = *from;
    reply->length = datagram_finish(reply->bytes, DATAGRAM_CHALLENGE, 0, now_ns, ++s->number, 0, 0,
                                    sizeof *body, sender_guard(s));
    s->counters.challenges++;
    return 1;
}

static struct listener *seat(struct sender *s, const struct mirror_address *from, const struct datagram *d)
{
    struct listener *listener = listeners_at(&s->listeners, from);
    if (listener != NULL && listener->nonce == d->join.nonce)
        return listener; /* it did not get the SETUP */
    if (listener != NULL)
        listeners_remove(&s->listeners, listener); /* it began anew */
    listener = listeners_add(&s->listeners, from);
    if (listener == NULL)
        return NULL;
    uint64_t start = start_for(s, d);
    if (s->listeners.count == 1 && s->config.flow != SENDER_MIN_GROUP)
        s->next = start; /* nobody else is there: it is sent, not repaired */
    listener->nonce = d->join.nonce;
    listener->tag = d->join.tag;
    listener->start_position = listener->position = start;
    listener->window_bytes = earlier(d->join.window_bytes, s->config.window_bytes);
    listener->catching_up = start + listener->window_bytes < s->next;
    listener->budget = (struct pacer){0, s->config.repair_bytes_per_s, s->config.window_bytes};
    return listener;
}

static int take_join(struct sender *s, uint64_t now_ns, const struct mirror_address *from,
                     const struct datagram *d, struct mirror_packet *reply)
{
    if (d->join.topic_id != 0 && d->join.topic_id != s->config.topic_id)
        return HERMES_EACCESS;
    if (!cookie_is_good(s->config.cookie_key, from, d->join.nonce, now_ns, d->join.cookie))
        return challenge(s, now_ns, from, d, reply);
    s->counters.joins++;
    struct listener *listener = seat(s, from, d);
    if (listener == NULL) {
        s->counters.full++;
        return HERMES_ELIMIT;
    }
    listener->heard_ns = now_ns;
    listener_setup(&s->listeners, listener, true);
    s->oldest_ns = earlier(s->oldest_ns, now_ns);
    sender_setups_from(s, now_ns + rtt_overdue_ns(&s->rtt));
    sender_heartbeats_from(s, now_ns);
    sender_find_limit(s);
    return HERMES_OK;
}

int sender_receive(struct sender *s, uint64_t now_ns, const struct mirror_address *from, const void *bytes,
                   size_t length, struct mirror_packet *reply)
{
    struct datagram d;
    int rc = datagram_check(bytes, length, sender_guard(s), &d);
    if (rc < 0) {
        s->counters.refused++;
        return rc;
    }
    uint8_t type = d.head.header.type;
    if (type == DATAGRAM_JOIN)
        rc = take_join(s, now_ns, from, &d, reply);
    else if (type == DATAGRAM_NAK || type == DATAGRAM_STATUS)
        rc = take_report(s, now_ns, from, &d, reply);
    else
        rc = HERMES_EACCESS;
    s->counters.strange += rc < 0;
    return rc;
}
