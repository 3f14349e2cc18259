/*
 * The hot window: the last C bytes of a topic's log in shared memory, and the algorithm that moves
 * messages through it. The same window, with the broker as its only reader, is a producer's ring.
 *
 * File: 4096 + C bytes. The frame at position p stands at 4096 + (p mod C) and never crosses a
 * multiple of C; a PAD frame fills the rest.
 *
 *     0     identity            written once, by who makes the window
 *     1024  position, sequence  the writer: behind the last committed frame. Nobody polls it
 *     1152  overwrite limit     the writer: bytes below it may be gone
 *     1280  bell                the word that parked readers sleep on
 *
 * Publish                                    Poll
 *   W1 (rarely) overwrite limit, fence         R1 load the commit word, acquire       pairs with W3
 *   W2 fields, payload, zero tail              R2 check; copy the frame
 *   W3 commit word, release                    R3 fence; load the overwrite limit     pairs with W1
 *   W4 load the seal and the parked flag       R4 load the seal                       see status.h
 *   W5 zero the commit words Z bytes ahead
 *
 * Invariant before W3: every commit word in [position + frame, zeroed) is 0, and there is at least one;
 * so a reader that has taken a frame finds 0 or the next commit, never the remains of the last lap. W5
 * comes after the commit, because x86 drains stores in order and these lines may have to be fetched.
 */
#ifndef LOG_WINDOW_H
#define LOG_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/map.h"
#include "base/wait.h"
#include "group/readers.h"
#include "hermes/message.h"
#include "log/frames.h"
#include "log/status.h"

enum {
    WINDOW_MAGIC = 0x4E495748, /* "HWIN" */
    WINDOW_VERSION = 1,
    WINDOW_HEADER_BYTES = 4096,
    WINDOW_ZERO_AHEAD = 4096,
    WINDOW_MIN_BYTES = 256 * 1024,
    WINDOW_MAX_BYTES = 1024 * 1024 * 1024,
    WINDOW_DEFAULT_BYTES = 4 * 1024 * 1024,
    FRAME_MAX_BYTES = 65536 + 64,
};

struct window {
    uint32_t magic;
    uint16_t version;
    uint16_t header_bytes;
    uint64_t capacity; /* C */
    uint64_t topic_id;
    uint32_t epoch;
    uint32_t writer_fences; /* 1: the writer could not register with membarrier, and fences itself */
    uint64_t first;         /* where the oldest frame of this window began when it was made */

    _Alignas(1024) _Atomic uint64_t position;
    _Atomic uint64_t sequence; /* of the next DATA */

    _Alignas(128) _Atomic uint64_t overwrite_limit;

    _Alignas(128) _Atomic uint32_t bell;

    _Alignas(WINDOW_HEADER_BYTES) uint8_t data[];
};

_Static_assert(offsetof(struct window, position) == 1024, "position");
_Static_assert(offsetof(struct window, overwrite_limit) == 1152, "limit");
_Static_assert(offsetof(struct window, bell) == 1280, "bell");
_Static_assert(offsetof(struct window, data) == WINDOW_HEADER_BYTES, "data");

static inline bool window_capacity_is_legal(uint64_t capacity)
{
    return capacity >= WINDOW_MIN_BYTES && capacity <= WINDOW_MAX_BYTES && (capacity & (capacity - 1)) == 0;
}

/* ---- payload copies ----
 * A reader may copy a frame while the writer overwrites it, and then throws the copy away: a race by
 * design (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012). Under
 * ThreadSanitizer the copies are made of relaxed atomics, which is what the C standard asks for;
 * otherwise memcpy compiles to the same loads, only wider. */
#if defined(__SANITIZE_THREAD__)
#define WINDOW_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WINDOW_TSAN 1
#endif
#endif

