/*
 * An inbox: any thread puts things in, and who looks takes all that is there. Without a lock: nobody has to
 * wait for somebody who lost the processor with one.
 *
 * A stack that is only ever taken whole (R. K. Treiber, IBM RJ 5118, 1986): so it does not matter that what
 * was taken may be put in again at once.
 */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* In what is put in; the inbox's until it is taken out. */
struct link {
    struct link *next;
};

/* All zeros: empty. */
struct inbox {
    _Atomic(struct link *) latest;
};

/* Any thread. A compare and exchange, again for each who was faster. */
static inline void inbox_put(struct inbox *inbox, struct link *link)
{
    /* Relaxed: it is looked at by inbox_take() alone. */
    struct link *latest = atomic_load_explicit(&inbox->latest, memory_order_relaxed);
    do
        link->next = latest;
    /* Release pairs with the acquire in inbox_take(), for all that were put in before as well: each exchange
     * goes on with the release sequences of those. */
    while (!atomic_compare_exchange_weak_explicit(&inbox->latest, &latest, link, memory_order_release,
                                                  memory_order_relaxed));
}

/* Any thread. All that is there, by next, in the order in which it was put in; NULL: nothing. next of what
 * was dealt with is not read again. */
static inline struct link *inbox_take(struct inbox *inbox)
{
    /* Acquire pairs with the release in inbox_put(). */
    struct link *from = atomic_exchange_explicit(&inbox->latest, NULL, memory_order_acquire), *to = NULL;
    while (from != NULL) {
        struct link *next = from->next;
        from->next = to;
        to = from;
        from = next;
    }
    return to;
}

/* Any thread: is there something just now? */
static inline bool inbox_is_empty(const struct inbox *inbox)
{
    /* Relaxed: who takes it out acquires. */
    return atomic_load_explicit(&inbox->latest, memory_order_relaxed) == NULL;
}

#endif
