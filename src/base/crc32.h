/*
 * CRC-32 (IEEE 802.3; polynomial 0x04C11DB7 reflected, as zlib's crc32).
 *
 * Short and long buffers alike are folded with carry-less multiplication where the CPU has it
 * (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel, 2009),
 * else zlib does the work. The header of a message is a special case worth having: it is always 28
 * bytes, its share of the CRC does not depend on the payload, and it comes in registers: a load that spans
 * stores which are still under way waits until all before them have left the core.
 */
#ifndef BASE_CRC32_H
#define BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* zlib's convention: start with 0, feed the result back in. Any length, any alignment. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t length);

/* CRC-32 of payload followed by the first 28 bytes of its header, which are word, sequence, time stamp and
 * the payload's length: one reduction instead of two. */
uint32_t crc32_message(const void *payload, uint32_t length, uint64_t word, uint64_t sequence,
                       uint64_t timestamp);

/*
 * L(d): what changing sequence and time stamp in the header that ends a message, by these exclusive
 * ors, does to its CRC, whatever stands before them. L is linear: L(a ^ b) = L(a) ^ L(b).
 */
uint32_t crc32_header_delta(uint64_t sequence, uint64_t timestamp);

#endif
