#include "io/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/standard.h"

#include "io/interrupt.h"
#include "io/peer.h"
#include "io/plain.h"

/* Messages that are taken in one go, however fast they come: then the clock is looked at. */
enum { MESSAGES_A_LOOK = 64 };

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

/* HERMES_EINTERRUPTED: who waits is not to wait on. */
static int check_interrupt(struct channel *channel)
{
    int answer = interrupt_ask();
    if (answer < 0)
        channel_close(channel); /* it is the parent's, who goes on with it */
    return answer == 0 ? HERMES_OK : HERMES_EINTERRUPTED;
}

/* Who waits for what comes has what is still to go go meanwhile. */
static short events_for(const struct channel *channel, short events)
{
    if (!channel->streams)
        return events;
    return events == POLLIN ? channel_events(channel)
                            : channel->conduit.carrier->kind->wants(channel->conduit.carrier, events);
}

/* Until the socket is ready. HERMES_ETIMEOUT, HERMES_EINTERRUPTED. */
static int await_ready(struct channel *channel, short events, uint64_t until_ns)
{
    for (;;) {
        uint64_t left = clock_left_ns(until_ns), slice = interrupt_slice_ns();
        if (left > 0 && check_interrupt(channel) < 0)
            return HERMES_EINTERRUPTED;
        slice = left < slice ? left : slice;
        uint64_t milliseconds = slice / 1000000u + (slice % 1000000u != 0);
        struct pollfd ready = {.fd = channel->fd, .events = events_for(channel, events)};
        channel->sleeps += left > 0;
        int count = poll(&ready, 1, (int)milliseconds);
        if (count > 0)
            return HERMES_OK;
        if (count < 0 && errno != EINTR)
            return error_from_errno(errno);
        if (left == 0)
            return HERMES_ETIMEOUT;
    }
}

