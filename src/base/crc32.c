#include "base/crc32.h"

#include <string.h>
#include <zlib.h>

static uint32_t portable_update(uint32_t crc, const void *data, size_t length)
{
    return (uint32_t)crc32_z(crc, data, length);
}

static uint32_t portable_message(const void *payload, uint32_t length, uint64_t word, uint64_t sequence,
                                 uint64_t timestamp)
{
    const uint64_t header[] = {word, sequence, timestamp, length};
    return portable_update(portable_update(0, payload, length), header, 28);
}

static uint32_t portable_header_delta(uint64_t sequence, uint64_t timestamp)
{
    static const uint8_t zeros[28];
    uint8_t difference[28] = {0};
    memcpy(difference + 8, &sequence, 8);
    memcpy(difference + 16, &timestamp, 8);
    return portable_update(0, difference, 28) ^ portable_update(0, zeros, 28);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* A function that may use carry-less multiplication, and its helpers, inlined into it. */
#define CLMUL __attribute__((target("pclmul,sse4.1,ssse3")))
#define CLMUL_INLINE CLMUL static inline __attribute__((always_inline))

/*
 * A register holds 16 message bytes as a polynomial over GF(2), bit-reflected: byte 0 has the
 * highest powers. Advancing it past n more bits multiplies it by x^n; modulo P, its low quadword
 * times (x^(n+32) mod P) plus its high quadword times (x^(n-32) mod P) does that. The constants are
 * bit-reflected and shifted left by one, as the product of reflected factors demands.
 */
CLMUL_INLINE __m128i advance(__m128i state, uint64_t high_power, uint64_t low_power)
{
    const __m128i constants = _mm_set_epi64x((long long)low_power, (long long)high_power);
    return _mm_xor_si128(_mm_clmulepi64_si128(state, constants, 0x00),
                         _mm_clmulepi64_si128(state, constants, 0x11));
}

CLMUL_INLINE __m128i advance_128(__m128i state)
{
    return advance(state, 0x1751997d0, 0x0ccaa009e); /* x^160, x^96 */
}

CLMUL_INLINE __m128i advance_224(__m128i state)
{
    return advance(state, 0x1dac4fb5c, 0x065673b46); /* x^256, x^192: past the 28 header bytes */
}

CLMUL_INLINE __m128i advance_512(__m128i state)
{
    return advance(state, 0x154442bd4, 0x1c6e41596); /* x^544, x^480 */
}

/* 128 bits to 32: two folds, then Barrett's reduction. Returns the raw register, not inverted. */
CLMUL_INLINE uint32_t reduce(__m128i state)
{
    const __m128i fold_96 = _mm_set_epi64x(0, 0x0ccaa009e);
    const __m128i fold_64 = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i low_32 = _mm_set_epi32(0, -1, 0, -1);

    __m128i t = _mm_clmulepi64_si128(state, fold_96, 0x00);
    state = _mm_xor_si128(_mm_srli_si128(state, 8), t);
    t = _mm_srli_si128(state, 4);
    state = _mm_and_si128(state, low_32);
    state = _mm_xor_si128(_mm_clmulepi64_si128(state, fold_64, 0x00), t);
    t = _mm_and_si128(state, low_32);
    t = _mm_clmulepi64_si128(t, barrett, 0x10);
    t = _mm_and_si128(t, low_32);
    t = _mm_clmulepi64_si128(t, barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(state, t), 1);
}

CLMUL_INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/*
 * Fewer than 16 bytes. The four bytes 62 F5 26 92 take a register from 0 to all ones, so a message
 * that begins with the usual initial value is the same message behind them, begun with 0; and
 * leading zeros change nothing in a register of 0. So: right-align the two in 32 bytes and fold.
 */
CLMUL_INLINE __m128i fold_short(const uint8_t *p, size_t length, uint32_t crc)
{
    uint8_t block[32] = {0};
    if (crc == 0) {
        static const uint8_t ones[4] = {0x62, 0xF5, 0x26, 0x92};
        memcpy(block + 28 - length, ones, 4);
    }
    uint8_t *to = block + 32 - length;
    if (length >= 8) {
        memcpy(to, p, 8);
        memcpy(to + length - 8, p + length - 8, 8);
    } else if (length >= 4) {
        memcpy(to, p, 4);
        memcpy(to + length - 4, p + length - 4, 4);
    } else {
        for (size_t i = 0; i < length; i++)
            to[i] = p[i];
    }
    return _mm_xor_si128(advance_128(load(block)), load(block + 16));
}

/* At least 16 bytes; the raw register goes in by being added to the first four. */
CLMUL_INLINE __m128i fold_long(const uint8_t *p, size_t length, uint32_t register_value)
{
    __m128i state = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)register_value));
    p += 16;
    length -= 16;
    if (length >= 112) {
        /* Four independent chains hide the latency of the multiplier. */
        __m128i s1 = load(p), s2 = load(p + 16), s3 = load(p + 32);
        p += 48;
        length -= 48;
        while (length >= 64) {
            state = _mm_xor_si128(advance_512(state), load(p));
            s1 = _mm_xor_si128(advance_512(s1), load(p + 16));
            s2 = _mm_xor_si128(advance_512(s2), load(p + 32));
            s3 = _mm_xor_si128(advance_512(s3), load(p + 48));
            p += 64;
            length -= 64;
        }
        s1 = _mm_xor_si128(advance_128(state), s1);
        s2 = _mm_xor_si128(advance_128(s1), s2);
        state = _mm_xor_si128(advance_128(s2), s3);
    }
    while (length >= 16) {
        state = _mm_xor_si128(advance_128(state), load(p));
        p += 16;
        length -= 16;
    }
    if (length > 0) {
        /* The last 16 + length bytes of the stream, regrouped: length bytes with zeros before them,
         * then 16. The tables slide by length. */
        static const uint8_t slide[48] = {
            0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
            0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
            0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
        __m128i up = load(slide + length);        /* 16 - length zeros, then the first bytes */
        __m128i down = load(slide + 16 + length); /* the rest, then length zeros */
        __m128i last = load(p + length - 16);     /* the last 16 bytes of the message */
        __m128i head = _mm_shuffle_epi8(state, up);
        __m128i tail = _mm_blendv_epi8(_mm_shuffle_epi8(state, down), last, down);
        state = _mm_xor_si128(advance_128(head), tail);
    }
    return state;
}

