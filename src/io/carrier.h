/*
 * What carries bytes between a client and its broker: a socket as it is (io/plain.h), or what is made of one.
 * Nothing here waits: who has nothing to read, or no room to write, says so, and what to wait for.
 */
#ifndef IO_CARRIER_H
#define IO_CARRIER_H

#include <stdint.h>
#include <sys/uio.h>

struct carrier;

struct carrier_kind {
    /* How many bytes, at least one. HERMES_EAGAIN: none now. HERMES_EDISCONNECTED: the end, or
     * HERMES_EACCESS: a peer that is not who it should be. */
    int64_t (*read)(struct carrier *carrier, void *to, size_t bytes);
    int64_t (*write)(struct carrier *carrier, const struct iovec *parts, int count);
    /* What poll(2) is to wait for where read (POLLIN) and write (POLLOUT) cannot go on. */
    short (*wants)(const struct carrier *carrier, short events);
    /* Frees it, and closes the descriptor. */
    void (*close)(struct carrier *carrier);
};

/* The beginning of each. */
struct carrier {
    const struct carrier_kind *kind;
    int fd; /* non-blocking */
};

#endif
