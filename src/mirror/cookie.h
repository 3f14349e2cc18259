/*
 * Proof that somebody receives what is sent to its address, without a byte of memory for who has not shown
 * it: the address under a secret key, for a while.
 *
 * SipHash-2-4 (Aumasson, Bernstein, INDOCRYPT 2012): short, and made to be a message authentication code.
 */
#ifndef MIRROR_COOKIE_H
#define MIRROR_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/packet.h"

enum { COOKIE_KEY_BYTES = 16 };

#define COOKIE_LASTS_NS 8000000000u /* and up to twice that */

uint64_t cookie_siphash(const uint8_t key[COOKIE_KEY_BYTES], const void *bytes, size_t length);

/* Never 0. */
uint64_t cookie_make(const uint8_t key[COOKIE_KEY_BYTES], const struct mirror_address *address,
                     uint64_t nonce, uint64_t now_ns);

bool cookie_is_good(const uint8_t key[COOKIE_KEY_BYTES], const struct mirror_address *address, uint64_t nonce,
                    uint64_t now_ns, uint64_t cookie);

#endif
