/*
 * hermes/spsc.h - lock-free rings between one producer and one consumer.
 *
 * Fixed-size elements of any size, a power of two of them, in any memory that both sides see: the
 * heap of one process or a mapping shared by two. No mutex, no system call, wait-free: every function
 * finishes in a bounded number of steps whatever the other side does.
 *
 * Two rings with one interface:
 *
 *   hermes_spsc_*   Lamport's ring: head and tail on cache lines of their own. An element costs its
 *                   own bytes and nothing more; batches and zero-copy spans are contiguous. Each side
 *                   keeps a copy of the other's index and looks at the far line only when that copy
 *                   is used up.
 *   hermes_slot_*   a commit mark beside each element, so that a message moves in one cache line
 *                   transfer instead of two. Each slot is 8 bytes larger. For elements of up to some
 *                   48 bytes handed over one at a time it is the faster one; docs/benchmarks.md says
 *                   by how much.
 *
 * hermes/spsc_typed.h has the first one for a type and a capacity that are known when a program is compiled.
 *
 *     static _Alignas(128) char memory[65536];
 *     hermes_spsc_init(memory, sizeof memory, sizeof(quote_t), 1024);
 *
 *     hermes_spsc_producer_t producer;                      // in the producing thread
 *     hermes_spsc_producer_attach(&producer, memory, sizeof memory);
 *     while (!hermes_spsc_push(&producer, &quote, sizeof quote))
 *         ;                                                 // full: your policy
 *
 *     hermes_spsc_consumer_t consumer;                      // in the consuming thread
 *     hermes_spsc_consumer_attach(&consumer, memory, sizeof memory);
 *     if (hermes_spsc_pop(&consumer, &quote, sizeof quote)) ...
 *
 * The size given to push and pop must be the element size of the ring: passed as a constant it lets
 * the compiler turn the copy into one or two instructions. In a tight loop, work on a local copy of the
 * handle (hermes_spsc_producer_t p = producer; ... producer = p;): the compiler then keeps its indices
 * in registers, which it cannot do for one whose address an attach has seen. That is worth a third.
 *
 * A consumer of hermes_spsc_* that finds a ring empty while elements come faster than some 20 million a
 * second waits inside of pop, peek and pop_many, once a call and 2 us at most (with a time-stamp counter of
 * 2 GHz or more; 4,096 of its ticks), and then looks again: so both sides get on several times as fast. What
 * is there is handed out without that wait, and what comes more slowly is there at once; false and 0 always
 * mean that nothing was there.
 *
 * Memory: the caller's; it must outlive both handles. Handles are plain values without resources.
 * Threads: a producer handle is for one thread, a consumer handle for one thread, at the same time.
 * A process that was killed may be replaced: attach again, and the ring goes on where it stood. (A new
 * consumer of a hermes_slot_ ring may see again up to an eighth of the ring: see below.)
 * Trust: a side that scribbles over the shared indices can make the other see wrong elements, never
 * touch memory outside the ring: sizes are taken once, checked, and kept in the handle.
 */
#ifndef HERMES_SPSC_H
#define HERMES_SPSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hermes/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two lines apart: neighbouring lines are fetched in pairs by common prefetchers. */
#define HERMES_SPSC_LINE 128

/* What both sides share. Everything else lives in the handles. */
typedef struct hermes_spsc {
    uint32_t magic;
    uint32_t kind;
    uint64_t element_size;
    uint64_t capacity;
    uint8_t pad0[HERMES_SPSC_LINE - 24];
    uint64_t head; /* next element to be written; written by the producer alone */
    uint8_t pad1[HERMES_SPSC_LINE - 8];
    uint64_t tail; /* next element to be read; written by the consumer alone */
    uint8_t pad2[HERMES_SPSC_LINE - 8];
} hermes_spsc_t;

typedef struct hermes_spsc_producer {
    hermes_spsc_t *ring;
    uint8_t *slots;
    uint64_t mask;
    uint64_t element_size;
    uint64_t head;  /* own index */
    uint64_t limit; /* it may go up to here: the consumer's index when last looked at, and a lap */
} hermes_spsc_producer_t;

/* How a consumer keeps away from its producer; private. Begins with the consumer's index, else zeroed. */
typedef struct hermes_spsc_pace {
    uint64_t at;       /* an empty look from this element on is for hermes_spsc_pace_() */
    uint64_t tail;     /* own index at the end of the last call, */
    uint64_t ticks;    /* and the time-stamp counter */
    uint32_t interval; /* elements from one judgement to the next */
    uint32_t waits;    /* between two looks */
} hermes_spsc_pace_t;

