#include "broker/security.h"

#include <stdlib.h>
#include <unistd.h>

static bool speaks_tls(const struct config *config)
{
    for (unsigned i = 0; i < config->listen_count; i++)
        if (config_is_secure(config->listen[i]))
            return true;
    return false;
}

static int read_certificates(struct security *security, const struct config *config, struct error_text *text)
{
    if (!speaks_tls(config))
        return HERMES_OK;
    const char *authority = config->client_ca[0] != 0 ? config->client_ca : NULL;
    const struct tls_files files = {config->certificate, config->key, authority};
    int rc = tls_serve(&files, authority == NULL ? TLS_CLIENTS_NONE : config->clients, &security->tls, text);
    if (rc != HERMES_ENOTFOUND || access(config->certificate, F_OK) == 0)
        return rc;
    return error_say(text, rc,
                     "tls:// needs a certificate, and there is no %.300s ('hermes cert server' makes one)",
                     config->certificate);
}

/* Where nobody named it, nobody has to have one. */
static int allow_none(int rc, bool named)
{
    return rc == HERMES_ENOTFOUND && !named ? HERMES_OK : rc;
}

int security_read(const struct config *config, struct security **security, struct error_text *text)
{
    struct security *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(text, HERMES_ENOMEM, "certificates, tokens and rules");
    int rc = read_certificates(made, config, text);
    if (rc == 0)
        rc = allow_none(tokens_read(&made->tokens, config->tokens, text), config->tokens_named);
    if (rc == 0)
        rc = allow_none(rules_read(&made->rules, config->rules, text), config->rules_named);
    if (rc == 0)
        *security = made;
    else
        security_free(made);
    return rc;
}

void security_free(struct security *security)
{
    if (security == NULL)
        return;
    tls_context_free(security->tls);
    tokens_free(&security->tokens);
    rules_free(&security->rules);
    free(security);
}
