#include "io/poller.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"

/* Turns that closing takes at most: the bound is for a kernel that does not end what is cancelled. */
enum { CLOSING_TURNS = 1000 };
static const uint64_t closing_turn_ns = 1000000;

/* ---- what is under way ---- */

static void begin(struct poller *poller, struct poller_op *op)
{
    op->under_way = true;
    op->cancelled = false;
    op->next = &poller->under_way;
    op->previous = poller->under_way.previous;
    op->previous->next = op;
    op->next->previous = op;
    if (op->owner != NULL)
        op->owner->under_way++;
}

void poller_release(struct poller_owner *owner)
{
    if (owner != NULL && --owner->under_way == 0 && owner->leaving)
        owner->gone(owner);
}

static void end(struct poller_op *op)
{
    op->previous->next = op->next;
    op->next->previous = op->previous;
    op->under_way = false;
}

void poller_finish(struct poller *poller, struct poller_op *op, int result)
{
    struct poller_owner *owner = op->owner;
    (void)poller;
    end(op);
    op->done(op, result); /* which may start it again, or free it */
    poller_release(owner);
}

void poller_finish_later(struct poller *poller, struct poller_op *op, int result)
{
    op->result = result;
    op->then = NULL;
    *poller->over_end = op;
    poller->over_end = &op->then;
}

static int finish_over(struct poller *poller)
{
    struct poller_op *op = poller->over;
    int count = 0;
    poller->over = NULL;
    poller->over_end = &poller->over;
    while (op != NULL) {
        struct poller_op *then = op->then;
        poller_finish(poller, op, op->result);
        op = then;
        count++;
    }
    return count;
}

void poller_leave(struct poller_owner *owner)
{
    owner->leaving = true;
    if (owner->under_way == 0)
        owner->gone(owner);
}

static int start(struct poller *poller, struct poller_op *op, enum poller_kind kind, int fd)
{
    op->kind = kind;
    op->fd = fd;
    begin(poller, op);
    int rc = poller->methods->start(poller, op);
    if (rc < 0) {
        end(op);
        if (op->owner != NULL)
            op->owner->under_way--;
    }
    return rc;
}

int poller_accept(struct poller *poller, struct poller_op *op, int fd)
{
    return start(poller, op, OP_ACCEPT, fd);
}

int poller_receive(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes)
{
    op->buffer = buffer;
    op->bytes = bytes;
    return start(poller, op, OP_RECEIVE, fd);
}

int poller_read(struct poller *poller, struct poller_op *op, int fd, void *buffer, size_t bytes)
{
    op->buffer = buffer;
    op->bytes = bytes;
    return start(poller, op, OP_READ, fd);
}

int poller_send(struct poller *poller, struct poller_op *op, int fd, const struct msghdr *message)
{
    op->message = message;
    return start(poller, op, OP_SEND, fd);
}

int poller_watch(struct poller *poller, struct poller_op *op, int fd)
{
    return start(poller, op, OP_WATCH, fd);
}

bool poller_accept_is_unhurt(int result)
{
    return result == -ECONNABORTED || result == -EINTR || result == -EAGAIN || result == -EPROTO;
}

/* ---- timers: a binary heap ---- */

static void put_timer(struct poller_timers *timers, size_t index, struct poller_op *op)
{
    timers->heap[index] = op;
    op->timer_index = index;
}

static void sift_up(struct poller_timers *timers, size_t index)
{
    struct poller_op *op = timers->heap[index];
    for (; index > 0 && timers->heap[(index - 1) / 2]->deadline_ns > op->deadline_ns; index = (index - 1) / 2)
        put_timer(timers, index, timers->heap[(index - 1) / 2]);
    put_timer(timers, index, op);
}

static void sift_down(struct poller_timers *timers, size_t index)
{
    struct poller_op *op = timers->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->deadline_ns < timers->heap[child]->deadline_ns)
            child++;
        if (timers->heap[child]->deadline_ns >= op->deadline_ns)
            break;
        put_timer(timers, index, timers->heap[child]);
        index = child;
    }
    put_timer(timers, index, op);
}

static void remove_timer(struct poller_timers *timers, const struct poller_op *op)
{
    size_t index = op->timer_index;
    struct poller_op *last = timers->heap[--timers->count];
    if (last == op)
        return;
    put_timer(timers, index, last);
    sift_down(timers, index);
    sift_up(timers, last->timer_index);
}

int poller_timer(struct poller *poller, struct poller_op *op, uint64_t after_ns)
{
    struct poller_timers *timers = &poller->timers;
    if (timers->count == timers->room) {
        size_t room = timers->room + 64;
        struct poller_op **grown = realloc(timers->heap, room * sizeof(struct poller_op *));
        if (grown == NULL)
            return HERMES_ENOMEM;
        timers->heap = grown;
        timers->room = room;
    }
    op->kind = OP_TIMER;
    op->deadline_ns = clock_monotonic_ns() + after_ns;
    begin(poller, op);
    timers->heap[timers->count] = op;
    sift_up(timers, timers->count++);
    return HERMES_OK;
}

/* Those that are due now; one that is started meanwhile waits for the next turn. */
static int finish_timers(struct poller *poller, uint64_t now)
{
    struct poller_timers *timers = &poller->timers;
    while (timers->count > 0 && timers->heap[0]->deadline_ns <= now) {
        struct poller_op *op = timers->heap[0];
        remove_timer(timers, op);
        op->cancelled = true; /* it is over: cancelling comes too late */
        poller_finish_later(poller, op, 0);
    }
    return finish_over(poller);
}

