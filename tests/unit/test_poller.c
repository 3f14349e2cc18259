/* Both pollers, the same tests. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/thread.h"
#include "io/listener.h"
#include "io/poller.h"

struct probe {
    struct poller_op op;
    struct poller *poller;
    int calls;
    int result;
};

static const uint64_t a_moment_ns = 1000000, long_ns = 100000000;

static void count(struct poller_op *op, int result)
{
    struct probe *probe = (struct probe *)op;
    probe->calls++;
    probe->result = result;
}

static void count_and_close(struct poller_op *op, int result)
{
    int fd = op->fd;
    count(op, result);
    close(fd);
}

static void run_until(struct poller *poller, const struct probe *probe, int calls)
{
    for (int i = 0; i < 100 && probe->calls < calls; i++)
        poller_run(poller, long_ns);
    assert_int_equal(probe->calls, calls);
}

static struct poller *open_poller(void **state)
{
    struct poller *poller;
    struct error_text text;
    enum poller_backend backend = *(enum poller_backend *)*state;
    int rc = poller_open(backend, &poller, &text);
    if (rc < 0 && backend == POLLER_URING) {
        print_message("io_uring is not to be had here: %s\n", text.bytes);
        skip();
    }
    assert_int_equal(rc, 0);
    return poller;
}

static void make_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

/* ---- descriptors ---- */

static void it_sends_and_receives(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe reading = {.op.done = count}, sending = {.op.done = count}, ending = {.op.done = count};
    int pair[2];
    make_pair(pair);
    char buffer[16] = "";
    assert_int_equal(poller_receive(poller, &reading.op, pair[0], buffer, sizeof buffer), 0);
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    struct iovec part = {"hello", 5};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    assert_int_equal(poller_send(poller, &sending.op, pair[1], &message), 0);
    run_until(poller, &sending, 1);
    assert_int_equal(sending.result, 5);
    run_until(poller, &reading, 1);
    assert_int_equal(reading.result, 5);
    assert_string_equal(buffer, "hello");
    /* A peer that goes away ends what is under way. */
    assert_int_equal(poller_receive(poller, &ending.op, pair[0], buffer, sizeof buffer), 0);
    close(pair[1]);
    run_until(poller, &ending, 1);
    assert_int_equal(ending.result, 0);
    close(pair[0]);
    poller_close(poller);
}

static void it_reads_events(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe reading = {.op.done = count};
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t value = 0;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(poller_read(poller, &reading.op, event, &value, sizeof value), 0);
        assert_int_equal(eventfd_write(event, (eventfd_t)i), 0);
        run_until(poller, &reading, i);
        assert_int_equal(value, i);
    }
    close(event);
    /* A descriptor that somebody else holds too, closed when it is done; the next one has its number. */
    for (int i = 0; i < 3; i++) {
        struct probe last = {.op.done = count_and_close};
        event = eventfd(0, EFD_CLOEXEC);
        int theirs = dup(event);
        assert_int_equal(poller_read(poller, &last.op, event, &value, sizeof value), 0);
        assert_int_equal(eventfd_write(theirs, 1), 0);
        run_until(poller, &last, 1);
        assert_int_equal(last.result, sizeof value);
        assert_int_equal(eventfd_write(theirs, 1), 0);
        assert_int_equal(poller_run(poller, a_moment_ns), 0); /* it is not ours any more */
        close(theirs);
    }
    poller_close(poller);
}

static int listen_at(struct sockaddr_un *address)
{
    static int number;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "hermes-test-%d-%d", (int)getpid(),
             number++);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

static void it_accepts_until_it_is_cancelled(void **state)
{
    struct poller *poller = open_poller(state);
    struct sockaddr_un address;
    struct probe accepting = {.op.done = count};
    int listening = listen_at(&address);
    assert_int_equal(poller_accept(poller, &accepting.op, listening), 0);
    for (int i = 1; i <= 3; i++) {
        poller_run(poller, 0);
        int client = connect_to(&address);
        run_until(poller, &accepting, i);
        assert_true(accepting.result >= 0);
        close(accepting.result);
        close(client);
    }
    poller_cancel(poller, &accepting.op);
    run_until(poller, &accepting, 4);
    assert_int_equal(accepting.result, -ECANCELED);
    close(listening);
    poller_close(poller);
}

