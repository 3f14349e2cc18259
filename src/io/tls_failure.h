/* Why TLS came to nothing, in a sentence that says what to do. */
#ifndef IO_TLS_FAILURE_H
#define IO_TLS_FAILURE_H

#include <stdbool.h>

#include "base/error.h"

struct ssl_st;            /* OpenSSL's SSL */
struct x509_store_ctx_st; /* and X509_STORE_CTX */

/* Of one connection. */
struct tls_failure {
    char *host;             /* of a client: whom it expects; NULL: we serve */
    int code;               /* HERMES_OK: nothing failed yet */
    struct error_text text; /* the sentence */
};

/* The connection's failures are told there. false: no memory. */
bool tls_failure_watch(struct ssl_st *ssl, struct tls_failure *failure);

/* Is shown each certificate of the other end's chain, as SSL_CTX_set_verify() has it: what is wrong with it
 * is forgotten once the handshake has failed. */
int tls_failure_witness(int accepted, struct x509_store_ctx_st *check);

/* The library has just refused to go on. Returns the code: HERMES_EACCESS: one end does not trust the other;
 * HERMES_EPROTOCOL: it is no TLS 1.3. */
int tls_failure_tell(struct tls_failure *failure, struct ssl_st *ssl);

#endif
