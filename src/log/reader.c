#include "log/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/frames.h"

/* A parked reader looks again this often even if nobody rings: the net under the mechanism. */
static const uint64_t longest_sleep_ns = 250000000;
/* How long a change of publishers may take that a newcomer falls into: milliseconds, with a large window. */
static const uint64_t longest_change_ns = 5000000000;
/* Without a doorbell nobody will ring. */
static const uint64_t deaf_sleep_ns = 1000000;
/* What a reader tells of its position is at most so much too little. */
static const uint64_t tell_bytes = 16384;

/* ---- windows ---- */

static int map_window(struct reader *reader, int fd, uint32_t epoch)
{
    uint64_t size, capacity = 0;
    struct map map = {0};
    int rc = map_file_size(fd, &size);
    if (rc == 0 && (size < WINDOW_HEADER_BYTES + WINDOW_MIN_BYTES ||
                    size > WINDOW_HEADER_BYTES + (uint64_t)WINDOW_MAX_BYTES))
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(fd, (size_t)size, MAP_READ, MAP_PREFAULT, &map);
    if (rc == 0)
        rc = window_check(map.address, map.size, &capacity);
    if (rc < 0) {
        map_release(&map);
        return error_set(&reader->error, rc, "window of epoch %" PRIu32, epoch);
    }
    map_release(&reader->window_map);
    reader->window_map = map;
    reader->window = map.address;
    reader->data = reader->window->data;
    reader->mask = capacity - 1;
    reader->epoch = epoch;
    return HERMES_OK;
}

/* Where the former epoch ended is known by now. */
static void step_back(struct reader *reader, uint32_t former)
{
    struct epoch_record record;
    if (reader->past_seal && status_find_epoch(reader->status, former, &record) && record.end != EPOCH_OPEN &&
        reader->position > record.end_position)
        reader_hop(reader, record.end_position, 0);
    reader->past_seal = false;
}

int reader_follow_epoch(struct reader *reader)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        /* Acquire pairs with the release of epoch in log_renew(). */
        uint32_t epoch = atomic_load_explicit(&reader->status->epoch, memory_order_acquire);
        uint64_t seal = status_load_seal(reader->status);
        bool over = (uint32_t)seal >= epoch;
        if (epoch == reader->epoch && over)
            return HERMES_EAGAIN;
        if (over) /* as it was while the epoch was open: what is read finds another, and looks for the end */
            seal = status_seal((uint32_t)(seal >> 32), epoch - 1);
        if (epoch == reader->epoch) {
            reader->seal = seal;
            return HERMES_OK;
        }
        /* Its windows went with it, and whoever owns the log now has none of that epoch. (One that nobody
         * has open is read by way of a window of the reader's own.) */
        if (reader->epoch != 0 && status_is_closed(reader->status))
            return HERMES_EAGAIN;
        int fd;
        int rc = reader->source.open_window(reader->source.context, epoch, &fd);
        if (rc == HERMES_EAGAIN)
            continue;
        if (rc < 0)
            return error_set(&reader->error, rc, "cannot open the window of epoch %" PRIu32, epoch);
        uint32_t former = reader->epoch;
        rc = map_window(reader, fd, epoch);
        close(fd);
        if (rc < 0)
            return rc;
        reader->seal = seal; /* if it has changed since, the next look finds that out */
        step_back(reader, former);
        return HERMES_OK;
    }
    return HERMES_EAGAIN;
}

/* The first window. Whoever comes while the topic changes its publisher waits until that is done. */
static int enter_epoch(struct reader *reader)
{
    uint64_t start = clock_monotonic_ns();
    for (;;) {
        uint32_t epoch = atomic_load_explicit(&reader->status->epoch, memory_order_acquire);
        int rc = reader_follow_epoch(reader);
        if (rc != HERMES_EAGAIN)
            return rc;
        if (status_is_closed(reader->status))
            return error_say(&reader->error, HERMES_ECLOSED, "the log was closed while it was opened");
        if (clock_monotonic_ns() - start > longest_change_ns)
            return error_set(&reader->error, rc, "publishers change faster than their windows can be opened");
        (void)futex_wait(&reader->status->epoch, epoch, 1000000);
    }
}

