/*
 * hermes/message.h - the 32-byte message header, and everything one can do with it.
 *
 * A message is a header and up to 65,536 bytes of payload. It is encoded once, by its producer; the
 * same bytes stand in the ring, in the log, on disk, on the wire and in the consumer's hands. All
 * integers are little-endian and naturally aligned: decoding is a cast. docs/reference/protocol.md
 * gives every byte; tests/vectors/messages.txt has examples for other languages.
 *
 *     char buffer[HERMES_HEADER_BYTES + 5];
 *     hermes_header_t *header = (hermes_header_t *)buffer;         // any 8-byte aligned place
 *     memcpy(buffer + HERMES_HEADER_BYTES, "hello", 5);
 *     hermes_message_encode(header, buffer + HERMES_HEADER_BYTES, 5, 1, now_ns);
 *     ...
 *     int rc = hermes_message_verify(header, header + 1, received);   // 0, or what is wrong
 *
 * Threads: the functions share nothing. Errors: as listed at each function.
 */
#ifndef HERMES_MESSAGE_H
#define HERMES_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hermes/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HERMES_MAGIC 0x4D524548u /* "HERM" */
#define HERMES_VERSION 1
#define HERMES_HEADER_BYTES 32u
#define HERMES_PAYLOAD_MAX 65536u
#define HERMES_FRAME_ALIGNMENT 64u
#define HERMES_FLAG_CRC 0x0001u

enum hermes_type {
    HERMES_TYPE_PAD = 0,       /* fills a log up to a boundary */
    HERMES_TYPE_DATA = 1,      /* a message */
    HERMES_TYPE_HEARTBEAT = 2, /* "I am alive" */
    HERMES_TYPE_ORIGIN = 4,    /* in a log: whose the messages behind it are */
};

typedef struct hermes_header {
    uint32_t magic;     /* HERMES_MAGIC; 0 in a log: not committed */
    uint8_t version;    /* HERMES_VERSION */
    uint8_t type;       /* enum hermes_type */
    uint16_t flags;     /* HERMES_FLAG_CRC; all other bits 0 */
    uint64_t sequence;  /* DATA: 1, 2, 3 ... in its topic, no gap */
    uint64_t timestamp; /* nanoseconds since the Unix epoch: when the producer encoded it, or what it gave */
    uint32_t length;    /* payload bytes, 0 to HERMES_PAYLOAD_MAX */
    uint32_t crc;       /* CRC-32 of the payload, then of the 28 bytes above; 0 without HERMES_FLAG_CRC */
} hermes_header_t;

HERMES_STATIC_ASSERT(sizeof(hermes_header_t) == 32, "header is 32 bytes");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, magic) == 0, "magic");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, version) == 4, "version");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, type) == 5, "type");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, flags) == 6, "flags");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, sequence) == 8, "sequence");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, timestamp) == 16, "timestamp");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, length) == 24, "length");
HERMES_STATIC_ASSERT(offsetof(hermes_header_t, crc) == 28, "crc");

/* What a consumer is handed. The payload's lifetime is stated by the function that fills this in. */
typedef struct hermes_message {
    uint64_t position;  /* byte offset of its frame in the topic's log */
    uint64_t sequence;  /* 1, 2, 3 ... in the topic */
    uint64_t timestamp; /* nanoseconds since the Unix epoch, as the producer stamped it */
    const void *payload;
    uint32_t length; /* payload bytes */
    uint16_t flags;  /* HERMES_FLAG_CRC: the producer sent a checksum */
    uint16_t claim;  /* members of groups and durable subscriptions: under which claim they have it; else 0 */
} hermes_message_t;

/* The first eight header bytes as one word: magic, version, type, flags. Little-endian. */
static inline uint64_t hermes_commit_word(uint8_t type, uint16_t flags)
{
    return (uint64_t)HERMES_MAGIC | (uint64_t)HERMES_VERSION << 32 | (uint64_t)type << 40 |
           (uint64_t)flags << 48;
}

/* Bytes that a message of this many payload bytes occupies in a log. */
static inline uint64_t hermes_frame_bytes(uint32_t length)
{
    return ((uint64_t)length + HERMES_HEADER_BYTES + HERMES_FRAME_ALIGNMENT - 1) &
           ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
}

/*
 * Fills in a DATA header with CRC for a payload that stands at payload (anywhere).
 * HERMES_ETOOLARGE: length over HERMES_PAYLOAD_MAX. Cost: about 10 ns for 64 bytes.
 */
HERMES_API int hermes_message_encode(hermes_header_t *header, const void *payload, size_t length,
                                     uint64_t sequence, uint64_t timestamp);

/* The same without CRC: 1 ns. For payloads that carry a check of their own. */
HERMES_API int hermes_message_encode_plain(hermes_header_t *header, size_t length, uint64_t sequence,
                                           uint64_t timestamp);

/*
 * Is this a header of a version and with flags that we know, and does the message fit into available
 * bytes (header and payload)? Looks at the header alone.
 * HERMES_EMALFORMED (magic, flags, or cut short), HERMES_EVERSION, HERMES_ETOOLARGE.
 */
static inline int hermes_message_decode(const hermes_header_t *header, size_t available)
{
    if (available < HERMES_HEADER_BYTES)
        return HERMES_EMALFORMED;
    const uint64_t any = (uint64_t)0xff << 40 | (uint64_t)HERMES_FLAG_CRC << 48; /* any type; CRC or not */
    uint64_t word;
    memcpy(&word, header, sizeof word);
    if ((word & ~any) == hermes_commit_word(0, 0) && header->length <= HERMES_PAYLOAD_MAX &&
        header->length <= available - HERMES_HEADER_BYTES)
        return HERMES_OK;
    if (header->magic != HERMES_MAGIC)
        return HERMES_EMALFORMED;
    if (header->version != HERMES_VERSION)
        return HERMES_EVERSION;
    if (header->flags & ~HERMES_FLAG_CRC)
        return HERMES_EMALFORMED;
    if (header->length > HERMES_PAYLOAD_MAX)
        return HERMES_ETOOLARGE;
    if (header->length > available - HERMES_HEADER_BYTES)
        return HERMES_EMALFORMED;
    return HERMES_OK;
}

/* hermes_message_decode(), then the CRC if there is one: HERMES_ECHECKSUM. 10 ns for 64 bytes. */
HERMES_API int hermes_message_verify(const hermes_header_t *header, const void *payload, size_t available);

/*
 * Gives an encoded message another sequence and time stamp, and makes its CRC right again without
 * reading the payload: CRC-32 is affine, and the header comes last in it. A payload that was damaged
 * before stays detectably damaged. Constant time, about 5 ns.
 */
HERMES_API void hermes_message_restamp(hermes_header_t *header, uint64_t sequence, uint64_t timestamp);

/* Is this a legal topic name? 1 to 127 characters of A-Z a-z 0-9 . _ -, not starting with '.' or '-'. */
HERMES_API int hermes_topic_name_check(const char *name);

#ifdef __cplusplus
}
#endif
#endif
