/*
 * Many datagrams in one piece, as Linux takes them (UDP_SEGMENT) and gives them (UDP_GRO): all as long as the
 * first, but for the last, which may be shorter. On the way each is one by itself.
 *
 *     struct segments segments = {bytes, length, each};
 *     while (segments_next(&segments, &datagram, &datagram_bytes))
 *         ...
 */
#ifndef MIRROR_SEGMENTS_H
#define MIRROR_SEGMENTS_H

#include <stddef.h>

#include "mirror/packet.h"

enum {
    SEGMENTS_JOINED_MAX = 64,    /* that every kernel takes in one piece */
    SEGMENTS_SPLIT_MAX = 128,    /* that one gives */
    SEGMENTS_BYTES_MAX = 65000,  /* of a piece to be sent: fits one datagram of IPv4 */
    SEGMENTS_PIECE_BYTES = 65536 /* of one that comes */
};

/* How many of the first go as one piece: to the same place, one like the other. count: at least 1. */
uint32_t segments_join(const struct mirror_packet *packets, uint32_t count);

struct segments {
    const uint8_t *bytes; /* of the next one */
    size_t left;
    size_t each; /* 0: it is one */
    uint32_t taken;
};

/* Whatever left and each are: at most SEGMENTS_SPLIT_MAX, all of them within the bytes, none empty. */
bool segments_next(struct segments *segments, const uint8_t **bytes, size_t *length);

#endif
