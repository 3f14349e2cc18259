#include "broker/stream/history.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log/frames.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

enum { PAGE_BYTES = 4096 };

static struct history *of(struct job *job)
{
    return (struct history *)(void *)((char *)job - offsetof(struct history, job));
}

static bool covers(const struct segment *segment, uint64_t position)
{
    return segment->data != NULL && position >= segment->header.base &&
           position - segment->header.base < segment->header.size;
}

/* A segment that is missing, cut short, or has no header any more: damage as large as it. */
static int skip_segment(struct history *history, uint64_t persisted)
{
    uint64_t size = history->topic->segment_bytes, next = history->position - history->position % size + size;
    history->end = next < persisted ? next : persisted;
    return error_set(&history->text, HERMES_ECORRUPT, "damaged from position %" PRIu64 " to %" PRIu64,
                     history->position, history->end);
}

static int enter_segment(struct history *history, uint64_t persisted)
{
    struct log *log = &history->topic->log;
    struct store_place place;
    /* Acquire pairs with log_retain() and log_purge(). */
    history->end = atomic_load_explicit(&log->status->first, memory_order_acquire);
    if (history->position < history->end)
        return HERMES_EGONE;
    history->end = history->position;
    if (covers(&history->segment, history->position))
        return HERMES_OK;
    segment_release(&history->segment);
    int rc = store_find(&log->store, STORE_BY_POSITION, history->position, &place, &history->text);
    if (rc == HERMES_EGONE) /* since; it is found out by who comes again */
        return HERMES_EAGAIN;
    if (rc == 0) {
        rc = segment_map(place.fd, &history->segment, &history->text);
        close(place.fd);
    }
    if (rc == HERMES_ENOTFOUND || rc == HERMES_EMALFORMED || rc == HERMES_ECHECKSUM)
        return skip_segment(history, persisted);
    if (rc == 0 && !covers(&history->segment, history->position))
        return skip_segment(history, persisted);
    return rc;
}

/* Pages that are not in memory would have the kernel wait for the disk when the loop sends them. */
static void bring_in(const uint8_t *bytes, size_t count)
{
    uintptr_t from = (uintptr_t)bytes & ~(uintptr_t)(PAGE_BYTES - 1), to = (uintptr_t)bytes + count;
    if (madvise((void *)from, to - from, MADV_POPULATE_READ) == 0)
        return;
    for (; from < to; from += PAGE_BYTES)
        (void)*(const volatile uint8_t *)from;
}

static int walk(struct history *history, uint64_t persisted)
{
    const struct segment *segment = &history->segment;
    uint64_t end = segment->header.base + segment->header.size, from = history->position;
    struct frames frames = {.data = segment->data,
                            .base = segment->header.base,
                            .end = end < persisted ? end : persisted,
                            .position = from,
                            .sequence = history->sequence};
    struct frame frame;
    int rc;
    while ((rc = frames_next(&frames, &frame)) > 0 && frames.position - from <= history->most) {
        history->end = frames.position;
        history->next_sequence = frames.sequence;
    }
    if (history->end > from) {
        bring_in(history_bytes(history), (size_t)(history->end - from));
        return HERMES_OK; /* what is wrong behind it is found by who looks there */
    }
    if (rc >= 0)
        return rc > 0 ? HERMES_EBUSY : HERMES_EAGAIN;
    frames_skip_damage(&frames);
    history->end = frames.position;
    return error_set(&history->text, rc == HERMES_ENOTFOUND ? HERMES_EMALFORMED : rc,
                     "damaged from position %" PRIu64 " to %" PRIu64, from, history->end);
}

static void look(struct job *job)
{
    struct history *history = of(job);
    /* Acquire pairs with the persister's release: those bytes are in the files. */
    uint64_t persisted = atomic_load_explicit(&history->topic->log.status->persisted, memory_order_acquire);
    history->end = history->position;
    history->result = history->position >= persisted ? HERMES_EAGAIN : enter_segment(history, persisted);
    if (history->result == 0)
        history->result = walk(history, persisted);
}

static void let_go(struct job *job)
{
    segment_release(&of(job)->segment);
}

static void done(struct job *job)
{
    struct history *history = of(job);
    struct topic *topic = history->topic;
    history->working = false;
    history->done(history); /* which may free it */
    topic_release(topic);
}

static void submit(struct history *history, struct job_queue *queue, void (*work)(struct job *job),
                   uint64_t whose)
{
    history->working = true;
    history->job = (struct job){.work = work, .done = done, .whose = whose};
    topic_hold(history->topic);
    workers_submit(&history->topic->broker->workers, queue, &history->job);
}

void history_look(struct history *history, uint64_t position, uint64_t sequence, uint64_t most,
                  uint64_t whose)
{
    history->position = position;
    history->sequence = sequence;
    history->most = most < HISTORY_BYTES ? most : HISTORY_BYTES;
    submit(history, &history->topic->reading, look, whose);
}

void history_let_go(struct history *history, uint64_t whose)
{
    history->result = HERMES_EAGAIN;
    submit(history, NULL, let_go, whose);
}
