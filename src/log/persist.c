/*
 * What a log hands on to its store: stored, confirmed, retained. All of it by one thread at a time, and
 * without the log's lock wherever a disk may be slow: what others read meanwhile is in the status page, or
 * published by the store (store.h).
 */
#include <inttypes.h>

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

/*
 * How far the window is committed from there on, as far as it is known at a glance: at most to until and the
 * end of the frame that stands there. The writer's word for it costs one line; its commit words are those
 * that it is about to write, and who fetches them one by one slows it down. They are what counts, though,
 * where it says nothing new: it may have died before it could.
 */
static struct window_end find_end(const struct log *log, struct window_end from, uint64_t until)
{
    uint64_t boundary = (from.position | (log->capacity - 1)) + 1; /* no frame crosses it */
    /* Acquire pairs with the release in window_after_commit(): what is below is complete. */
    uint64_t end =
        log->ended ? log->end.position : atomic_load_explicit(&log->window->position, memory_order_acquire);
    if (end <= from.position || end - from.position > log->capacity)
        return window_walk(log->window->data, log->capacity - 1, from.position, from.sequence,
                           log->ended && until > log->end.position ? log->end.position : until);
    end = end < until + FRAME_MAX_BYTES ? end : until + FRAME_MAX_BYTES;
    return (struct window_end){.position = end < boundary ? end : boundary};
}

/*
 * Copies what stands in the window up to end into the store's stage, and goes over the frames of the copy
 * that begin before until, which must be right by their headers: what is stored is what was checked. Marks
 * them for the index. In pieces that are still in the first cache when they are gone over. Checksums are not
 * looked at: what is wrong there is wrong in the window too, and readers are told either way. types: the bits
 * of all their types.
 */
static struct window_end copy_checked(struct log *log, struct window_end from, uint64_t until, uint64_t end,
                                      struct index_marks *marks, uint8_t *types)
{
    enum { PIECE_BYTES = 16384 };
    const uint8_t *data = log->window->data + (from.position & (log->capacity - 1));
    struct frames frames = {.data = log->store.stage,
                            .base = from.position,
                            .end = end,
                            .position = from.position,
                            .sequence = from.sequence};
    struct frame frame;
    int rc = 1;
    for (uint64_t copied = from.position; rc > 0 && copied < end;) {
        uint64_t offset = copied - from.position, left = end - copied;
        uint64_t bytes = left < PIECE_BYTES ? left : PIECE_BYTES;
        window_copy_out(log->store.stage + offset, data + offset, (size_t)bytes);
        copied += bytes;
        while (frames.position < copied && frames.position < until &&
               (rc = frames_next_message(&frames, &frame)) > 0) {
            index_mark(marks, &frame);
            *types |= frame.header.type;
        }
        if (frames.position >= until) /* the last frame's payload, and no more */
            end = frames.position;
    }
    /* Out of order, or taken back while it was copied: whatever is wrong, no publisher of ours did it. */
    return (struct window_end){frames.position, frames.sequence, rc < 0 ? HERMES_EMALFORMED : 0};
}

/*
 * Up to limit bytes that stand committed, into the store's stage, under the lock. A copy, because the window
 * is its publisher's to write to, and may be replaced while the disk is slow.
 */
static struct window_end take_committed(struct log *log, uint64_t limit, struct index_marks *marks,
                                        uint32_t *epoch, uint8_t *types)
{
    const struct window_end from = {.position = log->store.position, .sequence = log->store.sequence};
    uint64_t most = limit < LOG_PERSIST_BYTES ? limit : LOG_PERSIST_BYTES;
    uint64_t left =
        log->capacity - (from.position & (log->capacity - 1)); /* neither window nor segment goes on */
    uint64_t until = from.position + (most < left ? most : left);
    store_begin_marks(&log->store, marks);
    log_lock(log);
    struct window_end taken = find_end(log, from, until);
    if (taken.position > from.position)
        taken = copy_checked(log, from, until, taken.position, marks, types);
    *epoch = log->epoch;
    log_unlock(log);
    return taken;
}

