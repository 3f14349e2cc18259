/*
 * The scrubber: a thread that reads all that is stored again and again, gently, so that damage is found while
 * there still is a copy elsewhere. Each damaged range is told on standard error and counted in the topic's
 * status page.
 */
#ifndef BROKER_SCRUBBER_H
#define BROKER_SCRUBBER_H

#include "broker/persister.h"

struct scrubber {
    pthread_t thread;
    bool running;
    struct persister *persister; /* whose logs they are */
    uint64_t bytes_per_second;   /* 0: never */
    uint64_t interval_ns;        /* from the end of one pass over a log to the next */
    _Atomic uint32_t stop;
    uint8_t *buffer;
    uint64_t buffer_bytes;
};

/* The rest of *scrubber is filled in before. */
int scrubber_start(struct scrubber *scrubber);
/* Before the persister is stopped. */
void scrubber_stop(struct scrubber *scrubber);

#endif
