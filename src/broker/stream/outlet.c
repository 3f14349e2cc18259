#include "broker/stream/outlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/stream/stretch.h"
#include "log/frames.h"

enum { STRETCHES_AT_A_TIME = 8 };

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

/* Looks again once the loop has looked at all else, whatever comes. */
static void come_next_turn(struct outlet *outlet)
{
    set_awaits(outlet, true);
    outlet->topic->streamed.stirred = true;
}

/* ---- who waits for it ---- */

/* What it has still to be sent is not overwritten, but for what it gets from the store. */
static void stand_at(struct outlet *outlet, uint64_t position)
{
    const struct topic *topic = outlet->topic;
    if (outlet->reader != 0 && !outlet->ended)
        readers_moved(topic->readers, outlet->reader - 1, position, topic->broker->membarrier);
}

static void tell_publishers(struct outlet *outlet)
{
    if (outlet->reader == 0 || outlet->ended) /* nobody waits for it, and its topic's log may be gone */
        return;
    /* Acquire pairs with the persister's release: those bytes are in the files. */
    bool is_behind =
        outlet->cold &&
        outlet->position < atomic_load_explicit(&outlet->topic->log.status->persisted, memory_order_acquire);
    stand_at(outlet, is_behind ? READERS_NOBODY : outlet->position);
}

void outlet_hold_back(struct outlet *outlet, unsigned line)
{
    const struct topic *topic = outlet->topic;
    outlet->reader = line + 1;
    outlet->cold = !window_still_there(topic->log.window, outlet->position);
    if (outlet->cold && topic->durability != DURABILITY_MEMORY)
        stand_at(outlet, READERS_NOBODY);
    else
        stand_at(outlet,
                 outlet->cold ? window_oldest(topic->log.window, stretch_log_end(topic)) : outlet->position);
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
    delegate_free(outlet->member);
    free(outlet);
    topic_release(topic);
}

static void end(struct outlet *outlet, int code, uint64_t position, const char *text)
{
    if (outlet->ended)
        return;
    stand_at(outlet, READERS_NOBODY);
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
    outlet->reader = 0; /* its line goes with its handle */
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
    if (outlet->member != NULL)
        delegate_end_gap(outlet->member, outlet->position, first.sequence);
    outlet->too_little = 0;
    outlet->flying = true;
    outlet->flying_bytes = count;
    outlet->flying_sequence = sequence;
    outlet->credit -= count;
}

/* It was gone over, frame by frame, when it was copied: is its next message this outlet's, and credit for all
 * of the rest there? */
static bool is_due_whole(const struct outlet *outlet, const struct stretch *stretch)
{
    hermes_header_t first;
    if (outlet->position != stretch->from && outlet->sequence == 0)
        return false; /* it may stand anywhere */
    memcpy(&first, stretch->bytes + (outlet->position - stretch->from), sizeof first);
    return stretch->to - outlet->position <= outlet->credit &&
           (outlet->sequence == 0 || outlet->sequence == first.sequence);
}

/* As many of its frames as there is credit for: *end, and the sequence behind that. */
static int go_over(const struct outlet *outlet, const struct stretch *stretch, uint64_t *end,
                   uint64_t *sequence)
{
    struct frames frames = {.data = stretch->bytes,
                            .base = stretch->from,
                            .end = stretch->to,
                            .position = outlet->position,
                            .sequence = outlet->sequence};
    struct frame frame;
    int rc = 0;
    while (frames.position < frames.end && (rc = frames_next_message(&frames, &frame)) > 0 &&
           frames.position - outlet->position <= outlet->credit) {
        *end = frames.position;
        *sequence = frames.sequence;
    }
    return rc < 0 ? rc : HERMES_EBUSY;
}

/* The part of a stretch that there is credit for. HERMES_EBUSY: none of it. */
static int send_stretch(struct outlet *outlet, struct stretch *stretch, struct run *run)
{
    uint64_t end = outlet->position, sequence = 0;
    if (is_due_whole(outlet, stretch)) {
        end = stretch->to;
        sequence = stretch->next_sequence;
    } else {
        int rc = go_over(outlet, stretch, &end, &sequence);
        if (end == outlet->position)
            return rc;
    }
    outlet->stretch = stretch;
    outlet->cold = false;
    take_off(outlet, run, stretch->bytes + (outlet->position - stretch->from), end - outlet->position,
             sequence);
    return HERMES_OK;
}

