/*
 * How long one of many waits before it asks for what probably all have lost: the truncated exponential
 * distribution of RFC 5401, section 3.2.1. Few draw a short time and ask, and the many others hear them
 * before theirs is over.
 */
#ifndef MIRROR_BACKOFF_H
#define MIRROR_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_ROUND_TRIPS = 4 }; /* K of RFC 5401: the longest wait, in round trips of the group */

/* 0 to most_ns, for one of so many (1 or more). random: any 64 bits. Integers alone, so that a seed tells the
 * same story on every machine. */
uint64_t backoff_ns(uint64_t random, uint64_t most_ns, uint32_t receivers);

#endif
