/* Whom a client trusts, and who it says it is: what hermes_connect_with() was given, and where that says
 * nothing the environment. */
#ifndef CLIENT_IDENTITY_H
#define CLIENT_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "hermes/client.h"
#include "io/carrier.h"
#include "io/places.h"
#include "io/tls.h"
#include "wire/wire.h"

struct identity {
    char *authority, *certificate, *key; /* files; NULL: none */
    char *server_name;                   /* NULL: that of the URL */
    char *token_file, *token;            /* one of them, or none */
    struct tls_context *tls;             /* NULL: nothing of TLS was asked for */
    uint64_t files;                      /* which versions of the three files it was made of */
};

/* given may be NULL. encrypts: for tls://. On failure nothing is to be freed: HERMES_EINVALID,
 * HERMES_ENOTSUP, HERMES_EACCESS, HERMES_ENOTFOUND, HERMES_ENOMEM, and a sentence. */
int identity_take(struct identity *identity, const hermes_connect_options_t *given, bool encrypts,
                  struct error_text *text);
/* Secrets are wiped. */
void identity_drop(struct identity *identity);

/* Will it say who it is by a token? */
static inline bool identity_has_token(const struct identity *identity)
{
    return identity->token != NULL || identity->token_file != NULL;
}

/* The token as it goes out; its file is read each time, for it may be another one by now. Whoever has it
 * wipes it. HERMES_EACCESS: the file is open to everybody; HERMES_ENOTFOUND; HERMES_EINVALID: it is no token.
 */
int identity_read_token(const struct identity *identity, struct wire_authenticate *proof,
                        struct error_text *text);

/* Where one of its files is another one by now, what was read of them is read again: certificates are renewed
 * under clients that live for long. What cannot be read changes nothing. */
void identity_refresh(struct identity *identity);

/* Puts TLS on a socket on its way to that place; fd is the carrier's, also on failure. NULL: no memory. */
struct carrier *identity_encrypt(const struct identity *identity, const struct place *place, int fd);

#endif
