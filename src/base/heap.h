/*
 * A heap: who is due first. Intrusive: it allocates nothing, and nothing fails. A pairing heap (M. L.
 * Fredman, R. Sedgewick, D. D. Sleator, R. E. Tarjan, Algorithmica 1, 1986): to add is a few instructions, to
 * remove logarithmic on an average.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In what is put in. All zeros: in no heap. */
struct heap_entry {
    uint64_t key;                           /* who puts it in says; unchanged while it is in */
    struct heap_entry *child, *next, *back; /* back: the sibling before it, or its parent */
};

/* All zeros: empty. */
struct heap {
    struct heap_entry *first; /* none has a smaller key. NULL: empty */
};

void heap_add(struct heap *heap, struct heap_entry *entry);

/* One that is in. */
void heap_remove(struct heap *heap, struct heap_entry *entry);

static inline bool heap_has(const struct heap *heap, const struct heap_entry *entry)
{
    return entry == heap->first || entry->back != NULL;
}

#endif
