/* UDP: addresses as udp://HOST:PORT, for mirrors. */
#ifndef IO_UDP_H
#define IO_UDP_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

enum { UDP_URL_BYTES = 128 };

/* Is it such a URL, with a port that is not 0? Looks nothing up. HERMES_EINVALID. */
int udp_check(const char *url, struct error_text *text);

/* Its address, to be bound or to be sent to; a name is looked up, which may take long. HERMES_EINVALID,
 * HERMES_ENOTFOUND. */
int udp_resolve(const char *url, struct sockaddr_storage *address, struct error_text *text);

/* The unspecified address of the same family, and port 0. */
struct sockaddr_storage udp_any(const struct sockaddr_storage *like);

#endif
