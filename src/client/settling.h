/*
 * What is said of messages through a connection - ack, nack, renew - and what came of it
 * (docs/reference/protocol.md, "Members").
 *
 * Each is kept until the broker has said what came of it. Where the connection broke before that it is said
 * again over the next one, in the same order: so what was acknowledged is done, or somebody is told that it
 * is not. There is room for SETTLING_MOST; who has more to say waits.
 *
 * Numbers count all that was ever said here, from 1 on; the broker's begin anew with each handle.
 */
#ifndef CLIENT_SETTLING_H
#define CLIENT_SETTLING_H

#include "client/client.h"

enum { SETTLING_MOST = 1024 };

struct saying {
    struct wire_ack what;
    uint64_t said_ns;
    enum wire_type type; /* WIRE_ACK, WIRE_NACK, WIRE_RENEW */
    bool is_own;         /* of a message that the caller was not given yet */
};

/* What came of one that is_own: 0, or why it was refused. */
typedef void (*settling_own_t)(void *context, const struct saying *saying, int code);

struct settling {
    struct saying sayings[SETTLING_MOST];
    uint64_t said;
    uint64_t sent;    /* over this connection; or settled before it */
    uint64_t settled; /* it is known what came of them */
    uint64_t before;  /* what was settled when this handle was opened: its numbers begin behind it */
    uint64_t awaited; /* the number of the one whose outcome is wanted; 0: nobody waits */
    int outcome;
};

static inline uint64_t settling_room(const struct settling *settling)
{
    return SETTLING_MOST - (settling->said - settling->settled);
}

/* There must be room. Returns its number. */
uint64_t settling_say(struct settling *settling, struct saying saying);

/* What was not settled is of that claim now. */
void settling_reclaim(struct settling *settling, uint16_t claim);

/* Another handle, which heard nothing yet. */
void settling_begin(struct settling *settling);

/* What is to be said is, as far as the broker takes it now. */
void settling_send(struct settling *settling, struct hermes_client *client, uint32_t handle);

/* A SETTLED. HERMES_EPROTOCOL, HERMES_EMALFORMED: it breaks the rules. */
int settling_take(struct settling *settling, const hermes_header_t *header, const uint8_t *payload,
                  settling_own_t own, void *context);

#endif
