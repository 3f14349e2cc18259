/*
 * A log-linear histogram of nanoseconds: exact below 128, then within 1/64 (1.6 %) to 2^40 ns
 * (18 minutes). Fixed size, no allocation, one writer. Layout after Gil Tene's HdrHistogram; the
 * percentile export is its .hgrm text, which the usual plotters read.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t minimum;
    uint64_t maximum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *histogram);
void histogram_add(struct histogram *histogram, const struct histogram *other);

/* The largest value of the bucket below which a share of quantile (0 to 1) of the values lies. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

void histogram_write_hgrm(const struct histogram *histogram, FILE *file);

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < (2u << HISTOGRAM_SUB_BITS))
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    unsigned bucket = (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->buckets[histogram_bucket(value)]++;
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->minimum)
        histogram->minimum = value;
    if (value > histogram->maximum)
        histogram->maximum = value;
}

#endif
