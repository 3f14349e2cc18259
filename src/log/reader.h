/*
 * Reading a topic log: from the hot window while the position is inside it, else from the store, and
 * back, without a gap or a repeat and without the caller noticing.
 *
 * Who hands out windows and segments is not known here: a source opens them (by path in embedded use;
 * by asking the broker, who passes descriptors, in a client).
 *
 * Payloads are copied out of the window (and checked afterwards to have been whole) and pointed to in
 * the store's mapping. Either way they are valid until the next call with the same reader.
 */
#ifndef LOG_READER_H
#define LOG_READER_H

#include "log/frames.h"
#include "log/pace.h"
#include "log/status.h"
#include "log/store.h"
#include "log/told.h"
#include "log/window.h"

struct reader_source {
    /* Opens, for reading, the window of that epoch. HERMES_EAGAIN: it has been replaced already. */
    int (*open_window)(void *context, uint32_t epoch, int *fd);
    /* As store_find(). What comes from another process is checked. */
    int (*open_segment)(void *context, enum store_key key, uint64_t value, struct store_place *place);
    void *context;
};

enum reader_verify { VERIFY_ALL = 0, VERIFY_STORE_ONLY = 1 };

#define READER_NOTHING_FOUND UINT64_MAX

struct reader {
    /* hot */
    const uint8_t *data;
    uint64_t mask;
    uint64_t position;
    uint64_t sequence; /* expected; 0: any */
    uint64_t look_at;  /* a frame from here on is read after reader_look() */
    struct pace pace;
    const struct window *window;
    const struct status *status;
    uint64_t seal;
    uint8_t *copy; /* one frame */
    bool verify;
    bool in_store;
    bool detour;   /* skipping, or idle */
    bool skipping; /* to a sequence or a time that was sought */
    bool owner_changed;
    bool undecided; /* what is at the position counts, or not, once a change of publishers is settled */
    bool past_seal; /* went to the end of an epoch that was over: perhaps to what did not count any more */

    /* cold */
    uint64_t idle_seal; /* nobody publishes, and all was read: the seal that says so; else 0 */
    uint32_t epoch;     /* 0: moved to another status page, and not in a window of its log yet */
    bool stored;
    uint64_t skip_below_sequence;
    uint64_t skip_below_time;
    uint64_t found;    /* where what was sought stood, if it was skipped to; else READER_NOTHING_FOUND */
    uint64_t lost;     /* messages that were overwritten before they were read (memory topics) */
    uint64_t gap_from; /* the sequence expected when that last happened; 0: nothing outstanding */
    uint64_t corrupt;  /* frames that were damaged */
    struct told told;  /* for who wants to know from outside how far it is */
    struct map window_map;
    struct segment segment;
    struct doorbell *doorbell; /* NULL: cannot ring; sleeps are short */
    bool unheard;              /* that it parks reached no writer; sleeps are short, too */
    struct reader_source source;
    struct error_text error;
};

/* Status and doorbell mappings are the caller's and outlive the reader. Starts at the end. */
int reader_open(struct reader *reader, const struct status *status, struct doorbell *doorbell,
                struct reader_source source, enum reader_verify verify);
void reader_close(struct reader *reader);

/* 1: *message is filled in; 0: nothing now; else an error:
 * HERMES_EGONE      messages were overwritten before they could be read (memory topics): reading goes
 *                   on at the oldest that is left; reader->lost has their number once it is known
 * HERMES_ECORRUPT, HERMES_ECHECKSUM, HERMES_EMALFORMED  a damaged stretch; calling again goes on with the
 *                   first good message behind it
 * HERMES_ECLOSED    deleted or closed, and everything before was read, or was removed since
 */
int reader_poll_slow(struct reader *reader, hermes_message_t *message);

/* What is due before reading on, or while there is nothing to read: to keep its pace, and to tell. */
void reader_look(struct reader *reader);
void reader_judge(struct reader *reader);

/* Where it stands, to whom it may concern. */
void reader_tell(struct reader *reader);

static inline int reader_poll(struct reader *reader, hermes_message_t *message)
{
    hermes_header_t header;
    uint64_t frame_bytes, position = reader->position;
    if (__builtin_expect(reader->in_store || reader->detour, 0))
        return reader_poll_slow(reader, message);
    if (__builtin_expect(position >= reader->look_at, 0))
        reader_look(reader);
    int rc = window_poll(reader->data, reader->mask, position, &header, &frame_bytes);
    if (__builtin_expect(rc != POLL_DATA, 0)) {
        /* The usual emptiness, told from a lap or a change of epoch without leaving this function. */
        if (rc == POLL_EMPTY && window_still_there(reader->window, position) &&
            status_load_seal(reader->status) == reader->seal) {
            if (__builtin_expect(position >= reader->pace.judge_at, 0))
                reader_judge(reader);
            return 0;
        }
        return reader_poll_slow(reader, message);
    }
    window_payload_out(reader->copy, reader->data + (position & reader->mask), frame_bytes, header.length);
    if (__builtin_expect(!window_still_there(reader->window, position) ||
                             status_load_seal(reader->status) != reader->seal ||
                             header.sequence != reader->sequence,
                         0))
        return reader_poll_slow(reader, message);
    if (reader->verify &&
        hermes_message_verify(&header, reader->copy, HERMES_HEADER_BYTES + (size_t)header.length) < 0)
        return reader_poll_slow(reader, message);
    reader->position = position + frame_bytes;
    reader->sequence++;
    *message = (hermes_message_t){.position = position,
                                  .sequence = header.sequence,
                                  .timestamp = header.timestamp,
                                  .payload = reader->copy,
                                  .length = header.length,
                                  .flags = header.flags};
    return 1;
}

