/* Waiting without the GIL: for the broker's answers, and for calls of other threads to end. */
#include "module.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- for an answer ---- */

/* Most answers are there before anybody has to be asked. */
static const uint64_t first_look_ns = 1000000;

/* With the GIL: -1 and an exception. */
static int check_wanted(const struct asking *a)
{
    if (PyErr_CheckSignals() < 0)
        return -1;
    if (handle_forks() != a->forks) {
        PyErr_SetString(a->state->error_forked,
                        "the parent process waits for this; begin again in the child");
        return -1;
    }
    struct handle *handle = a->handle;
    if (handle == NULL || (handle->stage == STAGE_CLOSING && handle_is_mine(handle)))
        return 0;
    return handle_is_closed(handle) ? handle_refuse(handle) : 0;
}

/* What C asks: see hermes_set_interrupt(). */
static int ask(void *context)
{
    struct asking *a = context;
    if (!a->ended && monotonic_ns() - a->looked_ns < first_look_ns)
        return 0;
    if (!a->ended) {
        PyEval_RestoreThread(a->thread);
        a->ended = check_wanted(a) < 0;
        a->thread = PyEval_SaveThread();
        a->looked_ns = monotonic_ns();
    }
    return !a->ended ? 0 : handle_forks() == a->forks ? 1 : -1;
}

void asking_begin(struct asking *a)
{
    a->forks = handle_forks();
    a->looked_ns = monotonic_ns();
    a->before = hermes_set_interrupt((hermes_interrupt_t){ask, a});
    a->thread = PyEval_SaveThread();
}

bool asking_end(struct asking *a)
{
    PyEval_RestoreThread(a->thread);
    (void)hermes_set_interrupt(a->before);
    return a->ended;
}

/* What C asks first, with the GIL: from here on it waits. */
static int ask_first(void *context)
{
    struct asking *a = context;
    if (a->thread == NULL) {
        a->stage = a->handle->stage;
        handle_let_in(a->handle);
        a->looked_ns = monotonic_ns();
        a->thread = PyEval_SaveThread();
    }
    return ask(a);
}

void asking_seldom_begin(struct asking *a)
{
    a->forks = handle_forks();
    a->before = hermes_set_interrupt((hermes_interrupt_t){ask_first, a});
}

bool asking_seldom_end(struct asking *a)
{
    if (a->thread != NULL)
        PyEval_RestoreThread(a->thread);
    (void)hermes_set_interrupt(a->before);
    return a->ended;
}

void asking_seldom_leave(struct asking *a)
{
    if (a->thread != NULL)
        handle_leave_as(a->handle, a->stage);
}

static int never(void *context)
{
    (void)context;
    return 1;
}

hermes_interrupt_t wait_for_nothing(void)
{
    return hermes_set_interrupt((hermes_interrupt_t){never, NULL});
}

/* ---- for others ---- */

/* Changes when a call ends that somebody waits for. Both sides have the GIL when they touch it: relaxed. */
static _Atomic uint32_t ends;
static unsigned waiting;

void tell_waiting(void)
{
    if (waiting == 0)
        return;
    atomic_fetch_add_explicit(&ends, 1, memory_order_relaxed);
    syscall(SYS_futex, &ends, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

int wait_for_end(void)
{
    const struct timespec slice = {0, SLICE_NS};
    uint32_t expected = atomic_load_explicit(&ends, memory_order_relaxed);
    waiting++;
    UNLOCKED(syscall(SYS_futex, &ends, FUTEX_WAIT_PRIVATE, expected, &slice, NULL, 0));
    waiting--;
    return PyErr_CheckSignals();
}
