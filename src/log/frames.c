#include "log/frames.h"

#include <stdbool.h>

/* The frame at position, whatever its sequence. */
static int look(const struct frames *frames, uint64_t position, struct frame *frame)
{
    const uint8_t *bytes = frames->data + (position - frames->base);
    uint64_t room = frames->end - position;
    if (room < HERMES_HEADER_BYTES)
        return HERMES_EMALFORMED;
    *frame = (struct frame){.position = position, .payload = bytes + HERMES_HEADER_BYTES};
    memcpy(&frame->header, bytes, sizeof frame->header);
    if (frame->header.magic == 0)
        return HERMES_ENOTFOUND;
    int rc = hermes_message_decode(&frame->header, (size_t)room);
    if (rc < 0)
        return rc;
    frame->bytes = hermes_frame_bytes(frame->header.length);
    return frame->bytes > room || frame->header.type > FRAME_TYPE_LAST ? HERMES_EMALFORMED : HERMES_OK;
}

static int verify(const struct frames *frames, const struct frame *frame)
{
    return frames->check == FRAME_HEADERS ? HERMES_OK
                                          : hermes_message_verify(&frame->header, frame->payload,
                                                                  (size_t)(frames->end - frame->position));
}

int frames_next(struct frames *frames, struct frame *frame)
{
    if (frames->position >= frames->end)
        return 0;
    int rc = look(frames, frames->position, frame);
    if (rc == 0 && (rc = verify(frames, frame)) == 0 && frames->sequence != 0 &&
        frame->header.sequence != frames->sequence)
        rc = HERMES_ECORRUPT;
    if (rc < 0)
        return rc;
    frames->position += frame->bytes;
    frames->sequence = frame->header.sequence + (frame->header.type == HERMES_TYPE_DATA);
    return 1;
}

/* Is a whole message at position, with its checksum right and a sequence that fits? In the order of cost. */
static bool is_good(const struct frames *frames, uint64_t position)
{
    struct frame frame;
    if (look(frames, position, &frame) < 0 || frame.header.type != HERMES_TYPE_DATA)
        return false;
    uint64_t expected = frames->sequence, sequence = frame.header.sequence;
    uint64_t room = (position - frames->position) / HERMES_FRAME_ALIGNMENT;
    if (expected != 0 && (sequence < expected || sequence - expected > room))
        return false;
    return hermes_message_verify(&frame.header, frame.payload, (size_t)(frames->end - position)) == 0;
}

/* A payload that is wrong leaves the length right: then the next frame is where it should be. */
static bool skip_payload(struct frames *frames)
{
    struct frame frame, next;
    if (look(frames, frames->position, &frame) < 0 || frame.position + frame.bytes >= frames->end ||
        (frames->sequence != 0 && frame.header.sequence != frames->sequence))
        return false;
    uint64_t sequence = frame.header.sequence + (frame.header.type == HERMES_TYPE_DATA);
    if (look(frames, frame.position + frame.bytes, &next) < 0 || next.header.sequence != sequence)
        return false;
    frames->position = next.position;
    frames->sequence = sequence;
    return true;
}

void frames_skip_damage(struct frames *frames)
{
    if (skip_payload(frames))
        return;
    uint64_t at = frames->position + HERMES_FRAME_ALIGNMENT;
    while (at < frames->end && !is_good(frames, at))
        at += HERMES_FRAME_ALIGNMENT;
    frames->position = at < frames->end ? at : frames->end;
    frames->sequence = 0;
}
