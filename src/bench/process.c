/* Two processes of a benchmark: where they run, what they share, and what ends them. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

/* The CPUs that the process had when it started: pinning takes some of them away. */
static const cpu_set_t *allowed_cpus(void)
{
    static cpu_set_t allowed;
    static bool known;
    if (!known) {
        known = true;
        sched_getaffinity(0, sizeof allowed, &allowed);
    }
    return &allowed;
}

int bench_cpus(void)
{
    return CPU_COUNT(allowed_cpus());
}

void bench_pin_process(pid_t pid, int side)
{
    const cpu_set_t *allowed = allowed_cpus();
    cpu_set_t chosen = *allowed;
    int seen = 0;
    for (size_t cpu = 0; side >= 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed)) {
            CPU_ZERO(&chosen);
            CPU_SET(cpu, &chosen);
            if (seen++ == side)
                break;
        }
    sched_setaffinity(pid, sizeof chosen, &chosen);
}

void bench_pin(int side)
{
    bench_pin_process(0, side);
}

void *bench_shared(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("hermes bench: shared memory");
        exit(EXIT_FAILED);
    }
    return memory;
}

pid_t bench_child(void (*body)(void *context), void *context)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(1);
        body(context);
        _exit(0);
    }
    return pid;
}

void bench_join(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        exit(cli_fail("benchmark", 0, "the other process failed"));
}

void bench_other_lives(uint64_t looks)
{
    if (looks % (1 << 20) != 0)
        return;
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
        (info.si_code != CLD_EXITED || info.si_status != 0))
        exit(cli_fail("benchmark", 0, "the other process ended early"));
}

void bench_must(int rc, const char *what, const char *sentence)
{
    if (rc < 0)
        exit(cli_fail(what, rc, sentence));
}

uint64_t bench_cpu_ns(pid_t pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    struct dirent *task;
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        char file[512];
        unsigned long long ran;
        snprintf(file, sizeof file, "%s/%s/schedstat", path, task->d_name);
        FILE *stat = fopen(file, "re");
        if (stat == NULL)
            continue;
        if (fscanf(stat, "%llu", &ran) == 1)
            sum += ran;
        fclose(stat);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}
