/* The poller on epoll: waits for readiness, then does what io_uring would have done. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/poller.h"

enum { BATCH = 64 };

struct slot {
    struct poller_op *reading;
    struct poller_op *writing;
    uint32_t registered; /* events that epoll waits for; 0: it does not know the descriptor */
};

struct epoll {
    struct poller base;
    int fd;
    struct slot *slots; /* by descriptor */
    size_t slot_count;
};

static int update(struct epoll *epoll, int fd)
{
    struct slot *slot = &epoll->slots[fd];
    uint32_t events = (slot->reading != NULL ? EPOLLIN : 0u) | (slot->writing != NULL ? EPOLLOUT : 0u);
    if (events == slot->registered)
        return HERMES_OK;
    struct epoll_event event = {.events = events, .data.fd = fd};
    int action = slot->registered == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    int rc = epoll_ctl(epoll->fd, action, fd, &event) == 0 ? HERMES_OK : error_from_errno(errno);
    /* A number must never count as known that epoll does not know: its next bearer would not be heard. */
    slot->registered = rc == 0 ? events : 0;
    return rc;
}

static int epoll_start(struct poller *poller, struct poller_op *op)
{
    struct epoll *epoll = (struct epoll *)poller;
    size_t index = (size_t)op->fd;
    if (index >= epoll->slot_count) {
        size_t count = index + 64;
        struct slot *grown = realloc(epoll->slots, count * sizeof *grown);
        if (grown == NULL)
            return HERMES_ENOMEM;
        for (size_t i = epoll->slot_count; i < count; i++)
            grown[i] = (struct slot){0};
        epoll->slots = grown;
        epoll->slot_count = count;
    }
    /* Readiness may be taken back between epoll_wait and the call: nothing may block there. */
    int flags = fcntl(op->fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(op->fd, F_SETFL, flags | O_NONBLOCK);
    *(op->kind == OP_SEND ? &epoll->slots[index].writing : &epoll->slots[index].reading) = op;
    return update(epoll, op->fd);
}

static void epoll_forget(struct poller *poller, int fd)
{
    struct epoll *epoll = (struct epoll *)poller;
    if ((size_t)fd >= epoll->slot_count)
        return;
    epoll->slots[fd].reading = epoll->slots[fd].writing = NULL;
    (void)update(epoll, fd);
}

static int perform(const struct poller_op *op)
{
    ssize_t rc = -1;
    switch (op->kind) {
    case OP_ACCEPT:
        rc = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_RECEIVE:
        rc = recv(op->fd, op->buffer, op->bytes, 0);
        break;
    case OP_READ:
        rc = read(op->fd, op->buffer, op->bytes);
        break;
    case OP_SEND:
        rc = sendmsg(op->fd, op->message, MSG_NOSIGNAL);
        break;
    }
    return rc < 0 ? -errno : (int)rc;
}

static int complete(struct epoll *epoll, int fd, struct poller_op **which)
{
    struct poller_op *op = *which;
    int result = perform(op);
    if (result == -EAGAIN || result == -EINTR)
        return 0;
    if (op->kind != OP_ACCEPT)
        *which = NULL;
    op->done(op, result);
    (void)fd;
    (void)epoll;
    return 1;
}

static int epoll_run(struct poller *poller, uint64_t timeout_ns)
{
    struct epoll *epoll = (struct epoll *)poller;
    struct epoll_event events[BATCH];
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    int ready = epoll_pwait2(epoll->fd, events, BATCH, &timeout, NULL);
    if (ready < 0 && errno == ENOSYS)
        ready = epoll_wait(epoll->fd, events, BATCH, (int)((timeout_ns + 999999) / 1000000));
    int count = 0;
    for (int i = 0; i < ready; i++) {
        int fd = events[i].data.fd;
        uint32_t what = events[i].events;
        /* done() may grow the table: look the slot up again each time. */
        if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) && epoll->slots[fd].reading != NULL)
            count += complete(epoll, fd, &epoll->slots[fd].reading);
        if ((what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && epoll->slots[fd].writing != NULL)
            count += complete(epoll, fd, &epoll->slots[fd].writing);
        if (epoll->slots[fd].registered != 0)
            (void)update(epoll, fd);
    }
    return count;
}

static void epoll_close(struct poller *poller)
{
    struct epoll *epoll = (struct epoll *)poller;
    close(epoll->fd);
    free(epoll->slots);
    free(epoll);
}

static const struct poller_methods epoll_methods = {
    .name = "epoll",
    .start = epoll_start,
    .forget = epoll_forget,
    .run = epoll_run,
    .close = epoll_close,
};

int poller_open_epoll(struct poller **poller, struct error_text *text)
{
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return HERMES_ENOMEM;
    epoll->base.methods = &epoll_methods;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0) {
        free(epoll);
        return error_set_errno(text, "make", "an epoll descriptor");
    }
    *poller = &epoll->base;
    return HERMES_OK;
}
