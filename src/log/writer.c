/* Who writes a log: the change from one writer to the next, as status.h draws it. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "log/log.h"

/* ---- ending ---- */

/* From where committed frames can be walked with known sequence: what is persisted; in a memory topic,
 * the writer's own word, which a stored topic never has to take. */
static void walk_start(const struct log *log, uint64_t *position, uint64_t *sequence)
{
    if (log->durability != DURABILITY_MEMORY) {
        *position = atomic_load_explicit(&log->status->persisted, memory_order_relaxed);
        *sequence = atomic_load_explicit(&log->status->persisted_sequence, memory_order_relaxed);
    } else {
        *position = atomic_load_explicit(&log->window->position, memory_order_acquire);
        *sequence = atomic_load_explicit(&log->window->sequence, memory_order_relaxed);
    }
}

/*
 * A memory topic's writer that died between its commit word and its position leaves them apart by one
 * frame or batch; the walk finds it. The two words themselves may be apart by the same accident, so the
 * sequence is taken from the first frame behind the position where there is one.
 */
static struct window_end find_end(struct log *log)
{
    uint64_t position, sequence, mask = log->capacity - 1;
    walk_start(log, &position, &sequence);
    if (log->durability == DURABILITY_MEMORY) {
        hermes_header_t header;
        uint64_t bytes;
        if (position % HERMES_FRAME_ALIGNMENT != 0)
            return (struct window_end){position & ~63ull, sequence, HERMES_EMALFORMED};
        if (window_poll(log->window->data, mask, position, &header, &bytes) > 0)
            sequence = header.sequence;
    }
    return window_walk(log->window->data, mask, position, sequence, position + log->capacity);
}

static void ring_bell(struct window *window)
{
    /* Release pairs with the acquire in reader_park() and log_park(). */
    atomic_fetch_add_explicit(&window->bell, 1, memory_order_release);
    futex_wake_all(&window->bell);
}

void log_end(struct log *log, enum epoch_end why)
{
    struct status *status = log->status;
    struct epoch_record record = {.epoch = log->epoch};
    if (log->ended)
        return;
    log_lock(log);
    /* (1), (2), (3), (4) of status.h. Release pairs with readers' acquire in status_load_seal(). */
    atomic_store_explicit(&status->seal, status_seal(log->instance, log->epoch), memory_order_release);
    barrier_remote();
    log->end = find_end(log);
    if (atomic_load(&status->writer) == WRITER_OWNER && log->writer.window == log->window)
        log->cut |= log->end.position != log->writer.position;
    (void)status_find_epoch(status, log->epoch, &record);
    record.end = why;
    record.end_position = log->end.position;
    record.end_sequence = log->end.sequence;
    status_note_epoch(status, &record);
    atomic_store(&status->writer, WRITER_NOBODY);
    if (log->readers != NULL) /* who died over its wait cannot take it back */
        readers_forget_wait(log->readers);
    log->ended = true;
    ring_bell(log->window);
    log_unlock(log);
}

/* ---- beginning ---- */

int log_make_window(struct log *log, uint32_t epoch, struct map *map, int *fd, struct error_text *text)
{
    char path[320];
    log_window_path(log->prefix, epoch, path, sizeof path);
    unlink(path); /* one that a crash left half made */
    int rc = map_create(path, WINDOW_HEADER_BYTES + log->capacity, map, fd);
    if (rc < 0)
        return error_set(text, rc, "cannot make the window %s of %" PRIu64 " bytes", path,
                         WINDOW_HEADER_BYTES + log->capacity);
    return HERMES_OK;
}

/*
 * The frames that are still readable move over, so no reader has to stay behind. The former writer may be
 * alive and not have seen the seal yet: what it overwrites meanwhile is below its limit, which it raises
 * first, and which is therefore asked for again afterwards.
 */
