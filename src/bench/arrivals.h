/*
 * When messages are due: at even intervals, at random (Poisson), in the bursts of a market feed, or as a file
 * has them. The same schedule each time: nothing here depends on a clock.
 */
#ifndef BENCH_ARRIVALS_H
#define BENCH_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

struct arrivals {
    const char *name; /* even, poisson, quotes, or a file's */
    uint64_t seed;
    double *gaps; /* of a file, as shares of their mean; else NULL */
    size_t count, next;
};

/* name: even, poisson or quotes; else a text file whose lines begin with times in seconds, none smaller than
 * the one before (what follows a time is not read; lines that begin with no time are passed over). 0; -errno;
 * or -EINVAL for a file without two times. */
int arrivals_open(struct arrivals *arrivals, const char *name);
void arrivals_close(struct arrivals *arrivals);

/* When count messages are due, in nanoseconds from a start, at a mean rate. The next call goes on with the
 * pattern. */
void arrivals_fill(struct arrivals *arrivals, double per_second, uint64_t *due_ns, size_t count);

#endif
