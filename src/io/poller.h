/*
 * The event loop's engine: operations are started and complete later, one after the other, on the
 * thread that runs the poller. io_uring completes them itself; epoll waits for readiness and then does
 * the system call. Both behave alike, and the same tests run on both.
 *
 * An operation belongs to its starter, stays where it is until done() was called, and may be started
 * again from there. A descriptor has at most one reading and one writing operation under way. To end
 * them, shut the socket down and wait for done().
 */
#ifndef IO_POLLER_H
#define IO_POLLER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

enum poller_backend { POLLER_AUTO, POLLER_URING, POLLER_EPOLL };

enum poller_kind { OP_ACCEPT, OP_RECEIVE, OP_READ, OP_SEND };

struct poller_op {
    /* result: bytes, a descriptor (OP_ACCEPT), or -errno. */
    void (*done)(struct poller_op *op, int result);
    enum poller_kind kind;
    int fd;
    void *buffer;
    size_t bytes;
    const struct msghdr *message; /* OP_SEND: valid until done */
};

struct poller;

int poller_open(enum poller_backend backend, struct poller **poller, struct error_text *text);
void poller_close(struct poller *poller);
const char *poller_name(const struct poller *poller);

/* Keeps accepting until the socket is closed; done() once for each. */
int poller_accept(struct poller *poller, struct poller_op *op, int fd);
int poller_receive(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes);
int poller_read(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes);
int poller_send(struct poller *poller, struct poller_op *op, int fd, const struct msghdr *message);

/* Forgets what epoll knows of a descriptor: before closing it. */
void poller_forget(struct poller *poller, int fd);

/* Waits at most timeout_ns (0: not at all) and completes what is ready; returns how many. */
int poller_run(struct poller *poller, uint64_t timeout_ns);

/* What the two implementations fill in. */
struct poller_methods {
    const char *name;
    int (*start)(struct poller *poller, struct poller_op *op);
    void (*forget)(struct poller *poller, int fd);
    int (*run)(struct poller *poller, uint64_t timeout_ns);
    void (*close)(struct poller *poller);
};

struct poller {
    const struct poller_methods *methods;
};

int poller_open_uring(struct poller **poller, struct error_text *text);
int poller_open_epoll(struct poller **poller, struct error_text *text);

#endif
