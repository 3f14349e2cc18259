/*
 * The client's end of the Unix socket: connect, one request at a time, descriptors beside the reply.
 * Blocking, with a time-out.
 */
#ifndef IO_CHANNEL_H
#define IO_CHANNEL_H

#include <sys/un.h>

#include "base/error.h"
#include "wire/wire.h"

struct channel {
    int fd;
    uint64_t correlation;
    uint64_t timeout_ns;
    uint8_t reply[WIRE_REPLY_MAX];
    hermes_header_t header; /* of the last reply */
    int fds[WIRE_FDS_MAX];  /* that came with it; the caller takes them by channel_take_fd() */
    unsigned fd_count;
};

/*
 * The address of a socket file, however long its path: through /proc/self/fd where it does not fit.
 * *directory is to be closed after connect or bind; -1: nothing to close.
 */
int channel_address(const char *path, struct sockaddr_un *address, int *directory, struct error_text *text);

/* HERMES_EDISCONNECTED: nobody serves path. HERMES_EACCESS: somebody does who is not to be trusted
 * (io/peer.h). */
int channel_connect(struct channel *channel, const char *path, uint64_t timeout_ns, struct error_text *text);

/*
 * Sends a request and reads its reply into channel->reply. expected: the reply's type; its payload must
 * have at least expected_bytes. An error reply is that error, its sentence in text.
 */
int channel_request(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                    enum wire_type expected, uint32_t expected_bytes, struct error_text *text);

/* The descriptor at index, now the caller's; -1 if there is none. */
int channel_take_fd(struct channel *channel, unsigned index);

/* Has the broker gone away? Costs a system call. */
int channel_is_up(const struct channel *channel);

void channel_close(struct channel *channel);

#endif
