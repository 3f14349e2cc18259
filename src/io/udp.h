/*
 * UDP: addresses for mirrors, as udp://HOST:PORT, and with a multicast group
 *
 *     udp://HOST:PORT?group=239.1.2.3:7401&interface=eth1&ttl=4
 *
 * group: numbers, where what is for all is sent to. interface: of this host, towards the group; else the
 * kernel's choice. ttl: how many links it may cross; else 1, the one it is sent on.
 */
#ifndef IO_UDP_H
#define IO_UDP_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

enum { UDP_URL_BYTES = 128 };

struct udp_group {
    struct sockaddr_storage address; /* family 0: there is none */
    char interface[IF_NAMESIZE];     /* "": the kernel's choice */
    int hops;                        /* 0: 1 */
};

/* What stands before "?", and what behind it. HERMES_EINVALID. */
int udp_split(const char *url, char base[UDP_URL_BYTES], struct udp_group *group, struct error_text *text);

/* Is it such a URL, with a port that is not 0? Looks nothing up. HERMES_EINVALID. */
int udp_check(const char *url, struct error_text *text);

/* The address before "?", to be bound or to be sent to; a name is looked up, which may take long.
 * HERMES_EINVALID, HERMES_ENOTFOUND. */
int udp_resolve(const char *url, struct sockaddr_storage *address, struct error_text *text);

/* The address that this host has on the way there, and port 0: what is sent to a group would have that of
 * another route, and be a stranger's to who knows the first one. HERMES_EIO: there is no way. */
int udp_own(const struct sockaddr_storage *there, struct sockaddr_storage *own);

/* The unspecified address of the same family, and port 0. */
struct sockaddr_storage udp_any(const struct sockaddr_storage *like);

#endif
