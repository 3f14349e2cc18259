/*
 * hermes/letter.h - what stands in a dead-letter topic: whence a message came and why it is there, then the
 * message itself.
 *
 * A group with a dead-letter topic gives up a message that was delivered max_deliveries times without being
 * acknowledged; the broker puts it there in this envelope. It may be there twice, if the broker died or
 * stopped over it, or the group was reset.
 *
 *     const hermes_letter_t *letter = hermes_letter_of(&message);
 *     if (letter != NULL)
 *         printf("%s %" PRIu64 ": %" PRIu32 " deliveries to %s\n", letter->topic, letter->sequence,
 *                letter->deliveries, letter->group);
 *
 * Little-endian; docs/reference/protocol.md has the offsets.
 */
#ifndef HERMES_LETTER_H
#define HERMES_LETTER_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/message.h"

enum {
    HERMES_LETTER_MAGIC = 0x52544c48, /* "HLTR" */
    HERMES_LETTER_VERSION = 1,
    HERMES_LETTER_BYTES = 320, /* of the envelope; the payload follows */
};

enum hermes_letter_reason {
    HERMES_LETTER_DELIVERIES = 1, /* it was given out max_deliveries times, and never acknowledged */
};

typedef struct hermes_letter {
    uint32_t magic;
    uint16_t version;
    uint16_t reason; /* enum hermes_letter_reason */
    uint32_t deliveries;
    uint32_t
        payload_bytes; /* of the message; what does not fit a message with the envelope was cut off here */
    uint64_t topic_id;
    uint64_t position;  /* where it stands in its topic, as long as that keeps it */
    uint64_t sequence;  /* its number there */
    uint64_t timestamp; /* its producer's, ns since the Unix epoch */
    uint64_t buried_ns; /* when the broker put it here, ns since the Unix epoch */
    uint64_t reserved;
    char topic[128]; /* ends in 0 */
    char group[128];
} hermes_letter_t;

HERMES_STATIC_ASSERT(sizeof(hermes_letter_t) == HERMES_LETTER_BYTES, "the envelope is 320 bytes");
HERMES_STATIC_ASSERT(offsetof(hermes_letter_t, topic_id) == 16, "topic id");
HERMES_STATIC_ASSERT(offsetof(hermes_letter_t, topic) == 64, "topic");
HERMES_STATIC_ASSERT(offsetof(hermes_letter_t, group) == 192, "group");

/* The envelope of a message from a dead-letter topic; NULL if it has none that holds. It lives as long as the
 * message's payload, which begins HERMES_LETTER_BYTES behind it and has message->length - HERMES_LETTER_BYTES
 * bytes. Payloads lie 32 bytes into frames, so it is aligned. */
static inline const hermes_letter_t *hermes_letter_of(const hermes_message_t *message)
{
    const hermes_letter_t *letter = (const hermes_letter_t *)message->payload;
    if (message->length < HERMES_LETTER_BYTES)
        return NULL;
    if (letter->magic != HERMES_LETTER_MAGIC || letter->version != HERMES_LETTER_VERSION ||
        letter->topic[127] != 0 || letter->group[127] != 0)
        return NULL;
    return letter;
}

#endif
