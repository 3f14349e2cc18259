/* The poller on io_uring (liburing): one ring, one thread, submissions batched once a turn. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/poller.h"

enum { ENTRIES = 256, BATCH = 32 };

struct uring {
    struct poller base;
    struct io_uring ring;
    struct poller_op *receives; /* that were started since the last submission, the latest first */
};

/* A completion, out of the queue. */
struct ready {
    struct poller_op *op; /* NULL: that a cancellation went out */
    int result;
    bool more; /* of a multishot operation, which goes on */
};

/* A full submission queue is submitted; then there is room. */
static struct io_uring_sqe *next_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe == NULL && io_uring_submit(&uring->ring) >= 0)
        sqe = io_uring_get_sqe(&uring->ring);
    return sqe;
}

static int submit(struct uring *uring, struct poller_op *op)
{
    struct io_uring_sqe *sqe = next_sqe(uring);
    if (sqe == NULL)
        return HERMES_EAGAIN;
    switch (op->kind) {
    case OP_ACCEPT:
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_RECEIVE:
        io_uring_prep_recv(sqe, op->fd, op->buffer, op->bytes, 0);
        break;
    case OP_READ:
        io_uring_prep_read(sqe, op->fd, op->buffer, (unsigned)op->bytes, 0);
        break;
    case OP_SEND:
        io_uring_prep_sendmsg(sqe, op->fd, op->message, MSG_NOSIGNAL);
        break;
    case OP_WATCH:
        io_uring_prep_poll_multishot(sqe, op->fd, POLLIN); /* at each wake-up, not while it is readable */
        break;
    case OP_TIMER:
    case OP_JOB:
        return HERMES_EINVALID;
    }
    io_uring_sqe_set_data(sqe, op);
    return HERMES_OK;
}

/* What is to be sent goes first: somebody may wait for it, while a receive that finds nothing takes as long
 * as half a send. */
static int uring_start(struct poller *poller, struct poller_op *op)
{
    struct uring *uring = (struct uring *)poller;
    if (op->kind != OP_RECEIVE)
        return submit(uring, op);
    op->then = uring->receives;
    uring->receives = op;
    return HERMES_OK;
}

static void submit_receives(struct uring *uring)
{
    while (uring->receives != NULL) {
        struct poller_op *op = uring->receives;
        uring->receives = op->then;
        if (submit(uring, op) < 0)
            poller_finish_later(&uring->base, op, -EAGAIN);
    }
}

static void uring_cancel(struct poller *poller, struct poller_op *op)
{
    submit_receives((struct uring *)poller); /* it may be one of them */
    struct io_uring_sqe *sqe = next_sqe((struct uring *)poller);
    if (sqe == NULL) {
        op->cancelled = false; /* the kernel takes nothing now: to be tried again */
        return;
    }
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data(sqe, NULL);
}

/* Completions are there, or the kernel would like to be entered to make some. */
static bool has_completions(const struct io_uring *ring)
{
    /* Relaxed: io_uring_enter() and io_uring_peek_batch_cqe() pair with the kernel. */
    unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0 || io_uring_cq_ready(ring) > 0;
}

static bool uring_has_news(const struct poller *poller)
{
    const struct io_uring *ring = &((const struct uring *)poller)->ring;
    return ((const struct uring *)poller)->receives != NULL || io_uring_sq_ready(ring) > 0 ||
           has_completions(ring);
}

static void uring_wait(struct poller *poller, uint64_t timeout_ns)
{
    struct uring *uring = (struct uring *)poller;
    submit_receives(uring);
    if (poller->over != NULL) /* one was refused */
        timeout_ns = 0;
    if (timeout_ns == 0 && !uring_has_news(poller))
        return;
    struct io_uring_cqe *first;
    struct __kernel_timespec timeout = {(long long)(timeout_ns / 1000000000u),
                                        (long long)(timeout_ns % 1000000000u)};
    if (timeout_ns > 0)
        (void)io_uring_submit_and_wait_timeout(&uring->ring, &first, 1, &timeout, NULL);
    else
        (void)io_uring_submit_and_get_events(&uring->ring);
}

/* The last completion of an operation, or of one stretch of one that goes on. */
static void last_of(struct poller *poller, struct poller_op *op, int result)
{
    /* What waits in a worker of the kernel's ends so when the process is stopped and goes on, or is traced.
     */
    bool again = result == -EINTR || poller_goes_on(op, result) ||
                 (op->kind == OP_ACCEPT && poller_accept_is_unhurt(result));
    if (!again) {
        poller_finish(poller, op, result);
        return;
    }
    if (result >= 0)
        op->done(op, result);
    /* The kernel ends a multishot operation when it pleases (io_uring_enter(2), IORING_CQE_F_MORE). */
    if (op->cancelled)
        poller_finish(poller, op, -ECANCELED);
    else if (submit((struct uring *)poller, op) < 0)
        poller_finish(poller, op, -EAGAIN);
}