CLMUL static uint32_t clmul_update(uint32_t crc, const void *data, size_t length)
{
    if (length < 16) {
        if (crc != 0 || length == 0)
            return portable_update(crc, data, length);
        return ~reduce(fold_short(data, length, crc));
    }
    return ~reduce(fold_long(data, length, ~crc));
}

/* The 28 header bytes behind four zeros: two registers that a zero state may fold. */
CLMUL_INLINE __m128i fold_header(uint64_t word, uint64_t sequence, uint64_t timestamp, uint32_t length)
{
    __m128i front = _mm_set_epi64x((long long)sequence, (long long)word);
    __m128i back = _mm_set_epi64x((long long)length, (long long)timestamp);
    __m128i first = _mm_slli_si128(front, 4), last = _mm_alignr_epi8(back, front, 12);
    return _mm_xor_si128(advance_128(first), last);
}

CLMUL static uint32_t clmul_message(const void *payload, uint32_t length, uint64_t word, uint64_t sequence,
                                    uint64_t timestamp)
{
    __m128i state = length < 16 ? fold_short(payload, length, 0) : fold_long(payload, length, ~0U);
    return ~reduce(_mm_xor_si128(advance_224(state), fold_header(word, sequence, timestamp, length)));
}

CLMUL static uint32_t clmul_header_delta(uint64_t sequence, uint64_t timestamp)
{
    return reduce(fold_header(0, sequence, timestamp, 0));
}
#endif

static uint32_t (*update)(uint32_t, const void *, size_t) = portable_update;
static uint32_t (*message)(const void *, uint32_t, uint64_t, uint64_t, uint64_t) = portable_message;
static uint32_t (*header_delta)(uint64_t, uint64_t) = portable_header_delta;

/* Runs before main, so that the pointers never change while anybody uses them. */
__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
        update = clmul_update;
        message = clmul_message;
        header_delta = clmul_header_delta;
    }
#endif
}

uint32_t crc32_update(uint32_t crc, const void *data, size_t length)
{
    return update(crc, data, length);
}

uint32_t crc32_message(const void *payload, uint32_t length, uint64_t word, uint64_t sequence,
                       uint64_t timestamp)
{
    return message(payload, length, word, sequence, timestamp);
}

uint32_t crc32_header_delta(uint64_t sequence, uint64_t timestamp)
{
    return header_delta(sequence, timestamp);
}
