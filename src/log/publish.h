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

/*
 * Everything but the commit word. payload NULL: it is in place already (a claim); else it is copied. The
 * header is built in registers and stored once, in the widths that readers load.
 */
static inline uint64_t publish_fill(uint8_t *frame, const void *payload, uint32_t length, uint64_t sequence,
                                    uint64_t timestamp, bool crc)
{
    hermes_header_t header = {
        .magic = HERMES_MAGIC,
        .version = HERMES_VERSION,
        .type = HERMES_TYPE_DATA,
        .flags = crc ? HERMES_FLAG_CRC : 0,
        .sequence = sequence,
        .timestamp = timestamp,
        .length = length,
    };
    if (payload != NULL)
        window_copy_in(frame + HERMES_HEADER_BYTES, payload, length);
    uint64_t used = HERMES_HEADER_BYTES + length, padding = hermes_frame_bytes(length) - used;
    if (padding > 0)
        window_zero(frame + used, padding);
    if (crc) /* of what stands there, for the caller's buffer may change meanwhile */
        header.crc = crc32_message(frame + HERMES_HEADER_BYTES, length, &header);
    window_copy_in(frame + 8, (const uint8_t *)&header + 8, HERMES_HEADER_BYTES - 8);
    return hermes_commit_word(HERMES_TYPE_DATA, header.flags);
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
