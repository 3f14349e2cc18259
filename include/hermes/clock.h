/*
 * hermes/clock.h - nanoseconds since the Unix epoch, cheap enough for every message.
 *
 * The CPU's time stamp counter, scaled to CLOCK_REALTIME and set again from it every millisecond of
 * use: 10 ns a reading instead of 22. A step of the system clock is followed within that millisecond.
 * Without an invariant counter it is clock_gettime().
 *
 *     hermes_clock_t clock;
 *     hermes_clock_init(&clock);
 *     uint64_t now_ns = hermes_clock_now(&clock);
 *
 * Accuracy: within 1 us of CLOCK_REALTIME, mostly within 50 ns. Readings of one clock object do not
 * run backwards unless the system clock was set back by more than 10 us.
 * Threads: one object is for one thread. Errors: none.
 */
#ifndef HERMES_CLOCK_H
#define HERMES_CLOCK_H

#include <stdint.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "hermes/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_clock {
    uint64_t base_ticks;   /* counter at the last synchronisation */
    uint64_t base_ns;      /* what the clock said there */
    uint64_t valid_ticks;  /* synchronise again this many ticks later; 0: no usable counter */
    uint64_t multiplier;   /* nanoseconds a tick, times 2^32 */
    uint64_t origin_ticks; /* first synchronisation: the longer the base, the better the rate */
    uint64_t origin_ns;    /* CLOCK_MONOTONIC_RAW there: the rate must not follow clock steps */
} hermes_clock_t;

HERMES_API void hermes_clock_init(hermes_clock_t *clock);

/* The slow path of hermes_clock_now(). */
HERMES_API uint64_t hermes_clock_synchronise(hermes_clock_t *clock);

static inline uint64_t hermes_clock_now(hermes_clock_t *clock)
{
#if defined(__x86_64__)
    uint64_t elapsed = __rdtsc() - clock->base_ticks;
    if (__builtin_expect(elapsed < clock->valid_ticks, 1))
        return clock->base_ns + ((elapsed * clock->multiplier) >> 32);
#endif
    return hermes_clock_synchronise(clock);
}

#ifdef __cplusplus
}
#endif
#endif
