/*
 * What limits a stream of frames from one core to another: a topic log's window in a hundred lines, with a
 * knob for each thing that may matter. docs/explanation/performance.md tells what came out.
 *
 *     build/release/bin/probe_stream [--realtime] [ROUNDS [PAYLOAD...]]
 *
 * One thread writes frames as publishers do (payload, then the commit word with release; commit words ahead
 * are zeroed), one reads and sums every byte. Nothing is lost: the writer waits for the reader's position.
 * Each round runs every variant once, so that neighbours disturb all of them alike; the table has medians,
 * and the cache line's own round trip before and after each round. --realtime (CAP_SYS_NICE): others' load
 * moves the figures little; nothing else runs on the two cores meanwhile.
 */
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { CAPACITY = 4 << 20, RUN_NS = 12000000, ROUNDS_MOST = 400 };

struct variant {
    const char *name;
    uint32_t zero_ahead;     /* bytes */
    uint32_t prefetch_ahead; /* the writer asks for lines so far ahead, to write; 0: not */
    uint32_t lag;            /* bytes that the reader stays behind while the log moves; 0: reads the head */
    uint32_t pause_ns;       /* the reader waits so long, then reads what was there before; 0: not */
    uint32_t enter_bytes;    /* pause: only after so much without an empty look; 0: always */
    uint32_t empty_pauses;   /* after an empty look */
    bool backwards;          /* payloads are read from their last line to their first */
    bool no_position;        /* the writer does not tell its position */
};

static const struct variant variants[] = {
    {.name = "head", .zero_ahead = 4096, .empty_pauses = 1},
    {.name = "head, no position word", .zero_ahead = 4096, .empty_pauses = 1, .no_position = true},
    {.name = "head, zeroed 512 ahead", .zero_ahead = 512, .empty_pauses = 1},
    {.name = "head, zeroed 32 KiB ahead", .zero_ahead = 32768, .empty_pauses = 1},
    {.name = "head, 16 pauses", .zero_ahead = 4096, .empty_pauses = 16},
    {.name = "head, read backwards", .zero_ahead = 4096, .empty_pauses = 1, .backwards = true},
    {.name = "head, writer prefetches 256", .zero_ahead = 4096, .empty_pauses = 1, .prefetch_ahead = 256},
    {.name = "head, writer prefetches 1024", .zero_ahead = 4096, .empty_pauses = 1, .prefetch_ahead = 1024},
    {.name = "head, writer prefetches 2048", .zero_ahead = 4096, .empty_pauses = 1, .prefetch_ahead = 2048},
    {.name = "lag 1 KiB", .zero_ahead = 4096, .lag = 1024, .empty_pauses = 1},
    {.name = "lag 2 KiB", .zero_ahead = 4096, .lag = 2048, .empty_pauses = 1},
    {.name = "lag 4 KiB", .zero_ahead = 4096, .lag = 4096, .empty_pauses = 1},
    {.name = "lag 8 KiB", .zero_ahead = 4096, .lag = 8192, .empty_pauses = 1},
    {.name = "lag 16 KiB", .zero_ahead = 4096, .lag = 16384, .empty_pauses = 1},
    {.name = "lag 8 KiB, zeroed 512", .zero_ahead = 512, .lag = 8192, .empty_pauses = 1},
    {.name = "lag 4 KiB, zeroed 512", .zero_ahead = 512, .lag = 4096, .empty_pauses = 1},
    {.name = "lag 8 KiB, writer prefetches 1024",
     .zero_ahead = 4096,
     .lag = 8192,
     .empty_pauses = 1,
     .prefetch_ahead = 1024},
    {.name = "pause 250 ns", .zero_ahead = 4096, .pause_ns = 250, .empty_pauses = 1},
    {.name = "pause 500 ns", .zero_ahead = 4096, .pause_ns = 500, .empty_pauses = 1},
    {.name = "pause 800 ns", .zero_ahead = 4096, .pause_ns = 800, .empty_pauses = 1},
    {.name = "pause 500 ns, after 8 KiB",
     .zero_ahead = 4096,
     .pause_ns = 500,
     .enter_bytes = 8192,
     .empty_pauses = 1},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static struct shared {
    _Alignas(4096) uint8_t data[CAPACITY];
    _Alignas(128) _Atomic uint64_t position;
    _Alignas(128) _Atomic uint64_t gate;
    _Alignas(128) _Atomic uint32_t go;
    _Alignas(128) _Atomic uint32_t stop;
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
} * shared;

struct job {
    const struct variant *variant;
    uint32_t payload;
    uint64_t messages;
    uint64_t ns;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t frame_bytes(uint32_t payload)
{
    return (32 + payload + 63) & ~63ull;
}

static _Atomic uint64_t *word_at(uint64_t position)
{
    return (_Atomic uint64_t *)(void *)(shared->data + (position & (CAPACITY - 1)));
}

static unsigned cores[2];
static bool realtime;

/* The first two that this process may use. */
static bool find_cores(void)
{
    cpu_set_t set;
    unsigned found = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return false;
    for (unsigned core = 0; core < CPU_SETSIZE && found < 2; core++)
        if (CPU_ISSET(core, &set))
            cores[found++] = core;
    return found == 2;
}

static void pin(unsigned side)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cores[side], &set);
    struct sched_param priority = {.sched_priority = 50};
    if (sched_setaffinity(0, sizeof set, &set) != 0 ||
        (realtime && sched_setscheduler(0, SCHED_FIFO, &priority) != 0)) {
        perror("a thread of its own core");
        exit(1);
    }
}

