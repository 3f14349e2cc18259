#include "log/epochs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32.h"
#include "base/standard.h"

struct slot {
    uint8_t magic[4];
    uint16_t version, reserved;
    uint32_t epoch, end;
    uint64_t first_position, first_sequence, end_position, end_sequence;
    uint64_t written;
    uint32_t reserved2;
    uint32_t crc;
};

_Static_assert(sizeof(struct slot) == 64, "a record is 64 bytes");

static off_t place_of(uint32_t epoch)
{
    return (off_t)(epoch % EPOCHS_KEPT) * (off_t)sizeof(struct slot);
}

static bool is_whole(const struct slot *slot)
{
    return memcmp(slot->magic, "HEPO", 4) == 0 && slot->version == 1 && slot->epoch != 0 &&
           slot->crc == crc32_update(0, slot, 60);
}

/* The highest number in use. A record that a power cut tore counts as that of the next epoch, which it can
 * only be: it was being written. */
static int find_last(struct epochs *epochs, const char *path, struct error_text *text)
{
    enum { AT_ONCE = 64 };
    struct slot slots[AT_ONCE];
    bool torn[EPOCHS_KEPT] = {false};
    for (uint32_t i = 0; i < EPOCHS_KEPT; i += AT_ONCE) {
        ssize_t got = pread(epochs->fd, slots, sizeof slots, place_of(i));
        if (got < 0)
            return error_set_errno(text, "read", path);
        memset((uint8_t *)slots + got, 0, sizeof slots - (size_t)got);
        for (uint32_t k = 0; k < AT_ONCE; k++) {
            if (is_whole(&slots[k]) && slots[k].epoch % EPOCHS_KEPT == i + k)
                epochs->last = slots[k].epoch > epochs->last ? slots[k].epoch : epochs->last;
            else
                torn[i + k] = slots[k].epoch != 0 || memcmp(slots[k].magic, "HEPO", 4) == 0;
        }
    }
    while (torn[(epochs->last + 1) % EPOCHS_KEPT]) {
        epochs->last++;
        torn[epochs->last % EPOCHS_KEPT] = false;
    }
    return HERMES_OK;
}

int epochs_open(struct epochs *epochs, const char *path, bool durable, uint32_t after,
                struct error_text *text)
{
    *epochs = (struct epochs){.durable = durable, .last = after};
    epochs->fd = standard_move_above(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (epochs->fd < 0)
        return error_set_errno(text, "open", path);
    int error = posix_fallocate(epochs->fd, 0, EPOCHS_KEPT * (off_t)sizeof(struct slot));
    int rc = HERMES_OK;
    if (error != 0) {
        errno = error;
        rc = error_set_errno(text, "make room for", path);
    }
    if (rc == 0 && fsync(epochs->fd) != 0)
        rc = error_set_errno(text, "sync", path);
    if (rc == 0)
        rc = find_last(epochs, path, text);
    if (rc < 0)
        epochs_close(epochs);
    return rc;
}

int epochs_write(struct epochs *epochs, const struct epoch_record *record, struct error_text *text)
{
    struct slot slot = {
        .magic = {'H', 'E', 'P', 'O'},
        .version = 1,
        .epoch = record->epoch,
        .end = record->end,
        .first_position = record->first_position,
        .first_sequence = record->first_sequence,
        .end_position = record->end_position,
        .end_sequence = record->end_sequence,
        .written = clock_realtime_ns(),
    };
    slot.crc = crc32_update(0, &slot, 60);
    bool synced = epochs->durable || record->epoch % (EPOCHS_A_START / 2) == 1;
    errno = EIO; /* for a write that is short */
    if (pwrite(epochs->fd, &slot, sizeof slot, place_of(record->epoch)) != (ssize_t)sizeof slot ||
        (synced && fdatasync(epochs->fd) != 0))
        return error_set_errno(text, "write", "the record of an epoch");
    if (record->epoch > epochs->last)
        epochs->last = record->epoch;
    return HERMES_OK;
}

int epochs_find(const struct epochs *epochs, uint32_t epoch, struct epoch_record *record)
{
    struct slot slot;
    if (epoch == 0 || pread(epochs->fd, &slot, sizeof slot, place_of(epoch)) != (ssize_t)sizeof slot ||
        !is_whole(&slot) || slot.epoch != epoch)
        return HERMES_ENOTFOUND;
    *record = (struct epoch_record){slot.epoch,          slot.end,          slot.first_position,
                                    slot.first_sequence, slot.end_position, slot.end_sequence};
    return HERMES_OK;
}

int epochs_next_start(const struct epochs *epochs, uint32_t *epoch, struct error_text *text)
{
    uint64_t next = (uint64_t)epochs->last + 1;
    if (!epochs->durable && epochs->last != 0)
        next = (epochs->last / EPOCHS_A_START + 1ull) * EPOCHS_A_START + 1;
    *epoch = (uint32_t)next;
    return next < UINT32_MAX
               ? HERMES_OK
               : error_set(text, HERMES_ELIMIT, "no epoch is left: delete the topic and create it again");
}

void epochs_close(struct epochs *epochs)
{
    if (epochs->fd >= 0)
        close(epochs->fd);
    epochs->fd = -1;
}
