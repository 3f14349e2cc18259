#include "io/poller.h"

int poller_open(enum poller_backend backend, struct poller **poller, struct error_text *text)
{
    if (backend == POLLER_EPOLL)
        return poller_open_epoll(poller, text);
    int rc = poller_open_uring(poller, text);
    /* Containers often forbid io_uring; whoever asked for it by name wants to know. */
    return rc < 0 && backend == POLLER_AUTO ? poller_open_epoll(poller, text) : rc;
}

void poller_close(struct poller *poller)
{
    if (poller != NULL)
        poller->methods->close(poller);
}

const char *poller_name(const struct poller *poller)
{
    return poller->methods->name;
}

int poller_accept(struct poller *poller, struct poller_op *op, int fd)
{
    op->kind = OP_ACCEPT;
    op->fd = fd;
    return poller->methods->start(poller, op);
}

int poller_receive(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes)
{
    op->kind = OP_RECEIVE;
    op->fd = fd;
    op->buffer = buffer;
    op->bytes = bytes;
    return poller->methods->start(poller, op);
}

int poller_read(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes)
{
    op->kind = OP_READ;
    op->fd = fd;
    op->buffer = buffer;
    op->bytes = bytes;
    return poller->methods->start(poller, op);
}

int poller_send(struct poller *poller, struct poller_op *op, int fd, const struct msghdr *message)
{
    op->kind = OP_SEND;
    op->fd = fd;
    op->message = message;
    return poller->methods->start(poller, op);
}

void poller_forget(struct poller *poller, int fd)
{
    poller->methods->forget(poller, fd);
}

int poller_run(struct poller *poller, uint64_t timeout_ns)
{
    return poller->methods->run(poller, timeout_ns);
}
