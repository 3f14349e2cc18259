/*
 * What a log hands on to its store: stored, confirmed, retained. All of it by one thread at a time, and
 * without the log's lock wherever a disk may be slow: what others read meanwhile is in the status page, or
 * published by the store (store.h).
 */
#include "log/frames.h"
#include "log/log.h"

/* A full disk does, and so does a want of descriptors or memory, which keeps a segment from being opened
 * before a byte of it is written. Any other refusal is final, and never tried again as if it had not been. */
static bool heals(int rc)
{
    return rc == HERMES_EFULL || rc == HERMES_ELIMIT || rc == HERMES_ENOMEM;
}

static void fail(struct log *log, int error)
{
    log->failed = true;
    atomic_store(&log->status->error, (uint32_t)-error);
    atomic_store(&log->status->state, STATE_FAILED);
}

/* Behind the frames of the copy, which are right by their headers. Checksums are not looked at: what is wrong
 * there is wrong in the window too, and readers are told either way. */
static struct window_end walk_copy(const uint8_t *copy, uint64_t from, uint64_t sequence, uint64_t end)
{
    struct frames frames = {.data = copy, .base = from, .end = end, .position = from, .sequence = sequence};
    struct frame frame;
    int rc;
    while ((rc = frames_next(&frames, &frame)) > 0)
        ;
    if (rc == HERMES_ENOTFOUND)
        rc = HERMES_EMALFORMED; /* taken back while it was copied: not by a publisher of ours */
    return (struct window_end){frames.position, frames.sequence, rc};
}

/*
 * Copies up to limit bytes that stand committed into the store's stage, under the lock. A copy, because the
 * window is its publisher's to write to, and may be replaced while the disk is slow: what is stored is what
 * was checked.
 */
static struct window_end take_committed(struct log *log, uint64_t limit, uint32_t *epoch)
{
    const uint64_t mask = log->capacity - 1, from = log->store.position, sequence = log->store.sequence;
    uint64_t boundary = (from | mask) + 1; /* a multiple of C: neither window nor segment goes on there */
    if (limit > STORE_STAGE_BYTES - FRAME_MAX_BYTES)
        limit = STORE_STAGE_BYTES - FRAME_MAX_BYTES;
    uint64_t until = from + limit < boundary ? from + limit : boundary;
    log_lock(log);
    if (log->ended && until > log->end.position)
        until = log->end.position; /* a commit that came after the seal does not count */
    const uint8_t *data = log->window->data;
    struct window_end end = window_walk(data, mask, from, sequence, until);
    if (end.position > from)
        window_copy_out(log->store.stage, data + (from & mask), (size_t)(end.position - from));
    *epoch = log->epoch;
    log_unlock(log);
    return end.position > from ? walk_copy(log->store.stage, from, sequence, end.position) : end;
}

int64_t log_persist(struct log *log, uint64_t limit)
{
    if (log->durability == DURABILITY_MEMORY)
        return 0;
    if (log->failed)
        return HERMES_EIO;
    struct status *status = log->status;
    uint32_t epoch;
    int rc = store_stage(&log->store, &log->error);
    if (rc < 0)
        return rc;
    uint64_t from = log->store.position;
    struct window_end end = take_committed(log, limit, &epoch);
    if (end.position == from)
        return end.error;
    rc = store_append(&log->store, log->store.stage, (size_t)(end.position - from), end.sequence, epoch,
                      &log->error);
    atomic_store_explicit(&status->full, rc == HERMES_EFULL, memory_order_relaxed);
    if (rc < 0) {
        if (!heals(rc))
            fail(log, rc);
        return rc;
    }
    atomic_store_explicit(&status->persisted_sequence, end.sequence, memory_order_relaxed);
    /* Release pairs with the writer's acquire of its gate and with readers of the store. */
    atomic_store_explicit(&status->persisted, end.position, memory_order_release);
    return (int64_t)(end.position - from);
}

static void confirm(struct log *log)
{
    struct status *status = log->status;
    if (atomic_load_explicit(&status->durable, memory_order_relaxed) == log->store.position)
        return;
    /* Release pairs with the acquire of who waits for durability, by sequence or by position. */
    atomic_store_explicit(&status->durable_sequence, log->store.sequence, memory_order_release);
    atomic_store_explicit(&status->durable, log->store.position, memory_order_release);
    atomic_fetch_add_explicit(&status->durable_bell, 1, memory_order_release);
    futex_wake_all(&status->durable_bell);
}

int log_sync(struct log *log)
{
    if (log->durability == DURABILITY_MEMORY)
        return HERMES_OK;
    if (log->failed)
        return HERMES_EIO;
    bool dirty = log->store.dirty;
    int rc = dirty ? store_sync(&log->store, &log->error) : HERMES_OK;
    if (rc < 0) {
        fail(log, rc);
        return rc;
    }
    confirm(log);
    rc = dirty
             ? store_checkpoint(&log->store, atomic_load_explicit(&log->status->epoch, memory_order_relaxed),
                                &log->error)
             : HERMES_OK;
    if (rc == HERMES_EFULL) /* nobody waits for it, and the next one may find room */
        return HERMES_OK;
    if (rc < 0)
        fail(log, rc);
    return rc;
}

void log_prepare(struct log *log)
{
    struct error_text ignored;
    if (log->durability != DURABILITY_MEMORY && !log->failed)
        (void)store_prepare(&log->store, &ignored);
}

int log_retain(struct log *log)
{
    uint64_t bytes = atomic_load_explicit(&log->keep_bytes, memory_order_relaxed);
    uint64_t age = atomic_load_explicit(&log->keep_ns, memory_order_relaxed);
    if (log->durability == DURABILITY_MEMORY || (bytes == 0 && age == 0))
        return 0;
    uint64_t next;
    int count = 0, rc = HERMES_OK;
    while (rc == 0 && !log->failed && (next = store_retires(&log->store, bytes, age)) != 0 &&
           next <= atomic_load_explicit(&log->status->durable, memory_order_relaxed)) {
        /* Before it is deleted: who is told of a position finds it. Release pairs with readers' acquire. */
        atomic_store_explicit(&log->status->first, next, memory_order_release);
        rc = store_retire(&log->store, &log->error);
        count += rc == 0;
    }
    return rc < 0 ? rc : count;
}
