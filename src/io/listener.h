/*
 * A listening socket's connections, one after the other, for as long as the poller runs.
 *
 * Out of descriptors, a connection that waits cannot be accepted and does not go away: trying again at once
 * fails at once. So one descriptor is kept in reserve; it is given up, those that wait are accepted and
 * closed - their clients see that, instead of a silence - and the reserve is taken again. Then the listener
 * rests a moment.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include "io/poller.h"

struct listener {
    struct poller *poller;
    void (*accepted)(struct listener *listener, int fd);   /* fd is the callee's */
    void (*trouble)(struct listener *listener, int error); /* errno, once for each that was turned away */
    int fd;
    int reserve_fd;
    bool stopping;
    struct poller_op accept_op, rest_op;
};

/* fd listens, stays the caller's, and is closed after listener_stop() and a turn, or the poller. */
int listener_start(struct listener *listener, struct poller *poller, int fd, struct error_text *text);

void listener_stop(struct listener *listener);

#endif
