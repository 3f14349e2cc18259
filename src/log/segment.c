#include "log/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/guard.h"
#include "base/standard.h"
#include "hermes/message.h"

enum { CRC_COVERS = 60, PAD_BYTES = HERMES_PAYLOAD_MAX };

static const uint8_t segment_magic[4] = {'H', 'S', 'E', 'G'};

void segment_header_finish(struct segment_header *header)
{
    memcpy(header->magic, segment_magic, sizeof segment_magic);
    header->version = SEGMENT_VERSION;
    header->header_bytes = SEGMENT_HEADER_BYTES;
    memset(header->reserved, 0, sizeof header->reserved);
    header->crc = crc32_update(0, header, CRC_COVERS);
}

int segment_header_check(const struct segment_header *header)
{
    if (memcmp(header->magic, segment_magic, sizeof segment_magic) != 0)
        return HERMES_EMALFORMED;
    if (header->version != SEGMENT_VERSION)
        return HERMES_EVERSION;
    if (header->crc != crc32_update(0, header, CRC_COVERS))
        return HERMES_ECHECKSUM;
    if (header->header_bytes != SEGMENT_HEADER_BYTES || header->size == 0 || header->size % 4096 != 0 ||
        header->base % header->size != 0)
        return HERMES_EMALFORMED;
    return HERMES_OK;
}

void segment_name(uint64_t base, char name[SEGMENT_NAME_BYTES])
{
    snprintf(name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".log", base);
}

int segment_name_parse(const char *name, uint64_t *base)
{
    if (strlen(name) != 24 || strcmp(name + 20, ".log") != 0 || strspn(name, "0123456789") != 20)
        return HERMES_ENAME;
    errno = 0;
    *base = strtoull(name, NULL, 10);
    return errno == 0 ? HERMES_OK : HERMES_ENAME;
}

int segment_read_header(int fd, struct segment_header *header)
{
    ssize_t got = pread(fd, header, sizeof *header, 0);
    if (got < 0)
        return error_from_errno(errno);
    return got == (ssize_t)sizeof *header ? segment_header_check(header) : HERMES_EMALFORMED;
}

int segment_map(int fd, struct segment *segment, struct error_text *text)
{
    *segment = (struct segment){0};
    uint64_t size;
    int rc = map_file_size(fd, &size);
    if (rc < 0)
        return error_set(text, rc, "segment file cannot be used");
    rc = segment_read_header(fd, &segment->header);
    if (rc < 0)
        return error_set(text, rc, rc == HERMES_EMALFORMED ? "a segment with no header" : "segment header");
    if (size < SEGMENT_HEADER_BYTES + segment->header.size)
        return error_set(text, HERMES_EMALFORMED,
                         "segment %" PRIu64 " is cut short: %" PRIu64 " bytes of %" PRIu64,
                         segment->header.base, size, SEGMENT_HEADER_BYTES + segment->header.size);
    rc = map_fd(fd, SEGMENT_HEADER_BYTES + segment->header.size, MAP_READ, MAP_LAZY, &segment->map);
    if (rc < 0)
        return error_set(text, rc, "cannot map segment %" PRIu64, segment->header.base);
    (void)guard_add(segment->map.address, segment->map.size); /* somebody may cut the file short */
    segment->data = (const uint8_t *)segment->map.address + SEGMENT_HEADER_BYTES;
    return HERMES_OK;
}

void segment_release(struct segment *segment)
{
    guard_remove(segment->map.address);
    map_release(&segment->map);
    segment->data = NULL;
}

static void temporary_name(uint64_t base, char name[SEGMENT_NAME_BYTES])
{
    snprintf(name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".log.new", base);
}

int segment_prepare(int directory, uint64_t base, uint64_t size, int *fd, struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES];
    temporary_name(base, name);
    *fd = standard_move_above(
        openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (*fd < 0)
        return error_set_errno(text, "create segment", name);
    int number = posix_fallocate(*fd, 0, (off_t)(SEGMENT_HEADER_BYTES + size));
    if (number == 0)
        return HERMES_OK;
    errno = number;
    int rc = error_set_errno(text, "preallocate segment", name);
    close(*fd);
    *fd = -1;
    segment_discard(directory, base);
    return rc;
}

int segment_begin(int directory, const struct segment_header *header, int fd, bool safe,
                  struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES], temporary[SEGMENT_NAME_BYTES];
    segment_name(header->base, name);
    temporary_name(header->base, temporary);
    if (pwrite(fd, header, sizeof *header, 0) != (ssize_t)sizeof *header || (safe && fsync(fd) != 0) ||
        renameat(directory, temporary, directory, name) != 0 || (safe && fsync(directory) != 0))
        return error_set_errno(text, "write the header of segment", name);
    return HERMES_OK;
}

int segment_pad(int fd, uint64_t base, uint64_t end, uint64_t sequence)
{
    static const uint8_t zeros[HERMES_PAYLOAD_MAX];
    for (uint64_t at = base, bytes; at < end; at += bytes) {
        bytes = end - at < PAD_BYTES ? end - at : PAD_BYTES;
        hermes_header_t header = {.magic = HERMES_MAGIC,
                                  .version = HERMES_VERSION,
                                  .type = HERMES_TYPE_PAD,
                                  .flags = HERMES_FLAG_CRC,
                                  .sequence = sequence,
                                  .length = (uint32_t)(bytes - HERMES_HEADER_BYTES)};
        const uint64_t word = hermes_commit_word(header.type, header.flags);
        header.crc = crc32_message(zeros, header.length, word, sequence, 0);
        if (segment_write(fd, (const uint8_t *)&header, sizeof header, SEGMENT_HEADER_BYTES + at - base) != 0)
            return -1;
    }
    return 0;
}

void segment_discard(int directory, uint64_t base)
{
    char name[SEGMENT_NAME_BYTES];
    temporary_name(base, name);
    unlinkat(directory, name, 0);
}

int segment_write(int fd, const uint8_t *bytes, size_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t written = pwrite(fd, bytes, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}
