/* The worker pool: who runs, in which order, and beside whom. Nothing waits for a while: everybody waits for
 * somebody. */
#include "test.h"

#include <poll.h>
#include <pthread.h>

#include "base/wait.h"
#include "broker/workers.h"

/* A gate: shut until it is opened, for good. */
struct gate {
    _Atomic uint32_t open;
};

/* Release and acquire: what was done before a gate was opened is seen by who passes it. */
static void gate_open(struct gate *gate)
{
    atomic_store_explicit(&gate->open, 1, memory_order_release);
    futex_wake_all(&gate->open);
}

static void gate_pass(struct gate *gate)
{
    while (atomic_load_explicit(&gate->open, memory_order_acquire) == 0)
        futex_wait(&gate->open, 0, FUTEX_FOREVER);
}

/* What happened, in its order. */
static struct {
    pthread_mutex_t lock;
    char bytes[256];
    size_t length;
} story = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void tell(char what)
{
    pthread_mutex_lock(&story.lock);
    assert_true(story.length < sizeof story.bytes - 1);
    story.bytes[story.length++] = what;
    story.bytes[story.length] = 0;
    pthread_mutex_unlock(&story.lock);
}

static void begin_story(void)
{
    story.length = 0;
    story.bytes[0] = 0;
}

static void await_completion(struct workers *workers)
{
    struct pollfd event = {.fd = workers->event_fd, .events = POLLIN};
    assert_int_equal(poll(&event, 1, -1), 1);
    uint64_t count;
    assert_int_equal(read(workers->event_fd, &count, sizeof count), sizeof count);
    workers_completed(workers);
}

/* ---- jobs ---- */

struct step {
    struct job job;
    char name;
    struct gate *entered, *until;
    pthread_t worker, loop;
    bool done;
};

static void work(struct job *job)
{
    struct step *step = (struct step *)job;
    step->worker = pthread_self();
    tell(step->name);
    if (step->entered != NULL)
        gate_open(step->entered);
    if (step->until != NULL)
        gate_pass(step->until);
}

static void done(struct job *job)
{
    struct step *step = (struct step *)job;
    step->loop = pthread_self();
    step->done = true;
    tell((char)(step->name - 'a' + 'A'));
}

static struct step step_named(char name)
{
    return (struct step){.job = {.work = work, .done = done}, .name = name};
}

static void a_job_is_worked_on_elsewhere_and_done_on_the_loop(void **state)
{
    (void)state;
    struct workers workers;
    assert_int_equal(workers_start(&workers, 2), 0);
    struct step step = step_named('a');
    workers_submit(&workers, NULL, &step.job);
    while (!step.done)
        await_completion(&workers);
    assert_false(pthread_equal(step.worker, pthread_self()));
    assert_true(pthread_equal(step.loop, pthread_self()));
    workers_stop(&workers);
    workers_stop(&workers); /* the second time it is nothing */
}

static void jobs_of_a_queue_come_one_after_the_other(void **state)
{
    (void)state;
    struct workers workers;
    struct job_queue queue = {0};
    struct gate gate = {0};
    assert_int_equal(workers_start(&workers, 4), 0);
    begin_story();
    struct step steps[] = {step_named('a'), step_named('b'), step_named('c')};
    steps[0].until = &gate;
    for (int i = 0; i < 3; i++)
        workers_submit(&workers, &queue, &steps[i].job);
    /* While the first is held, one of another queue comes and goes. */
    struct job_queue other = {0};
    struct step beside = step_named('x');
    workers_submit(&workers, &other, &beside.job);
    while (!beside.done)
        await_completion(&workers);
    assert_false(steps[1].done);
    gate_open(&gate);
    while (!steps[2].done)
        await_completion(&workers);
    /* Each is done on the loop before the next begins. */
    char serial[8] = "";
    for (size_t i = 0, used = 0; i < story.length; i++)
        if (story.bytes[i] != 'x' && story.bytes[i] != 'X')
            serial[used++] = story.bytes[i];
    assert_string_equal(serial, "aAbBcC");
    workers_stop(&workers);
}

