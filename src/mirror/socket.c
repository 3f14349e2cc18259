#include "mirror/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

struct arrived {
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint32_t))];
};

struct mirror_socket {
    int own, group; /* -1: there is none */
    struct sockaddr_storage group_address;
    uint32_t put;
    uint32_t dropped[2], told[2]; /* as the kernel counts, of each socket */
    struct mirror_packet out[MIRROR_SOCKET_BATCH];
    struct arrived in[MIRROR_SOCKET_BATCH];
};

static socklen_t length_of(const void *address)
{
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

struct mirror_address mirror_address_of(const struct sockaddr_storage *address)
{
    struct mirror_address result = {{0}};
    _Static_assert(sizeof result >= sizeof(struct sockaddr_in6), "fits");
    memcpy(&result, address, length_of(address));
    if (address->ss_family == AF_INET)
        memset(result.bytes + offsetof(struct sockaddr_in, sin_zero), 0, 8);
    return result;
}

static int why(void)
{
    switch (errno) {
    case EACCES:
    case EPERM:
        return HERMES_EACCESS;
    case EADDRINUSE:
        return HERMES_EBUSY;
    case EINVAL:
    case EADDRNOTAVAIL:
    case ENODEV:
        return HERMES_EINVALID;
    default:
        return HERMES_EIO;
    }
}

static int option(int descriptor, int level, int name, int value)
{
    return setsockopt(descriptor, level, name, &value, sizeof value) == 0 ? HERMES_OK : why();
}

/* A socket bound there, of which the kernel says how much it dropped. */
static int bound(const struct sockaddr_storage *address, bool shared, int receive_bytes, int *descriptor)
{
    int rc, fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return why();
    if ((rc = option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1)) < 0)
        goto fail;
    if (shared && (rc = option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) < 0)
        goto fail;
    if (receive_bytes > 0 && (rc = option(fd, SOL_SOCKET, SO_RCVBUF, receive_bytes)) < 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)address, length_of(address)) < 0) {
        rc = why();
        goto fail;
    }
    *descriptor = fd;
    return HERMES_OK;
fail:
    close(fd);
    return rc;
}

/* Which way the own socket's datagrams go to the group: others on this host get them too. */
static int aim(int own, const struct mirror_socket_config *config)
{
    int hops = config->hops == 0 ? 1 : config->hops, rc;
    if (config->group.ss_family == AF_INET6) {
        if ((rc = option(own, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops)) < 0)
            return rc;
        return option(own, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)config->interface);
    }
    struct ip_mreqn out = {.imr_ifindex = (int)config->interface};
    if ((rc = option(own, IPPROTO_IP, IP_MULTICAST_TTL, hops)) < 0 || config->interface == 0)
        return rc;
    return setsockopt(own, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0 ? HERMES_OK : why();
}

static int enter(int group, const struct mirror_socket_config *config)
{
    struct group_req request = {.gr_interface = config->interface, .gr_group = config->group};
    int level = config->group.ss_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    return setsockopt(group, level, MCAST_JOIN_GROUP, &request, sizeof request) == 0 ? HERMES_OK : why();
}

static bool is_good(const struct mirror_socket_config *config)
{
    sa_family_t family = config->local.ss_family, group = config->group.ss_family;
    return (family == AF_INET || family == AF_INET6) && (group == 0 || group == family) &&
           config->hops >= 0 && config->hops <= 255;
}

int mirror_socket_open(struct mirror_socket **socket, const struct mirror_socket_config *config)
{
    if (!is_good(config))
        return HERMES_EINVALID;
    struct mirror_socket *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HERMES_ENOMEM;
    s->own = s->group = -1;
    s->group_address = config->group;
    int rc = bound(&config->local, false, config->receive_bytes, &s->own);
    if (rc == HERMES_OK && config->group.ss_family != 0) {
        rc = bound(&config->group, true, config->receive_bytes, &s->group);
        if (rc == HERMES_OK)
            rc = aim(s->own, config);
        if (rc == HERMES_OK)
            rc = enter(s->group, config);
    }
    if (rc < 0) {
        mirror_socket_close(s);
        return rc;
    }
    *socket = s;
    return HERMES_OK;
}

