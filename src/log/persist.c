/* What a log hands on to its store: stored, confirmed, retained. */
#include "base/clock.h"
#include "log/log.h"

static void fail(struct log *log, int error)
{
    log->failed = true;
    atomic_store(&log->status->error, (uint32_t)-error);
    atomic_store(&log->status->state, STATE_FAILED);
}

int64_t log_persist(struct log *log, uint64_t limit)
{
    if (log->durability == DURABILITY_MEMORY)
        return 0;
    log_lock(log);
    int64_t result = 0;
    uint64_t mask = log->capacity - 1, from = log->store.position;
    uint64_t boundary = (from | mask) + 1; /* a multiple of C: neither window nor segment goes on there */
    uint64_t until = from + limit < boundary ? from + limit : boundary;
    if (log->ended && until > log->end.position)
        until = log->end.position; /* a commit that came after the seal does not count */
    struct window_end end = window_walk(log->window->data, mask, from, log->store.sequence, until);
    if (log->failed) {
        result = HERMES_EIO;
    } else if (end.position > from) {
        int rc = store_append(&log->store, log->window->data + (from & mask), (size_t)(end.position - from),
                              end.sequence, log->epoch, &log->error);
        if (rc < 0) {
            /* A full disk heals; any other refusal does not, and is never retried as if it had not been. */
            if (rc != HERMES_EFULL)
                fail(log, rc);
            else
                atomic_store_explicit(&log->status->full, 1, memory_order_relaxed);
            result = rc;
        } else {
            atomic_store_explicit(&log->status->full, 0, memory_order_relaxed);
            result = (int64_t)(end.position - from);
            atomic_store_explicit(&log->status->persisted_sequence, end.sequence, memory_order_relaxed);
            /* Release pairs with the writer's acquire of its gate and with readers of the store. */
            atomic_store_explicit(&log->status->persisted, end.position, memory_order_release);
        }
    } else if (end.error < 0) {
        result = end.error;
    }
    log_unlock(log);
    return result;
}

int log_sync(struct log *log)
{
    if (log->durability == DURABILITY_MEMORY)
        return HERMES_OK;
    log_lock(log);
    int rc = HERMES_OK;
    struct status *status = log->status;
    bool dirty = log->store.dirty;
    if (log->failed)
        rc = HERMES_EIO;
    else if (dirty)
        rc = store_sync(&log->store, &log->error);
    if (rc == 0 && atomic_load_explicit(&status->durable, memory_order_relaxed) != log->store.position) {
        /* Release pairs with the acquire of who waits for durability, by sequence or by position. */
        atomic_store_explicit(&status->durable_sequence, log->store.sequence, memory_order_release);
        atomic_store_explicit(&status->durable, log->store.position, memory_order_release);
        atomic_fetch_add_explicit(&status->durable_bell, 1, memory_order_release);
        futex_wake_all(&status->durable_bell);
    }
    if (rc == 0 && dirty) /* nobody has to wait for that */
        rc = store_checkpoint(&log->store, log->epoch, &log->error);
    if (rc < 0 && !log->failed)
        fail(log, rc);
    log_unlock(log);
    return rc;
}

void log_prepare(struct log *log)
{
    struct error_text ignored;
    if (log->durability == DURABILITY_MEMORY)
        return;
    log_lock(log);
    if (!log->failed)
        (void)store_prepare(&log->store, &ignored);
    log_unlock(log);
}

int log_retain(struct log *log)
{
    uint64_t bytes = atomic_load_explicit(&log->keep_bytes, memory_order_relaxed);
    uint64_t age = atomic_load_explicit(&log->keep_ns, memory_order_relaxed);
    if (log->durability == DURABILITY_MEMORY || (bytes == 0 && age == 0))
        return 0;
    uint64_t now = clock_realtime_ns(), next;
    int count = 0, rc = HERMES_OK;
    log_lock(log);
    while (rc == 0 && !log->failed &&
           (next = store_retires(&log->store, bytes, age != 0 && now > age ? now - age : 0)) != 0 &&
           next <= atomic_load_explicit(&log->status->durable, memory_order_relaxed)) {
        /* Before it is deleted: who is told of a position finds it. Release pairs with readers' acquire. */
        atomic_store_explicit(&log->status->first, next, memory_order_release);
        rc = store_retire(&log->store, &log->error);
        count += rc == 0;
    }
    log_unlock(log);
    return rc < 0 ? rc : count;
}
