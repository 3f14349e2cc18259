#include "bench/arrivals.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The bursts of a market feed. Of the gaps between the order events of a liquid share on an ordinary morning
 * seven in ten lie inside a burst, log-uniform between 1/16,000 and 1/33 of the mean gap; the rest are the
 * waits between bursts, exponential, and three times the mean.
 */
#define IN_A_BURST 0.7
#define SHORTEST 6e-5
#define LONGEST 3e-2

/* The mean of what is log-uniform between two bounds. */
#define MEAN_IN_A_BURST ((LONGEST - SHORTEST) / log(LONGEST / SHORTEST))

/* xorshift64*, as a fraction above 0 and at most 1. */
static double fraction(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return ((double)((*seed * 0x2545f4914f6cdd1du) >> 11) + 1) / 9007199254740992.0;
}

static double exponential(uint64_t *seed)
{
    return -log(fraction(seed));
}

static double market_gap(uint64_t *seed)
{
    if (fraction(seed) <= IN_A_BURST)
        return SHORTEST * pow(LONGEST / SHORTEST, fraction(seed));
    return exponential(seed) * (1 - IN_A_BURST * MEAN_IN_A_BURST) / (1 - IN_A_BURST);
}

/* The next gap, as a share of the mean one. */
static double next_gap(struct arrivals *arrivals)
{
    if (arrivals->gaps != NULL)
        return arrivals->gaps[arrivals->next++ % arrivals->count];
    if (strcmp(arrivals->name, "poisson") == 0)
        return exponential(&arrivals->seed);
    if (strcmp(arrivals->name, "quotes") == 0)
        return market_gap(&arrivals->seed);
    return 1;
}

void arrivals_fill(struct arrivals *arrivals, double per_second, uint64_t *due_ns, size_t count)
{
    double mean_ns = 1e9 / per_second, at = 0;
    for (size_t i = 0; i < count; i++) {
        at += next_gap(arrivals) * mean_ns;
        due_ns[i] = (uint64_t)at;
    }
}

static int read_gaps(struct arrivals *arrivals, FILE *file)
{
    char *line = NULL, *end;
    size_t room = 0, capacity = 0;
    double before = 0, first = 0;
    int rc = 0;
    for (bool begun = false; rc == 0 && getline(&line, &room, file) > 0;) {
        double at = strtod(line, &end);
        if (end == line || !isfinite(at))
            continue;
        if (!begun) {
            begun = true;
            first = before = at;
            continue;
        }
        if (arrivals->count == capacity) {
            capacity = capacity == 0 ? 1024 : 2 * capacity;
            double *more = reallocarray(arrivals->gaps, capacity, sizeof *more);
            if (more == NULL) {
                rc = -ENOMEM;
                break;
            }
            arrivals->gaps = more;
        }
        if (at < before)
            rc = -EINVAL;
        arrivals->gaps[arrivals->count++] = at - before;
        before = at;
    }
    free(line);
    if (rc != 0 || before <= first)
        return rc != 0 ? rc : -EINVAL;
    for (size_t i = 0; i < arrivals->count; i++)
        arrivals->gaps[i] *= (double)arrivals->count / (before - first);
    return 0;
}

int arrivals_open(struct arrivals *arrivals, const char *name)
{
    *arrivals = (struct arrivals){.name = name, .seed = 0x9e3779b97f4a7c15u};
    if (strcmp(name, "even") == 0 || strcmp(name, "poisson") == 0 || strcmp(name, "quotes") == 0)
        return 0;
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return -errno;
    int rc = read_gaps(arrivals, file);
    fclose(file);
    const char *slash = strrchr(name, '/');
    arrivals->name = slash != NULL ? slash + 1 : name;
    if (rc != 0)
        arrivals_close(arrivals);
    return rc;
}

void arrivals_close(struct arrivals *arrivals)
{
    free(arrivals->gaps);
    arrivals->gaps = NULL;
}