/* A Unix socket does not say when there is room in the queue of connections: it is asked again. */
static int connect_until(int fd, const struct sockaddr_un *address, uint64_t until_ns)
{
    while (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        if (errno != EAGAIN && errno != EINTR)
            return -1;
        if (errno == EAGAIN && clock_left_ns(until_ns) == 0)
            return HERMES_ETIMEOUT;
        if (interrupt_ask() != 0)
            return HERMES_EINTERRUPTED;
        struct timespec pause = {0, 1000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return HERMES_OK;
}

static int no_broker(struct error_text *text, const char *path)
{
    return error_say(text, HERMES_EDISCONNECTED, "no broker at %s (is hermesd running?)", path);
}

static void begin(struct channel *channel)
{
    channel->fd = -1;
    channel->begun++;
    channel->fd_count = 0;
    channel->fds_lost = false;
    channel->received = 0;
    channel->failure = 0;
    channel->connected = channel->correlation;
}

int channel_connect_over(struct channel *channel, struct carrier *carrier, struct error_text *text)
{
    begin(channel);
    int rc = carrier == NULL ? HERMES_ENOMEM : conduit_open(&channel->conduit, carrier);
    if (rc < 0)
        return error_set(text, rc, "a connection");
    channel->streams = true;
    channel->fd = carrier->fd;
    return HERMES_OK;
}

void channel_move(struct channel *from, struct channel *to)
{
    const struct channel before = {
        .late = to->late, .flow = to->flow, .context = to->context, .sleeps = to->sleeps};
    *to = *from;
    to->late = before.late;
    to->flow = before.flow;
    to->context = before.context;
    to->sleeps += before.sleeps;
    from->conduit = (struct conduit){.carrier = NULL};
    begin(from);
}

int channel_connect(struct channel *channel, const char *path, uint64_t until_ns, struct error_text *text)
{
    begin(channel);
    struct sockaddr_un address;
    int directory;
    int rc = channel_address(path, &address, &directory, text);
    if (rc < 0)
        return rc == HERMES_ENOTFOUND ? no_broker(text, path) : rc;
    /* What somebody prints must not get into it. */
    int fd = standard_move_above(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0) {
        rc = error_set_errno(text, "make", "a socket");
    } else if ((rc = connect_until(fd, &address, until_ns)) == HERMES_ETIMEOUT) {
        rc = error_say(text, HERMES_ETIMEOUT, "the broker at %s takes no connections", path);
    } else if (rc == HERMES_EINTERRUPTED) {
        rc = error_set(text, rc, "connecting to the broker at %s", path);
    } else if (rc < 0) {
        rc = errno == ENOENT || errno == ECONNREFUSED ? no_broker(text, path)
                                                      : error_set_errno(text, "connect to", path);
    } else {
        rc = peer_check_server(fd, path, text);
    }
    if (directory >= 0)
        close(directory);
    if (rc < 0 && fd >= 0)
        close(fd);
    else if (rc == 0 && channel->streams)
        rc = channel_connect_over(channel, plain_new(fd), text);
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

static int lost(struct channel *channel, struct error_text *text)
{
    channel_close(channel);
    return error_say(text, HERMES_EDISCONNECTED, "the broker hung up");
}

/* What await_ready() came to. */
static int gave_up(int rc, struct error_text *text, const char *sentence)
{
    return error_say(text, rc == HERMES_EINTERRUPTED ? rc : HERMES_ETIMEOUT, "%s", sentence);
}

static void take_fds(struct channel *channel, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (channel->fd_count < WIRE_FDS_MAX)
                channel->fds[channel->fd_count++] = standard_move_above(fd);
            else
                close(fd);
        }
    }
}

/* Up to wanted bytes of the message that is coming in. HERMES_ETIMEOUT, HERMES_EINTERRUPTED: they are not all
 * there yet. */
static int receive_up_to(struct channel *channel, size_t wanted, uint64_t until_ns, struct error_text *text)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    int rc;
    while (channel->received < wanted) {
        uint8_t *to = channel->received < sizeof channel->header
                          ? (uint8_t *)&channel->header + channel->received
                          : channel->reply + channel->received - sizeof channel->header;
        struct iovec part = {to, wanted - channel->received};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
        if (got > 0) {
            take_fds(channel, &message);
            channel->fds_lost |= (message.msg_flags & MSG_CTRUNC) != 0;
            channel->received += (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return lost(channel, text);
        } else if (errno == EAGAIN && (rc = await_ready(channel, POLLIN, until_ns)) < 0) {
            return gave_up(rc, text, "the broker gave no answer");
        }
    }
    return HERMES_OK;
}

static bool is_flow(uint8_t type)
{
    return type == WIRE_LOG || type == WIRE_CONFIRM || type == WIRE_END || type == WIRE_GIVEN ||
           type == WIRE_SETTLED;
}

/* What comes is not what should. */
static int refuse(struct channel *channel, int rc, struct error_text *text)
{
    const struct carrier *carrier = channel->conduit.carrier;
    const char *why = carrier->kind->why(carrier);
    if (why != NULL)
        (void)error_say(text, rc, "%s", why);
    else
        (void)error_say(text, rc, "what the broker sends cannot be understood: %s", hermes_strerror(rc));
    channel_close(channel);
    channel->failure = rc;
    channel->failure_text = *text;
    return rc;
}

/* 1: a reply; 0: nothing, or what was none. */
static int take_streamed(struct channel *channel, bool *any, struct error_text *text)
{
    const uint8_t *payload;
    int rc = conduit_next(&channel->conduit, &channel->header, &payload);
    *any = rc > 0;
    if (rc > 0 && is_flow(channel->header.type)) {
        rc = channel->flow == NULL ? HERMES_EPROTOCOL
                                   : channel->flow(channel->context, &channel->header, payload);
    } else if (rc > 0 && channel->header.length > WIRE_REPLY_MAX) {
        rc = HERMES_ETOOLARGE;
    } else if (rc > 0) {
        memcpy(channel->reply, payload, channel->header.length);
        /* Whom it has no place for it refuses before it is asked anything: the answer to the hello. */
        if (channel->header.type == WIRE_ERROR && channel->header.sequence == 0)
            channel->header.sequence = channel->connected + 1;
    }
    if (rc == HERMES_EDISCONNECTED)
        return lost(channel, text);
    return rc < 0 ? refuse(channel, rc, text) : rc;
}

/* The next reply where bytes alone come. */
static int receive_streamed(struct channel *channel, uint64_t until_ns, struct error_text *text)
{
    bool any;
    for (unsigned i = 1;; i++) {
        int rc = take_streamed(channel, &any, text);
        if (rc != 0)
            return rc < 0 ? rc : HERMES_OK;
        if (conduit_flush(&channel->conduit) < 0)
            any = true;                                       /* what it said before it hung up says why */
        if (!any && until_ns == 0 && channel->conduit.is_dry) /* it need not be asked again */
            return HERMES_ETIMEOUT;
        if (!any && (rc = await_ready(channel, POLLIN, until_ns)) < 0)
            return gave_up(rc, text, "the broker gave no answer");
        if (i % MESSAGES_A_LOOK == 0 && clock_left_ns(until_ns) == 0)
            return gave_up(HERMES_ETIMEOUT, text, "the broker gave no answer");
    }
}

/* The next reply, whichever it is. Part of one stays until the rest comes. */
static int receive_next(struct channel *channel, uint64_t until_ns, struct error_text *text)
{
    if (channel->streams)
        return receive_streamed(channel, until_ns, text);
    if (channel->received == 0)
        drop_fds(channel);
    int rc = receive_up_to(channel, sizeof channel->header, until_ns, text);
    if (rc < 0)
        return rc;
    rc = wire_header_check(&channel->header, WIRE_REPLY_MAX);
    if (rc < 0) {
        channel_close(channel);
        return error_say(text, rc, "the broker's answer cannot be understood");
    }
    rc = receive_up_to(channel, sizeof channel->header + channel->header.length, until_ns, text);
    if (rc < 0)
        return rc;
    channel->received = 0;
    /* Whom it has no place for it refuses before it is asked anything: the answer to the hello. */
    if (channel->header.type == WIRE_ERROR && channel->header.sequence <= channel->connected)
        channel->header.sequence = channel->connected + 1;
    return HERMES_OK;
}

/* Nothing can be sent any more. What the broker said before it hung up says why. */
static int hung_up(struct channel *channel, struct error_text *text)
{
    int rc = receive_next(channel, 0, text);
    if (rc == 0 && channel->header.type == WIRE_ERROR && channel->header.sequence == channel->connected + 1)
        rc = channel_read(channel, WIRE_WELCOME, 0, text);
    channel_close(channel);
    return rc < 0 && rc != HERMES_ETIMEOUT && rc != HERMES_EINTERRUPTED ? rc : lost(channel, text);
}

static int send_streamed(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                         uint64_t until_ns, struct error_text *text)
{
    hermes_header_t header;
    wire_header(&header, type, channel->correlation + 1, length);
    const struct iovec parts[] = {{&header, sizeof header}, {(void *)(uintptr_t)payload, length}};
    int rc;
    while ((rc = conduit_send(&channel->conduit, parts, length > 0 ? 2 : 1)) == HERMES_EAGAIN)
        if ((rc = await_ready(channel, POLLOUT, until_ns)) < 0)
            return gave_up(rc, text, "the broker takes no requests");
    if (rc < 0)
        return hung_up(channel, text);
    channel->correlation++;
    return HERMES_OK;
}

int channel_send_flow(struct channel *channel, enum wire_type type, uint64_t handle, const struct iovec *part)
{
    if (channel->fd < 0)
        return HERMES_EDISCONNECTED;
    hermes_header_t header;
    wire_header(&header, type, handle, (uint32_t)part->iov_len);
    const struct iovec parts[] = {{&header, sizeof header}, *part};
    return conduit_send(&channel->conduit, parts, 2);
}

/* HERMES_ETIMEOUT, HERMES_EINTERRUPTED: nothing was sent. */
static int send_bytes(struct channel *channel, const uint8_t *bytes, size_t all, uint64_t until_ns,
                      struct error_text *text)
{
    int rc;
    for (size_t sent = 0; sent < all;) {
        ssize_t now = send(channel->fd, bytes + sent, all - sent, MSG_NOSIGNAL);
        if (now > 0)
            sent += (size_t)now;
        else if (now == 0 || (errno != EAGAIN && errno != EINTR))
            return hung_up(channel, text);
        /* Half a request cannot be taken back: the rest follows, or the session ends. */
        else if (errno == EAGAIN && (rc = await_ready(channel, POLLOUT, until_ns)) < 0)
            return sent > 0 ? lost(channel, text) : gave_up(rc, text, "the broker takes no requests");
    }
    channel->correlation++;
    return HERMES_OK;
}

int channel_send(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                 uint64_t until_ns, struct error_text *text)
{
    if (channel->fd < 0)
        return error_say(text, HERMES_EDISCONNECTED, "there is no connection to the broker");
    if (channel->streams)
        return send_streamed(channel, type, payload, length, until_ns, text);
    uint8_t bytes[HERMES_HEADER_BYTES + WIRE_REQUEST_MAX];
    hermes_header_t header;
    wire_header(&header, type, channel->correlation + 1, length);
    memcpy(bytes, &header, sizeof header);
    if (length > 0)
        memcpy(bytes + sizeof header, payload, length);
    int rc = send_bytes(channel, bytes, sizeof header + length, until_ns, text);
    if (type == WIRE_AUTHENTICATE)
        explicit_bzero(bytes, sizeof bytes);
    return rc;
}

short channel_events(const struct channel *channel)
{
    return channel->streams && channel->fd >= 0 ? conduit_events(&channel->conduit) : POLLIN;
}

bool channel_has_more(const struct channel *channel)
{
    return channel->streams && channel->fd >= 0 && !channel->conduit.is_dry;
}

int channel_sleep(struct channel *channel, uint64_t timeout_ns)
{
    if (channel_has_more(channel))
        return HERMES_OK;
    struct pollfd ready = {.fd = channel->fd, .events = channel_events(channel)};
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    return ppoll(&ready, 1, &timeout, NULL) < 0 && errno == EINTR ? HERMES_EINTERRUPTED : HERMES_OK;
}

static void show_late(struct channel *channel)
{
    if (channel->late != NULL)
        channel->late(channel->context, channel);
}

int channel_receive(struct channel *channel, uint64_t correlation, uint64_t until_ns, struct error_text *text)
{
    for (;;) {
        if (channel->fd < 0 || correlation <= channel->connected)
            return error_say(text, HERMES_EDISCONNECTED, "there is no connection to the broker");
        int rc = receive_next(channel, until_ns, text);
        if (rc < 0 || channel->header.sequence == correlation)
            return rc;
        show_late(channel);
    }
}

int channel_read(struct channel *channel, enum wire_type expected, uint32_t expected_bytes,
                 struct error_text *text)
{
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

int channel_request(struct channel *channel, enum wire_type type, const void *payload, uint32_t length,
                    enum wire_type expected, uint32_t expected_bytes, uint64_t until_ns,
                    struct error_text *text)
{
    int rc = channel_send(channel, type, payload, length, until_ns, text);
    if (rc == 0)
        rc = channel_receive(channel, channel->correlation, until_ns, text);
    return rc < 0 ? rc : channel_read(channel, expected, expected_bytes, text);
}

int channel_take_fd(struct channel *channel, unsigned index)
{
    if (index >= channel->fd_count)
        return -1;
    int fd = channel->fds[index];
    channel->fds[index] = -1;
    return fd;
}

bool channel_is_up(struct channel *channel)
{
    struct error_text ignored;
    int rc = HERMES_OK;
    channel->conduit.had_all = false;
    for (int i = 0; rc == 0 && channel->fd >= 0 && (!channel->streams || i < MESSAGES_A_LOOK); i++) {
        rc = receive_next(channel, 0, &ignored);
        if (rc == 0)
            show_late(channel);
    }
    channel->is_drained = rc == HERMES_ETIMEOUT && !channel_has_more(channel);
    return channel->fd >= 0;
}

bool channel_take_in(struct channel *channel)
{
    channel->conduit.trusts = true;
    bool is_up = channel_is_up(channel);
    channel->conduit.trusts = channel->conduit.had_all = false;
    return is_up;
}

void channel_take_leave(struct channel *channel)
{
    struct carrier *carrier = channel->conduit.carrier;
    if (carrier != NULL && conduit_is_flushed(&channel->conduit))
        carrier->kind->take_leave(carrier);
}

void channel_close(struct channel *channel)
{
    drop_fds(channel);
    if (channel->conduit.carrier != NULL)
        conduit_close(&channel->conduit);
    else if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
    channel->received = 0;
}
