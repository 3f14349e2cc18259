/*
 * Turns of an event loop: what its thread does between two waits, which keeps everybody else waiting. They
 * are measured by the clock on the wall, and - for a machine has other things to do, too - by what is the
 * loop's own in that: the time that it had a processor; all of it, if the thread slept in a system call or
 * for a lock (getrusage(2), voluntary context switches), which an event loop must not.
 *
 * The thread's account costs some hundred nanoseconds to read. It is read after each wait, and otherwise not
 * more often than every TURN_SHORT_NS; what a turn's own time is said to be may be that much too long, and
 * never too short. Of shorter turns only the length is known.
 *
 * Threads: the loop's.
 */
#ifndef IO_TURN_H
#define IO_TURN_H

#include <stdbool.h>
#include <stdint.h>

enum { TURN_SHORT_NS = 200000 };

/* Since the loop began. */
struct turn_figures {
    uint64_t longest_ns;
    uint64_t longest_own_ns; /* of such as are longer than TURN_SHORT_NS */
    uint64_t blocked;        /* how many of those slept */
};

/* All zeros: no turn yet. */
struct turn {
    struct turn_figures figures;
    uint64_t began_ns;
    uint64_t account_ns; /* when the account was read, and what it said */
    uint64_t cpu_ns;
    uint64_t sleeps;
};

/* waited: the thread may have slept since the last turn. now_ns is monotonic. */
void turn_begin(struct turn *turn, uint64_t now_ns, bool waited);
void turn_end(struct turn *turn, uint64_t now_ns);

#endif
