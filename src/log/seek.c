/* Where a reader goes: to either end, to a sequence, a time, a position. Nothing changes before all is known.
 */
#include <inttypes.h>
#include <unistd.h>

#include "log/reader.h"

static void go_to(struct reader *reader, uint64_t position, uint64_t sequence)
{
    reader_hop(reader, position, position == 0 ? 1 : sequence); /* so what is lost from there on is counted */
    reader->skip_below_sequence = reader->skip_below_time = 0;
    reader->found = READER_NOTHING_FOUND;
    reader->gap_from = 0; /* what a seek passes over is not lost */
    reader->in_store = reader->detour = reader->skipping = false;
}

/* The current window, or the last one, if its epoch is over. */
static int catch_up(struct reader *reader)
{
    int rc = reader_follow_epoch(reader);
    return rc == HERMES_EAGAIN && reader->epoch != 0 ? HERMES_OK : rc;
}

static uint64_t persisted(const struct reader *reader)
{
    /* Acquire pairs with the persister's release: those bytes are in the files. */
    return atomic_load_explicit(&reader->status->persisted, memory_order_acquire);
}

static uint64_t first_stored(const struct reader *reader)
{
    /* Acquire pairs with log_retain(). */
    return atomic_load_explicit(&reader->status->first, memory_order_acquire);
}

int reader_seek_end(struct reader *reader)
{
    int rc = catch_up(reader);
    if (rc < 0)
        return rc;
    go_to(reader, reader_end(reader), 0);
    /* Looked at after the end: as with frames, what did not count is seen only by who sees the seal
     * (status.h). */
    reader->past_seal = (uint32_t)status_load_seal(reader->status) >= reader->epoch;
    return HERMES_OK;
}

/* A segment is damaged as a whole: who reads there is told. */
static bool is_damage(int error)
{
    return error == HERMES_ENOTFOUND || error == HERMES_EMALFORMED || error == HERMES_ECHECKSUM;
}

int reader_seek_first(struct reader *reader)
{
    int rc = catch_up(reader);
    if (rc < 0)
        return rc;
    if (!reader->stored) {
        go_to(reader, window_oldest(reader->window, reader_end(reader)), 0);
        return HERMES_OK;
    }
    uint64_t first, sequence = 0;
    do { /* retention may be faster, as long as it moves on */
        struct store_place place;
        first = first_stored(reader);
        rc = persisted(reader) > first ? reader_open_segment(reader, STORE_BY_POSITION, first, &place)
                                       : HERMES_OK;
    } while (rc == HERMES_EGONE && first_stored(reader) != first);
    if (rc < 0 && !is_damage(rc))
        return rc;
    if (rc == 0 && reader->segment.data != NULL && reader->segment.header.base == first)
        sequence = reader->segment.header.first_sequence;
    go_to(reader, first, sequence);
    reader->in_store = persisted(reader) > first;
    return HERMES_OK;
}

/* ---- by sequence, by time ---- */

static bool comes_before(const hermes_header_t *header, enum store_key key, uint64_t value)
{
    return (key == STORE_BY_SEQUENCE ? header->sequence : header->timestamp) < value;
}

/* The frames of the segment that is mapped, from a position in it on. */
static struct frames frames_from(const struct reader *reader, uint64_t position, enum frame_check check)
{
    struct frames frames = reader_stored_frames(reader, persisted(reader), check);
    frames.position = position;
    frames.sequence = 0;
    return frames;
}

static bool segment_has(const struct reader *reader, uint64_t position)
{
    const struct segment *segment = &reader->segment;
    return segment->data != NULL && position >= segment->header.base &&
           position - segment->header.base < segment->header.size;
}

/* A whole frame at that position? */
static bool frame_at(const struct reader *reader, uint64_t position, struct frame *frame)
{
    struct frames frames = frames_from(reader, position, FRAME_CHECKSUMS);
    return frames_next(&frames, frame) == 1;
}

