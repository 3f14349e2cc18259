/*
 * Whose turn it is, where many wait and some of them send many: one of each in turn, and what one has sent in
 * the order in which he sent it. So nobody waits for more than one of each other's. Intrusive: it allocates
 * nothing.
 */
#ifndef BASE_ROUNDS_H
#define BASE_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In what waits. */
struct round_entry {
    uint64_t whose;
    bool barrier;
    struct round_entry *next;          /* another's; or behind a barrier. Of the first of each alone */
    struct round_entry *behind, *last; /* of the same; last: of the first of them alone */
};

/* All zeros: empty. */
struct rounds {
    struct round_entry *first;
};

/* barrier: it comes behind all that are there, and before all that come later. Takes as long as there are
 * different ones whose. */
void rounds_put(struct rounds *rounds, struct round_entry *entry, uint64_t whose, bool barrier);

/* Whose turn it is; there must be somebody. */
struct round_entry *rounds_take(struct rounds *rounds);

static inline bool rounds_is_empty(const struct rounds *rounds)
{
    return rounds->first == NULL;
}

#endif
