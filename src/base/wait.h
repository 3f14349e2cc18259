/*
 * Waiting: spin, yield, park. And the asymmetric fence that makes parking free for the other side.
 *
 * Who waits raises a flag, calls barrier_remote() and looks once more; who publishes stores the
 * message and then loads the flag, with no fence between. barrier_remote() makes every registered
 * process run a full fence at some point during the call (membarrier(2), GLOBAL_EXPEDITED), so one of
 * the two sees the other. Where membarrier is forbidden to the publisher, it fences for itself. Where it is
 * forbidden to who waits, nobody can be reached: who makes a window says so in it (writer_fences), and who
 * waits for a writer that may not fence looks again after BARRIER_LOOK_NS.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FUTEX_FOREVER UINT64_MAX

/* Registers this process once. false: membarrier cannot be had here. */
bool barrier_register(void);
/* false: others were not reached, and a wake-up may be missed. */
bool barrier_remote(void);
enum { BARRIER_LOOK_NS = 1000000 };

/* Full fence between this thread's last store and its next load, where the kernel does not help. */
static inline void barrier_publisher(bool registered)
{
    if (!registered)
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_signal_fence(memory_order_seq_cst);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Sleeps while *word == expected, at most timeout_ns. Works on read-only mappings, across processes.
 * 0: woken or changed; HERMES_ETIMEOUT; HERMES_EINTERRUPTED. */
int futex_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
/* true: somebody slept there. */
bool futex_wake_one(const _Atomic uint32_t *word);
void futex_wake_all(const _Atomic uint32_t *word);

/* The same for several words at once, at most FUTEX_WORDS_MAX. HERMES_ENOTSUP before Linux 5.16. */
enum { FUTEX_WORDS_MAX = 128 };
struct futex_word {
    const _Atomic uint32_t *word;
    uint32_t expected;
};
int futex_wait_any(const struct futex_word *words, unsigned count, uint64_t timeout_ns);

#endif
