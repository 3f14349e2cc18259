/*
 * hermes/spsc_typed.h - an SPSC ring of one type, whose capacity the compiler knows.
 *
 * What hermes_spsc_* (hermes/spsc.h) is, for elements and a capacity that are known when a program is
 * compiled: the mask and the element's size are numbers in the instructions, not loads, and a wrong type does
 * not compile. That is a fifth fewer instructions a push and a pop.
 *
 *     HERMES_SPSC_DEFINE(quotes, quote_t, 1024);        // once, where types are declared
 *
 *     static quotes_t ring;                             // zeros are an empty ring
 *
 *     quotes_producer_t producer = quotes_producer(&ring); // in the producing thread
 *     while (!quotes_push(&producer, &quote))
 *         ;                                             // full: your policy
 *
 *     quotes_consumer_t consumer = quotes_consumer(&ring); // in the consuming thread
 *     if (quotes_pop(&consumer, &quote)) ...
 *
 * HERMES_SPSC_DEFINE(name, type, capacity) defines the ring name_t, the handles name_producer_t and
 * name_consumer_t, name_element_t, which is type, and
 *
 *     name_producer_t name_producer(name_t *);          // goes on where the ring stands
 *     bool     name_push(name_producer_t *, const type *);                           // false: full
 *     uint64_t name_push_many(name_producer_t *, const type *elements, uint64_t count);
 *     uint64_t name_claim(name_producer_t *, uint64_t wanted, type **span);          // in place; 0: full
 *     void     name_commit(name_producer_t *, uint64_t count);
 *     name_consumer_t name_consumer(name_t *);
 *     bool     name_pop(name_consumer_t *, type *);                                  // false: empty
 *     uint64_t name_pop_many(name_consumer_t *, type *elements, uint64_t count);
 *     uint64_t name_peek(name_consumer_t *, uint64_t wanted, const type **span);     // in place; 0: empty
 *     void     name_release(name_consumer_t *, uint64_t count);
 *
 * each as the function of that name in hermes/spsc.h. capacity: a power of two, 2 or more; else it does not
 * compile. type: its bytes are copied, so no C++ type that minds.
 *
 * Memory: static, on the stack, or any that is aligned to HERMES_SPSC_LINE bytes and zeroed: a fresh shared
 * mapping is, and then the ring is between two processes. Both must be compiled with the same definition:
 * nothing in it says which it is. Where that is not certain, hermes_spsc_attach() checks what it finds.
 * The ring must outlive its handles. Handles are plain values without resources; a local one that only these
 * functions see lives in registers.
 * Threads: a producer handle is for one thread, a consumer handle for one thread, at the same time. A process
 * that was killed may be replaced: a new handle goes on where the ring stands.
 * Trust: a side that scribbles over the ring can make the other see wrong elements, or none from then on,
 * never touch memory outside of it (hermes/spsc.h forgets a lie that has passed, and takes five instructions
 * more). Errors: none. Cost: push and pop on one thread 23 instructions together, loop included (8 bytes).
 */
#ifndef HERMES_SPSC_TYPED_H
#define HERMES_SPSC_TYPED_H

#include "hermes/spsc.h"

#define HERMES_SPSC_INLINE_ __attribute__((unused)) static inline

