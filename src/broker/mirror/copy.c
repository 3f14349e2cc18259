#include "broker/mirror/copy.h"

#include <inttypes.h>

#include "broker/topic.h"

enum { NO_MASK = 0x7fffffff }; /* one frame, in a buffer of its own */

void copy_begin(struct copy *copy, struct topic *topic)
{
    copy->topic = topic;
    copy->position = topic->log.writer.position;
    copy->part = copy->whole = 0;
    copy->gone = 0;
    copy->error = HERMES_OK;
}

void copy_skip(struct copy *copy, uint64_t position)
{
    copy->gone += position - copy->position;
    copy->position = position;
    copy->part = copy->whole = 0;
}

static int fail(struct copy *copy, int error)
{
    copy->error = error;
    return error;
}

/* Bytes of the frame that begins there; 0: it is none. */
static uint32_t frame_bytes(struct copy *copy, const uint8_t *frame)
{
    hermes_header_t header;
    uint64_t bytes;
    int rc = window_poll(frame, NO_MASK, 0, &header, &bytes);
    if (rc > 0)
        return (uint32_t)bytes;
    (void)error_set(&copy->text, fail(copy, HERMES_EMALFORMED),
                    "what its source sent for position %" PRIu64 " is no frame", copy->position);
    return 0;
}

/* The persister is out meanwhile: nobody else stores it. */
static int jump(struct copy *copy, uint64_t position, uint64_t sequence)
{
    struct topic *topic = copy->topic;
    if (topic->durability == DURABILITY_MEMORY)
        return log_jump(&topic->log, position, sequence, &copy->text);
    workers_remove(&topic->broker->workers, &topic->persisting.task);
    int rc = log_jump(&topic->log, position, sequence, &copy->text);
    int added = persister_add(&topic->broker->persister, &topic->persisting, &topic->log);
    return rc < 0 ? rc : added;
}

/* Behind a hole messages are missing; elsewhere none is. None comes again. */
static bool may_follow(const struct window_writer *writer, uint64_t position, uint64_t sequence)
{
    if (position == writer->position)
        return sequence == writer->sequence;
    return sequence >= writer->sequence && sequence <= INT64_MAX;
}

/* A whole frame that stands at position. 0; HERMES_EAGAIN: there is no room yet. */
static int commit(struct copy *copy, const uint8_t *frame, uint64_t position, uint32_t bytes)
{
    struct window_writer *writer = &copy->topic->log.writer;
    const hermes_header_t *header = (const void *)frame;
    int rc = HERMES_OK;
    if (!may_follow(writer, position, header->sequence))
        return error_say(&copy->text, fail(copy, HERMES_EMALFORMED),
                         "its source sent message %" PRIu64 " for position %" PRIu64 ", where %" PRIu64
                         " was due",
                         header->sequence, position, writer->sequence);
    if (position != writer->position)
        rc = jump(copy, position, header->sequence);
    if (rc < 0)
        return fail(copy, rc);
    if ((position & writer->mask) + bytes > writer->mask + 1)
        return error_say(&copy->text, fail(copy, HERMES_EINVALID),
                         "its window is smaller than its source's: delete it, and create it with a larger "
                         "--window");
    uint8_t *to = window_reserve(writer, bytes, &rc);
    if (to == NULL)
        return rc;
    window_copy_in(to + sizeof(uint64_t), frame + sizeof(uint64_t), bytes - sizeof(uint64_t));
    uint64_t word;
    memcpy(&word, frame, sizeof word);
    window_commit(writer, word, bytes, header->type == HERMES_TYPE_DATA);
    return HERMES_OK;
}

/* Some of the bytes, which are in the middle of a frame, or do not have all of one. The last of them are
 * taken with the whole frame, or offered again. */
static uint64_t hold(struct copy *copy, const uint8_t *bytes, uint64_t length)
{
    uint64_t missing = copy->whole - copy->part, run = length < missing ? length : missing;
    memcpy(copy->frame + copy->part, bytes, run);
    if (run == missing && commit(copy, copy->frame, copy->position - copy->part, copy->whole) < 0)
        return 0;
    copy->part = run == missing ? 0 : copy->part + (uint32_t)run;
    copy->position += run;
    return run;
}

/* Whole frames go from where they are. Returns how many bytes were taken; 0: none can be. */
static uint64_t take_some(struct copy *copy, const uint8_t *bytes, uint64_t length)
{
    if (copy->part == 0) {
        uint32_t whole = frame_bytes(copy, bytes);
        if (whole == 0)
            return 0;
        if (whole <= length) {
            if (commit(copy, bytes, copy->position, whole) < 0)
                return 0;
            copy->position += whole;
            return whole;
        }
        copy->whole = whole;
    }
    return hold(copy, bytes, length);
}

uint64_t copy_take(struct copy *copy, const uint8_t *bytes, uint64_t length)
{
    struct window_writer *writer = &copy->topic->log.writer;
    uint64_t before = writer->position, taken = 0, some = 1;
    while (copy->error == 0 && some > 0 && taken < length) {
        some = take_some(copy, bytes + taken, length - taken);
        taken += some;
    }
    if (writer->position != before && window_after_commit(writer) == HERMES_EFENCED)
        (void)error_set(&copy->text, fail(copy, HERMES_EFENCED), "the epoch was ended by somebody else");
    return taken;
}
