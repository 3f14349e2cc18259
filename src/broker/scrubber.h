/*
 * The scrubber: reads all that is stored again and again, gently, so that damage is found while there still
 * is a copy elsewhere. Each damaged range is told to the operator and counted in the topic's status page.
 *
 * A task of the worker pool for each stored log; they share one rate, and one worker: a stretch is read when
 * its turn in that rate comes.
 */
#ifndef BROKER_SCRUBBER_H
#define BROKER_SCRUBBER_H

#include "broker/workers.h"
#include "log/log.h"

struct scrubber {
    struct workers *workers;
    uint64_t bytes_per_second; /* 0: never */
    uint64_t interval_ns;      /* from the end of one pass over a log to the next */
    _Atomic uint64_t free_ns;  /* when the next stretch may be read */
    _Atomic bool busy;         /* one is being read; who raised it has the buffer */
    uint8_t *buffer;
    uint64_t buffer_bytes;
};

/* What the scrubber knows of one log, but for log->scrub. The owner's memory; all zeros before it is added.
 */
struct scrubbing {
    struct task task; /* for job_removes() and workers_remove(), if it is in */
    struct scrubber *scrubber;
    struct log *log;
    uint64_t turn_ns; /* when its next stretch is to be read; 0: it has not asked for one */
};

/* Loop, after scrubber->workers and the next two are filled in. Nothing where nothing is ever scrubbed. */
void scrubber_add(struct scrubber *scrubber, struct scrubbing *scrubbing, struct log *log);

/* When no log is in any more. */
void scrubber_stop(struct scrubber *scrubber);

static inline bool scrubber_has(const struct scrubbing *scrubbing)
{
    return scrubbing->scrubber != NULL;
}

#endif
