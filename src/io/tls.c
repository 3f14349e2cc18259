#include "io/tls.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "io/tls_failure.h"
#include "io/tls_names.h"

#include "io/openssl.h"

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bytes; /* of its connections */
};

/* What is written at once (64 KiB), with what five records have around it (RFC 8446, 5.2). */
enum { OUTGOING_BYTES = 64 * 1024 + 5 * 256 };

struct outgoing {
    uint8_t *bytes;
    size_t sent, count, room;
};

struct tls {
    SSL *ssl;
    BIO_METHOD *method;
    const uint8_t *fed;
    size_t fed_count;
    struct outgoing leaving, next; /* what is being sent stays where it is while more comes */
    enum tls_state state;
    struct tls_failure failure;
};

/* ---- the library's end of it: bytes in memory ---- */

static int give(BIO *bio, char *to, int size)
{
    struct tls *tls = BIO_get_data(bio);
    size_t count = tls->fed_count < (size_t)size ? tls->fed_count : (size_t)size;
    BIO_clear_retry_flags(bio);
    if (count == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, tls->fed, count);
    tls->fed += count;
    tls->fed_count -= count;
    return (int)count;
}

/* Hands are shaken, and short things said, in little; for a whole record there is room for what its sender
 * has to say besides, or it would be moved with each of them. */
static size_t room_for(size_t bytes)
{
    if (bytes < TLS_RECORD_BYTES)
        return bytes + 4096;
    return bytes < OUTGOING_BYTES ? OUTGOING_BYTES : 2 * bytes;
}

static int take(BIO *bio, const char *from, int size)
{
    struct tls *tls = BIO_get_data(bio);
    struct outgoing *next = &tls->next;
    size_t count = (size_t)size;
    BIO_clear_retry_flags(bio);
    if (count > next->room - next->count) {
        size_t room = room_for(next->count + count);
        uint8_t *grown = realloc(next->bytes, room);
        if (grown == NULL)
            return -1;
        next->bytes = grown;
        next->room = room;
    }
    memcpy(next->bytes + next->count, from, count);
    next->count += count;
    return size;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    if (method == NULL)
        return NULL;
    BIO_meth_set_read(method, give);
    BIO_meth_set_write(method, take);
    BIO_meth_set_ctrl(method, control);
    return method;
}

/* ---- certificates and keys ---- */

/* What the library has to say of what it just refused. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code == 0 ? NULL : ERR_reason_error_string(code);
    return words != NULL ? words : "no reason given";
}

static int refuse_file(const char *what, const char *path, struct error_text *text)
{
    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SYS)
        return error_say(text, HERMES_ENOTFOUND, "the %s %s cannot be read: %s", what, path,
                         strerror(ERR_GET_REASON(ERR_peek_error())));
    return error_say(text, HERMES_EINVALID, "the %s %s cannot be used: %s", what, path, reason());
}

/* Who can read it can be us. */
static int check_key_is_closed(const char *path, struct error_text *text)
{
    struct stat status;
    if (stat(path, &status) == 0 && (status.st_mode & 0007) != 0)
        return error_say(text, HERMES_EACCESS, "the key %s is open to everybody: chmod 600 %s", path, path);
    return HERMES_OK;
}

/* Of a key that has one: nobody is asked for it on a terminal, amid a call that does not wait. */
static int no_pass_phrase(char *to, int bytes, int is_written, void *context)
{
    (void)to, (void)bytes, (void)is_written, (void)context;
    return -1;
}

static int use_own(SSL_CTX *ssl, const struct tls_files *files, struct error_text *text)
{
    if (files->certificate == NULL)
        return HERMES_OK;
    if (SSL_CTX_use_certificate_chain_file(ssl, files->certificate) != 1)
        return refuse_file("certificate", files->certificate, text);
    int rc = check_key_is_closed(files->key, text);
    if (rc < 0)
        return rc;
    SSL_CTX_set_default_passwd_cb(ssl, no_pass_phrase);
    if (SSL_CTX_use_PrivateKey_file(ssl, files->key, SSL_FILETYPE_PEM) != 1)
        return refuse_file("key", files->key, text);
    return HERMES_OK;
}

static int use_authority(SSL_CTX *ssl, const char *path, struct error_text *text)
{
    if (path == NULL)
        return HERMES_OK;
    return SSL_CTX_load_verify_file(ssl, path) == 1 ? HERMES_OK : refuse_file("authority", path, text);
}

