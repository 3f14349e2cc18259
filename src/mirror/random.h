/* Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). Not for secrets. */
#ifndef MIRROR_RANDOM_H
#define MIRROR_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Below limit, which is not 0 and less than 2^32. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return (random_next(state) >> 32) * limit >> 32;
}

#endif
