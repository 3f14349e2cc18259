/*
 * hermes/mpmc.h - a lock-free ring between any number of producers and consumers.
 *
 * Bounded, fixed-size elements of any size, a power of two of them, in any memory that all sides see: the
 * heap of one process or a mapping shared by many. Each element goes to exactly one consumer, in the order in
 * which the producers claimed their places. No mutex, no system call.
 *
 *     static _Alignas(128) char memory[65536];
 *     hermes_mpmc_init(memory, sizeof memory, sizeof(job_t), 1024, 0);
 *
 *     hermes_mpmc_t ring;                                   // in each thread, or one for all of a process
 *     hermes_mpmc_attach(&ring, memory, sizeof memory);
 *     while (!hermes_mpmc_push(&ring, &job, sizeof job))
 *         ;                                                 // full: your policy
 *     if (hermes_mpmc_pop(&ring, &job, sizeof job)) ...
 *
 * How it works. D. Vyukov's bounded queue (1024cores.net, "Bounded MPMC queue") with its one sequence number
 * a slot taken apart: a mark beside the element, written by producers, says which lap's element is complete;
 * a counter in an array of its own, written by consumers, says how often the slot has been emptied. So a
 * consumer that is close behind a producer does not write to the line that the producer writes next: an
 * element moves in one cache line transfer, and what comes back to the producers comes sixteen slots a line.
 * docs/decisions/009 has what else was measured.
 *
 * Not quite wait-free. Between claiming a place and completing it, a thread that the system takes off its
 * core delays the others: consumers find the ring empty at its place, though later elements are complete, and
 * producers find it full a lap later. Nobody waits inside these functions; they return false. A process that
 * dies there leaves its place claimed: hermes_mpmc_recover().
 *
 * Variants. HERMES_MPMC_ONE_PRODUCER, HERMES_MPMC_ONE_CONSUMER: that side is one thread at a time, and pays
 * for no atomic exchange. The other side need not know.
 *
 * The size given to push and pop must be the element size of the ring: passed as a constant it lets the
 * compiler turn the copy into one or two instructions.
 *
 * Memory: the caller's; it must outlive all handles. Handles are plain values without resources; one may be
 * used by many threads. Trust: a side that scribbles over the shared words can make the others see wrong
 * elements, never touch memory outside the ring. Cost: an uncontended push or pop is one atomic exchange, 2
 * ns.
 */
#ifndef HERMES_MPMC_H
#define HERMES_MPMC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hermes/error.h"
#include "hermes/spsc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HERMES_MPMC_ONE_PRODUCER 1u
#define HERMES_MPMC_ONE_CONSUMER 2u

/* What all sides share; behind it the emptied counters (32 bits each), then the slots. */
typedef struct hermes_mpmc_shared {
    uint32_t magic;
    uint32_t flags;
    uint64_t element_size;
    uint64_t capacity;
    uint8_t pad0[HERMES_SPSC_LINE - 24];
    uint64_t head; /* next place for a producer to claim */
    uint8_t pad1[HERMES_SPSC_LINE - 8];
    uint64_t tail; /* next place for a consumer to claim */
    uint8_t pad2[HERMES_SPSC_LINE - 8];
} hermes_mpmc_shared_t;

typedef struct hermes_mpmc {
    hermes_mpmc_shared_t *shared;
    uint32_t *emptied; /* by slot: in how many laps it has been emptied */
    uint8_t
        *slots; /* element, padded to 8 bytes, and its mark: 1 + the place of the element that stands there */
    uint64_t mask;
    uint64_t element_size;
    uint32_t shift; /* place >> shift: its lap */
    uint32_t flags;
} hermes_mpmc_t;

/* Of a mark: the place's producer died; there is no element. See hermes_mpmc_recover(). */
#define HERMES_MPMC_ABANDONED_ ((uint64_t)1 << 63)

/* Bytes of memory for capacity (a power of two, 2 to 2^31) elements; 0 where the arguments are not legal. */
HERMES_API size_t hermes_mpmc_bytes(size_t element_size, size_t capacity);

/* Lays out an empty ring. memory: aligned to 64. flags: HERMES_MPMC_... HERMES_EINVALID. Not while anybody
 * uses it. */
HERMES_API int hermes_mpmc_init(void *memory, size_t bytes, size_t element_size, size_t capacity,
                                uint32_t flags);

/* HERMES_EMALFORMED: not such a ring, or larger than bytes. */
HERMES_API int hermes_mpmc_attach(hermes_mpmc_t *ring, void *memory, size_t bytes);

