#include "broker/persister.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

/* So long without a commit, and every log is watched instead of looked at. */
static const uint64_t quiet_ns = 1000000000;
/* How often sync topics are looked at where they cannot be watched. */
static const uint64_t poll_ns = 500000;

struct pass {
    bool pending;     /* some log is not clean yet */
    bool sync_topics; /* there are such */
    bool ages;        /* something is kept for a time only */
};

/* A store that failed is out for good; one without room is tried again after an interval. The others do not
 * wait for either. */
static bool is_out(const struct log *log, uint64_t now)
{
    return log->failed || now < log->retry_ns;
}

/* Copies everything that stands there now. Sync topics are synced at once: one sync for all that came
 * while the last one was under way. The others wait for their interval. */
static struct pass persist_all(struct persister *persister, uint64_t now, bool sync)
{
    struct pass pass = {false, false, false};
    pthread_mutex_lock(&persister->lock);
    for (unsigned i = 0; i < persister->count; i++) {
        struct log *log = persister->logs[i];
        bool sync_topic = log->durability == DURABILITY_SYNC;
        if (is_out(log, now)) {
            pass.pending |= !log->failed;
            continue;
        }
        int64_t done;
        uint64_t budget = 2 * log->capacity; /* then the others have their turn */
        do {
            done = log_persist(log, log->capacity / 4);
            budget -= done > 0 ? (uint64_t)done : 0;
        } while (done > 0 && budget <= 2 * log->capacity);
        int rc = done < 0 ? (int)done : 0;
        if ((sync || sync_topic) && rc == 0)
            rc = log_sync(log);
        if (sync && rc == 0) {
            log_prepare(log);
            rc = log_retain(log);
        }
        pass.ages |= atomic_load_explicit(&log->keep_ns, memory_order_relaxed) != 0;
        if (rc < 0) {
            log->retry_ns = now + persister->interval_ms * 1000000ull;
            persister->trouble(persister->context, log, rc);
        }
        pass.pending |= done != 0 || log->store.dirty;
        pass.sync_topics |= sync_topic;
    }
    pthread_mutex_unlock(&persister->lock);
    return pass;
}

/* Would a commit to this log have to wake the persister? */
static bool watched(const struct log *log, bool all, uint64_t now)
{
    if (is_out(log, now))
        return false;
    return log->durability == DURABILITY_SYNC || (all && log->durability != DURABILITY_MEMORY);
}

/*
 * Sleeps until the writer of a watched log commits, or somebody rings: not longer than timeout_ns, which is
 * never much, because the parked flags stand where subscribers may lower them. Watched are the sync topics,
 * and all others too when everything is quiet. false: this kernel, or that many topics, do not allow it.
 */
static bool park(struct persister *persister, uint32_t bell, bool all, uint64_t timeout_ns)
{
    struct futex_word words[FUTEX_WORDS_MAX] = {{persister->bell, bell}};
    uint64_t now = clock_monotonic_ns();
    unsigned used = 1;
    bool fits = true, more = false;
    pthread_mutex_lock(&persister->lock);
    for (unsigned i = 0; i < persister->count && fits; i++)
        if (watched(persister->logs[i], all, now)) {
            fits = used < FUTEX_WORDS_MAX;
            if (fits)
                words[used++] = log_park(persister->logs[i]);
        }
    barrier_remote(); /* pairs with barrier_publisher() of every writer */
    for (unsigned i = 0; i < persister->count; i++)
        more |= watched(persister->logs[i], all, now) && log_has_more(persister->logs[i]);
    pthread_mutex_unlock(&persister->lock);
    return fits && (more || futex_wait_any(words, used, timeout_ns) != HERMES_ENOTSUP);
}

static void *persister_main(void *argument)
{
    struct persister *persister = argument;
    uint64_t interval = (uint64_t)persister->interval_ms * 1000000u, last_sync = 0, busy_at = 0;
    while (!atomic_load_explicit(&persister->stop, memory_order_acquire)) {
        /* Acquire pairs with the release in persister_ring(). */
        uint32_t bell = atomic_load_explicit(persister->bell, memory_order_acquire);
        uint64_t now = clock_monotonic_ns();
        bool sync = now - last_sync >= interval;
        struct pass pass = persist_all(persister, now, sync);
        if (sync)
            last_sync = now;
        if (pass.pending)
            busy_at = now;
        bool quiet = now - busy_at >= quiet_ns;
        if (!pass.pending && atomic_load_explicit(&persister->publishers, memory_order_acquire) == 0)
            futex_wait(persister->bell, bell, pass.ages ? quiet_ns : FUTEX_FOREVER);
        else if ((!quiet && !pass.sync_topics) || !park(persister, bell, quiet, quiet ? quiet_ns : interval))
            futex_wait(persister->bell, bell, pass.sync_topics ? poll_ns : interval);
    }
    return NULL;
}

int persister_start(struct persister *persister, uint32_t interval_ms)
{
    pthread_mutex_init(&persister->lock, NULL);
    persister->interval_ms = interval_ms;
    int rc = map_create_memfd("hermes-persister", 4096, &persister->bell_map, &persister->bell_fd);
    if (rc == 0)
        rc = map_seal_future_writes(persister->bell_fd);
    if (rc < 0)
        return rc;
    persister->bell = persister->bell_map.address;
    rc = thread_start(&persister->thread, persister_main, persister);
    persister->running = rc == 0;
    return rc;
}

int persister_add(struct persister *persister, struct log *log)
{
    int rc = HERMES_OK;
    pthread_mutex_lock(&persister->lock);
    if (persister->count == persister->room) {
        unsigned room = persister->room == 0 ? 64 : persister->room * 2;
        struct log **grown = realloc(persister->logs, room * sizeof *grown);
        if (grown == NULL) {
            rc = HERMES_ENOMEM;
        } else {
            persister->logs = grown;
            persister->room = room;
        }
    }
    if (rc == 0)
        persister->logs[persister->count++] = log;
    pthread_mutex_unlock(&persister->lock);
    return rc;
}

void persister_remove(struct persister *persister, struct log *log)
{
    pthread_mutex_lock(&persister->lock);
    for (unsigned i = 0; i < persister->count; i++)
        if (persister->logs[i] == log) {
            persister->logs[i] = persister->logs[--persister->count];
            break;
        }
    pthread_mutex_unlock(&persister->lock);
}

void persister_ring(struct persister *persister)
{
    atomic_fetch_add_explicit(persister->bell, 1, memory_order_release);
    futex_wake_all(persister->bell);
}

void persister_stop(struct persister *persister)
{
    if (persister->running) {
        atomic_store_explicit(&persister->stop, true, memory_order_release);
        persister_ring(persister);
        pthread_join(persister->thread, NULL);
    }
    free(persister->logs);
    persister->logs = NULL;
    if (persister->bell != NULL) {
        map_release(&persister->bell_map);
        close(persister->bell_fd);
        persister->bell = NULL;
    }
    persister->running = false;
}
