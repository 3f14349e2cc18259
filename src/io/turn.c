#include "io/turn.h"

#include <sys/resource.h>

#include "base/clock.h"

static void read_account(struct turn *turn, uint64_t now_ns)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_THREAD, &usage);
    turn->account_ns = now_ns;
    turn->cpu_ns = clock_read(CLOCK_THREAD_CPUTIME_ID);
    turn->sleeps = (uint64_t)usage.ru_nvcsw;
}

void turn_begin(struct turn *turn, uint64_t now_ns, bool waited)
{
    turn->began_ns = now_ns;
    if (waited || now_ns - turn->account_ns > TURN_SHORT_NS)
        read_account(turn, now_ns);
}

static uint64_t own_ns(struct turn *turn, uint64_t length_ns, uint64_t now_ns)
{
    uint64_t cpu_ns = turn->cpu_ns, sleeps = turn->sleeps;
    read_account(turn, now_ns);
    if (turn->sleeps != sleeps) {
        turn->figures.blocked++;
        return length_ns;
    }
    uint64_t own_ns = turn->cpu_ns - cpu_ns;
    return own_ns < length_ns ? own_ns : length_ns;
}

void turn_end(struct turn *turn, uint64_t now_ns)
{
    struct turn_figures *figures = &turn->figures;
    uint64_t length_ns = now_ns - turn->began_ns;
    if (turn->began_ns == 0)
        return;
    if (length_ns > figures->longest_ns)
        figures->longest_ns = length_ns;
    if (length_ns <= TURN_SHORT_NS)
        return;
    uint64_t own = own_ns(turn, length_ns, now_ns);
    if (own > figures->longest_own_ns)
        figures->longest_own_ns = own;
}
