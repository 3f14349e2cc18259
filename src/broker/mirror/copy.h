/*
 * The log of a topic that is a copy: bytes of the source's log, cut anywhere, into whole frames, checked, and
 * these into the window, at the position they have there.
 *
 * Sequence and position of each must follow those before it. Where they do not, the source has no more what
 * is between: the log jumps there (log_jump()).
 */
#ifndef BROKER_MIRROR_COPY_H
#define BROKER_MIRROR_COPY_H

#include "log/log.h"

struct topic;

struct copy {
    struct topic *topic;
    uint64_t position; /* all below it was taken: whole frames are in the log, and a part of one is here */
    uint64_t gone;     /* bytes that were jumped over */
    uint32_t part;     /* bytes of a frame, */
    uint32_t whole;    /* which has so many */
    int error;         /* why it goes on no more */
    struct error_text text;
    _Alignas(HERMES_FRAME_ALIGNMENT) uint8_t frame[FRAME_MAX_BYTES + HERMES_FRAME_ALIGNMENT];
};

/* Goes on where the topic's log ends. The topic has it for its writer. */
void copy_begin(struct copy *copy, struct topic *topic);

/* How many of the bytes it took: not all where the window has no room, or after an error. */
uint64_t copy_take(struct copy *copy, const uint8_t *bytes, uint64_t length);

/* What comes next stands there, and is the beginning of a frame. */
void copy_skip(struct copy *copy, uint64_t position);

#endif
