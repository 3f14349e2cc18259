/*
 * History: what an outlet sends that has left the window. A worker finds the segment, maps it, goes over the
 * frames and has the kernel bring their pages in; the loop then sends from the mapping, which nobody
 * overwrites, and waits for no disk.
 *
 * One job at a time, in the topic's queue `reading`: so the topic stays while it runs.
 */
#ifndef BROKER_STREAM_HISTORY_H
#define BROKER_STREAM_HISTORY_H

#include "broker/topic.h"

enum { HISTORY_BYTES = 256 * 1024 }; /* at a time */

struct history {
    struct job job;
    struct topic *topic;
    void (*done)(struct history *history); /* on the loop: what is below is filled in */
    bool working;
    struct segment segment;      /* the last one; mapped if data is not NULL */
    uint64_t position, sequence; /* of the first frame; 0: any */
    uint64_t most;               /* bytes */
    uint64_t end;                /* of whole frames: position: there are none */
    uint64_t next_sequence;
    /* 0; HERMES_EAGAIN: nothing is stored there yet; HERMES_EBUSY: its first frame is larger than most;
     * HERMES_EGONE: retention or a purge removed it, on at `end`; HERMES_ECORRUPT, ...: it is damaged up to
     * `end`. */
    int result;
    struct error_text text;
};

/* Looks for up to most bytes of frames from there on. whose: the job's. */
void history_look(struct history *history, uint64_t position, uint64_t sequence, uint64_t most,
                  uint64_t whose);

/* Lets go of the segment. It takes long, too: a job. */
void history_let_go(struct history *history, uint64_t whose);

static inline bool history_is_mapped(const struct history *history)
{
    return history->segment.data != NULL;
}

static inline const uint8_t *history_bytes(const struct history *history)
{
    return history->segment.data + (history->position - history->segment.header.base);
}

#endif
