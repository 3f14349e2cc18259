/*
 * Appending messages through a window_writer: the same few steps for an embedded log, an exclusive
 * topic and a producer's ring.
 */
#ifndef LOG_PUBLISH_H
#define LOG_PUBLISH_H

#include "base/crc32.h"
#include "hermes/clock.h"
#include "log/window.h"

/* Times that a publisher may give: what a signed 64-bit number holds, too, but not 0, which is no time. */
static inline bool publish_is_time(uint64_t timestamp_ns)
{
    return timestamp_ns - 1 < INT64_MAX;
}

/* Everything but the commit word, which it returns. payload NULL: it is in place already (a claim); else it
 * is copied. */
static inline uint64_t publish_fill(uint8_t *frame, const void *payload, uint32_t length, uint64_t sequence,
                                    uint64_t timestamp, bool crc)
{
    const uint64_t word = hermes_commit_word(HERMES_TYPE_DATA, crc ? HERMES_FLAG_CRC : 0);
    uint64_t used = HERMES_HEADER_BYTES + length, frame_bytes = hermes_frame_bytes(length);
    if (payload != NULL)
        window_payload_in(frame, frame_bytes, payload, length);
    else if (frame_bytes > used)
        window_zero(frame + used, frame_bytes - used);
    uint32_t sum = 0;
    if (crc) /* of what stands there, for the caller's buffer may change meanwhile */
        sum = crc32_message(frame + HERMES_HEADER_BYTES, length, word, sequence, timestamp);
    window_header_in(frame, sequence, timestamp, length, sum);
    return word;
}

/* HERMES_ETOOLARGE, HERMES_EINVALID: no message, whatever else may be in its way. */
static inline int publish_check(const void *payload, size_t length)
{
    if (__builtin_expect(length > HERMES_PAYLOAD_MAX, 0))
        return HERMES_ETOOLARGE;
    return __builtin_expect(payload == NULL && length > 0, 0) ? HERMES_EINVALID : HERMES_OK;
}

/* One message, visible when this returns. HERMES_ETOOLARGE, HERMES_EINVALID, HERMES_EAGAIN,
 * HERMES_EFENCED. */
static inline int publish_one(struct window_writer *writer, const void *payload, size_t length,
                              uint64_t timestamp, bool crc)
{
    int rc = publish_check(payload, length);
    if (rc < 0)
        return rc;
    uint64_t bytes = hermes_frame_bytes((uint32_t)length);
    uint8_t *frame = window_reserve(writer, bytes, &rc);
    if (__builtin_expect(frame == NULL, 0))
        return rc;
    uint64_t word = publish_fill(frame, payload, (uint32_t)length, writer->sequence, timestamp, crc);
    window_commit(writer, word, bytes, 1);
    return window_after_commit(writer);
}

#endif
