/* The event loop: start, serve, stop. */
#ifndef BROKER_LOOP_H
#define BROKER_LOOP_H

#include <sys/signalfd.h>

#include "broker/broker.h"
#include "io/listener.h"

struct loop {
    struct broker broker;
    int lock_fd;
    int socket_lock_fd;
    int listen_fd;
    int signal_fd;
    int trouble_fd; /* the persister found something for the loop to do */
    bool bound;
    struct listener listener;
    struct remote_listener {
        struct listener listener; /* the first */
        struct loop *loop;
        int fd;
        bool secure;            /* TLS is spoken there */
        bool must_authenticate; /* and nobody is served whom we do not know */
    } remote[TCP_LISTEN_MAX];
    unsigned remote_count;
    struct poller_op signal_op, trouble_op, workers_op, post_op, look_op, review_op;
    uint64_t trouble_buffer, workers_buffer, post_buffer;
    struct signalfd_siginfo signal;
    struct reading {    /* of certificates, tokens and rules */
        struct job job; /* the first */
        struct loop *loop;
        bool busy, again;
        struct security *security;
        int result;
        struct error_text text;
    } reading;
};

/* The first thing of all: whoever asks for a stop from now on gets an orderly one, as soon as the start is
 * through; and what cannot be written is an error, no signal. */
void loop_hold_signals(void);

/* What the kernel does at once in a process of one thread, and later only after all processors were waited
 * for (tens of milliseconds): a large table of descriptors (fs/file.c, expand_fdtable()), membarrier's
 * registration. */
void loop_before_threads(void);

/* After loop_hold_signals(). After an error nothing is open, and shared memory is as it was. */
int loop_open(struct loop *loop, const struct config *config, struct error_text *text);
/* Serves until SIGTERM or SIGINT, or until its terminal hangs up; any other SIGHUP has certificates, tokens
 * and rules read again. */
void loop_run(struct loop *loop);
/* An orderly stop. An error: not everything could be stored; what is not is in shared memory. */
int loop_close(struct loop *loop, struct error_text *text);

#endif