typedef struct hermes_spsc_consumer {
    hermes_spsc_t *ring;
    uint8_t *slots;
    uint64_t mask;
    uint64_t element_size;
    uint64_t tail;           /* own index */
    uint64_t head;           /* the producer's index when last looked at */
    uint64_t told;           /* hermes_slot_*: own index as last published */
    hermes_spsc_pace_t pace; /* hermes_spsc_* */
} hermes_spsc_consumer_t;

/* Bytes of memory for capacity (a power of two, 2 to 2^32) elements; 0 where the arguments are not legal. */
HERMES_API size_t hermes_spsc_bytes(size_t element_size, size_t capacity);
HERMES_API size_t hermes_slot_bytes(size_t element_size, size_t capacity);

/* Lays out an empty ring. memory: aligned to 64. HERMES_EINVALID. Not while anybody uses it. */
HERMES_API int hermes_spsc_init(void *memory, size_t bytes, size_t element_size, size_t capacity);
HERMES_API int hermes_slot_init(void *memory, size_t bytes, size_t element_size, size_t capacity);

/* HERMES_EMALFORMED: not such a ring, or larger than bytes. */
HERMES_API int hermes_spsc_producer_attach(hermes_spsc_producer_t *producer, void *memory, size_t bytes);
HERMES_API int hermes_spsc_consumer_attach(hermes_spsc_consumer_t *consumer, void *memory, size_t bytes);
HERMES_API int hermes_slot_producer_attach(hermes_spsc_producer_t *producer, void *memory, size_t bytes);
HERMES_API int hermes_slot_consumer_attach(hermes_spsc_consumer_t *consumer, void *memory, size_t bytes);

#define HERMES_LIKELY_(x) __builtin_expect(!!(x), 1)
#define HERMES_UNLIKELY_(x) __builtin_expect(!!(x), 0)

/*
 * Small elements go word by word: a wider load of what was just stored in words would have to wait until
 * those stores have left the store buffer. The asm keeps the compiler from joining the words again.
 */
static inline void hermes_spsc_copy_(void *to, const void *from, size_t size)
{
    if (__builtin_constant_p(size) && size % 8 == 0 && size <= 64) {
#pragma GCC unroll 8
        for (size_t i = 0; i < size; i += 8) {
            uint64_t word;
            memcpy(&word, (const uint8_t *)from + i, 8);
            __asm__("" : "+r"(word));
            memcpy((uint8_t *)to + i, &word, 8);
        }
    } else {
        memcpy(to, from, size);
    }
}

#if defined(__x86_64__)
typedef uint64_t hermes_spsc_pair_ __attribute__((vector_size(16)));
#endif

/*
 * The same into a slot that is aligned to 16 bytes, if its size is a multiple of that: the words are read one
 * by one, as above, and written in pairs, so half as many stores wait for lines that are not there yet.
 */
static inline void hermes_spsc_copy_in_(void *to, const void *from, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_constant_p(size) && size % 16 == 0 && size <= 64) {
#pragma GCC unroll 4
        for (size_t i = 0; i < size; i += 16) {
            uint64_t first, second;
            memcpy(&first, (const uint8_t *)from + i, 8);
            memcpy(&second, (const uint8_t *)from + i + 8, 8);
            hermes_spsc_pair_ pair = {first, 0};
            __asm__("" : "+x"(pair));
            pair[1] = second;
            memcpy((uint8_t *)to + i, &pair, 16);
        }
        return;
    }
#endif
    hermes_spsc_copy_(to, from, size);
}

/* How many of those wanted are there, and stand one behind the other from slot `at` on. 0 where the other
 * side lies about what is there. */
static inline uint64_t hermes_spsc_span_(uint64_t wanted, uint64_t there, uint64_t at, uint64_t capacity)
{
    uint64_t contiguous = capacity - at, count = wanted < there ? wanted : there;
    if (HERMES_UNLIKELY_(there > capacity))
        return 0;
    return count < contiguous ? count : contiguous;
}

/*
 * A consumer that takes each element as it comes keeps reading the line with the producer's index, and each
 * of the producer's stores to it then has to get the line back: both go at the speed of lines that travel.
 * One that looks less often finds many elements at once. So while elements come at less than
 * HERMES_SPSC_DENSE_ ticks of the time-stamp counter each (some 50 ns), an empty look waits until
 * HERMES_SPSC_PAUSE_ ticks (1 to 2 us) after the look before it; it ends with the first pause that brought
 * fewer. Slower streams are read at once. They are told apart every so many elements, more where waiting
 * proved no use (one thread on both ends). By value: a handle whose address nobody takes stays in registers.
 */
enum {
    HERMES_SPSC_PAUSE_ = 4096,
    HERMES_SPSC_DENSE_ = 128,
    HERMES_SPSC_JUDGE_ = 256,
    HERMES_SPSC_JUDGE_MOST_ = 65536,
};

