/*
 * What sender and receivers of a mirror say: a topic's log, copied by position in datagrams.
 *
 * A datagram is a message: the 32-byte header, whose payload is an extension of 16 bytes and a body. So its
 * CRC is that of any message. SEQUENCE is a position in the log, TIMESTAMP the clock of who sent it (any
 * clock: it comes back in NAK and STATUS, and only differences are looked at). Bodies are the structs below,
 * little-endian, naturally aligned, what is reserved is 0. docs/reference/udp.md is the same in words.
 *
 *      0          header                32          48
 *      | magic … type … SEQUENCE … length, crc | number, session, receiver | body
 *
 * A sealed datagram has no CRC; its body has been replaced by ciphertext and tag, and head and extension are
 * what was authenticated beside it. Sealing and opening are the shell's: what stands here is plain.
 *
 * Everything that comes out of datagram_check() is a copy, and within the bounds stated at each field.
 */
#ifndef WIRE_DATAGRAM_H
#define WIRE_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "hermes/message.h"

enum {
    DATAGRAM_PROTOCOL = 1,
    DATAGRAM_HEAD_BYTES = 48,
    DATAGRAM_SLOT_BYTES = 64,    /* positions are multiples of it, as frames begin */
    DATAGRAM_SLICE_BYTES = 1408, /* with head, a tag of 16 bytes, UDP and IPv4: 1500 */
    DATAGRAM_SLICE_MAX = 4096,   /* on links with larger frames */
    DATAGRAM_SLICE_MIN = 512,    /* of what a sender may announce */
    DATAGRAM_RANGES_MAX = 64,    /* in one NAK: fits the smallest MTU of IPv6 */
    DATAGRAM_TAG_BYTES = 16,     /* that sealing adds */
    DATAGRAM_BYTES_MAX = DATAGRAM_HEAD_BYTES + DATAGRAM_SLICE_MAX,
    DATAGRAM_WINDOW_MAX = 1 << 30, /* as the largest window of a topic */
};

#define DATAGRAM_LIVE UINT64_MAX                /* a position: wherever the sender is */
#define DATAGRAM_POSITION_MAX (UINT64_MAX >> 1) /* no sum of a position and a length runs over */

enum datagram_type {
    DATAGRAM_JOIN = 80,      /* receiver -> datagram_join; SEQUENCE: from where on, or DATAGRAM_LIVE */
    DATAGRAM_CHALLENGE = 81, /* sender -> datagram_challenge: say that again, with this cookie */
    DATAGRAM_SETUP = 82,     /* sender -> datagram_setup; SEQUENCE: all below it was sent */
    DATAGRAM_DATA = 83,      /* sender -> bytes of the log; SEQUENCE: of the first */
    DATAGRAM_HEARTBEAT = 84, /* sender -> datagram_heartbeat; SEQUENCE: all below it was sent */
    DATAGRAM_NAK = 85,       /* receiver -> datagram_nak; SEQUENCE: it has all below */
    DATAGRAM_STATUS = 86,    /* receiver -> datagram_status; SEQUENCE: it has all below */
    DATAGRAM_GONE = 87,      /* sender -> datagram_gone; SEQUENCE: the first that still exists */
    DATAGRAM_UNKNOWN = 88,   /* sender: whoever reported so, session and receiver, is not there. No body */
};

struct datagram_head {
    hermes_header_t header;
    uint64_t number;  /* 1, 2, 3 … of who sent it, fresh for every transmission: the nonce, with receiver */
    uint32_t session; /* of the sender's, another for each epoch and start; 0 in JOIN and CHALLENGE */
    uint32_t
        receiver; /* whom or what it is for or from, as the sender named it; 0: for all, or not named yet */
};

/* As large as the largest answer to it: nobody is amplified. */
struct datagram_join {
    uint16_t protocol;
    uint16_t reserved;
    uint32_t epoch; /* the latest that it knows of: what it has stood in the log then; 0: none */
    uint64_t topic_id;
    uint64_t nonce;  /* the receiver's choice; answers repeat it */
    uint64_t cookie; /* of the CHALLENGE; 0: none yet */
    uint64_t tag;    /* of a group of receivers; 0: none */
    uint64_t window_bytes;
    uint8_t padding[32]; /* 0 */
};

struct datagram_challenge {
    uint64_t nonce;
    uint64_t cookie;
};