static void jobs_of_different_queues_run_at_the_same_time(void **state)
{
    (void)state;
    struct workers workers;
    struct job_queue one = {0}, two = {0};
    struct gate first = {0}, second = {0};
    assert_int_equal(workers_start(&workers, 3), 0);
    struct step a = step_named('a'), b = step_named('b');
    a.entered = b.until = &first;
    b.entered = a.until = &second;
    workers_submit(&workers, &one, &a.job);
    workers_submit(&workers, &two, &b.job);
    workers_drain(&workers); /* neither goes on without the other */
    assert_true(a.done && b.done);
    workers_stop(&workers);
}

static bool refuse(struct job *job)
{
    tell((char)((struct step *)job)->name);
    return false;
}

static void a_job_is_asked_when_its_turn_comes_whether_it_still_is_to_be(void **state)
{
    (void)state;
    struct workers workers;
    struct job_queue queue = {0};
    struct gate gate = {0};
    assert_int_equal(workers_start(&workers, 2), 0);
    begin_story();
    struct step a = step_named('a'), b = step_named('b'), c = step_named('c');
    a.until = &gate;
    b.job.begin = refuse;
    workers_submit(&workers, &queue, &a.job);
    workers_submit(&workers, &queue, &b.job);
    workers_submit(&workers, &queue, &c.job);
    gate_open(&gate);
    workers_drain(&workers);
    assert_string_equal(story.bytes, "aAbBcC"); /* b: asked, not worked on */
    assert_true(b.job.refused && !c.job.refused);
    struct step alone = step_named('d');
    alone.job.begin = refuse;
    workers_submit(&workers, &queue, &alone.job);
    assert_false(alone.done); /* never within workers_submit() */
    workers_drain(&workers);
    assert_true(alone.done && alone.job.refused);
    workers_stop(&workers);
}

static void one_job_of_each_user_comes_in_turn(void **state)
{
    (void)state;
    static const char names[] = "aaaabXac"; /* X: nobody's */
    enum { JOBS = sizeof names - 1 };
    for (int queued = 0; queued < 2; queued++) {
        struct workers workers;
        struct job_queue queue = {0};
        struct gate entered = {0}, gate = {0};
        struct step hold = step_named('h'), steps[JOBS];
        assert_int_equal(workers_start(&workers, 2), 0); /* one for jobs */
        begin_story();
        hold.entered = &entered;
        hold.until = &gate;
        workers_submit(&workers, queued ? &queue : NULL, &hold.job);
        gate_pass(&entered);
        for (int i = 0; i < JOBS; i++) {
            steps[i] = step_named(names[i]);
            steps[i].job.whose = names[i] == 'X' ? 0 : (uint64_t)names[i];
            workers_submit(&workers, queued ? &queue : NULL, &steps[i].job);
        }
        gate_open(&gate);
        workers_drain(&workers);
        char order[JOBS + 2] = "";
        for (size_t i = 0, used = 0; i < story.length; i++) /* what was worked on; done() of X tells '8' */
            if ((story.bytes[i] >= 'a' && story.bytes[i] <= 'z') || story.bytes[i] == 'X')
                order[used++] = story.bytes[i];
        /* In a queue what is nobody's comes behind what was there, and before what came later. */
        assert_string_equal(order, queued ? "habaaaXac" : "habXcaaaa");
        workers_stop(&workers);
    }
}

struct owner {
    struct job_queue queue;
    struct workers *workers;
    struct step step;
};

static void done_with_the_owner(struct job *job)
{
    struct owner *owner = (struct owner *)(void *)((char *)job - offsetof(struct owner, step));
    assert_true(job_queue_is_last(&owner->queue));
    job_queue_end(owner->workers, &owner->queue);
    free(owner);
}

static void the_last_job_of_a_queue_may_free_it(void **state)
{
    (void)state;
    struct workers workers;
    assert_int_equal(workers_start(&workers, 2), 0);
    struct owner *owner = calloc(1, sizeof *owner);
    assert_non_null(owner);
    owner->workers = &workers;
    owner->step = step_named('a');
    owner->step.job.done = done_with_the_owner;
    workers_submit(&workers, &owner->queue, &owner->step.job);
    workers_drain(&workers);
    workers_stop(&workers);
}

