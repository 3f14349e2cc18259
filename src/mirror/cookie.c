#include "mirror/cookie.h"

#include <string.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(struct sip *s, int rounds)
{
    while (rounds-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

uint64_t cookie_siphash(const uint8_t key[COOKIE_KEY_BYTES], const void *bytes, size_t length)
{
    uint64_t k[2], word;
    memcpy(k, key, sizeof k);
    struct sip s = {k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du, k[0] ^ 0x6c7967656e657261u,
                    k[1] ^ 0x7465646279746573u};
    const uint8_t *at = bytes;
    for (size_t left = length; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sip_word(&s, word);
    }
    word = 0;
    memcpy(&word, at, length % sizeof word);
    sip_word(&s, word | (uint64_t)length << 56);
    s.v2 ^= 0xff;
    sip_rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static uint64_t cookie_of(const uint8_t key[COOKIE_KEY_BYTES], const struct mirror_address *address,
                          uint64_t nonce, uint64_t period)
{
    struct {
        struct mirror_address address;
        uint8_t zeros[4];
        uint64_t nonce, period;
    } all = {*address, {0}, nonce, period};
    _Static_assert(sizeof all == sizeof *address + 20, "no padding");
    uint64_t hash = cookie_siphash(key, &all, sizeof all);
    return hash == 0 ? 1 : hash;
}

uint64_t cookie_make(const uint8_t key[COOKIE_KEY_BYTES], const struct mirror_address *address,
                     uint64_t nonce, uint64_t now_ns)
{
    return cookie_of(key, address, nonce, now_ns / COOKIE_LASTS_NS);
}

bool cookie_is_good(const uint8_t key[COOKIE_KEY_BYTES], const struct mirror_address *address, uint64_t nonce,
                    uint64_t now_ns, uint64_t cookie)
{
    uint64_t period = now_ns / COOKIE_LASTS_NS;
    /* Both are computed, whatever the first says: how long it takes tells nothing. */
    uint64_t now = cookie_of(key, address, nonce, period) ^ cookie;
    uint64_t before = cookie_of(key, address, nonce, period == 0 ? 0 : period - 1) ^ cookie;
    return (now == 0) | (before == 0);
}
