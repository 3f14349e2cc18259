/*
 * Stretches: runs of frames that were copied out of a topic's window, once for all outlets that stand in
 * them. An outlet that is being sent holds its stretch; so does the topic with the latest one.
 */
#ifndef BROKER_STREAM_STRETCH_H
#define BROKER_STREAM_STRETCH_H

#include "broker/topic.h"

enum { STRETCH_BYTES = 64 * 1024 }; /* or one frame that is larger */

struct stretch {
    unsigned users;
    uint64_t from, to;      /* positions */
    uint64_t next_sequence; /* of the message behind it */
    uint8_t bytes[];
};

/*
 * Where the log of a topic ends, for the loop. It must not be changing hands.
 */
uint64_t stretch_log_end(const struct topic *topic);

/*
 * A stretch with the frame at position, which lies before end, in it. To be given back. HERMES_EAGAIN:
 * nothing is committed there; HERMES_EGONE: it is overwritten; HERMES_EMALFORMED, HERMES_EVERSION,
 * HERMES_ETOOLARGE: that is no frame; HERMES_ENOMEM.
 */
int stretch_take(struct topic *topic, uint64_t position, uint64_t end, struct stretch **stretch);

/* NULL is allowed. */
void stretch_give_back(struct stretch *stretch);

#endif
