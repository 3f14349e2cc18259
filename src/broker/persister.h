/*
 * The persister: copies windows into stores and syncs them. A task of the worker pool for each stored log, so
 * that a disk which takes seconds for one of them holds none of the others up.
 *
 *     busy    looked at every sync interval, and when its publisher, whose window fills up, rings its bell
 *     sync    looked at as soon as anything is committed; one sync for all that came while the last one was
 *             under way
 *     parked  nothing came for a while: the log's doorbell is up as for a reader that sleeps, and the next
 *             commit wakes a watch, a thread that sleeps on the bells of many logs and rings their tasks
 *
 * No log is ever left alone: whoever writes it, and whatever the broker knows of that, a commit to a parked
 * log is seen at once, or after a second, should a subscriber have lowered its doorbell.
 *
 * Threads: the loop's, but where something else is said. log_persist() and log_sync() of a log are called by
 * its task alone while that is in.
 */
#ifndef BROKER_PERSISTER_H
#define BROKER_PERSISTER_H

#include "broker/persisting.h"

/* The rest of *persister is filled in before. */
void persister_start(struct persister *persister, struct workers *workers, uint32_t interval_ms);
/* When no log is in any more. */
void persister_stop(struct persister *persister);

/* What it needs of shared memory. Any thread; persister_add() does it where it was not done. */
int persister_prepare(struct persisting *persisting);
/* What the log holds is looked at at once. Of a log that was taken out: it is back. */
int persister_add(struct persister *persister, struct persisting *persisting, struct log *log);
/* Any thread. Looks soon at what is to be kept of the log, which was altered. */
void persister_ring(struct persisting *persisting);
/* When its task is out for good: lets go of its bell. */
void persister_release(struct persisting *persisting);

#endif