/* What hermes_mpmc_recover() found. */
typedef struct hermes_mpmc_losses {
    uint64_t abandoned;  /* places that producers had claimed and not completed: nothing was pushed there */
    uint64_t unfinished; /* elements that consumers had claimed and not yet given back: taken, perhaps not
                            handled */
} hermes_mpmc_losses_t;

/*
 * Frees what processes that died had claimed. Only while nobody else is inside any function of this ring: all
 * who were alive have stopped for the moment, and will not complete a claim of before. What was pushed is all
 * there.
 */
HERMES_API int hermes_mpmc_recover(const hermes_mpmc_t *ring, hermes_mpmc_losses_t *losses);

/* Elements between head and tail, complete or not. A snapshot, old when it returns. */
static inline uint64_t hermes_mpmc_count(const hermes_mpmc_t *r)
{
    uint64_t tail = __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED);
    uint64_t head = __atomic_load_n(&r->shared->head, __ATOMIC_RELAXED);
    return head - tail > r->mask + 1 ? 0 : head - tail;
}

/* ---- places ---- */

static inline size_t hermes_mpmc_stride(size_t size)
{
    return ((size + 7) & ~(size_t)7) + 8;
}

/* The element's room at a place that was claimed. */
static inline void *hermes_mpmc_at(const hermes_mpmc_t *r, uint64_t place, size_t size)
{
    return r->slots + (place & r->mask) * hermes_mpmc_stride(size);
}

static inline uint64_t *hermes_mpmc_mark_(const hermes_mpmc_t *r, uint64_t place, size_t size)
{
    size_t stride = hermes_mpmc_stride(size);
    return (uint64_t *)(void *)(r->slots + (place & r->mask) * stride + stride - 8);
}

/* Acquire pairs with the consumer's release in hermes_mpmc_release(): it has read what stood there. */
static inline bool hermes_mpmc_is_free_(const hermes_mpmc_t *r, uint64_t place)
{
    return __atomic_load_n(&r->emptied[place & r->mask], __ATOMIC_ACQUIRE) == (uint32_t)(place >> r->shift);
}

/* Relaxed: what the claim gives access to is ordered by the mark and the emptied counter, not by the index.
 */
