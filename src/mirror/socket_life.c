#include "mirror/socket.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>

#include "mirror/socket_state.h"

enum { BUFFER_BYTES = 4 << 20, PIECES = 8 };

_Static_assert(PIECES *SEGMENTS_SPLIT_MAX == MIRROR_SOCKET_ARRIVALS, "as many as come in pieces");
_Static_assert(PIECES *SEGMENTS_PIECE_BYTES == MIRROR_SOCKET_ARRIVALS_BYTES, "and their bytes");

struct mirror_address mirror_address_of(const struct sockaddr_storage *address)
{
    struct mirror_address result = {{0}};
    _Static_assert(sizeof result >= sizeof(struct sockaddr_in6), "fits");
    memcpy(&result, address, mirror_address_length(address));
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
    if ((rc = option(fd, SOL_SOCKET, SO_RCVBUF, receive_bytes > 0 ? receive_bytes : BUFFER_BYTES)) < 0 ||
        (rc = option(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES)) < 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)address, mirror_address_length(address)) < 0) {
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

/* Datagrams come in pieces where the kernel can make them (Linux 5.0); else one by one, of which more are
 * taken at a time. */
static int make_room(struct mirror_socket *s)
{
    bool pieces = option(s->own, SOL_UDP, UDP_GRO, 1) == 0;
    if (pieces && s->group >= 0)
        pieces = option(s->group, SOL_UDP, UDP_GRO, 1) == 0;
    s->in_count = pieces ? PIECES : MIRROR_SOCKET_BATCH;
    s->in_bytes = pieces ? SEGMENTS_PIECE_BYTES : sizeof(struct mirror_packet);
    s->in = malloc((size_t)s->in_count * s->in_bytes);
    return s->in == NULL ? HERMES_ENOMEM : HERMES_OK;
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
    if (rc == HERMES_OK)
        rc = make_room(s);
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
    free(socket->in);
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
