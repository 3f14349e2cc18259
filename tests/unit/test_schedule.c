/* When records are due, by a clock that the test sets. */
#include "test.h"

#include "cli/cli.h"
#include "cli/schedule.h"

volatile sig_atomic_t cli_stop;

static const uint64_t second_ns = 1000000000;

static uint64_t now_ns, slept_until_ns;

uint64_t cli_now_ns(void)
{
    return now_ns;
}

bool cli_sleep_until(uint64_t monotonic_ns)
{
    slept_until_ns = now_ns = monotonic_ns;
    return true;
}

static int begin(void **state)
{
    (void)state;
    now_ns = 1000 * second_ns;
    slept_until_ns = 0;
    return 0;
}

static void intervals_are_divided_by_the_speed(void **state)
{
    (void)state;
    struct schedule schedule = {.speed = 2, .unit = "line"};
    schedule_wait(&schedule, 34200 * second_ns, 1);
    assert_int_equal(slept_until_ns, 0);
    schedule_wait(&schedule, 34210 * second_ns, 2);
    assert_int_equal(slept_until_ns, 1005 * second_ns);
    now_ns += 3 * second_ns; /* publishing took its time */
    schedule_wait(&schedule, 34220 * second_ns, 3);
    assert_int_equal(slept_until_ns, 1010 * second_ns);
    assert_int_equal(schedule.held_up_ns, 0);
}

static void nothing_is_caught_up_with_after_a_pause(void **state)
{
    (void)state;
    struct schedule schedule = {.speed = 1, .unit = "line"};
    for (uint64_t i = 0; i < 3; i++)
        schedule_wait(&schedule, i * second_ns, i + 1);
    now_ns += 60 * second_ns;
    schedule_wait(&schedule, 3 * second_ns, 4); /* was due 59 seconds ago: at once */
    assert_int_equal(slept_until_ns, 1002 * second_ns);
    schedule_wait(&schedule, 4 * second_ns, 5);
    assert_int_equal(slept_until_ns, 1063 * second_ns);
    assert_int_equal(schedule.held_up_ns, 59 * second_ns);
}

static void a_time_that_goes_back_is_due_at_once(void **state)
{
    (void)state;
    struct schedule schedule = {.speed = 1, .unit = "line", .may_go_back_ns = second_ns};
    schedule_wait(&schedule, 100 * second_ns, 1);
    schedule_wait(&schedule, 99 * second_ns, 2); /* of which no word is said */
    assert_int_equal(schedule.went_back, 0);
    schedule_wait(&schedule, 98 * second_ns, 3);
    assert_int_equal(schedule.went_back, 1);
    assert_int_equal(slept_until_ns, 0);
    schedule_wait(&schedule, 101 * second_ns, 4);
    assert_int_equal(slept_until_ns, 1001 * second_ns);
}

static void no_interval_is_too_long(void **state)
{
    (void)state;
    static const double speeds[] = {1, 1e-300, 1e300};
    for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        struct schedule schedule = {.speed = speeds[i], .unit = "line"};
        begin(NULL);
        schedule_wait(&schedule, 0, 1);
        schedule_wait(&schedule, UINT64_MAX, 2);
        assert_true(speeds[i] > 1 ? slept_until_ns == 0 : slept_until_ns > second_ns * second_ns);
    }
}

static void the_greatest_speed_waits_for_nothing(void **state)
{
    (void)state;
    struct schedule schedule = {.unit = "line"};
    schedule_wait(&schedule, 5, 1);
    schedule_wait(&schedule, UINT64_MAX, 2);
    schedule_wait(&schedule, 1, 3);
    assert_int_equal(slept_until_ns, 0);
    assert_int_equal(schedule.went_back, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(intervals_are_divided_by_the_speed, begin),
        cmocka_unit_test_setup(nothing_is_caught_up_with_after_a_pause, begin),
        cmocka_unit_test_setup(a_time_that_goes_back_is_due_at_once, begin),
        cmocka_unit_test_setup(no_interval_is_too_long, begin),
        cmocka_unit_test_setup(the_greatest_speed_waits_for_nothing, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
