/*
 * Messages over a carrier of bytes: what comes is kept until a message is whole, what goes until the other
 * end takes it. Both are bounded, and nothing waits.
 */
#ifndef IO_CONDUIT_H
#define IO_CONDUIT_H

#include <stdbool.h>

#include "base/error.h"
#include "io/carrier.h"
#include "wire/wire.h"

enum {
    CONDUIT_MESSAGE_MAX = sizeof(struct wire_log) + WIRE_FLOW_MAX, /* the longest payload that comes in */
    CONDUIT_LEFT_MOST = 64 * 1024, /* with more than that still to go, nothing is added */
};

struct conduit {
    struct carrier *carrier; /* NULL: there is none */
    uint8_t *in;             /* what has come and was not taken yet */
    size_t in_from, in_to;
    size_t in_most; /* to where there was something before it was moved to the front */
    bool is_dry;    /* there was nothing more to read when that was last tried */
    bool trusts;    /* that a read which was given less than it had room for was given all there was */
    bool had_all;   /* so it was: the next call says so, and does not try */
    uint8_t *out;   /* what was sent and has not gone yet */
    size_t out_from, out_to, out_room;
};

/* The carrier is its own from here on, also on failure: HERMES_ENOMEM. */
int conduit_open(struct conduit *conduit, struct carrier *carrier);
void conduit_close(struct conduit *conduit);

/*
 * 1: a message: *header, checked, and *payload, valid until the next call. 0: it is not all there yet.
 * HERMES_EDISCONNECTED, HERMES_EACCESS: the end; HERMES_EPROTOCOL, HERMES_EVERSION, HERMES_ETOOLARGE: no
 * message of ours. Reads once at most, and not where it trusts that the last read got all: whoever only wants
 * what has come asks half as often, and whoever has to know of an end as soon as it is there does not trust.
 */
int conduit_next(struct conduit *conduit, hermes_header_t *header, const uint8_t **payload);

/* Sends the parts, one message, all of it or nothing. HERMES_EAGAIN: too much is still to go;
 * HERMES_EDISCONNECTED; HERMES_ENOMEM. */
int conduit_send(struct conduit *conduit, const struct iovec *parts, int count);

/* What has not gone goes, as far as it is taken. HERMES_EDISCONNECTED. */
int conduit_flush(struct conduit *conduit);

/* What has gone and what was taken are in memory no more: there was a secret in it. A conduit that is closed
 * leaves nothing. */
void conduit_wipe(struct conduit *conduit);

static inline bool conduit_is_flushed(const struct conduit *conduit)
{
    return conduit->out_from == conduit->out_to;
}

/* What to wait for with poll(2). */
short conduit_events(const struct conduit *conduit);

#endif