/* ---- watching what others hold, too ---- */

static void a_watch_needs_nothing_of_who_else_holds_it(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe watching = {.op.done = count};
    int event = eventfd(0, EFD_CLOEXEC);
    int theirs = dup(event);
    assert_int_equal(poller_watch(poller, &watching.op, event), 0);
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(eventfd_write(theirs, 1), 0);
        run_until(poller, &watching, i);
        assert_int_equal(watching.result, 0);
        assert_int_equal(poller_run(poller, a_moment_ns), 0); /* once for each, though nobody reads it */
    }
    assert_int_equal(fcntl(theirs, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(theirs, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(eventfd_write(theirs, UINT64_MAX - 1 - 3), 0); /* full: who writes now would wait */
    run_until(poller, &watching, 4);
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    poller_cancel(poller, &watching.op);
    run_until(poller, &watching, 5);
    assert_int_equal(watching.result, -ECANCELED);
    close(event);
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    close(theirs);
    poller_close(poller);
}

/* ---- timers ---- */

static struct probe *fired[8];
static int fired_count;

static void fire(struct poller_op *op, int result)
{
    count(op, result);
    fired[fired_count++] = (struct probe *)op;
}

static void timers_fire_in_order(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe timers[5] = {
        {.op.done = fire}, {.op.done = fire}, {.op.done = fire}, {.op.done = fire}, {.op.done = fire}};
    static const uint64_t after_ms[] = {9, 1, 7, 3, 5};
    fired_count = 0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(poller_timer(poller, &timers[i].op, after_ms[i] * a_moment_ns), 0);
    poller_cancel(poller, &timers[2].op);
    for (int i = 0; i < 100 && fired_count < 5; i++)
        poller_run(poller, long_ns);
    assert_int_equal(fired_count, 5);
    assert_ptr_equal(fired[0], &timers[2]);
    assert_int_equal(timers[2].result, -ECANCELED);
    static const int order[] = {1, 3, 4, 0};
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(fired[i + 1], &timers[order[i]]);
        assert_int_equal(timers[order[i]].result, 0);
    }
    poller_close(poller);
}

static void start_again(struct poller_op *op, int result)
{
    struct probe *probe = (struct probe *)op;
    count(op, result);
    if (probe->calls < 1000)
        assert_int_equal(poller_timer(probe->poller, op, 0), 0);
}

/* One that is always due must not keep the poller from the others. */
static void a_timer_that_is_always_due_leaves_room(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe timer = {.op.done = start_again, .poller = poller}, reading = {.op.done = count};
    int event = eventfd(1, EFD_CLOEXEC);
    uint64_t value;
    assert_int_equal(poller_timer(poller, &timer.op, 0), 0);
    assert_int_equal(poller_read(poller, &reading.op, event, &value, sizeof value), 0);
    for (int i = 0; i < 100 && reading.calls == 0; i++)
        poller_run(poller, long_ns);
    assert_int_equal(reading.calls, 1);
    assert_true(timer.calls <= 100);
    close(event);
    poller_close(poller);
}

static void many_timers_keep_their_order(void **state)
{
    struct poller *poller = open_poller(state);
    enum { MANY = 2000 };
    struct probe *timers = calloc(MANY, sizeof *timers);
    uint64_t seed = 7;
    for (int i = 0; i < MANY; i++) {
        timers[i].op.done = count;
        assert_int_equal(
            poller_timer(poller, &timers[i].op, test_random(&seed) % 3600000000000u + 60000000000u), 0);
    }
    for (int i = 0; i < MANY; i += 2)
        poller_cancel(poller, &timers[i].op);
    struct poller_timers *heap = &poller->timers;
    assert_int_equal(heap->count, MANY / 2);
    for (size_t i = 1; i < heap->count; i++) {
        assert_true(heap->heap[(i - 1) / 2]->deadline_ns <= heap->heap[i]->deadline_ns);
        assert_int_equal(heap->heap[i]->timer_index, i);
    }
    poller_close(poller);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(timers[i].calls, 1);
        assert_int_equal(timers[i].result, -ECANCELED);
    }
    free(timers);
}

