/*
 * What a receiver knows: for receiver_life.c (how it begins and ends), receiver_hears.c (what the sender and
 * others say) and receiver_speaks.c (what it says, and when).
 */
#ifndef MIRROR_RECEIVER_STATE_H
#define MIRROR_RECEIVER_STATE_H

#include "mirror/receiver.h"

#define JOIN_FIRST_NS 10000000u /* before the first JOIN is repeated */

struct receiver {
    struct receiver_config config;
    struct mirror_sink sink;
    enum receiver_state state;
    struct naks naks;
    struct receiver_counters counters;
    uint64_t random;
    uint64_t number; /* of its last datagram */

    /* What the sender said. */
    uint32_t session, receiver;
    uint64_t incarnation;
    uint64_t topic_id; /* whose log it is; 0: not known yet */
    uint32_t slice_bytes;
    uint64_t end_position; /* UINT64_MAX: not ended */

    /* What was heard, for reports. */
    struct datagram_heard heard;
    uint64_t heard_ns;

    /* Joining. */
    uint64_t nonce, cookie;
    uint64_t join_due_ns, join_wait_ns, join_sent_ns;
    uint32_t joins_sent; /* with the cookie */

    /* Reports. */
    uint64_t status_due_ns, status_wait_ns, status_position;
    uint64_t window_bytes; /* that it offers */
    bool overflowed, leaving;

    struct image image; /* large: last */
};

static inline enum datagram_guard receiver_guard(const struct receiver *r)
{
    return r->config.sealed ? DATAGRAM_GUARDED_BY_TAG : DATAGRAM_GUARDED_BY_CRC;
}

static inline bool receiver_is_joined(const struct receiver *r)
{
    return r->state == RECEIVER_RECEIVING || r->state == RECEIVER_ENDED;
}

/* Anew, with what there is. */
void receiver_join(struct receiver *receiver, uint64_t now_ns);

#endif