/* HERMES_EAGAIN: nothing more is there, or it cannot be looked at now; HERMES_EGONE: not in the window. */
static int look_in_window(struct outlet *outlet, uint64_t position, struct stretch **stretch)
{
    struct topic *topic = outlet->topic;
    if (queue_is_busy(&topic->turns)) { /* the window may be replaced just now */
        topic->streamed.stirred = true;
        return HERMES_EAGAIN;
    }
    uint64_t log_end = stretch_log_end(topic);
    return position >= log_end ? HERMES_EAGAIN : stretch_take(topic, position, log_end, stretch);
}

static int send_from_window(struct outlet *outlet, struct run *run)
{
    struct stretch *stretch;
    int rc = look_in_window(outlet, outlet->position, &stretch);
    if (rc == 0 && (rc = send_stretch(outlet, stretch, run)) < 0)
        stretch_give_back(stretch);
    return rc;
}

/* What lies before that position is gone, for that reason. */
static void pass_over(struct outlet *outlet, uint64_t position, int why)
{
    if (outlet->member != NULL)
        delegate_begin_gap(outlet->member, outlet->position, outlet->sequence, why);
    outlet->position = position;
    outlet->sequence = outlet->flying_sequence =
        0; /* of what is on its way nothing is to be said behind it */
    tell_publishers(outlet);
}

/* What was overwritten in a memory topic is gone: on with the oldest that is left. */
static int skip_overwritten(struct outlet *outlet)
{
    const struct topic *topic = outlet->topic;
    uint64_t oldest = window_oldest(topic->log.window, stretch_log_end(topic));
    if (oldest <= outlet->position)
        return HERMES_EAGAIN;
    pass_over(outlet, oldest, HERMES_EGONE);
    return HERMES_OK;
}

/* The worker has found out what is stored at the position. */
static bool send_from_history(struct outlet *outlet, struct run *run)
{
    struct history *history = &outlet->history;
    uint64_t count = history->end - history->position;
    outlet->stretch = NULL;
    outlet->cold = true;
    take_off(outlet, run, history_bytes(history), count, history->next_sequence);
    history->end = history->position; /* once */
    return true;
}

/* Members pass over what is damaged, as they do on this host: where their group stands it is in the way. */
static bool skips_damage(const struct outlet *outlet)
{
    return outlet->member != NULL && outlet->history.end > outlet->history.position;
}

/* It looked for what came again. */
static bool looked_again(const struct outlet *outlet)
{
    const struct delegate *member = outlet->member;
    return outlet_claims(outlet) && member->pending && member->pending_at == outlet->history.position;
}

/* What was looked for is larger than its credit. */
static void wait_for_credit(struct outlet *outlet)
{
    if (looked_again(outlet))
        delegate_pass_on(outlet->member, outlet->history.most + 1);
    else
        outlet->too_little = outlet->history.most;
}

/* What was looked for is gone, up to history->end: retention was faster, or it is damaged. */
static void skip(struct outlet *outlet)
{
    struct history *history = &outlet->history;
    if (looked_again(outlet))
        delegate_write_off(outlet->member, history->result);
    else if (history->position == outlet->position && history->end > outlet->position)
        pass_over(outlet, history->end, history->result);
    history->result = HERMES_OK;
    history->end = history->position;
}

static void looked(struct history *history)
{
    struct outlet *outlet = (struct outlet *)(void *)((char *)history - offsetof(struct outlet, history));
    if (outlet->stream == NULL) {
        go(outlet);
        return;
    }
    bool is_over = history->result < 0 && history->result != HERMES_EAGAIN && history->result != HERMES_EBUSY;
    if (history->result == HERMES_EBUSY)
        wait_for_credit(outlet);
    else if (is_over && (history->result == HERMES_EGONE || skips_damage(outlet)))
        skip(outlet);
    else if (is_over)
        end(outlet, history->result, history->end, history->text.bytes);
    stream_ready(outlet->stream);
}

static bool has_history(const struct outlet *outlet)
{
    return history_is_mapped(&outlet->history) && outlet->history.position == outlet->position &&
           outlet->history.end > outlet->position;
}

/* What is taken already goes out first. */
static uint64_t credit_left(const struct outlet *outlet)
{
    const struct delegate *member = outlet->member;
    return outlet->credit - (member != NULL && member->gifts != NULL ? member->gifts->credit : 0);
}