/* Between two publishers, with nothing left to read: until the next one's epoch is there, the log is closed,
 * or another owner has taken it up. */
static inline bool reader_is_idle(const struct reader *reader)
{
    return reader->idle_seal != 0 && status_load_seal(reader->status) == reader->idle_seal &&
           atomic_load_explicit(&reader->status->epoch, memory_order_acquire) == reader->epoch &&
           !status_is_closed(reader->status);
}

/* Is there anything to do at the reader's position? Cheap: for spinning. */
static inline bool reader_ready(const struct reader *reader)
{
    if (reader->undecided)
        return false; /* nobody rings for it: sleeps are short */
    if (reader->idle_seal != 0)
        return !reader_is_idle(reader);
    if (reader->in_store ||
        atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)(reader->data + (reader->position & reader->mask)),
            memory_order_relaxed) != 0)
        return true;
    return !window_still_there(reader->window, reader->position) ||
           status_load_seal(reader->status) != reader->seal;
}

/* The next frame is that at position, which is known to be one; sequence 0: any. Of whichever epoch: where
 * the window's own ended says nothing about it. */
static inline void reader_hop(struct reader *reader, uint64_t position, uint64_t sequence)
{
    reader->position = position;
    reader->sequence = sequence;
    reader->look_at = 0;
    reader->past_seal = reader->undecided = false;
    reader->idle_seal = 0;
    reader->detour = reader->skipping;
}

/* Sleeps until there may be something, the time-out or a signal. spin_ns first without sleeping.
 * 0: look; HERMES_ETIMEOUT; HERMES_EINTERRUPTED. */
int reader_wait(struct reader *reader, uint64_t timeout_ns, uint64_t spin_ns);

/* Before sleeping on the window's bell while it is *bell, at most so long: asks to be woken. true: there is
 * something to do already. */
bool reader_park(struct reader *reader, uint32_t *bell);
uint64_t reader_longest_sleep(const struct reader *reader);

/*
 * Where to read next. Whatever fails (the broker is away, ...) leaves the reader where it was, and able to go
 * on.
 */
int reader_seek_first(struct reader *reader);
int reader_seek_end(struct reader *reader);
/* The next message is the first whose sequence (time stamp) is not below the value. */
int reader_seek_sequence(struct reader *reader, uint64_t sequence);
int reader_seek_time(struct reader *reader, uint64_t timestamp);
/*
 * A position that a message had, or a former reader, also the one behind the last message. A number from
 * anywhere is refused where no message begins: what a payload pretends to be is never read as one.
 * HERMES_EINVALID: not a multiple of 64; HERMES_ENOTFOUND: behind the end, or within a message; HERMES_EGONE:
 * older than what is kept, or (memory topics) than what can be told from payload by now.
 */
int reader_seek_position(struct reader *reader, uint64_t position);

/* Of a message that was read, by what somebody says of it. */
struct reader_wanted {
    uint64_t position; /* a multiple of 64 */
    uint64_t sequence;
    uint32_t length;
};

/*
 * Does that message stand there? 1, or 0; the reader stays where it is. HERMES_EGONE: nobody can tell any
 * more: overwritten, removed by retention, in a segment that is damaged; HERMES_EAGAIN: it is neither in the
 * window nor in the segment that is mapped, and may_ask is false. Else what opening a segment comes to.
 */
int reader_has(struct reader *reader, const struct reader_wanted *wanted, bool may_ask);

/*
 * Goes on where another reader of the same log stood, before its sequence (0: any). Nothing is checked but
 * that the log reaches that far: HERMES_EGONE: it has lost its end since; the reader stands at what is the
 * end now.
 */
int reader_resume(struct reader *reader, uint64_t position, uint64_t sequence);

/*
 * Goes on with the status page and the doorbell of a log's next owner: where it stood, if the log is stored
 * (the next poll checks as reader_resume() does); one in memory begins anew, and so does the reader, at its
 * first message. Opens nothing: the next poll does.
 */
void reader_move(struct reader *reader, const struct status *status, struct doorbell *doorbell);

/* ---- for log/seek.c ---- */

/* Goes over to the current epoch's window. The position stays: what was readable has moved with it.
 * HERMES_EAGAIN: the epoch is over, and there is no next one yet. */
int reader_follow_epoch(struct reader *reader);

/* Where the log ends by now: behind the last message. */
uint64_t reader_end(const struct reader *reader);

/* Opens and maps the segment in which that is to be searched for. */
int reader_open_segment(struct reader *reader, enum store_key key, uint64_t value, struct store_place *place);

/* What is stored from the reader's position on, in the segment that is mapped. */
struct frames reader_stored_frames(const struct reader *reader, uint64_t persisted, enum frame_check check);

#endif
