#include "broker/group_place.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/own_reader.h"

struct group_place place_of_end(struct topic *topic)
{
    log_lock(&topic->log);
    struct window_end end = log_committed(&topic->log);
    log_unlock(&topic->log);
    return (struct group_place){.position = end.position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1),
                                .sequence = end.sequence - 1};
}

/* The message that stands at the reader's position says its sequence; damage has none. Nothing there: it is
 * the end, and the next one's is what the window says. HERMES_EGONE: overtaken meanwhile. */
static int look_at(struct topic *topic, struct reader *reader, struct group_place *place)
{
    hermes_message_t message;
    int rc;
    place->position = reader->position;
    do
        rc = own_reader_poll(reader, &message);
    while (rc == HERMES_ECHECKSUM || rc == HERMES_ECORRUPT || rc == HERMES_EMALFORMED);
    if (rc < 0)
        return rc;
    place->sequence = rc == 1 ? message.sequence - 1 : place_of_end(topic).sequence;
    return HERMES_OK;
}

static int find(struct topic *topic, struct reader *reader, uint32_t from, uint64_t wanted,
                struct group_place *place)
{
    int rc = HERMES_OK;
    if (from == WIRE_FROM_FIRST)
        rc = reader_seek_first(reader);
    else if (from == WIRE_FROM_POSITION)
        rc = reader_seek_position(reader, wanted);
    return rc < 0 ? rc : look_at(topic, reader, place);
}

int place_find(struct topic *topic, uint32_t from, uint64_t wanted, struct group_place *place,
               struct error_text *text)
{
    struct reader reader;
    if (from > WIRE_FROM_POSITION)
        return error_set(text, HERMES_EINVALID, "beginning of kind %" PRIu32, from);
    int rc = own_reader_open(&reader, &topic->log);
    if (rc < 0)
        return error_say(text, rc, "topic '%s': %s", topic->name, reader.error.bytes);
    do /* publishers may be faster than we read what is oldest */
        rc = find(topic, &reader, from, wanted, place);
    while (rc == HERMES_EGONE && from == WIRE_FROM_FIRST);
    if (from == WIRE_FROM_POSITION && (rc == HERMES_ENOTFOUND || rc == HERMES_EGONE))
        rc = HERMES_EINVALID;
    if (rc < 0)
        error_say(text, rc, "topic '%s': %s", topic->name, reader.error.bytes);
    reader_close(&reader);
    return rc;
}
