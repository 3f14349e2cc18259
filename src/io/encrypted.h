/* A carrier that is a socket with TLS on it. The handshake goes on in its reads and writes: until it is
 * through nothing is read, and nothing written is taken. */
#ifndef IO_ENCRYPTED_H
#define IO_ENCRYPTED_H

#include "io/carrier.h"
#include "io/tls.h"

/* fd, which may be on its way there, is its own from here on, also on failure. host: whom the other end's
 * certificate must name; url: for sentences. NULL: no memory. */
struct carrier *encrypted_new(int fd, struct tls_context *context, const char *host, const char *url);

#endif