/* ---- cancelling, and owners ---- */

static void what_is_cancelled_is_through_with_its_buffer(void **state)
{
    struct poller *poller = open_poller(state);
    struct probe reading = {.op.done = count};
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t value = 42;
    assert_int_equal(poller_read(poller, &reading.op, event, &value, sizeof value), 0);
    poller_run(poller, 0);
    poller_cancel(poller, &reading.op);
    poller_cancel(poller, &reading.op); /* once more: nothing */
    assert_int_equal(reading.calls, 0); /* never from within */
    run_until(poller, &reading, 1);
    assert_int_equal(reading.result, -ECANCELED);
    assert_int_equal(eventfd_write(event, 7), 0);
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    assert_int_equal(value, 42);
    poller_cancel(poller, &reading.op); /* not under way: nothing */
    assert_int_equal(poller_run(poller, a_moment_ns), 0);
    assert_int_equal(poller_read(poller, &reading.op, event, &value, sizeof value), 0); /* and again */
    run_until(poller, &reading, 2);
    assert_int_equal(value, 7);
    close(event);
    poller_close(poller);
}

struct holder {
    struct poller_owner owner;
    struct poller *poller;
    struct probe reading, watching;
    int gone;
    int gone_after_calls;
};

static void holder_gone(struct poller_owner *owner)
{
    struct holder *holder = (struct holder *)owner;
    holder->gone++;
    holder->gone_after_calls = holder->reading.calls + holder->watching.calls;
}

static void an_owner_stays_while_something_is_under_way(void **state)
{
    struct poller *poller = open_poller(state);
    struct holder holder = {.owner.gone = holder_gone,
                            .reading = {.op = {.done = count, .owner = &holder.owner}},
                            .watching = {.op = {.done = count, .owner = &holder.owner}}};
    int event = eventfd(0, EFD_CLOEXEC), pair[2];
    char buffer[8];
    make_pair(pair);
    assert_int_equal(poller_watch(poller, &holder.watching.op, event), 0);
    assert_int_equal(poller_receive(poller, &holder.reading.op, pair[0], buffer, sizeof buffer), 0);
    poller_leave(&holder.owner);
    poller_run(poller, a_moment_ns);
    assert_int_equal(holder.gone, 0);
    poller_cancel(poller, &holder.watching.op);
    poller_cancel(poller, &holder.reading.op);
    for (int i = 0; i < 100 && holder.gone == 0; i++)
        poller_run(poller, long_ns);
    assert_int_equal(holder.gone, 1);
    assert_int_equal(holder.gone_after_calls, 2); /* each was told first */
    close(event);
    close(pair[0]);
    close(pair[1]);
    /* Nothing under way: at once. */
    struct holder idle = {.owner.gone = holder_gone};
    poller_leave(&idle.owner);
    assert_int_equal(idle.gone, 1);
    poller_close(poller);
}

static void leave_from_within(struct poller_op *op, int result)
{
    count(op, result);
    struct holder *holder = (struct holder *)op->owner;
    poller_leave(op->owner);
    assert_int_equal(holder->gone, 0); /* not under our feet */
}

static void an_owner_may_leave_from_its_own_completion(void **state)
{
    struct poller *poller = open_poller(state);
    struct holder *holder = calloc(1, sizeof *holder);
    holder->owner.gone = holder_gone;
    holder->reading.op = (struct poller_op){.done = leave_from_within, .owner = &holder->owner};
    int event = eventfd(1, EFD_CLOEXEC);
    uint64_t value;
    assert_int_equal(poller_read(poller, &holder->reading.op, event, &value, sizeof value), 0);
    for (int i = 0; i < 100 && holder->gone == 0; i++)
        poller_run(poller, long_ns);
    assert_int_equal(holder->gone, 1);
    free(holder);
    close(event);
    poller_close(poller);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct poller *poller = open_poller(state);
    struct sockaddr_un address;
    struct probe probes[4] = {{.op.done = count}, {.op.done = count}, {.op.done = count}, {.op.done = count}};
    int event = eventfd(0, EFD_CLOEXEC), listening = listen_at(&address), pair[2];
    char *buffer = malloc(64);
    make_pair(pair);
    assert_int_equal(poller_watch(poller, &probes[0].op, event), 0);
    assert_int_equal(poller_accept(poller, &probes[1].op, listening), 0);
    assert_int_equal(poller_receive(poller, &probes[2].op, pair[0], buffer, 64), 0);
    assert_int_equal(poller_timer(poller, &probes[3].op, 3600000000000u), 0);
    poller_run(poller, 0);
    poller_close(poller);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(probes[i].calls, 1);
        assert_int_equal(probes[i].result, -ECANCELED);
    }
    free(buffer);
    close(event);
    close(listening);
    close(pair[0]);
    close(pair[1]);
}

