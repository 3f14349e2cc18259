#include "cli/schedule.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"

static const uint64_t pause_ns = 1000000000, long_wait_ns = 60000000000;

/* Beyond any feed, and far from what 64 bits hold. */
static const double longest_ns = 1e18;

static uint64_t due_ns(const struct schedule *schedule, uint64_t time_ns)
{
    double since_first = (double)(time_ns - schedule->first_ns) / schedule->speed;
    return schedule->start_ns + (uint64_t)(since_first < longest_ns ? since_first : longest_ns);
}

static void go_back(struct schedule *schedule, uint64_t time_ns, uint64_t at)
{
    uint64_t back_ns = schedule->latest_ns - time_ns;
    if (back_ns <= schedule->may_go_back_ns)
        return;
    if (schedule->went_back++ == 0)
        fprintf(stderr,
                "hermes: %s %" PRIu64 ": its time is %.6f s before an earlier one: it goes out at once\n",
                schedule->unit, at, (double)back_ns / 1e9);
}

static void hold_up(struct schedule *schedule, uint64_t late_ns, uint64_t at)
{
    if (schedule->held_up_ns == 0)
        fprintf(stderr, "hermes: %s %" PRIu64 ": held up for %.1f s: the intervals go on from here\n",
                schedule->unit, at, (double)late_ns / 1e9);
    schedule->held_up_ns += late_ns;
    schedule->start_ns += late_ns;
}

void schedule_wait(struct schedule *schedule, uint64_t time_ns, uint64_t at)
{
    if (schedule->speed == 0)
        return;
    if (!schedule->has_begun) {
        schedule->has_begun = true;
        schedule->start_ns = cli_now_ns();
        schedule->first_ns = schedule->latest_ns = time_ns;
        return;
    }
    if (time_ns < schedule->latest_ns) {
        go_back(schedule, time_ns, at);
        return;
    }
    schedule->latest_ns = time_ns;
    uint64_t due = due_ns(schedule, time_ns), now = cli_now_ns();
    if (now > due + pause_ns)
        hold_up(schedule, now - due, at);
    if (due > now + long_wait_ns)
        fprintf(stderr, "hermes: %s %" PRIu64 " is due in %.0f s\n", schedule->unit, at,
                (double)(due - now) / 1e9);
    if (due > now)
        cli_sleep_until(due);
}

void schedule_report(const struct schedule *schedule)
{
    if (schedule->went_back > 0)
        fprintf(stderr, "hermes: %" PRIu64 " messages had times before earlier ones, and went out at once\n",
                schedule->went_back);
    if (schedule->held_up_ns > 0)
        fprintf(stderr, "hermes: held up for %.1f s in all\n", (double)schedule->held_up_ns / 1e9);
}
