#include "cli/feed/levels.h"

#include <stdlib.h>

#include "hermes/error.h"

enum { SIDES = 2 * 65536, FIRST_LEVELS = 1024, FIRST_ENTRIES = 16 };

int levels_open(struct levels *levels)
{
    *levels = (struct levels){.count = 1, .room = FIRST_LEVELS};
    levels->sides = calloc(SIDES, sizeof *levels->sides);
    levels->levels = calloc(levels->room, sizeof *levels->levels);
    if (levels->sides != NULL && levels->levels != NULL && hash_open(&levels->by_price) == 0)
        return HERMES_OK;
    free(levels->sides);
    free(levels->levels);
    return HERMES_ENOMEM;
}

void levels_close(struct levels *levels)
{
    for (size_t i = 0; i < SIDES; i++)
        free(levels->sides[i].entries);
    free(levels->sides);
    free(levels->levels);
    hash_close(&levels->by_price);
}

static uint64_t key_of(uint32_t side, uint32_t price)
{
    return (uint64_t)side << 32 | price;
}

/* ---- a heap, its smallest entry first ---- */

static int heap_push(struct levels_heap *heap, uint64_t entry)
{
    if (heap->count == heap->room) {
        uint32_t room = heap->room == 0 ? FIRST_ENTRIES : 2 * heap->room;
        uint64_t *entries = reallocarray(heap->entries, room, sizeof *entries);
        if (entries == NULL)
            return HERMES_ENOMEM;
        heap->entries = entries;
        heap->room = room;
    }
    uint32_t at = heap->count++;
    for (; at > 0 && heap->entries[(at - 1) / 2] > entry; at = (at - 1) / 2)
        heap->entries[at] = heap->entries[(at - 1) / 2];
    heap->entries[at] = entry;
    return HERMES_OK;
}

static void heap_pop(struct levels_heap *heap)
{
    uint64_t entry = heap->entries[--heap->count];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && heap->entries[child + 1] < heap->entries[child])
            child++;
        if (entry <= heap->entries[child])
            break;
        heap->entries[at] = heap->entries[child];
    }
    heap->entries[at] = entry;
}

/* Those who buy: the highest price is the best. */
static uint64_t entry_of(uint32_t side, uint32_t price, uint32_t number)
{
    return (uint64_t)(side % 2 == 0 ? ~price : price) << 32 | number;
}

/* ---- levels ---- */

static int new_level(struct levels *levels, uint32_t *number)
{
    if (levels->free != 0) {
        *number = levels->free;
        levels->free = levels->levels[*number].next_free;
        return HERMES_OK;
    }
    if (levels->count == levels->room) {
        struct level *more = reallocarray(levels->levels, 2 * (size_t)levels->room, sizeof *more);
        if (more == NULL || levels->room > UINT32_MAX / 2)
            return HERMES_ENOMEM;
        levels->levels = more;
        levels->room *= 2;
    }
    *number = levels->count++;
    return HERMES_OK;
}

static void free_level(struct levels *levels, uint32_t number)
{
    levels->levels[number].next_free = levels->free;
    levels->free = number;
}

static int make_level(struct levels *levels, uint32_t side, uint32_t price, uint32_t *number)
{
    int rc = new_level(levels, number);
    if (rc < 0)
        return rc;
    levels->levels[*number] = (struct level){.side = side, .price = price};
    rc = hash_put(&levels->by_price, key_of(side, price), *number);
    if (rc == 0 && (rc = heap_push(&levels->sides[side], entry_of(side, price, *number))) < 0)
        hash_remove(&levels->by_price, key_of(side, price));
    if (rc < 0)
        free_level(levels, *number);
    return rc;
}

int levels_add(struct levels *levels, uint32_t side, uint32_t price, uint32_t shares, uint32_t *number)
{
    *number = (uint32_t)hash_get(&levels->by_price, key_of(side, price));
    int rc = *number != 0 ? HERMES_OK : make_level(levels, side, price, number);
    if (rc == 0)
        levels->levels[*number].shares += shares;
    return rc;
}

const struct level *levels_best(struct levels *levels, uint32_t side)
{
    struct levels_heap *heap = &levels->sides[side];
    while (heap->count > 0) {
        uint32_t number = (uint32_t)heap->entries[0];
        struct level *level = &levels->levels[number];
        if (level->shares > 0)
            return level;
        heap_pop(heap);
        hash_remove(&levels->by_price, key_of(side, level->price));
        free_level(levels, number);
    }
    return NULL;
}