static inline bool hermes_mpmc_take_(uint64_t *index, uint64_t place, uint64_t count, bool alone)
{
    if (HERMES_UNLIKELY_(alone)) {
        __atomic_store_n(index, place + count, __ATOMIC_RELAXED);
        return true;
    }
    /* In a copy: what is done with the place need not wait for what the exchange found there. */
    uint64_t found = place;
    return __atomic_compare_exchange_n(index, &found, place + count, true, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* Who lost a place to another thread leaves the line to it for a moment, longer each time: that one then goes
 * on in its own cache, which is worth more than a fair share of a line that goes to and fro. */
static inline void hermes_mpmc_back_off_(unsigned *lost)
{
    for (unsigned i = 0; i < 1u << *lost; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    if (*lost < 8)
        ++*lost;
}

/*
 * Zero-copy: claims up to wanted places, one after the other, from *first on; to be written by
 * hermes_mpmc_at() and then committed, all of them. Returns how many; 0: full.
 */
static inline uint64_t hermes_mpmc_claim(const hermes_mpmc_t *r, uint64_t wanted, uint64_t *first)
{
    if (HERMES_UNLIKELY_(wanted == 0))
        return 0;
    uint64_t place = __atomic_load_n(&r->shared->head, __ATOMIC_RELAXED);
    unsigned lost = 0;
    for (;;) {
        if (HERMES_LIKELY_(hermes_mpmc_is_free_(r, place))) {
            uint64_t count = 1;
            while (count < wanted && hermes_mpmc_is_free_(r, place + count))
                count++;
            if (HERMES_LIKELY_(
                    hermes_mpmc_take_(&r->shared->head, place, count, r->flags & HERMES_MPMC_ONE_PRODUCER))) {
                *first = place;
                return count;
            }
            hermes_mpmc_back_off_(&lost);
            place = __atomic_load_n(&r->shared->head, __ATOMIC_RELAXED);
        } else { /* full, or the others are ahead */
            uint64_t now = __atomic_load_n(&r->shared->head, __ATOMIC_RELAXED);
            if (now == place)
                return 0;
            hermes_mpmc_back_off_(&lost);
            place = now;
        }
    }
}

static inline void hermes_mpmc_commit(const hermes_mpmc_t *r, uint64_t first, uint64_t count, size_t size)
{
    /* Release pairs with the consumer's acquire of the mark: the element is complete. */
    for (uint64_t i = 0; i < count; i++)
        __atomic_store_n(hermes_mpmc_mark_(r, first + i, size), first + i + 1, __ATOMIC_RELEASE);
}

static inline void hermes_mpmc_release(const hermes_mpmc_t *r, uint64_t first, uint64_t count)
{
    /* Release pairs with the producer's acquire in hermes_mpmc_is_free_(): we have read what stood there. */
    for (uint64_t i = 0; i < count; i++)
        __atomic_store_n(&r->emptied[(first + i) & r->mask], (uint32_t)((first + i) >> r->shift) + 1,
                         __ATOMIC_RELEASE);
}

/* Acquire pairs with the producer's release in hermes_mpmc_commit(): the element is complete. */
static inline uint64_t hermes_mpmc_look_(const hermes_mpmc_t *r, uint64_t place, size_t size)
{
    return __atomic_load_n(hermes_mpmc_mark_(r, place, size), __ATOMIC_ACQUIRE);
}

/*
 * Zero-copy: claims up to wanted elements that are there, from *first on; to be read by hermes_mpmc_at() and
 * then released, all of them. Returns how many; 0: empty, or none were wanted.
 */
static inline uint64_t hermes_mpmc_peek(const hermes_mpmc_t *r, uint64_t wanted, size_t size, uint64_t *first)
{
    const bool alone = r->flags & HERMES_MPMC_ONE_CONSUMER;
    if (HERMES_UNLIKELY_(wanted == 0))
        return 0;
    uint64_t place = __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED);
    unsigned lost = 0;
    for (;;) {
        uint64_t mark = hermes_mpmc_look_(r, place, size);
        if (HERMES_LIKELY_(mark == place + 1)) {
            uint64_t count = 1;
            while (count < wanted && hermes_mpmc_look_(r, place + count, size) == place + count + 1)
                count++;
            if (HERMES_LIKELY_(hermes_mpmc_take_(&r->shared->tail, place, count, alone))) {
                *first = place;
                return count;
            }
            hermes_mpmc_back_off_(&lost);
            place = __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED);
        } else if (HERMES_UNLIKELY_(mark == ((place + 1) | HERMES_MPMC_ABANDONED_))) {
            if (hermes_mpmc_take_(&r->shared->tail, place, 1, alone))
                hermes_mpmc_release(r, place, 1);
            place = __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED);
        } else { /* empty, or the others are ahead */
            uint64_t now = __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED);
            if (now == place)
                return 0;
            hermes_mpmc_back_off_(&lost);
            place = now;
        }
    }
}

/* ---- elements ---- */

/* false: full. */
static inline bool hermes_mpmc_push(const hermes_mpmc_t *r, const void *element, size_t size)
{
    uint64_t place;
    if (HERMES_UNLIKELY_(hermes_mpmc_claim(r, 1, &place) == 0))
        return false;
    hermes_spsc_copy_(hermes_mpmc_at(r, place, size), element, size);
    hermes_mpmc_commit(r, place, 1, size);
    return true;
}

/* false: empty. */
static inline bool hermes_mpmc_pop(const hermes_mpmc_t *r, void *element, size_t size)
{
    uint64_t place;
    if (HERMES_UNLIKELY_(hermes_mpmc_peek(r, 1, size, &place) == 0))
        return false;
    hermes_spsc_copy_(element, hermes_mpmc_at(r, place, size), size);
    hermes_mpmc_release(r, place, 1);
    return true;
}

/* Pushes up to count elements, next to one another in the ring, by one claim; returns how many. */
static inline uint64_t hermes_mpmc_push_many(const hermes_mpmc_t *r, const void *elements, uint64_t count,
                                             size_t size)
{
    uint64_t first = 0, claimed = hermes_mpmc_claim(r, count, &first);
    for (uint64_t i = 0; i < claimed; i++) {
        hermes_spsc_copy_(hermes_mpmc_at(r, first + i, size), (const uint8_t *)elements + i * size, size);
        hermes_mpmc_commit(r, first + i, 1, size); /* each at once: consumers begin */
    }
    return claimed;
}

static inline uint64_t hermes_mpmc_pop_many(const hermes_mpmc_t *r, void *elements, uint64_t count,
                                            size_t size)
{
    uint64_t first = 0, claimed = hermes_mpmc_peek(r, count, size, &first);
    for (uint64_t i = 0; i < claimed; i++) {
        hermes_spsc_copy_((uint8_t *)elements + i * size, hermes_mpmc_at(r, first + i, size), size);
        hermes_mpmc_release(r, first + i, 1);
    }
    return claimed;
}

#ifdef __cplusplus
}
#endif
#endif
