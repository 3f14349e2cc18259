#include "io/notifier.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/standard.h"
#include "base/thread.h"
#include "base/wait.h"

struct notifier {
    /* Odd: the fields below are being changed. Whoever changes them wakes the thread, which sleeps on it. */
    _Atomic uint32_t turn;
    _Atomic bool stop;
    struct {
        const _Atomic uint32_t *_Atomic word;
        _Atomic uint32_t expected;
    } words[NOTIFIER_WORDS];
    _Atomic unsigned count;
    _Atomic uint64_t timeout_ns;
    pthread_t thread;
    int fd;
};

static void *notify(void *argument)
{
    struct notifier *n = argument;
    uint32_t done = 0;
    for (;;) {
        /* Acquire pairs with the releases in change(): the fields are of this turn, or the turn is over. */
        uint32_t turn = atomic_load_explicit(&n->turn, memory_order_acquire);
        if (turn == done || turn % 2 != 0) {
            (void)futex_wait(&n->turn, turn, FUTEX_FOREVER);
            continue;
        }
        if (atomic_load_explicit(&n->stop, memory_order_relaxed))
            return NULL;
        struct futex_word words[1 + NOTIFIER_WORDS] = {{&n->turn, turn}};
        unsigned count = atomic_load_explicit(&n->count, memory_order_relaxed);
        for (unsigned i = 0; i < count; i++) {
            words[1 + i].word = atomic_load_explicit(&n->words[i].word, memory_order_relaxed);
            words[1 + i].expected = atomic_load_explicit(&n->words[i].expected, memory_order_relaxed);
        }
        uint64_t timeout_ns = atomic_load_explicit(&n->timeout_ns, memory_order_relaxed);
        (void)futex_wait_any(words, 1 + count, timeout_ns);
        if (atomic_load_explicit(&n->turn, memory_order_acquire) != turn)
            continue;
        done = turn;
        uint64_t one = 1;
        (void)!write(n->fd, &one, sizeof one);
    }
}

int notifier_start(struct notifier **out)
{
    const _Atomic uint32_t probe = 0;
    *out = NULL;
    if (futex_wait_any(&(struct futex_word){&probe, 1}, 1, 0) == HERMES_ENOTSUP)
        return HERMES_ENOTSUP;
    struct notifier *n = calloc(1, sizeof *n);
    if (n == NULL)
        return HERMES_ENOMEM;
    n->fd = standard_move_above(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    int rc = n->fd < 0 ? HERMES_ELIMIT : thread_start(&n->thread, notify, n);
    if (rc < 0) {
        notifier_forget(n);
        return rc;
    }
    *out = n;
    return HERMES_OK;
}

int notifier_fd(const struct notifier *n)
{
    return n->fd;
}

static void change(struct notifier *n, const struct futex_word *words, unsigned count, uint64_t timeout_ns,
                   bool stop)
{
    /* One thread alone changes them. The fence keeps the fields behind the odd turn. */
    uint32_t turn = atomic_load_explicit(&n->turn, memory_order_relaxed);
    atomic_store_explicit(&n->turn, turn + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (unsigned i = 0; i < count; i++) {
        atomic_store_explicit(&n->words[i].word, words[i].word, memory_order_relaxed);
        atomic_store_explicit(&n->words[i].expected, words[i].expected, memory_order_relaxed);
    }
    atomic_store_explicit(&n->count, count, memory_order_relaxed);
    atomic_store_explicit(&n->timeout_ns, timeout_ns, memory_order_relaxed);
    atomic_store_explicit(&n->stop, stop, memory_order_relaxed);
    atomic_store_explicit(&n->turn, turn + 2, memory_order_release);
    futex_wake_all(&n->turn);
}

void notifier_arm(struct notifier *n, const struct futex_word *words, unsigned count, uint64_t timeout_ns)
{
    uint64_t told;
    (void)!read(n->fd, &told, sizeof told); /* first: what is told from here on may be of this turn */
    change(n, words, count, timeout_ns, false);
}

void notifier_stop(struct notifier *n)
{
    if (n == NULL)
        return;
    change(n, NULL, 0, 0, true);
    pthread_join(n->thread, NULL);
    notifier_forget(n);
}

void notifier_forget(struct notifier *n)
{
    if (n == NULL)
        return;
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}
