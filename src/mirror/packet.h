/* What the state machines of a mirror hand to their shell, and get from it. */
#ifndef MIRROR_PACKET_H
#define MIRROR_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire/datagram.h"

/* A socket's address, as the shell likes to write it, filled up with zeros: only its bytes are compared. */
struct mirror_address {
    uint8_t bytes[28];
};

static inline bool mirror_address_is(const struct mirror_address *one, const struct mirror_address *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

/* One datagram to be sent: sealed, if it is to be, and sent once. Whoever sends it twice has used a nonce
 * twice. */
struct mirror_packet {
    bool to_group;            /* or to */
    struct mirror_address to; /* one */
    uint32_t length;
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
};

static inline void *mirror_packet_body(struct mirror_packet *packet)
{
    return packet->bytes + DATAGRAM_HEAD_BYTES;
}

#endif