/* What an index said is believed if such a frame is there. */
static bool is_indexed(const struct reader *reader, const struct store_place *place)
{
    struct frame frame;
    return place->indexed && place->position >= reader->segment.header.base &&
           place->position % HERMES_FRAME_ALIGNMENT == 0 && frame_at(reader, place->position, &frame) &&
           frame.header.sequence == place->sequence;
}

/*
 * Without an index the structure of a segment serves as one: no frame crosses a multiple of the window's
 * capacity C, so one begins at each. Returns the last of these that comes before the value, by a binary
 * search; the first where something is not as it should be. Times are in no order: there is nothing to halve.
 */
static uint64_t find_stretch(const struct reader *reader, enum store_key key, uint64_t value)
{
    const uint64_t stretch = reader->status->window_bytes, base = reader->segment.header.base;
    if (stretch == 0 || key == STORE_BY_TIME) /* 0: not known, nobody has the log open */
        return base;
    struct frames all = frames_from(reader, base, FRAME_HEADERS);
    uint64_t low = 0, high = (all.end - base + stretch - 1) / stretch;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        struct frame frame;
        if (!frame_at(reader, base + middle * stretch, &frame))
            return base;
        *(comes_before(&frame.header, key, value) ? &low : &high) = middle;
    }
    return base + low * stretch;
}

/* From header to header; payloads are not touched. false: to the end of the stretch. */
static bool walk(struct frames *frames, enum store_key key, uint64_t value)
{
    struct frames before;
    struct frame frame;
    int rc;
    do {
        before = *frames;
        rc = frames_next(frames, &frame);
    } while (rc == 1 && (frame.header.type != HERMES_TYPE_DATA || comes_before(&frame.header, key, value)));
    *frames = before;
    return rc != 0;
}

/*
 * From the place on, in the segment that is mapped, to the message itself; in later ones, should it not be in
 * that. Where something is not as it should be the walk ends early, and the reader, who skips what it does
 * not want, finds out and says so.
 */
static int walk_in_store(struct reader *reader, enum store_key key, uint64_t value, struct store_place *place)
{
    const uint64_t end = persisted(reader);
    uint64_t start = is_indexed(reader, place) ? place->position : find_stretch(reader, key, value);
    if (start < first_stored(reader)) /* the segment may hold messages that were purged, or nothing else */
        start = first_stored(reader);
    struct frames frames = frames_from(reader, start, FRAME_HEADERS);
    if (start == reader->segment.header.base)
        frames.sequence = reader->segment.header.first_sequence;
    while (!walk(&frames, key, value) && frames.position < end) {
        struct frames before = frames;
        int rc = reader_open_segment(reader, STORE_BY_POSITION, frames.position, place);
        if (rc == HERMES_EINTERRUPTED)
            return rc;
        if (rc < 0 || !segment_has(reader, frames.position))
            break;
        frames = frames_from(reader, before.position, FRAME_HEADERS);
        frames.sequence = before.sequence;
    }
    go_to(reader, frames.position, frames.sequence);
    reader->in_store = true;
    return HERMES_OK;
}

/* Where a walk through the window ends at the latest: a stranger may have filled it. */
static uint64_t walk_end(const struct reader *reader)
{
    uint64_t end = reader_end(reader), lap = reader->position + reader->mask + 1;
    return end < lap ? end : lap;
}

/* The same from where the reader stands, through what is in the window. */
static void walk_in_window(struct reader *reader, enum store_key key, uint64_t value)
{
    uint64_t position = reader->position, sequence = reader->sequence, bytes;
    const uint64_t end = walk_end(reader);
    hermes_header_t header;
    while (position < end) {
        int rc = window_poll(reader->data, reader->mask, position, &header, &bytes);
        if (rc <= 0 || (rc == POLL_DATA && sequence != 0 && header.sequence != sequence))
            break;
        sequence = header.sequence; /* of the next message, whatever the frame is */
        if (rc == POLL_DATA && !comes_before(&header, key, value))
            break;
        position += bytes;
        sequence += rc == POLL_DATA;
    }
    if (!window_still_there(reader->window, reader->position))
        return;
    reader->in_store = reader->in_store && position == reader->position;
    reader_hop(reader, position, sequence);
    reader->past_seal = (uint32_t)status_load_seal(reader->status) >= reader->epoch; /* as at the end */
}

