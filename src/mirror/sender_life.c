#include "mirror/sender.h"

#include <stdlib.h>

#include "mirror/random.h"
#include "mirror/sender_state.h"
#include "mirror/time.h"

enum {
    BURST_SLICES = 16,
    HEARTBEAT_ROUND_TRIPS = 2,
    SIGNS_OF_LIFE = 8, /* before silence is death */
};

#define HEARTBEAT_LEAST_NS 50000u
#define HEARTBEAT_MOST_NS 100000000u
#define REPAIR_BYTES_PER_S 256000000u
#define SILENCE_NS 1000000000u

static bool is_good(const struct sender_config *c)
{
    return c->receivers_max >= 1 && c->receivers_max <= LISTENERS_MAX &&
           (c->multicast || c->receivers_max == 1) && c->slice_bytes >= DATAGRAM_SLICE_MIN &&
           c->slice_bytes <= DATAGRAM_SLICE_MAX && c->slice_bytes % DATAGRAM_SLOT_BYTES == 0 &&
           c->window_bytes >= c->slice_bytes && c->window_bytes <= DATAGRAM_WINDOW_MAX &&
           c->end_position <= DATAGRAM_POSITION_MAX && c->end_position % DATAGRAM_SLOT_BYTES == 0 &&
           c->first_position <= c->end_position && c->epoch > 0;
}

int sender_open(struct sender **sender, const struct sender_config *config,
                const struct mirror_source *source)
{
    struct sender_config c = *config;
    c.slice_bytes = c.slice_bytes == 0 ? DATAGRAM_SLICE_BYTES : c.slice_bytes;
    c.burst_bytes = c.burst_bytes == 0 ? (uint64_t)BURST_SLICES * c.slice_bytes : c.burst_bytes;
    c.silence_ns = c.silence_ns == 0 ? SILENCE_NS : c.silence_ns;
    if (c.repair_bytes_per_s == 0)
        c.repair_bytes_per_s = c.bytes_per_s == 0 ? REPAIR_BYTES_PER_S : c.bytes_per_s / 2;
    if (!is_good(&c))
        return HERMES_EINVALID;
    struct sender *s = calloc(1, sizeof *s);
    struct listener *all = calloc(c.receivers_max, sizeof *all);
    if (s == NULL || all == NULL) {
        free(s);
        free(all);
        return HERMES_ENOMEM;
    }
    s->config = c;
    s->source = *source;
    s->random = c.seed;
    s->listeners = (struct listeners){
        .max = c.receivers_max, .all = all, .generation = (uint32_t)random_next(&s->random)};
    s->listeners.session = (uint32_t)random_next(&s->random) | 1;
    s->epoch = c.epoch;
    s->epoch_position = c.epoch_position;
    s->first_position = c.first_position;
    s->end_position = s->next = s->limit = c.end_position;
    s->pacer = (struct pacer){0, c.bytes_per_s, c.burst_bytes};
    if (c.congestion)
        s->pacer.bytes_per_s = congestion_rate(&s->congestion, RTT_FIRST_NS, c.bytes_per_s);
    s->heartbeat_due_ns = s->setup_due_ns = s->oldest_ns = UINT64_MAX;
    *sender = s;
    return HERMES_OK;
}

void sender_close(struct sender *sender)
{
    if (sender == NULL)
        return;
    free(sender->listeners.all);
    free(sender);
}

void sender_find_limit(struct sender *s)
{
    s->limit =
        listeners_limit(&s->listeners, s->config.flow, s->config.group_tag, s->config.group_min, s->next);
}

uint64_t sender_heartbeat_most_ns(const struct sender *s)
{
    return earlier(HEARTBEAT_MOST_NS, s->config.silence_ns / SIGNS_OF_LIFE);
}

void sender_heartbeats_from(struct sender *s, uint64_t now_ns)
{
    uint64_t wait = HEARTBEAT_ROUND_TRIPS * (s->rtt.mean_ns == 0 ? RTT_FIRST_NS : s->rtt.mean_ns);
    s->heartbeat_wait_ns = earlier(later(wait, HEARTBEAT_LEAST_NS), sender_heartbeat_most_ns(s));
    s->heartbeat_due_ns =
        earlier(now_ns + s->heartbeat_wait_ns, s->heartbeat_ns + sender_heartbeat_most_ns(s));
}

void sender_log(struct sender *s, uint64_t first_position, uint64_t end_position)
{
    if (first_position > s->first_position)
        s->first_position = first_position;
    if (end_position > s->end_position && !s->ended)
        s->end_position = end_position;
    if (s->end_position < s->first_position)
        s->end_position = s->first_position;
}

void sender_setups_from(struct sender *s, uint64_t due_ns)
{
    s->setup_due_ns = earlier(s->setup_due_ns, due_ns);
    s->setup_wait_ns = rtt_overdue_ns(&s->rtt);
}

void sender_epoch(struct sender *s, uint64_t now_ns, uint32_t epoch, uint64_t position)
{
    s->epoch = epoch;
    s->epoch_position = position;
    s->listeners.session += 2; /* odd: never 0 */
    s->end_position = later(position, s->first_position);
    s->next = earlier(s->next, position);
    s->ended = false;
    for (uint32_t i = 0; i < s->listeners.max; i++) {
        struct listener *listener = &s->listeners.all[i];
        while (listener->id != 0 && listener->asks > 0)
            listener_answered(&s->listeners, listener); /* it asks again, in the new session */
        listener->position = earlier(listener->position, position);
        listener->start_position = earlier(listener->start_position, position); /* it may not know it yet */
    }
    sender_find_limit(s);
    if (s->listeners.count > 0)
        sender_setups_from(s, now_ns);
}

void sender_end(struct sender *s, uint64_t now_ns)
{
    s->ended = true;
    if (s->listeners.count > 0)
        sender_heartbeats_from(s, now_ns);
}

bool sender_is_done(const struct sender *s)
{
    if (!s->ended)
        return false;
    for (uint32_t i = 0; i < s->listeners.max; i++)
        if (s->listeners.all[i].id != 0 && s->listeners.all[i].position < s->end_position)
            return false;
    return true;
}

uint64_t sender_position(const struct sender *s)
{
    return s->next;
}

const struct listeners *sender_listeners(const struct sender *s)
{
    return &s->listeners;
}

const struct sender_counters *sender_counters(const struct sender *s)
{
    return &s->counters;
}
