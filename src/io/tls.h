/*
 * TLS 1.3 (RFC 8446) beneath a connection: bytes in, bytes out, and no system call. Whoever has a socket puts
 * this between it and what it says, at either end:
 *
 *     tls_feed(tls, bytes, count);                  what came from the socket
 *     while ((n = tls_read(tls, plain, room)) > 0)  what the other end says
 *         ...
 *     tls_write(tls, plain, count);                 what we say
 *     while ((n = tls_outgoing(tls, &bytes)) > 0)   what goes to the socket, after each of the three
 *         tls_sent(tls, send(fd, bytes, n, 0));
 *
 * The handshake is part of that: until it is through tls_read() has nothing and tls_write() takes nothing,
 * and there are bytes to be sent all the same.
 *
 * No older version, no renegotiation, no session tickets, no compression. The library's own limits hold: a
 * record of 16 KiB, a chain of certificates of TLS_CHAIN_BYTES, 32 empty records or key updates in a row.
 *
 * Threads: one for each struct tls; a context may be used by several. Memory: what is under way, and some ten
 * KiB for each connection.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "io/tls_names.h"

enum { TLS_CHAIN_BYTES = 32 * 1024, TLS_RECORD_BYTES = 16 * 1024 };

/* Certificates and keys, read once. */
struct tls_context;
/* One end of one connection. */
struct tls;

/* Is the other end, a client, asked for a certificate? */
enum tls_clients { TLS_CLIENTS_NONE, TLS_CLIENTS_OPTIONAL, TLS_CLIENTS_REQUIRED };

/* Paths of PEM files. */
struct tls_files {
    const char *certificate; /* our own, and what is between it and its authority. A client's: NULL: none */
    const char *key;         /* closed to others than its owner and group */
    const char *authority;   /* who vouches for the other end. NULL: nobody; a client: the system's */
};

/* HERMES_E..., and a sentence that names the file; HERMES_ENOTSUP: there is no OpenSSL here. The context is
 * whoever's who made it; connections keep what they need of it. */
int tls_serve(const struct tls_files *files, enum tls_clients clients, struct tls_context **context,
              struct error_text *text);
int tls_visit(const struct tls_files *files, struct tls_context **context, struct error_text *text);
void tls_context_free(struct tls_context *context); /* NULL is allowed */

/* host: of a client: the name or address that the server's certificate must have; NULL: we serve.
 * HERMES_ENOMEM. */
int tls_open(struct tls_context *context, const char *host, struct tls **tls, struct error_text *text);
void tls_close(struct tls *tls); /* NULL is allowed */

enum tls_state {
    TLS_SHAKES, /* hands */
    TLS_TALKS,
    TLS_ENDED, /* the other end said goodbye: nothing was cut off */
    TLS_FAILED
};
enum tls_state tls_state(const struct tls *tls);

/* Why it failed, in a sentence; a client is told what to do (io/tls_failure.h). */
const char *tls_error(const struct tls *tls);

/* The bytes stay where they are until tls_read() has returned 0. */
void tls_feed(struct tls *tls, const void *bytes, size_t count);

/* How many; 0: more must come. HERMES_ECLOSED: the other end said goodbye; HERMES_EACCESS: one end does not
 * trust the other; HERMES_EPROTOCOL: what came is no TLS 1.3; HERMES_ENOMEM. Then there may be something to
 * be sent all the same: why. */
int64_t tls_read(struct tls *tls, void *bytes, size_t size);

/* All of it, once state is TLS_TALKS. HERMES_ENOMEM, HERMES_EPROTOCOL. */
int tls_write(struct tls *tls, const void *bytes, size_t count);

/* The parts, one after the other, but at most so many bytes of them: how many, in as few records as that
 * takes. Each costs either end a microsecond besides its bytes. As tls_write(). */
int64_t tls_write_parts(struct tls *tls, const struct iovec *parts, size_t count, size_t most);

/* Goodbye; nothing is written any more. Without it the other end cannot tell our end from a cut. */
void tls_end(struct tls *tls);

/* How many bytes are to be sent. They stay where they are until tls_sent() has had all of them, or close. */
size_t tls_outgoing(struct tls *tls, const void **bytes);
void tls_sent(struct tls *tls, size_t count);
/* Is there anything? */
bool tls_has_outgoing(const struct tls *tls);

/* Who the other end is by a certificate that was verified: the first URI among its names, else the common
 * name of its subject. false: it showed none, or one without a name that fits. */
bool tls_peer_name(const struct tls *tls, char name[TLS_NAME_BYTES]);

/* Until when that certificate holds, in seconds since 1970; 0: it showed none. */
int64_t tls_peer_ends_s(const struct tls *tls);

/* Would that certificate be taken by this context, too, and now? true if there is none. */
bool tls_is_still_trusted(const struct tls *tls, const struct tls_context *context);

/* A secret that both ends of this connection can make and nobody else, for a purpose: a label and a context
 * (RFC 8446, section 7.5). HERMES_EPROTOCOL: it does not talk yet, or any more; HERMES_ENOMEM. */
int tls_export(const struct tls *tls, const char *label, const void *context, size_t context_bytes,
               void *secret, size_t secret_bytes);

#endif
