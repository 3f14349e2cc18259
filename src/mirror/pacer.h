/*
 * A token bucket, told as a time (the virtual scheduling of ITU-T I.371): each byte sent moves the time at
 * which the bucket is full again, and who is further ahead of now than the burst takes must wait.
 */
#ifndef MIRROR_PACER_H
#define MIRROR_PACER_H

#include <stdint.h>

struct pacer {
    uint64_t full_ns;     /* then it would be full */
    uint64_t bytes_per_s; /* 0: as fast as it goes */
    uint64_t burst_bytes;
};

/* bytes: less than 2^34. */
static inline uint64_t pacer_takes_ns(const struct pacer *pacer, uint64_t bytes)
{
    return pacer->bytes_per_s == 0 ? 0 : bytes * 1000000000u / pacer->bytes_per_s;
}

/* When something may be sent; now or before: at once. */
static inline uint64_t pacer_ready_ns(const struct pacer *pacer)
{
    uint64_t burst_ns = pacer_takes_ns(pacer, pacer->burst_bytes);
    return pacer->full_ns > burst_ns ? pacer->full_ns - burst_ns : 0;
}

static inline void pacer_take(struct pacer *pacer, uint64_t now_ns, uint64_t bytes)
{
    uint64_t from = pacer->full_ns > now_ns ? pacer->full_ns : now_ns;
    pacer->full_ns = from + pacer_takes_ns(pacer, bytes);
}

#endif