/* ---- other threads ---- */

enum { THREADS = 3, JOBS = 500 };

struct worker {
    struct poller *poller;
    struct job {
        struct poller_op op;
        struct worker *worker;
        int answer;
    } jobs[JOBS];
    pthread_t thread;
    pthread_t loop;
    int through;
};

static void job_done(struct poller_op *op, int result)
{
    struct job *job = (struct job *)op;
    assert_true(pthread_equal(pthread_self(), job->worker->loop));
    assert_int_equal(result, (int)(job - job->worker->jobs));
    assert_int_equal(job->answer, result * 2);
    job->worker->through++;
}

static void *do_jobs(void *argument)
{
    struct worker *worker = argument;
    for (int i = 0; i < JOBS; i++) {
        worker->jobs[i].answer = i * 2;
        poller_post(worker->poller, &worker->jobs[i].op, i);
    }
    return NULL;
}

static void jobs_of_other_threads_end_on_this_one(void **state)
{
    struct poller *poller = open_poller(state);
    struct worker *workers = calloc(THREADS, sizeof *workers);
    for (int i = 0; i < THREADS; i++) {
        workers[i].poller = poller;
        workers[i].loop = pthread_self();
        for (int j = 0; j < JOBS; j++) {
            workers[i].jobs[j].op.done = job_done;
            workers[i].jobs[j].worker = &workers[i];
            poller_job(poller, &workers[i].jobs[j].op);
            poller_cancel(poller, &workers[i].jobs[j].op); /* nothing: it is another thread's */
        }
        assert_int_equal(thread_start(&workers[i].thread, do_jobs, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        for (int turn = 0; turn < 10000 && workers[i].through < JOBS; turn++)
            poller_run(poller, long_ns);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].through, JOBS);
    }
    free(workers);
    poller_close(poller);
}

static void the_longest_turn_is_measured(void **state)
{
    struct poller *poller = open_poller(state);
    poller_run(poller, 0);
    uint64_t begin = clock_monotonic_ns();
    while (clock_monotonic_ns() - begin < 3 * a_moment_ns)
        ;
    poller_run(poller, 0);
    struct turn_figures turns = poller_turns(poller);
    assert_true(turns.longest_ns >= 3 * a_moment_ns);
    assert_true(turns.longest_own_ns > 0 && turns.longest_own_ns <= turns.longest_ns);
    assert_int_equal(turns.blocked, 0);
    poller_close(poller);
}

static void a_turn_that_sleeps_is_told_of(void **state)
{
    struct poller *poller = open_poller(state);
    const struct timespec moment = {.tv_nsec = 10000000};
    poller_run(poller, a_moment_ns); /* which is no turn */
    assert_int_equal(poller_turns(poller).blocked, 0);
    nanosleep(&moment, NULL);
    poller_run(poller, 0);
    struct turn_figures turns = poller_turns(poller);
    assert_int_equal(turns.blocked, 1);
    assert_true(turns.longest_own_ns >= 10000000);
    poller_close(poller);
}

/* ---- a listener that runs out of descriptors ---- */

static struct {
    struct listener listener;
    int fds[64];
    int accepted, troubles;
} server;

static void keep(struct listener *listener, int fd)
{
    (void)listener;
    server.fds[server.accepted++] = fd;
}

static void count_trouble(struct listener *listener, int error)
{
    (void)listener;
    assert_int_equal(error, EMFILE);
    server.troubles++;
}

