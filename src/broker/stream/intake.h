/*
 * An intake: a publisher at the other end of a connection. It has a ring, as a publisher on this host does:
 * what comes goes into the log at once as long as the ring is empty and the log has room, else into the ring,
 * from where the sequencer takes it. So what came in is in the topic's order once, and what a connection left
 * behind goes into the log like all that is in a ring.
 *
 * Its credit is what the ring has room for, so nothing has to wait here.
 */
#ifndef BROKER_STREAM_INTAKE_H
#define BROKER_STREAM_INTAKE_H

#include "broker/sequencer.h"
#include "broker/stream/stream.h"

/* Marks of what is to become durable; where there are more, two are one. */
enum { INTAKE_MARKS = 32, INTAKE_INLET_BYTES = 128 * 1024 };

struct intake_mark {
    uint64_t sequence, position;
};

struct intake {
    struct intake *next; /* of the connection */
    struct intake *next_of_topic;
    struct stream *stream;
    struct topic *topic;
    struct ring *ring;
    uint32_t handle;
    struct window_writer writer; /* of the ring */
    struct batch batch;
    bool is_direct;              /* what comes goes past the ring, for now */
    uint64_t sequence;           /* of the next message */
    uint64_t granted;            /* bytes of frames that may still come */
    uint64_t committed, durable; /* its messages up to this one */
    uint64_t told_committed, told_durable;
    uint64_t position;                      /* where the log ended behind the last that is committed */
    struct intake_mark marks[INTAKE_MARKS]; /* the oldest first */
    unsigned mark_count;
    int code; /* the topic's store failed: nothing more is taken */
    bool told;
};

/* Of a ring that has its line. before: where what its publisher had published before ends in the log, of
 * which it is still to hear that it is durable; 0: there is nothing of the kind. HERMES_ENOMEM. */
int intake_open(struct stream *stream, struct ring *ring, uint32_t handle, uint64_t before,
                struct intake **intake);

/* Before the ring is left. */
void intake_close(struct intake *intake);

/* Takes in whole frames, of bytes that have come; how many bytes that are. `left`: so many has the message
 * still. HERMES_E...: that is no frame, or not the next one. */
int64_t intake_take(struct intake *intake, const uint8_t *bytes, size_t count, size_t left,
                    struct error_text *text);

/* Is there anything that its publisher wants to be told? */
bool intake_look(struct intake *intake);

/* What it is told: it is said now. */
struct wire_confirm intake_confirm(struct intake *intake);

/* Does it wait for durability? */
static inline bool intake_awaits_durable(const struct intake *intake)
{
    return intake->durable < intake->committed;
}

#endif
