#include "mirror/sender_state.h"
#include "mirror/time.h"

enum {
    SKIPS_MAX = 1024, /* slots on their way that one call looks at */
    SKIP_COST = 8,    /* bytes of the budget, for each of them */
    TRIES = 8,        /* at finding something to send, in one call */
};

#define SETUP_EVERY_NS 1000000000u

/* listener NULL: to all - of a unicast stream, to the one. */
static int finish(struct sender *s, uint64_t now_ns, struct mirror_packet *packet,
                  const struct listener *listener, enum datagram_type type, uint64_t position,
                  uint32_t body_bytes)
{
    packet->to_group = listener == NULL && s->config.multicast;
    if (!packet->to_group)
        packet->to = listener != NULL ? listener->address : s->listeners.all[0].address;
    packet->length = datagram_finish(packet->bytes, type, position, now_ns, ++s->number, s->listeners.session,
                                     listener == NULL ? 0 : listener->id, body_bytes, sender_guard(s));
    pacer_take(&s->pacer, now_ns, packet->length);
    return 1;
}

static uint32_t capped(uint64_t ns)
{
    return (uint32_t)earlier(ns, UINT32_MAX);
}

static int send_setup(struct sender *s, uint64_t now_ns, struct mirror_packet *packet,
                      const struct listener *listener)
{
    struct datagram_setup *setup = mirror_packet_body(packet);
    *setup = (struct datagram_setup){
        .protocol = DATAGRAM_PROTOCOL,
        .slice_bytes = (uint16_t)s->config.slice_bytes,
        .epoch = s->epoch,
        .topic_id = s->config.topic_id,
        .nonce = listener == NULL ? 0 : listener->nonce,
        .incarnation = s->config.incarnation,
        .first_position = s->first_position,
        .start_position = listener == NULL ? 0 : listener->start_position,
        .epoch_position = s->epoch_position,
        .rtt_ns = capped(s->rtt.mean_ns),
        .rtt_variation_ns = capped(s->rtt.variation_ns),
        .receivers = s->listeners.count,
    };
    s->counters.setups++;
    return finish(s, now_ns, packet, listener, DATAGRAM_SETUP, s->next, sizeof *setup);
}

static int send_heartbeat(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    struct datagram_heartbeat *heartbeat = mirror_packet_body(packet);
    *heartbeat = (struct datagram_heartbeat){
        .rtt_ns = capped(s->rtt.mean_ns),
        .rtt_variation_ns = capped(s->rtt.variation_ns),
        .receivers = s->listeners.count,
        .state = s->ended && s->next == s->end_position ? DATAGRAM_ENDED : DATAGRAM_OPEN,
    };
    s->heartbeat_wait_ns = earlier(2 * s->heartbeat_wait_ns, sender_heartbeat_most_ns(s));
    s->heartbeat_due_ns = now_ns + s->heartbeat_wait_ns;
    s->heartbeat_ns = now_ns;
    s->told_rtt_ns = s->rtt.mean_ns;
    s->counters.heartbeats++;
    return finish(s, now_ns, packet, NULL, DATAGRAM_HEARTBEAT, s->next, sizeof *heartbeat);
}

static int send_gone(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    struct listener *listener = s->listeners.all;
    while (listener->id == 0 || !listener->gone_due)
        listener++;
    listener_gone(&s->listeners, listener, false);
    struct datagram_gone *gone = mirror_packet_body(packet);
    gone->asked_position = listener->gone_asked;
    s->counters.gone++;
    return finish(s, now_ns, packet, listener, DATAGRAM_GONE, s->first_position, sizeof *gone);
}

static int send_listeners_setup(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    struct listener *listener = s->listeners.all;
    while (listener->id == 0 || !listener->setup_due)
        listener++;
    listener_setup(&s->listeners, listener, false);
    return send_setup(s, now_ns, packet, listener);
}

/* Copies out of the log; what is not there any more is the loss of who asked for it, or of all. */
static bool copy_out(struct sender *s, uint64_t position, uint32_t length, struct mirror_packet *packet)
{
    uint64_t first = s->first_position;
    if (position >= s->first_position &&
        s->source.bytes(s->source.context, position, length, mirror_packet_body(packet), &first))
        return true;
    s->first_position = earlier(later(s->first_position, first), s->end_position);
    return false;
}

