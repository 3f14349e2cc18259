/* A log that is the copy of another goes on where that begins by now: readers, store, crashes. */
#include "log_fixture.h"

#include <fcntl.h>

#include "broker/own_reader.h"

enum { JUMP = 3 * SEGMENT + 5 * 64, FIRST = 100 };

static struct fixture fixture;
static struct reader reader;
static hermes_message_t message;
static struct error_text text;

static int begin(void **state)
{
    (void)state;
    setup(&fixture);
    return 0;
}

static int begin_in_memory(void **state)
{
    (void)state;
    setup(&fixture);
    assert_int_equal(log_close(&fixture.log, STATE_CLOSED), 0);
    open_log_with(&fixture, WINDOW, DURABILITY_MEMORY);
    begin_writing(&fixture);
    return 0;
}

static int end(void **state)
{
    (void)state;
    teardown(&fixture);
    return 0;
}

static void jump(uint64_t position, uint64_t sequence)
{
    assert_int_equal(log_jump(&fixture.log, position, sequence, &text), 0);
}

static void open_reader(bool first)
{
    assert_int_equal(own_reader_open(&reader, &fixture.log), 0);
    if (first)
        assert_int_equal(reader_seek_first(&reader), 0);
}

/* All that there is, from the first that can be read. */
static void assert_has(uint64_t first, unsigned count)
{
    open_reader(true);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(reader_poll(&reader, &message), 1);
        assert_int_equal(message.sequence, first + i);
        assert_int_equal(message.position, JUMP + i * 64);
    }
    assert_int_equal(reader_poll(&reader, &message), 0);
    reader_close(&reader);
}

static void who_waits_is_told_and_goes_on(void **state)
{
    (void)state;
    open_reader(false);
    jump(JUMP, FIRST);
    assert_int_equal(reader_poll(&reader, &message), HERMES_EGONE);
    assert_int_equal(reader_poll(&reader, &message), 0);
    publish(&fixture, 1);
    assert_int_equal(reader_poll(&reader, &message), 1);
    assert_int_equal(message.sequence, FIRST);
    assert_int_equal(message.position, JUMP);
    assert_int_equal(reader.lost, FIRST - 1);
    reader_close(&reader);
}

static void what_comes_then_is_stored_where_it_stands(void **state)
{
    (void)state;
    jump(JUMP, FIRST);
    publish(&fixture, 10);
    assert_has(FIRST, 10);
    sync_all(&fixture);
    assert_int_equal(persisted(&fixture), JUMP + 10 * 64);
    assert_int_equal(log_close(&fixture.log, STATE_CLOSED), 0);
    open_log(&fixture);
    assert_int_equal(log_committed(&fixture.log).position, JUMP + 10 * 64);
    assert_has(FIRST, 10);
}

/* Shared memory is there, nothing is stored yet. */
static void a_crash_behind_it_leaves_the_log_there(void **state)
{
    (void)state;
    jump(JUMP, FIRST);
    log_abandon(&fixture.log);
    open_log(&fixture);
    assert_int_equal(log_committed(&fixture.log).position, JUMP);
    assert_int_equal(log_committed(&fixture.log).sequence, FIRST);
    begin_writing(&fixture);
    publish(&fixture, 3);
    sync_all(&fixture);
    assert_has(FIRST, 3);
}

/* Shared memory is gone: what is stored counts. */
static void a_power_cut_leaves_what_is_stored(void **state)
{
    (void)state;
    char path[320];
    jump(JUMP, FIRST);
    publish(&fixture, 10);
    sync_all(&fixture);
    log_window_path(fixture.prefix, fixture.log.epoch, path, sizeof path);
    log_abandon(&fixture.log);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s.status", fixture.prefix);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/checkpoint", fixture.directory);
    assert_int_equal(unlink(path), 0); /* nor that: the segment is read from its beginning */
    open_log(&fixture);
    assert_int_equal(log_committed(&fixture.log).position, JUMP + 10 * 64);
    assert_has(FIRST, 10);
}

static void what_is_stored_gets_no_hole(void **state)
{
    (void)state;
    publish(&fixture, 3);
    assert_int_equal(log_jump(&fixture.log, JUMP, FIRST, &text), HERMES_EINVALID);
    sync_all(&fixture);
    assert_int_equal(log_jump(&fixture.log, JUMP, FIRST, &text), HERMES_EINVALID);
    publish(&fixture, 1);
    assert_int_equal(log_committed(&fixture.log).position, 4 * 64);
}

static void in_memory_it_jumps_as_often_as_need_be(void **state)
{
    (void)state;
    publish(&fixture, 10);
    open_reader(true);
    assert_int_equal(reader_poll(&reader, &message), 1);
    for (uint64_t i = 1; i <= 5; i++) {
        jump(i * JUMP, i * FIRST);
        assert_int_equal(log_jump(&fixture.log, JUMP / 2, 1, &text), HERMES_EINVALID);
        publish(&fixture, 2);
        assert_int_equal(reader_poll(&reader, &message), HERMES_EGONE);
        for (uint64_t k = 0; k < 2; k++) {
            assert_int_equal(reader_poll(&reader, &message), 1);
            assert_int_equal(message.sequence, i * FIRST + k);
            assert_int_equal(message.position, i * JUMP + k * 64);
        }
        assert_int_equal(reader_poll(&reader, &message), 0);
    }
    assert_int_equal(reader.lost, 9 + 5 * FIRST - 11 - 4 * 2);
    reader_close(&reader);
}

/* More than a window of it, so that what was there of the lap before would show. */
static void what_stood_in_the_window_is_never_taken_for_new(void **state)
{
    (void)state;
    publish(&fixture, WINDOW / 64 * 2);
    for (uint64_t i = 1; i <= 100; i++) {
        uint64_t at = fixture.log.writer.position + i * 64;
        jump(at, i * 100000);
        open_reader(true);
        assert_int_equal(reader_poll(&reader, &message), 0);
        publish(&fixture, 1);
        assert_int_equal(reader_poll(&reader, &message), 1);
        assert_int_equal(message.position, at);
        assert_int_equal(reader_poll(&reader, &message), 0);
        reader_close(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_is_told_and_goes_on, begin, end),
        cmocka_unit_test_setup_teardown(what_comes_then_is_stored_where_it_stands, begin, end),
        cmocka_unit_test_setup_teardown(a_crash_behind_it_leaves_the_log_there, begin, end),
        cmocka_unit_test_setup_teardown(a_power_cut_leaves_what_is_stored, begin, end),
        cmocka_unit_test_setup_teardown(what_is_stored_gets_no_hole, begin, end),
        cmocka_unit_test_setup_teardown(in_memory_it_jumps_as_often_as_need_be, begin_in_memory, end),
        cmocka_unit_test_setup_teardown(what_stood_in_the_window_is_never_taken_for_new, begin_in_memory,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
