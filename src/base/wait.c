#include "base/wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

bool barrier_register(void)
{
    return syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool barrier_remote(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    return syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

int futex_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    long rc = syscall(__NR_futex, word, FUTEX_WAIT, expected, timeout_ns == FUTEX_FOREVER ? NULL : &timeout,
                      NULL, 0);
    if (rc == 0 || errno == EAGAIN)
        return HERMES_OK;
    return errno == EINTR ? HERMES_EINTERRUPTED : HERMES_ETIMEOUT;
}

bool futex_wake_one(const _Atomic uint32_t *word)
{
    return syscall(__NR_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) > 0;
}

void futex_wake_all(const _Atomic uint32_t *word)
{
    syscall(__NR_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int futex_wait_any(const struct futex_word *words, unsigned count, uint64_t timeout_ns)
{
    struct futex_waitv waiters[FUTEX_WORDS_MAX] = {{0}};
    for (unsigned i = 0; i < count; i++)
        waiters[i] = (struct futex_waitv){
            .val = words[i].expected, .uaddr = (uintptr_t)words[i].word, .flags = FUTEX_32};
    struct timespec until; /* absolute, other than for a single word */
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_ns % 1000000000u;
    until.tv_sec += (time_t)(timeout_ns / 1000000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    long rc = syscall(__NR_futex_waitv, waiters, count, 0, &until, CLOCK_MONOTONIC);
    if (rc >= 0 || errno == EAGAIN)
        return HERMES_OK;
    return errno == ENOSYS || errno == EPERM ? HERMES_ENOTSUP
           : errno == EINTR                  ? HERMES_EINTERRUPTED
                                             : HERMES_ETIMEOUT;
}