int reader_open(struct reader *reader, const struct status *status, struct doorbell *doorbell,
                struct reader_source source, enum reader_verify verify)
{
    *reader = (struct reader){.status = status,
                              .doorbell = doorbell,
                              .source = source,
                              .verify = verify == VERIFY_ALL,
                              .stored = status->durability != DURABILITY_MEMORY};
    reader->copy = aligned_alloc(64, FRAME_MAX_BYTES + 64 - FRAME_MAX_BYTES % 64);
    if (reader->copy == NULL)
        return error_set(&reader->error, HERMES_ENOMEM, "a reader's buffer");
    int rc = enter_epoch(reader);
    if (rc == 0)
        rc = reader_seek_end(reader);
    if (rc < 0)
        reader_close(reader);
    return rc;
}

void reader_close(struct reader *reader)
{
    map_release(&reader->window_map);
    segment_release(&reader->segment);
    free(reader->copy);
    reader->copy = NULL;
}

uint64_t reader_end(const struct reader *reader)
{
    const struct status *status = reader->status;
    struct epoch_record record;
    if ((uint32_t)status_load_seal(status) >= reader->epoch &&
        status_find_epoch(status, reader->epoch, &record) && record.end != EPOCH_OPEN)
        return record.end_position;
    /* The publisher's own word, and it may be a stranger's: rounded and bounded, so that nothing outside of
     * the window is looked at. */
    uint64_t position = atomic_load_explicit(&reader->window->position, memory_order_acquire);
    position &= ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    if (!reader->stored)
        return position;
    uint64_t persisted = atomic_load_explicit(&status->persisted, memory_order_acquire);
    if (position < persisted)
        return persisted;
    return position - persisted <= reader->mask + 1 ? position : persisted;
}

/* ---- now and then ---- */

void reader_tell(struct reader *reader)
{
    const uint64_t value[TOLD_VALUES] = {
        [TOLD_POSITION] = reader->position, [TOLD_LOST] = reader->lost, [TOLD_DAMAGED] = reader->corrupt};
    told_write(&reader->told, value);
}

static void look_later(struct reader *reader)
{
    uint64_t tell_at = reader->told.line != NULL ? reader->position + tell_bytes : UINT64_MAX;
    reader->look_at = reader->pace.until < tell_at ? reader->pace.until : tell_at;
}

void reader_look(struct reader *reader)
{
    reader_tell(reader);
    if (reader->position >= reader->pace.until)
        pace_look(&reader->pace, &reader->window->position, reader->position, reader->sequence);
    look_later(reader);
}

void reader_judge(struct reader *reader)
{
    reader_tell(reader);
    pace_judge(&reader->pace, &reader->window->position, reader->position, reader->sequence);
    look_later(reader);
}

/* The same in the store, where nobody has to keep a pace. */
static void tell_in_store(struct reader *reader)
{
    if (reader->position < reader->look_at)
        return;
    reader_tell(reader);
    reader->look_at = reader->told.line != NULL ? reader->position + tell_bytes : UINT64_MAX;
}

/* ---- the store ---- */

static bool segment_covers(const struct reader *reader, uint64_t position)
{
    return reader->segment.data != NULL && position >= reader->segment.header.base &&
           position - reader->segment.header.base < reader->segment.header.size;
}

int reader_open_segment(struct reader *reader, enum store_key key, uint64_t value, struct store_place *place)
{
    int rc = reader->source.open_segment(reader->source.context, key, value, place);
    if (rc < 0)
        return error_set(&reader->error, rc, "cannot open a segment");
    segment_release(&reader->segment);
    rc = segment_map(place->fd, &reader->segment, &reader->error);
    close(place->fd);
    return rc;
}

/* What retention took is gone; reading goes on with the oldest that is left. Which that is the page of an
 * owner that is gone does not say: its log's next one removed it. */
static int skip_retired(struct reader *reader)
{
    if (status_is_closed(reader->status))
        return HERMES_ECLOSED;
    uint64_t first = atomic_load_explicit(&reader->status->first, memory_order_acquire);
    if (first <= reader->position)
        return HERMES_EGONE;
    if (reader->gap_from == 0)
        reader->gap_from = reader->sequence;
    reader->position = first;
    reader->sequence = 0;
    return error_say(&reader->error, HERMES_EGONE,
                     "older messages were removed: going on at position %" PRIu64, first);
}

