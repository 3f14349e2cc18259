/*
 * TCP: addresses as tcp://HOST:PORT or tls://HOST:PORT, sockets that listen there or go there, who is at the
 * other end.
 */
#ifndef IO_TCP_H
#define IO_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

enum { TCP_URL_BYTES = 128, TCP_LISTEN_MAX = 8 };

struct tcp_address {
    struct sockaddr_storage at;
    socklen_t length;
};

/* HOST a name, an IPv4 address or an IPv6 address in brackets; port 0: the kernel's
 * choice. A name is looked up, which may take long. HERMES_EINVALID, HERMES_ENOTFOUND. */
int tcp_parse(const char *url, struct tcp_address *address, struct error_text *text);

/* For who goes there. Is it such a URL? Looks nothing up. HERMES_EINVALID. */
int tcp_check(const char *url, struct error_text *text);

/* HOST of a URL that was checked, without brackets. */
void tcp_host(const char *url, char host[TCP_URL_BYTES]);

/* Its addresses, the best first, and how many; a name is looked up, which may take long. HERMES_ENOTFOUND. */
int tcp_resolve(const char *url, struct tcp_address *addresses, unsigned most, struct error_text *text);

/* A socket that is on its way there: what is sent and received says how that ended. HERMES_EDISCONNECTED. */
int tcp_connect(const struct tcp_address *address, const char *url, int *fd, struct error_text *text);

/* Can this host alone reach it? */
bool tcp_is_loopback(const struct tcp_address *address);

/* A socket that is bound there, and accepts nobody yet. An address in use is tried for again for a second. */
int tcp_bind(const struct tcp_address *address, const char *url, int *fd, struct error_text *text);

/* What it is bound to, as a URL. */
void tcp_name(int fd, char url[TCP_URL_BYTES]);

/* The other end of a connection: its address, IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2), and both as words.
 * HERMES_EDISCONNECTED: it is gone. */
int tcp_name_peer(int fd, uint8_t address[16], char *words, size_t size);

/* Do both ends of a connection say that they are on this host? A hint: addresses prove nothing. */
bool tcp_seems_near(int fd);

/* What is written goes at once, and an end that vanished is noticed. */
void tcp_tune(int fd);

#endif
