#include "broker/persister.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/watch.h"
#include "counters/page.h"

/* So long without a commit, and a log is parked. */
static const uint64_t quiet_ns = 100000000;
/* How often a sync topic is looked at that cannot be watched. */
static const uint64_t poll_ns = 500000;
/* Where messages are kept for a time only, an idle log is looked at eight times in it, within these. */
static const uint64_t retain_soonest_ns = 1000000000, retain_latest_ns = 10000000000u;

static struct persisting *of(struct task *task)
{
    return (struct persisting *)(void *)((char *)task - offsetof(struct persisting, task));
}

static bool is_sync(const struct persisting *persisting)
{
    return persisting->log->durability == DURABILITY_SYNC;
}

/* ---- one look ---- */

/* Copies what stands there now, but not for ever: others want to have their turn, and the sync comes after
 * it. Who came near the writer leaves it alone: going on would be a write for each few messages, and take the
 * lines away that it writes to. Returns how much. */
static int64_t copy(struct log *log)
{
    const uint64_t quarter = log->capacity / 4,
                   most = quarter < LOG_PERSIST_BYTES ? quarter : LOG_PERSIST_BYTES;
    int64_t done, all = 0;
    do {
        done = log_persist(log, most);
        all += done > 0 ? done : 0;
    } while (done >= (int64_t)most / 2 && (uint64_t)all < 2 * log->capacity);
    return done < 0 ? done : all;
}

/* A store that failed is out for good. One without room, and a window with a malformed frame until its
 * publisher is gone, are looked at again after an interval. */
static uint64_t troubled(struct persisting *persisting, uint64_t now_ns, int error)
{
    struct persister *persister = persisting->persister;
    struct log *log = persisting->log;
    persister->trouble(persister->context, log, error);
    if (persisting->counters != NULL)
        counters_add(persisting->counters, STORE_TROUBLES, 1);
    log->retry_ns = now_ns + persister->interval_ns;
    return log->failed ? TASK_WHEN_RUNG : log->retry_ns;
}

static uint64_t park(struct persisting *persisting, uint64_t now_ns)
{
    struct persister *persister = persisting->persister;
    if (!watch_join(persister, persisting))
        return now_ns + (is_sync(persisting) ? poll_ns : persister->interval_ns);
    uint64_t look_ns = atomic_load_explicit(&persisting->log->keep_ns, memory_order_relaxed) / 8;
    if (look_ns == 0)
        return TASK_WHEN_RUNG;
    look_ns = look_ns < retain_soonest_ns ? retain_soonest_ns : look_ns;
    return now_ns + (look_ns > retain_latest_ns ? retain_latest_ns : look_ns);
}

/* Sleeps until the next commit, if a worker can be spared: it comes back without another thread's help. true:
 * there is something to look at, or somebody wants the task. */
static bool linger_for_commit(struct persisting *persisting, uint32_t bell)
{
    struct persister *persister = persisting->persister;
    if (!workers_may_linger(persister->workers))
        return false;
    struct futex_word words[] = {{persisting->bell, bell}, log_park(persisting->log)};
    barrier_remote(); /* pairs with barrier_publisher() of the writer */
    return log_has_more(persisting->log) || futex_wait_any(words, 2, persister->interval_ns) == HERMES_OK;
}

static uint64_t next_look(struct persisting *persisting, uint64_t now_ns, uint32_t bell, uint64_t moved)
{
    struct persister *persister = persisting->persister;
    if (is_sync(persisting)) /* what came while it was synced has a sync of its own */
        return moved > 0 || linger_for_commit(persisting, bell) ? 0 : park(persisting, now_ns);
    if (now_ns - persisting->busy_ns >= quiet_ns)
        return park(persisting, now_ns);
    uint64_t due_ns = persisting->ticked_ns + persister->interval_ns;
    if (moved >= persisting->log->capacity / 8) /* it fills up: sooner, in case nobody hears its bell */
        due_ns = now_ns + persister->interval_ns / 8;
    uint64_t clock_ns = clock_monotonic_ns();
    if (due_ns <= clock_ns || !workers_may_linger(persister->workers))
        return due_ns;
    futex_wait(persisting->bell, bell, due_ns - clock_ns);
    return 0;
}

/* What has to be synced takes as long as a disk does, which is counted. */
static int sync_store(struct persisting *persisting)
{
    struct counters_entry *counters = persisting->counters;
    if (counters == NULL || !persisting->log->store.dirty)
        return log_sync(persisting->log);
    uint64_t start_ns = clock_monotonic_ns();
    int rc = log_sync(persisting->log);
    uint64_t took_ns = clock_monotonic_ns() - start_ns;
    counters_add(counters, STORE_SYNCS, 1);
    counters_add(counters, STORE_SYNC_NS, took_ns);
    if (took_ns > atomic_load_explicit(&counters->value[STORE_LONGEST_SYNC_NS], memory_order_relaxed))
        counters_set(counters, STORE_LONGEST_SYNC_NS, took_ns);
    return rc;
}

