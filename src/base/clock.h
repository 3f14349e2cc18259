/* Clocks inside the library. hermes/clock.h is the one for time stamps; these measure intervals. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "hermes/clock.h"

static inline uint64_t clock_read(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* For time-outs and intervals: never set, never stepped. */
static inline uint64_t clock_monotonic_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

/* The same, and it goes on while the machine sleeps. */
static inline uint64_t clock_boot_ns(void)
{
    return clock_read(CLOCK_BOOTTIME);
}

/* A deadline: when so much time from now will have passed. UINT64_MAX: never. */
static inline uint64_t clock_deadline_ns(uint64_t wait_ns)
{
    uint64_t now = clock_monotonic_ns();
    return wait_ns < UINT64_MAX - now ? now + wait_ns : UINT64_MAX;
}

/* How much time is left until then; 0: none. */
static inline uint64_t clock_left_ns(uint64_t until_ns)
{
    uint64_t now = clock_monotonic_ns();
    return until_ns == UINT64_MAX ? UINT64_MAX : now < until_ns ? until_ns - now : 0;
}

static inline uint64_t clock_realtime_ns(void)
{
    return clock_read(CLOCK_REALTIME);
}

#endif