static void ask_history(struct outlet *outlet, uint64_t position, uint64_t sequence)
{
    if (outlet->topic->deleting) {
        come_next_turn(outlet);
        return;
    }
    stand_at(outlet, READERS_NOBODY);
    outlet->history.done = looked;
    outlet->history.topic = outlet->topic;
    history_look(&outlet->history, position, sequence, credit_left(outlet), outlet->whose);
}

/* ---- what a member of a group is given of them ---- */

/* Frames that stand somewhere. */
struct found {
    struct frames frames;
    struct stretch *stretch; /* NULL: in history's segment */
};

/* As look_in_window(). */
static int find(struct outlet *outlet, uint64_t position, uint64_t sequence, struct found *found)
{
    const struct history *history = &outlet->history;
    found->stretch = NULL;
    found->frames = (struct frames){.position = position, .sequence = sequence};
    if (history_is_mapped(history) && position >= history->position && position < history->end) {
        found->frames.data = history_bytes(history);
        found->frames.base = history->position;
        found->frames.end = history->end;
        return HERMES_OK;
    }
    int rc = look_in_window(outlet, position, &found->stretch);
    if (rc == 0) {
        found->frames.data = found->stretch->bytes;
        found->frames.base = found->stretch->from;
        found->frames.end = found->stretch->to;
    }
    return rc;
}

/* One that came again. HERMES_E...: not yet. */
static int take_one_again(struct outlet *outlet)
{
    struct delegate *member = outlet->member;
    struct found found;
    int rc = find(outlet, member->pending_at, 0, &found);
    if (rc == 0) {
        rc = delegate_take_again(member, &found.frames, outlet->credit);
        stretch_give_back(found.stretch);
    } else if (rc == HERMES_EGONE && outlet->topic->durability != DURABILITY_MEMORY) {
        ask_history(outlet, member->pending_at, 0);
    } else if (rc == HERMES_EAGAIN) {
        set_awaits(outlet, true);
    } else if (rc != HERMES_ENOMEM) { /* for want of memory nothing is lost */
        delegate_write_off(member, rc);
        rc = HERMES_OK;
    }
    return rc;
}

/* Others were faster; or it was sent before it came back, and says now that it is done. */
static void catch_up(struct outlet *outlet)
{
    uint64_t start = delegate_start(outlet->member);
    if (outlet->position >= start)
        return;
    outlet->position = start;
    outlet->sequence = 0;
    tell_publishers(outlet);
}

/* Those from where it stands that nobody had. HERMES_E...: no more now. */
static int take_some_new(struct outlet *outlet)
{
    struct delegate *member = outlet->member;
    struct found found;
    catch_up(outlet);
    int rc = find(outlet, outlet->position, outlet->sequence, &found);
    if (rc == HERMES_EGONE && outlet->topic->durability == DURABILITY_MEMORY &&
        (rc = skip_overwritten(outlet)) == 0)
        return HERMES_OK;
    if (rc == HERMES_EGONE)
        ask_history(outlet, outlet->position, outlet->sequence);
    if (rc == HERMES_EAGAIN)
        set_awaits(outlet, true);
    if (rc < 0)
        return rc;
    rc = delegate_take_new(member, &found.frames, outlet->credit);
    outlet->position = found.frames.position;
    outlet->sequence = found.frames.sequence;
    stretch_give_back(found.stretch);
    if (found.stretch != NULL && history_is_mapped(&outlet->history)) /* it has caught up */
        history_let_go(&outlet->history, outlet->whose);
    return rc;
}

static bool is_an_end(int rc)
{
    return rc < 0 && rc != HERMES_EAGAIN && rc != HERMES_EBUSY && rc != HERMES_EGONE;
}

/* There is nothing for it now, which who counts messages is told, once for what he asked for. */
static bool tell_that_it_has_all(struct outlet *outlet, int rc, struct run *run)
{
    struct delegate *member = outlet->member;
    if (rc != HERMES_EAGAIN || member->least == 0 || member->has_all || queue_is_busy(&outlet->topic->turns))
        return false;
    member->has_all = true;
    *run = (struct run){.position = outlet->position, .sequence = outlet->sequence};
    outlet->flying = true;
    outlet->flying_bytes = 0;
    outlet->flying_sequence = outlet->sequence;
    return true;
}