__attribute__((noinline, unused)) static hermes_spsc_pace_t hermes_spsc_pace_(hermes_spsc_pace_t pace,
                                                                              uint64_t tail)
{
#if defined(__x86_64__)
    uint64_t now = __builtin_ia32_rdtsc();
    while (pace.waits && now - pace.ticks < HERMES_SPSC_PAUSE_) {
        __builtin_ia32_pause();
        now = __builtin_ia32_rdtsc();
    }
    uint32_t dense = now - pace.ticks < (tail - pace.tail) * HERMES_SPSC_DENSE_;
    if (pace.waits && !dense && pace.interval < HERMES_SPSC_JUDGE_MOST_)
        pace.interval *= 2;
    else if (pace.waits == dense)
        pace.interval = HERMES_SPSC_JUDGE_;
    pace.waits = dense;
    pace.at = dense ? tail : tail + pace.interval;
    pace.tail = tail;
    pace.ticks = now;
#else
    pace.at = UINT64_MAX; /* no counter that is known to be cheap */
    (void)tail;
#endif
    return pace;
}

/* ---- Lamport's ring ---- */

/* Elements that could be pushed now, at least wanted where there is room. Looks at the far line only
 * when the copy of the tail does not promise that many. */
static inline uint64_t hermes_spsc_room(hermes_spsc_producer_t *p, uint64_t wanted)
{
    uint64_t room = p->limit - p->head;
    if (HERMES_UNLIKELY_(room < wanted)) {
        /* Acquire pairs with the consumer's release of tail: its reads of the slot are done. */
        uint64_t limit = __atomic_load_n(&p->ring->tail, __ATOMIC_ACQUIRE) + p->mask + 1;
        room = limit - p->head;
        if (HERMES_UNLIKELY_(room > p->mask + 1)) /* a consumer that lies */
            return 0;
        p->limit = limit;
    }
    return room;
}

static inline uint64_t hermes_spsc_ready(hermes_spsc_consumer_t *c, uint64_t wanted)
{
    uint64_t ready = c->head - c->tail;
    if (ready < wanted) {
        if (HERMES_UNLIKELY_(ready == 0 && c->tail >= c->pace.at))
            c->pace = hermes_spsc_pace_(c->pace, c->tail);
        /* Acquire pairs with the producer's release of head: the slots it covers are written. */
        uint64_t head = __atomic_load_n(&c->ring->head, __ATOMIC_ACQUIRE);
        ready = head - c->tail;
        if (HERMES_UNLIKELY_(ready > c->mask + 1)) /* a producer that lies */
            return 0;
        c->head = head;
    }
    return ready;
}

/* false: full. */
static inline bool hermes_spsc_push(hermes_spsc_producer_t *p, const void *element, size_t size)
{
    if (HERMES_UNLIKELY_(hermes_spsc_room(p, 1) == 0))
        return false;
    hermes_spsc_copy_in_(p->slots + (p->head & p->mask) * size, element, size);
    /* Release pairs with the consumer's acquire of head. */
    __atomic_store_n(&p->ring->head, ++p->head, __ATOMIC_RELEASE);
    return true;
}

/* false: empty. */
static inline bool hermes_spsc_pop(hermes_spsc_consumer_t *c, void *element, size_t size)
{
    if (HERMES_UNLIKELY_(hermes_spsc_ready(c, 1) == 0))
        return false;
    hermes_spsc_copy_(element, c->slots + (c->tail & c->mask) * size, size);
    /* Release pairs with the producer's acquire of tail. */
    __atomic_store_n(&c->ring->tail, ++c->tail, __ATOMIC_RELEASE);
    return true;
}

/* Zero-copy: up to wanted contiguous free elements at *span; they are written in place and then
 * committed, all or some, in order. 0: full. Fewer than wanted at the ring's end or when nearly full. */
static inline uint64_t hermes_spsc_claim(hermes_spsc_producer_t *p, uint64_t wanted, size_t size, void **span)
{
    uint64_t room = hermes_spsc_room(p, wanted);
    uint64_t at = p->head & p->mask, contiguous = p->mask + 1 - at;
    uint64_t count = wanted < room ? wanted : room;
    *span = p->slots + at * size;
    return count < contiguous ? count : contiguous;
}

/* count: at most what the last claim returned. */
static inline void hermes_spsc_commit(hermes_spsc_producer_t *p, uint64_t count)
{
    p->head += count;
    __atomic_store_n(&p->ring->head, p->head, __ATOMIC_RELEASE); /* pairs as in push */
}

