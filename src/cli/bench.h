/*
 * What the benchmarks share: two pinned processes, the bare cache line to compare with, and results.
 * A latency is worth nothing here without the line beside it: where the two cores are changes under
 * the program.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <sys/types.h>

#include "base/histogram.h"
#include "base/wait.h"
#include "cli/cli.h"

struct bench_result {
    char name[64];
    uint64_t size_bytes;
    double rtt_p50_ns, rtt_p99_ns, line_rtt_ns, ratio_to_line;
    double messages_per_second, ns_per_operation, bytes_per_second;
    bool unsteady; /* the line moved by more than 20 % in all tries */
};

struct bench {
    bool json;
    FILE *hgrm;
    uint64_t scale; /* percent of the usual amount of work */
    unsigned count;
    struct bench_result results[64];
};

void bench_ring(struct bench *bench);
void bench_codec(struct bench *bench);
void bench_log(struct bench *bench);
void bench_store(struct bench *bench);
void bench_topic(struct bench *bench);

/* A result to fill in; printed by bench_print() when it is complete. */
struct bench_result *bench_add(struct bench *bench, const char *name, uint64_t size_bytes);
void bench_print(const struct bench *bench, const struct bench_result *result);

/* Pins this thread: side 0 to the first, side 1 to the second of the CPUs that the process may use. */
void bench_pin(int side);

/* Shared, zeroed, prefaulted memory that a child inherits. */
void *bench_shared(size_t bytes);

/* Runs body in a child, pinned to the other CPU. */
pid_t bench_child(void (*body)(void *context), void *context);
void bench_join(pid_t pid);

/* Median round trip of one cache line each way, the better of with and without `pause`. */
double bench_line_rtt(void);

/*
 * Runs measure, which fills in a histogram of round trips, between two measurements of the line;
 * repeats, up to eight times, where they differ by more than 20 %.
 */
void bench_latency(struct bench *bench, const char *name, uint64_t size_bytes,
                   void (*measure)(void *context, struct histogram *histogram), void *context);

/* Reads every byte, so that a message counts only when it has arrived. */
static inline uint64_t bench_read(const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    uint64_t sum = 0, word;
    for (; length >= 8; length -= 8, p += 8) {
        memcpy(&word, p, 8);
        sum += word;
    }
    while (length-- > 0)
        sum += *p++;
    return sum;
}

/* Keeps a value from being optimised away. */
static inline void bench_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

#endif
