/*
 * The persister: a thread that copies windows into stores and syncs them. It ticks every sync interval
 * while anything is published to a stored topic, and is rung by publishers whose window fills up. After
 * a quiet second it parks like a reader, to be woken by the next commit; where nobody publishes at all,
 * it sleeps for good.
 */
#ifndef BROKER_PERSISTER_H
#define BROKER_PERSISTER_H

#include <pthread.h>

#include "log/log.h"

struct persister {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards logs, not what they hold */
    struct log **logs;
    unsigned count;
    unsigned room;
    uint32_t interval_ms;
    _Atomic uint32_t *bell; /* in a page that publishers map read-only: who cannot write may still wake */
    struct map bell_map;
    int bell_fd;
    _Atomic bool stop;
    _Atomic uint32_t publishers; /* to stored topics: 0: nothing will change */
    /* Called on the persister's thread when a window holds a malformed frame or the store refuses. */
    void (*trouble)(void *context, struct log *log, int error);
    void *context;
};

int persister_start(struct persister *persister, uint32_t interval_ms);
int persister_add(struct persister *persister, struct log *log);
/* The log is not touched any more when this returns. */
void persister_remove(struct persister *persister, struct log *log);
void persister_ring(struct persister *persister);
void persister_stop(struct persister *persister);

#endif
