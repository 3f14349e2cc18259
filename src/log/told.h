/*
 * What a client tells of a handle that nobody else could know: a line of 64 bytes in a file that the broker
 * made, and that the clients of its own user (and root's) may write to. Written where a call takes long
 * anyway, so a publish and a poll cost what they did.
 *
 * Each line has one writer. The last word is a sum over the others and the generation of the entry that the
 * line belongs to (counters/page.h): what is torn, of a handle that had the line before, or nonsense shows by
 * it, and counts as not told.
 */
#ifndef LOG_TOLD_H
#define LOG_TOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TOLD_VALUES = 7, TOLD_LINE_BYTES = 64 };

/* Of a subscriber; of a publisher. */
enum told_subscriber { TOLD_POSITION = 0, TOLD_LOST = 1, TOLD_DAMAGED = 2 };
enum told_publisher { TOLD_REFUSED = 0, TOLD_WAITS = 1 };

struct told_line {
    _Alignas(TOLD_LINE_BYTES) _Atomic uint64_t value[TOLD_VALUES];
    _Atomic uint64_t sum;
};

_Static_assert(sizeof(struct told_line) == TOLD_LINE_BYTES, "line");

/* Where a handle tells; the line is NULL where nobody listens. */
struct told {
    struct told_line *line;
    uint64_t generation;
};

/* Each word counts by its place, too: two that change places are another sum. */
static inline uint64_t told_sum(const uint64_t value[TOLD_VALUES], uint64_t generation)
{
    uint64_t sum = generation * 0x9E3779B97F4A7C15u;
    for (unsigned i = 0; i < TOLD_VALUES; i++)
        sum = (sum ^ value[i]) * 0x100000001b3u + i;
    return sum | 1; /* never 0: a fresh line says nothing */
}

static inline void told_write(const struct told *told, const uint64_t value[TOLD_VALUES])
{
    if (told->line == NULL)
        return;
    for (unsigned i = 0; i < TOLD_VALUES; i++)
        atomic_store_explicit(&told->line->value[i], value[i], memory_order_relaxed);
    /* Release pairs with the acquire in told_read(): a sum that fits is of these values. */
    atomic_store_explicit(&told->line->sum, told_sum(value, told->generation), memory_order_release);
}

/* false: nothing was told by who has that generation. */
static inline bool told_read(const struct told_line *line, uint64_t generation, uint64_t value[TOLD_VALUES])
{
    enum { TRIES = 8 };
    for (int i = 0; i < TRIES; i++) {
        uint64_t sum = atomic_load_explicit(&line->sum, memory_order_acquire);
        for (unsigned k = 0; k < TOLD_VALUES; k++)
            value[k] = atomic_load_explicit(&line->value[k], memory_order_relaxed);
        if (sum == told_sum(value, generation))
            return true;
    }
    return false;
}

#endif