void mirror_socket_close(struct mirror_socket *socket)
{
    if (socket == NULL)
        return;
    if (socket->own >= 0)
        close(socket->own);
    if (socket->group >= 0)
        close(socket->group);
    free(socket);
}

int mirror_socket_descriptors(const struct mirror_socket *socket, int descriptors[2])
{
    descriptors[0] = socket->own;
    descriptors[1] = socket->group;
    return socket->group < 0 ? 1 : 2;
}

struct mirror_address mirror_socket_address(const struct mirror_socket *socket)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    (void)getsockname(socket->own, (struct sockaddr *)&address, &length);
    return mirror_address_of(&address);
}

struct mirror_packet *mirror_socket_slot(struct mirror_socket *socket)
{
    return socket->put < MIRROR_SOCKET_BATCH ? &socket->out[socket->put] : NULL;
}

void mirror_socket_put(struct mirror_socket *socket)
{
    socket->put++;
}

void mirror_socket_flush(struct mirror_socket *socket)
{
    struct mmsghdr messages[MIRROR_SOCKET_BATCH];
    struct iovec bytes[MIRROR_SOCKET_BATCH];
    uint32_t count = socket->put, sent = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct mirror_packet *packet = &socket->out[i];
        void *to = packet->to_group ? (void *)&socket->group_address : (void *)&packet->to;
        bytes[i] = (struct iovec){packet->bytes, packet->length};
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = to, .msg_namelen = length_of(to), .msg_iov = &bytes[i], .msg_iovlen = 1}};
    }
    while (sent < count) {
        int rc = sendmmsg(socket->own, messages + sent, count - sent, MSG_NOSIGNAL);
        if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;                         /* the network is full: as if they were lost */
        sent += rc > 0 ? (uint32_t)rc : 1; /* one that cannot be sent holds up no other */
    }
    socket->put = 0;
}

static void note_dropped(struct mirror_socket *socket, int which, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&socket->dropped[which], CMSG_DATA(c), sizeof socket->dropped[which]);
}

static bool receive_at(struct mirror_socket *socket, int which, mirror_socket_take *take, void *context)
{
    struct mmsghdr messages[MIRROR_SOCKET_BATCH];
    struct iovec bytes[MIRROR_SOCKET_BATCH];
    struct sockaddr_storage from[MIRROR_SOCKET_BATCH];
    for (uint32_t i = 0; i < MIRROR_SOCKET_BATCH; i++) {
        struct arrived *in = &socket->in[i];
        bytes[i] = (struct iovec){in->bytes, sizeof in->bytes};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                                   .msg_namelen = sizeof from[i],
                                                   .msg_iov = &bytes[i],
                                                   .msg_iovlen = 1,
                                                   .msg_control = in->control,
                                                   .msg_controllen = sizeof in->control}};
    }
    int count = recvmmsg(which == 0 ? socket->own : socket->group, messages, MIRROR_SOCKET_BATCH, 0, NULL);
    for (int i = 0; i < count; i++) {
        note_dropped(socket, which, &messages[i].msg_hdr);
        if (messages[i].msg_hdr.msg_flags & MSG_TRUNC)
            continue; /* longer than any */
        struct mirror_address address = mirror_address_of(&from[i]);
        take(context, &address, socket->in[i].bytes, messages[i].msg_len);
    }
    return count == MIRROR_SOCKET_BATCH;
}

bool mirror_socket_receive(struct mirror_socket *socket, mirror_socket_take *take, void *context)
{
    bool more = receive_at(socket, 0, take, context);
    if (socket->group >= 0)
        more |= receive_at(socket, 1, take, context);
    return more;
}

uint32_t mirror_socket_overflows(struct mirror_socket *socket)
{
    uint32_t since = 0;
    for (int which = 0; which < 2; which++) {
        since += socket->dropped[which] - socket->told[which];
        socket->told[which] = socket->dropped[which];
    }
    return since;
}
