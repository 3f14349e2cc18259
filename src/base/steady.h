/*
 * Wall time for what cannot be undone: how old is this, may it be deleted? A wall clock may be a week ahead
 * for half a second, and a machine may start with a wrong one.
 *
 * The estimate goes on with a clock that nobody sets. A step of the wall clock, in either direction, is
 * believed once it has lasted as long as it is large, or an hour. Until then whoever deletes takes the
 * earlier of the two times, and whoever writes down when something was made the later one: either way more is
 * kept.
 *
 * Pure: both clocks are the caller's, boot_ns one that goes on while the machine sleeps (CLOCK_BOOTTIME).
 */
#ifndef BASE_STEADY_H
#define BASE_STEADY_H

#include <stdbool.h>
#include <stdint.h>

struct steady {
    uint64_t wall_ns, boot_ns; /* the estimate was wall_ns at boot_ns */
    uint64_t since_ns;         /* the wall clock has been elsewhere since then; 0: it is not */
    bool ahead;                /* and there it is ahead */
};

/* wall_ns: the last time that is known to have been right, or what the clock says now. */
void steady_start(struct steady *steady, uint64_t wall_ns, uint64_t boot_ns);

/* The estimate. To be called now and then: a step lasts from the call that first sees it. */
uint64_t steady_look(struct steady *steady, uint64_t wall_ns, uint64_t boot_ns);

#endif