struct chain {
    struct job job;
    struct workers *workers;
    int left;
};

static void again(struct job *job)
{
    struct chain *chain = (struct chain *)job;
    if (--chain->left > 0)
        workers_submit(chain->workers, job->queue, job);
}

static void a_stop_waits_for_jobs_and_those_that_they_bring(void **state)
{
    (void)state;
    struct workers workers;
    struct job_queue queue = {0};
    assert_int_equal(workers_start(&workers, 3), 0);
    struct chain alone = {{.done = again}, &workers, 100}, queued = {{.done = again}, &workers, 100};
    workers_submit(&workers, NULL, &alone.job);
    workers_submit(&workers, &queue, &queued.job);
    workers_stop(&workers);
    assert_int_equal(alone.left, 0);
    assert_int_equal(queued.left, 0);
}

/* ---- tasks ---- */

struct errand {
    struct task task;
    struct gate entered, until; /* until: stays in run() */
    bool held;
    uint64_t due_ns;
    _Atomic int inside;
    _Atomic uint32_t runs;
    bool left;
    struct gate interrupted;
};

static uint64_t run(struct task *task, uint64_t now_ns)
{
    struct errand *errand = (struct errand *)task;
    assert_true(now_ns >= errand->due_ns);
    assert_int_equal(atomic_fetch_add(&errand->inside, 1), 0);
    gate_open(&errand->entered);
    if (errand->held)
        gate_pass(&errand->until);
    atomic_fetch_sub(&errand->inside, 1);
    /* Release pairs with the acquire in await_runs(). */
    atomic_fetch_add_explicit(&errand->runs, 1, memory_order_release);
    futex_wake_all(&errand->runs);
    return TASK_WHEN_RUNG;
}

static void left(struct task *task)
{
    ((struct errand *)task)->left = true;
    tell('l');
}

static void await_runs(struct errand *errand, uint32_t runs)
{
    uint32_t now;
    while ((now = atomic_load_explicit(&errand->runs, memory_order_acquire)) < runs)
        futex_wait(&errand->runs, now, FUTEX_FOREVER);
}

static struct errand an_errand(void)
{
    return (struct errand){.task = {.run = run, .left = left}};
}

