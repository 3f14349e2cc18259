#include "broker/workers.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "base/wait.h"

/* ---- the heap: which task is due first (R. W. Floyd, Algorithm 245, CACM 7, 1964) ---- */

static void put(struct workers *workers, unsigned at, struct task *task)
{
    workers->heap[at] = task;
    task->place = at + 1;
}

static void rise(struct workers *workers, unsigned at, struct task *task)
{
    while (at > 0 && workers->heap[(at - 1) / 2]->due_ns > task->due_ns) {
        put(workers, at, workers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(workers, at, task);
}

static void sink(struct workers *workers, unsigned at, struct task *task)
{
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child + 1 < workers->heap_count &&
            workers->heap[child + 1]->due_ns < workers->heap[child]->due_ns)
            child++;
        if (child >= workers->heap_count || workers->heap[child]->due_ns >= task->due_ns)
            break;
        put(workers, at, workers->heap[child]);
        at = child;
    }
    put(workers, at, task);
}

static void heap_remove(struct workers *workers, struct task *task)
{
    if (task->place == 0)
        return;
    unsigned at = task->place - 1;
    task->place = 0;
    struct task *last = workers->heap[--workers->heap_count];
    if (last == task)
        return;
    if (at > 0 && workers->heap[(at - 1) / 2]->due_ns > last->due_ns)
        rise(workers, at, last);
    else
        sink(workers, at, last);
}

static void rest_until(struct workers *workers, struct task *task, uint64_t due_ns)
{
    task->state = TASK_RESTING;
    task->due_ns = due_ns != 0 ? due_ns : clock_monotonic_ns(); /* not before those that wait longer */
    if (due_ns != TASK_WHEN_RUNG)
        rise(workers, workers->heap_count++, task);
}

/* ---- who does what: all under the lock ---- */

static bool job_may_run(const struct workers *workers)
{
    return workers->ready != NULL && workers->jobs_running < workers->thread_count - 1;
}

/* When somebody has to do something; UINT64_MAX: not before something happens. */
static uint64_t next_due(const struct workers *workers)
{
    if (job_may_run(workers))
        return 0;
    if (workers->stop || workers->heap_count == 0 || workers->tasks_running >= workers->thread_count - 1)
        return UINT64_MAX;
    return workers->heap[0]->due_ns;
}

/*
 * One idle worker, the leader, sleeps until something is due; the others until they are called. Whoever
 * brings something, or lets go of the lock without having done all there is, asks here: so there is a
 * leader, and it sleeps not too long. Nobody is woken where nothing changes for the leader. NULL: nobody.
 */
static _Atomic uint32_t *whom_to_wake(struct workers *workers)
{
    _Atomic uint32_t *who = NULL;
    uint64_t due_ns = next_due(workers);
    if (due_ns == UINT64_MAX)
        return NULL;
    if (workers->led && due_ns < workers->leader_until_ns) {
        workers->leader_until_ns = due_ns; /* told once */
        who = &workers->leads;
    } else if (!workers->led && workers->followers > 0) {
        who = &workers->follows;
    }
    if (who != NULL) /* under the lock, as it is read before a wait: the order is the lock's */
        atomic_fetch_add_explicit(who, 1, memory_order_relaxed);
    return who;
}

