/*
 * What a sender knows: for sender_life.c (how it begins and ends, and the events of the log), sender_hears.c
 * (what receivers say) and sender_speaks.c (what it says, and when).
 */
#ifndef MIRROR_SENDER_STATE_H
#define MIRROR_SENDER_STATE_H

#include "mirror/repairs.h"
#include "mirror/sender.h"

struct sender {
    struct sender_config config;
    struct mirror_source source;
    struct sender_counters counters;
    uint64_t random, number;

    uint32_t epoch;
    uint64_t epoch_position;
    uint64_t first_position, end_position; /* of the log */
    uint64_t next;                         /* all below was sent */
    uint64_t limit;                        /* up to there it may send */
    bool ended;

    struct rtt rtt; /* the group's */
    struct pacer pacer;
    struct congestion congestion;
    bool repairs_turn; /* of repairs and new data, when both wait */
    uint64_t heartbeat_due_ns, heartbeat_wait_ns, heartbeat_ns;
    uint64_t told_rtt_ns;                 /* by the last one */
    uint64_t setup_due_ns, setup_wait_ns; /* to all */
    uint64_t oldest_ns;                   /* nobody has been silent for longer than since then */

    struct listeners listeners;
    struct repairs repairs; /* large: last */
};

static inline enum datagram_guard sender_guard(const struct sender *s)
{
    return s->config.sealed ? DATAGRAM_GUARDED_BY_TAG : DATAGRAM_GUARDED_BY_CRC;
}

/* Anew, whenever a listener moved, came or went. */
void sender_find_limit(struct sender *sender);

/* Something was said, or is to be: a heartbeat soon, then less and less often. */
void sender_heartbeats_from(struct sender *sender, uint64_t now_ns);
uint64_t sender_heartbeat_most_ns(const struct sender *sender);

/* SETUPs from then on, until everybody has reported of the session; then slowly. */
void sender_setups_from(struct sender *sender, uint64_t due_ns);

#endif