static void *write_frames(void *context)
{
    const struct job *job = context;
    const struct variant *v = job->variant;
    uint64_t bytes = frame_bytes(job->payload), position = 0, zeroed = 4096, gate = 0;
    static uint8_t payload[65536];
    pin(1);
    while (atomic_load(&shared->go) == 0)
        ;
    while (atomic_load_explicit(&shared->stop, memory_order_relaxed) == 0) {
        uint64_t offset = position & (CAPACITY - 1);
        if (offset + bytes > CAPACITY) { /* pad, as the window does */
            atomic_store_explicit(word_at(position), 2, memory_order_release);
            position += CAPACITY - offset;
            continue;
        }
        while (position + bytes + v->zero_ahead + 64 > gate + CAPACITY) {
            gate = atomic_load_explicit(&shared->gate, memory_order_acquire);
            if (atomic_load_explicit(&shared->stop, memory_order_relaxed) != 0)
                return NULL;
            if (position + bytes + v->zero_ahead + 64 > gate + CAPACITY)
                _mm_pause();
        }
        for (; zeroed < position + bytes + 64; zeroed += 64)
            atomic_store_explicit(word_at(zeroed), 0, memory_order_relaxed);
        uint8_t *frame = shared->data + offset;
        if (v->prefetch_ahead != 0)
            for (uint64_t at = 0; at < bytes; at += 64)
                __builtin_prefetch(shared->data + ((position + v->prefetch_ahead + at) & (CAPACITY - 1)), 1);
        uint64_t header[3] = {position, job->payload, 7};
        memcpy(frame + 32, payload, job->payload);
        memcpy(frame + 8, header, sizeof header);
        atomic_store_explicit(word_at(position), 1, memory_order_release);
        position += bytes;
        if (!v->no_position)
            atomic_store_explicit(&shared->position, position, memory_order_release);
        for (; zeroed < position + v->zero_ahead; zeroed += 64)
            atomic_store_explicit(word_at(zeroed), 0, memory_order_relaxed);
    }
    return NULL;
}

static uint64_t sum_of(const uint8_t *payload, uint32_t bytes)
{
    uint64_t sum = 0, word;
    for (uint32_t at = 0; at + 8 <= bytes; at += 8) {
        memcpy(&word, payload + at, 8);
        sum += word;
    }
    return sum;
}

static uint64_t read_frame(const uint8_t *frame, uint32_t payload, bool backwards, uint8_t *copy)
{
    if (!backwards) {
        memcpy(copy, frame + 32, payload);
    } else {
        uint32_t at = payload;
        while (at > 0) {
            uint32_t line = (at + 32) % 64 == 0 ? 64 : (at + 32) % 64;
            line = line > at ? at : line;
            at -= line;
            memcpy(copy + at, frame + 32 + at, line);
            __asm__ volatile("" ::: "memory");
        }
    }
    return sum_of(copy, payload);
}

static void *read_frames(void *context)
{
    struct job *job = context;
    const struct variant *v = job->variant;
    uint64_t bytes = frame_bytes(job->payload), position = 0, count = 0, sum = 0, looks = 0, seen = 0,
             still = 0;
    uint64_t until = v->enter_bytes;
    static uint8_t copy[65536];
    pin(0);
    while (atomic_load(&shared->go) == 0)
        ;
    uint64_t start = now_ns(), told = 0;
    for (;;) {
        if ((++looks & 1023) == 0 && now_ns() - start > RUN_NS)
            break;
        if (v->lag != 0 && position >= until) {
            uint64_t end = atomic_load_explicit(&shared->position, memory_order_acquire);
            if (end - position > v->lag) {
                until = end - v->lag;
                still = 0;
            } else if (end == seen && ++still >= 4) {
                until = end;
            } else {
                still = end == seen ? still : 0;
                seen = end;
                for (int i = 0; i < 4; i++)
                    _mm_pause();
                continue;
            }
            seen = end;
            if (position >= until)
                continue;
        }
        if (v->pause_ns != 0 && position >= until) {
            uint64_t end = atomic_load_explicit(&shared->position, memory_order_relaxed), from = now_ns();
            if (end != position && end - position < 16384) {
                while (now_ns() - from < v->pause_ns)
                    _mm_pause();
                until = end;
            } else {
                until = end != position ? end - 8192 : position + 8192;
            }
        }
        uint64_t word = atomic_load_explicit(word_at(position), memory_order_acquire);
        if (word == 0) {
            if (v->enter_bytes != 0)
                until = position + v->enter_bytes;
            for (uint32_t i = 0; i < v->empty_pauses; i++)
                _mm_pause();
            continue;
        }
        if (word == 2) {
            position += CAPACITY - (position & (CAPACITY - 1));
        } else {
            sum += read_frame(shared->data + (position & (CAPACITY - 1)), job->payload, v->backwards, copy);
            position += bytes;
            count++;
        }
        if (position - told >= 65536) {
            atomic_store_explicit(&shared->gate, position, memory_order_release);
            told = position;
        }
    }
    job->ns = now_ns() - start;
    atomic_store(&shared->stop, 1);
    job->messages = count + (sum == 42);
    return NULL;
}

