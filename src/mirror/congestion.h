/*
 * Finding the rate of a shared link by oneself, for senders that are told to.
 *
 * As BBR does (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14, 2016): the rate is
 * what arrives, at most, over the latest rounds, and once in eight rounds it is tried whether more does. Loss
 * alone changes nothing, so random loss of some percent does not stop it; a full link does, since then no
 * more arrives. BBR's limit of what is under way is left to the receiver's window.
 *
 * Each receiver has an estimate, and the sender goes by the lowest of those that hold its window.
 */
#ifndef MIRROR_CONGESTION_H
#define MIRROR_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

/* What arrives at one receiver. */
struct arrival {
    uint64_t since_ns, since_bytes; /* of the report that is compared with */
    uint64_t best, best_before;     /* bytes a second: of this cycle of rounds, and of the one before */
};

struct congestion {
    uint64_t estimate; /* bytes a second; 0: none yet */
    uint64_t full;     /* as it was when it last grew a lot */
    uint64_t round_ends_ns;
    uint32_t phase;   /* of the cycle */
    uint32_t flat;    /* rounds without growth, at first */
    bool steady;      /* the beginning is over */
    bool had_nothing; /* to send, since the last report: what arrives says nothing of the link then */
};

/* A report: so many bytes have arrived. round_ns: a round trip. */
void arrival_reported(struct arrival *arrival, uint64_t now_ns, uint64_t round_ns, uint64_t bytes,
                      bool had_nothing);

static inline uint64_t arrival_estimate(const struct arrival *arrival)
{
    return arrival->best > arrival->best_before ? arrival->best : arrival->best_before;
}

/* The lowest of the estimates is that now. true: a cycle of rounds is over, and with it the estimates of the
 * one before. */
bool congestion_goes_on(struct congestion *congestion, uint64_t now_ns, uint64_t round_ns, uint64_t lowest);

/* Bytes a second to send at; most: 0: no limit. */
uint64_t congestion_rate(const struct congestion *congestion, uint64_t round_ns, uint64_t most);

#endif
