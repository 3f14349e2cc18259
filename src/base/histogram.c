#include "base/histogram.h"

#include <math.h>
#include <string.h>

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->minimum = UINT64_MAX;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
    histogram->count += other->count;
    histogram->sum += other->sum;
    if (other->minimum < histogram->minimum)
        histogram->minimum = other->minimum;
    if (other->maximum > histogram->maximum)
        histogram->maximum = other->maximum;
}

static uint64_t bucket_last(unsigned bucket)
{
    if (bucket < (2u << HISTOGRAM_SUB_BITS))
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t mantissa = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((mantissa + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return 0;
    uint64_t wanted = (uint64_t)ceil(quantile * (double)histogram->count);
    if (wanted == 0)
        wanted = 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted) {
            uint64_t value = bucket_last(i);
            return value < histogram->maximum ? value : histogram->maximum;
        }
    }
    return histogram->maximum;
}

void histogram_write_hgrm(const struct histogram *histogram, FILE *file)
{
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && seen < histogram->count; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        seen += histogram->buckets[i];
        double share = (double)seen / (double)histogram->count;
        fprintf(file, "%12llu %2.12f %10llu", (unsigned long long)bucket_last(i), share,
                (unsigned long long)seen);
        if (seen < histogram->count)
            fprintf(file, " %14.2f\n", 1 / (1 - share));
        else
            fprintf(file, "\n");
    }
    double mean = histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
    fprintf(file, "#[Mean = %.3f, Max = %llu, Total count = %llu]\n", mean,
            (unsigned long long)histogram->maximum, (unsigned long long)histogram->count);
}
