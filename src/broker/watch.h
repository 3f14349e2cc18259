/*
 * Watches: threads that sleep until somebody commits to a log that is parked, and then ring its task. A
 * thread can sleep on FUTEX_WORDS_MAX words, two for each log: its window's bell, which the writer rings, and
 * its persister's, which a publisher rings that waits for room or durability. There are as many watches as
 * that takes; they are made when they are needed, and stay. Idle, each looks at its logs once a second.
 *
 * Threads: a log is joined and left by whoever has its task: on a worker, or when the task is out.
 */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "broker/persisting.h"

/* Parks the log; nothing if it is parked. false: no thread can be had for it. */
bool watch_join(struct persister *persister, struct persisting *persisting);

/* The log is not touched any more when this returns; nothing if it is not parked. */
void watch_leave(struct persisting *persisting);

/* When all logs have left. */
void watch_stop_all(struct persister *persister);

#endif
