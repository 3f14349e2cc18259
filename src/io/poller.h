/*
 * The event loop's engine: operations are started and complete later, one after the other, on the
 * thread that runs the poller. io_uring completes them itself; epoll waits for readiness and then does
 * the system call. Both behave alike, and the same tests run on both.
 *
 * An operation belongs to its starter and stays where it is from its start until its last done(); it may be
 * started again from there. To end it early, poller_cancel() it and wait for done(): only then is the kernel
 * through with its buffer and its descriptor, which is closed no earlier. A descriptor has at most one
 * reading and one writing operation under way.
 *
 * What holds operations is their owner: it is told once that it may go, by poller_leave(), and gone() is
 * called when nothing is under way for it any more. So nobody counts, and nobody frees what the kernel still
 * writes to.
 *
 * Descriptors are blocking ones, as they are made: epoll makes them non-blocking itself, and io_uring takes
 * O_NONBLOCK for "do not wait". What another process holds, too, ends no wait: a shared eventfd is watched
 * and never read, so neither its value nor its flags matter (poller_watch).
 *
 * Threads: one, but for poller_post().
 */
#ifndef IO_POLLER_H
#define IO_POLLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "io/turn.h"

enum poller_backend { POLLER_AUTO, POLLER_URING, POLLER_EPOLL };

enum poller_kind { OP_ACCEPT, OP_RECEIVE, OP_READ, OP_SEND, OP_WATCH, OP_TIMER, OP_JOB };

struct poller_owner {
    void (*gone)(struct poller_owner *owner); /* may free it; not called before poller_leave() */
    unsigned under_way;
    bool leaving;
};

struct poller_op {
    /* result: bytes, a descriptor (OP_ACCEPT), what was posted (OP_JOB), 0, or -errno; -ECANCELED: it was
     * cancelled before it was through. It is over then, but for an accept or a watch that goes on. */
    void (*done)(struct poller_op *op, int result);
    struct poller_owner *owner; /* NULL: none; its starter keeps it */

    /* The poller's own from here on. */
    struct poller_op *next, *previous; /* among those under way */
    enum poller_kind kind;
    bool under_way;
    bool cancelled;
    int fd;
    void *buffer;
    size_t bytes;
    const struct msghdr *message; /* OP_SEND: valid until done */
    uint64_t deadline_ns;         /* OP_TIMER */
    size_t timer_index;
    struct poller_op *then; /* that are over, and told of at the next turn */
    int result;
};

struct poller;

/* POLLER_AUTO takes epoll where io_uring is forbidden, or lacks what is needed (multishot accept:
 * Linux 5.19), and makes a note of it. */
int poller_open(enum poller_backend backend, struct poller **poller, struct error_text *text);

/* Cancels what is under way and calls its done() before it returns. No job may be out. */
void poller_close(struct poller *poller);
const char *poller_name(const struct poller *poller);

/*
 * Starting. HERMES_E...: it was not started, and done() is not called.
 */

/* Keeps accepting, done() for each, until it is cancelled or fails: out of descriptors (-EMFILE, -ENFILE), it
 * is over, since trying again at once would fail again at once (io/listener.h). */
int poller_accept(struct poller *poller, struct poller_op *op, int fd);
int poller_receive(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes);
int poller_read(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes);
int poller_send(struct poller *poller, struct poller_op *op, int fd, const struct msghdr *message);

/* done(op, 0) each time somebody makes fd readable - each write to an eventfd - until it is cancelled.
 * Several may count as one. Nothing is read, and fd's flags stay as they are. */
int poller_watch(struct poller *poller, struct poller_op *op, int fd);

/* done(op, 0) once, after so long by the monotonic clock. */
int poller_timer(struct poller *poller, struct poller_op *op, uint64_t after_ns);

/* Work that another thread does: it is under way from here until that thread posts its result, which
 * reaches done() on the poller's thread. It cannot be cancelled. Never fails. */
void poller_job(struct poller *poller, struct poller_op *op);

/* From any thread, once for each poller_job(). Wakes the poller; never blocks. */
void poller_post(struct poller *poller, struct poller_op *op, int result);

/* Wakes the poller. From any thread. */
void poller_wake(struct poller *poller);

/* done() comes with -ECANCELED at a later turn - or with its result, if that was faster. Nothing under way
 * (or a job): nothing happens. */
void poller_cancel(struct poller *poller, struct poller_op *op);

/* Once: the owner may go as soon as nothing is under way for it; gone() is called then, perhaps from here. */
void poller_leave(struct poller_owner *owner);

/* Waits at most timeout_ns (0: not at all) and completes what is ready; returns how many. */
int poller_run(struct poller *poller, uint64_t timeout_ns);

/* Would poller_run() have something to do? For who spins: it is asked without a system call. Where that
 * cannot be said (epoll) the answer is no. */
bool poller_has_news(const struct poller *poller);

/* Lets other threads have the processor, if they want it. */
void poller_yield(struct poller *poller);

/* What the thread did between two waits, or yields: within poller_run(), and outside. */
struct turn_figures poller_turns(const struct poller *poller);

/* ---- for the implementations ---- */

/* start: an operation on a descriptor. cancel: may complete it by poller_finish() at once, or later.
 * wait, then complete: that is a turn. */
struct poller_methods {
    const char *name;
    int (*start)(struct poller *poller, struct poller_op *op);
    void (*cancel)(struct poller *poller, struct poller_op *op);
    void (*wait)(struct poller *poller, uint64_t timeout_ns);
    int (*complete)(struct poller *poller);
    bool (*has_news)(const struct poller *poller);
    void (*close)(struct poller *poller);
};

struct poller_timers {
    struct poller_op **heap; /* the earliest first */
    size_t count, room;
};

struct poller {
    const struct poller_methods *methods;
    struct poller_op under_way; /* head of a ring */
    struct poller_op *over;     /* complete, to be told of */
    struct poller_op **over_end;
    struct poller_timers timers;
    _Atomic(struct poller_op *) posted; /* the latest first */
    struct poller_op wake_op;
    int wake_fd;
    struct turn turn;
};

int poller_open_uring(struct poller **poller, struct error_text *text);
int poller_open_epoll(struct poller **poller, struct error_text *text);

/* It is over: done() now, then its owner may go. The operation is not touched after done(). */
void poller_finish(struct poller *poller, struct poller_op *op, int result);
/* The same at the next turn, for who is in the middle of something. */
void poller_finish_later(struct poller *poller, struct poller_op *op, int result);

/* One that held the owner is over. NULL: there is none. */
void poller_release(struct poller_owner *owner);

/* An accept or a watch goes on after done(). */
static inline bool poller_goes_on(const struct poller_op *op, int result)
{
    return (op->kind == OP_ACCEPT || op->kind == OP_WATCH) && result >= 0;
}

/* An accept that failed through no fault of ours: the next one may not (accept(2), "Error handling"). */
bool poller_accept_is_unhurt(int result);

#endif
