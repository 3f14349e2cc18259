#include "client/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/abi.h"
#include "io/encrypted.h"

/* ---- what was asked for ---- */

/* An option that was not set is the environment's; an empty one is none. */
static const char *choose(const char *option, const char *variable)
{
    const char *chosen = option != NULL ? option : getenv(variable);
    return chosen != NULL && chosen[0] != 0 ? chosen : NULL;
}

/* false: no memory. */
static bool keep(char **to, const char *from)
{
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL;
}

/* Whoever names one of the two in the program means it, whatever the environment has. */
static bool keep_token(struct identity *identity, const hermes_connect_options_t *options)
{
    const char *no_file = options->token != NULL ? "" : NULL,
               *no_token = options->token_file != NULL ? "" : NULL;
    const char *file =
        choose(options->token_file != NULL ? options->token_file : no_file, "HERMES_TOKEN_FILE");
    const char *token = choose(options->token != NULL ? options->token : no_token, "HERMES_TOKEN");
    return keep(&identity->token_file, file) && keep(&identity->token, token);
}

static bool keep_all(struct identity *identity, const hermes_connect_options_t *options)
{
    return keep(&identity->authority, choose(options->tls_ca, "HERMES_TLS_CA")) &&
           keep(&identity->certificate, choose(options->tls_cert, "HERMES_TLS_CERT")) &&
           keep(&identity->key, choose(options->tls_key, "HERMES_TLS_KEY")) &&
           keep(&identity->server_name, choose(options->tls_server_name, "HERMES_TLS_SERVER_NAME")) &&
           keep_token(identity, options);
}

static int check(const struct identity *identity, struct error_text *text)
{
    if (identity->key != NULL && identity->certificate == NULL)
        return error_say(text, HERMES_EINVALID,
                         "a key without its certificate: name both (HERMES_TLS_CERT, HERMES_TLS_KEY)");
    if (identity->token != NULL && identity->token_file != NULL)
        return error_say(
            text, HERMES_EINVALID,
            "a token and a token's file: one of them is enough (HERMES_TOKEN, HERMES_TOKEN_FILE)");
    struct wire_authenticate proof;
    int rc = identity_has_token(identity) ? identity_read_token(identity, &proof, text) : HERMES_OK;
    explicit_bzero(&proof, sizeof proof);
    return rc;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x9E3779B97F4A7C15u + 1;
}

/* Another number once one of the files is another, or was written to. */
static uint64_t version_of_files(const struct identity *identity)
{
    const char *const files[] = {identity->authority, identity->certificate, identity->key};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct stat status = {.st_size = 0};
        if (files[i] != NULL)
            (void)stat(files[i], &status);
        sum = mix(sum, (uint64_t)status.st_ino);
        sum = mix(sum, (uint64_t)status.st_size);
        sum = mix(sum, (uint64_t)status.st_mtim.tv_sec);
        sum = mix(sum, (uint64_t)status.st_mtim.tv_nsec);
    }
    return sum;
}

static int open_tls(struct identity *identity, struct error_text *text)
{
    identity->files =
        version_of_files(identity); /* before they are read: what changes meanwhile is seen later */
    const struct tls_files files = {
        .certificate = identity->certificate,
        .key = identity->key != NULL ? identity->key : identity->certificate, /* one file may have both */
        .authority = identity->authority,
    };
    return tls_visit(&files, &identity->tls, text);
}

int identity_take(struct identity *identity, const hermes_connect_options_t *given, bool encrypts,
                  struct error_text *text)
{
    hermes_connect_options_t options = {.size = sizeof options};
    *identity = (struct identity){.tls = NULL};
    int rc = given == NULL ? HERMES_OK : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(text, rc, "options of a connection");
    rc = keep_all(identity, &options) ? check(identity, text) : error_set(text, HERMES_ENOMEM, "options");
    if (rc == 0 && encrypts)
        rc = open_tls(identity, text);
    if (rc < 0)
        identity_drop(identity);
    return rc;
}

void identity_drop(struct identity *identity)
{
    if (identity->token != NULL)
        explicit_bzero(identity->token, strlen(identity->token));
    char *const all[] = {identity->authority,   identity->certificate, identity->key,
                         identity->server_name, identity->token_file,  identity->token};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    tls_context_free(identity->tls);
    *identity = (struct identity){.tls = NULL};
}

/* ---- the token ---- */

/* Its first line, without what ends it. How long it is; or an error. */
static ssize_t read_line(const char *path, char *bytes, size_t size, struct error_text *text)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count;
    if (fd < 0)
        return error_set_errno(text, "read the token in", path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) /* a pipe has it once, and might make us wait */
        count = error_say(text, HERMES_EINVALID, "the token in %s: it is no file", path);
    else if ((status.st_mode & 0007) != 0)
        count =
            error_say(text, HERMES_EACCESS, "the token in %s is open to everybody: chmod 600 %s", path, path);
    else if ((count = read(fd, bytes, size - 1)) < 0)
        count = error_set_errno(text, "read the token in", path);
    close(fd);
    if (count < 0)
        return count;
    bytes[count] = 0;
    return (ssize_t)strcspn(bytes, "\r\n");
}

static bool is_token(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return false;
    return count > 0 && count < sizeof((struct wire_authenticate *)0)->token;
}

int identity_read_token(const struct identity *identity, struct wire_authenticate *proof,
                        struct error_text *text)
{
    char line[128];
    const char *bytes = identity->token;
    ssize_t count = bytes != NULL ? (ssize_t)strlen(bytes) : 0;
    memset(proof, 0, sizeof *proof);
    if (bytes == NULL) {
        bytes = line;
        count = read_line(identity->token_file, line, sizeof line, text);
    }
    int rc = count < 0 ? (int)count : HERMES_OK;
    if (rc == 0 && is_token(bytes, (size_t)count))
        memcpy(proof->token, bytes, (size_t)count);
    else if (rc == 0) /* which it may be all the same: it is not shown */
        rc = error_say(text, HERMES_EINVALID, "%s is no token: 'hermes auth token create' makes one",
                       identity->token != NULL ? "what was given as a token" : identity->token_file);
    explicit_bzero(line, sizeof line);
    return rc;
}

/* ---- TLS ---- */

void identity_refresh(struct identity *identity)
{
    struct error_text ignored;
    struct tls_context *former = identity->tls;
    uint64_t files = identity->files;
    if (former == NULL || version_of_files(identity) == files)
        return;
    if (open_tls(identity, &ignored) == 0)
        tls_context_free(former);
    else
        identity->files = files; /* for want of a descriptor, perhaps: the next connection tries again */
}

struct carrier *identity_encrypt(const struct identity *identity, const struct place *place, int fd)
{
    char host[TCP_URL_BYTES];
    tcp_host(place->url, host);
    return encrypted_new(fd, identity->tls, identity->server_name != NULL ? identity->server_name : host,
                         place->url);
}
