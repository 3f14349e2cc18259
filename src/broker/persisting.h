/* What the persister and its watches know of logs: see persister.h. */
#ifndef BROKER_PERSISTING_H
#define BROKER_PERSISTING_H

#include "broker/workers.h"
#include "log/log.h"

struct counters_entry;
struct watch;

struct persister {
    struct workers *workers;
    uint64_t interval_ns;
    pthread_mutex_t lock; /* guards watches; workers alone take it */
    struct watch *watches;
    /* On a worker, when a window holds a malformed frame or the store refuses. */
    void (*trouble)(void *context, struct log *log, int error);
    void *context;
};

/* What the persister knows of one log. The owner's memory; all zeros before it is added. */
struct persisting {
    struct task task; /* for job_removes() and workers_remove() */
    struct log *log;
    struct persister *persister;
    struct counters_entry *counters; /* of the store; NULL: nobody counts */
    _Atomic uint32_t *bell; /* in a page that publishers map read-only: who cannot write may still wake */
    struct map bell_map;
    int bell_fd;
    uint64_t ticked_ns; /* of the last look that was due by time; these, as the rest, are the task's */
    uint64_t busy_ns;   /* when anything was found to be done */
    struct watch *watch;
    unsigned slot;        /* there, while it is parked; under the watch's lock */
    _Atomic bool parked;  /* raised by the task, lowered under the watch's lock */
    _Atomic bool altered; /* what is to be kept: raised by persister_ring(), lowered by the task */
};

#endif
