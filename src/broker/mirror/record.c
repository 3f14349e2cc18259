#include "broker/mirror/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/path.h"
#include "base/standard.h"

enum { VERSION = 1, CRC_COVERS = 60 };

struct stored {
    uint8_t magic[4];
    uint16_t version;
    uint16_t reserved;
    uint64_t topic_id;
    uint32_t epoch;
    uint8_t zeros[40];
    uint32_t crc;
} __attribute__((packed));

_Static_assert(sizeof(struct stored) == 64, "64 bytes");

static const uint8_t magic[4] = {'H', 'M', 'I', 'R'};

static bool is_good(const struct stored *stored)
{
    return memcmp(stored->magic, magic, sizeof magic) == 0 && stored->version == VERSION &&
           stored->crc == crc32_update(0, stored, CRC_COVERS);
}

int mirror_record_open(const char *path, int *fd, struct mirror_record *record, struct error_text *text)
{
    struct stored stored;
    *record = (struct mirror_record){0};
    *fd = standard_move_above(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (*fd < 0)
        return error_set_errno(text, "open", path);
    ssize_t got = pread(*fd, &stored, sizeof stored, 0);
    int rc = HERMES_OK;
    if (got == 0)
        rc = path_sync_parent(path, text);
    else if (got != (ssize_t)sizeof stored || !is_good(&stored))
        rc = error_set(text, HERMES_EMALFORMED, "%s", path);
    else
        *record = (struct mirror_record){stored.topic_id, stored.epoch};
    if (rc < 0)
        close(*fd);
    return rc;
}

int mirror_record_write(int fd, const struct mirror_record *record, bool safe, struct error_text *text)
{
    struct stored stored = {.version = VERSION, .topic_id = record->topic_id, .epoch = record->epoch};
    memcpy(stored.magic, magic, sizeof magic);
    stored.crc = crc32_update(0, &stored, CRC_COVERS);
    errno = EIO; /* for a write that is short */
    if (pwrite(fd, &stored, sizeof stored, 0) != (ssize_t)sizeof stored || (safe && fdatasync(fd) != 0))
        return error_set_errno(text, "write", "mirror.epoch");
    return HERMES_OK;
}