static int seek_in_store(struct reader *reader, enum store_key key, uint64_t value)
{
    struct store_place place;
    if (!reader->stored || persisted(reader) <= first_stored(reader))
        return reader_seek_first(reader);
    int rc = catch_up(reader);
    if (rc == 0)
        rc = reader_open_segment(reader, key, value, &place);
    return rc == 0 ? walk_in_store(reader, key, value, &place) : rc;
}

/* The reader stands at the message then, if it is there; if not, what comes before it is skipped. */
static int seek_to(struct reader *reader, enum store_key key, uint64_t value)
{
    int rc = seek_in_store(reader, key, value);
    if (rc < 0)
        return rc;
    walk_in_window(reader, key, value);
    *(key == STORE_BY_SEQUENCE ? &reader->skip_below_sequence : &reader->skip_below_time) = value;
    reader->detour = reader->skipping = true;
    return HERMES_OK;
}

int reader_seek_sequence(struct reader *reader, uint64_t sequence)
{
    return seek_to(reader, STORE_BY_SEQUENCE, sequence);
}

int reader_seek_time(struct reader *reader, uint64_t timestamp)
{
    return seek_to(reader, STORE_BY_TIME, timestamp);
}

/* ---- by position ---- */

static int not_a_message(struct reader *reader, uint64_t position)
{
    return error_say(&reader->error, HERMES_ENOTFOUND, "no message begins at position %" PRIu64, position);
}

static int is_gone(struct reader *reader, uint64_t position)
{
    return error_say(&reader->error, HERMES_EGONE, "position %" PRIu64 " is gone", position);
}

/* A position in the segment that is mapped, from a frame before it on. Within damage: where that begins, for
 * the reader to tell of it. */
static int check_stored(struct reader *reader, uint64_t position, const struct store_place *place,
                        uint64_t *found)
{
    uint64_t base = reader->segment.header.base;
    bool indexed = is_indexed(reader, place) && place->position <= position;
    struct frames frames = frames_from(reader, indexed ? place->position : base, FRAME_HEADERS);
    struct frame frame;
    *found = position;
    while (frames.position < position) {
        uint64_t from = frames.position;
        if (frames_next(&frames, &frame) == 1)
            continue;
        frames_skip_damage(&frames);
        if (frames.position > position) {
            *found = from;
            return HERMES_OK;
        }
    }
    return frames.position == position ? HERMES_OK : not_a_message(reader, position);
}

static int seek_stored_position(struct reader *reader, uint64_t position)
{
    struct store_place place;
    uint64_t found = position;
    if (position < first_stored(reader))
        return is_gone(reader, position);
    int rc = reader_open_segment(reader, STORE_BY_POSITION, position, &place);
    if (rc == 0)
        rc = check_stored(reader, position, &place, &found);
    else if (is_damage(rc))
        rc = HERMES_OK;
    if (rc == 0)
        go_to(reader, found, 0);
    return rc;
}

/* A frame that is known to begin at or before position in the window. false: none that is still there. */
static bool known_frame(const struct reader *reader, uint64_t position, uint64_t *known)
{
    if (reader->stored) {
        *known = persisted(reader);
        return true;
    }
    uint64_t first = *(const volatile uint64_t *)&reader->window->first;
    *known = position & ~reader->mask;
    if (!window_still_there(reader->window, *known) && first > *known && first <= position &&
        first % HERMES_FRAME_ALIGNMENT == 0)
        *known = first;
    return window_still_there(reader->window, *known);
}

/* HERMES_EAGAIN: what was known was stored, or overwritten, meanwhile. */
static int seek_window_position(struct reader *reader, uint64_t position)
{
    uint64_t at, known;
    if (!known_frame(reader, position, &known))
        return is_gone(reader, position);
    for (at = known; at < position;) {
        hermes_header_t header;
        uint64_t bytes;
        if (window_poll(reader->data, reader->mask, at, &header, &bytes) <= 0)
            break;
        at += bytes;
    }
    if (!window_still_there(reader->window, known))
        return HERMES_EAGAIN;
    if (at != position)
        return not_a_message(reader, position);
    go_to(reader, position, 0);
    return HERMES_OK;
}

