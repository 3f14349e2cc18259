/*
 * Where in its topic's log a group can stand.
 */
#ifndef BROKER_GROUP_PLACE_H
#define BROKER_GROUP_PLACE_H

#include "broker/topic.h"
#include "group/record.h"

/* Where the log of a topic ends that nobody writes. */
struct group_place place_of_end(struct topic *topic);

/*
 * from: enum wire_from; wanted: WIRE_FROM_POSITION's. The sequence is read from what stands there, so that
 * what is missing later can be counted. On a worker: it may wait for a disk. HERMES_EINVALID: no message
 * begins there; HERMES_ELIMIT, ...
 */
int place_find(struct topic *topic, uint32_t from, uint64_t wanted, struct group_place *place,
               struct error_text *text);

#endif
