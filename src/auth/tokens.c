#include "auth/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"

enum { LINE_BYTES = 256, RANDOM_BYTES = 32 };

/* Whoever finds one knows what it is, and so do scanners of what was published by mistake. */
static const char prefix[] = "hms_";

/* ---- looking ---- */

static void hash_secret(const char *secret, uint8_t hash[TOKEN_HASH_BYTES])
{
    SHA256((const unsigned char *)secret, strnlen(secret, TOKEN_SECRET_BYTES), hash);
}

const struct token *tokens_find(const struct tokens *tokens, const char secret[TOKEN_SECRET_BYTES])
{
    const struct token *found = NULL;
    uint8_t hash[TOKEN_HASH_BYTES];
    hash_secret(secret, hash);
    for (unsigned i = 0; i < tokens->count; i++) /* all of them, whatever is found */
        if (CRYPTO_memcmp(tokens->all[i].hash, hash, sizeof hash) == 0)
            found = &tokens->all[i];
    return found;
}

const struct token *tokens_named(const struct tokens *tokens, const char *name)
{
    for (unsigned i = 0; i < tokens->count; i++)
        if (strcmp(tokens->all[i].name, name) == 0)
            return &tokens->all[i];
    return NULL;
}

/* ---- the file ---- */

static bool is_name(const char *name)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    return length > 0 && length < TOKEN_NAME_BYTES && strspn(name, legal) == length && name[0] != '-';
}

static bool parse_hash(const char *digits, uint8_t hash[TOKEN_HASH_BYTES])
{
    for (int i = 0; i < TOKEN_HASH_BYTES; i++) {
        unsigned byte;
        if (sscanf(digits + 2 * i, "%2x", &byte) != 1)
            return false;
        hash[i] = (uint8_t)byte;
    }
    return true;
}

/* What can be shown as one. */
static bool is_date(int64_t seconds)
{
    static const int64_t last_of_9999 = 253402300799;
    return seconds >= 0 && seconds <= last_of_9999;
}

static bool parse_line(const char *line, struct token *token)
{
    char digits[2 * TOKEN_HASH_BYTES + 1];
    *token = (struct token){.made_s = 0};
    return sscanf(line, "%63s %64[0-9a-f] %" SCNd64 " %" SCNd64, token->name, digits, &token->made_s,
                  &token->ends_s) == 4 &&
           strlen(digits) == 2 * TOKEN_HASH_BYTES && is_name(token->name) && is_date(token->made_s) &&
           is_date(token->ends_s) && parse_hash(digits, token->hash);
}

static int read_lines(struct tokens *tokens, FILE *file, const char *path, struct error_text *text)
{
    char line[LINE_BYTES];
    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (strchr(line, '\n') == NULL && !feof(file))
            return error_say(text, HERMES_EINVALID, "%s: line %u is too long", path, number);
        if (line[0] == '#' || line[strspn(line, " \t\r\n")] == 0)
            continue;
        if (tokens->count == TOKENS_MAX)
            return error_say(text, HERMES_ELIMIT, "%s: there may be %d tokens", path, TOKENS_MAX);
        if (!parse_line(line, &tokens->all[tokens->count]))
            return error_say(text, HERMES_EINVALID, "%s: line %u is no token", path, number);
        tokens->count++;
    }
    return ferror(file) ? error_set_errno(text, "read", path) : HERMES_OK;
}

int tokens_read(struct tokens *tokens, const char *path, struct error_text *text)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(text, "read the tokens in", path);
    *tokens = (struct tokens){.all = calloc(TOKENS_MAX, sizeof *tokens->all)};
    int rc =
        tokens->all == NULL ? error_set(text, HERMES_ENOMEM, "tokens") : read_lines(tokens, file, path, text);
    (void)fclose(file);
    if (rc < 0)
        tokens_free(tokens);
    return rc;
}

void tokens_free(struct tokens *tokens)
{
    free(tokens->all);
    *tokens = (struct tokens){0};
}

static void print(FILE *file, const struct token *token)
{
    fprintf(file, "%s ", token->name);
    for (int i = 0; i < TOKEN_HASH_BYTES; i++)
        fprintf(file, "%02x", token->hash[i]);
    fprintf(file, " %" PRId64 " %" PRId64 "\n", token->made_s, token->ends_s);
}

static int write_all(const struct tokens *tokens, const char *temporary, struct error_text *text)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        if (fd >= 0)
            close(fd);
        return error_set_errno(text, "write", temporary);
    }
    fputs("# Tokens of Hermes: hermes auth token create, list, revoke. name, SHA-256, made, ends\n", file);
    for (unsigned i = 0; i < tokens->count; i++)
        print(file, &tokens->all[i]);
    bool safe = fflush(file) == 0 && fsync(fd) == 0;
    int rc = safe ? HERMES_OK : error_set_errno(text, "write", temporary);
    if (fclose(file) != 0 && rc == 0)
        rc = error_set_errno(text, "write", temporary);
    return rc;
}

