#include "mirror/seal_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

enum { HASH_BYTES = 32 };

static const char label[] = "hermes mirror 1"; /* without the zero */

/* What a key is for: the "info" of RFC 5869. */
struct info {
    char label[sizeof label - 1];
    uint8_t zero;
    uint16_t id, member;
    uint8_t padding[4];
    uint64_t generation;
};
_Static_assert(sizeof(struct info) == 32, "no bytes between");

/* T(1), then T(2) of RFC 5869, section 2.3: two are as much as a key needs. */
static bool expand(const uint8_t secret[SEAL_SECRET_BYTES], const struct info *info,
                   uint8_t out[2 * HASH_BYTES])
{
    uint8_t input[HASH_BYTES + sizeof *info + 1];
    unsigned count;
    memcpy(input + HASH_BYTES, info, sizeof *info);
    input[sizeof input - 1] = 1;
    if (HMAC(EVP_sha256(), secret, SEAL_SECRET_BYTES, input + HASH_BYTES, sizeof input - HASH_BYTES, out,
             &count) == NULL)
        return false;
    memcpy(input, out, HASH_BYTES);
    input[sizeof input - 1] = 2;
    bool made =
        HMAC(EVP_sha256(), secret, SEAL_SECRET_BYTES, input, sizeof input, out + HASH_BYTES, &count) != NULL;
    OPENSSL_cleanse(input, sizeof input);
    return made;
}

uint64_t seal_generation(uint64_t number)
{
    return number >> SEAL_KEY_NUMBERS;
}

int seal_derive(const struct seal_grant *grant, uint16_t member, uint64_t generation, struct seal_key *key)
{
    struct info info = {.id = grant->id, .member = member, .generation = generation};
    uint8_t out[2 * HASH_BYTES];
    memcpy(info.label, label, sizeof info.label);
    bool made = expand(grant->secret, &info, out);
    memcpy(key, out, sizeof *key);
    OPENSSL_cleanse(out, sizeof out);
    return made ? HERMES_OK : HERMES_EIO;
}

void seal_nonce(const struct seal_key *key, uint64_t number, uint8_t nonce[SEAL_NONCE_BYTES])
{
    uint64_t low;
    memcpy(nonce, key->salt, SEAL_NONCE_BYTES);
    memcpy(&low, nonce + SEAL_NONCE_BYTES - sizeof low, sizeof low);
    low ^= number;
    memcpy(nonce + SEAL_NONCE_BYTES - sizeof low, &low, sizeof low);
}

void seal_export_context(uint64_t topic_id, uint64_t incarnation, uint8_t context[SEAL_EXPORT_BYTES])
{
    memcpy(context, &topic_id, sizeof topic_id);
    memcpy(context + sizeof topic_id, &incarnation, sizeof incarnation);
}
