#include "remote/source.h"

#include <stdlib.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 1024 };

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

int source_open(struct source *source, struct log *log)
{
    *source = (struct source){.log = log, .fd = -1};
    source->stage = malloc(SOURCE_STAGE_BYTES);
    if (source->stage == NULL)
        return HERMES_ENOMEM;
    int rc = reader_open(&source->tail, log->status, log->doorbell,
                         (struct reader_source){open_window, open_segment, log}, VERIFY_STORE_ONLY);
    if (rc < 0)
        free(source->stage);
    return rc;
}

static void forget_segment(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    source->staged = source->staged_end = 0;
}

void source_close(struct source *source)
{
    forget_segment(source);
    reader_close(&source->tail);
    free(source->stage);
}

bool source_follow(struct source *source)
{
    hermes_message_t message;
    int rc = 1;
    for (int i = 0; i < MESSAGES_A_TURN && rc > 0; i++)
        rc = reader_poll(&source->tail, &message);
    return rc > 0;
}

uint64_t source_first(const struct source *source)
{
    /* Acquire pairs with log_retain(). */
    return atomic_load_explicit(&source->log->status->first, memory_order_acquire);
}

/* ---- bytes ---- */

static bool from_window(const struct source *source, uint64_t position, uint32_t length, uint8_t *to)
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

static bool enter_segment(struct source *source, uint64_t position)
{
    struct store_place place;
    struct segment_header header;
    if (source->fd >= 0 && position >= source->base && position - source->base < source->segment_bytes)
        return true;
    forget_segment(source);
    if (open_segment(source->log, STORE_BY_POSITION, position, &place) < 0)
        return false;
    source->fd = place.fd;
    if (segment_read_header(place.fd, &header) < 0)
        return false;
    source->base = header.base;
    source->segment_bytes = header.size;
    return position >= header.base && position - header.base < header.size;
}

/* By pread(2): a mapping of a file that somebody cuts short would kill. */
static bool stage(struct source *source, uint64_t position)
{
    /* Acquire pairs with log_persist(). */
    uint64_t persisted = atomic_load_explicit(&source->log->status->persisted, memory_order_acquire);
    uint64_t end = source->base + source->segment_bytes;
    end = end < persisted ? end : persisted;
    if (position >= end)
        return false;
    uint64_t bytes = end - position < SOURCE_STAGE_BYTES ? end - position : SOURCE_STAGE_BYTES;
    ssize_t got =
        pread(source->fd, source->stage, bytes, (off_t)(SEGMENT_HEADER_BYTES + position - source->base));
    source->staged = position;
    source->staged_end = position + (got > 0 ? (uint64_t)got : 0);
    return got > 0;
}

static bool from_store(struct source *source, uint64_t position, uint32_t length, uint8_t *to)
{
    while (length > 0) {
        bool there = position >= source->staged && position < source->staged_end;
        if (!there && (!enter_segment(source, position) || !stage(source, position)))
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

bool source_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    struct source *source = context;
    if (from_window(source, position, length, to) || from_store(source, position, length, to))
        return true;
    *first = source_first(source);
    return false;
}

/* ---- epochs ---- */

static bool find_epoch(const struct source *source, uint32_t epoch, struct epoch_record *record)
{
    return status_find_epoch(source->log->status, epoch, record) ||
           epochs_find(&source->log->epochs, epoch, record) == 0;
}

uint64_t source_epoch_end(void *context, uint32_t epoch)
{
    const struct source *source = context;
    struct epoch_record record;
    if (epoch == source->log->epoch)
        return UINT64_MAX;
    return find_epoch(source, epoch, &record) && record.end != EPOCH_OPEN ? record.end_position : 0;
}

uint64_t source_epoch_position(const struct source *source)
{
    struct epoch_record record;
    return find_epoch(source, source->log->epoch, &record) ? record.first_position : 0;
}
