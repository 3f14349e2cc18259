/*
 * When a receiver asks for what it misses.
 *
 * One receiver alone asks as soon as it notices - behind a window for reordering that is as long as datagrams
 * were found to be late, and 0 where none ever was - and again when the answer is overdue (RFC 6298). One of
 * many waits a random while first (backoff.h), asks nothing that another was heard to ask for, and comes back
 * to it when that is overdue. The sender knows by the numbers in a NAK what was on its way when it was made,
 * and repairs nothing twice (repairs.h): so asking again costs a NAK, never a repair.
 *
 * Where the way is long a lone receiver asks twice, an eighth of a round trip apart: a NAK may get lost.
 *
 * One NAK asks for many gaps; whatever is due soon goes along.
 */
#ifndef MIRROR_NAKS_H
#define MIRROR_NAKS_H

#include "mirror/gaps.h"
#include "mirror/rtt.h"
#include "wire/datagram.h"

#define NAKS_LATEST_NS 250000000u /* however often it was asked: again after so long */
#define NAKS_LONG_WAY_NS 1000000u /* a round trip that one would not like to lose */

struct naks {
    bool multicast;
    uint32_t receivers; /* so many listen, as the sender says */
    uint64_t random;
    struct rtt rtt;      /* of the group, as the sender says */
    uint64_t reorder_ns; /* datagrams may be that late */
    uint64_t heard_ns;   /* when the sender was last heard */
    uint64_t due_ns;     /* when naks_collect() has something to do; UINT64_MAX: it has not */
    uint64_t resume;     /* where the last NAK was full; 0: it was not */
    uint64_t next_ns;    /* what is due next, of the gaps before that */
};

/* When to ask for what is noticed now. */
uint64_t naks_first_due(struct naks *naks, uint64_t now_ns);

/* The last of the gaps may be new. */
void naks_noticed(struct naks *naks, struct gaps *gaps);

/* A datagram with that number is about to close that gap, or a part of it. */
void naks_closing(struct naks *naks, const struct gap *gap, uint64_t number, uint64_t now_ns);

/* Another receiver asked for these. */
void naks_overheard(struct naks *naks, struct gaps *gaps, const struct datagram_range *ranges, uint32_t count,
                    uint64_t now_ns);

/* What to ask for now: up to DATAGRAM_RANGES_MAX ranges, and how many. When they are as many, there may be
 * more, and due_ns says so. */
uint32_t naks_collect(struct naks *naks, struct gaps *gaps, uint64_t now_ns, struct datagram_range *ranges);

#endif
