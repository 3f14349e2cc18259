#include "io/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A connection on which nothing comes is asked for a sign of life after so many seconds, so often. */
enum { IDLE_SECONDS = 30, PROBE_SECONDS = 10, PROBES = 3 };

/* HOST and PORT of "tcp://HOST:PORT", brackets taken off. */
static bool split(const char *url, char host[TCP_URL_BYTES], char port[TCP_URL_BYTES])
{
    static const char scheme[] = "tcp://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || strlen(url) >= TCP_URL_BYTES)
        return false;
    url += sizeof scheme - 1;
    const char *colon = strrchr(url, ':'), *end = colon;
    if (colon == NULL || colon == url || colon[1] == 0 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    if (url[0] == '[' && end[-1] == ']') {
        url++;
        end--;
    } else if (memchr(url, ':', (size_t)(end - url)) != NULL) {
        return false; /* an IPv6 address without brackets: where it ends is anybody's guess */
    }
    snprintf(host, TCP_URL_BYTES, "%.*s", (int)(end - url), url);
    snprintf(port, TCP_URL_BYTES, "%s", colon + 1);
    return host[0] != 0;
}

int tcp_parse(const char *url, struct tcp_address *address, struct error_text *text)
{
    char host[TCP_URL_BYTES], port[TCP_URL_BYTES];
    struct addrinfo *found, wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (!split(url, host, port) || atoi(port) > 65535)
        return error_say(text, HERMES_EINVALID, "'%s' is not tcp://HOST:PORT", url);
    int rc = getaddrinfo(host, port, &wanted, &found);
    if (rc != 0)
        return error_say(text, HERMES_ENOTFOUND, "%s: %s", url, gai_strerror(rc));
    *address = (struct tcp_address){.length = found->ai_addrlen};
    memcpy(&address->at, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return HERMES_OK;
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

int tcp_bind(const struct tcp_address *address, const char *url, int *fd, struct error_text *text)
{
    const int yes = 1;
    *fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return error_set_errno(text, "make", "a TCP socket");
    /* A broker that starts again takes its port back though connections of before are not forgotten yet. */
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->at.ss_family == AF_INET6) /* the same port of IPv4 is an address of its own */
        (void)setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(*fd, (const struct sockaddr *)&address->at, address->length) == 0)
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
    write_url(&at, "tcp://", url, TCP_URL_BYTES);
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

void tcp_tune(int fd)
{
    const int yes = 1, idle = IDLE_SECONDS, pause = PROBE_SECONDS, probes = PROBES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof pause);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}
