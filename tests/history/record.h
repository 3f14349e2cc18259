/*
 * The log of a worker: a line before each call, and one after it with its outcome, each appended by one
 * write(2). Who is killed in a call leaves the first line alone: that call's outcome is unknown, all others'
 * are known.
 *
 *     > 17 1200300400 publish number=5 count=1 size=600
 *     < 17 1200300900 0 sequence=5
 *
 * Call, CLOCK_MONOTONIC in nanoseconds, what was asked or what came back. What a subscriber was given stands
 * between the two, a line each:
 *
 *     m SEQUENCE POSITION PUBLISHER RUN NUMBER       a message
 *     t SEQUENCE POSITION LENGTH                     one that is torn, or that no publisher of ours made
 *     e CODE                                         an error
 *
 * A member takes one message with each call, so its messages stand in the outcome. Where a call may take only
 * so long, the outcome has queued_ns: how much of it the process was ready to run, and the machine was not.
 */
#ifndef HISTORY_RECORD_H
#define HISTORY_RECORD_H

#include <stdint.h>

void record_open(const char *path);

__attribute__((format(printf, 1, 2))) void record_call(const char *format, ...);
__attribute__((format(printf, 2, 3))) void record_outcome(int64_t rc, const char *format, ...);

/* Kept until the next outcome, or until there are many: what a killed subscriber had read but not told is no
 * loss to the judge. */
__attribute__((format(printf, 1, 2))) void record_seen(const char *format, ...);
void record_flush(void);

/* The number of the last call. */
uint64_t record_number(void);

uint64_t now_ns(void);

/* How long this thread has waited for a processor so far. */
uint64_t queued_ns(void);

#endif