static int replace(const struct tokens *tokens, const char *path, struct error_text *text)
{
    char temporary[PATH_BYTES];
    snprintf(temporary, sizeof temporary, "%.4000s.new", path);
    int rc = write_all(tokens, temporary, text);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = error_set_errno(text, "replace", path);
    if (rc < 0) {
        (void)unlink(temporary);
        return rc;
    }
    return path_sync_parent(path, text);
}

/* ---- changing it ---- */

/* Beside the file, which is another each time. *fd: to be closed. */
static int lock(const char *path, int *fd, struct error_text *text)
{
    char name[PATH_BYTES];
    snprintf(name, sizeof name, "%.4000s.lock", path);
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_set_errno(text, "open", name);
    if (flock(*fd, LOCK_EX) == 0)
        return HERMES_OK;
    int rc = error_set_errno(text, "lock", name);
    close(*fd);
    return rc;
}

static void encode(const uint8_t bytes[RANDOM_BYTES], char secret[TOKEN_SECRET_BYTES])
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; /* RFC 4648, 5 */
    size_t used = (size_t)snprintf(secret, TOKEN_SECRET_BYTES, "%s", prefix);
    unsigned bits = 0, held = 0;
    for (int i = 0; i < RANDOM_BYTES; i++) {
        held = held << 8 | bytes[i];
        for (bits += 8; bits >= 6; bits -= 6)
            secret[used++] = digits[held >> (bits - 6) & 63];
    }
    secret[used++] = digits[held << (6 - bits) & 63];
    secret[used] = 0;
}

static int make(struct token *token, const char *name, int64_t ends_s, char secret[TOKEN_SECRET_BYTES],
                struct error_text *text)
{
    uint8_t bytes[RANDOM_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return error_say(text, HERMES_EIO, "no random numbers could be had");
    *token = (struct token){.made_s = (int64_t)time(NULL), .ends_s = ends_s};
    snprintf(token->name, sizeof token->name, "%s", name);
    encode(bytes, secret);
    hash_secret(secret, token->hash);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return HERMES_OK;
}

/* Those that there are; none, where there is no file. */
static int read_or_begin(struct tokens *tokens, const char *path, struct error_text *text)
{
    int rc = tokens_read(tokens, path, text);
    if (rc != HERMES_ENOTFOUND)
        return rc;
    *tokens = (struct tokens){.all = calloc(TOKENS_MAX, sizeof *tokens->all)};
    return tokens->all == NULL ? error_set(text, HERMES_ENOMEM, "tokens") : HERMES_OK;
}

static int add(const char *path, const char *name, int64_t ends_s, char secret[TOKEN_SECRET_BYTES],
               struct error_text *text)
{
    struct tokens tokens;
    int rc = read_or_begin(&tokens, path, text);
    if (rc < 0)
        return rc;
    if (tokens_named(&tokens, name) != NULL)
        rc = error_say(text, HERMES_EEXISTS, "there is a token '%s': revoke it first, or take another name",
                       name);
    else if (tokens.count == TOKENS_MAX)
        rc = error_say(text, HERMES_ELIMIT, "there may be %d tokens", TOKENS_MAX);
    else
        rc = make(&tokens.all[tokens.count++], name, ends_s, secret, text);
    if (rc == 0)
        rc = replace(&tokens, path, text);
    tokens_free(&tokens);
    return rc;
}

int tokens_create(const char *path, const char *name, int64_t ends_s, char secret[TOKEN_SECRET_BYTES],
                  struct error_text *text)
{
    int fd;
    if (!is_name(name))
        return error_say(text, HERMES_ENAME, "'%.100s' is no token's name: 1 to %d of A-Z a-z 0-9 . _ -",
                         name, TOKEN_NAME_BYTES - 1);
    int rc = lock(path, &fd, text);
    if (rc < 0)
        return rc;
    rc = add(path, name, ends_s, secret, text);
    close(fd);
    return rc;
}

static int take_out(const char *path, const char *name, struct error_text *text)
{
    struct tokens tokens;
    int rc = tokens_read(&tokens, path, text);
    if (rc < 0)
        return rc;
    struct token *token = (struct token *)(uintptr_t)tokens_named(&tokens, name);
    if (token == NULL) {
        rc = error_say(text, HERMES_ENOTFOUND, "there is no token '%.100s'", name);
    } else {
        *token = tokens.all[--tokens.count];
        rc = replace(&tokens, path, text);
    }
    tokens_free(&tokens);
    return rc;
}

int tokens_revoke(const char *path, const char *name, struct error_text *text)
{
    int fd;
    int rc = lock(path, &fd, text);
    if (rc < 0)
        return rc;
    rc = take_out(path, name, text);
    close(fd);
    return rc;
}