static void wait_for(struct workers *workers, const _Atomic uint32_t *word, uint64_t timeout_ns)
{
    uint32_t seen = atomic_load_explicit(word, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
    (void)futex_wait(word, seen, timeout_ns);
    pthread_mutex_lock(&workers->lock);
}

/* Whoever is woken may have our processor at once: not while we hold what the loop may want. */
static void unlock_and_inform(struct workers *workers)
{
    const _Atomic uint32_t *who = whom_to_wake(workers);
    pthread_mutex_unlock(&workers->lock);
    if (who != NULL)
        futex_wake_one(who);
}

static void append(struct job **first, struct job **last, struct job *job)
{
    job->next = NULL;
    if (*first == NULL)
        *first = job;
    else
        (*last)->next = job;
    *last = job;
}

static struct job *take_first(struct job **first)
{
    struct job *job = *first;
    *first = job->next;
    return job;
}

static void make_ready(struct workers *workers, struct job *job)
{
    append(&workers->ready, &workers->ready_last, job);
}

/* The loop is to be woken, without the lock, for the first of those that it has not seen: true. */
static bool make_complete(struct workers *workers, struct job *job)
{
    bool first = workers->complete == NULL;
    append(&workers->complete, &workers->complete_last, job);
    pthread_cond_broadcast(&workers->settled);
    return first;
}

static void wake_loop(const struct workers *workers)
{
    uint64_t one = 1;
    (void)!write(workers->event_fd, &one, sizeof one); /* full: it is readable anyway */
}

static void take_out(struct workers *workers, struct task *task)
{
    heap_remove(workers, task);
    task->state = TASK_OUT;
    task->leaving = false;
    workers->task_count--;
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

/* ---- on a worker ---- */

static void tell_that_it_left(struct task *task)
{
    if (task->left != NULL)
        task->left(task);
}

static void do_job(struct workers *workers)
{
    struct job *job = take_first(&workers->ready);
    workers->jobs_running++;
    unlock_and_inform(workers);
    for (struct task *task = job->removes, *next; task != NULL; task = next) {
        next = task->next; /* what left() let go of is not touched */
        tell_that_it_left(task);
    }
    job->removes = NULL;
    if (job->work != NULL)
        job->work(job);
    pthread_mutex_lock(&workers->lock);
    workers->jobs_running--;
    if (make_complete(workers, job)) {
        pthread_mutex_unlock(&workers->lock);
        wake_loop(workers);
        pthread_mutex_lock(&workers->lock);
    }
}

static void after_run(struct workers *workers, struct task *task, uint64_t due_ns)
{
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

static void run_task(struct workers *workers, uint64_t now_ns)
{
    struct task *task = workers->heap[0];
    heap_remove(workers, task);
    task->state = TASK_RUNNING;
    task->rung = false;
    workers->tasks_running++;
    unlock_and_inform(workers);
    uint64_t due_ns = task->run(task, now_ns);
    pthread_mutex_lock(&workers->lock);
    workers->tasks_running--;
    after_run(workers, task, due_ns);
}

static void lead_until(struct workers *workers, uint64_t due_ns)
{
    workers->led = true;
    workers->leader_until_ns = due_ns;
    wait_for(workers, &workers->leads, due_ns == UINT64_MAX ? FUTEX_FOREVER : clock_left_ns(due_ns));
    workers->led = false;
}

static void follow(struct workers *workers)
{
    const _Atomic uint32_t *who = whom_to_wake(workers); /* for what this worker brought back */
    if (who != NULL) {
        pthread_mutex_unlock(&workers->lock);
        futex_wake_one(who);
        pthread_mutex_lock(&workers->lock);
        return; /* and looks again */
    }
    workers->followers++;
    wait_for(workers, &workers->follows, FUTEX_FOREVER);
    workers->followers--;
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    pthread_mutex_lock(&workers->lock);
    while (!workers->stop) {
        uint64_t due_ns = next_due(workers);
        uint64_t now_ns = due_ns == 0 || due_ns == UINT64_MAX ? 0 : clock_monotonic_ns();
        if (job_may_run(workers))
            do_job(workers);
        else if (due_ns <= now_ns)
            run_task(workers, now_ns != 0 ? now_ns : clock_monotonic_ns());
        else if (workers->led)
            follow(workers);
        else
            lead_until(workers, due_ns);
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
    bool wakes = false;
    pthread_mutex_lock(&workers->lock);
    job->waits_for = 0;
    if (job->refused) {
        job->removes = NULL;
        wakes = make_complete(workers, job);
    } else {
        for (struct task *task = job->removes; task != NULL; task = task->next) {
            task->waiter = job;
            job->waits_for += !try_to_take_out(workers, task);
        }
        if (job->waits_for == 0)
            make_ready(workers, job);
    }
    unlock_and_inform(workers);
    if (wakes)
        wake_loop(workers);
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
        append(&queue->first, &queue->last, job);
    else
        start(workers, job);
}

bool job_queue_is_last(const struct job_queue *queue)
{
    return queue->first == NULL;
}

void job_queue_end(struct workers *workers, struct job_queue *queue)
{
    assert(queue->first == NULL);
    if (workers->advancing == queue)
        workers->advancing = NULL;
}

void workers_completed(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    struct job *jobs = workers->complete;
    workers->complete = NULL;
    pthread_mutex_unlock(&workers->lock);
    while (jobs != NULL) {
        struct job *job = take_first(&jobs);
        workers->advancing = job->queue;
        workers->jobs--;
        job->done(job);
        struct job_queue *queue = workers->advancing; /* NULL: it is no more */
        workers->advancing = NULL;
        if (queue == NULL)
            continue;
        queue->busy = false;
        if (queue->first != NULL)
            start(workers, take_first(&queue->first));
    }
}

void workers_drain(struct workers *workers)
{
    while (workers->jobs > 0) {
        pthread_mutex_lock(&workers->lock);
        while (workers->complete == NULL)
            pthread_cond_wait(&workers->settled, &workers->lock);
        pthread_mutex_unlock(&workers->lock);
        workers_completed(workers);
    }
}

/* ---- tasks ---- */

int workers_add(struct workers *workers, struct task *task)
{
    int rc = HERMES_OK;
    pthread_mutex_lock(&workers->lock);
    assert(task->state == TASK_OUT);
    if (workers->task_count == workers->task_room) {
        unsigned room = workers->task_room == 0 ? 64 : workers->task_room * 2;
        struct task **grown = realloc(workers->heap, room * sizeof(struct task *));
        if (grown == NULL) {
            rc = HERMES_ENOMEM;
        } else {
            workers->heap = grown;
            workers->task_room = room;
        }
    }
    if (rc == 0) {
        workers->task_count++;
        task->waiter = NULL;
        rest_until(workers, task, 0);
    }
    unlock_and_inform(workers);
    return rc;
}

void workers_ring(struct workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    if (task->state == TASK_RUNNING) {
        task->rung = true;
        if (task->interrupt != NULL)
            task->interrupt(task);
    } else if (task->state == TASK_RESTING) {
        heap_remove(workers, task);
        rest_until(workers, task, 0);
    }
    unlock_and_inform(workers);
}

void workers_remove(struct workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    task->waiter = NULL;
    if (!try_to_take_out(workers, task))
        while (task->state != TASK_OUT)
            pthread_cond_wait(&workers->settled, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    tell_that_it_left(task);
}

bool workers_may_linger(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool may = !workers->stop && workers->followers + workers->led >= 2; /* for a job, and for a task */
    pthread_mutex_unlock(&workers->lock);
    return may;
}

/* ---- the threads ---- */

static void end_threads(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    atomic_fetch_add_explicit(&workers->leads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&workers->follows, 1, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
    futex_wake_all(&workers->leads);
    futex_wake_all(&workers->follows);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
}

static void release(struct workers *workers)
{
    close(workers->event_fd);
    workers->event_fd = -1;
    free(workers->heap);
    workers->heap = NULL;
    pthread_cond_destroy(&workers->settled);
    pthread_mutex_destroy(&workers->lock);
}

int workers_start(struct workers *workers, unsigned threads)
{
    threads = threads < WORKERS_MIN ? WORKERS_MIN : threads;
    threads = threads > WORKERS_MAX ? WORKERS_MAX : threads;
    *workers = (struct workers){.event_fd = eventfd(0, EFD_CLOEXEC)};
    if (workers->event_fd < 0)
        return HERMES_ELIMIT;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->settled, NULL);
    int rc = HERMES_OK;
    pthread_mutex_lock(&workers->lock); /* how many there are is known before the first looks */
    for (unsigned i = 0; i < threads && rc == 0; i++) {
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