static uint64_t until_timer(const struct poller *poller, uint64_t now, uint64_t timeout_ns)
{
    if (poller->timers.count == 0)
        return timeout_ns;
    uint64_t deadline = poller->timers.heap[0]->deadline_ns;
    uint64_t left = deadline > now ? deadline - now : 0;
    return left < timeout_ns ? left : timeout_ns;
}

/* ---- other threads ---- */

void poller_job(struct poller *poller, struct poller_op *op)
{
    op->kind = OP_JOB;
    begin(poller, op);
}

void poller_wake(struct poller *poller)
{
    uint64_t one = 1;
    (void)!write(poller->wake_fd, &one, sizeof one); /* ours, and never full: it is not read, 2^64 wakes */
}

void poller_post(struct poller *poller, struct poller_op *op, int result)
{
    struct poller_op *before = atomic_load_explicit(&poller->posted, memory_order_relaxed);
    op->result = result;
    do
        op->then = before;
    /* Release pairs with the acquire in finish_posted(): with op comes what its thread did. */
    while (!atomic_compare_exchange_weak_explicit(&poller->posted, &before, op, memory_order_release,
                                                  memory_order_relaxed));
    if (before == NULL) /* who was first has rung, or is about to */
        poller_wake(poller);
}

static int finish_posted(struct poller *poller)
{
    /* Acquire pairs with the release in poller_post(). */
    struct poller_op *latest = atomic_exchange_explicit(&poller->posted, NULL, memory_order_acquire);
    struct poller_op *first = NULL;
    while (latest != NULL) {
        struct poller_op *before = latest->then;
        latest->then = first;
        first = latest;
        latest = before;
    }
    int count = 0;
    while (first != NULL) {
        struct poller_op *then = first->then;
        poller_finish(poller, first, first->result);
        first = then;
        count++;
    }
    return count;
}

static void woken(struct poller_op *op, int result)
{
    (void)op;
    (void)result; /* poller_run() looks at what was posted in any case */
}

/* ---- running ---- */

void poller_cancel(struct poller *poller, struct poller_op *op)
{
    if (!op->under_way || op->cancelled || op->kind == OP_JOB)
        return;
    op->cancelled = true;
    if (op->kind != OP_TIMER) {
        poller->methods->cancel(poller, op);
        return;
    }
    remove_timer(&poller->timers, op);
    poller_finish_later(poller, op, -ECANCELED);
}

struct turn_figures poller_turns(const struct poller *poller)
{
    return poller->turn.figures;
}

bool poller_has_news(const struct poller *poller)
{
    /* Relaxed: what was posted is taken by finish_posted(). */
    return poller->over != NULL || atomic_load_explicit(&poller->posted, memory_order_relaxed) != NULL ||
           poller->methods->has_news(poller);
}

void poller_yield(struct poller *poller)
{
    turn_end(&poller->turn, clock_monotonic_ns());
    sched_yield();
    turn_begin(&poller->turn, clock_monotonic_ns(), false);
}

/* What does not wait is a part of the turn before it: it starts what that asked for. */
static uint64_t wait_for(struct poller *poller, uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns();
    timeout_ns = poller->over != NULL ? 0 : until_timer(poller, now, timeout_ns);
    bool waits = timeout_ns > 0;
    if (waits)
        turn_end(&poller->turn, now);
    poller->methods->wait(poller, timeout_ns);
    now = clock_monotonic_ns();
    if (!waits)
        turn_end(&poller->turn, now);
    turn_begin(&poller->turn, now, waits);
    return now;
}

int poller_run(struct poller *poller, uint64_t timeout_ns)
{
    uint64_t now = wait_for(poller, timeout_ns);
    int count = finish_over(poller);
    count += poller->methods->complete(poller);
    count += finish_posted(poller);
    return count + finish_timers(poller, now);
}

static int open_wake(struct poller *poller, struct error_text *text)
{
    poller->under_way.next = poller->under_way.previous = &poller->under_way;
    poller->over_end = &poller->over;
    poller->wake_op.done = woken;
    poller->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poller->wake_fd < 0)
        return error_set_errno(text, "make", "an eventfd");
    int rc = poller_watch(poller, &poller->wake_op, poller->wake_fd);
    return rc < 0 ? error_set(text, rc, "cannot watch an eventfd") : HERMES_OK;
}

int poller_open(enum poller_backend backend, struct poller **poller, struct error_text *text)
{
    int rc = backend == POLLER_EPOLL ? poller_open_epoll(poller, text) : poller_open_uring(poller, text);
    if (rc < 0 && backend == POLLER_AUTO) {
        /* Containers often forbid io_uring; whoever asked for it by name gets the error. */
        note("%s; epoll takes over", text->bytes);
        rc = poller_open_epoll(poller, text);
    }
    if (rc < 0)
        return rc;
    rc = open_wake(*poller, text);
    if (rc < 0) {
        poller_close(*poller);
        *poller = NULL;
    }
    return rc;
}

void poller_close(struct poller *poller)
{
    if (poller == NULL)
        return;
    /* The kernel may still write into buffers: first everything ends, then the memory goes. What done()
     * starts anew is cancelled in its turn. */
    for (int turn = 0; poller->under_way.next != &poller->under_way && turn < CLOSING_TURNS; turn++) {
        for (struct poller_op *op = poller->under_way.next; op != &poller->under_way; op = op->next)
            poller_cancel(poller, op);
        poller_run(poller, closing_turn_ns);
    }
    if (poller->wake_fd >= 0)
        close(poller->wake_fd);
    free(poller->timers.heap);
    poller->methods->close(poller);
}

const char *poller_name(const struct poller *poller)
{
    return poller->methods->name;
}