static int open_context(const SSL_METHOD *method, const struct tls_files *files, struct tls_context **context,
                        struct error_text *text)
{
    ERR_clear_error();
    struct tls_context *made = calloc(1, sizeof *made);
    int rc = HERMES_ENOMEM;
    if (made != NULL && (made->ssl = SSL_CTX_new(method)) != NULL && (made->bytes = make_method()) != NULL) {
        SSL_CTX_set_min_proto_version(made->ssl, TLS1_3_VERSION);
        SSL_CTX_set_options(made->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_num_tickets(made->ssl, 0);
        SSL_CTX_set_session_cache_mode(made->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(made->ssl, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_max_cert_list(made->ssl, TLS_CHAIN_BYTES);
        rc = use_own(made->ssl, files, text);
    } else {
        error_set(text, rc, "TLS");
    }
    if (rc == 0)
        rc = use_authority(made->ssl, files->authority, text);
    if (rc == 0)
        *context = made;
    else
        tls_context_free(made);
    return rc;
}

int tls_serve(const struct tls_files *files, enum tls_clients clients, struct tls_context **context,
              struct error_text *text)
{
    int rc = openssl_load(text);
    if (rc == 0)
        rc = open_context(TLS_server_method(), files, context, text);
    if (rc < 0 || clients == TLS_CLIENTS_NONE)
        return rc;
    SSL_CTX *ssl = (*context)->ssl;
    SSL_CTX_set_verify(
        ssl, SSL_VERIFY_PEER | (clients == TLS_CLIENTS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    /* Those who have several certificates learn which one is meant. */
    SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(files->authority));
    return HERMES_OK;
}

int tls_visit(const struct tls_files *files, struct tls_context **context, struct error_text *text)
{
    int rc = openssl_load(text);
    if (rc == 0)
        rc = open_context(TLS_client_method(), files, context, text);
    if (rc < 0)
        return rc;
    SSL_CTX_set_verify((*context)->ssl, SSL_VERIFY_PEER, tls_failure_witness);
    if (files->authority == NULL)
        SSL_CTX_set_default_verify_paths((*context)->ssl);
    return HERMES_OK;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bytes);
    free(context);
}

/* ---- a connection ---- */

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name goes to the server in the clear (RFC 6066, 3), an address does not. */
static bool expect(SSL *ssl, const char *host)
{
    SSL_set_connect_state(ssl);
    /* Names that are meant for it alone: no common name, which may be a person's. */
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
                            : SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int tls_open(struct tls_context *context, const char *host, struct tls **tls, struct error_text *text)
{
    struct tls *made = calloc(1, sizeof *made);
    BIO *bio = NULL;
    /* A method of its own: a context may go before its connections. */
    if (made == NULL || (made->method = make_method()) == NULL ||
        (made->ssl = SSL_new(context->ssl)) == NULL || !tls_failure_watch(made->ssl, &made->failure) ||
        (bio = BIO_new(made->method)) == NULL)
        goto failed;
    BIO_set_data(bio, made);
    BIO_set_init(bio, 1);
    SSL_set_bio(made->ssl, bio, bio);
    if (host == NULL)
        SSL_set_accept_state(made->ssl);
    else if ((made->failure.host = strdup(host)) == NULL || !expect(made->ssl, host))
        goto failed;
    *tls = made;
    return HERMES_OK;
failed:
    tls_close(made);
    return error_set(text, HERMES_ENOMEM, "TLS");
}

void tls_close(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl); /* and its BIO */
    BIO_meth_free(tls->method);
    free(tls->leaving.bytes);
    free(tls->next.bytes);
    free(tls->failure.host);
    free(tls);
}

enum tls_state tls_state(const struct tls *tls)
{
    return tls->state;
}

const char *tls_error(const struct tls *tls)
{
    return tls->failure.text.bytes;
}

static int fail(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return HERMES_OK;
    case SSL_ERROR_ZERO_RETURN:
        tls->state = TLS_ENDED;
        return error_say(&tls->failure.text, HERMES_ECLOSED, "the other end said goodbye");
    default:
        tls->state = TLS_FAILED;
        return tls_failure_tell(&tls->failure, tls->ssl);
    }
}

void tls_feed(struct tls *tls, const void *bytes, size_t count)
{
    tls->fed = bytes;
    tls->fed_count = count;
}

int64_t tls_read(struct tls *tls, void *bytes, size_t size)
{
    size_t done = 0, count = 0;
    if (tls->state == TLS_FAILED)
        return tls->failure.code;
    ERR_clear_error();
    while (done < size) {
        int result = SSL_read_ex(tls->ssl, (uint8_t *)bytes + done, size - done, &count);
        if (result != 1) {
            int rc = fail(tls, result);
            if (rc < 0 && done == 0)
                return rc;
            break;
        }
        done += count;
    }
    if (tls->state == TLS_SHAKES && SSL_is_init_finished(tls->ssl))
        tls->state = TLS_TALKS;
    return (int64_t)done;
}

int tls_write(struct tls *tls, const void *bytes, size_t count)
{
    size_t done;
    if (tls->state == TLS_FAILED || count == 0)
        return count == 0 ? HERMES_OK : HERMES_EPROTOCOL;
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, bytes, count, &done);
    if (result == 1)
        return HERMES_OK;
    int rc = fail(tls, result);
    return rc < 0 ? rc : HERMES_EPROTOCOL; /* hands are not shaken yet */
}

/* What becomes the next record, as far as it is gathered from several parts. */
struct gathering {
    struct tls *tls;
    size_t count;
    uint8_t bytes[TLS_RECORD_BYTES];
};

static int write_gathered(struct gathering *gathering)
{
    size_t count = gathering->count;
    gathering->count = 0;
    return tls_write(gathering->tls, gathering->bytes, count);
}

/* What is a record by itself is not copied; is_last: nor what nothing follows. */
static int write_part(struct gathering *gathering, const uint8_t *from, size_t left, bool is_last)
{
    int rc = HERMES_OK;
    while (left > 0 && rc == 0) {
        size_t room = TLS_RECORD_BYTES - gathering->count, count = left < room ? left : room;
        if (gathering->count == 0 && (is_last || left >= TLS_RECORD_BYTES)) {
            count = is_last ? left : left - left % TLS_RECORD_BYTES;
            rc = tls_write(gathering->tls, from, count);
        } else {
            memcpy(gathering->bytes + gathering->count, from, count);
            gathering->count += count;
            if (gathering->count == TLS_RECORD_BYTES)
                rc = write_gathered(gathering);
        }
        from += count;
        left -= count;
    }
    return rc;
}

int64_t tls_write_parts(struct tls *tls, const struct iovec *parts, size_t count, size_t most)
{
    struct gathering gathering;
    size_t said = 0;
    int rc = HERMES_OK;
    gathering.tls = tls;
    gathering.count = 0;
    for (size_t i = 0; i < count && said < most && rc == 0; i++) {
        size_t room = most - said, bytes = parts[i].iov_len < room ? parts[i].iov_len : room;
        said += bytes;
        rc = write_part(&gathering, parts[i].iov_base, bytes, i + 1 == count || said == most);
    }
    if (rc == 0)
        rc = write_gathered(&gathering);
    return rc < 0 ? rc : (int64_t)said;
}

void tls_end(struct tls *tls)
{
    if (tls->state == TLS_TALKS || tls->state == TLS_ENDED) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
    }
}