/* What came again is first. Of what others have much may be passed over at a time, but not all there is. */
static bool next_of_group(struct outlet *outlet, struct run *run)
{
    struct delegate *member = outlet->member;
    const uint8_t *bytes = NULL;
    bool looks_on = false;
    int rc = delegate_begin(member), again = 0;
    while (rc == 0 && (again = delegate_wants_again(member, outlet->credit, &looks_on)) > 0)
        rc = take_one_again(outlet);
    rc = again < 0 ? again : rc;
    if (looks_on)
        come_next_turn(outlet);
    for (int i = 0; rc == 0 && !outlet->history.working && i < STRETCHES_AT_A_TIME; i++)
        rc = take_some_new(outlet);
    if (rc == 0)
        stream_ready(outlet->stream);
    uint64_t used = member->gifts == NULL ? 0 : member->gifts->credit;
    size_t count = member->gifts == NULL ? 0 : delegate_give(member, &bytes);
    if (count == 0)
        return is_an_end(rc) ? fail(outlet, rc, NULL) : !looks_on && tell_that_it_has_all(outlet, rc, run);
    *run = (struct run){bytes, count, outlet->position, outlet->sequence};
    member->has_all = false;
    outlet->too_little = 0;
    outlet->flying = true;
    outlet->flying_bytes = 0; /* it stands behind them already */
    outlet->flying_sequence = outlet->sequence;
    outlet->credit -= used;
    return true;
}

bool outlet_claims(const struct outlet *outlet)
{
    return outlet->member != NULL && !delegate_is_durable(outlet->member);
}

void outlet_hear(struct outlet *outlet)
{
    int rc = delegate_state(outlet->member);
    if (rc == HERMES_EEXPIRED)
        end(outlet, rc, outlet->position, "its group was set to another position, or its line is another's");
    else if (rc == HERMES_ECLOSED)
        end(outlet, rc, outlet->position, "its group was deleted");
    else if (rc == HERMES_OK)
        stream_ready(outlet->stream);
}

int outlet_settle(struct outlet *outlet, enum wire_type type, const struct wire_ack *ack)
{
    return delegate_settle(outlet->member, type, ack,
                           outlet->position + (outlet->flying ? outlet->flying_bytes : 0));
}

bool outlet_next(struct outlet *outlet, struct run *run)
{
    int rc;
    if (outlet->ended || outlet->flying || outlet->history.working)
        return false;
    set_awaits(outlet, false); /* without credit, too: what it is to look at it looks at with the next */
    if (outlet->credit <= outlet->too_little || outlet->credit < HERMES_FRAME_ALIGNMENT)
        return false;
    if (outlet->member != NULL && delegate_state(outlet->member) != HERMES_OK)
        return false; /* its party will hear */
    if (outlet_claims(outlet))
        return next_of_group(outlet, run);
    if (outlet->member != NULL)
        catch_up(outlet);
    if (has_history(outlet))
        return send_from_history(outlet, run);
    do
        rc = send_from_window(outlet, run);
    while (rc == HERMES_EGONE && outlet->topic->durability == DURABILITY_MEMORY &&
           (rc = skip_overwritten(outlet)) == 0);
    if (rc == HERMES_EGONE) {
        ask_history(outlet, outlet->position, outlet->sequence);
        return false;
    }
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
    if (outlet->member != NULL)
        delegate_given(outlet->member);
    outlet->flying = false;
    outlet->position += outlet->flying_bytes;
    outlet->sequence = outlet->flying_sequence;
    tell_publishers(outlet);
    if (outlet->stream == NULL)
        go(outlet);
}

/* ---- opening ---- */

int outlet_give_credit(struct outlet *outlet, uint64_t bytes)
{
    if (bytes > INT64_MAX || outlet->credit + bytes > INT64_MAX)
        return HERMES_EPROTOCOL;
    outlet->credit += bytes;
    if (outlet->member != NULL && bytes > 0)
        outlet->member->has_all = false;
    if (!outlet->awaits || (outlet->member != NULL && outlet->member->short_of > 0))
        stream_ready(outlet->stream);
    return HERMES_OK;
}

int outlet_open(struct stream *stream, struct topic *topic, const struct wire_outlet *opened, uint64_t credit,
                struct delegate *member, struct outlet **out)
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
    outlet->member = member;
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