/* A segment that was deleted, cut short, or has no header any more: damage as large as it. */
static int skip_segment(struct reader *reader)
{
    uint64_t persisted = atomic_load_explicit(&reader->status->persisted, memory_order_acquire);
    uint64_t size = reader->status->segment_bytes, from = reader->position;
    uint64_t to = size == 0 ? persisted : from - from % size + size;
    reader->corrupt++;
    reader->position = to < persisted ? to : persisted;
    reader->sequence = 0;
    struct error_text why = reader->error;
    return error_set(&reader->error, HERMES_ECORRUPT,
                     "damaged from position %" PRIu64 " to %" PRIu64 ": %.150s", from, reader->position,
                     why.bytes);
}

/* The segment that is mapped holds messages that were purged, and others: retention takes whole ones, and who
 * has one of these mapped reads it to its end. */
static bool is_purged(const struct reader *reader)
{
    /* Acquire pairs with log_purge(). */
    uint64_t first = atomic_load_explicit(&reader->status->first, memory_order_acquire);
    return reader->position < first && segment_covers(reader, first);
}

/* The copy of another log, which began later, and of which nothing is stored yet. */
static bool was_jumped(const struct reader *reader)
{
    /* Acquire pairs with log_jump(). */
    return reader->position < atomic_load_explicit(&reader->status->first, memory_order_acquire);
}

static int enter_store(struct reader *reader)
{
    if (__builtin_expect(is_purged(reader), 0))
        return skip_retired(reader);
    if (!segment_covers(reader, reader->position)) {
        struct store_place place;
        int rc = reader_open_segment(reader, STORE_BY_POSITION, reader->position, &place);
        if (rc == HERMES_EGONE || (rc == HERMES_ENOTFOUND && was_jumped(reader)))
            return skip_retired(reader);
        if (rc == HERMES_ENOTFOUND || rc == HERMES_EMALFORMED || rc == HERMES_ECHECKSUM)
            return skip_segment(reader);
        if (rc < 0)
            return rc;
        if (!segment_covers(reader, reader->position))
            return error_say(&reader->error, HERMES_EGONE, "position %" PRIu64 " is not in the store",
                             reader->position);
    }
    reader->in_store = true;
    return HERMES_OK;
}

/* ---- polling ---- */

/* Messages before the wanted sequence or time pass unseen. */
static bool wanted(struct reader *reader, const hermes_header_t *header, uint64_t position)
{
    if (__builtin_expect(!reader->skipping, 1))
        return true;
    if (header->sequence < reader->skip_below_sequence || header->timestamp < reader->skip_below_time)
        return false;
    reader->skip_below_sequence = reader->skip_below_time = 0;
    reader->detour = reader->skipping = false;
    reader->found = position;
    return true;
}

/* Counts what was overtaken or removed, once it is known where reading goes on. */
static void note_gap(struct reader *reader, const hermes_header_t *header)
{
    if (__builtin_expect(reader->gap_from != 0, 0)) {
        reader->lost += header->sequence - reader->gap_from;
        reader->gap_from = 0;
    }
}

/* What was overwritten in a memory topic is gone: on with the oldest that is left. */
static int skip_overwritten(struct reader *reader)
{
    if (window_still_there(reader->window, reader->position))
        return HERMES_OK;
    uint64_t oldest = window_oldest(reader->window, reader_end(reader));
    if (reader->position < oldest)
        reader->position = oldest;
    return error_say(&reader->error, HERMES_EGONE, "overtaken: going on at position %" PRIu64,
                     reader->position);
}

struct frames reader_stored_frames(const struct reader *reader, uint64_t persisted, enum frame_check check)
{
    const struct segment *segment = &reader->segment;
    uint64_t end = segment->header.base + segment->header.size;
    return (struct frames){.data = segment->data,
                           .base = segment->header.base,
                           .end = end < persisted ? end : persisted,
                           .position = reader->position,
                           .sequence = reader->sequence,
                           .check = check};
}

/* Goes on behind what is wrong, and says what and where. */
static int tell_damage(struct reader *reader, struct frames *frames, const struct frame *frame, int error)
{
    uint64_t from = frames->position;
    reader->corrupt++;
    if (error == HERMES_ECORRUPT) {
        reader->sequence = frame->header.sequence;
        return error_set(&reader->error, error, "sequence jumps to %" PRIu64 " at position %" PRIu64,
                         reader->sequence, from);
    }
    frames_skip_damage(frames);
    reader->position = frames->position;
    reader->sequence = 0;
    return error_set(&reader->error, error == HERMES_ENOTFOUND ? HERMES_EMALFORMED : error,
                     "damaged from position %" PRIu64 " to %" PRIu64, from, reader->position);
}

