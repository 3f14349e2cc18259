/* How long a round trip takes: smoothed mean and variation, as RFC 6298, section 2, has it. */
#ifndef MIRROR_RTT_H
#define MIRROR_RTT_H

#include <stdint.h>

enum {
    RTT_LEAST_NS = 1000,      /* what a stranger's word may make of it: never nothing, */
    RTT_MOST_NS = 1000000000, /* and never for ever */
    RTT_FIRST_NS = 10000000,  /* as long as none was measured */
};

struct rtt {
    uint64_t mean_ns; /* 0: not measured yet */
    uint64_t variation_ns;
};

static inline uint64_t rtt_clamp(uint64_t ns)
{
    return ns < RTT_LEAST_NS ? RTT_LEAST_NS : ns > RTT_MOST_NS ? RTT_MOST_NS : ns;
}

static inline void rtt_measured(struct rtt *rtt, uint64_t ns)
{
    ns = rtt_clamp(ns);
    if (rtt->mean_ns == 0) {
        *rtt = (struct rtt){ns, ns / 2};
        return;
    }
    uint64_t off = ns > rtt->mean_ns ? ns - rtt->mean_ns : rtt->mean_ns - ns;
    rtt->variation_ns += off / 4;
    rtt->variation_ns -= rtt->variation_ns / 4;
    rtt->mean_ns = rtt->mean_ns - rtt->mean_ns / 8 + ns / 8;
}

/* When an answer is overdue. A sixteenth more at least: clocks and schedulers are no finer. */
static inline uint64_t rtt_overdue_ns(const struct rtt *rtt)
{
    uint64_t mean = rtt->mean_ns == 0 ? RTT_FIRST_NS : rtt->mean_ns;
    uint64_t slack = 4 * rtt->variation_ns;
    return mean + (slack > mean / 16 ? slack : mean / 16);
}

#endif
