/*
 * A sender of a mirror: from a log, datagrams and time to datagrams. No socket, no clock, no thread, as in
 * receiver.h.
 *
 *     sender_open(&sender, &config, &source);
 *     for (;;) {
 *         wait for a datagram, or that the log grew, until sender_wake_ns(sender)
 *         sender_log(sender, first_position, end_position);
 *         if (sender_receive(sender, now_ns, &from, bytes, length, &packet) > 0)
 *             send packet
 *         while (sender_next(sender, now_ns, &packet) > 0)
 *             send packet
 *     }
 *
 * One sender for each stream: to a multicast group, or to one receiver. It keeps no copy of what it sent: the
 * log is what is sent again, from any position that still exists.
 *
 * What costs nothing until a receiver has shown that it gets what is sent to its address: everything. A JOIN
 * without a cookie is answered from the secret alone, and never with more bytes than it has.
 *
 * Nothing is allocated after sender_open(): about 4 KiB for each of receivers_max, and 350 KiB.
 */
#ifndef MIRROR_SENDER_H
#define MIRROR_SENDER_H

#include "mirror/cookie.h"
#include "mirror/listener.h"

/* Where the log is. */
struct mirror_source {
    void *context;
    /* Copies out what stands there. false: it does not exist any more; then *first is the first position, of
     * a frame, that does. A copy, since what stands in a window may be overwritten while it is sent. */
    bool (*bytes)(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first);
    /* Where the bytes of that epoch end in the log; of the current one: UINT64_MAX. Not known: 0. */
    uint64_t (*epoch_end)(void *context, uint32_t epoch);
};

struct sender_config {
    uint64_t topic_id;
    uint64_t incarnation; /* random, another at each start */
    uint32_t epoch;
    uint64_t epoch_position; /* where it begins */
    uint64_t first_position, end_position;
    bool multicast;
    bool sealed;
    uint32_t slice_bytes; /* 0: DATAGRAM_SLICE_BYTES */
    enum sender_flow flow;
    uint64_t group_tag; /* SENDER_MIN_GROUP: whose the window is, */
    uint32_t group_min; /* and so many must be there */
    uint32_t receivers_max;
    uint64_t window_bytes;       /* no receiver makes it send more ahead */
    uint64_t bytes_per_s;        /* 0: as fast as receivers let it */
    bool congestion;             /* find the rate by oneself (congestion.h); bytes_per_s is the most */
    uint64_t burst_bytes;        /* 0: 16 slices */
    uint64_t repair_bytes_per_s; /* for each receiver, beyond a window; 0: half of bytes_per_s, or 256 MB/s */
    uint64_t silence_ns;         /* who says nothing for so long is gone; 0: 1 s */
    uint8_t cookie_key[COOKIE_KEY_BYTES];
    uint64_t seed;
};

struct sender_counters {
    uint64_t datagrams, bytes;      /* of the log, for the first time */
    uint64_t repairs, repair_bytes; /* and again */
    uint64_t suppressed_bytes;      /* asked for while they were on their way */
    uint64_t heartbeats, setups;
    uint64_t naks, ranges, statuses, joins;
    uint64_t refused;          /* malformed, damaged, of an unknown version */
    uint64_t strange;          /* from who is no receiver, or says what cannot be */
    uint64_t challenges, full; /* who was asked for its cookie; who found no place */
    uint64_t gone;             /* asked for what does not exist any more */
    uint64_t complete;         /* who left when the log had ended, with everything */
    uint64_t dropped;          /* ranges over what one may have asked for */
};

struct sender;

/* HERMES_EINVALID, HERMES_ENOMEM. The source is copied. */
int sender_open(struct sender **sender, const struct sender_config *config,
                const struct mirror_source *source);
void sender_close(struct sender *sender);

/* What there is of the log now. */
void sender_log(struct sender *sender, uint64_t first_position, uint64_t end_position);

/* Another epoch begins there. What was sent from there on is not of the log; it is never to be asked for. */
void sender_epoch(struct sender *sender, uint64_t now_ns, uint32_t epoch, uint64_t position);

/* The log is complete: nothing comes behind its end. */
void sender_end(struct sender *sender, uint64_t now_ns);

/* 1: *reply is to be sent; 0; or why it was dropped, as in receiver.h. */
int sender_receive(struct sender *sender, uint64_t now_ns, const struct mirror_address *from,
                   const void *bytes, size_t length, struct mirror_packet *reply);

/* 1: *packet is to be sent; 0: nothing, until sender_wake_ns() or an event. */
int sender_next(struct sender *sender, uint64_t now_ns, struct mirror_packet *packet);

uint64_t sender_wake_ns(const struct sender *sender);

/* It has ended, and everybody who is there has everything. */
bool sender_is_done(const struct sender *sender);

uint64_t sender_position(const struct sender *sender);
const struct listeners *sender_listeners(const struct sender *sender);
const struct sender_counters *sender_counters(const struct sender *sender);

#endif
