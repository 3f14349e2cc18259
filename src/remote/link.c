#include "remote/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/authority.h"

/* ---- addresses ---- */

/* family 0: whichever there is. */
static int find(const char *url, int family, struct sockaddr_storage *address, struct error_text *text)
{
    char host[AUTHORITY_BYTES], port[AUTHORITY_BYTES];
    struct addrinfo *found,
        wanted = {.ai_family = family, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    const char *wrong = authority_split(url, "udp://", host, port);
    if (wrong != NULL)
        return error_say(text, HERMES_EINVALID, "'%.200s' is not udp://HOST:PORT: %s", url, wrong);
    int rc = getaddrinfo(host, port, &wanted, &found);
    if (rc != 0)
        return error_say(text, HERMES_ENOTFOUND, "%.200s: %s", url, gai_strerror(rc));
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return HERMES_OK;
}

struct sockaddr_storage link_address(const struct link *link)
{
    struct sockaddr_storage here = {0};
    struct mirror_address address = mirror_socket_address(link->socket);
    memcpy(&here, &address, sizeof address);
    return here;
}

uint16_t link_port(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port)
                                          : ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

/* The address that this host has on the way there: what is sent to a group would have that of another route,
 * and be another's to a peer who knows the first one. */
static int find_own(const struct sockaddr_storage *peer, struct sockaddr_storage *own,
                    struct error_text *text)
{
    socklen_t length = sizeof *own;
    int fd = socket(peer->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && connect(fd, (const struct sockaddr *)peer, sizeof *peer) == 0 &&
                 getsockname(fd, (struct sockaddr *)own, &length) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!found)
        return error_say(text, HERMES_EIO, "no way to the sender: %s", strerror(error));
    set_port(own, 0);
    return HERMES_OK;
}

static int find_all(const struct link_places *places, struct mirror_socket_config *config,
                    struct sockaddr_storage *peer, struct error_text *text)
{
    int rc = places->peer == NULL ? HERMES_OK : find(places->peer, 0, peer, text);
    if (rc == 0 && places->local != NULL)
        rc = find(places->local, peer->ss_family, &config->local, text);
    sa_family_t family = places->local != NULL ? config->local.ss_family : peer->ss_family;
    if (rc == 0 && places->group != NULL)
        rc = find(places->group, family, &config->group, text);
    if (rc == 0 && places->group != NULL && places->local == NULL)
        rc = find_own(peer, &config->local, text);
    if (config->local.ss_family == 0)
        config->local.ss_family = peer->ss_family; /* and zeros: any address, any port */
    if (rc == 0 && places->interface != NULL) {
        config->interface = if_nametoindex(places->interface);
        if (config->interface == 0)
            rc = error_say(text, HERMES_ENOTFOUND, "no interface %.100s", places->interface);
    }
    return rc;
}

/* ---- open and close ---- */

int link_open(struct link *link, const struct link_places *places, const struct seal_grant *grant,
              uint32_t members_max, struct error_text *text)
{
    struct mirror_socket_config config = {.hops = places->hops, .receive_bytes = (int)places->receive_bytes};
    struct sockaddr_storage peer = {0};
    *link = (struct link){.socket = NULL};
    int rc = find_all(places, &config, &peer, text);
    if (rc < 0)
        return rc;
    link->peer = mirror_address_of(&peer);
    if ((rc = mirror_socket_open(&link->socket, &config)) < 0)
        return error_set(text, rc, "a UDP socket");
    if (grant != NULL && (rc = sealing_make(&link->sealing, grant, members_max)) < 0) {
        link_close(link);
        return error_set(text, rc, "a key");
    }
    return HERMES_OK;
}

void link_close(struct link *link)
{
    mirror_socket_close(link->socket);
    sealing_free(link->sealing);
    *link = (struct link){.socket = NULL};
}

/* ---- datagrams ---- */

struct taker {
    struct link *link;
    mirror_socket_take *take;
    void *context;
};

static void open_and_take(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    const struct taker *taker = context;
    /* In the socket's buffer, which is ours to write to until it receives again. */
    int64_t plain = sealing_unseal(taker->link->sealing, (void *)(uintptr_t)bytes, length);
    if (plain > 0)
        taker->take(taker->context, from, bytes, (size_t)plain);
}

bool link_receive(struct link *link, mirror_socket_take *take, void *context)
{
    struct taker taker = {link, take, context};
    return link->sealing == NULL ? mirror_socket_receive(link->socket, take, context)
                                 : mirror_socket_receive(link->socket, open_and_take, &taker);
}

void link_put(struct link *link)
{
    struct mirror_packet *packet = mirror_socket_slot(link->socket);
    if (link->sealing != NULL) {
        int64_t length = sealing_seal(link->sealing, packet->bytes, packet->length);
        if (length < 0)
            return; /* as if it were lost */
        packet->length = (uint32_t)length;
    }
    mirror_socket_put(link->socket);
}

int link_sleep(const struct link *link, uint64_t timeout_ns)
{
    int descriptors[2], count = mirror_socket_descriptors(link->socket, descriptors);
    struct pollfd polled[2] = {{.fd = descriptors[0], .events = POLLIN},
                               {.fd = descriptors[1], .events = POLLIN}};
    struct timespec left = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    return ppoll(polled, (nfds_t)count, &left, NULL) < 0 && errno == EINTR ? HERMES_EINTERRUPTED : HERMES_OK;
}