/* Even where there was trouble: a full disk is no reason not to sync what is there, and not to delete what is
 * kept for too long. That is what makes room again. */
static int confirm(struct persisting *persisting, uint64_t now_ns, bool trouble)
{
    struct log *log = persisting->log;
    /* Acquire pairs with the release in persister_ring(). This look may be the last for long. */
    bool altered = atomic_exchange_explicit(&persisting->altered, false, memory_order_acquire);
    /* Who is parked looks seldom, and each time at what is to be kept. Relaxed: as in look(). */
    bool tick = trouble || altered || atomic_load_explicit(&persisting->parked, memory_order_relaxed) ||
                now_ns - persisting->ticked_ns >= persisting->persister->interval_ns;
    if (log->failed || !(tick || is_sync(persisting)))
        return HERMES_OK;
    int rc = sync_store(persisting);
    if (rc < 0 || !tick)
        return rc;
    persisting->ticked_ns = now_ns;
    rc = log_retain(log);
    log_prepare(log);
    return rc < 0 ? rc : HERMES_OK;
}

static uint64_t look(struct task *task, uint64_t now_ns)
{
    struct persisting *persisting = of(task);
    struct log *log = persisting->log;
    /* Before the window is looked at. Acquire pairs with the release in interrupt(). */
    uint32_t bell = atomic_load_explicit(persisting->bell, memory_order_acquire);
    if (log->failed)
        return TASK_WHEN_RUNG;
    if (now_ns < log->retry_ns)
        return log->retry_ns;
    int64_t moved = copy(log);
    int rc = confirm(persisting, now_ns, moved < 0);
    if (moved < 0)
        rc = (int)moved;
    if (moved != 0 || rc < 0)
        watch_leave(persisting);
    if (rc < 0)
        return troubled(persisting, now_ns, rc);
    if (moved > 0 || log->store.dirty)
        persisting->busy_ns = now_ns;
    /* Relaxed: should the watch lower it just now, it rings. */
    if (atomic_load_explicit(&persisting->parked, memory_order_relaxed))
        return park(persisting, now_ns);
    return next_look(persisting, now_ns, bell, (uint64_t)moved);
}

/* ---- the task ---- */

static void interrupt(struct task *task)
{
    struct persisting *persisting = of(task);
    atomic_fetch_add_explicit(persisting->bell, 1, memory_order_release);
    futex_wake_all(persisting->bell);
}

static void left(struct task *task)
{
    watch_leave(of(task));
}

int persister_prepare(struct persisting *persisting)
{
    if (persisting->bell != NULL)
        return HERMES_OK;
    int rc = map_create_memfd("hermes-persister", 4096, &persisting->bell_map, &persisting->bell_fd);
    if (rc < 0)
        return rc;
    persisting->bell = persisting->bell_map.address;
    rc = map_seal_future_writes(persisting->bell_fd);
    if (rc < 0)
        persister_release(persisting);
    return rc;
}

int persister_add(struct persister *persister, struct persisting *persisting, struct log *log)
{
    int rc = persister_prepare(persisting);
    if (rc < 0)
        return rc;
    persisting->task.run = look;
    persisting->task.interrupt = interrupt;
    persisting->task.left = left;
    persisting->log = log;
    persisting->persister = persister;
    persisting->busy_ns = clock_monotonic_ns();
    persisting->ticked_ns = 0;
    workers_add(persister->workers, &persisting->task);
    return HERMES_OK;
}

void persister_ring(struct persisting *persisting)
{
    /* Release pairs with the acquire in confirm(): what is to be kept was written before. */
    atomic_store_explicit(&persisting->altered, true, memory_order_release);
    workers_ring(persisting->persister->workers, &persisting->task);
}

void persister_release(struct persisting *persisting)
{
    if (persisting->bell == NULL)
        return;
    map_release(&persisting->bell_map);
    close(persisting->bell_fd);
    persisting->bell = NULL;
}

void persister_start(struct persister *persister, struct workers *workers, uint32_t interval_ms)
{
    persister->workers = workers;
    persister->interval_ns = (uint64_t)interval_ms * 1000000u;
    persister->watches = NULL;
    pthread_mutex_init(&persister->lock, NULL);
}

void persister_stop(struct persister *persister)
{
    if (persister->workers == NULL)
        return;
    watch_stop_all(persister);
    pthread_mutex_destroy(&persister->lock);
    persister->workers = NULL;
}
