/*
 * When the records of a feed are due: at the intervals that their times have, divided by a speed. Nothing is
 * caught up with in a burst: after a pause (SIGSTOP, a log without room, a slow disk) of more than a second
 * the intervals go on from there, and that is said. So is a time that goes back, and a long wait. Steps of
 * the wall clock do not matter.
 */
#ifndef CLI_SCHEDULE_H
#define CLI_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    double speed;            /* 0: everything is due at once */
    const char *unit;        /* "line", "byte", "message": what is counted, for what is said */
    uint64_t may_go_back_ns; /* no word of times that go back by less: clocks of many publishers */
    bool has_begun;
    uint64_t start_ns; /* on the monotonic clock: when the first record was due */
    uint64_t first_ns, latest_ns;
    uint64_t went_back, held_up_ns; /* how many; how long */
};

/* Waits until a record of that time is due; the first one is due at once. A signal (cli_stop) ends it. at:
 * the line, or whatever the unit is, where the record stands. */
void schedule_wait(struct schedule *schedule, uint64_t time_ns, uint64_t at);

/* At the end: what was not as the times say. */
void schedule_report(const struct schedule *schedule);

#endif
