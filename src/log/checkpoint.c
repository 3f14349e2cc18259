#include "log/checkpoint.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/error.h"

struct slot {
    uint8_t magic[4]; /* "HCKP" */
    uint16_t version;
    uint16_t reserved;
    uint64_t generation;
    uint64_t position;
    uint64_t sequence;
    uint64_t time;
    uint32_t epoch;
    uint64_t floor;
    uint8_t reserved2[8];
    uint32_t crc; /* CRC-32 of bytes 0 to 59 */
} __attribute__((packed));

_Static_assert(sizeof(struct slot) == CHECKPOINT_SLOT_BYTES, "slot is 64 bytes");

void checkpoint_encode(const struct checkpoint *checkpoint, uint8_t bytes[CHECKPOINT_SLOT_BYTES])
{
    struct slot slot = {
        .magic = {'H', 'C', 'K', 'P'},
        .version = 1,
        .generation = checkpoint->generation,
        .position = checkpoint->position,
        .sequence = checkpoint->sequence,
        .time = checkpoint->time,
        .epoch = checkpoint->epoch,
        .floor = checkpoint->floor,
    };
    slot.crc = crc32_update(0, &slot, 60);
    memcpy(bytes, &slot, sizeof slot);
}

int checkpoint_decode(const uint8_t bytes[CHECKPOINT_SLOT_BYTES], struct checkpoint *checkpoint)
{
    struct slot slot;
    memcpy(&slot, bytes, sizeof slot);
    if (memcmp(slot.magic, "HCKP", 4) != 0)
        return HERMES_EMALFORMED;
    if (slot.version != 1)
        return HERMES_EVERSION;
    if (slot.crc != crc32_update(0, &slot, 60))
        return HERMES_ECHECKSUM;
    *checkpoint =
        (struct checkpoint){slot.generation, slot.position, slot.sequence, slot.time, slot.epoch, slot.floor};
    return HERMES_OK;
}

int checkpoint_read(int fd, struct checkpoint *checkpoint)
{
    int found = HERMES_ENOTFOUND;
    for (off_t i = 0; i < 2; i++) {
        uint8_t bytes[CHECKPOINT_SLOT_BYTES];
        struct checkpoint candidate;
        if (pread(fd, bytes, sizeof bytes, i * CHECKPOINT_SLOT_BYTES) != (ssize_t)sizeof bytes ||
            checkpoint_decode(bytes, &candidate) < 0)
            continue;
        if (found < 0 || candidate.generation > checkpoint->generation)
            *checkpoint = candidate;
        found = HERMES_OK;
    }
    return found;
}

int checkpoint_write(int fd, struct checkpoint *checkpoint)
{
    /* A write that failed may have torn its slot: the next attempt takes the same, never the good one. */
    struct checkpoint next = *checkpoint;
    next.generation++;
    uint8_t bytes[CHECKPOINT_SLOT_BYTES];
    checkpoint_encode(&next, bytes);
    off_t offset = (off_t)(next.generation & 1) * CHECKPOINT_SLOT_BYTES;
    errno = ENOSPC; /* for a write that is short */
    if (pwrite(fd, bytes, sizeof bytes, offset) != (ssize_t)sizeof bytes)
        return error_from_errno(errno);
    *checkpoint = next;
    return HERMES_OK;
}
