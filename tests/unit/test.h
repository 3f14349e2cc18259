/* cmocka, with what it wants included first, and a directory of the test's own. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/path.h"

/* Deterministic: xorshift64 (Marsaglia, 2003). */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A process that does not outlive the test, however that ends: it has our output, and who runs us waits until
 * nobody has it any more. */
static inline pid_t test_fork(void)
{
    pid_t parent = getpid(), child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(127);
    return child;
}

#define TEST_DIRECTORY(variable)                                                                             \
    char variable[] = "/tmp/hermes-test-XXXXXX";                                                             \
    assert_non_null(mkdtemp(variable))

static inline void test_remove(const char *directory)
{
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    if (path_shm_for(directory, shm, &text) == 0)
        path_sweep(shm, "");
    path_sweep(directory, "");
}

#endif
