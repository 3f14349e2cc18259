#include "mirror/backoff.h"

enum { ONE = 1 << 16, E = 178145 /* e, in 65,536ths */ };

/* Binary logarithm of a number of 65,536ths, not below one, in 65,536ths: a digit by squaring (Knuth, The Art
 * of Computer Programming, 1.2.2, exercise 25). */
static uint64_t log2_of(uint64_t value)
{
    uint64_t result = 0;
    for (; value >= 2 * ONE; value >>= 1)
        result += ONE;
    for (uint64_t digit = ONE / 2; digit >= 16; digit /= 2) {
        value = value * value >> 16;
        if (value >= 2 * ONE) {
            value >>= 1;
            result += digit;
        }
    }
    return result;
}

/*
 * The RFC draws x evenly between λ/(T·(e^λ - 1)) and that + λ/T, and waits T/λ·ln(x·(e^λ - 1)·T/λ), with
 * λ = ln(R) + 1. With u evenly in 0…1 that is T·log(1 + u·(eR - 1))/log(eR), of whatever base.
 */
uint64_t backoff_ns(uint64_t random, uint64_t most_ns, uint32_t receivers)
{
    uint64_t group = (uint64_t)E * (receivers == 0 ? 1 : receivers < ONE ? receivers : ONE);
    uint64_t even = random >> 48;
    return most_ns * log2_of(ONE + (group - ONE) * even / ONE) / log2_of(group);
}
