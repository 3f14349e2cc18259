#include "base/line.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/wait.h"

struct line {
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
    bool pause;
};

static void echo(struct line *line, unsigned rounds)
{
    for (uint64_t i = 1; i <= rounds; i++) {
        /* Acquires what the other side released: the two lines are all that they share. */
        while (atomic_load_explicit(&line->ping, memory_order_acquire) != i)
            if (line->pause)
                cpu_relax();
        atomic_store_explicit(&line->pong, i, memory_order_release);
    }
}

static void measure(struct line *line, unsigned rounds, struct histogram *histogram)
{
    for (uint64_t i = 1; i <= rounds; i++) {
        uint64_t start = clock_monotonic_ns();
        /* As in echo(). */
        atomic_store_explicit(&line->ping, i, memory_order_release);
        while (atomic_load_explicit(&line->pong, memory_order_acquire) != i)
            if (line->pause)
                cpu_relax();
        histogram_record(histogram, clock_monotonic_ns() - start);
    }
}

static pid_t start_echo(struct line *line, unsigned rounds, void (*place_child)(void))
{
    pid_t parent = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    place_child();
    echo(line, rounds);
    _exit(0);
}

static int once(bool pause, unsigned rounds, void (*place_child)(void), double *ns)
{
    static struct histogram histogram;
    int status;
    struct line *line =
        mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (line == MAP_FAILED)
        return HERMES_ENOMEM;
    line->pause = pause;
    histogram_reset(&histogram);
    int rc = HERMES_ELIMIT;
    pid_t child = start_echo(line, rounds, place_child);
    if (child > 0) {
        measure(line, rounds, &histogram);
        rc = waitpid(child, &status, 0) == child && status == 0 ? HERMES_OK : HERMES_EIO;
        *ns = (double)histogram_quantile(&histogram, 0.5);
    }
    munmap(line, sizeof *line);
    return rc;
}

double line_clock_cost_ns(void)
{
    static struct histogram histogram;
    histogram_reset(&histogram);
    for (int i = 0; i < 10000; i++) {
        uint64_t start = clock_monotonic_ns();
        histogram_record(&histogram, clock_monotonic_ns() - start);
    }
    return (double)histogram_quantile(&histogram, 0.5);
}

int line_round_trip(unsigned rounds, void (*place_child)(void), double *ns)
{
    double plain, paused;
    int rc = once(false, rounds, place_child, &plain);
    if (rc == 0)
        rc = once(true, rounds, place_child, &paused);
    if (rc < 0)
        return rc;
    double line = (plain < paused ? plain : paused) - line_clock_cost_ns();
    *ns = line < 1 ? 1 : line;
    return HERMES_OK;
}