size_t tls_outgoing(struct tls *tls, const void **bytes)
{
    struct outgoing *leaving = &tls->leaving;
    if (leaving->sent == leaving->count) {
        free(leaving->bytes);
        *leaving = tls->next;
        tls->next = (struct outgoing){0};
    }
    *bytes = leaving->bytes == NULL ? NULL : leaving->bytes + leaving->sent;
    return leaving->count - leaving->sent;
}

void tls_sent(struct tls *tls, size_t count)
{
    tls->leaving.sent += count;
}

bool tls_has_outgoing(const struct tls *tls)
{
    return tls->leaving.sent < tls->leaving.count || tls->next.count > 0;
}

/* ---- who is there ---- */

bool tls_peer_name(const struct tls *tls, char name[TLS_NAME_BYTES])
{
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (certificate == NULL || SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return false;
    return tls_names_subject(certificate, name);
}

int64_t tls_peer_ends_s(const struct tls *tls)
{
    struct tm when;
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    return certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) == 1
               ? (int64_t)timegm(&when)
               : 0;
}

bool tls_is_still_trusted(const struct tls *tls, const struct tls_context *context)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    X509_STORE_CTX *check = certificate == NULL ? NULL : X509_STORE_CTX_new();
    if (check == NULL)
        return certificate == NULL;
    bool trusted = X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context->ssl), certificate,
                                       SSL_get_peer_cert_chain(tls->ssl)) == 1 &&
                   X509_STORE_CTX_set_default(check, "ssl_client") == 1 && X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return trusted;
}

int tls_export(const struct tls *tls, const char *label, const void *context, size_t context_bytes,
               void *secret, size_t secret_bytes)
{
    if (tls->state != TLS_TALKS)
        return HERMES_EPROTOCOL;
    bool made = SSL_export_keying_material(tls->ssl, secret, secret_bytes, label, strlen(label), context,
                                           context_bytes, 1) == 1;
    ERR_clear_error();
    return made ? HERMES_OK : HERMES_ENOMEM;
}
