/* What was read from disk of who is let in, and who may do what: certificates, tokens, rules. */
#ifndef BROKER_SECURITY_H
#define BROKER_SECURITY_H

#include "auth/rules.h"
#include "auth/tokens.h"
#include "broker/config.h"
#include "io/tls.h"

struct security {
    struct tls_context *tls; /* NULL: nothing of TLS is configured */
    struct tokens tokens;
    struct rules rules;
    unsigned generation; /* which reading that is, from 1 on */
};

/* On any thread. Files that were not named may be missing. On success it is the caller's, to free. */
int security_read(const struct config *config, struct security **security, struct error_text *text);
void security_free(struct security *security); /* NULL is allowed */

#endif