static void however_many_tasks_hang_jobs_and_others_go_on(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct workers workers;
    struct errand hang[THREADS], other = an_errand();
    assert_int_equal(workers_start(&workers, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        hang[i] = an_errand();
        hang[i].held = true;
    }
    for (int i = 0; i < THREADS - 2; i++) {
        workers_add(&workers, &hang[i].task);
        gate_pass(&hang[i].entered);
    }
    workers_add(&workers, &other.task);
    await_runs(&other, 1);
    for (uint32_t i = 2; i < 100; i++) {
        workers_ring(&workers, &other.task);
        await_runs(&other, i);
    }
    /* More than there are workers for: the last is kept for jobs. */
    for (int i = THREADS - 2; i < THREADS; i++)
        workers_add(&workers, &hang[i].task);
    struct chain jobs = {{.done = again}, &workers, 1000};
    workers_submit(&workers, NULL, &jobs.job);
    workers_drain(&workers);
    for (int i = 0; i < THREADS; i++)
        gate_open(&hang[i].until);
    for (int i = 0; i < THREADS; i++)
        workers_remove(&workers, &hang[i].task);
    workers_remove(&workers, &other.task);
    workers_stop(&workers);
}

static void however_many_jobs_hang_tasks_go_on(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    struct workers workers;
    struct gate gate = {0};
    struct step steps[2 * THREADS];
    struct errand errand = an_errand();
    assert_int_equal(workers_start(&workers, THREADS), 0);
    begin_story();
    for (int i = 0; i < 2 * THREADS; i++) {
        steps[i] = step_named('a');
        steps[i].until = &gate;
        workers_submit(&workers, NULL, &steps[i].job);
    }
    workers_add(&workers, &errand.task);
    await_runs(&errand, 1);
    gate_open(&gate);
    workers_drain(&workers);
    workers_remove(&workers, &errand.task);
    workers_stop(&workers);
}

static void a_ring_while_a_task_runs_has_it_run_again(void **state)
{
    (void)state;
    struct workers workers;
    struct errand errand = an_errand();
    errand.held = true;
    assert_int_equal(workers_start(&workers, 3), 0);
    workers_add(&workers, &errand.task);
    gate_pass(&errand.entered);
    workers_ring(&workers, &errand.task);
    gate_open(&errand.until);
    await_runs(&errand, 2);
    workers_remove(&workers, &errand.task);
    assert_int_equal(atomic_load(&errand.runs), 2);
    workers_stop(&workers);
}

enum { RINGERS = 3, RINGS = 3000 };

struct crowd {
    struct task task;
    struct workers *workers;
    _Atomic int inside;
    _Atomic uint32_t wanted, seen;
};

static uint64_t see(struct task *task, uint64_t now_ns)
{
    struct crowd *crowd = (struct crowd *)task;
    (void)now_ns;
    assert_int_equal(atomic_fetch_add(&crowd->inside, 1), 0);
    uint32_t wanted = atomic_load_explicit(&crowd->wanted, memory_order_relaxed);
    atomic_fetch_sub(&crowd->inside, 1);
    atomic_store_explicit(&crowd->seen, wanted, memory_order_release);
    futex_wake_all(&crowd->seen);
    return TASK_WHEN_RUNG;
}

static void *ring_often(void *argument)
{
    struct crowd *crowd = argument;
    for (int i = 0; i < RINGS; i++) {
        /* Relaxed: the pool's lock in workers_ring() makes it visible to the run that follows. */
        atomic_fetch_add_explicit(&crowd->wanted, 1, memory_order_relaxed);
        workers_ring(crowd->workers, &crowd->task);
    }
    return NULL;
}

static void no_ring_is_lost_and_a_task_never_runs_twice_at_once(void **state)
{
    (void)state;
    struct workers workers;
    struct crowd crowd = {.task = {.run = see}, .workers = &workers};
    assert_int_equal(workers_start(&workers, 4), 0);
    workers_add(&workers, &crowd.task);
    pthread_t threads[RINGERS];
    for (int i = 0; i < RINGERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ring_often, &crowd), 0);
    for (int i = 0; i < RINGERS; i++)
        pthread_join(threads[i], NULL);
    uint32_t seen;
    while ((seen = atomic_load_explicit(&crowd.seen, memory_order_acquire)) != RINGERS * RINGS)
        futex_wait(&crowd.seen, seen, FUTEX_FOREVER);
    workers_remove(&workers, &crowd.task);
    workers_stop(&workers);
}

/* The only worker that is left goes to sleep again and again while somebody hands it something over. */
static void who_is_about_to_sleep_hears_the_call(void **state)
{
    (void)state;
    struct workers workers;
    struct errand hang = an_errand();
    hang.held = true;
    assert_int_equal(workers_start(&workers, 2), 0);
    workers_add(&workers, &hang.task);
    gate_pass(&hang.entered);
    struct chain jobs = {{.done = again}, &workers, 100000};
    workers_submit(&workers, NULL, &jobs.job);
    while (jobs.left > 0)
        workers_completed(&workers);
    gate_open(&hang.until);
    workers_remove(&workers, &hang.task);
    workers_stop(&workers);
}

/* The workers' lock is had by somebody who does not go on. */
static void who_has_the_pools_lock_does_not_hold_the_loop_up(void **state)
{
    (void)state;
    struct workers workers;
    struct errand errand = an_errand();
    struct step before = step_named('a'), refused = step_named('b'), behind = step_named('c');
    refused.job.begin = refuse;
    assert_int_equal(workers_start(&workers, 3), 0);
    begin_story();
    workers_submit(&workers, NULL, &before.job);
    struct pollfd event = {.fd = workers.event_fd, .events = POLLIN};
    assert_int_equal(poll(&event, 1, -1), 1);
    pthread_mutex_lock(&workers.lock);
    workers_completed(&workers);
    assert_true(before.done);
    workers_submit(&workers, NULL, &refused.job);
    workers_submit(&workers, NULL, &behind.job);
    workers_add(&workers, &errand.task);
    workers_ring(&workers, &errand.task);
    while (!refused.done)
        workers_completed(&workers);
    assert_false(behind.done);
    pthread_mutex_unlock(&workers.lock);
    workers_drain(&workers);
    await_runs(&errand, 1);
    workers_remove(&workers, &errand.task);
    workers_stop(&workers);
}

