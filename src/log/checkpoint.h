/*
 * The checkpoint: what fdatasync has confirmed, so that recovery need not walk what is known to be
 * good. Two 64-byte slots written in turn; the newer of those whose CRC is right counts, so a torn
 * write costs one step back and never the file.
 */
#ifndef LOG_CHECKPOINT_H
#define LOG_CHECKPOINT_H

#include <stdint.h>

#include "hermes/error.h"

struct checkpoint {
    uint64_t generation; /* grows by one with each write */
    uint64_t position;
    uint64_t sequence; /* of the next DATA */
    uint64_t time;     /* nanoseconds since the epoch */
    uint32_t epoch;    /* the highest ever used */
    uint64_t floor;    /* every message below it was purged; 0: none ever was */
};

enum { CHECKPOINT_SLOT_BYTES = 64 };

void checkpoint_encode(const struct checkpoint *checkpoint, uint8_t slot[CHECKPOINT_SLOT_BYTES]);
int checkpoint_decode(const uint8_t slot[CHECKPOINT_SLOT_BYTES], struct checkpoint *checkpoint);

/* HERMES_ENOTFOUND: no slot is valid. */
int checkpoint_read(int fd, struct checkpoint *checkpoint);

/* Raises the generation and writes the slot that is not the newest. Does not sync. An error (HERMES_EFULL,
 * HERMES_EIO): the newest is as it was, and this may be tried again. */
int checkpoint_write(int fd, struct checkpoint *checkpoint);

#endif
