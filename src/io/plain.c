#include "io/plain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hermes/error.h"

static int64_t result_of(ssize_t moved)
{
    if (moved > 0)
        return moved;
    return moved < 0 && (errno == EAGAIN || errno == EINTR) ? HERMES_EAGAIN : HERMES_EDISCONNECTED;
}

static int64_t plain_read(struct carrier *carrier, void *to, size_t bytes)
{
    ssize_t got = recv(carrier->fd, to, bytes, 0);
    carrier->is_dry = got < (ssize_t)bytes;
    return result_of(got);
}

static int64_t plain_write(struct carrier *carrier, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    return result_of(sendmsg(carrier->fd, &message, MSG_NOSIGNAL));
}

static short plain_wants(const struct carrier *carrier, short events)
{
    (void)carrier;
    return events;
}

static const char *plain_why(const struct carrier *carrier)
{
    (void)carrier;
    return NULL;
}

static void plain_take_leave(struct carrier *carrier)
{
    (void)carrier; /* that it closes says as much */
}

static void plain_close(struct carrier *carrier)
{
    close(carrier->fd);
    free(carrier);
}

static const struct carrier_kind plain = {plain_read, plain_write,      plain_wants,
                                          plain_why,  plain_take_leave, plain_close};

struct carrier *plain_new(int fd)
{
    struct carrier *carrier = malloc(sizeof *carrier);
    if (carrier == NULL) {
        close(fd);
        return NULL;
    }
    *carrier = (struct carrier){.kind = &plain, .fd = fd};
    return carrier;
}
