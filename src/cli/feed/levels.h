/*
 * Price levels: how many shares are offered at each price of each side of each stock, and the best price of a
 * side at once. A level is found by its price in a hash table; the levels of a side stand in a heap, where
 * one that has become empty is taken out once it comes to the top. So each change costs no more than the
 * logarithm of the number of levels, however they come.
 */
#ifndef CLI_FEED_LEVELS_H
#define CLI_FEED_LEVELS_H

#include "cli/feed/hash.h"

/* The number of a side: twice the stock's, and 1 more for those who sell. */
static inline uint32_t levels_side(uint16_t stock, bool sells)
{
    return 2u * stock + sells;
}

struct level {
    uint32_t side, price;
    uint64_t shares;
    uint32_t next_free; /* of levels that are not in use */
};

struct levels_heap {
    uint64_t *entries; /* the price, so that the best is the smallest, above the number of the level */
    uint32_t count, room;
};

struct levels {
    struct hash by_price;
    struct levels_heap *sides;
    struct level *levels; /* number 0 is none */
    uint32_t count, room, free;
};

int levels_open(struct levels *levels); /* HERMES_ENOMEM; then there is nothing to close */
void levels_close(struct levels *levels);

/* More shares (not 0) at a price: *number is that of the level, which keeps it while it has shares.
 * HERMES_ENOMEM. */
int levels_add(struct levels *levels, uint32_t side, uint32_t price, uint32_t shares, uint32_t *number);

/* Fewer of them: at most those that were added to it. */
static inline void levels_reduce(struct levels *levels, uint32_t number, uint32_t shares)
{
    levels->levels[number].shares -= shares;
}

/* The best level of a side: valid until the next change. NULL: nobody offers there. */
const struct level *levels_best(struct levels *levels, uint32_t side);

#endif