int reader_seek_position(struct reader *reader, uint64_t position)
{
    if (position % HERMES_FRAME_ALIGNMENT != 0)
        return error_say(&reader->error, HERMES_EINVALID, "position %" PRIu64 " is not a multiple of 64",
                         position);
    int rc = catch_up(reader);
    if (rc < 0)
        return rc;
    do {
        uint64_t end = reader_end(reader);
        if (position > end)
            return error_say(&reader->error, HERMES_ENOTFOUND,
                             "position %" PRIu64 " is behind the end, which is at %" PRIu64, position, end);
        if (position < end && reader->stored && position < persisted(reader))
            return seek_stored_position(reader, position);
        if (position < end)
            rc = seek_window_position(reader, position);
        else
            go_to(reader, position, 0);
    } while (rc == HERMES_EAGAIN);
    return rc;
}

/* ---- is it there? ---- */

static bool is_that(const hermes_header_t *header, const struct reader_wanted *wanted)
{
    return header->type == HERMES_TYPE_DATA && header->sequence == wanted->sequence &&
           header->length == wanted->length;
}

static int look_in_segment(const struct reader *reader, const struct reader_wanted *wanted)
{
    struct frames frames = frames_from(reader, wanted->position, FRAME_HEADERS);
    struct frame frame;
    return frames_next(&frames, &frame) == 1 && is_that(&frame.header, wanted);
}

/* In a mapping of its own: into that which is there the message in hand may point. */
static int look_in_another_segment(struct reader *reader, const struct reader_wanted *wanted)
{
    struct segment mapped = reader->segment;
    struct store_place place;
    reader->segment = (struct segment){.data = NULL};
    int rc = reader_open_segment(reader, STORE_BY_POSITION, wanted->position, &place);
    if (rc == 0)
        rc = segment_has(reader, wanted->position) ? look_in_segment(reader, wanted) : HERMES_EGONE;
    segment_release(&reader->segment);
    reader->segment = mapped;
    return is_damage(rc) ? HERMES_EGONE : rc;
}

/* Does the window that is mapped have all that the log has from there on? Who reads on in the store does so
 * beyond the end of an epoch whose window it still has. */
static bool knows(const struct reader *reader, uint64_t position)
{
    return position >= reader->window->first &&
           atomic_load_explicit(&reader->status->epoch, memory_order_acquire) == reader->epoch;
}

int reader_has(struct reader *reader, const struct reader_wanted *wanted, bool may_ask)
{
    hermes_header_t header;
    uint64_t bytes;
    int rc = window_poll(reader->data, reader->mask, wanted->position, &header, &bytes);
    if (window_still_there(reader->window, wanted->position)) {
        if (rc == POLL_DATA && is_that(&header, wanted))
            return 1;
        if (knows(reader, wanted->position))
            return 0;
        if (wanted->position >= atomic_load_explicit(&reader->status->persisted, memory_order_acquire))
            return HERMES_EAGAIN;
    }
    if (!reader->stored || wanted->position < first_stored(reader))
        return HERMES_EGONE;
    if (segment_has(reader, wanted->position))
        return look_in_segment(reader, wanted);
    return may_ask ? look_in_another_segment(reader, wanted) : HERMES_EAGAIN;
}

int reader_resume(struct reader *reader, uint64_t position, uint64_t sequence)
{
    int rc = catch_up(reader);
    if (rc < 0)
        return rc;
    uint64_t end = reader_end(reader);
    go_to(reader, position <= end ? position : end, position <= end ? sequence : 0);
    return position <= end ? HERMES_OK
                           : error_say(&reader->error, HERMES_EGONE,
                                       "the log ends at position %" PRIu64 " by now, and position %" PRIu64
                                       " was read: going on at its end",
                                       end, position);
}