/* ---- time ---- */

struct clockwork {
    struct task task;
    uint64_t step_ns; /* 0: it always wants to run at once */
    uint64_t due_ns, latest_ns;
    unsigned left;
    struct gate over;
};

static uint64_t tick(struct task *task, uint64_t now_ns)
{
    struct clockwork *clockwork = (struct clockwork *)task;
    assert_true(now_ns >= clockwork->due_ns);
    assert_true(now_ns >= clockwork->latest_ns);
    clockwork->latest_ns = now_ns;
    if (clockwork->step_ns == 0)
        return 0;
    if (--clockwork->left == 0) {
        gate_open(&clockwork->over);
        return TASK_WHEN_RUNG;
    }
    return clockwork->due_ns = now_ns + clockwork->step_ns;
}

enum { CLOCKS = 200 };

/* One of so many always wants to run at once; 0: none does. */
static void run_clocks(int restless)
{
    struct workers workers;
    static struct clockwork clocks[CLOCKS];
    uint64_t seed = 42;
    assert_int_equal(workers_start(&workers, 4), 0);
    for (int i = 0; i < CLOCKS; i++) {
        clocks[i] = (struct clockwork){
            .task = {.run = tick}, .step_ns = 1 + test_random(&seed) % 2000000, .left = 50};
        if (restless != 0 && i % restless == 0)
            clocks[i].step_ns = 0;
        workers_add(&workers, &clocks[i].task);
    }
    for (int i = 0; i < CLOCKS; i++)
        if (clocks[i].step_ns != 0)
            gate_pass(&clocks[i].over);
    for (int i = 0; i < CLOCKS; i++)
        workers_remove(&workers, &clocks[i].task);
    workers_stop(&workers);
}

static void tasks_run_when_they_are_due_and_never_before(void **state)
{
    (void)state;
    run_clocks(0);
}

static void who_always_wants_to_run_keeps_no_other_from_its_turn(void **state)
{
    (void)state;
    run_clocks(10);
}

struct meeting {
    struct task task;
    struct gate *mine, *others;
    unsigned runs;
};

static uint64_t meet(struct task *task, uint64_t now_ns)
{
    struct meeting *meeting = (struct meeting *)task;
    if (meeting->runs++ == 0)
        return now_ns + 1000000;
    gate_open(meeting->mine);
    gate_pass(meeting->others);
    return TASK_WHEN_RUNG;
}

/* Nobody brings anything meanwhile: it is time alone that makes them due. */
static void tasks_that_are_due_together_run_together(void **state)
{
    (void)state;
    enum { ROUNDS = 50 };
    struct workers workers;
    assert_int_equal(workers_start(&workers, 3), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct gate a = {0}, b = {0};
        struct meeting one = {{.run = meet}, &a, &b, 0}, two = {{.run = meet}, &b, &a, 0};
        workers_add(&workers, &one.task);
        workers_add(&workers, &two.task);
        gate_pass(&a);
        gate_pass(&b);
        workers_remove(&workers, &one.task);
        workers_remove(&workers, &two.task);
    }
    workers_stop(&workers);
}

/* ---- taking tasks out ---- */