static void without_descriptors_a_connection_is_turned_away_at_once(void **state)
{
    struct poller *poller = open_poller(state);
    struct sockaddr_un address;
    struct error_text text;
    int listening = listen_at(&address), clients[8];
    memset(&server, 0, sizeof server);
    server.listener.accepted = keep;
    server.listener.trouble = count_trouble;
    assert_int_equal(listener_start(&server.listener, poller, listening, &text), 0);
    for (int i = 0; i < 8; i++)
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)clients[7] + 1, before.rlim_max}; /* every number below it is taken */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    char byte;
    for (int turn = 0; turn < 100 && server.troubles < 8; turn++)
        poller_run(poller, long_ns);
    for (int turn = 0; turn < 3; turn++)
        poller_run(poller, 150 * a_moment_ns); /* a rest and more */
    assert_int_equal(server.troubles, 8);      /* once for each, not again and again */
    assert_int_equal(server.accepted, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(recv(clients[i], &byte, 1, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    int client = connect_to(&address);
    for (int turn = 0; turn < 100 && server.accepted == 0; turn++)
        poller_run(poller, long_ns);
    assert_int_equal(server.accepted, 1);
    close(server.fds[0]);
    close(client);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    listener_stop(&server.listener);
    poller_close(poller);
    close(listening);
}

/* ---- a kernel that lacks something ---- */

static bool before_5_19;

/* Wrapped by the linker: what such a kernel calls invalid, the one below us calls invalid, too. */
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
                                            struct __kernel_timespec *timeout, sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
                                            struct __kernel_timespec *timeout, sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
                                            struct __kernel_timespec *timeout, sigset_t *mask)
{
    for (unsigned i = ring->sq.sqe_head; before_5_19 && i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & ring->sq.ring_mask];
        if (sqe->opcode == IORING_OP_ACCEPT && (sqe->ioprio & IORING_ACCEPT_MULTISHOT))
            sqe->ioprio = 0x8000;
    }
    return __real_io_uring_submit_and_wait_timeout(ring, cqe, wait, timeout, mask);
}

static void epoll_takes_over_where_io_uring_lacks_something(void **state)
{
    struct poller *poller;
    struct error_text text;
    enum poller_backend uring = POLLER_URING;
    void *as_uring = &uring;
    (void)state;
    poller_close(open_poller(&as_uring)); /* skips where there is none */
    before_5_19 = true;
    assert_int_equal(poller_open(POLLER_URING, &poller, &text), HERMES_ENOTSUP);
    assert_non_null(strstr(text.bytes, "5.19"));
    assert_int_equal(poller_open(POLLER_AUTO, &poller, &text), 0);
    assert_string_equal(poller_name(poller), "epoll");
    poller_close(poller);
    before_5_19 = false;
}

#define BOTH(test)                                                                                           \
    {"io_uring: " #test, test, NULL, NULL, &backends[0]},                                                    \
    {                                                                                                        \
        "epoll: " #test, test, NULL, NULL, &backends[1]                                                      \
    }

int main(void)
{
    static enum poller_backend backends[] = {POLLER_URING, POLLER_EPOLL};
    const struct CMUnitTest tests[] = {
        BOTH(it_sends_and_receives),
        BOTH(it_reads_events),
        BOTH(it_accepts_until_it_is_cancelled),
        BOTH(a_watch_needs_nothing_of_who_else_holds_it),
        BOTH(timers_fire_in_order),
        BOTH(a_timer_that_is_always_due_leaves_room),
        BOTH(many_timers_keep_their_order),
        BOTH(what_is_cancelled_is_through_with_its_buffer),
        BOTH(an_owner_stays_while_something_is_under_way),
        BOTH(an_owner_may_leave_from_its_own_completion),
        BOTH(closing_ends_what_is_under_way),
        BOTH(jobs_of_other_threads_end_on_this_one),
        BOTH(the_longest_turn_is_measured),
        BOTH(a_turn_that_sleeps_is_told_of),
        BOTH(without_descriptors_a_connection_is_turned_away_at_once),
        cmocka_unit_test(epoll_takes_over_where_io_uring_lacks_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
