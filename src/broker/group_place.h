/*
 * Where in its topic's log a group can stand. A worker, or the loop in the turn of topic->turns.
 */
#ifndef BROKER_GROUP_PLACE_H
#define BROKER_GROUP_PLACE_H

#include "broker/topic.h"

/* Where a reader of the oldest message begins, and behind the last one. */
void place_ends(struct topic *topic, uint64_t *oldest, uint64_t *end);

/* from: enum wire_from. HERMES_EINVALID. */
int place_find(struct topic *topic, uint32_t from, uint64_t wanted, uint64_t *position,
               struct error_text *text);

#endif
