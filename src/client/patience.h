/* Waiting for what nobody rings for: room, a broker, the sequencer. Gives way to others for a moment, then
 * sleeps, longer each time, and never beyond its deadline. */
#ifndef CLIENT_PATIENCE_H
#define CLIENT_PATIENCE_H

#include <sched.h>
#include <stdbool.h>

#include "base/clock.h"

struct patience {
    uint64_t until_ns;
    uint64_t busy_until_ns;
    uint64_t sleep_ns; /* of the next sleep */
    bool is_counted;   /* for who counts waits */
};

static inline struct patience patience_until(uint64_t until_ns)
{
    enum { BUSY_NS = 200000, FIRST_SLEEP_NS = 50000 };
    return (struct patience){until_ns, clock_monotonic_ns() + BUSY_NS, FIRST_SLEEP_NS, false};
}

/* Waits a little. false: there is no time left, and it did not. */
static inline bool patience_wait(struct patience *patience)
{
    enum { LONGEST_SLEEP_NS = 1000000 }; /* neither disks nor brokers come back in microseconds */
    uint64_t left = clock_left_ns(patience->until_ns);
    if (left == 0)
        return false;
    if (clock_monotonic_ns() < patience->busy_until_ns) {
        sched_yield();
        return true;
    }
    uint64_t sleep_ns = patience->sleep_ns < left ? patience->sleep_ns : left;
    struct timespec pause = {0, (long)sleep_ns};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    patience->sleep_ns *= patience->sleep_ns < LONGEST_SLEEP_NS ? 2 : 1;
    return true;
}

#endif
