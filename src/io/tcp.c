#include "io/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/standard.h"
#include "io/authority.h"

enum { BIND_TRIES = 50 }; /* a second */

/* A connection on which nothing comes is asked for a sign of life after so many seconds, so often. */
enum { IDLE_SECONDS = 30, PROBE_SECONDS = 10, PROBES = 3 };

static const char plain[] = "tcp://", encrypted[] = "tls://";

static const char *scheme_of(const char *url)
{
    return strncmp(url, encrypted, sizeof encrypted - 1) == 0 ? encrypted : plain;
}

static const char *split(const char *url, char host[TCP_URL_BYTES], char port[TCP_URL_BYTES])
{
    return authority_split(url, scheme_of(url), host, port);
}

static int refuse(const char *url, const char *wrong, struct error_text *text)
{
    return error_say(text, HERMES_EINVALID, "'%.200s' is not %sHOST:PORT: %s", url, scheme_of(url), wrong);
}

/* The list is to be freed. */
static int look_up(const char *url, int flags, struct addrinfo **found, struct error_text *text)
{
    char host[TCP_URL_BYTES], port[TCP_URL_BYTES];
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    const char *wrong = split(url, host, port);
    if (wrong != NULL)
        return refuse(url, wrong, text);
    int rc = getaddrinfo(host, port, &wanted, found);
    return rc != 0 ? error_say(text, HERMES_ENOTFOUND, "%s: %s", url, gai_strerror(rc)) : HERMES_OK;
}

static struct tcp_address address_of(const struct addrinfo *found)
{
    struct tcp_address address = {.length = found->ai_addrlen};
    memcpy(&address.at, found->ai_addr, found->ai_addrlen);
    return address;
}

int tcp_parse(const char *url, struct tcp_address *address, struct error_text *text)
{
    struct addrinfo *found;
    int rc = look_up(url, AI_PASSIVE, &found, text);
    if (rc < 0)
        return rc;
    *address = address_of(found);
    freeaddrinfo(found);
    return HERMES_OK;
}

int tcp_check(const char *url, struct error_text *text)
{
    char host[TCP_URL_BYTES], port[TCP_URL_BYTES];
    const char *wrong = split(url, host, port);
    if (wrong == NULL && atoi(port) == 0)
        wrong = "nobody listens at port 0";
    return wrong == NULL ? HERMES_OK : refuse(url, wrong, text);
}

void tcp_host(const char *url, char host[TCP_URL_BYTES])
{
    char port[TCP_URL_BYTES];
    if (split(url, host, port) != NULL)
        host[0] = 0;
}

int tcp_resolve(const char *url, struct tcp_address *addresses, unsigned most, struct error_text *text)
{
    struct addrinfo *all;
    unsigned count = 0;
    int rc = look_up(url, 0, &all, text);
    if (rc < 0)
        return rc;
    for (const struct addrinfo *one = all; one != NULL && count < most; one = one->ai_next)
        addresses[count++] = address_of(one);
    freeaddrinfo(all);
    return (int)count;
}

int tcp_connect(const struct tcp_address *address, const char *url, int *fd, struct error_text *text)
{
    /* What somebody prints must not get into it. */
    *fd = standard_move_above(socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (*fd < 0)
        return error_set_errno(text, "make", "a TCP socket");
    tcp_tune(*fd);
    if (connect(*fd, (const struct sockaddr *)&address->at, address->length) == 0 || errno == EINPROGRESS ||
        errno == EINTR)
        return HERMES_OK;
    (void)error_set_errno(text, "connect to", url);
    close(*fd);
    *fd = -1;
    return HERMES_EDISCONNECTED;
}

bool tcp_is_loopback(const struct tcp_address *address)
{
    if (address->at.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&address->at;
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    const struct sockaddr_in6 *v6 = (const void *)&address->at;
    return address->at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Of a broker that was killed the kernel ends io_uring's listening socket a moment after the process. */
static int bind_patiently(int fd, const struct tcp_address *address)
{
    const struct timespec pause = {0, 20000000};
    int rc;
    for (int tries = 0; (rc = bind(fd, (const struct sockaddr *)&address->at, address->length)) != 0;
         tries++) {
        if (errno != EADDRINUSE || tries == BIND_TRIES)
            return rc;
        (void)nanosleep(&pause, NULL);
    }
    return rc;
}

int tcp_bind(const struct tcp_address *address, const char *url, int *fd, struct error_text *text)
{
    const int yes = 1;
    *fd = standard_move_above(socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (*fd < 0)
        return error_set_errno(text, "make", "a TCP socket");
    /* A broker that starts again takes its port back though connections of before are not forgotten yet. */
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->at.ss_family == AF_INET6) /* the same port of IPv4 is an address of its own */
        (void)setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind_patiently(*fd, address) == 0)
        return HERMES_OK;
    int rc = error_set_errno(text, "listen on", url);
    close(*fd);
    *fd = -1;
    return rc;
}

static void write_url(const struct sockaddr_storage *at, const char *scheme, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (at->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)at;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(to, size, "%s%s:%u", scheme, host, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const void *)at;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(to, size, "%s[%s]:%u", scheme, host, ntohs(v6->sin6_port));
    }
}

void tcp_name(int fd, char url[TCP_URL_BYTES])
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    (void)getsockname(fd, (struct sockaddr *)&at, &length);
    write_url(&at, plain, url, TCP_URL_BYTES);
}

int tcp_name_peer(int fd, uint8_t address[16], char *words, size_t size)
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    if (getpeername(fd, (struct sockaddr *)&at, &length) != 0)
        return HERMES_EDISCONNECTED;
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&at;
        memset(address, 0, 10);
        memset(address + 10, 0xff, 2);
        memcpy(address + 12, &v4->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *v6 = (const void *)&at;
        memcpy(address, &v6->sin6_addr, 16);
    }
    write_url(&at, "", words, size);
    return HERMES_OK;
}

/* Who goes to an address of his own host comes from that address. */
bool tcp_seems_near(int fd)
{
    struct tcp_address here = {.length = sizeof here.at}, there = {.length = sizeof there.at};
    if (getsockname(fd, (struct sockaddr *)&here.at, &here.length) != 0 ||
        getpeername(fd, (struct sockaddr *)&there.at, &there.length) != 0 ||
        here.at.ss_family != there.at.ss_family)
        return false;
    if (tcp_is_loopback(&there))
        return true;
    const struct sockaddr_in *here4 = (const void *)&here.at, *there4 = (const void *)&there.at;
    const struct sockaddr_in6 *here6 = (const void *)&here.at, *there6 = (const void *)&there.at;
    if (here.at.ss_family == AF_INET)
        return here4->sin_addr.s_addr == there4->sin_addr.s_addr;
    return here.at.ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&here6->sin6_addr, &there6->sin6_addr);
}

void tcp_tune(int fd)
{
    const int yes = 1, idle = IDLE_SECONDS, pause = PROBE_SECONDS, probes = PROBES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof pause);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}
