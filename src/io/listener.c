#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { TURNED_AWAY_AT_ONCE = 128 };
static const uint64_t rest_ns = 100000000;

static void go_on(struct listener *listener);

static int take_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void rest(struct listener *listener)
{
    if (poller_timer(listener->poller, &listener->rest_op, rest_ns) < 0)
        go_on(listener);
}

/* Those that wait, accepted in the reserve's place and closed. io_uring takes a number before it looks
 * whether anybody waits, so there may be none. */
static void turn_away(struct listener *listener, int error)
{
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    int flags = fcntl(listener->fd, F_GETFL), fd = 0;
    (void)fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
    for (int i = 0; i < TURNED_AWAY_AT_ONCE && fd >= 0; i++) {
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            close(fd);
            listener->trouble(listener, error);
        }
    }
    (void)fcntl(listener->fd, F_SETFL, flags);
    listener->reserve_fd = take_reserve();
}

static void accepted(struct poller_op *op, int result)
{
    struct listener *listener =
        (struct listener *)(void *)((char *)op - offsetof(struct listener, accept_op));
    if (result >= 0) {
        if (listener->stopping)
            close(result);
        else
            listener->accepted(listener, result);
        return;
    }
    if (listener->stopping || result == -ECANCELED)
        return;
    if (result == -EMFILE || result == -ENFILE)
        turn_away(listener, -result);
    else
        listener->trouble(listener, -result);
    rest(listener);
}

static void rested(struct poller_op *op, int result)
{
    struct listener *listener = (struct listener *)(void *)((char *)op - offsetof(struct listener, rest_op));
    if (result < 0 || listener->stopping)
        return;
    if (listener->reserve_fd < 0)
        listener->reserve_fd = take_reserve();
    go_on(listener);
}

static void go_on(struct listener *listener)
{
    int rc = poller_accept(listener->poller, &listener->accept_op, listener->fd);
    if (rc < 0 && poller_timer(listener->poller, &listener->rest_op, rest_ns) < 0)
        listener->trouble(listener, ENOMEM); /* neither can be started: nobody is accepted any more */
}

int listener_start(struct listener *listener, struct poller *poller, int fd, struct error_text *text)
{
    listener->poller = poller;
    listener->fd = fd;
    listener->stopping = false;
    listener->accept_op = (struct poller_op){.done = accepted};
    listener->rest_op = (struct poller_op){.done = rested};
    listener->reserve_fd = take_reserve();
    if (listener->reserve_fd < 0)
        return error_set_errno(text, "open", "/dev/null");
    int rc = poller_accept(poller, &listener->accept_op, fd);
    if (rc == 0)
        return HERMES_OK;
    close(listener->reserve_fd);
    listener->reserve_fd = -1;
    return error_set(text, rc, "cannot accept connections");
}

void listener_stop(struct listener *listener)
{
    if (listener->poller == NULL || listener->stopping)
        return;
    listener->stopping = true;
    poller_cancel(listener->poller, &listener->accept_op);
    poller_cancel(listener->poller, &listener->rest_op);
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    listener->reserve_fd = -1;
}
