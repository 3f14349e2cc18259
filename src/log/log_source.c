#include "log/log_source.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 4096, BYTES_A_TURN = 1024 * 1024, PATIENCE_NS = 10000000 };

static int open_window(void *context, uint32_t epoch, int *fd)
{
    return log_window_reader_fd(context, epoch, fd);
}

static int open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct log *log = context;
    struct error_text ignored;
    return store_find(&log->store, key, value, place, &ignored);
}

static bool is_stored(const struct log_source *source)
{
    return source->log->durability != DURABILITY_MEMORY;
}

/* The first frame that exists. */
static uint64_t find_first(const struct log_source *source)
{
    /* Acquire pairs with log_retain(). */
    return is_stored(source) ? atomic_load_explicit(&source->log->status->first, memory_order_acquire)
                             : window_oldest(source->tail.window, source->tail.position);
}

int log_source_open(struct log_source *source, struct log *log)
{
    *source = (struct log_source){.log = log, .fd = -1};
    source->stage = malloc(LOG_SOURCE_STAGE_BYTES);
    if (source->stage == NULL)
        return HERMES_ENOMEM;
    int rc = reader_open(&source->tail, log->status, log->doorbell,
                         (struct reader_source){open_window, open_segment, log}, VERIFY_STORE_ONLY);
    if (rc < 0) {
        free(source->stage);
        return rc;
    }
    source->first = find_first(source);
    return HERMES_OK;
}

static void forget_segment(struct log_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    source->staged = source->staged_end = 0;
}

void log_source_close(struct log_source *source)
{
    forget_segment(source);
    reader_close(&source->tail);
    free(source->stage);
}

static void raise_first(struct log_source *source, uint64_t first)
{
    if (first > source->first)
        source->first = first;
}

/* Behind what cannot be read, and so cannot be copied. false: there is no way past it, or not yet. */
static bool pass_over(struct log_source *source, int error, uint64_t before)
{
    if (error == HERMES_ECLOSED)
        return false;
    raise_first(source, source->tail.position);
    return source->tail.position > before || error == HERMES_ECORRUPT;
}

bool log_source_follow(struct log_source *source)
{
    struct reader *tail = &source->tail;
    uint64_t until = tail->position + BYTES_A_TURN;
    hermes_message_t message;
    bool more = true;
    for (int i = 0; i < MESSAGES_A_TURN && tail->position < until && more; i++) {
        uint64_t before = tail->position;
        int rc = reader_poll(tail, &message);
        more = rc > 0 || (rc < 0 && pass_over(source, rc, before));
    }
    if (is_stored(source))
        raise_first(source, find_first(source));
    return more;
}

void log_source_leap(struct log_source *source)
{
    (void)reader_seek_end(&source->tail); /* should it fail, it is as far behind as it was */
    source->first = find_first(source);
}

static bool from_window(const struct log_source *source, uint64_t position, uint32_t length, uint8_t *to)
{
    const struct reader *tail = &source->tail;
    uint64_t capacity = tail->mask + 1, at = position & tail->mask;
    if (position + capacity < tail->position || !window_still_there(tail->window, position))
        return false;
    uint64_t run = capacity - at < length ? capacity - at : length;
    window_copy_out(to, tail->data + at, run);
    window_copy_out(to + run, tail->data, length - run);
    return window_still_there(tail->window, position);
}

static int enter_segment(struct log_source *source, uint64_t position)
{
    struct log *log = source->log;
    struct store_place place;
    struct error_text ignored;
    if (source->fd >= 0 && position >= source->base && position - source->base < log->store.segment_bytes)
        return HERMES_OK;
    forget_segment(source);
    int rc = store_find(&log->store, STORE_BY_POSITION, position, &place, &ignored);
    if (rc < 0)
        return rc;
    source->fd = place.fd;
    source->base = position - position % log->store.segment_bytes;
    return HERMES_OK;
}

/* By pread(2): a file that somebody cuts short is an error then. How many bytes; or -1. */
static ssize_t read_on(struct log_source *source, uint64_t position, uint64_t end)
{
    uint64_t bytes = end - position < LOG_SOURCE_STAGE_BYTES ? end - position : LOG_SOURCE_STAGE_BYTES;
    ssize_t got =
        pread(source->fd, source->stage, bytes, (off_t)(SEGMENT_HEADER_BYTES + position - source->base));
    source->staged = position;
    source->staged_end = position + (got > 0 ? (uint64_t)got : 0);
    return got > 0 ? got : -1;
}

/* What comes next of the store. A segment that cannot be read is gone; but for want of descriptors or memory,
 * which is tried again. */
static bool stage(struct log_source *source, uint64_t position)
{
    if (position >= source->staged && position < source->staged_end)
        return true;
    /* Acquire pairs with log_persist(): those bytes are in the file. */
    uint64_t persisted = atomic_load_explicit(&source->log->status->persisted, memory_order_acquire);
    if (position >= persisted)
        return false;
    uint64_t size = source->log->store.segment_bytes, next = position - position % size + size;
    int rc = enter_segment(source, position);
    if (rc == 0 && read_on(source, position, next < persisted ? next : persisted) > 0)
        return true;
    if (rc == HERMES_ELIMIT || rc == HERMES_ENOMEM)
        (void)nanosleep(&(struct timespec){0, PATIENCE_NS}, NULL);
    else
        raise_first(source, next < source->tail.position ? next : source->tail.position);
    return false;
}

/* Some of it from the store, and where the window still has all that is left, that from there: what was
 * overwritten is stored, but perhaps not much more. */
static bool copy_out(struct log_source *source, uint64_t position, uint32_t length, uint8_t *to)
{
    while (length > 0 && !from_window(source, position, length, to)) {
        if (!is_stored(source) || !stage(source, position))
            return false;
        uint64_t left = source->staged_end - position;
        uint32_t run = left < length ? (uint32_t)left : length;
        memcpy(to, source->stage + (position - source->staged), run);
        position += run;
        to += run;
        length -= run;
    }
    return true;
}

bool log_source_bytes(struct log_source *source, uint64_t position, uint32_t length, uint8_t *to,
                      uint64_t *first)
{
    if (position >= source->first && position + length <= source->tail.position &&
        copy_out(source, position, length, to))
        return true;
    raise_first(source, find_first(source));
    *first = source->first;
    return false;
}

bool log_source_epoch(const struct log_source *source, uint32_t epoch, struct epoch_record *record)
{
    return status_find_epoch(source->log->status, epoch, record) ||
           epochs_find(&source->log->epochs, epoch, record) == 0;
}

uint64_t log_source_epoch_end(const struct log_source *source, uint32_t epoch, uint32_t latest)
{
    struct epoch_record record;
    if (!log_source_epoch(source, epoch, &record))
        return 0;
    uint64_t end = record.end == EPOCH_OPEN ? UINT64_MAX : record.end_position;
    for (uint32_t later = latest; later > epoch && latest - later < EPOCHS_KEPT; later--)
        if (log_source_epoch(source, later, &record) && record.first_position < end)
            end = record.first_position;
    return end;
}