struct datagram_setup {
    uint16_t protocol;
    uint16_t slice_bytes; /* no DATA is longer */
    uint32_t epoch;
    uint64_t topic_id;
    uint64_t nonce;       /* of the JOIN; to all: 0 */
    uint64_t incarnation; /* of the sender: another after its restart, and names of receivers end with it */
    uint64_t first_position; /* that can still be asked for */
    uint64_t start_position; /* of the receiver that joined; to all: 0 */
    uint64_t epoch_position; /* where the epoch begins */
    uint32_t rtt_ns;         /* the slowest receiver's; 0: not measured yet */
    uint32_t rtt_variation_ns;
    uint32_t receivers; /* that there are */
    uint32_t reserved;
};

enum datagram_state { DATAGRAM_OPEN = 0, DATAGRAM_ENDED = 1 /* nothing comes behind SEQUENCE */ };

struct datagram_heartbeat {
    uint32_t rtt_ns;
    uint32_t rtt_variation_ns;
    uint32_t receivers;
    uint32_t state; /* enum datagram_state */
};

/* What a receiver has heard, in each of its reports. */
struct datagram_heard {
    uint64_t number;   /* the highest of the sender's */
    uint64_t echo_ns;  /* TIMESTAMP of the sender's latest datagram; 0: none */
    uint64_t delay_ns; /* and how long ago that came */
};

struct datagram_range {
    uint64_t position;
    uint64_t bytes;
};

/* Ranges are ascending, and do not touch one another's bytes. As many as the length says, at least one. */
struct datagram_nak {
    struct datagram_heard heard;
    struct datagram_range ranges[DATAGRAM_RANGES_MAX];
};

enum datagram_status_flag { DATAGRAM_LEAVES = 1, DATAGRAM_OVERFLOWED = 2 };

struct datagram_status {
    struct datagram_heard heard;
    uint64_t window_bytes;   /* it takes in so many behind SEQUENCE */
    uint64_t received_bytes; /* of slices that were new to it, since it joined */
    uint64_t missed_bytes;   /* that it had to ask for */
    uint32_t flags;          /* enum datagram_status_flag */
    uint32_t reserved;
};

struct datagram_gone {
    uint64_t asked_position;
};

_Static_assert(sizeof(struct datagram_head) == DATAGRAM_HEAD_BYTES, "head");
_Static_assert(sizeof(struct datagram_join) == 80, "join");
_Static_assert(sizeof(struct datagram_challenge) == 16, "challenge");
_Static_assert(sizeof(struct datagram_setup) == 72, "setup");
_Static_assert(sizeof(struct datagram_heartbeat) == 16, "heartbeat");
_Static_assert(sizeof(struct datagram_heard) == 24, "heard");
_Static_assert(offsetof(struct datagram_nak, ranges) == 24, "nak");
_Static_assert(sizeof(struct datagram_status) == 56, "status");
_Static_assert(sizeof(struct datagram_gone) == 8, "gone");
_Static_assert(sizeof(struct datagram_join) >= sizeof(struct datagram_setup),
               "no answer is longer than JOIN");

/* One that was checked. */
struct datagram {
    struct datagram_head head;
    uint32_t ranges;      /* NAK: how many */
    uint32_t slice_bytes; /* DATA */
    const uint8_t *slice; /* DATA: in what was given to datagram_check() */
    union {
        struct datagram_join join;
        struct datagram_challenge challenge;
        struct datagram_setup setup;
        struct datagram_heartbeat heartbeat;
        struct datagram_nak nak;
        struct datagram_status status;
        struct datagram_gone gone;
    };
};

enum datagram_guard {
    DATAGRAM_GUARDED_BY_CRC, /* it must have one */
    DATAGRAM_GUARDED_BY_TAG, /* it was opened, and has none */
};

/*
 * Is that a datagram, whole and undamaged, with all fields within their bounds? Any bytes, any alignment.
 * HERMES_EMALFORMED, HERMES_EVERSION (of message or protocol), HERMES_ETOOLARGE, HERMES_EPROTOCOL (a type
 * that is none), HERMES_ECHECKSUM (or the guard is missing).
 */
int datagram_check(const void *bytes, size_t length, enum datagram_guard guard, struct datagram *out);

/*
 * Writes the head in front of a body of so many bytes that stands at bytes + DATAGRAM_HEAD_BYTES, and the CRC
 * if that is the guard. bytes: 8-byte aligned. Returns the datagram's length.
 */
uint32_t datagram_finish(void *bytes, enum datagram_type type, uint64_t position, uint64_t now_ns,
                         uint64_t number, uint32_t session, uint32_t receiver, uint32_t body_bytes,
                         enum datagram_guard guard);

#endif
