/*
 * The worker pool: everything of the broker that may wait for a disk, or takes long, happens here and never
 * in the event loop.
 *
 *     job   once: work() on a worker, then done() on the loop's thread: the answer comes as an event
 *     task  again and again: run() on a worker whenever it is due or somebody rings
 *
 * Jobs of one job_queue come one after the other: each user's in the order in which they were submitted, one
 * of each user in turn (base/rounds.h). Other jobs and all tasks go on beside them. A task never runs on two
 * workers at once, and one that is slow (a sync that takes seconds) holds nobody up but itself, as long as
 * there are workers: one is kept for jobs however many tasks are busy, and one for tasks however many jobs
 * are.
 *
 * Quick tasks wait for nothing but their processor, and take milliseconds at most. They have a worker more
 * than was asked for: one of them runs at a time, whatever the others wait for, and keeps none from them.
 *
 * A job can wait until tasks are out: see job_removes(). That is how a task is ended without waiting for it.
 *
 * Threads: "loop" may be called by the event loop's thread alone, "any" by any. Nothing but what says so
 * blocks, or takes a lock: what is handed to the pool, and what comes back, goes through inboxes
 * (base/inbox.h). The lock is the workers' own. Whoever has it may lose the processor, and the loop does not
 * notice.
 */
#ifndef BROKER_WORKERS_H
#define BROKER_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/inbox.h"
#include "base/rounds.h"

enum { WORKERS_MIN = 2, WORKERS_MAX = 64 };

/* What a task returns that has nothing to do until somebody rings. */
#define TASK_WHEN_RUNG UINT64_MAX

struct workers;
struct job;

enum task_state { TASK_OUT, TASK_RESTING, TASK_RUNNING };

/* The owner's memory, all zeros but for the functions; it stays where it is until the task is out. */
struct task {
    /* On a worker. now_ns is monotonic. Returns when it is due again; 0: at once, after others that are. */
    uint64_t (*run)(struct task *task, uint64_t now_ns);
    /* On another worker, under the pool's lock: somebody waits for run() to return, should it sleep. NULL: it
     * never does. */
    void (*interrupt)(struct task *task);
    /* On the thread that took it out, when it will not run any more: the last that is heard of it. Or NULL.
     */
    void (*left)(struct task *task);
    bool quick;
    /* The pool's. */
    _Atomic unsigned
        wishes; /* that no worker has heard yet. Who has the first puts the task into the inbox */
    struct link told;
    enum task_state state;
    bool rung;             /* while it ran */
    bool leaving;          /* out as soon as it does not run */
    struct heap_entry due; /* key: when, ns */
    struct job *waiter;    /* begins when this task is out */
    struct task *next;     /* in job->removes */
    struct lane *lane;     /* where it waits; NULL: in none */
    struct task *behind;   /* in that lane */
    bool asked;            /* for a lane, since it runs */
};

/* What one of several tasks may do at a time, such as to wait for the disk of their topic: else a disk that
 * hangs for one topic takes the workers of all. All zeros: free. The pool's. */
struct lane {
    bool taken;
    struct task *first, *last; /* who waits */
};

/* Jobs that come one after the other: everything about one topic's log. All zeros: empty. The loop's. */
struct job_queue {
    struct rounds waiting; /* for the one that is under way */
    bool busy;
};

/* The submitter's memory; it stays where it is until done() is called, which may free it or submit it again.
 */
struct job {
    /* On the loop's thread, when all before it in its queue are done, and perhaps within workers_submit(): is
     * it still to be? false: no work(), but done(), with refused. NULL: yes. */
    bool (*begin)(struct job *job);
    void (*work)(struct job *job); /* on a worker. NULL: nothing */
    void (*done)(struct job *job); /* on the loop's thread */
    uint64_t whose; /* of many who wait one of each comes in turn. 0: nobody's, see workers_submit() */
    bool refused;
    /* The pool's. */
    struct link link;
    struct job_queue *queue;
    struct round_entry place;
    struct task *removes;
    unsigned waits_for; /* tasks that still run */
};

