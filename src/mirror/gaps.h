/*
 * What a receiver misses: stretches of the log, in ascending order, none touching another's bytes.
 *
 * New ones are noticed behind all others, and the first are closed first. So they stand in a ring of fixed
 * size, and one that is closed or split in the middle moves the shorter side. Finding takes log2 of how many
 * there are.
 */
#ifndef MIRROR_GAPS_H
#define MIRROR_GAPS_H

#include <stdbool.h>
#include <stdint.h>

enum { GAPS_MAX = 4096 }; /* 192 KiB */

struct gap {
    uint64_t begin, end;
    uint64_t number;     /* the sender's latest when it was noticed: what has a lower one was only late */
    uint64_t noticed_ns; /* when that was */
    uint64_t due_ns;     /* when to ask for it */
    uint64_t asked;      /* how often that was done, by whomever */
};

struct gaps {
    uint32_t first, count;
    struct gap ring[GAPS_MAX];
};

static inline struct gap *gaps_at(struct gaps *gaps, uint32_t index)
{
    return &gaps->ring[(gaps->first + index) % GAPS_MAX];
}

/* Behind all others. false: there is no room. */
bool gaps_append(struct gaps *gaps, const struct gap *gap);

/* The first that ends behind position; count: none. */
uint32_t gaps_find(struct gaps *gaps, uint64_t position);

/* What is missing no more. Returns how many of these bytes were; -1: it would split one, and there is no room
 * for that. Nothing has changed then. */
int64_t gaps_close(struct gaps *gaps, uint64_t begin, uint64_t end);

#endif
