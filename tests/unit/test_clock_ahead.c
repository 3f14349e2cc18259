/*
 * A start beside a wall clock that is ahead (the linker puts our clock_gettime in place of the system's:
 * --wrap). Nothing is deleted for what such a clock says, after the first start or any other, until it has
 * said so for as long as base/steady.h asks.
 */
#include "log_fixture.h"

#include <time.h>

#include "base/clock.h"
#include "log/checkpoint.h"

static const uint64_t minute = 60000000000u, hour = 3600000000000u, week = 7 * 24 * 3600000000000u;

static uint64_t ahead_ns;  /* the wall clock, of what is right */
static uint64_t passed_ns; /* since the test began, but for what it takes itself */

int __real_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time);

int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    int rc = __real_clock_gettime(id, time);
    uint64_t ns = (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec + passed_ns;
    ns += id == CLOCK_REALTIME ? ahead_ns : 0;
    time->tv_sec = (time_t)(ns / 1000000000u);
    time->tv_nsec = (long)(ns % 1000000000u);
    return rc;
}

static uint64_t right_ns(void)
{
    return clock_realtime_ns() - ahead_ns;
}

/* Of the last start, as the next one reads it. */
static uint64_t checkpoint_time(const struct fixture *f)
{
    struct checkpoint checkpoint;
    assert_int_equal(checkpoint_read(f->log.store.checkpoint_fd, &checkpoint), 0);
    return checkpoint.time;
}

static void end(struct fixture *f, bool in_good_order)
{
    if (in_good_order)
        assert_int_equal(log_close(&f->log, STATE_CLOSED), 0);
    else
        log_abandon(&f->log);
}

static void start(struct fixture *f)
{
    open_log(f);
    begin_writing(f);
    atomic_store(&f->log.keep_ns, hour);
}

static void expect_all_kept(struct fixture *f, size_t segments)
{
    assert_int_equal(log_retain(&f->log), 0);
    publish(f, 10);
    sync_all(f);
    assert_int_equal(log_retain(&f->log), 0);
    assert_int_equal(f->log.store.entry_count, segments);
    assert_int_equal(store_first(&f->log.store), 0);
    assert_in_range(checkpoint_time(f), right_ns() - hour, right_ns() + hour);
}

static void starts_beside_a_clock_that_is_ahead(bool in_good_order)
{
    enum { SEGMENTS = 4, STARTS = 4 };
    struct fixture f;
    ahead_ns = passed_ns = 0;
    setup(&f);
    fill_segments(&f, SEGMENTS);
    end(&f, in_good_order);
    ahead_ns = week;
    for (int i = 0; i < STARTS; i++) { /* each goes by what the one before it wrote down */
        start(&f);
        expect_all_kept(&f, SEGMENTS);
        passed_ns += minute;
        expect_all_kept(&f, SEGMENTS);
        end(&f, in_good_order);
    }
    ahead_ns = 0; /* somebody has set it right */
    start(&f);
    expect_all_kept(&f, SEGMENTS);
    passed_ns += 2 * hour; /* and now they are old */
    assert_int_equal(log_retain(&f.log), SEGMENTS - 1);
    teardown(&f);
}

static void a_start_beside_a_clock_that_is_ahead_deletes_nothing(void **state)
{
    (void)state;
    starts_beside_a_clock_that_is_ahead(true);
}

static void nor_does_a_start_after_a_crash(void **state)
{
    (void)state;
    starts_beside_a_clock_that_is_ahead(false);
}

/* A machine that was off for a week: its clock is right, and is believed in the end. */
static void what_is_old_goes_once_the_clock_is_believed(void **state)
{
    (void)state;
    struct fixture f;
    ahead_ns = passed_ns = 0;
    setup(&f);
    fill_segments(&f, 4);
    end(&f, true);
    ahead_ns = week;
    start(&f);
    publish(&f, 10);
    sync_all(&f);
    for (uint64_t t = 0; t < hour; t += minute, passed_ns += minute)
        assert_int_equal(log_retain(&f.log), 0);
    assert_int_equal(log_retain(&f.log), 3);
    publish(&f, 10);
    sync_all(&f);
    assert_in_range(checkpoint_time(&f), right_ns() + week - hour, right_ns() + week + hour);
    teardown(&f);
    ahead_ns = passed_ns = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_beside_a_clock_that_is_ahead_deletes_nothing),
        cmocka_unit_test(nor_does_a_start_after_a_crash),
        cmocka_unit_test(what_is_old_goes_once_the_clock_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