/* Copied out: done() may start operations, and so move the queue. */
static unsigned take_batch(struct uring *uring, struct ready ready[BATCH])
{
    struct io_uring_cqe *batch[BATCH];
    unsigned count = io_uring_peek_batch_cqe(&uring->ring, batch, BATCH);
    for (unsigned i = 0; i < count; i++)
        ready[i] = (struct ready){io_uring_cqe_get_data(batch[i]), batch[i]->res,
                                  (batch[i]->flags & IORING_CQE_F_MORE) != 0};
    io_uring_cq_advance(&uring->ring, count);
    return count;
}

static int uring_complete(struct poller *poller)
{
    struct ready ready[BATCH];
    unsigned count = take_batch((struct uring *)poller, ready);
    int completed = 0;
    for (unsigned i = 0; i < count; i++) {
        struct poller_op *op = ready[i].op;
        if (op == NULL)
            continue;
        int result = op->kind == OP_WATCH && ready[i].result > 0 ? 0 : ready[i].result;
        if (ready[i].more)
            op->done(op, result);
        else
            last_of(poller, op, result);
        completed++;
    }
    return completed;
}

static void uring_close(struct poller *poller)
{
    struct uring *uring = (struct uring *)poller;
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

static const struct poller_methods uring_methods = {
    .name = "io_uring",
    .start = uring_start,
    .cancel = uring_cancel,
    .wait = uring_wait,
    .complete = uring_complete,
    .has_news = uring_has_news,
    .close = uring_close,
};

/* ---- what it can do ---- */

static int listen_somewhere(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un nowhere = {.sun_family =
                                      AF_UNIX}; /* the kernel chooses a name, not in the file system */
    if (fd >= 0 && bind(fd, (struct sockaddr *)&nowhere, sizeof nowhere.sun_family) == 0 &&
        listen(fd, 1) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Multishot accept is no operation of its own that the kernel could be asked for: it is tried. It waits, and
 * ends as it is cancelled - or the kernel (before 5.19) calls it invalid. */
static int try_multishot_accept(struct io_uring *ring)
{
    enum { ACCEPT = 1, CANCEL = 2 };
    int fd = listen_somewhere(), result = -EINVAL;
    if (fd < 0)
        return -errno;
    struct io_uring_sqe *accept = io_uring_get_sqe(ring);
    io_uring_prep_multishot_accept(accept, fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(accept, ACCEPT);
    struct io_uring_sqe *cancel = io_uring_get_sqe(ring);
    io_uring_prep_cancel64(cancel, ACCEPT, 0);
    io_uring_sqe_set_data64(cancel, CANCEL);
    struct __kernel_timespec timeout = {.tv_sec = 1};
    for (int seen = 0; seen < 2; seen++) {
        struct io_uring_cqe *cqe;
        int rc = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout, NULL);
        if (rc < 0) {
            result = rc;
            break;
        }
        if (io_uring_cqe_get_data64(cqe) == ACCEPT)
            result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
    close(fd);
    return result == -ECANCELED ? 0 : result;
}

static int open_ring(struct io_uring *ring)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_TASKRUN_FLAG};
    int rc = io_uring_queue_init_params(ENTRIES, ring, &parameters);
    if (rc == -EINVAL) { /* before 6.1 */
        parameters = (struct io_uring_params){0};
        rc = io_uring_queue_init_params(ENTRIES, ring, &parameters);
    }
    return rc;
}

int poller_open_uring(struct poller **poller, struct error_text *text)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL)
        return error_set(text, HERMES_ENOMEM, "a poller");
    uring->base.methods = &uring_methods;
    int rc = open_ring(&uring->ring);
    if (rc < 0) {
        free(uring);
        return error_set(text, error_from_errno(-rc), "io_uring cannot be had here (%s)", strerror(-rc));
    }
    rc = try_multishot_accept(&uring->ring);
    if (rc < 0) {
        uring_close(&uring->base);
        return rc == -EINVAL ? error_set(text, HERMES_ENOTSUP,
                                         "io_uring does not accept connections as it must (Linux 5.19 does)")
                             : error_set(text, error_from_errno(-rc), "io_uring cannot be used here (%s)",
                                         strerror(-rc));
    }
    (void)io_uring_register_ring_fd(&uring->ring); /* or it is looked up each time */
    *poller = &uring->base;
    return HERMES_OK;
}
