/* The poller on io_uring (liburing): one ring, one thread, submissions batched once a turn. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "io/poller.h"

enum { ENTRIES = 256, BATCH = 64 };

struct uring {
    struct poller base;
    struct io_uring ring;
};

/* A full submission queue is submitted; then there is room. */
static struct io_uring_sqe *next_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe == NULL && io_uring_submit(&uring->ring) >= 0)
        sqe = io_uring_get_sqe(&uring->ring);
    return sqe;
}

static int uring_start(struct poller *poller, struct poller_op *op)
{
    struct io_uring_sqe *sqe = next_sqe((struct uring *)poller);
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
    }
    io_uring_sqe_set_data(sqe, op);
    return HERMES_OK;
}

static void uring_forget(struct poller *poller, int fd)
{
    (void)poller;
    (void)fd;
}

static int uring_run(struct poller *poller, uint64_t timeout_ns)
{
    struct uring *uring = (struct uring *)poller;
    struct io_uring_cqe *first, *batch[BATCH];
    struct __kernel_timespec timeout = {(long long)(timeout_ns / 1000000000u),
                                        (long long)(timeout_ns % 1000000000u)};
    if (timeout_ns > 0)
        (void)io_uring_submit_and_wait_timeout(&uring->ring, &first, 1, &timeout, NULL);
    else
        (void)io_uring_submit_and_get_events(&uring->ring);
    unsigned count = io_uring_peek_batch_cqe(&uring->ring, batch, BATCH);
    struct {
        struct poller_op *op;
        int result;
        unsigned flags;
    } ready[BATCH];
    /* Copied out first: done() may start operations and so move the queue. */
    for (unsigned i = 0; i < count; i++) {
        ready[i].op = io_uring_cqe_get_data(batch[i]);
        ready[i].result = batch[i]->res;
        ready[i].flags = batch[i]->flags;
    }
    io_uring_cq_advance(&uring->ring, count);
    for (unsigned i = 0; i < count; i++) {
        struct poller_op *op = ready[i].op;
        if (op == NULL)
            continue;
        /* A multishot accept ends at an error (too many files, say): begin it again. */
        if (op->kind == OP_ACCEPT && !(ready[i].flags & IORING_CQE_F_MORE) && ready[i].result != -EBADF &&
            ready[i].result != -ECANCELED && ready[i].result != -EINVAL)
            (void)uring_start(poller, op);
        op->done(op, ready[i].result);
    }
    return (int)count;
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
    .forget = uring_forget,
    .run = uring_run,
    .close = uring_close,
};

int poller_open_uring(struct poller **poller, struct error_text *text)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL)
        return HERMES_ENOMEM;
    uring->base.methods = &uring_methods;
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(ENTRIES, &uring->ring, &parameters);
    if (rc == -EINVAL) { /* before 6.1 */
        parameters = (struct io_uring_params){0};
        rc = io_uring_queue_init_params(ENTRIES, &uring->ring, &parameters);
    }
    if (rc < 0) {
        free(uring);
        return error_set(text, error_from_errno(-rc), "io_uring cannot be had here");
    }
    *poller = &uring->base;
    return HERMES_OK;
}