#ifdef WINDOW_TSAN
void window_copy_in(void *to, const void *from, size_t bytes);
void window_copy_out(void *to, const void *from, size_t bytes);
void window_zero(void *to, size_t bytes);
#else
static inline void window_copy_in(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
static inline void window_copy_out(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
static inline void window_zero(void *to, size_t bytes)
{
    memset(to, 0, bytes);
}
#endif

/*
 * A header but for its commit word, out of registers: a struct that is filled in field by field and copied
 * would be loaded in wider pieces than it was stored in, and such a load waits until all stores before it
 * have left the core, each of which may have to fetch its line.
 */
static inline void window_header_in(uint8_t *frame, uint64_t sequence, uint64_t timestamp, uint32_t length,
                                    uint32_t crc)
{
    const uint64_t last = (uint64_t)crc << 32 | length;
    window_copy_in(frame + 8, &sequence, sizeof sequence);
    window_copy_in(frame + 16, &timestamp, sizeof timestamp);
    window_copy_in(frame + 24, &last, sizeof last);
}

/*
 * Between its header and its end a frame has a multiple of 32 bytes. So what a short frame carries is copied
 * in blocks of 32, here: a call of memcpy() takes as long as copying two lines does.
 */
enum { WINDOW_BLOCK_BYTES = 32, WINDOW_SHORT_FRAME_BYTES = 2 * 64 };

/* A frame's payload, and of a short one the zeroes behind it; room for that at `to`. */
static inline void window_payload_out(uint8_t *to, const uint8_t *frame, uint64_t frame_bytes,
                                      uint32_t length)
{
    const uint8_t *from = frame + HERMES_HEADER_BYTES;
    if (frame_bytes > WINDOW_SHORT_FRAME_BYTES) {
        window_copy_out(to, from, length);
        return;
    }
    for (uint64_t i = 0; i < frame_bytes - HERMES_HEADER_BYTES; i += WINDOW_BLOCK_BYTES)
        window_copy_out(to + i, from + i, WINDOW_BLOCK_BYTES);
}

/* A payload into a frame of that many bytes, and zeroes behind it. */
static inline void window_payload_in(uint8_t *frame, uint64_t frame_bytes, const uint8_t *from,
                                     uint32_t length)
{
    uint8_t *to = frame + HERMES_HEADER_BYTES, *end = frame + frame_bytes;
    uint32_t left = length % WINDOW_BLOCK_BYTES, whole = length - left;
    if (frame_bytes > WINDOW_SHORT_FRAME_BYTES) {
        window_copy_in(to, from, length);
        window_zero(to + length, frame_bytes - HERMES_HEADER_BYTES - length);
        return;
    }
    for (; whole > 0; whole -= WINDOW_BLOCK_BYTES, to += WINDOW_BLOCK_BYTES, from += WINDOW_BLOCK_BYTES)
        window_copy_in(to, from, WINDOW_BLOCK_BYTES);
    for (uint8_t *rest = to; rest < end; rest += WINDOW_BLOCK_BYTES)
        window_zero(rest, WINDOW_BLOCK_BYTES);
    for (uint32_t bytes = WINDOW_BLOCK_BYTES / 2; left > 0; bytes /= 2) {
        if ((left & bytes) == 0)
            continue;
        window_copy_in(to, from, bytes);
        to += bytes, from += bytes, left -= bytes;
    }
}

/* ---- writing ---- */

/* The parked flag of a topic's subscribers, in a page of its own that all of them may write. */
struct doorbell {
    _Alignas(64) _Atomic uint32_t parked;
};

/* Everything the writer needs; private to its process. */
struct window_writer {
    uint8_t *data;
    uint64_t mask;
    uint64_t position; /* of the next frame */
    uint64_t sequence; /* of the next DATA */
    uint64_t zeroed;   /* commit words in [position, zeroed) are 0 */
    uint64_t may_zero; /* zeroing up to here needs neither a new overwrite limit nor the gate */
    const _Atomic uint64_t *mark;
    uint64_t seal;                  /* as long as *mark says so, all is as it was */
    const _Atomic uint32_t *parked; /* somebody sleeps: after a commit, ring */
    uint32_t epoch;                 /* that the seal must stay below; 0: a ring, which has no epoch */
    bool membarrier;
    bool owner_changed; /* another broker has taken the log up, or ours takes no more from the ring */
    struct window *window;
    const _Atomic uint64_t *gate;           /* bytes below it may be overwritten; NULL: all may */
    struct readers *readers;                /* nor those that one of these has to read; NULL: nobody */
    const _Atomic uint32_t *persister_bell; /* rung when the gate is far behind; NULL: nobody to ring */
    struct doorbell *doorbell;              /* NULL: a ring; its reader has an eventfd */
    int eventfd;                            /* -1: none */
    uint64_t rung_at;                       /* position at which the persister was last rung */
};

struct window_writer_options {
    struct window *window;
    const _Atomic uint64_t *mark; /* the status page's seal, or a ring's mark */
    uint64_t seal;                /* what it says as long as all is as it was */
    const _Atomic uint64_t *gate;
    struct readers *readers;
    struct doorbell *doorbell;
    const _Atomic uint32_t *parked;
    const _Atomic uint32_t *persister_bell;
    int eventfd;
    uint32_t epoch; /* that the seal must stay below; 0: a ring */
    bool membarrier;
};

/* Takes up writing behind the last committed frame, at position and with sequence: see window_end(). */
void window_writer_init(struct window_writer *writer, const struct window_writer_options *options,
                        uint64_t position, uint64_t sequence);

/* Slow path of window_reserve: moves the limit, asks the gate, zeroes. HERMES_EAGAIN: the gate is shut. */
int window_make_room(struct window_writer *writer, uint64_t end);

/* Is it a reader of a push-back topic that the writer has no room for: less than an eighth of the window?
 * *wanted, then: where the slowest has to be before it is worth going on. */
bool window_waits_for_readers(const struct window_writer *writer, uint64_t *wanted);
int window_pad(struct window_writer *writer);
void window_ring(struct window_writer *writer);

static inline _Atomic uint64_t *window_commit_word(uint8_t *data, uint64_t offset)
{
    return (_Atomic uint64_t *)(void *)(data + offset);
}

static inline hermes_header_t *window_header(uint8_t *data, uint64_t offset)
{
    return (hermes_header_t *)(void *)(data + offset);
}

/* Makes sure that a frame of frame_bytes fits at writer->position, padding if need be, and that the
 * commit word behind it is 0. Returns where it goes, or NULL: the gate is shut, *error says why. */
static inline uint8_t *window_reserve(struct window_writer *writer, uint64_t frame_bytes, int *error)
{
    uint64_t offset = writer->position & writer->mask;
    if (__builtin_expect(offset + frame_bytes > writer->mask + 1, 0)) {
        if ((*error = window_pad(writer)) < 0)
            return NULL;
        offset = 0;
    }
    uint64_t end = writer->position + frame_bytes + HERMES_FRAME_ALIGNMENT;
    if (__builtin_expect(end > writer->zeroed, 0)) {
        if ((*error = window_make_room(writer, end)) < 0)
            return NULL;
    }
    return writer->data + offset;
}

/* W3: makes the frame at writer->position, complete but for its commit word, visible. */
static inline void window_commit(struct window_writer *writer, uint64_t word, uint64_t frame_bytes,
                                 uint64_t sequences)
{
    /* Release pairs with the acquire in window_poll(): the frame is complete for who sees the word. */
    atomic_store_explicit(window_commit_word(writer->data, writer->position & writer->mask), word,
                          memory_order_release);
    writer->position += frame_bytes;
    writer->sequence += sequences;
}

/* W4 and W5, once after one commit or a batch. HERMES_EFENCED: the last frames may not count. */
static inline int window_after_commit(struct window_writer *writer)
{
    /* Release pairs with the acquire of newcomers (reader_seek_end()): they find the word there zeroed, or
     * the next commit. */
    atomic_store_explicit(&writer->window->position, writer->position, memory_order_release);
    atomic_store_explicit(&writer->window->sequence, writer->sequence, memory_order_relaxed);
    barrier_publisher(writer->membarrier);
    if (__builtin_expect(atomic_load_explicit(writer->parked, memory_order_relaxed) != 0, 0))
        window_ring(writer);
    uint64_t seal = atomic_load_explicit(writer->mark, memory_order_relaxed);
    if (__builtin_expect(seal != writer->seal, 0)) {
        if (writer->epoch != 0 && (uint32_t)seal >= writer->epoch)
            return HERMES_EFENCED;
        writer->owner_changed = true;
    }
    uint64_t target = writer->position + WINDOW_ZERO_AHEAD;
    if (__builtin_expect(target <= writer->may_zero, 1)) {
        /* Relaxed: ordered before every later commit word by that word's release. */
        for (; writer->zeroed < target; writer->zeroed += HERMES_FRAME_ALIGNMENT)
            atomic_store_explicit(window_commit_word(writer->data, writer->zeroed & writer->mask), 0,
                                  memory_order_relaxed);
    } else {
        (void)window_make_room(writer, target); /* shut now: window_reserve() will say so */
    }
    return HERMES_OK;
}

/* Takes back a frame that was reserved and written to but not committed: commit words to 0 again. */
static inline void window_abort(uint8_t *frame, uint32_t length)
{
    uint64_t end = hermes_frame_bytes(length);
    for (uint64_t at = HERMES_FRAME_ALIGNMENT; at < end; at += HERMES_FRAME_ALIGNMENT)
        atomic_store_explicit(window_commit_word(frame, at), 0, memory_order_relaxed);
}

/* ---- reading ---- */

enum { POLL_EMPTY = 0, POLL_DATA = 1, POLL_SKIP = 2 };

/*
 * Looks at the frame at position of a window (data, mask) that a stranger may write to. Copies the
 * header once; checks everything that a header can be wrong about. POLL_EMPTY: not committed;
 * POLL_DATA; POLL_SKIP: a frame that readers pass over; or a negative error, to be believed only if
 * the frame is still there (window_still_there).
 */
static inline int window_poll(const uint8_t *data, uint64_t mask, uint64_t position, hermes_header_t *header,
                              uint64_t *frame_bytes)
{
    uint64_t offset = position & mask;
    const uint8_t *frame = data + offset;
    /* Acquire pairs with the release in window_commit(). */
    uint64_t word = atomic_load_explicit((const _Atomic uint64_t *)(const void *)frame, memory_order_acquire);
    if (word == 0) {
        *frame_bytes = 0;
        return POLL_EMPTY;
    }
    memcpy(header, &word, sizeof word);
    window_copy_out((uint8_t *)header + 8, frame + 8, HERMES_HEADER_BYTES - 8);
    uint64_t bytes = hermes_frame_bytes(header->length);
    *frame_bytes = bytes;
    uint64_t known = hermes_commit_word(HERMES_TYPE_DATA, header->flags & HERMES_FLAG_CRC);
    if (__builtin_expect(header->length > HERMES_PAYLOAD_MAX || offset + bytes > mask + 1, 0))
        return HERMES_EMALFORMED;
    if (__builtin_expect(word == known, 1))
        return POLL_DATA;
    int rc = hermes_message_decode(header, (size_t)bytes);
    if (rc < 0)
        return rc;
    return header->type <= FRAME_TYPE_LAST ? POLL_SKIP : HERMES_EMALFORMED;
}

/* R3: false if the bytes from position on may have been overwritten while they were looked at. */
static inline bool window_still_there(const struct window *window, uint64_t position)
{
    /* Pairs with the release fence in window_make_room(): who read a byte of the next lap sees the
     * limit that was raised before it was written. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&window->overwrite_limit, memory_order_relaxed) <= position;
}

/*
 * The oldest frame that a newcomer can begin with, where the log ends at end. Bytes below the overwrite limit
 * may be gone, wherever it lies; frames begin at `first`, as long as that is there, and at each multiple of
 * C. end: no frame that is known to be one.
 */
uint64_t window_oldest(const struct window *window, uint64_t end);

/*
 * Readers find nothing below position any more, which is that of a frame or of the end: as if it had been
 * overwritten. For who made the window, whoever writes it. A writer that raises the limit at the same moment
 * may take this back: call it again, later; nothing happens where it holds.
 */
void window_forget(struct window *window, uint64_t position);

/*
 * Goes on at a later position, of a log that is copied from elsewhere: what lies between does not exist any
 * more, and who was to read it is told, as of what was overwritten. The writer's thread, between two frames.
 */
void window_jump(struct window_writer *writer, uint64_t position, uint64_t sequence);

/* ---- making and checking ---- */

/* Fills in the header page of a fresh mapping of WINDOW_HEADER_BYTES + capacity zero bytes. */
void window_init(struct window *window, uint64_t capacity, uint64_t topic_id, uint32_t epoch,
                 uint64_t position, uint64_t sequence, bool writer_fences);

/* Is this a window of which bytes are mapped? Fills in the capacity, read once and checked. */
int window_check(const struct window *window, size_t bytes, uint64_t *capacity);

/* Is this a status page that we understand? */
int status_check(const struct status *status);

/* Walks committed frames from position on, in a window whose writer no longer writes or may be hostile:
 * ends at the first that is not there or not right. At most to `until`. */
struct window_end {
    uint64_t position;
    uint64_t sequence; /* of the next DATA */
    int error;         /* why it ended early, or 0 */
};
struct window_end window_walk(const uint8_t *data, uint64_t mask, uint64_t position, uint64_t sequence,
                              uint64_t until);

#endif
