/* What a mirror's socket knows: for socket_life.c (how it begins and ends) and socket_traffic.c (what goes
 * through it). */
#ifndef MIRROR_SOCKET_STATE_H
#define MIRROR_SOCKET_STATE_H

#include <netinet/in.h>

#include "mirror/segments.h"
#include "mirror/socket.h"

struct mirror_socket {
    int own, group; /* -1: there is none */
    struct sockaddr_storage group_address;
    /* Sending. */
    uint32_t put;
    uint32_t plain; /* so many batches more go one by one: the kernel, or the way, takes no pieces */
    struct mirror_packet out[MIRROR_SOCKET_BATCH];
    /* Receiving: so many at a time, of up to so many bytes each. */
    uint32_t in_count, in_bytes;
    uint8_t *in;
    mirror_socket_loses *loses; /* NULL: none */
    void *loses_context;
    uint32_t dropped[2], told[2]; /* as the kernel counts, of each socket */
};

static inline socklen_t mirror_address_length(const void *address)
{
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

#endif
