#include "log/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "log/frames.h"

static void tell(struct verify *verify, uint64_t from, uint64_t to, int error)
{
    verify->damaged++;
    if (verify->damage != NULL)
        verify->damage(verify->context, from, to, error);
}

/* As frames_next(), and a PAD fills its stretch up. */
static int check_next(struct frames *frames, struct frame *frame)
{
    struct frames before = *frames;
    int rc = frames_next(frames, frame);
    if (rc > 0 && frame->header.type == HERMES_TYPE_PAD && frames->position != frames->end) {
        *frames = before;
        return HERMES_EMALFORMED;
    }
    return rc == HERMES_ENOTFOUND ? HERMES_EMALFORMED : rc; /* nothing, where something was confirmed */
}

void verify_frames(struct verify *verify, const uint8_t *data, size_t bytes)
{
    struct frames frames = {.data = data,
                            .base = verify->position,
                            .end = verify->position + bytes,
                            .position = verify->position,
                            .sequence = verify->sequence,
                            .check = FRAME_CHECKSUMS};
    struct frame frame;
    int rc;
    while ((rc = check_next(&frames, &frame)) != 0) {
        uint64_t from = frames.position;
        if (rc < 0) {
            frames_skip_damage(&frames);
            tell(verify, from, frames.position, rc);
        } else {
            verify->messages += frame.header.type == HERMES_TYPE_DATA;
        }
    }
    verify->position = frames.end;
    verify->sequence = frames.sequence;
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
