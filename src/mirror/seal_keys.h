/*
 * From one secret to the keys of everybody who speaks on a stream, by HKDF-Expand (RFC 5869) with SHA-256.
 *
 * Whoever is handed the secret is given a number beside it, once: the sender is member 0, receivers are 1, 2,
 * 3 … Each member seals under keys of its own, so numbers of datagrams may be the same with several. A key
 * lasts for 2^26 of its member's datagrams; which one it is follows from the datagram's number, so nobody has
 * to say that he goes on to the next. (RFC 9001, appendix B: at 2^28 datagrams of 2 KiB under one key who
 * listens has no better chance than 2^-57 to tell it from chance.)
 *
 * Secrets: 32 random bytes of the sender's, handed to each receiver that it trusts; or, between two, what TLS
 * exports at both ends of their control connection (RFC 8446, section 7.5). A secret is of one start of one
 * sender: whoever starts again with the old one uses nonces twice.
 */
#ifndef MIRROR_SEAL_KEYS_H
#define MIRROR_SEAL_KEYS_H

#include <stdint.h>

enum {
    SEAL_SECRET_BYTES = 32,
    SEAL_KEY_BYTES = 32,
    SEAL_NONCE_BYTES = 12,
    SEAL_SENDER = 0,       /* its number among the members */
    SEAL_KEY_NUMBERS = 26, /* a key lasts for two to the power of that */
    SEAL_EXPORT_BYTES = 16,
};

#define SEAL_EXPORT_LABEL "EXPORTER-hermes-mirror"

/* What a member is handed. */
struct seal_grant {
    uint8_t secret[SEAL_SECRET_BYTES];
    uint16_t id;     /* of the secret: 1, 2, 3 … of the sender's */
    uint16_t member; /* SEAL_SENDER; of a receiver: nobody else was ever given it with this secret */
};

struct seal_key {
    uint8_t key[SEAL_KEY_BYTES];
    uint8_t salt[SEAL_NONCE_BYTES];
};

/* Of the key of a datagram with that number. */
uint64_t seal_generation(uint64_t number);

/* The key of a member's datagrams of one generation. grant: whoever's, only the secret and its id count.
 * HERMES_EIO: the library would not. Costs some microseconds. */
int seal_derive(const struct seal_grant *grant, uint16_t member, uint64_t generation, struct seal_key *key);

void seal_nonce(const struct seal_key *key, uint64_t number, uint8_t nonce[SEAL_NONCE_BYTES]);

/* What TLS exports the secret for, at both ends: a topic's stream, and one start of its sender. */
void seal_export_context(uint64_t topic_id, uint64_t incarnation, uint8_t context[SEAL_EXPORT_BYTES]);

#endif
