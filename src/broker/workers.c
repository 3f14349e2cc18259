#include "broker/workers.h"

#include <assert.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "base/wait.h"

enum { WISH_IN = 1, WISH_RUN = 2 };

static struct task *of_due(struct heap_entry *due)
{
    return (struct task *)(void *)((char *)due - offsetof(struct task, due));
}

static struct task *of_told(struct link *told)
{
    return (struct task *)(void *)((char *)told - offsetof(struct task, told));
}

static struct job *of_link(struct link *link)
{
    return (struct job *)(void *)((char *)link - offsetof(struct job, link));
}

static struct job *of_place(struct round_entry *place)
{
    return (struct job *)(void *)((char *)place - offsetof(struct job, place));
}

/* ---- who sleeps, and how long ---- */

/* May another job run, or another task? So many of the one kind run by now. */
static bool may_run(const struct workers *workers, unsigned running)
{
    unsigned threads = workers->thread_count - 1; /* but for the one for quick tasks */
    return running < threads - 1 && workers->jobs_running + workers->tasks_running < threads;
}

static bool job_may_run(const struct workers *workers)
{
    return !rounds_is_empty(&workers->ready) && may_run(workers, workers->jobs_running);
}

/* The task whose turn is next; NULL: none before something happens. */
static struct heap_entry *next_task(const struct workers *workers)
{
    struct heap_entry *quick = workers->quick_runs ? NULL : workers->quick.first;
    struct heap_entry *task = may_run(workers, workers->tasks_running) ? workers->tasks.first : NULL;
    return task == NULL || (quick != NULL && quick->key <= task->key) ? quick : task;
}

/* When somebody has to do something; UINT64_MAX: not before something happens. */
static uint64_t next_due(const struct workers *workers)
{
    if (job_may_run(workers))
        return 0;
    const struct heap_entry *task = workers->stop ? NULL : next_task(workers);
    return task == NULL ? UINT64_MAX : task->key;
}

/*
 * Any thread: somebody looks at everything from now on. Together with rest() it is as if each of the two were
 * one step: either the worker is counted before it is looked for, and is woken; or it has not begun to sleep,
 * and finds what was put into an inbox before, or that there was another call.
 */
static void call_worker(struct workers *workers)
{
    /* Both in the one order of all that are sequentially consistent, as the two in rest(). */
    atomic_fetch_add_explicit(&workers->calls, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&workers->idle, memory_order_seq_cst) > 0)
        futex_wake_one(&workers->calls);
}

/*
 * Idle workers sleep until they are called, and one of them, the leader, no longer than until something is
 * due. Whoever is sooner than the leader becomes the leader.
 */
static void rest(struct workers *workers, uint64_t due_ns)
{
    uint64_t number = 0;
    if (due_ns < workers->led_until_ns) {
        workers->led_until_ns = due_ns;
        number = ++workers->leader;
    }
    atomic_fetch_add_explicit(&workers->idle, 1, memory_order_seq_cst);
    uint32_t calls = atomic_load_explicit(&workers->calls, memory_order_seq_cst);
    if (inbox_is_empty(&workers->submitted) && inbox_is_empty(&workers->told)) {
        pthread_mutex_unlock(&workers->lock);
        (void)futex_wait(&workers->calls, calls, number == 0 ? FUTEX_FOREVER : clock_left_ns(due_ns));
        pthread_mutex_lock(&workers->lock);
    }
    /* Relaxed: who calls for nobody has lost nothing. */
    atomic_fetch_sub_explicit(&workers->idle, 1, memory_order_relaxed);
    workers->called = false;
    if (number != 0 && number == workers->leader)
        workers->led_until_ns = UINT64_MAX;
}

/* Before a worker is busy with something else: is there a leader, and does it not sleep too long? Another is
 * called without the lock, as it may have our processor at once. */
static void unlock_and_call(struct workers *workers)
{
    bool wanted = !workers->called && next_due(workers) < workers->led_until_ns &&
                  atomic_load_explicit(&workers->idle, memory_order_relaxed) > 0;
    workers->called |= wanted;
    pthread_mutex_unlock(&workers->lock);
    if (wanted)
        call_worker(workers);
}

/* ---- jobs and tasks change their state: all under the lock ---- */