static void a_job_begins_when_the_tasks_that_it_removes_are_out(void **state)
{
    (void)state;
    struct workers workers;
    struct errand busy[2] = {an_errand(), an_errand()}, resting = an_errand();
    assert_int_equal(workers_start(&workers, 4), 0);
    begin_story();
    workers_add(&workers, &resting.task);
    await_runs(&resting, 1);
    struct step removal = step_named('a'), beside = step_named('b');
    job_removes(&removal.job, &resting.task);
    for (int i = 0; i < 2; i++) {
        busy[i].held = true;
        workers_add(&workers, &busy[i].task);
        gate_pass(&busy[i].entered);
        job_removes(&removal.job, &busy[i].task);
    }
    workers_submit(&workers, NULL, &removal.job);
    workers_ring(&workers, &busy[0].task); /* too late to count */
    workers_ring(&workers, &resting.task);
    gate_open(&busy[0].until);
    await_runs(&busy[0], 1);
    workers_submit(&workers, NULL, &beside.job); /* the loop goes on meanwhile */
    while (!beside.done)
        await_completion(&workers);
    assert_false(removal.done);
    gate_open(&busy[1].until);
    workers_drain(&workers);
    assert_true(busy[0].left && busy[1].left && resting.left);
    assert_string_equal(story.bytes, "bBlllaA");
    assert_int_equal(atomic_load(&busy[0].runs), 1);
    assert_int_equal(atomic_load(&busy[1].runs), 1);
    assert_int_equal(atomic_load(&resting.runs), 1);
    /* And it may come back. */
    workers_add(&workers, &busy[0].task);
    await_runs(&busy[0], 2);
    workers_remove(&workers, &busy[0].task);
    workers_stop(&workers);
}

struct leaver {
    struct errand errand;
    struct workers *workers;
};

static void ring_once_more(struct task *task)
{
    struct leaver *leaver = (struct leaver *)task;
    workers_ring(leaver->workers, task);
}

struct bin {
    struct step step;
    struct leaver *leaver;
};

static void throw_away(struct job *job)
{
    struct bin *bin = (struct bin *)job;
    memset(bin->leaver, 0xff, sizeof *bin->leaver);
    free(bin->leaver);
}

static void who_rings_until_a_task_has_left_rings_nothing_that_is_freed(void **state)
{
    (void)state;
    struct workers workers;
    assert_int_equal(workers_start(&workers, 3), 0);
    for (int i = 0; i < 100; i++) {
        struct leaver *leaver = calloc(1, sizeof *leaver);
        assert_non_null(leaver);
        *leaver = (struct leaver){an_errand(), &workers};
        leaver->errand.task.left = ring_once_more;
        workers_add(&workers, &leaver->errand.task);
        struct bin bin = {step_named('a'), leaver};
        bin.step.job.work = throw_away;
        struct chain chain = {{.done = again}, &workers, 3};
        begin_story();
        job_removes(&bin.step.job, &leaver->errand.task);
        workers_submit(&workers, NULL, &bin.step.job);
        workers_submit(&workers, NULL, &chain.job);
        workers_drain(&workers);
    }
    struct leaver leaver = {an_errand(), &workers};
    leaver.errand.task.left = ring_once_more;
    workers_add(&workers, &leaver.errand.task);
    workers_remove(&workers, &leaver.errand.task);
    assert_int_equal(atomic_load(&leaver.errand.task.wishes), 0); /* heard, and nothing came of it */
    workers_stop(&workers);
}

static uint64_t sleep_until_interrupted(struct task *task, uint64_t now_ns)
{
    struct errand *errand = (struct errand *)task;
    (void)now_ns;
    gate_open(&errand->entered);
    gate_pass(&errand->interrupted);
    return 0;
}

static void interrupt(struct task *task)
{
    gate_open(&((struct errand *)task)->interrupted);
}

static void who_sleeps_in_a_task_is_interrupted_when_it_is_to_go(void **state)
{
    (void)state;
    struct workers workers;
    assert_int_equal(workers_start(&workers, 3), 0);
    struct errand errand = {.task = {.run = sleep_until_interrupted, .interrupt = interrupt}};
    workers_add(&workers, &errand.task);
    gate_pass(&errand.entered);
    workers_remove(&workers, &errand.task);
    errand.entered = errand.interrupted = (struct gate){0};
    workers_add(&workers, &errand.task);
    gate_pass(&errand.entered);
    struct step step = step_named('a');
    job_removes(&step.job, &errand.task);
    workers_submit(&workers, NULL, &step.job);
    workers_drain(&workers);
    workers_stop(&workers);
}

/* ---- one at a time ---- */

struct clerk {
    struct task task;
    struct workers *workers;
    struct lane *lane;
    char name;
    bool goes_in; /* false: wants nothing any more */
    struct gate *until;
    struct gate asked, came_back, left;
};

