#include "io/tls_failure.h"

#include <stdio.h>
#include <time.h>

#include "io/tls_names.h"

#include "io/openssl.h"

enum {
    WATCHED = 0,
    DATE_BYTES = 32,
    HOSTS_BYTES = 160
}; /* SSL's ex_data: its first place is the application's */

bool tls_failure_watch(SSL *ssl, struct tls_failure *failure)
{
    return SSL_set_ex_data(ssl, WATCHED, failure) == 1;
}

/* ---- a broker's certificate that is not accepted ---- */

static const char *date_of(const ASN1_TIME *time, char date[DATE_BYTES])
{
    struct tm when;
    if (ASN1_TIME_to_tm(time, &when) != 1 || strftime(date, DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &when) == 0)
        snprintf(date, DATE_BYTES, "a date that is none");
    return date;
}

static int refuse(struct tls_failure *failure, long why, const X509 *certificate)
{
    struct error_text *text = &failure->text;
    char date[DATE_BYTES], hosts[HOSTS_BYTES], issuer[TLS_NAME_BYTES] = "?";
    switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return error_say(text, HERMES_EACCESS,
                         "the broker's certificate expired at %s: it needs a new one ('hermes cert server "
                         "--force' there), unless this host's clock is wrong",
                         date_of(X509_get0_notAfter(certificate), date));
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return error_say(text, HERMES_EACCESS,
                         "the broker's certificate holds from %s on: one of the two clocks is wrong",
                         date_of(X509_get0_notBefore(certificate), date));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        tls_names_hosts(certificate, hosts, sizeof hosts);
        return error_say(text, HERMES_EACCESS,
                         "the broker's certificate is not for '%s', but for %s: name the broker so, or say "
                         "which name is meant (HERMES_TLS_SERVER_NAME, --tls-server-name)",
                         failure->host, hosts);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return error_say(text, HERMES_EACCESS,
                         "the broker's certificate is signed by itself, and nobody here vouches for it: name "
                         "its file as the authority, if it is the right one (HERMES_TLS_CA, --tls-ca)");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        (void)tls_names_issuer(certificate, issuer);
        return error_say(
            text, HERMES_EACCESS,
            "the broker's certificate is signed by an authority that is not trusted here ('%s'): "
            "name its certificate's file (HERMES_TLS_CA, --tls-ca)",
            issuer);
    default:
        return error_say(text, HERMES_EACCESS, "the broker's certificate is not accepted: %s",
                         X509_verify_cert_error_string(why));
    }
}

int tls_failure_witness(int accepted, X509_STORE_CTX *check)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_failure *failure = SSL_get_ex_data(ssl, WATCHED);
    const X509 *certificate = X509_STORE_CTX_get_current_cert(check);
    if (!accepted && failure->code == 0 && certificate != NULL)
        failure->code = refuse(failure, X509_STORE_CTX_get_error(check), certificate);
    return accepted;
}

/* ---- anything else ---- */

static const char *reason(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());
    return words != NULL ? words : "no reason given";
}

/* The broker gave up, and said so: an alert (RFC 8446, 6.2). */
static int tell_alert(struct error_text *text, int alert)
{
    switch (alert) {
    case SSL_AD_CERTIFICATE_REQUIRED:
        return error_say(text, HERMES_EACCESS,
                         "the broker wants a certificate of this client: name one, and its key "
                         "(HERMES_TLS_CERT, HERMES_TLS_KEY, --tls-cert, --tls-key)");
    case SSL_AD_CERTIFICATE_EXPIRED:
        return error_say(text, HERMES_EACCESS,
                         "the broker does not accept this client's certificate: it expired");
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_DECRYPT_ERROR:
        return error_say(text, HERMES_EACCESS,
                         "the broker does not accept this client's certificate: none of its authorities "
                         "([tls] client_ca) vouches for it");
    case SSL_AD_PROTOCOL_VERSION:
        return error_say(text, HERMES_EPROTOCOL, "TLS 1.3 is not spoken there, and nothing older is here");
    default:
        return error_say(text, HERMES_EACCESS, "the broker refuses: %s", reason());
    }
}

static int tell_client(struct error_text *text, int why)
{
    switch (why) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return error_say(text, HERMES_EPROTOCOL, "TLS 1.3 is not spoken there, and nothing older is here");
    case SSL_R_WRONG_VERSION_NUMBER:
        return error_say(text, HERMES_EPROTOCOL, "no TLS is spoken there (%s): is it tcp://?", reason());
    default:
        return error_say(text, HERMES_EPROTOCOL, "this is no TLS 1.3 as it should be: %s", reason());
    }
}

static int tell_server(struct error_text *text, SSL *ssl, int why)
{
    long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK)
        return error_say(text, HERMES_EACCESS, "the other end's certificate is not accepted: %s",
                         X509_verify_cert_error_string(verified));
    if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return error_say(text, HERMES_EACCESS, "the other end has no certificate, and needs one");
    if (why > SSL_AD_REASON_OFFSET)
        return error_say(text, HERMES_EACCESS, "the other end refuses: %s", reason());
    return error_say(text, HERMES_EPROTOCOL, "this is no TLS 1.3 as it should be: %s", reason());
}

int tls_failure_tell(struct tls_failure *failure, SSL *ssl)
{
    int why = ERR_GET_REASON(ERR_peek_last_error());
    if (failure->code != 0) /* a certificate */
        return failure->code;
    if (failure->host == NULL)
        failure->code = tell_server(&failure->text, ssl, why);
    else if (why > SSL_AD_REASON_OFFSET)
        failure->code = tell_alert(&failure->text, why - SSL_AD_REASON_OFFSET);
    else
        failure->code = tell_client(&failure->text, why);
    return failure->code;
}
