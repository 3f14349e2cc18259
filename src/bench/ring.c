/* hermes bench ring, and codec: what runs without any shared state of the log. */
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/bench.h"

enum { CAPACITY = 4096, BATCH = 32, LARGEST = 64, LARGEST_RING = CAPACITY * (LARGEST + 8) };

struct rings {
    void *there, *back; /* two rings in shared memory */
    size_t bytes;
    uint64_t count;
    uint64_t rounds;
};

/* By value: a handle whose address nobody has can live in registers. */
#define ATTACH(kind, side)                                                                                   \
    static hermes_spsc_##side##_t kind##_##side(void *memory, size_t bytes)                                  \
    {                                                                                                        \
        hermes_spsc_##side##_t handle;                                                                       \
        hermes_##kind##_##side##_attach(&handle, memory, bytes);                                             \
        return handle;                                                                                       \
    }

ATTACH(spsc, producer)
ATTACH(spsc, consumer)
ATTACH(slot, producer)
ATTACH(slot, consumer)

/*
 * The same code for both rings and for each size: the size has to be a constant, as it is in programs.
 */
#define RING_BENCH(kind, SIZE)                                                                               \
    static void kind##_produce_##SIZE(void *context)                                                         \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8] = {0};                                                                    \
        hermes_spsc_producer_t p = kind##_producer(r->there, r->bytes);                                      \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element[0] = i;                                                                                  \
            while (!hermes_##kind##_push(&p, element, SIZE))                                                 \
                cpu_relax();                                                                                 \
        }                                                                                                    \
    }                                                                                                        \
    static void kind##_consume_##SIZE(struct rings *r)                                                       \
    {                                                                                                        \
        uint64_t element[SIZE / 8], sum = 0;                                                                 \
        hermes_spsc_consumer_t c = kind##_consumer(r->there, r->bytes);                                      \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            while (!hermes_##kind##_pop(&c, element, SIZE))                                                  \
                cpu_relax();                                                                                 \
            sum += bench_read(element, SIZE);                                                                \
        }                                                                                                    \
        bench_keep(sum);                                                                                     \
    }                                                                                                        \
    static void kind##_echo_##SIZE(void *context)                                                            \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8];                                                                          \
        hermes_spsc_consumer_t c = kind##_consumer(r->there, r->bytes);                                      \
        hermes_spsc_producer_t p = kind##_producer(r->back, r->bytes);                                       \
        for (uint64_t i = 0; i < r->rounds; i++) {                                                           \
            while (!hermes_##kind##_pop(&c, element, SIZE))                                                  \
                cpu_relax();                                                                                 \
            bench_keep(bench_read(element, SIZE));                                                           \
            hermes_##kind##_push(&p, element, SIZE);                                                         \
        }                                                                                                    \
    }                                                                                                        \
    static void kind##_rtt_##SIZE(void *context, struct histogram *histogram)                                \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t element[SIZE / 8] = {0};                                                                    \
        hermes_##kind##_init(r->there, r->bytes, SIZE, CAPACITY);                                            \
        hermes_##kind##_init(r->back, r->bytes, SIZE, CAPACITY);                                             \
        hermes_spsc_producer_t p = kind##_producer(r->there, r->bytes);                                      \
        hermes_spsc_consumer_t c = kind##_consumer(r->back, r->bytes);                                       \
        pid_t child = bench_child(kind##_echo_##SIZE, r);                                                    \
        for (uint64_t i = 0; i < r->rounds; i++) {                                                           \
            element[0] = i;                                                                                  \
            uint64_t start = cli_now_ns();                                                                   \
            hermes_##kind##_push(&p, element, SIZE);                                                         \
            while (!hermes_##kind##_pop(&c, element, SIZE))                                                  \
                cpu_relax();                                                                                 \
            bench_keep(bench_read(element, SIZE));                                                           \
            histogram_record(histogram, cli_now_ns() - start);                                               \
        }                                                                                                    \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static double kind##_pair_##SIZE(struct rings *r)                                                        \
    {                                                                                                        \
        uint64_t element[SIZE / 8] = {0}, popped[SIZE / 8] = {0};                                            \
        hermes_##kind##_init(r->there, r->bytes, SIZE, CAPACITY);                                            \
        hermes_spsc_producer_t p = kind##_producer(r->there, r->bytes);                                      \
        hermes_spsc_consumer_t c = kind##_consumer(r->there, r->bytes);                                      \
        uint64_t start = cli_now_ns();                                                                       \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element[0] = i;                                                                                  \
            hermes_##kind##_push(&p, element, SIZE);                                                         \
            hermes_##kind##_pop(&c, popped, SIZE);                                                           \
            bench_keep(bench_read(popped, SIZE));                                                            \
        }                                                                                                    \
        return (double)(cli_now_ns() - start) / (double)r->count;                                            \
    }                                                                                                        \
    static void kind##_across_##SIZE(struct bench_result *result, void *context)                             \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        hermes_##kind##_init(r->there, r->bytes, SIZE, CAPACITY);                                            \
        pid_t child = bench_child(kind##_produce_##SIZE, r);                                                 \
        uint64_t start = cli_now_ns();                                                                       \
        kind##_consume_##SIZE(r);                                                                            \
        result->messages_per_second = (double)r->count * 1e9 / (double)(cli_now_ns() - start);               \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static void kind##_all_##SIZE(struct bench *bench, struct rings *r)                                      \
    {                                                                                                        \
        struct bench_result *result = bench_add(bench, #kind " push+pop, one thread", SIZE);                 \
        result->ns_per_operation = kind##_pair_##SIZE(r);                                                    \
        bench_print(bench, result);                                                                          \
        result = bench_add(bench, #kind " across cores, one at a time", SIZE);                               \
        bench_beside_the_line(result, kind##_across_##SIZE, r);                                              \
        bench_print(bench, result);                                                                          \
        bench_latency(bench, #kind " round trip", SIZE, kind##_rtt_##SIZE, r);                               \
    }

RING_BENCH(spsc, 8)
RING_BENCH(spsc, 64)
RING_BENCH(slot, 8)
RING_BENCH(slot, 64)

/* The ring whose type and capacity the compiler knows, in the same memory. */
#define TYPED_BENCH(SIZE)                                                                                    \
    typedef struct {                                                                                         \
        uint64_t words[SIZE / 8];                                                                            \
    } words_##SIZE##_t;                                                                                      \
    HERMES_SPSC_DEFINE(typed_##SIZE, words_##SIZE##_t, CAPACITY);                                            \
    HERMES_STATIC_ASSERT(SIZE <= LARGEST && sizeof(typed_##SIZE##_t) <= LARGEST_RING, "it fits");            \
    static void typed_produce_##SIZE(void *context)                                                          \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        words_##SIZE##_t element = {{0}};                                                                    \
        typed_##SIZE##_producer_t p = typed_##SIZE##_producer(r->there);                                     \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element.words[0] = i;                                                                            \
            while (!typed_##SIZE##_push(&p, &element))                                                       \
                cpu_relax();                                                                                 \
        }                                                                                                    \
    }                                                                                                        \
    static double typed_pair_##SIZE(struct rings *r)                                                         \
    {                                                                                                        \
        words_##SIZE##_t element = {{0}}, popped = {{0}};                                                    \
        typed_##SIZE##_producer_t p = typed_##SIZE##_producer(r->there);                                     \
        typed_##SIZE##_consumer_t c = typed_##SIZE##_consumer(r->there);                                     \
        uint64_t start = cli_now_ns();                                                                       \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            element.words[0] = i;                                                                            \
            typed_##SIZE##_push(&p, &element);                                                               \
            typed_##SIZE##_pop(&c, &popped);                                                                 \
            bench_keep(bench_read(&popped, SIZE));                                                           \
        }                                                                                                    \
        return (double)(cli_now_ns() - start) / (double)r->count;                                            \
    }                                                                                                        \
    static void typed_across_##SIZE(struct bench_result *result, void *context)                              \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        memset(r->there, 0, sizeof(typed_##SIZE##_t));                                                       \
        typed_##SIZE##_consumer_t c = typed_##SIZE##_consumer(r->there);                                     \
        words_##SIZE##_t element;                                                                            \
        uint64_t sum = 0;                                                                                    \
        pid_t child = bench_child(typed_produce_##SIZE, r);                                                  \
        uint64_t start = cli_now_ns();                                                                       \
        for (uint64_t i = 0; i < r->count; i++) {                                                            \
            while (!typed_##SIZE##_pop(&c, &element))                                                        \
                cpu_relax();                                                                                 \
            sum += bench_read(&element, SIZE);                                                               \
        }                                                                                                    \
        result->messages_per_second = (double)r->count * 1e9 / (double)(cli_now_ns() - start);               \
        bench_keep(sum);                                                                                     \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static void typed_all_##SIZE(struct bench *bench, struct rings *r)                                       \
    {                                                                                                        \
        memset(r->there, 0, sizeof(typed_##SIZE##_t));                                                       \
        struct bench_result *result = bench_add(bench, "typed push+pop, one thread", SIZE);                  \
        result->ns_per_operation = typed_pair_##SIZE(r);                                                     \
        bench_print(bench, result);                                                                          \
        result = bench_add(bench, "typed across cores, one at a time", SIZE);                                \
        bench_beside_the_line(result, typed_across_##SIZE, r);                                               \
        bench_print(bench, result);                                                                          \
    }

TYPED_BENCH(8)
TYPED_BENCH(64)

#define BATCH_BENCH(SIZE)                                                                                    \
    static void batch_produce_##SIZE(void *context)                                                          \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        static uint64_t elements[BATCH * SIZE / 8];                                                          \
        hermes_spsc_producer_t p = spsc_producer(r->there, r->bytes);                                        \
        for (uint64_t done = 0; done < r->count;) {                                                          \
            elements[0] = done;                                                                              \
            uint64_t pushed = hermes_spsc_push_many(&p, elements, BATCH, SIZE);                              \
            done += pushed;                                                                                  \
            if (pushed == 0)                                                                                 \
                cpu_relax();                                                                                 \
        }                                                                                                    \
    }                                                                                                        \
    static void batch_consume_##SIZE(struct bench_result *result, void *context)                             \
    {                                                                                                        \
        struct rings *r = context;                                                                           \
        uint64_t sum = 0, done = 0;                                                                          \
        hermes_spsc_init(r->there, r->bytes, SIZE, CAPACITY);                                                \
        hermes_spsc_consumer_t c = spsc_consumer(r->there, r->bytes);                                        \
        pid_t child = bench_child(batch_produce_##SIZE, r);                                                  \
        uint64_t start = cli_now_ns();                                                                       \
        while (done < r->count) {                                                                            \
            const void *span;                                                                                \
            uint64_t count = hermes_spsc_peek(&c, BATCH, SIZE, &span);                                       \
            if (count == 0) {                                                                                \
                cpu_relax();                                                                                 \
                continue;                                                                                    \
            }                                                                                                \
            sum += bench_read(span, count * SIZE);                                                           \
            hermes_spsc_release(&c, count);                                                                  \
            done += count;                                                                                   \
        }                                                                                                    \
        result->messages_per_second = (double)done * 1e9 / (double)(cli_now_ns() - start);                   \
        bench_keep(sum);                                                                                     \
        bench_join(child);                                                                                   \
    }                                                                                                        \
    static void batch_##SIZE(struct bench *bench, struct rings *r)                                           \
    {                                                                                                        \
        struct bench_result *result = bench_add(bench, "spsc across cores, batches of 32", SIZE);            \
        bench_beside_the_line(result, batch_consume_##SIZE, r);                                              \
        bench_print(bench, result);                                                                          \
    }

BATCH_BENCH(8)
BATCH_BENCH(64)

void bench_ring(struct bench *bench)
{
    struct rings r = {.bytes = hermes_slot_bytes(LARGEST, CAPACITY),
                      .count = 200000 * bench->scale,
                      .rounds = 1000 * bench->scale};
    r.there = bench_shared(r.bytes);
    r.back = bench_shared(r.bytes);
    spsc_all_8(bench, &r);
    spsc_all_64(bench, &r);
    slot_all_8(bench, &r);
    slot_all_64(bench, &r);
    typed_all_8(bench, &r);
    typed_all_64(bench, &r);
    batch_8(bench, &r);
    batch_64(bench, &r);
    munmap(r.there, r.bytes);
    munmap(r.back, r.bytes);
}

/* ---- codec ---- */

static void codec_size(struct bench *bench, uint32_t size)
{
    static _Alignas(64) uint8_t frame[HERMES_HEADER_BYTES + HERMES_PAYLOAD_MAX];
    hermes_header_t *header = (hermes_header_t *)(void *)frame;
    uint8_t *payload = frame + HERMES_HEADER_BYTES;
    uint64_t rounds = (size < 4096 ? 50000 : 500) * bench->scale, start, sum = 0;
    hermes_clock_t clock;
    hermes_clock_init(&clock);

    struct bench_result *result = bench_add(bench, "encode, checksum and time stamp", size);
    start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        hermes_message_encode(header, payload, size, i, hermes_clock_now(&clock));
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)rounds;
    bench_print(bench, result);

    result = bench_add(bench, "decode", size);
    start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        __asm__ volatile("" : : "r"(header) : "memory");
        sum += (uint64_t)hermes_message_decode(header, sizeof frame);
    }
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)rounds;
    bench_print(bench, result);

    result = bench_add(bench, "verify", size);
    start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        sum += (uint64_t)hermes_message_verify(header, payload, sizeof frame);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)rounds;
    bench_print(bench, result);

    result = bench_add(bench, "restamp", size);
    start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        hermes_message_restamp(header, i, i);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)rounds;
    bench_print(bench, result);
    bench_keep(sum);
}

void bench_codec(struct bench *bench)
{
    codec_size(bench, 64);
    codec_size(bench, 1024);
    codec_size(bench, 65536);
}