static void *answer_line(void *context)
{
    uint64_t rounds = *(uint64_t *)context;
    pin(1);
    for (uint64_t i = 1; i <= rounds; i++) {
        while (atomic_load_explicit(&shared->ping, memory_order_acquire) != i)
            _mm_pause();
        atomic_store_explicit(&shared->pong, i, memory_order_release);
    }
    return NULL;
}

static void *ask_line(void *context)
{
    uint64_t rounds = *(uint64_t *)context;
    pin(0);
    uint64_t start = 0;
    for (uint64_t i = 1; i <= rounds; i++) {
        if (i == 100)
            start = now_ns();
        atomic_store_explicit(&shared->ping, i, memory_order_release);
        while (atomic_load_explicit(&shared->pong, memory_order_acquire) != i)
            _mm_pause();
    }
    *(uint64_t *)context = (now_ns() - start) / (rounds - 100);
    return NULL;
}

static void both(void *(*there)(void *), void *there_context, void *(*here)(void *), void *here_context)
{
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, there, there_context);
    pthread_create(&threads[1], NULL, here, here_context);
    atomic_store(&shared->go, 1);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}

static uint64_t line_round_trip_ns(void)
{
    uint64_t rounds = 5000, result = rounds;
    atomic_store(&shared->ping, 0);
    atomic_store(&shared->pong, 0);
    both(answer_line, &rounds, ask_line, &result);
    return result;
}

static double run(const struct variant *variant, uint32_t payload)
{
    struct job job = {.variant = variant, .payload = payload};
    memset(shared->data, 0, sizeof shared->data);
    atomic_store(&shared->position, 0);
    atomic_store(&shared->gate, 0);
    atomic_store(&shared->go, 0);
    atomic_store(&shared->stop, 0);
    both(write_frames, &job, read_frames, &job);
    return (double)job.messages * 1e3 / (double)job.ns;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    realtime = argc > 1 && strcmp(argv[1], "--realtime") == 0;
    argc -= realtime;
    argv += realtime;
    if (!find_cores())
        return fprintf(stderr, "two cores are needed\n"), 77;
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 15;
    static const uint32_t usual[] = {32, 64, 256, 1024};
    static double rates[VARIANTS][4][ROUNDS_MOST];
    uint32_t sizes[4];
    int count = 0;
    for (int i = 2; i < argc && count < 4; i++)
        sizes[count++] = (uint32_t)strtoul(argv[i], NULL, 10);
    for (; count < 4 && argc <= 2; count++)
        sizes[count] = usual[count];
    if (rounds < 1 || rounds > ROUNDS_MOST)
        return fprintf(stderr, "1 to %d rounds\n", ROUNDS_MOST), 2;
    shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED)
        return perror("mmap"), 1;
    double lines[2 * ROUNDS_MOST];
    for (long round = 0; round < rounds; round++) {
        lines[2 * round] = (double)line_round_trip_ns();
        for (int v = 0; v < VARIANTS; v++)
            for (int s = 0; s < count; s++)
                rates[v][s][round] = run(&variants[v], sizes[s]);
        lines[2 * round + 1] = (double)line_round_trip_ns();
    }
    qsort(lines, (size_t)(2 * rounds), sizeof lines[0], by_value);
    printf("line round trip: %.0f to %.0f ns, median %.0f; million messages a second, median (best)\n%-36s",
           lines[0], lines[2 * rounds - 1], lines[rounds], "");
    for (int s = 0; s < count; s++)
        printf("%12u B ", sizes[s]);
    for (int v = 0; v < VARIANTS; v++) {
        printf("\n%-36s", variants[v].name);
        for (int s = 0; s < count; s++) {
            qsort(rates[v][s], (size_t)rounds, sizeof rates[v][s][0], by_value);
            printf("%7.1f (%5.1f)", rates[v][s][rounds / 2], rates[v][s][rounds - 1]);
        }
    }
    printf("\n");
    return 0;
}