static int poll_store(struct reader *reader, hermes_message_t *message)
{
    for (;;) {
        /* Acquire pairs with the persister's release: those bytes are in the file. */
        uint64_t persisted = atomic_load_explicit(&reader->status->persisted, memory_order_acquire);
        if (reader->position >= persisted) {
            reader->in_store = false;
            reader->look_at = 0;
            return HERMES_EAGAIN; /* on with the window */
        }
        int rc = enter_store(reader);
        if (rc < 0)
            return rc;
        struct frames frames = reader_stored_frames(reader, persisted, FRAME_CHECKSUMS);
        struct frame frame;
        if ((rc = frames_next(&frames, &frame)) < 0)
            return tell_damage(reader, &frames, &frame, rc);
        reader->position = frames.position;
        if (frame.header.type != HERMES_TYPE_DATA)
            continue;
        reader->sequence = frames.sequence;
        note_gap(reader, &frame.header);
        tell_in_store(reader);
        if (!wanted(reader, &frame.header, frame.position))
            continue;
        *message = frame_message(&frame);
        return 1;
    }
}

/*
 * The epoch is over and no other has begun. 1: what stands at the position counts; 0: it is not known yet, or
 * all was read: then there is nothing to do until the seal or the epoch changes. A later commit does not
 * count.
 */
static int read_to_end(struct reader *reader, uint64_t seal)
{
    struct epoch_record record;
    bool closed = status_is_closed(reader->status);
    if (seal >> 32 != reader->seal >> 32) {
        reader->owner_changed = true;
        reader->seal = status_seal((uint32_t)(seal >> 32), (uint32_t)reader->seal);
    }
    if (!status_find_epoch(reader->status, reader->epoch, &record) || record.end == EPOCH_OPEN) {
        reader->undecided = !closed;
        return closed ? HERMES_ECLOSED : 0;
    }
    if (reader->position < record.end_position)
        return 1;
    if (closed)
        return HERMES_ECLOSED;
    reader->idle_seal = seal;
    reader->detour = true;
    return 0;
}

/* HERMES_EAGAIN: the position, the window or the mode changed: start again. */
static int poll_window(struct reader *reader, hermes_message_t *message)
{
    hermes_header_t header;
    uint64_t bytes = 0, position = reader->position;
    int rc = window_poll(reader->data, reader->mask, position, &header, &bytes);
    if (rc == POLL_DATA)
        window_copy_out(reader->copy, reader->data + (position & reader->mask) + HERMES_HEADER_BYTES,
                        header.length);
    if (!window_still_there(reader->window, position)) {
        if (!reader->stored) {
            rc = skip_overwritten(reader);
            if (rc == 0)
                return HERMES_EAGAIN;
            if (reader->gap_from == 0)
                reader->gap_from = reader->sequence;
            reader->sequence = 0;
            return rc;
        }
        reader->in_store = true;
        return HERMES_EAGAIN;
    }
    uint64_t seal = status_load_seal(reader->status);
    if (seal != reader->seal) {
        if ((uint32_t)seal < reader->epoch) { /* a restarted broker; the epoch goes on */
            reader->seal = seal;
            reader->owner_changed = true;
            return HERMES_EAGAIN;
        }
        rc = reader_follow_epoch(reader);
        if (rc != HERMES_EAGAIN)
            return rc < 0 ? rc : HERMES_EAGAIN;
        if ((rc = read_to_end(reader, seal)) <= 0)
            return rc;
        rc = window_poll(reader->data, reader->mask, position, &header, &bytes);
        if (rc == POLL_DATA)
            window_copy_out(reader->copy, reader->data + (position & reader->mask) + HERMES_HEADER_BYTES,
                            header.length);
        if (!window_still_there(reader->window, position))
            return HERMES_EAGAIN;
    }
    if (rc == POLL_EMPTY)
        return 0;
    if (rc > 0 && header.type == HERMES_TYPE_DATA && reader->sequence != 0 &&
        header.sequence != reader->sequence)
        rc = HERMES_EMALFORMED;
    if (rc < 0) {
        /* Its publisher's fault. The owner will see it too and replace the publisher; until then
         * nothing behind this can be trusted. */
        reader->corrupt++;
        return error_set(&reader->error, rc, "malformed frame at position %" PRIu64, position);
    }
    if (rc == POLL_DATA && reader->verify) {
        rc = hermes_message_verify(&header, reader->copy, HERMES_HEADER_BYTES + (size_t)header.length);
        if (rc < 0) {
            reader->corrupt++;
            reader->position = position + bytes;
            reader->sequence = header.sequence + 1;
            return error_set(&reader->error, rc, "damaged payload at position %" PRIu64, position);
        }
        rc = POLL_DATA;
    }
    reader->position = position + bytes;
    if (rc == POLL_SKIP)
        return HERMES_EAGAIN;
    note_gap(reader, &header);
    reader->sequence = header.sequence + 1;
    if (!wanted(reader, &header, position))
        return HERMES_EAGAIN;
    *message = (hermes_message_t){.position = position,
                                  .sequence = header.sequence,
                                  .timestamp = header.timestamp,
                                  .payload = reader->copy,
                                  .length = header.length,
                                  .flags = header.flags};
    return 1;
}

