/* hermes bench mpmc: the ring of many producers and many consumers. */
#include <sched.h>
#include <sys/mman.h>

#include "bench/bench.h"
#include "hermes/mpmc.h"

enum { CAPACITY = 4096, LARGEST = 64, BATCH = 32 };

struct rings {
    void *there, *back;
    size_t bytes;
    uint32_t flags;
    uint64_t count;
    uint64_t rounds;
};

/* By value: see bench_ring.c. */
static hermes_mpmc_t attach(const struct rings *r, void *memory)
{
    hermes_mpmc_t ring;
    hermes_mpmc_attach(&ring, memory, r->bytes);
    return ring;
}

/* As a program would that has more threads than cores: a while without sleeping, then it lets others run. */
static inline void idle(unsigned *turns)
{
    if (++*turns % 64 == 0)
        sched_yield();
    else
        cpu_relax();
}

#define MPMC_BENCH(SIZE)                                                                                     \
    static void produce_##SIZE(void *context)                                                                \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8] = {0};                                                                    \
        hermes_mpmc_t ring = attach(r, r->there);                                                            \
        unsigned turns = 0;                                                                                  \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element[0] = i;                                                                                  \
            while (!hermes_mpmc_push(&ring, element, SIZE))                                                  \
                idle(&turns);                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void produce_here_##SIZE(void *context)                                                           \
    {                                                                                                        \
        bench_pin(0);                                                                                        \
        produce_##SIZE(context);                                                                             \
    }                                                                                                        \
    static void consume_##SIZE(void *context)                                                                \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8], sum = 0;                                                                 \
        hermes_mpmc_t ring = attach(r, r->there);                                                            \
        unsigned turns = 0;                                                                                  \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            while (!hermes_mpmc_pop(&ring, element, SIZE))                                                   \
                idle(&turns);                                                                                \
            sum += bench_read(element, SIZE);                                                                \
        }                                                                                                    \
        bench_keep(sum);                                                                                     \
    }                                                                                                        \
    static void echo_##SIZE(void *context)                                                                   \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8];                                                                          \
        hermes_mpmc_t there = attach(r, r->there), back = attach(r, r->back);                                \
        for (uint64_t i = 0; i < r->rounds; i++) {                                                           \
            while (!hermes_mpmc_pop(&there, element, SIZE))                                                  \
                cpu_relax();                                                                                 \
            bench_keep(bench_read(element, SIZE));                                                           \
            hermes_mpmc_push(&back, element, SIZE);                                                          \
        }                                                                                                    \
    }                                                                                                        \
    static void rtt_##SIZE(void *context, struct histogram *histogram)                                       \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8] = {0};                                                                    \
        hermes_mpmc_init(r->there, r->bytes, SIZE, CAPACITY, r->flags);                                      \
        hermes_mpmc_init(r->back, r->bytes, SIZE, CAPACITY, r->flags);                                       \
        hermes_mpmc_t there = attach(r, r->there), back = attach(r, r->back);                                \
        pid_t child = bench_child(echo_##SIZE, r);                                                           \
        for (uint64_t i = 0; i < r->rounds; i++) {                                                           \
            element[0] = i;                                                                                  \
            uint64_t start = cli_now_ns();                                                                   \
            hermes_mpmc_push(&there, element, SIZE);                                                         \
            while (!hermes_mpmc_pop(&back, element, SIZE))                                                   \
                cpu_relax();                                                                                 \
            bench_keep(bench_read(element, SIZE));                                                           \
            histogram_record(histogram, cli_now_ns() - start);                                               \
        }                                                                                                    \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static double pair_##SIZE(struct rings *r)                                                               \
    {                                                                                                        \
        uint64_t element[SIZE / 8] = {0}, popped[SIZE / 8] = {0};                                            \
        hermes_mpmc_init(r->there, r->bytes, SIZE, CAPACITY, r->flags);                                      \
        hermes_mpmc_t ring = attach(r, r->there);                                                            \
        uint64_t start = cli_now_ns();                                                                       \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element[0] = i;                                                                                  \
            hermes_mpmc_push(&ring, element, SIZE);                                                          \
            hermes_mpmc_pop(&ring, popped, SIZE);                                                            \
            bench_keep(bench_read(popped, SIZE));                                                            \
        }                                                                                                    \
        return (double)(cli_now_ns() - start) / (double)r->count;                                            \
    }                                                                                                        \
    static void one_and_one_##SIZE(struct bench_result *result, void *context)                               \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        hermes_mpmc_init(r->there, r->bytes, SIZE, CAPACITY, r->flags);                                      \
        pid_t child = bench_child(produce_##SIZE, r);                                                        \
        uint64_t start = cli_now_ns();                                                                       \
        consume_##SIZE(r);                                                                                   \
        result->messages_per_second = (double)r->count * 1e9 / (double)(cli_now_ns() - start);               \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static void two_and_two_##SIZE(struct bench_result *result, void *context)                               \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        hermes_mpmc_init(r->there, r->bytes, SIZE, CAPACITY, r->flags);                                      \
        uint64_t start = cli_now_ns();                                                                       \
        pid_t children[3] = {bench_child(produce_##SIZE, r), bench_child(produce_here_##SIZE, r),            \
                             bench_child(consume_##SIZE, r)};                                                \
        consume_##SIZE(r);                                                                                   \
        for (int i = 0; i < 3; i++)                                                                          \
            bench_join(children[i]);                                                                         \
        result->messages_per_second = 2 * (double)r->count * 1e9 / (double)(cli_now_ns() - start);           \
    }                                                                                                        \
    static void all_##SIZE(struct bench *bench, struct rings *r)                                             \
    {                                                                                                        \
        struct bench_result *result = bench_add(bench, "mpmc push+pop, one thread", SIZE);                   \
        result->ns_per_operation = pair_##SIZE(r);                                                           \
        bench_print(bench, result);                                                                          \
        result = bench_add(bench, "mpmc across cores, one at a time", SIZE);                                 \
        bench_beside_the_line(result, one_and_one_##SIZE, r);                                                \
        bench_print(bench, result);                                                                          \
        result = bench_add(bench, "mpmc two and two on two cores", SIZE);                                    \
        bench_beside_the_line(result, two_and_two_##SIZE, r);                                                \
        bench_print(bench, result);                                                                          \
        bench_latency(bench, "mpmc round trip", SIZE, rtt_##SIZE, r);                                        \
    }

MPMC_BENCH(8)
MPMC_BENCH(64)

/* The variants: who is alone does not pay for the others. */
static void variants(struct bench *bench, struct rings *r)
{
    static const char *const names[4] = {NULL, "mpmc, one producer push+pop", "mpmc, one consumer push+pop",
                                         "mpmc, one and one push+pop"};
    for (r->flags = 1; r->flags < 4; r->flags++) {
        struct bench_result *result = bench_add(bench, names[r->flags], 8);
        result->ns_per_operation = pair_8(r);
        bench_print(bench, result);
    }
    r->flags = 0;
}

static void batches(struct bench *bench, struct rings *r)
{
    uint64_t elements[BATCH] = {0};
    hermes_mpmc_init(r->there, r->bytes, 8, CAPACITY, 0);
    hermes_mpmc_t ring = attach(r, r->there);
    struct bench_result *result = bench_add(bench, "mpmc push+pop, batches of 32", 8);
    uint64_t start = cli_now_ns();
    for (uint64_t i = 0; i < r->count; i += BATCH) {
        hermes_mpmc_push_many(&ring, elements, BATCH, 8);
        hermes_mpmc_pop_many(&ring, elements, BATCH, 8);
        bench_keep(bench_read(elements, sizeof elements));
    }
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)r->count;
    bench_print(bench, result);
}

void bench_mpmc(struct bench *bench)
{
    struct rings r = {.bytes = hermes_mpmc_bytes(LARGEST, CAPACITY),
                      .count = 100000 * bench->scale,
                      .rounds = 1000 * bench->scale};
    r.there = bench_shared(r.bytes);
    r.back = bench_shared(r.bytes);
    all_8(bench, &r);
    all_64(bench, &r);
    variants(bench, &r);
    batches(bench, &r);
    munmap(r.there, r.bytes);
    munmap(r.back, r.bytes);
}
