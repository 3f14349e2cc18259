#include "log/pace.h"

#include "base/clock.h"
#include "base/wait.h"

/* Loads where the writer is: a line that it has just written to, so the time that this takes is what a line
 * takes here and now. */
static uint64_t load_timed(const _Atomic uint64_t *writer, uint64_t *now_ns, uint64_t *travel_ns)
{
    uint64_t start = clock_monotonic_ns();
    /* Relaxed: how far to read, not what. */
    uint64_t end = atomic_load_explicit(writer, memory_order_relaxed);
    *now_ns = clock_monotonic_ns();
    *travel_ns = *now_ns - start < PACE_TRAVEL_MOST_NS ? *now_ns - start : PACE_TRAVEL_MOST_NS;
    return end;
}

/* Did messages come faster than lines travel since the last look? */
static bool is_fast(struct pace *pace, uint64_t position, uint64_t sequence, uint64_t now_ns,
                    uint64_t travel_ns)
{
    uint64_t took = now_ns - pace->at_ns;
    uint64_t lines = (position - pace->position) / 64, messages = sequence - pace->sequence;
    pace->at_ns = now_ns;
    pace->position = position;
    pace->sequence = sequence;
    if (lines == 0) /* has only just begun to pace; or nothing came for a whole pause */
        return took < PACE_PAUSE_NS;
    if (messages > lines) /* it was elsewhere meanwhile, or does not know the sequence */
        return false;
    return took < messages * (travel_ns + travel_ns / 4) + lines * PACE_LINE_NS;
}

static void follow(struct pace *pace, uint64_t position)
{
    pace->until = PACE_FOLLOWING;
    pace->judge_at = position + PACE_JUDGE_BYTES;
}

/* How far to read from here, and whether after a pause: true. */
static bool look(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence)
{
    uint64_t now_ns, travel_ns, end = load_timed(writer, &now_ns, &travel_ns), behind = end - position;
    if (!is_fast(pace, position, sequence, now_ns, travel_ns) || behind > PACE_BEHIND_MOST) {
        follow(pace, position);
        return false;
    }
    pace->until = behind < PACE_NEAR_BYTES ? end : end - PACE_BEHIND_BYTES;
    return behind < PACE_NEAR_BYTES;
}

void pace_look(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence)
{
    if (!look(pace, writer, position, sequence))
        return;
    while (clock_monotonic_ns() - pace->at_ns < PACE_PAUSE_NS)
        cpu_relax();
    if (pace->until == position) /* nothing was there yet */
        pace->until = atomic_load_explicit(writer, memory_order_relaxed);
}

bool pace_leaves(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence)
{
    if (position < pace->until)
        return false;
    if (pace->leave_ns == 0 && look(pace, writer, position, sequence))
        pace->leave_ns = pace->at_ns + PACE_PAUSE_NS;
    if (clock_monotonic_ns() < pace->leave_ns)
        return true;
    pace->leave_ns = 0;
    return false;
}

void pace_judge(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence)
{
    uint64_t now_ns, travel_ns;
    (void)load_timed(writer, &now_ns, &travel_ns);
    follow(pace, position);
    if (is_fast(pace, position, sequence, now_ns, travel_ns))
        pace->until = position;
}
