/*
 * The client's end of a connection: connect, requests and their replies. On a Unix socket descriptors stand
 * beside these; where messages go through the connection (streams), flows stand between them.
 *
 * A request that gets no answer in time takes nothing away from the session: the broker answers in order,
 * each reply names its request, and one that nobody waits for any more goes to `late`. So there is one view
 * of whether the session lives, the socket's.
 */
#ifndef IO_CHANNEL_H
#define IO_CHANNEL_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/error.h"
#include "io/conduit.h"
#include "wire/wire.h"

struct channel {
    int fd;
    bool streams; /* bytes alone come and go, by way of: */
    struct conduit conduit;
    uint64_t correlation; /* of the last request; never used twice, whatever the connection */
    uint64_t connected;   /* what it was when the connection was made: replies to earlier ones never come */
    uint64_t begun;       /* connections, this one among them; 0: none was */
    size_t received;      /* bytes of the message that is coming in */
    uint8_t reply[WIRE_REPLY_MAX];
    hermes_header_t header; /* of the last reply */
    int fds[WIRE_FDS_MAX];  /* that came with it; the caller takes them by channel_take_fd() */
    uint64_t sleeps;        /* so often somebody has waited for the broker */
    bool is_drained;        /* the last channel_is_up() took all that had come */
    bool fds_lost;          /* a descriptor that came with a reply found no room in this process */
    unsigned fd_count;
    /* Is shown each reply that was not waited for; what it leaves of the descriptors is closed. It may send,
     * not receive. NULL: nobody. */
    void (*late)(void *context, struct channel *channel);
    /* Streams: is shown each message of a flow, whose payload is gone when it returns. It neither sends nor
     * receives. What it returns but HERMES_OK ends the connection. */
    int (*flow)(void *context, const hermes_header_t *header, const uint8_t *payload);
    void *context;
    int failure; /* Streams: what came that was not to be believed, and ended it, whoever read it; else 0 */
    struct error_text failure_text;
};

/*
 * The address of a socket file, however long its path: through /proc/self/fd where it does not fit.
 * *directory is to be closed after connect or bind; -1: nothing to close.
 */
int channel_address(const char *path, struct sockaddr_un *address, int *directory, struct error_text *text);

/* Times are deadlines, of clock_monotonic_ns(); one that is past: what can be done without waiting. Whatever
 * waits asks interrupt_ask(): HERMES_EINTERRUPTED leaves the session as HERMES_ETIMEOUT does. */

/* HERMES_ETIMEOUT: the broker's queue of connections is full. */
int channel_connect(struct channel *channel, const char *path, uint64_t until_ns, struct error_text *text);

/* The same over what carries bytes already, or will soon: it is the channel's, also on failure.
 * HERMES_ENOMEM.
 */
int channel_connect_over(struct channel *channel, struct carrier *carrier, struct error_text *text);

/* The connection of one becomes that of the other, which has none; who is shown what comes stays the same. */
void channel_move(struct channel *from, struct channel *to);

/* Sends a request; channel->correlation is its number then. HERMES_ETIMEOUT: nothing was sent, for the broker
 * takes nothing. HERMES_EDISCONNECTED. */
int channel_send(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                 uint64_t until_ns, struct error_text *text);

/* Streams: sends a message of a flow, all of it or nothing. HERMES_EAGAIN: the broker does not take it now;
 * HERMES_EDISCONNECTED. */
int channel_send_flow(struct channel *channel, enum wire_type type, uint64_t handle,
                      const struct iovec *part);

/* Receives the reply to the request of that number. HERMES_ETIMEOUT: it may still come. */
int channel_receive(struct channel *channel, uint64_t correlation, uint64_t until_ns,
                    struct error_text *text);

/* What the last reply says. expected: its type; its payload must have at least expected_bytes. An error reply
 * is that error, its sentence in text. */
int channel_read(struct channel *channel, enum wire_type expected, uint32_t expected_bytes,
                 struct error_text *text);

/* All three, one after the other. */
int channel_request(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                    enum wire_type expected, uint32_t expected_bytes, uint64_t until_ns,
                    struct error_text *text);

/* Until something comes in, or what is still to go can go, or the connection ends, at most so long.
 * HERMES_EINTERRUPTED: a signal. */
int channel_sleep(struct channel *channel, uint64_t timeout_ns);

/* Is there more to look at than the last look took? It is here already, so no descriptor tells. */
bool channel_has_more(const struct channel *channel);
/* For which of these poll(2) is asked, in so many words. */
short channel_events(const struct channel *channel);

/* The descriptor at index, now the caller's; -1 if there is none. */
int channel_take_fd(struct channel *channel, unsigned index);

/* Is the broker still there? Flows reach who they are for. Replies that have come in meanwhile go to `late`;
 * the last one waited for is gone then, with its descriptors. Costs a system call. */
bool channel_is_up(struct channel *channel);

/* The same but that an end which has come right behind something else is found by the next look: for who
 * looks again anyway, and waits by a descriptor. So what came costs one system call, not two. */
bool channel_take_in(struct channel *channel);

/* Streams: what the broker is told before an end that is meant, if that goes without waiting. */
void channel_take_leave(struct channel *channel);

void channel_close(struct channel *channel);

#endif
