#include "broker/watch.h"

#include <stdlib.h>

#include "base/thread.h"
#include "base/wait.h"

/* The parked flags stand where subscribers may lower them: it is never slept for longer than this. */
static const uint64_t longest_ns = 1000000000;
/* How often sync topics are looked at where this kernel cannot sleep on several words. */
static const uint64_t poll_ns = 500000;

enum { WATCH_LOGS = (FUTEX_WORDS_MAX - 1) / 2 };

struct watch {
    struct watch *next;
    struct persister *persister;
    pthread_t thread;
    _Atomic uint32_t bell; /* there is another log, or the end */
    _Atomic bool stop;
    pthread_mutex_t lock; /* guards what follows, and that the logs stay */
    struct persisting *logs[WATCH_LOGS];
    unsigned count;
};

static void ring(struct watch *watch)
{
    /* Release pairs with the acquire in watch_main(). */
    atomic_fetch_add_explicit(&watch->bell, 1, memory_order_release);
    futex_wake_all(&watch->bell);
}

/* Under the lock, as the next two. */
static void drop(struct watch *watch, struct persisting *persisting)
{
    struct persisting *last = watch->logs[--watch->count];
    watch->logs[persisting->slot] = last;
    last->slot = persisting->slot;
    /* Relaxed: who reads it without the lock is rung when this is not what it wants to hear. */
    atomic_store_explicit(&persisting->parked, false, memory_order_relaxed);
}

/* Raises all parked flags; the words to sleep on. */
static unsigned gather(struct watch *watch, struct futex_word *words)
{
    unsigned used = 0;
    for (unsigned i = 0; i < watch->count; i++) {
        struct persisting *persisting = watch->logs[i];
        /* Relaxed: it need not have changed, for it to wake us. */
        uint32_t bell = atomic_load_explicit(persisting->bell, memory_order_relaxed);
        words[used++] = (struct futex_word){persisting->bell, bell};
        words[used++] = log_park(persisting->log);
    }
    if (used > 0)
        barrier_remote(); /* pairs with barrier_publisher() of every writer */
    return used;
}

/* Rings the tasks of those that have something to store; true: there were such. */
static bool ring_tasks(struct watch *watch)
{
    bool found = false;
    for (unsigned i = watch->count; i-- > 0;) {
        struct persisting *persisting = watch->logs[i];
        if (!log_has_more(persisting->log))
            continue;
        found = true;
        drop(watch, persisting);
        workers_ring(watch->persister->workers, &persisting->task);
    }
    return found;
}

static bool has_sync_topics(struct watch *watch)
{
    bool has = false;
    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < watch->count; i++)
        has |= watch->logs[i]->log->durability == DURABILITY_SYNC;
    pthread_mutex_unlock(&watch->lock);
    return has;
}

static void sleep_on(struct watch *watch, const struct futex_word *words, unsigned used)
{
    if (used == 1)
        (void)futex_wait(words[0].word, words[0].expected, FUTEX_FOREVER);
    else if (futex_wait_any(words, used, longest_ns) == HERMES_ENOTSUP)
        (void)futex_wait(words[0].word, words[0].expected,
                         has_sync_topics(watch) ? poll_ns : watch->persister->interval_ns);
}

static void *watch_main(void *argument)
{
    struct watch *watch = argument;
    for (;;) {
        /* Before the logs, and whether it is to stop, are looked at: who sleeps on a bell that was rung for
         * that sleeps for good. Acquire pairs with the release in ring(). */
        struct futex_word words[FUTEX_WORDS_MAX] = {
            {&watch->bell, atomic_load_explicit(&watch->bell, memory_order_acquire)}};
        if (atomic_load_explicit(&watch->stop, memory_order_relaxed))
            return NULL;
        pthread_mutex_lock(&watch->lock);
        unsigned used = 1 + gather(watch, words + 1);
        bool found = ring_tasks(watch);
        pthread_mutex_unlock(&watch->lock);
        if (!found)
            sleep_on(watch, words, used);
    }
}

static bool try_to_join(struct watch *watch, struct persisting *persisting)
{
    pthread_mutex_lock(&watch->lock);
    bool fits = watch->count < WATCH_LOGS;
    if (fits) {
        persisting->slot = watch->count;
        persisting->watch = watch;
        atomic_store_explicit(&persisting->parked, true, memory_order_relaxed);
        watch->logs[watch->count++] = persisting;
    }
    pthread_mutex_unlock(&watch->lock);
    if (fits)
        ring(watch);
    return fits;
}

static struct watch *new_watch(struct persister *persister)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->persister = persister;
    pthread_mutex_init(&watch->lock, NULL);
    if (thread_start(&watch->thread, watch_main, watch) < 0) {
        pthread_mutex_destroy(&watch->lock);
        free(watch);
        return NULL;
    }
    watch->next = persister->watches;
    persister->watches = watch;
    return watch;
}

bool watch_join(struct persister *persister, struct persisting *persisting)
{
    /* Relaxed: raised here alone, and who lowers it rings. */
    if (atomic_load_explicit(&persisting->parked, memory_order_relaxed))
        return true;
    pthread_mutex_lock(&persister->lock);
    struct watch *watch = persister->watches;
    while (watch != NULL && !try_to_join(watch, persisting))
        watch = watch->next;
    bool joined = watch != NULL;
    if (!joined) {
        watch = new_watch(persister);
        joined = watch != NULL && try_to_join(watch, persisting);
    }
    pthread_mutex_unlock(&persister->lock);
    return joined;
}

void watch_leave(struct persisting *persisting)
{
    struct watch *watch = persisting->watch;
    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->lock);
    if (atomic_load_explicit(&persisting->parked, memory_order_relaxed))
        drop(watch, persisting);
    pthread_mutex_unlock(&watch->lock);
    persisting->watch = NULL;
}

void watch_stop_all(struct persister *persister)
{
    while (persister->watches != NULL) {
        struct watch *watch = persister->watches;
        persister->watches = watch->next;
        atomic_store_explicit(&watch->stop, true, memory_order_relaxed); /* ring() tells */
        ring(watch);
        pthread_join(watch->thread, NULL);
        pthread_mutex_destroy(&watch->lock);
        free(watch);
    }
}
