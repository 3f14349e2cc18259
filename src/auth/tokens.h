/*
 * Tokens: who is let in by a secret. What is kept is its SHA-256 alone. The secret is 256 random bits, so a
 * hash that anybody can compute is enough: there is nothing to guess, and nothing to salt.
 *
 * The file, a token in each line: its name, the hash, when it was made and when it ends (seconds since 1970,
 * 0: never). It is replaced as a whole, so who reads sees the one or the other.
 *
 * Threads: what was read changes no more, and any may look.
 */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { TOKENS_MAX = 1024, TOKEN_NAME_BYTES = 64, TOKEN_HASH_BYTES = 32, TOKEN_SECRET_BYTES = 64 };

struct token {
    char name[TOKEN_NAME_BYTES]; /* letters, digits, . _ - */
    uint8_t hash[TOKEN_HASH_BYTES];
    int64_t made_s, ends_s; /* since 1970; ends 0: never */
};

struct tokens {
    struct token *all;
    unsigned count;
};

/* HERMES_ENOTFOUND: there is no such file; HERMES_EINVALID: it is no file of tokens, and text says where. On
 * success tokens are the caller's, to free. */
int tokens_read(struct tokens *tokens, const char *path, struct error_text *text);
void tokens_free(struct tokens *tokens);

/* Whose secret it is, in a time that does not depend on how much of it is right; NULL: nobody's. */
const struct token *tokens_find(const struct tokens *tokens, const char secret[TOKEN_SECRET_BYTES]);
const struct token *tokens_named(const struct tokens *tokens, const char *name);

static inline bool token_is_over(const struct token *token, int64_t now_s)
{
    return token->ends_s != 0 && token->ends_s <= now_s;
}

/* Makes one, adds it to the file, which is made if it is not there, and shows the secret, once. Anyone else
 * who changes the file waits. HERMES_ENAME, HERMES_EEXISTS, HERMES_ELIMIT. */
int tokens_create(const char *path, const char *name, int64_t ends_s, char secret[TOKEN_SECRET_BYTES],
                  struct error_text *text);

/* HERMES_ENOTFOUND: there is no token of that name. */
int tokens_revoke(const char *path, const char *name, struct error_text *text);

#endif