static void copy_window(const struct log *log, struct window *to)
{
    const struct window *from = log->window;
    uint64_t end = log->end.position, mask = log->capacity - 1;
    uint64_t oldest = end > log->capacity ? end - log->capacity : 0;
    uint64_t first = atomic_load_explicit(&from->overwrite_limit, memory_order_relaxed);
    first = (first + HERMES_FRAME_ALIGNMENT - 1) & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    first = first < oldest ? oldest : first;
    for (uint64_t p = first; p < end;) {
        uint64_t offset = p & mask, run = log->capacity - offset;
        run = run > end - p ? end - p : run;
        window_copy_out(to->data + offset, from->data + offset, run);
        p += run;
    }
    /* Pairs with the release fence in window_make_room(). */
    atomic_thread_fence(memory_order_acquire);
    uint64_t limit = atomic_load_explicit(&from->overwrite_limit, memory_order_relaxed);
    limit = limit > first ? limit : first;
    to->first = window_oldest(from, end);
    atomic_store_explicit(&to->overwrite_limit, limit < end ? limit : end, memory_order_relaxed);
    /* The next writer may be slow to come: readers must not take old bytes for its first frame. */
    atomic_store_explicit(window_commit_word(to->data, end & mask), 0, memory_order_relaxed);
}

/* The end of the current epoch, and the next one's number, for good: before anybody publishes in it. */
static int note_change(struct log *log, const struct epoch_record *next, struct error_text *text)
{
    struct epoch_record ended;
    int rc = HERMES_OK;
    if (status_find_epoch(log->status, log->epoch, &ended))
        rc = epochs_write(&log->epochs, &ended, text);
    return rc < 0 ? rc : epochs_write(&log->epochs, next, text);
}

static void enter(struct log *log, const struct epoch_record *next, struct map map, int fd)
{
    struct status *status = log->status;
    struct window *former = log->window;
    struct map former_map = log->window_map;
    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    log_lock(log);
    status_note_epoch(status, next);
    close(log->window_fd);
    log->window_map = map;
    log->window = map.address;
    log->window_fd = fd;
    log->epoch = next->epoch;
    log->ended = false;
    /* (6) Release pairs with the acquire of epoch in reader.c: the window is complete. */
    atomic_store_explicit(&status->epoch, next->epoch, memory_order_release);
    futex_wake_all(&status->epoch);
    ring_bell(former);
    log_unlock(log);
    unlink(path);
    map_release(&former_map);
}

bool log_is_fresh(const struct log *log)
{
    return !log->ended && !log_has_writer(log);
}

/* (5), (6) of status.h. */
int log_renew(struct log *log, struct error_text *text)
{
    if (log_is_fresh(log))
        return HERMES_OK;
    struct epoch_record next = {.epoch = (log->epochs.last > log->epoch ? log->epochs.last : log->epoch) + 1};
    struct map map;
    int fd;
    if (next.epoch == UINT32_MAX)
        return error_set(text, HERMES_ELIMIT, "no epoch is left: delete the topic and create it again");
    int rc = log_make_window(log, next.epoch, &map, &fd, text);
    if (rc < 0)
        return rc;
    log_end(log, EPOCH_REPLACED);
    next.first_position = next.end_position = log->end.position;
    next.first_sequence = next.end_sequence = log->end.sequence;
    rc = note_change(log, &next, text);
    if (rc < 0) {
        char path[320];
        log_window_path(log->prefix, next.epoch, path, sizeof path);
        unlink(path);
        map_release(&map);
        close(fd);
        return rc;
    }
    window_init(map.address, log->capacity, log->status->topic_id, next.epoch, next.first_position,
                next.first_sequence, !log->membarrier);
    copy_window(log, map.address);
    enter(log, &next, map, fd);
    return HERMES_OK;
}

void log_take(struct log *log, enum status_writer who)
{
    assert(log_is_fresh(log));
    atomic_store(&log->status->writer, who);
    if (who != WRITER_OWNER)
        return;
    struct window_writer_options options = {
        .window = log->window,
        .mark = &log->status->seal,
        .seal = status_load_seal(log->status),
        .gate = log->durability == DURABILITY_MEMORY ? NULL : &log->status->persisted,
        .readers = log->readers,
        .doorbell = log->doorbell,
        .persister_bell = log->persister_bell,
        .eventfd = -1,
        .epoch = log->epoch,
        .membarrier = barrier_register(),
    };
    window_writer_init(&log->writer, &options, log->window->position, log->window->sequence);
}

int log_begin(struct log *log, enum status_writer who, struct error_text *text)
{
    int rc = log_renew(log, text);
    if (rc == 0)
        log_take(log, who);
    return rc;
}