int64_t log_persist(struct log *log, uint64_t limit)
{
    if (log->durability == DURABILITY_MEMORY)
        return 0;
    if (log->failed)
        return HERMES_EIO;
    struct status *status = log->status;
    struct index_marks marks;
    uint32_t epoch;
    uint8_t types = 0;
    int rc = store_stage(&log->store, &log->error);
    if (rc < 0)
        return rc;
    uint64_t from = log->store.position;
    struct frames frames = {
        .data = log->store.stage, .base = from, .position = from, .sequence = log->store.sequence};
    struct window_end end = take_committed(log, limit, &marks, &epoch, &types);
    if (end.position == from)
        return end.error;
    rc = store_append_marked(&log->store, log->store.stage, (size_t)(end.position - from), end.sequence,
                             epoch, &marks, &log->error);
    atomic_store_explicit(&status->full, rc == HERMES_EFULL, memory_order_relaxed);
    if (rc < 0) {
        if (!heals(rc))
            fail(log, rc);
        return rc;
    }
    frames.end = end.position;
    if ((types & HERMES_TYPE_ORIGIN) != 0)
        origins_note(&log->origins, frames, epoch);
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
    uint32_t epoch = atomic_load_explicit(&log->status->epoch, memory_order_relaxed);
    if (log->store.position - log->origins.position >= ORIGINS_STRIDE)
        (void)origins_save(&log->origins, log->store.position, epoch); /* else the next one will */
    rc = dirty ? store_checkpoint(&log->store, epoch, &log->error) : HERMES_OK;
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

/* ---- what is dropped ---- */

/* Its writer may have raised the window's limit just when it was purged. */
static void forget_purged(struct log *log)
{
    uint64_t floor = atomic_load_explicit(&log->store.floor, memory_order_relaxed);
    log_lock(log);
    if (floor > 0)
        window_forget(log->window, floor);
    log_unlock(log);
}

/* What goes is read no more at a start: who published it must be in the file. */
static void keep_origins(struct log *log, uint64_t keep_bytes, uint64_t keep_ns)
{
    uint64_t next = log->failed ? 0 : store_retires(&log->store, keep_bytes, keep_ns);
    if (next > log->origins.position && log_sync(log) == 0)
        (void)origins_save(&log->origins, log->store.position,
                           atomic_load_explicit(&log->status->epoch, memory_order_relaxed));
}

int log_retain(struct log *log)
{
    uint64_t bytes = atomic_load_explicit(&log->keep_bytes, memory_order_relaxed);
    uint64_t age = atomic_load_explicit(&log->keep_ns, memory_order_relaxed);
    uint64_t floor = atomic_load_explicit(&log->store.floor, memory_order_relaxed);
    if (log->durability == DURABILITY_MEMORY || (bytes == 0 && age == 0 && floor == 0))
        return 0;
    forget_purged(log);
    uint64_t next;
    int count = 0, rc = HERMES_OK;
    keep_origins(log, bytes, age);
    while (rc == 0 && !log->failed && (next = store_retires(&log->store, bytes, age)) != 0 &&
           next <= atomic_load_explicit(&log->status->durable, memory_order_relaxed)) {
        /* Before it is deleted: who is told of a position finds it. Release pairs with readers' acquire. */
        if (next > atomic_load_explicit(&log->status->first, memory_order_relaxed))
            atomic_store_explicit(&log->status->first, next, memory_order_release);
        rc = store_retire(&log->store, &log->error);
        count += rc == 0;
    }
    return rc < 0 ? rc : count;
}

/* For good, and nobody is sent back to what is older. Release pairs with readers' acquire. */
static void tell_readers(void *context, uint64_t floor)
{
    struct log *log = context;
    atomic_store_explicit(&log->status->first, floor, memory_order_release);
}

static int store_up_to(struct log *log, uint64_t end)
{
    int64_t done = 0;
    while (log->store.position < end && (done = log_persist(log, LOG_PERSIST_BYTES)) > 0)
        ;
    return done < 0 ? (int)done : HERMES_OK;
}

/* How many segments went. */
static int drop_stored(struct log *log)
{
    int rc = log_sync(log);
    if (rc < 0)
        return rc;
    rc = store_purge(&log->store, tell_readers, log, &log->error);
    if (rc < 0) {
        if (!heals(rc))
            fail(log, rc);
        return rc;
    }
    return log_retain(log); /* and what stands in the window is nobody's any more */
}

/* Only what is stored can go, or the next start would give its positions again. */
static int tell_what_stays(struct log *log, int rc, uint64_t end)
{
    struct error_text why = log->error;
    return error_say(&log->error, rc,
                     "what was stored is gone; %" PRIu64
                     " bytes stand in memory, and cannot go before they are stored: %.150s",
                     end - log->store.position, why.bytes);
}

int log_purge(struct log *log)
{
    /* What comes meanwhile would be without end. */
    const uint64_t end = log_committed(log).position;
    int stored, gone;
    if (log->durability == DURABILITY_MEMORY) {
        window_forget(log->window, end);
        return HERMES_OK;
    }
    do { /* on a full disk, what goes makes room for more that can go */
        stored = store_up_to(log, end);
        if (stored < 0 && !heals(stored) && stored != HERMES_EMALFORMED)
            return stored;
        struct error_text why = log->error;
        gone = drop_stored(log);
        if (gone >= 0 && stored < 0)
            log->error = why;
    } while (gone > 0 && heals(stored));
    if (gone < 0)
        return gone;
    return heals(stored) ? tell_what_stays(log, stored, end) : HERMES_OK;
}