/* Those that are nobody's have their turn beside the others here: what must not come sooner waits in a queue.
 */
static void make_ready(struct workers *workers, struct job *job)
{
    rounds_put(&workers->ready, &job->place, job->whose, false);
}

/* To the loop, from a worker or from itself: without the lock. */
static void make_complete(struct workers *workers, struct job *job)
{
    uint64_t one = 1;
    inbox_put(&workers->complete, &job->link);
    (void)!write(workers->event_fd, &one, sizeof one); /* full: it is readable anyway */
}

static struct heap *heap_of(struct workers *workers, const struct task *task)
{
    return task->quick ? &workers->quick : &workers->tasks;
}

static void rest_until(struct workers *workers, struct task *task, uint64_t due_ns)
{
    task->state = TASK_RESTING;
    task->due.key = due_ns != 0 ? due_ns : clock_monotonic_ns(); /* not before those that wait longer */
    if (due_ns != TASK_WHEN_RUNG)
        heap_add(heap_of(workers, task), &task->due);
}

static void leave_heap(struct workers *workers, struct task *task)
{
    struct heap *heap = heap_of(workers, task);
    if (heap_has(heap, &task->due))
        heap_remove(heap, &task->due);
}

static void hear_ring(struct workers *workers, struct task *task)
{
    if (task->state == TASK_RUNNING) {
        task->rung = true;
        if (task->interrupt != NULL)
            task->interrupt(task);
    } else if (task->state == TASK_RESTING) {
        leave_heap(workers, task);
        rest_until(workers, task, 0);
    }
}

static void ring_next_in(struct workers *workers, struct lane *lane)
{
    if (!lane->taken && lane->first != NULL)
        hear_ring(workers, lane->first);
}

static void keep_place_in(struct lane *lane, struct task *task)
{
    if (task->lane != NULL)
        return;
    task->lane = lane;
    task->behind = NULL;
    if (lane->first == NULL)
        lane->first = task;
    else
        lane->last->behind = task;
    lane->last = task;
}

static void give_up_place(struct workers *workers, struct task *task)
{
    struct lane *lane = task->lane;
    if (lane == NULL)
        return;
    task->lane = NULL;
    if (lane->first == task) {
        lane->first = task->behind;
        ring_next_in(workers, lane);
        return;
    }
    struct task *before = lane->first;
    while (before->behind != task)
        before = before->behind;
    before->behind = task->behind;
    if (lane->last == task)
        lane->last = before;
}

static void take_in(struct workers *workers, struct task *task)
{
    assert(task->state == TASK_OUT);
    task->waiter = NULL;
    rest_until(workers, task, 0);
}

static void take_out(struct workers *workers, struct task *task)
{
    leave_heap(workers, task);
    task->state = TASK_OUT;
    task->leaving = false;
    give_up_place(workers, task);
}

/* false: it runs, and will be out when that is over. */
static bool try_to_take_out(struct workers *workers, struct task *task)
{
    assert(task->state != TASK_OUT && !task->leaving);
    if (task->state == TASK_RESTING) {
        take_out(workers, task);
        return true;
    }
    task->leaving = true;
    if (task->interrupt != NULL)
        task->interrupt(task);
    return false;
}

static void begin(struct workers *workers, struct job *job)
{
    job->waits_for = 0;
    for (struct task *task = job->removes; task != NULL; task = task->next) {
        task->waiter = job;
        job->waits_for += !try_to_take_out(workers, task);
    }
    if (job->waits_for == 0)
        make_ready(workers, job);
}

/* What was handed over meanwhile. Jobs are taken out first: so a task that one of them removes is in by then,
 * if it was added before. */
static void look_into_inboxes(struct workers *workers)
{
    struct link *jobs = inbox_take(&workers->submitted), *tasks = inbox_take(&workers->told);
    for (struct link *next; tasks != NULL; tasks = next) {
        next = tasks->next;
        struct task *task = of_told(tasks);
        /* Pairs with itself in wish(): release, so that it may be put in again, now that next is read;
         * acquire, for what was done before it was rung. */
        unsigned wishes = atomic_exchange_explicit(&task->wishes, 0, memory_order_acq_rel);
        if (wishes & WISH_IN)
            take_in(workers, task);
        if (wishes & WISH_RUN)
            hear_ring(workers, task);
    }
    for (struct link *next; jobs != NULL; jobs = next) {
        next = jobs->next;
        begin(workers, of_link(jobs));
    }
}

