/*
 * From frame to frame in a stretch of a log that no longer changes: the one way to do so, for recovery,
 * verification, readers of the store, searches and the index.
 *
 * Every frame carries the sequence of the next message; DATA is that message, all others take none. Types up
 * to FRAME_TYPE_LAST are the log's, and who does not know one passes over it; a higher one is no frame.
 *
 * A stretch may hold anything: what a publisher made of it, what a disk lost. Nothing outside of it is looked
 * at, and whatever is there, each step costs at most a look at every 64 bytes up to its end.
 */
#ifndef LOG_FRAMES_H
#define LOG_FRAMES_H

#include <stdint.h>
#include <string.h>

#include "hermes/message.h"

enum { FRAME_TYPE_LAST = 15 };

enum frame_check {
    FRAME_HEADERS,   /* payloads are not touched */
    FRAME_CHECKSUMS, /* 10 ns for 64 bytes */
};

struct frames {
    const uint8_t *data; /* what stands at position base */
    uint64_t base;
    uint64_t end;      /* no frame reaches beyond it */
    uint64_t position; /* of the next frame */
    uint64_t sequence; /* of the next message; 0: not known */
    enum frame_check check;
};

struct frame {
    uint64_t position;
    uint64_t bytes;
    const uint8_t *payload; /* in the stretch */
    hermes_header_t header; /* a copy */
};

/* What a reader hands out of it; the payload stays where it is. */
static inline hermes_message_t frame_message(const struct frame *frame)
{
    return (hermes_message_t){.position = frame->position,
                              .sequence = frame->header.sequence,
                              .timestamp = frame->header.timestamp,
                              .payload = frame->payload,
                              .length = frame->header.length,
                              .flags = frame->header.flags};
}

/*
 * 1: *frame, and on to the next; 0: the end. Else position stays, and
 * HERMES_ENOTFOUND   nothing was ever written here
 * HERMES_EMALFORMED, HERMES_EVERSION, HERMES_ETOOLARGE  this is no frame
 * HERMES_ECORRUPT    a frame, but not the next one: its sequence is another
 * HERMES_ECHECKSUM   the next one, but not as it was published
 */
int frames_next(struct frames *frames, struct frame *frame);

/* The same, with FRAME_HEADERS, for who goes over long runs of messages that are as they should be: 2 ns
 * each, inline. At least 64 bytes must stand at position. */
static inline int frames_next_message(struct frames *frames, struct frame *frame)
{
    const uint8_t *bytes = frames->data + (frames->position - frames->base);
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    memcpy(&frame->header, bytes, sizeof frame->header);
    frame->position = frames->position;
    frame->bytes = hermes_frame_bytes(frame->header.length);
    if (__builtin_expect(
            (word & ~((uint64_t)HERMES_FLAG_CRC << 48)) != hermes_commit_word(HERMES_TYPE_DATA, 0) ||
                frame->header.length > HERMES_PAYLOAD_MAX || frame->bytes > frames->end - frames->position ||
                frame->header.sequence != frames->sequence,
            0))
        return frames_next(frames, frame);
    frame->payload = bytes + HERMES_HEADER_BYTES;
    frames->position += frame->bytes;
    frames->sequence++;
    return 1;
}

/*
 * Behind what is wrong at position: goes on to the next good message, or to the end. A wrong length leads
 * astray, and a payload may look like frames: so what is found must have a sequence that fits, later by no
 * more messages than there is room for in between. What is found there is the next frame, whatever its
 * sequence (0 from here on).
 */
void frames_skip_damage(struct frames *frames);

#endif
