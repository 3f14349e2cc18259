#include "broker/stream/outlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/stream/stretch.h"
#include "log/frames.h"

static void set_awaits(struct outlet *outlet, bool awaits)
{
    if (outlet->awaits == awaits)
        return;
    outlet->awaits = awaits;
    if (awaits)
        outlet->topic->streamed.awaiting++;
    else
        outlet->topic->streamed.awaiting--;
}

/* ---- its end ---- */

static void leave_topic(struct outlet *outlet)
{
    struct outlet **at = &outlet->topic->streamed.outlets;
    while (*at != NULL && *at != outlet)
        at = &(*at)->next_of_topic;
    if (*at == NULL)
        return;
    *at = outlet->next_of_topic;
    set_awaits(outlet, false);
    stream_unlist(outlet->topic);
}

/* As soon as nothing is under way for it. */
static void go(struct outlet *outlet)
{
    if (outlet->stream != NULL || outlet->history.working || outlet->flying)
        return;
    struct topic *topic = outlet->topic;
    if (history_is_mapped(&outlet->history) && !topic->broker->stopping) {
        history_let_go(&outlet->history, outlet->whose);
        return; /* comes again */
    }
    segment_release(&outlet->history.segment);
    free(outlet);
    topic_release(topic);
}

static void end(struct outlet *outlet, int code, uint64_t position, const char *text)
{
    if (outlet->ended)
        return;
    outlet->ended = true;
    outlet->end = (struct wire_end){.code = code, .position = position};
    snprintf(outlet->end.text, sizeof outlet->end.text, "%.*s", (int)sizeof outlet->end.text - 1, text);
    leave_topic(outlet);
    stream_ready(outlet->stream);
}

void outlet_orphan(struct outlet *outlet, int code, const char *text)
{
    outlet->orphan = true;
    end(outlet, code, outlet->position, text);
    if (outlet->told)
        outlet_close(outlet);
}

void outlet_told(struct outlet *outlet)
{
    outlet->told = true;
    if (outlet->orphan)
        outlet_close(outlet);
}

void outlet_close(struct outlet *outlet)
{
    struct outlet **at = &outlet->stream->outlets;
    while (*at != outlet)
        at = &(*at)->next;
    *at = outlet->next;
    leave_topic(outlet);
    outlet->stream = NULL;
    go(outlet);
}

/* ---- where its next frames come from ---- */

static bool fail(struct outlet *outlet, int rc, const char *what)
{
    char text[sizeof outlet->end.text];
    snprintf(text, sizeof text, "position %" PRIu64 ": %s", outlet->position,
             what != NULL ? what : hermes_strerror(rc));
    end(outlet, rc, outlet->position, text);
    return false;
}

static void take_off(struct outlet *outlet, struct run *run, const uint8_t *bytes, uint64_t count,
                     uint64_t sequence)
{
    hermes_header_t first;
    memcpy(&first, bytes, sizeof first); /* every frame names the next message */
    *run = (struct run){bytes, count, outlet->position, first.sequence};
    outlet->too_little = 0;
    outlet->flying = true;
    outlet->flying_bytes = count;
    outlet->flying_sequence = sequence;
    outlet->credit -= count;
}

/* The part of a stretch that there is credit for. HERMES_EBUSY: none of it. */
static int send_stretch(struct outlet *outlet, struct stretch *stretch, struct run *run)
{
    struct frames frames = {.data = stretch->bytes,
                            .base = stretch->from,
                            .end = stretch->to,
                            .position = outlet->position,
                            .sequence = outlet->sequence};
    struct frame frame;
    uint64_t end = outlet->position, sequence = 0;
    int rc = 0;
    while (frames.position < frames.end && (rc = frames_next_message(&frames, &frame)) > 0 &&
           frames.position - outlet->position <= outlet->credit) {
        end = frames.position;
        sequence = frames.sequence;
    }
    if (end == outlet->position)
        return rc < 0 ? rc : HERMES_EBUSY;
    outlet->stretch = stretch;
    take_off(outlet, run, stretch->bytes + (outlet->position - stretch->from), end - outlet->position,
             sequence);
    return HERMES_OK;
}

/* HERMES_EAGAIN: nothing more is there, or it cannot be looked at now; HERMES_EGONE: not in the window. */
static int send_from_window(struct outlet *outlet, struct run *run)
{
    struct topic *topic = outlet->topic;
    struct stretch *stretch;
    if (queue_is_busy(&topic->turns)) { /* the window may be replaced just now */
        topic->streamed.stirred = true;
        return HERMES_EAGAIN;
    }
    uint64_t log_end = stretch_log_end(topic);
    if (outlet->position >= log_end)
        return HERMES_EAGAIN;
    int rc = stretch_take(topic, outlet->position, log_end, &stretch);
    if (rc == 0 && (rc = send_stretch(outlet, stretch, run)) < 0)
        stretch_give_back(stretch);
    return rc;
}