/* The slots stand first: an element's address is then a shift away from its index. */
#define HERMES_SPSC_DEFINE(name, type, capacity)                                                             \
    HERMES_STATIC_ASSERT((capacity) >= 2 && ((capacity) & ((capacity)-1)) == 0, "a power of two");           \
    /* First a name: a const before it is the element's, also where that is a pointer. */                    \
    typedef type name##_element_t;                                                                           \
                                                                                                             \
    typedef struct {                                                                                         \
        name##_element_t slots[capacity];                                                                    \
        uint64_t head __attribute__((aligned(HERMES_SPSC_LINE))); /* written by the producer alone */        \
        uint64_t tail __attribute__((aligned(HERMES_SPSC_LINE))); /* written by the consumer alone */        \
    } __attribute__((aligned(HERMES_SPSC_LINE))) name##_t;                                                   \
                                                                                                             \
    typedef struct {                                                                                         \
        name##_t *ring;                                                                                      \
        uint64_t head;                                                                                       \
        uint64_t limit; /* it may go up to here: the tail when last looked at, and a lap */                  \
    } name##_producer_t;                                                                                     \
                                                                                                             \
    typedef struct {                                                                                         \
        name##_t *ring;                                                                                      \
        uint64_t tail;                                                                                       \
        uint64_t head; /* when last looked at */                                                             \
        hermes_spsc_pace_t pace;                                                                             \
    } name##_consumer_t;                                                                                     \
                                                                                                             \
    HERMES_SPSC_INLINE_ name##_producer_t name##_producer(name##_t *ring)                                    \
    {                                                                                                        \
        name##_producer_t producer = {ring, __atomic_load_n(&ring->head, __ATOMIC_RELAXED), 0};              \
        producer.limit = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) + (capacity);                        \
        return producer;                                                                                     \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ name##_consumer_t name##_consumer(name##_t *ring)                                    \
    {                                                                                                        \
        uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);                                      \
        name##_consumer_t consumer = {ring, tail, tail, {0, tail, 0, 0, 0}};                                 \
        return consumer;                                                                                     \
    }                                                                                                        \
                                                                                                             \
    /* Acquire pairs with the consumer's release of tail: its reads of the slots are done. */                \
    HERMES_SPSC_INLINE_ uint64_t name##_room_(name##_producer_t *p)                                          \
    {                                                                                                        \
        p->limit = __atomic_load_n(&p->ring->tail, __ATOMIC_ACQUIRE) + (capacity);                           \
        return p->limit - p->head;                                                                           \
    }                                                                                                        \
                                                                                                             \
    /* Acquire pairs with the producer's release of head: the slots it covers are written. */                \
    HERMES_SPSC_INLINE_ uint64_t name##_ready_(name##_consumer_t *c)                                         \
    {                                                                                                        \
        if (HERMES_UNLIKELY_(c->tail == c->head && c->tail >= c->pace.at))                                   \
            c->pace = hermes_spsc_pace_(c->pace, c->tail);                                                   \
        c->head = __atomic_load_n(&c->ring->head, __ATOMIC_ACQUIRE);                                         \
        return c->head - c->tail;                                                                            \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ void name##_commit(name##_producer_t *p, uint64_t count)                             \
    {                                                                                                        \
        p->head += count;                                                                                    \
        __atomic_store_n(&p->ring->head, p->head, __ATOMIC_RELEASE); /* pairs with name_ready_() */          \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ void name##_release(name##_consumer_t *c, uint64_t count)                            \
    {                                                                                                        \
        c->tail += count;                                                                                    \
        __atomic_store_n(&c->ring->tail, c->tail, __ATOMIC_RELEASE); /* pairs with name_room_() */           \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ bool name##_push(name##_producer_t *p, const name##_element_t *element)              \
    {                                                                                                        \
        if (HERMES_UNLIKELY_(p->head == p->limit) && name##_room_(p) == 0)                                   \
            return false;                                                                                    \
        hermes_spsc_copy_in_(&p->ring->slots[p->head & ((capacity)-1)], element, sizeof *element);           \
        name##_commit(p, 1);                                                                                 \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ bool name##_pop(name##_consumer_t *c, name##_element_t *element)                     \
    {                                                                                                        \
        if (c->tail == c->head && HERMES_UNLIKELY_(name##_ready_(c) == 0))                                   \
            return false;                                                                                    \
        hermes_spsc_copy_(element, &c->ring->slots[c->tail & ((capacity)-1)], sizeof *element);              \
        name##_release(c, 1);                                                                                \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ uint64_t name##_claim(name##_producer_t *p, uint64_t wanted,                         \
                                              name##_element_t **span)                                       \
    {                                                                                                        \
        uint64_t room = p->limit - p->head, at = p->head & ((capacity)-1);                                   \
        if (room < wanted)                                                                                   \
            room = name##_room_(p);                                                                          \
        *span = &p->ring->slots[at];                                                                         \
        return hermes_spsc_span_(wanted, room, at, capacity);                                                \
    }                                                                                                        \
                                                                                                             \
    HERMES_SPSC_INLINE_ uint64_t name##_peek(name##_consumer_t *c, uint64_t wanted,                          \
                                             const name##_element_t **span)                                  \
    {                                                                                                        \
        uint64_t ready = c->head - c->tail, at = c->tail & ((capacity)-1);                                   \
        if (ready < wanted)                                                                                  \
            ready = name##_ready_(c);                                                                        \
        *span = &c->ring->slots[at];                                                                         \
        return hermes_spsc_span_(wanted, ready, at, capacity);                                               \
    }                                                                                                        \
                                                                                                             \
    /* Twice where the ring's end lies in between. */                                                        \
    HERMES_SPSC_INLINE_ uint64_t name##_push_many(name##_producer_t *p, const name##_element_t *elements,    \
                                                  uint64_t count)                                            \
    {                                                                                                        \
        uint64_t done = 0, more;                                                                             \
        name##_element_t *span;                                                                              \
        while (done < count && (more = name##_claim(p, count - done, &span)) > 0) {                          \
            memcpy(span, elements + done, more * sizeof *span);                                              \
            name##_commit(p, more);                                                                          \
            done += more;                                                                                    \
        }                                                                                                    \
        return done;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    /* Of what is there at one look. */                                                                      \
    HERMES_SPSC_INLINE_ uint64_t name##_pop_many(name##_consumer_t *c, name##_element_t *elements,           \
                                                 uint64_t count)                                             \
    {                                                                                                        \
        const name##_element_t *span;                                                                        \
        uint64_t done = 0, more = name##_peek(c, count, &span), there = c->head - c->tail;                   \
        if (count > there)                                                                                   \
            count = there;                                                                                   \
        for (; more > 0; more = name##_peek(c, count - done, &span)) {                                       \
            memcpy(elements + done, span, more * sizeof *span);                                              \
            name##_release(c, more);                                                                         \
            done += more;                                                                                    \
        }                                                                                                    \
        return done;                                                                                         \
    }                                                                                                        \
    struct name##_ends_here_ /* takes the semicolon */

#endif
