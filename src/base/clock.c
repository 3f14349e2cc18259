#include "base/clock.h"

#include <stdbool.h>
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

enum { RESYNCHRONISE_NS = 1000000, CALIBRATE_NS = 200000, TOLERATED_STEP_BACK_NS = 10000 };

#if defined(__x86_64__)
#include <cpuid.h>

/* CPUID 8000_0007h EDX[8]: the counter runs at one rate in all power states. */
static bool counter_is_invariant(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
}

struct instant {
    uint64_t ticks;
    uint64_t ns;
};

/* The counter and a clock at the same moment: of three tries the one that took the shortest. */
static struct instant read_together(clockid_t id)
{
    struct instant best = {0, 0};
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        uint64_t before = __rdtsc();
        uint64_t ns = clock_read(id);
        uint64_t took = __rdtsc() - before;
        if (took < shortest) {
            shortest = took;
            best = (struct instant){before + took / 2, ns};
        }
    }
    return best;
}

static void set_rate(hermes_clock_t *clock, struct instant now)
{
    uint64_t ticks = now.ticks - clock->origin_ticks;
    uint64_t ns = now.ns - clock->origin_ns;
    if (ticks == 0 || ns == 0)
        return;
    clock->multiplier = (uint64_t)(((uint128)ns << 32) / ticks);
    clock->valid_ticks = (uint64_t)(((uint128)RESYNCHRONISE_NS << 32) / clock->multiplier);
}
#endif

void hermes_clock_init(hermes_clock_t *clock)
{
    memset(clock, 0, sizeof *clock);
#if defined(__x86_64__)
    if (!counter_is_invariant())
        return;
    struct instant start = read_together(CLOCK_MONOTONIC_RAW), now = start;
    clock->origin_ticks = start.ticks;
    clock->origin_ns = start.ns;
    while (now.ns - start.ns < CALIBRATE_NS)
        now = read_together(CLOCK_MONOTONIC_RAW);
    set_rate(clock, now);
    now = read_together(CLOCK_REALTIME);
    clock->base_ticks = now.ticks;
    clock->base_ns = now.ns;
#endif
}

uint64_t hermes_clock_synchronise(hermes_clock_t *clock)
{
#if defined(__x86_64__)
    if (clock->valid_ticks != 0) {
        struct instant now = read_together(CLOCK_REALTIME);
        uint64_t elapsed = now.ticks - clock->base_ticks;
        uint64_t expected = clock->base_ns + (uint64_t)(((uint128)elapsed * clock->multiplier) >> 32);
        set_rate(clock, read_together(CLOCK_MONOTONIC_RAW));
        clock->base_ticks = now.ticks;
        /* Small corrections backwards are held back; a clock that was set is followed. */
        bool slightly_behind = now.ns < expected && expected - now.ns < TOLERATED_STEP_BACK_NS;
        clock->base_ns = slightly_behind ? expected : now.ns;
        return clock->base_ns;
    }
#endif
    return clock_realtime_ns();
}