/* ---- on a worker ---- */

static void tell_that_it_left(struct task *task)
{
    if (task->left != NULL)
        task->left(task);
}

/* Nobody rings them from now on; and who has rung until now is heard, as their owners may free them next. */
static void tell_all_that_they_left(struct workers *workers, struct job *job)
{
    if (job->removes == NULL)
        return;
    for (struct task *task = job->removes, *next; task != NULL; task = next) {
        next = task->next; /* what left() let go of is not touched */
        tell_that_it_left(task);
    }
    job->removes = NULL;
    pthread_mutex_lock(&workers->lock);
    look_into_inboxes(workers);
    unlock_and_call(workers);
}

static void do_job(struct workers *workers)
{
    struct job *job = of_place(rounds_take(&workers->ready));
    workers->jobs_running++;
    unlock_and_call(workers);
    tell_all_that_they_left(workers, job);
    if (job->work != NULL)
        job->work(job);
    make_complete(workers, job);
    pthread_mutex_lock(&workers->lock);
    workers->jobs_running--;
    pthread_cond_broadcast(&workers->settled);
}

static void after_run(struct workers *workers, struct task *task, uint64_t due_ns)
{
    if (!task->asked)
        give_up_place(workers, task);
    if (!task->leaving) {
        rest_until(workers, task, task->rung ? 0 : due_ns);
        return;
    }
    struct job *waiter = task->waiter;
    take_out(workers, task);
    if (waiter != NULL && --waiter->waits_for == 0)
        make_ready(workers, waiter);
    if (waiter == NULL)
        pthread_cond_broadcast(&workers->settled);
}

static void count_running(struct workers *workers, const struct task *task, bool runs)
{
    if (task->quick)
        workers->quick_runs = runs;
    else
        workers->tasks_running += runs ? 1u : -1u;
}

