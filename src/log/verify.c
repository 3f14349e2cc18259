#include "log/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "hermes/message.h"

uint64_t verify_find_good(const uint8_t *data, uint64_t offset, uint64_t end, uint64_t expected)
{
    for (uint64_t at = offset + HERMES_FRAME_ALIGNMENT; at < end; at += HERMES_FRAME_ALIGNMENT) {
        hermes_header_t header;
        memcpy(&header, data + at, sizeof header);
        if (header.magic != HERMES_MAGIC || header.type != HERMES_TYPE_DATA ||
            hermes_message_verify(&header, data + at + HERMES_HEADER_BYTES, (size_t)(end - at)) < 0)
            continue;
        uint64_t room = (at - offset) / HERMES_FRAME_ALIGNMENT;
        if (expected == 0 || (header.sequence >= expected && header.sequence - expected <= room))
            return at;
    }
    return end;
}

static void tell(struct verify *verify, uint64_t from, uint64_t to, int error)
{
    verify->damaged++;
    if (verify->damage != NULL)
        verify->damage(verify->context, from, to, error);
}

static int check_frame(const struct verify *verify, const hermes_header_t *header, const uint8_t *frame,
                       size_t room)
{
    if (header->magic == 0)
        return HERMES_EMALFORMED; /* nothing, where something was confirmed */
    int rc = hermes_message_verify(header, frame + HERMES_HEADER_BYTES, room);
    if (rc == 0 && hermes_frame_bytes(header->length) > room)
        rc = HERMES_EMALFORMED;
    if (rc == 0 && header->type == HERMES_TYPE_PAD && hermes_frame_bytes(header->length) != room)
        rc = HERMES_EMALFORMED; /* a PAD ends its stretch */
    if (rc == 0 && verify->sequence != 0 && header->sequence != verify->sequence)
        rc = HERMES_ECORRUPT;
    return rc;
}

void verify_frames(struct verify *verify, const uint8_t *data, size_t bytes)
{
    uint64_t first = verify->position;
    for (uint64_t offset = 0; offset < bytes;) {
        hermes_header_t header;
        memcpy(&header, data + offset, sizeof header);
        int rc = check_frame(verify, &header, data + offset, (size_t)(bytes - offset));
        if (rc < 0) {
            uint64_t good = verify_find_good(data, offset, bytes, verify->sequence);
            tell(verify, first + offset, first + good, rc);
            verify->sequence = 0;
            offset = good;
            continue;
        }
        offset += hermes_frame_bytes(header.length);
        if (header.type == HERMES_TYPE_DATA) {
            verify->messages++;
            verify->sequence = header.sequence + 1;
        } else if (header.type == HERMES_TYPE_PAD) {
            verify->sequence = header.sequence;
        }
    }
    verify->position = first + bytes;
    verify->bytes += bytes;
}

static int read_all(int fd, uint8_t *to, size_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = pread(fd, to, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_from_errno(errno);
        if (got == 0)
            return HERMES_EMALFORMED;
        to += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return HERMES_OK;
}

/* Nothing of the segment from here on can be read. */
static int lose_segment(struct verify *verify, int error, struct error_text *text)
{
    uint64_t from = verify->position;
    uint64_t next = from - from % verify->segment_bytes + verify->segment_bytes;
    verify->position = next < verify->end ? next : verify->end;
    verify->sequence = 0;
    tell(verify, from, verify->position, error);
    return error_set(text, error,
                     "the segment with position %" PRIu64 " (was its file cut short or deleted?)", from);
}

int verify_segment(struct verify *verify, int fd, uint64_t until, uint8_t *buffer, struct error_text *text)
{
    if (fd < 0)
        return lose_segment(verify, HERMES_ENOTFOUND, text);
    struct segment_header header;
    uint64_t from = verify->position, base = from - from % verify->segment_bytes;
    int rc = read_all(fd, (uint8_t *)&header, sizeof header, 0);
    if (rc == 0)
        rc = segment_header_check(&header);
    if (rc == 0 && (header.base != base || header.size != verify->segment_bytes))
        rc = HERMES_ECORRUPT;
    if (rc < 0)
        return lose_segment(verify, rc, text);
    if (verify->sequence == 0 && from == base)
        verify->sequence = header.first_sequence;
    else if (from == base && header.first_sequence != verify->sequence)
        tell(verify, from, from, HERMES_ECORRUPT);
    uint64_t end = base + header.size < until ? base + header.size : until;
    while (verify->position < end) {
        uint64_t boundary = (verify->position | (verify->capacity - 1)) + 1;
        size_t bytes = (size_t)((boundary < end ? boundary : end) - verify->position);
        rc = read_all(fd, buffer, bytes, SEGMENT_HEADER_BYTES + verify->position - base);
        if (rc < 0)
            return lose_segment(verify, rc, text);
        verify_frames(verify, buffer, bytes);
    }
    return HERMES_OK;
}
