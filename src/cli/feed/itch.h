/*
 * Nasdaq TotalView-ITCH 5.0 in its binary form: a length of two bytes, big-endian, then the message, without
 * end. Each message is checked, whole, before anybody sees it: its type, that its length is that of its type,
 * its time, its side. Some recorders leave the length at 0: then the type tells it. Two zero bytes at the end
 * are the end of a session.
 */
#ifndef CLI_FEED_ITCH_H
#define CLI_FEED_ITCH_H

#include <endian.h>
#include <string.h>

#include "cli/feed/source.h"

struct itch {
    struct source *source;
    size_t taken; /* bytes of this message, with its length */
};

/* 1: a message, valid until the next call; 0: the end; an error as source_more() has it, the sentence with
 * the byte at which the message begins. */
int itch_next(struct itch *itch, const uint8_t **message, size_t *length, struct error_text *text);

/* ---- fields: Nasdaq TotalView-ITCH 5.0, section 4 ---- */

static inline uint16_t itch_16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return be16toh(value);
}

static inline uint32_t itch_32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static inline uint64_t itch_64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

/* The number of its stock on this day; 0: of none. */
static inline uint16_t itch_locate(const uint8_t *message)
{
    return itch_16(message + 1);
}

/* Nanoseconds since midnight. */
static inline uint64_t itch_time(const uint8_t *message)
{
    return (uint64_t)itch_16(message + 5) << 32 | itch_32(message + 7);
}

/* The name of its stock, 8 bytes, padded with blanks; NULL: it has none. */
const uint8_t *itch_stock(const uint8_t *message);

#endif