static void run_task(struct workers *workers, uint64_t now_ns)
{
    struct task *task = of_due(next_task(workers));
    leave_heap(workers, task);
    task->state = TASK_RUNNING;
    task->rung = task->asked = false;
    count_running(workers, task, true);
    unlock_and_call(workers);
    uint64_t due_ns = task->run(task, now_ns);
    pthread_mutex_lock(&workers->lock);
    count_running(workers, task, false);
    after_run(workers, task, due_ns);
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    pthread_mutex_lock(&workers->lock);
    while (!workers->stop) {
        look_into_inboxes(workers);
        uint64_t due_ns = next_due(workers);
        uint64_t now_ns = due_ns == UINT64_MAX ? 0 : clock_monotonic_ns();
        if (job_may_run(workers))
            do_job(workers);
        else if (due_ns <= now_ns)
            run_task(workers, now_ns);
        else
            rest(workers, due_ns);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* ---- jobs, on the loop's thread ---- */

static void start(struct workers *workers, struct job *job)
{
    if (job->queue != NULL)
        job->queue->busy = true;
    job->refused = job->begin != NULL && !job->begin(job);
    if (job->refused) {
        job->removes = NULL;
        make_complete(workers, job);
    } else {
        inbox_put(&workers->submitted, &job->link);
        call_worker(workers);
    }
}

void job_removes(struct job *job, struct task *task)
{
    task->next = job->removes;
    job->removes = task;
}

void workers_submit(struct workers *workers, struct job_queue *queue, struct job *job)
{
    job->queue = queue;
    workers->jobs++;
    if (queue != NULL && queue->busy)
        rounds_put(&queue->waiting, &job->place, job->whose, job->whose == 0);
    else
        start(workers, job);
}

bool job_queue_is_last(const struct job_queue *queue)
{
    return rounds_is_empty(&queue->waiting);
}

void job_queue_end(struct workers *workers, struct job_queue *queue)
{
    assert(rounds_is_empty(&queue->waiting));
    if (workers->advancing == queue)
        workers->advancing = NULL;
}

void workers_completed(struct workers *workers)
{
    for (struct link *jobs = inbox_take(&workers->complete), *next; jobs != NULL; jobs = next) {
        next = jobs->next;
        struct job *job = of_link(jobs);
        workers->advancing = job->queue;
        workers->jobs--;
        job->done(job);
        struct job_queue *queue = workers->advancing; /* NULL: it is no more */
        workers->advancing = NULL;
        if (queue == NULL)
            continue;
        queue->busy = false;
        if (!rounds_is_empty(&queue->waiting))
            start(workers, of_place(rounds_take(&queue->waiting)));
    }
}

void workers_drain(struct workers *workers)
{
    while (workers->jobs > 0) {
        pthread_mutex_lock(&workers->lock);
        while (inbox_is_empty(&workers->complete))
            pthread_cond_wait(&workers->settled, &workers->lock);
        pthread_mutex_unlock(&workers->lock);
        workers_completed(workers);
    }
}

/* ---- tasks ---- */

static void wish(struct workers *workers, struct task *task, unsigned what)
{
    /* Pairs with the exchange in look_into_inboxes(). Who is not the first need not put it in: it is there,
     * or about to be, and nobody has heard its wishes yet. */
    if (atomic_fetch_or_explicit(&task->wishes, what, memory_order_acq_rel) == 0)
        inbox_put(&workers->told, &task->told);
    call_worker(workers);
}

void workers_add(struct workers *workers, struct task *task)
{
    wish(workers, task, WISH_IN);
}

void workers_ring(struct workers *workers, struct task *task)
{
    wish(workers, task, WISH_RUN);
}

void workers_remove(struct workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    look_into_inboxes(workers);
    task->waiter = NULL;
    if (!try_to_take_out(workers, task))
        while (task->state != TASK_OUT)
            pthread_cond_wait(&workers->settled, &workers->lock);
    unlock_and_call(workers);
    tell_that_it_left(task);
    pthread_mutex_lock(&workers->lock);
    look_into_inboxes(workers); /* as in tell_all_that_they_left() */
    unlock_and_call(workers);
}

bool lane_enter(struct workers *workers, struct lane *lane, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    bool enters = !lane->taken && (lane->first == NULL || lane->first == task);
    if (enters) {
        lane->taken = true;
        give_up_place(workers, task);
    } else {
        keep_place_in(lane, task);
    }
    task->asked = true;
    pthread_mutex_unlock(&workers->lock);
    return enters;
}

void lane_leave(struct workers *workers, struct lane *lane)
{
    pthread_mutex_lock(&workers->lock);
    lane->taken = false;
    ring_next_in(workers, lane);
    unlock_and_call(workers);
}

bool workers_may_linger(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool may = !workers->stop && atomic_load_explicit(&workers->idle, memory_order_relaxed) >=
                                     3; /* for a job, for a task, and for a quick one */
    pthread_mutex_unlock(&workers->lock);
    return may;
}

/* ---- the threads ---- */

static void end_threads(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    /* Relaxed: it is under the lock, as stop is. */
    atomic_fetch_add_explicit(&workers->calls, 1, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
    futex_wake_all(&workers->calls);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
}

static void release(struct workers *workers)
{
    close(workers->event_fd);
    workers->event_fd = -1;
    pthread_cond_destroy(&workers->settled);
    pthread_mutex_destroy(&workers->lock);
}

int workers_start(struct workers *workers, unsigned threads)
{
    threads = threads < WORKERS_MIN ? WORKERS_MIN : threads;
    threads = threads > WORKERS_MAX ? WORKERS_MAX : threads;
    *workers = (struct workers){.event_fd = eventfd(0, EFD_CLOEXEC), .led_until_ns = UINT64_MAX};
    if (workers->event_fd < 0)
        return HERMES_ELIMIT;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->settled, NULL);
    int rc = HERMES_OK;
    pthread_mutex_lock(&workers->lock); /* how many there are is known before the first looks */
    for (unsigned i = 0; i < threads + 1 && rc == 0; i++) {
        rc = thread_start(&workers->threads[i], worker_main, workers);
        workers->thread_count += rc == 0;
    }
    pthread_mutex_unlock(&workers->lock);
    if (rc < 0) {
        end_threads(workers);
        release(workers);
    }
    return rc;
}

void workers_stop(struct workers *workers)
{
    if (workers->event_fd < 0)
        return;
    workers_drain(workers);
    end_threads(workers);
    release(workers);
}
