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
    uint32_t kept;       /* of these, while an operation is told that it is over: it may be started again */
};

struct epoll {
    struct poller base;
    int fd;
    struct slot *slots; /* by descriptor */
    size_t slot_count;
    struct epoll_event ready[BATCH];
    int ready_count;
};

static uint32_t events_of(const struct slot *slot)
{
    uint32_t events = slot->writing != NULL ? EPOLLOUT : 0u;
    if (slot->reading != NULL)
        events |= slot->reading->kind == OP_WATCH ? EPOLLIN | EPOLLET : EPOLLIN;
    return events | (slot->kept & slot->registered);
}

/* Before a descriptor may be closed epoll must have forgotten it: somebody else may hold what it stands for,
 * and then epoll would go on to name a number that has another bearer. */
static int update(struct epoll *epoll, int fd)
{
    struct slot *slot = &epoll->slots[fd];
    uint32_t events = events_of(slot);
    if (events == slot->registered)
        return HERMES_OK;
    struct epoll_event event = {.events = events, .data.fd = fd};
    int action = slot->registered == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    int rc = epoll_ctl(epoll->fd, action, fd, &event) == 0 ? HERMES_OK : error_from_errno(errno);
    slot->registered = rc == 0 ? events : 0;
    return rc;
}

static int reserve(struct epoll *epoll, int fd)
{
    size_t index = (size_t)fd;
    if (index < epoll->slot_count)
        return HERMES_OK;
    size_t count = index + 64;
    struct slot *grown = realloc(epoll->slots, count * sizeof *grown);
    if (grown == NULL)
        return HERMES_ENOMEM;
    for (size_t i = epoll->slot_count; i < count; i++)
        grown[i] = (struct slot){0};
    epoll->slots = grown;
    epoll->slot_count = count;
    return HERMES_OK;
}

static struct poller_op **place_of(struct epoll *epoll, const struct poller_op *op)
{
    struct slot *slot = &epoll->slots[op->fd];
    return op->kind == OP_SEND ? &slot->writing : &slot->reading;
}

/* Readiness may be taken back between epoll_wait and the call: nothing may block there. */
static void forbid_blocking(const struct poller_op *op)
{
    bool waits_by_flag = op->kind == OP_ACCEPT || op->kind == OP_READ; /* the others say so with each call */
    int flags = waits_by_flag ? fcntl(op->fd, F_GETFL) : O_NONBLOCK;
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(op->fd, F_SETFL, flags | O_NONBLOCK);
}

static int perform(const struct poller_op *op);

/* There is nearly always room. */
static bool send_at_once(struct poller *poller, struct poller_op *op)
{
    int result = op->kind == OP_SEND ? perform(op) : -EAGAIN;
    if (result == -EAGAIN || result == -EINTR)
        return false;
    op->cancelled = true; /* it is over: cancelling comes too late */
    poller_finish_later(poller, op, result);
    return true;
}

static int epoll_start(struct poller *poller, struct poller_op *op)
{
    struct epoll *epoll = (struct epoll *)poller;
    if (op->fd < 0)
        return HERMES_EINVALID;
    int rc = reserve(epoll, op->fd);
    if (rc < 0)
        return rc;
    forbid_blocking(op);
    if (send_at_once(poller, op))
        return HERMES_OK;
    *place_of(epoll, op) = op;
    rc = update(epoll, op->fd);
    if (rc < 0)
        *place_of(epoll, op) = NULL;
    return rc;
}

static void epoll_cancel(struct poller *poller, struct poller_op *op)
{
    struct epoll *epoll = (struct epoll *)poller;
    *place_of(epoll, op) = NULL;
    (void)update(epoll, op->fd);
    poller_finish_later(poller, op, -ECANCELED);
}

static int perform(const struct poller_op *op)
{
    ssize_t rc = 0;
    switch (op->kind) {
    case OP_ACCEPT:
        rc = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_RECEIVE:
        rc = recv(op->fd, op->buffer, op->bytes, MSG_DONTWAIT);
        break;
    case OP_READ:
        rc = read(op->fd, op->buffer, op->bytes);
        break;
    case OP_SEND:
        rc = sendmsg(op->fd, op->message, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case OP_WATCH:
    case OP_TIMER:
    case OP_JOB:
        break;
    }
    return rc < 0 ? -errno : (int)rc;
}

/* What receives goes on receiving, nearly always: epoll forgets the descriptor only if it is not started
 * again. Its owner, which closes it, stays that long. */
static void finish_and_look(struct epoll *epoll, struct poller_op *op, int result)
{
    struct poller_owner *owner = op->owner;
    int fd = op->fd;
    owner->under_way++;
    epoll->slots[fd].kept = EPOLLIN;
    poller_finish(&epoll->base, op, result);
    epoll->slots[fd].kept = 0;
    (void)update(epoll, fd);
    poller_release(owner);
}

static int complete(struct epoll *epoll, struct poller_op *op)
{
    int result = perform(op);
    if (result == -EAGAIN || result == -EINTR || (op->kind == OP_ACCEPT && poller_accept_is_unhurt(result)))
        return 0;
    if (poller_goes_on(op, result)) {
        op->done(op, result);
        return 1;
    }
    *place_of(epoll, op) = NULL;
    if (op->kind == OP_RECEIVE && result > 0 && op->owner != NULL) {
        finish_and_look(epoll, op, result);
        return 1;
    }
    (void)update(epoll, op->fd);
    poller_finish(&epoll->base, op, result);
    return 1;
}

static void epoll_wait_for(struct poller *poller, uint64_t timeout_ns)
{
    struct epoll *epoll = (struct epoll *)poller;
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    epoll->ready_count = epoll_pwait2(epoll->fd, epoll->ready, BATCH, &timeout, NULL);
    if (epoll->ready_count < 0 && errno == ENOSYS) {
        uint64_t ms = (timeout_ns + 999999) / 1000000;
        epoll->ready_count = epoll_wait(epoll->fd, epoll->ready, BATCH, ms > 60000 ? 60000 : (int)ms);
    }
}

/* done() may start, cancel and close: each slot is looked up when its turn comes, and a descriptor that
 * changed bearers meanwhile costs a call that has nothing to do. */
static int epoll_complete(struct poller *poller)
{
    struct epoll *epoll = (struct epoll *)poller;
    int count = 0;
    for (int i = 0; i < epoll->ready_count; i++) {
        int fd = epoll->ready[i].data.fd;
        uint32_t what = epoll->ready[i].events;
        if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) && epoll->slots[fd].reading != NULL)
            count += complete(epoll, epoll->slots[fd].reading);
        if ((what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && epoll->slots[fd].writing != NULL)
            count += complete(epoll, epoll->slots[fd].writing);
    }
    epoll->ready_count = 0;
    return count;
}

static bool epoll_has_news(const struct poller *poller)
{
    (void)poller;
    return false;
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
    .cancel = epoll_cancel,
    .wait = epoll_wait_for,
    .complete = epoll_complete,
    .has_news = epoll_has_news,
    .close = epoll_close,
};

int poller_open_epoll(struct poller **poller, struct error_text *text)
{
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return error_set(text, HERMES_ENOMEM, "a poller");
    epoll->base.methods = &epoll_methods;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0) {
        free(epoll);
        return error_set_errno(text, "make", "an epoll descriptor");
    }
    *poller = &epoll->base;
    return HERMES_OK;
}
