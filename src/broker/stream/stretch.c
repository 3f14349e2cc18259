#include "broker/stream/stretch.h"

#include <stdlib.h>

#include "log/frames.h"

uint64_t stretch_log_end(const struct topic *topic)
{
    /* The writer's own word, and it may be a stranger's: what is copied is decided by the frames. */
    return log_committed(&topic->log).position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
}

/* How much of it are whole frames, one after the other. *sequence: of the first; of the message behind them
 * then. */
static uint64_t whole_frames(const uint8_t *bytes, uint64_t count, uint64_t *sequence)
{
    struct frames frames = {.data = bytes, .end = count, .sequence = *sequence};
    struct frame frame;
    while (frames.end - frames.position >= HERMES_FRAME_ALIGNMENT && frames_next_message(&frames, &frame) > 0)
        ;
    *sequence = frames.sequence;
    return frames.position;
}

static int copy(const struct log *log, uint64_t position, uint64_t end, struct stretch **out)
{
    const struct window *window = log->window;
    const uint64_t mask = log->capacity - 1;
    uint64_t boundary = (position | mask) + 1; /* no frame crosses it */
    uint64_t there = (end < boundary ? end : boundary) - position, frame_bytes;
    hermes_header_t header;
    int rc = window_poll(window->data, mask, position, &header, &frame_bytes);
    if (!window_still_there(window, position))
        return HERMES_EGONE;
    if (rc <= POLL_EMPTY)
        return rc < 0 ? rc : HERMES_EAGAIN;
    if (frame_bytes > there)
        return HERMES_EMALFORMED;
    uint64_t bytes = there < STRETCH_BYTES ? there : STRETCH_BYTES;
    bytes = bytes < frame_bytes ? frame_bytes : bytes;
    struct stretch *stretch = malloc(sizeof *stretch + bytes);
    if (stretch == NULL)
        return HERMES_ENOMEM;
    window_copy_out(stretch->bytes, window->data + (position & mask), bytes);
    uint64_t sequence = header.sequence;
    bytes = whole_frames(stretch->bytes, bytes, &sequence);
    *stretch =
        (struct stretch){.users = 1, .from = position, .to = position + bytes, .next_sequence = sequence};
    rc = !window_still_there(window, position) ? HERMES_EGONE : bytes == 0 ? HERMES_EMALFORMED : HERMES_OK;
    if (rc == 0)
        *out = stretch;
    else
        free(stretch);
    return rc;
}

int stretch_take(struct topic *topic, uint64_t position, uint64_t end, struct stretch **out)
{
    struct stretch *latest = topic->streamed.latest;
    bool has_it = latest != NULL && position >= latest->from && position < latest->to;
    if (!has_it || !window_still_there(topic->log.window, position)) { /* what was purged is nobody's */
        struct stretch *fresh;
        int rc = copy(&topic->log, position, end, &fresh);
        if (rc < 0)
            return rc;
        stretch_give_back(latest);
        topic->streamed.latest = latest = fresh;
    }
    latest->users++;
    *out = latest;
    return HERMES_OK;
}

void stretch_give_back(struct stretch *stretch)
{
    if (stretch != NULL && --stretch->users == 0)
        free(stretch);
}