struct workers {
    struct inbox submitted, complete; /* jobs: to the workers, and back */
    struct inbox told;                /* tasks with wishes */
    /* Not a condition of the C library: there who signals waits now and then until somebody whom it woke
     * before has run (glibc, nptl/pthread_cond_common.c, __condvar_quiesce_and_switch_g1()). */
    _Atomic uint32_t calls; /* for one of them; idle workers sleep here */
    _Atomic uint32_t idle;  /* workers that sleep, or are about to; changed under the lock */
    pthread_mutex_t lock;   /* guards what follows, up to stop */
    pthread_cond_t settled; /* a task is out, or a job is complete */
    pthread_t threads[WORKERS_MAX + 1];
    unsigned thread_count;                /* with the one for quick tasks */
    bool called;                          /* by a worker, and nobody has come yet */
    uint64_t led_until_ns;                /* when the leader wakes by itself; UINT64_MAX: there is none */
    uint64_t leader;                      /* the number of the latest */
    unsigned tasks_running, jobs_running; /* but for quick ones */
    bool quick_runs;
    struct rounds ready;      /* jobs */
    struct heap tasks, quick; /* those that rest, but for those that wait to be rung */
    bool stop;
    unsigned jobs;               /* submitted and not done; the loop's */
    struct job_queue *advancing; /* whose job's done() is being called; the loop's */
    int event_fd;                /* readable when workers_completed() has something to do; -1: not started */
};

/* Loop. threads is cut to WORKERS_MIN..WORKERS_MAX; there is one more. After an error there is nothing to
 * stop. */
int workers_start(struct workers *workers, unsigned threads);

/* Loop. Waits until every job is done, calling done(), then until no task runs, and ends the threads. Tasks
 * that are still in are not run again; those that sleep in run() should be out before. Not started: nothing.
 */
void workers_stop(struct workers *workers);

/* ---- jobs ---- */

/* Loop. queue NULL: it need not wait for others. Nobody's job comes behind all that wait in the queue, and
 * those that are submitted later behind it. Cannot fail, and allocates nothing. */
void workers_submit(struct workers *workers, struct job_queue *queue, struct job *job);

/* Loop, before the job is submitted: that task is taken out before work() begins, and does not run again
 * unless it is added again. For any number of tasks, each by one job alone. */
void job_removes(struct job *job, struct task *task);

/* Loop. Calls done() of what was completed. Whoever reads event_fd calls it. */
void workers_completed(struct workers *workers);

/* Loop. Blocks until every job is done, calling done(): for an orderly stop. */
void workers_drain(struct workers *workers);

/* Loop, within done(): is nobody behind that job in its queue? Then the queue may go, if the pool is told. */
bool job_queue_is_last(const struct job_queue *queue);
void job_queue_end(struct workers *workers, struct job_queue *queue);

/* ---- tasks ---- */

/* Any. Due at once. */
void workers_add(struct workers *workers, struct task *task);

/* Any, until it has left: by then whoever may ring it has been told. Due now; if it runs, again when it has.
 * Of a task that is out: nothing. */
void workers_ring(struct workers *workers, struct task *task);

/* Any but a worker, but that a worker may take out a quick task. Blocks until the task does not run, and it
 * is out then: for tests, an orderly stop, and what is quick. */
void workers_remove(struct workers *workers, struct task *task);

/*
 * A worker, from run(): may it do now what is one's at a time? true: until lane_leave(). false: nobody waits
 * in run(); the task keeps its place and is rung when its turn has come. A run() that does not ask again
 * gives it up.
 */
bool lane_enter(struct workers *workers, struct lane *lane, struct task *task);
void lane_leave(struct workers *workers, struct lane *lane);

/* A worker, from run(): may it sleep there, and keep a worker? Others are left for who needs one. */
bool workers_may_linger(struct workers *workers);

#endif