static uint32_t next_slice(const struct sender *s)
{
    uint64_t there = s->end_position - s->next, allowed = s->limit - s->next, slice = s->config.slice_bytes;
    if (allowed < there && allowed < slice)
        return 0; /* a whole one, when the window moves on */
    return (uint32_t)earlier(earlier(there, allowed), slice);
}

static int send_data(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    uint32_t length = next_slice(s);
    if (!copy_out(s, s->next, length, packet)) {
        s->next = later(
            s->next, s->first_position); /* overwritten before it was sent: receivers will ask, and be told */
        sender_find_limit(s);
        return 0;
    }
    uint64_t position = s->next;
    s->next += length;
    s->counters.datagrams++;
    s->counters.bytes += length;
    int rc = finish(s, now_ns, packet, NULL, DATAGRAM_DATA, position, length);
    sender_heartbeats_from(s, now_ns);
    return rc;
}

/* What of it is not on its way: moves ask->position there. false: nothing; or it has looked at enough. */
static bool skip_what_is_sent(struct sender *s, uint64_t now_ns, struct listener *listener, struct ask *ask,
                              uint32_t to)
{
    uint64_t from = ask->position, most = earlier(ask->end, from + SKIPS_MAX * DATAGRAM_SLOT_BYTES);
    while (ask->position < most && repairs_on_their_way(&s->repairs, ask->position, to, ask->heard))
        ask->position += DATAGRAM_SLOT_BYTES;
    s->counters.suppressed_bytes += ask->position - from;
    pacer_take(&listener->budget, now_ns, (ask->position - from) / DATAGRAM_SLOT_BYTES * SKIP_COST);
    return ask->position < most;
}

static uint32_t repair_slice(const struct sender *s, const struct ask *ask, uint32_t to)
{
    uint64_t end = ask->position, most = earlier(ask->end, ask->position + s->config.slice_bytes);
    while (end < most && !repairs_on_their_way(&s->repairs, end, to, ask->heard))
        end += DATAGRAM_SLOT_BYTES;
    return (uint32_t)(end - ask->position);
}

/* Near the head others will have lost it too; what is old is for who asked. */
static bool is_for_all(const struct sender *s, const struct ask *ask)
{
    return !s->config.multicast || ask->position + s->config.window_bytes >= s->next;
}

static int send_repair(struct sender *s, uint64_t now_ns, struct mirror_packet *packet,
                       struct listener *listener)
{
    struct ask *ask = listener_ask(listener);
    bool all = is_for_all(s, ask);
    uint32_t to = all ? 0 : listener->id;
    if (!skip_what_is_sent(s, now_ns, listener, ask, to)) {
        if (ask->position >= ask->end)
            listener_answered(&s->listeners, listener);
        return 0;
    }
    uint32_t length = repair_slice(s, ask, to);
    if (!copy_out(s, ask->position, length, packet)) {
        listener->gone_asked = ask->position;
        listener_gone(&s->listeners, listener, true);
        ask->position = earlier(ask->end, later(s->first_position, ask->position + length));
        return 0;
    }
    repairs_sent(&s->repairs, ask->position, length, to, s->number + 1);
    uint64_t position = ask->position;
    ask->position += length;
    if (ask->position >= ask->end)
        listener_answered(&s->listeners, listener);
    s->counters.repairs++;
    s->counters.repair_bytes += length;
    int rc = finish(s, now_ns, packet, all ? NULL : listener, DATAGRAM_DATA, position, length);
    pacer_take(&listener->budget, now_ns, packet->length);
    sender_heartbeats_from(s, now_ns); /* a repair, too, may be the last that was sent, and lost */
    return rc;
}

/* Whose repairs are next: in turn, within the budget of each. NULL: nobody's. */
static struct listener *next_asking(struct sender *s, uint64_t now_ns)
{
    struct listeners *l = &s->listeners;
    for (uint32_t i = 0; i < l->max && l->asking > 0; i++) {
        struct listener *listener = &l->all[(l->turn + i) % l->max];
        if (listener->id == 0 || listener->asks == 0 || pacer_ready_ns(&listener->budget) > now_ns)
            continue;
        l->turn = (l->turn + i + 1) % l->max;
        return listener;
    }
    return NULL;
}