/* Zero-copy: up to wanted contiguous elements at *span; valid until released. 0: empty. */
static inline uint64_t hermes_spsc_peek(hermes_spsc_consumer_t *c, uint64_t wanted, size_t size,
                                        const void **span)
{
    uint64_t ready = hermes_spsc_ready(c, wanted);
    uint64_t at = c->tail & c->mask, contiguous = c->mask + 1 - at;
    uint64_t count = wanted < ready ? wanted : ready;
    *span = c->slots + at * size;
    return count < contiguous ? count : contiguous;
}

static inline void hermes_spsc_release(hermes_spsc_consumer_t *c, uint64_t count)
{
    c->tail += count;
    __atomic_store_n(&c->ring->tail, c->tail, __ATOMIC_RELEASE); /* pairs as in pop */
}

/* Pushes as many of count elements as there is room for, visible all at once; returns how many. */
static inline uint64_t hermes_spsc_push_many(hermes_spsc_producer_t *p, const void *elements, uint64_t count,
                                             size_t size)
{
    uint64_t room = hermes_spsc_room(p, count), at = p->head & p->mask;
    if (count > room)
        count = room;
    uint64_t first = count < p->mask + 1 - at ? count : p->mask + 1 - at;
    memcpy(p->slots + at * size, elements, first * size);
    if (HERMES_UNLIKELY_(first < count))
        memcpy(p->slots, (const uint8_t *)elements + first * size, (count - first) * size);
    if (count > 0)
        hermes_spsc_commit(p, count);
    return count;
}

static inline uint64_t hermes_spsc_pop_many(hermes_spsc_consumer_t *c, void *elements, uint64_t count,
                                            size_t size)
{
    uint64_t ready = hermes_spsc_ready(c, count), at = c->tail & c->mask;
    if (count > ready)
        count = ready;
    uint64_t first = count < c->mask + 1 - at ? count : c->mask + 1 - at;
    memcpy(elements, c->slots + at * size, first * size);
    if (HERMES_UNLIKELY_(first < count))
        memcpy((uint8_t *)elements + first * size, c->slots, (count - first) * size);
    if (count > 0)
        hermes_spsc_release(c, count);
    return count;
}

/* ---- the ring with a mark in each slot ---- */

/*
 * A slot is the element, padded to 8 bytes, and its mark. The mark of element i is i + 1, so a slot
 * that was used capacity elements ago never looks like a new one, and nothing has to be cleared. The
 * consumer spins on the very line that brings the element. It publishes its own index only once an
 * eighth of the ring: the producer needs it only when the ring looks full.
 */
static inline size_t hermes_slot_stride(size_t size)
{
    return ((size + 7) & ~(size_t)7) + 8;
}

static inline bool hermes_slot_push(hermes_spsc_producer_t *p, const void *element, size_t size)
{
    if (HERMES_UNLIKELY_(hermes_spsc_room(p, 1) == 0))
        return false;
    size_t stride = hermes_slot_stride(size);
    uint8_t *slot = p->slots + (p->head & p->mask) * stride;
    hermes_spsc_copy_(slot, element, size);
    /* Release pairs with the consumer's acquire of the mark. */
    __atomic_store_n((uint64_t *)(void *)(slot + stride - 8), ++p->head, __ATOMIC_RELEASE);
    return true;
}

static inline bool hermes_slot_pop(hermes_spsc_consumer_t *c, void *element, size_t size)
{
    size_t stride = hermes_slot_stride(size);
    const uint8_t *slot = c->slots + (c->tail & c->mask) * stride;
    /* Acquire pairs with the producer's release of the mark: the element is complete. */
    if (__atomic_load_n((const uint64_t *)(const void *)(slot + stride - 8), __ATOMIC_ACQUIRE) != c->tail + 1)
        return false;
    hermes_spsc_copy_(element, slot, size);
    c->tail++;
    if (HERMES_UNLIKELY_(c->tail - c->told > c->mask >> 3)) {
        /* Release pairs with the producer's acquire of tail in hermes_spsc_room(). */
        __atomic_store_n(&c->ring->tail, c->tail, __ATOMIC_RELEASE);
        c->told = c->tail;
    }
    return true;
}

/* Pushes as many of count elements as there is room for; each becomes visible by itself. */
static inline uint64_t hermes_slot_push_many(hermes_spsc_producer_t *p, const void *elements, uint64_t count,
                                             size_t size)
{
    uint64_t room = hermes_spsc_room(p, count);
    if (count > room)
        count = room;
    for (uint64_t i = 0; i < count; i++)
        hermes_slot_push(p, (const uint8_t *)elements + i * size, size);
    return count;
}

static inline uint64_t hermes_slot_pop_many(hermes_spsc_consumer_t *c, void *elements, uint64_t count,
                                            size_t size)
{
    uint64_t done = 0;
    while (done < count && hermes_slot_pop(c, (uint8_t *)elements + done * size, size))
        done++;
    return done;
}

#ifdef __cplusplus
}
#endif
#endif
