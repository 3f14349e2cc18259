/*
 * What carries bytes between a client and its broker: a socket as it is (io/plain.h), or with TLS on it
 * (io/encrypted.h). Nothing here waits: who has nothing to read, or no room to write, says so, and what to
 * wait for.
 */
#ifndef IO_CARRIER_H
#define IO_CARRIER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct carrier;

struct carrier_kind {
    /* How many bytes, at least one. HERMES_EAGAIN: none now. HERMES_EDISCONNECTED: the end, or
     * HERMES_EACCESS: a peer that is not who it should be; HERMES_EPROTOCOL: it speaks something else. */
    int64_t (*read)(struct carrier *carrier, void *to, size_t bytes);
    /* HERMES_EAGAIN, and it may have begun with some of them: the same bytes come first in the next call. */
    int64_t (*write)(struct carrier *carrier, const struct iovec *parts, int count);
    /* What poll(2) is to wait for where read (POLLIN) and write (POLLOUT) cannot go on. */
    short (*wants)(const struct carrier *carrier, short events);
    /* Why it came to its end, in a sentence; NULL: there is nothing to say. */
    const char *(*why)(const struct carrier *carrier);
    /* Tells the other end that there will be no more, if that goes without waiting. */
    void (*take_leave)(struct carrier *carrier);
    /* Frees it, and closes the descriptor; tells nobody: it may be another process's, too. */
    void (*close)(struct carrier *carrier);
};

/* The beginning of each. */
struct carrier {
    const struct carrier_kind *kind;
    int fd;      /* non-blocking */
    bool is_dry; /* the last read got less than it had room for: there was no more */
};

#endif