static void drop_the_silent(struct sender *s, uint64_t now_ns)
{
    struct listeners *l = &s->listeners;
    s->oldest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < l->max; i++) {
        struct listener *listener = &l->all[i];
        if (listener->id == 0)
            continue;
        if (now_ns - listener->heard_ns >= s->config.silence_ns)
            listeners_remove(l, listener);
        else
            s->oldest_ns = earlier(s->oldest_ns, listener->heard_ns);
    }
    s->rtt = listeners_rtt(l);
    sender_find_limit(s);
}

static uint64_t silent_ns(const struct sender *s)
{
    return s->oldest_ns == UINT64_MAX ? UINT64_MAX : s->oldest_ns + s->config.silence_ns;
}

/* Once more to each that has not reported of the session. false: there is none. */
static bool remind(struct sender *s)
{
    for (uint32_t i = 0; i < s->listeners.max; i++) {
        struct listener *listener = &s->listeners.all[i];
        if (listener->id != 0 && listener->session != s->listeners.session)
            listener_setup(&s->listeners, listener, true);
    }
    return s->listeners.setups_due > 0;
}

/* To all: often after somebody joined or a new epoch began, until everybody has said that he knows; else
 * slowly. */
static int send_setup_to_all(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    uint64_t wait = remind(s) ? s->setup_wait_ns : SETUP_EVERY_NS;
    s->setup_due_ns = now_ns + wait;
    s->setup_wait_ns = earlier(2 * wait, SETUP_EVERY_NS);
    return send_setup(s, now_ns, packet, NULL);
}

static int send_what_is_due(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    if (s->listeners.setups_due > 0)
        return send_listeners_setup(s, now_ns, packet);
    if (s->listeners.gone_due > 0)
        return send_gone(s, now_ns, packet);
    if (now_ns >= s->setup_due_ns)
        return send_setup_to_all(s, now_ns, packet);
    return now_ns >= s->heartbeat_due_ns ? send_heartbeat(s, now_ns, packet) : 0;
}

static int send_of_the_log(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    for (int tries = 0; tries < TRIES && pacer_ready_ns(&s->pacer) <= now_ns; tries++) {
        bool data = next_slice(s) > 0;
        struct listener *asking = data && !s->repairs_turn ? NULL : next_asking(s, now_ns);
        if (!data && asking == NULL) {
            s->congestion.had_nothing = true;
            return 0;
        }
        s->repairs_turn = asking == NULL && s->listeners.asking > 0;
        if (asking != NULL ? send_repair(s, now_ns, packet, asking) : send_data(s, now_ns, packet))
            return 1;
        if (s->listeners.gone_due > 0)
            return send_gone(s, now_ns, packet);
    }
    return 0;
}

int sender_next(struct sender *s, uint64_t now_ns, struct mirror_packet *packet)
{
    if (now_ns >= silent_ns(s))
        drop_the_silent(s, now_ns);
    if (s->listeners.count == 0)
        return 0;
    int rc = send_what_is_due(s, now_ns, packet);
    return rc > 0 ? rc : send_of_the_log(s, now_ns, packet);
}

static uint64_t asking_ns(const struct sender *s)
{
    uint64_t ready = UINT64_MAX;
    for (uint32_t i = 0; i < s->listeners.max && s->listeners.asking > 0; i++)
        if (s->listeners.all[i].id != 0 && s->listeners.all[i].asks > 0)
            ready = earlier(ready, pacer_ready_ns(&s->listeners.all[i].budget));
    return ready;
}

uint64_t sender_wake_ns(const struct sender *s)
{
    if (s->listeners.count == 0)
        return UINT64_MAX;
    if (s->listeners.setups_due + s->listeners.gone_due > 0)
        return 0;
    uint64_t wake = earlier(earlier(s->heartbeat_due_ns, s->setup_due_ns), silent_ns(s));
    uint64_t log = next_slice(s) > 0 ? 0 : asking_ns(s);
    if (log != UINT64_MAX)
        wake = earlier(wake, later(log, pacer_ready_ns(&s->pacer)));
    return wake;
}