static uint64_t go_in(struct task *task, uint64_t now_ns)
{
    struct clerk *clerk = (struct clerk *)task;
    (void)now_ns;
    bool first = atomic_load_explicit(&clerk->asked.open, memory_order_acquire) == 0;
    if (!clerk->goes_in && !first) { /* it was rung */
        gate_open(&clerk->came_back);
        return TASK_WHEN_RUNG;
    }
    bool in = lane_enter(clerk->workers, clerk->lane, task);
    gate_open(&clerk->asked);
    if (!in)
        return TASK_WHEN_RUNG;
    if (clerk->until != NULL)
        gate_pass(clerk->until);
    tell(clerk->name);
    lane_leave(clerk->workers, clerk->lane);
    gate_open(&clerk->left);
    return TASK_WHEN_RUNG;
}

static void who_may_not_go_in_yet_keeps_no_worker_and_has_its_turn(void **state)
{
    (void)state;
    enum { CLERKS = 6 };
    struct workers workers;
    struct lane lane = {0};
    struct gate until = {0};
    struct clerk clerks[CLERKS];
    struct errand other = an_errand();
    assert_int_equal(workers_start(&workers, 3), 0); /* two for tasks */
    begin_story();
    for (int i = 0; i < CLERKS; i++) {
        clerks[i] = (struct clerk){.task = {.run = go_in},
                                   .workers = &workers,
                                   .lane = &lane,
                                   .name = (char)('a' + i),
                                   .goes_in = true,
                                   .until = i == 0 ? &until : NULL};
        clerks[i].goes_in = i != 2; /* c changes its mind; */
        workers_add(&workers, &clerks[i].task);
        gate_pass(&clerks[i].asked);
    }
    workers_ring(&workers, &clerks[4].task);   /* e does not come sooner for that, */
    workers_remove(&workers, &clerks[3].task); /* d is taken out while it waits, */
    workers_remove(&workers, &clerks[5].task); /* and f, the last; */
    workers_add(&workers, &clerks[5].task);    /* it comes again, */
    workers_add(&workers, &other.task);
    await_runs(&other, 1);
    assert_string_equal(story.bytes, ""); /* and a is still in. */
    gate_open(&until);
    gate_pass(&clerks[2].came_back);
    gate_pass(&clerks[5].left);
    assert_string_equal(story.bytes, "abef");
    for (int i = 0; i < CLERKS; i++)
        if (i != 3)
            workers_remove(&workers, &clerks[i].task);
    workers_remove(&workers, &other.task);
    assert_true(lane.first == NULL && !lane.taken);
    workers_stop(&workers);
}

/* ---- quick tasks ---- */

static uint64_t run_quickly(struct task *task, uint64_t now_ns)
{
    struct errand *errand = (struct errand *)task;
    (void)run(task, now_ns);
    return atomic_load(&errand->runs) < 100 ? 0 : TASK_WHEN_RUNG;
}

static void however_much_hangs_quick_tasks_go_on(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    struct workers workers;
    struct errand hang[THREADS], quick = an_errand();
    struct gate until = {0};
    assert_int_equal(workers_start(&workers, THREADS), 0);
    begin_story();
    struct step job = step_named('a');
    job.until = &until;
    workers_submit(&workers, NULL, &job.job);
    for (int i = 0; i < THREADS; i++) {
        hang[i] = an_errand();
        hang[i].held = true;
        workers_add(&workers, &hang[i].task);
        if (i < THREADS - 1) /* there are no more workers for it */
            gate_pass(&hang[i].entered);
    }
    quick.task.run = run_quickly;
    quick.task.quick = true;
    workers_add(&workers, &quick.task);
    await_runs(&quick, 100);
    gate_open(&until);
    for (int i = 0; i < THREADS; i++)
        gate_open(&hang[i].until);
    for (int i = 0; i < THREADS; i++)
        workers_remove(&workers, &hang[i].task);
    workers_remove(&workers, &quick.task);
    workers_stop(&workers);
}

