#include "io/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "io/peer.h"

int channel_address(const char *path, struct sockaddr_un *address, int *directory, struct error_text *text)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *directory = -1;
    if (strlen(path) < sizeof address->sun_path) {
        memcpy(address->sun_path, path, strlen(path) + 1);
        return HERMES_OK;
    }
    const char *slash = strrchr(path, '/');
    char parent[4096];
    snprintf(parent, sizeof parent, "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
    *directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*directory < 0)
        return error_set_errno(text, "open", parent);
    int used = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *directory,
                        slash == NULL ? path : slash + 1);
    if (used < 0 || (size_t)used >= sizeof address->sun_path) {
        close(*directory);
        *directory = -1;
        return error_set(text, HERMES_ETOOLARGE, "name of socket %s", path);
    }
    return HERMES_OK;
}

int channel_connect(struct channel *channel, const char *path, uint64_t timeout_ns, struct error_text *text)
{
    channel->fd = -1;
    channel->fd_count = 0;
    channel->correlation = 0;
    channel->timeout_ns = timeout_ns;
    struct sockaddr_un address;
    int directory;
    int rc = channel_address(path, &address, &directory, text);
    if (rc < 0)
        return rc == HERMES_ENOTFOUND
                   ? error_set(text, HERMES_EDISCONNECTED, "no broker at %s (is hermesd running?)", path)
                   : rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {(time_t)(timeout_ns / 1000000000u), (suseconds_t)(timeout_ns / 1000 % 1000000u)};
    if (fd < 0) {
        rc = error_set_errno(text, "make", "a socket");
    } else if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
               setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
        rc = error_set_errno(text, "set time-outs of", "a socket");
    } else if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        rc = errno == ENOENT || errno == ECONNREFUSED
                 ? error_set(text, HERMES_EDISCONNECTED, "no broker at %s (is hermesd running?)", path)
                 : error_set_errno(text, "connect to", path);
    } else {
        rc = peer_check_server(fd, path, text);
    }
    if (directory >= 0)
        close(directory);
    if (rc < 0 && fd >= 0)
        close(fd);
    else
        channel->fd = fd;
    return rc;
}

static void drop_fds(struct channel *channel)
{
    for (unsigned i = 0; i < channel->fd_count; i++)
        if (channel->fds[i] >= 0)
            close(channel->fds[i]);
    channel->fd_count = 0;
}

static int lost(struct channel *channel, struct error_text *text, const char *what)
{
    int code = errno == EAGAIN || errno == EWOULDBLOCK ? HERMES_ETIMEOUT : HERMES_EDISCONNECTED;
    channel_close(channel); /* the next reply could be the answer to this request: never mix them up */
    return error_set(text, code, "%s", what);
}

static int send_all(struct channel *channel, const struct iovec *parts, int count)
{
    struct iovec left[2];
    memcpy(left, parts, (size_t)count * sizeof *parts);
    struct msghdr message = {.msg_iov = left, .msg_iovlen = (size_t)count};
    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

static int receive_all(struct channel *channel, void *to, size_t bytes)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    uint8_t *at = to;
    while (bytes > 0) {
        struct iovec part = {at, bytes};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                continue;
            unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            for (unsigned i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                if (channel->fd_count < WIRE_FDS_MAX)
                    channel->fds[channel->fd_count++] = fd;
                else
                    close(fd);
            }
        }
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}

int channel_request(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                    enum wire_type expected, uint32_t expected_bytes, struct error_text *text)
{
    if (channel->fd < 0)
        return error_set(text, HERMES_EDISCONNECTED, "not connected");
    drop_fds(channel);
    hermes_header_t header;
    wire_header(&header, type, ++channel->correlation, length);
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)payload, length}};
    /* A broker that refuses a connection says why, and hangs up before it has read anything. */
    if (send_all(channel, parts, length > 0 ? 2 : 1) != 0 && errno != EPIPE && errno != ECONNRESET)
        return lost(channel, text, "the broker takes no requests");
    if (receive_all(channel, &channel->header, sizeof channel->header) != 0)
        return lost(channel, text, "the broker gave no answer");
    int rc = wire_header_check(&channel->header, WIRE_REPLY_MAX);
    if (rc < 0 || channel->header.sequence != channel->correlation) {
        channel_close(channel);
        return error_set(text, rc < 0 ? rc : HERMES_EPROTOCOL, "the broker's answer cannot be understood");
    }
    if (receive_all(channel, channel->reply, channel->header.length) != 0)
        return lost(channel, text, "the broker's answer was cut short");
    if (channel->header.type == WIRE_ERROR && channel->header.length == sizeof(struct wire_error)) {
        struct wire_error error;
        memcpy(&error, channel->reply, sizeof error);
        snprintf(text->bytes, sizeof text->bytes, "%.*s", (int)sizeof error.text, error.text);
        return error.code < 0 ? error.code : HERMES_EPROTOCOL;
    }
    if (channel->header.type != expected || channel->header.length < expected_bytes) {
        channel_close(channel);
        return error_set(text, HERMES_EPROTOCOL, "unexpected answer of type %d", channel->header.type);
    }
    return HERMES_OK;
}

int channel_take_fd(struct channel *channel, unsigned index)
{
    if (index >= channel->fd_count)
        return -1;
    int fd = channel->fds[index];
    channel->fds[index] = -1;
    return fd;
}

int channel_is_up(const struct channel *channel)
{
    if (channel->fd < 0)
        return false;
    char byte;
    ssize_t got = recv(channel->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

void channel_close(struct channel *channel)
{
    drop_fds(channel);
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
}
