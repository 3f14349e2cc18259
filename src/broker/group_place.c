#include "broker/group_place.h"

#include <inttypes.h>

/* Where a reader of the oldest message begins, and behind the last one. Beside a change of the log's writer.
 */
void place_ends(struct topic *topic, uint64_t *oldest, uint64_t *end)
{
    log_lock(&topic->log);
    const struct window *window = topic->log.window;
    *end = log_committed(&topic->log).position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    *oldest = topic->durability == DURABILITY_MEMORY ? window_oldest(window, *end)
                                                     : atomic_load(&topic->log.status->first);
    log_unlock(&topic->log);
}

int place_find(struct topic *topic, uint32_t from, uint64_t wanted, uint64_t *position,
               struct error_text *text)
{
    uint64_t oldest, end;
    place_ends(topic, &oldest, &end);
    switch (from) {
    case WIRE_FROM_END:
        *position = end;
        return HERMES_OK;
    case WIRE_FROM_FIRST:
        *position = oldest;
        return HERMES_OK;
    case WIRE_FROM_POSITION:
        *position = wanted;
        if (wanted % HERMES_FRAME_ALIGNMENT == 0 && wanted <= end)
            return HERMES_OK;
        return error_set(text, HERMES_EINVALID, "position %" PRIu64 " is not one of topic '%s'", wanted,
                         topic->name);
    default:
        return error_set(text, HERMES_EINVALID, "beginning of kind %" PRIu32, from);
    }
}