/* Even one that takes its time. */
static void quick_tasks_run_one_at_a_time_and_keep_nobody_else(void **state)
{
    (void)state;
    struct workers workers;
    struct errand quick[4], other = an_errand();
    assert_int_equal(workers_start(&workers, 2), 0);
    for (int i = 0; i < 4; i++) {
        quick[i] = an_errand();
        quick[i].task.quick = true;
        quick[i].held = i == 0;
        workers_add(&workers, &quick[i].task);
        if (i == 0)
            gate_pass(&quick[i].entered);
    }
    workers_add(&workers, &other.task);
    await_runs(&other, 1);
    for (int i = 1; i < 4; i++)
        assert_int_equal(atomic_load(&quick[i].runs), 0);
    gate_open(&quick[0].until);
    for (int i = 0; i < 4; i++) {
        await_runs(&quick[i], 1);
        workers_remove(&workers, &quick[i].task);
    }
    workers_remove(&workers, &other.task);
    workers_stop(&workers);
}

/* ---- lingering ---- */

struct lingerer {
    struct errand errand;
    struct workers *workers;
    bool may;
};

static uint64_t linger(struct task *task, uint64_t now_ns)
{
    struct lingerer *lingerer = (struct lingerer *)task;
    lingerer->may = workers_may_linger(lingerer->workers);
    return run(task, now_ns);
}

static void who_lingers_leaves_one_worker_for_tasks_and_one_for_jobs(void **state)
{
    (void)state;
    struct workers workers;
    assert_int_equal(workers_start(&workers, 4), 0);
    struct lingerer lingerers[3];
    unsigned may = 0;
    for (int i = 0; i < 3; i++) {
        lingerers[i] = (struct lingerer){.errand = an_errand(), .workers = &workers};
        lingerers[i].errand.task.run = linger;
        lingerers[i].errand.held = true;
        workers_add(&workers, &lingerers[i].errand.task);
        gate_pass(&lingerers[i].errand.entered);
        may += lingerers[i].may;
    }
    assert_false(lingerers[2].may); /* of four, three are busy */
    assert_true(may <= 2);
    for (int i = 0; i < 3; i++) {
        gate_open(&lingerers[i].errand.until);
        workers_remove(&workers, &lingerers[i].errand.task);
    }
    workers_stop(&workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_worked_on_elsewhere_and_done_on_the_loop),
        cmocka_unit_test(jobs_of_a_queue_come_one_after_the_other),
        cmocka_unit_test(jobs_of_different_queues_run_at_the_same_time),
        cmocka_unit_test(a_job_is_asked_when_its_turn_comes_whether_it_still_is_to_be),
        cmocka_unit_test(one_job_of_each_user_comes_in_turn),
        cmocka_unit_test(the_last_job_of_a_queue_may_free_it),
        cmocka_unit_test(a_stop_waits_for_jobs_and_those_that_they_bring),
        cmocka_unit_test(however_many_tasks_hang_jobs_and_others_go_on),
        cmocka_unit_test(however_many_jobs_hang_tasks_go_on),
        cmocka_unit_test(a_ring_while_a_task_runs_has_it_run_again),
        cmocka_unit_test(no_ring_is_lost_and_a_task_never_runs_twice_at_once),
        cmocka_unit_test(who_is_about_to_sleep_hears_the_call),
        cmocka_unit_test(who_has_the_pools_lock_does_not_hold_the_loop_up),
        cmocka_unit_test(tasks_run_when_they_are_due_and_never_before),
        cmocka_unit_test(who_always_wants_to_run_keeps_no_other_from_its_turn),
        cmocka_unit_test(tasks_that_are_due_together_run_together),
        cmocka_unit_test(a_job_begins_when_the_tasks_that_it_removes_are_out),
        cmocka_unit_test(who_rings_until_a_task_has_left_rings_nothing_that_is_freed),
        cmocka_unit_test(who_sleeps_in_a_task_is_interrupted_when_it_is_to_go),
        cmocka_unit_test(who_may_not_go_in_yet_keeps_no_worker_and_has_its_turn),
        cmocka_unit_test(however_much_hangs_quick_tasks_go_on),
        cmocka_unit_test(quick_tasks_run_one_at_a_time_and_keep_nobody_else),
        cmocka_unit_test(who_lingers_leaves_one_worker_for_tasks_and_one_for_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