/* What was overwritten in a memory topic is gone: on with the oldest that is left. */
static int skip_overwritten(struct outlet *outlet)
{
    const struct topic *topic = outlet->topic;
    uint64_t oldest = window_oldest(topic->log.window, stretch_log_end(topic));
    if (oldest <= outlet->position)
        return HERMES_EAGAIN;
    outlet->position = oldest;
    outlet->sequence = 0;
    return HERMES_OK;
}

/* The worker has found out what is stored at the position. */
static bool send_from_history(struct outlet *outlet, struct run *run)
{
    struct history *history = &outlet->history;
    uint64_t count = history->end - history->position;
    outlet->stretch = NULL;
    take_off(outlet, run, history_bytes(history), count, history->next_sequence);
    history->end = history->position; /* once */
    return true;
}

static void looked(struct history *history)
{
    struct outlet *outlet = (struct outlet *)(void *)((char *)history - offsetof(struct outlet, history));
    if (outlet->stream == NULL) {
        go(outlet);
        return;
    }
    if (history->result == HERMES_EGONE) { /* retention was faster: what is between is gone */
        outlet->position = history->end > outlet->position ? history->end : outlet->position;
        outlet->sequence = 0;
        history->result = HERMES_OK;
        history->end = history->position;
    } else if (history->result == HERMES_EBUSY) {
        outlet->too_little = history->most;
    } else if (history->result < 0 && history->result != HERMES_EAGAIN) {
        end(outlet, history->result, history->end, history->text.bytes);
    }
    stream_ready(outlet->stream);
}

static bool has_history(const struct outlet *outlet)
{
    return history_is_mapped(&outlet->history) && outlet->history.position == outlet->position &&
           outlet->history.end > outlet->position;
}

static bool ask_history(struct outlet *outlet)
{
    if (outlet->topic->deleting) {
        outlet->topic->streamed.stirred = true;
        set_awaits(outlet, true);
        return false;
    }
    outlet->history.done = looked;
    outlet->history.topic = outlet->topic;
    history_look(&outlet->history, outlet->position, outlet->sequence, outlet->credit, outlet->whose);
    return false;
}

bool outlet_next(struct outlet *outlet, struct run *run)
{
    int rc;
    if (outlet->ended || outlet->flying || outlet->history.working || outlet->credit <= outlet->too_little ||
        outlet->credit < HERMES_FRAME_ALIGNMENT)
        return false;
    set_awaits(outlet, false);
    if (has_history(outlet))
        return send_from_history(outlet, run);
    do
        rc = send_from_window(outlet, run);
    while (rc == HERMES_EGONE && outlet->topic->durability == DURABILITY_MEMORY &&
           (rc = skip_overwritten(outlet)) == 0);
    if (rc == HERMES_EGONE)
        return ask_history(outlet);
    if (rc == HERMES_EAGAIN)
        set_awaits(outlet, true);
    else if (rc < 0 && rc != HERMES_EBUSY)
        return fail(outlet, rc, NULL);
    else if (history_is_mapped(&outlet->history)) /* it has caught up */
        history_let_go(&outlet->history, outlet->whose);
    return rc == 0;
}

void outlet_sent(struct outlet *outlet)
{
    stretch_give_back(outlet->stretch);
    outlet->stretch = NULL;
    outlet->flying = false;
    outlet->position += outlet->flying_bytes;
    outlet->sequence = outlet->flying_sequence;
    if (outlet->stream == NULL)
        go(outlet);
}

/* ---- opening ---- */

int outlet_give_credit(struct outlet *outlet, uint64_t bytes)
{
    if (bytes > INT64_MAX || outlet->credit + bytes > INT64_MAX)
        return HERMES_EPROTOCOL;
    outlet->credit += bytes;
    if (!outlet->awaits)
        stream_ready(outlet->stream);
    return HERMES_OK;
}

int outlet_open(struct stream *stream, struct topic *topic, const struct wire_outlet *opened, uint64_t credit,
                struct outlet **out)
{
    struct outlet *outlet = calloc(1, sizeof *outlet);
    if (outlet == NULL)
        return HERMES_ENOMEM;
    outlet->stream = stream;
    outlet->topic = topic;
    outlet->whose = broker_whose(stream->session->uid);
    outlet->handle = opened->handle;
    outlet->position = opened->position;
    outlet->sequence = opened->sequence;
    outlet->credit = credit;
    outlet->next = stream->outlets;
    stream->outlets = outlet;
    outlet->next_of_topic = topic->streamed.outlets;
    topic->streamed.outlets = outlet;
    stream_list(topic);
    topic_hold(topic);
    stream_ready(stream);
    *out = outlet;
    return HERMES_OK;
}