/* No payload's bytes are anybody's that point into what was mapped before: it is gone with the next window.
 */
void reader_move(struct reader *reader, const struct status *status, struct doorbell *doorbell)
{
    segment_release(&reader->segment);
    reader->status = status;
    reader->doorbell = doorbell;
    reader->epoch = 0;
    reader->pace = (struct pace){0};
    reader->seal = UINT64_MAX; /* no page says that: all goes the slow way */
    reader->in_store = reader->owner_changed = false;
    reader_hop(reader, reader->position, reader->sequence);
    if (reader->stored)
        return;
    reader->skip_below_sequence = reader->skip_below_time = reader->gap_from = 0;
    reader->skipping = false;
    reader_hop(reader, 0, 1);
}

/* The first window since the reader moved. HERMES_EAGAIN: not yet. */
static int arrive(struct reader *reader)
{
    if (status_is_closed(reader->status))
        return HERMES_ECLOSED;
    int rc = reader_follow_epoch(reader);
    if (rc < 0 || !reader->stored || reader->position <= reader_end(reader))
        return rc;
    return reader_resume(reader, reader->position, reader->sequence);
}

int reader_poll_slow(struct reader *reader, hermes_message_t *message)
{
    int rc = HERMES_OK;
    reader->undecided = false;
    if (__builtin_expect(reader->epoch == 0, 0) && (rc = arrive(reader)) < 0)
        return rc == HERMES_EAGAIN ? 0 : rc;
    if (reader->idle_seal != 0) {
        if (reader_is_idle(reader))
            return 0;
        reader->idle_seal = 0;
        reader->detour = reader->skipping;
    }
    do {
        rc = reader->in_store ? poll_store(reader, message) : poll_window(reader, message);
    } while (rc == HERMES_EAGAIN);
    return rc;
}

/* ---- waiting ---- */

bool reader_park(struct reader *reader, uint32_t *bell)
{
    reader_tell(reader);
    /* Acquire pairs with the release in window_ring(). */
    *bell = atomic_load_explicit(&reader->window->bell, memory_order_acquire);
    if (reader->doorbell != NULL) {
        atomic_store_explicit(&reader->doorbell->parked, 1, memory_order_relaxed);
        reader->unheard = !barrier_remote(); /* pairs with barrier_publisher(): one of us sees the other */
    }
    return reader_ready(reader);
}

uint64_t reader_longest_sleep(const struct reader *reader)
{
    return reader->doorbell != NULL && !reader->unheard && !reader->undecided ? longest_sleep_ns
                                                                              : deaf_sleep_ns;
}

int reader_wait(struct reader *reader, uint64_t timeout_ns, uint64_t spin_ns)
{
    if (reader_ready(reader))
        return HERMES_OK;
    uint64_t start = clock_monotonic_ns(), now = start;
    while (now - start < spin_ns && now - start < timeout_ns) {
        for (int i = 0; i < 64; i++) {
            if (reader_ready(reader))
                return HERMES_OK;
            cpu_relax();
        }
        now = clock_monotonic_ns();
    }
    for (;;) {
        now = clock_monotonic_ns();
        if (now - start >= timeout_ns)
            return HERMES_ETIMEOUT;
        uint64_t left = timeout_ns - (now - start);
        uint64_t most = reader_longest_sleep(reader);
        uint32_t bell;
        if (reader_park(reader, &bell))
            return HERMES_OK;
        int rc = futex_wait(&reader->window->bell, bell, left < most ? left : most);
        if (reader_ready(reader))
            return HERMES_OK;
        if (rc == HERMES_EINTERRUPTED)
            return rc;
        if (left > most && rc == HERMES_ETIMEOUT)
            return HERMES_EAGAIN; /* time for the caller to see whether its broker lives */
    }
}
