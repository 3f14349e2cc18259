/* Time stamps of a writer's own: kept as they are, refused where they are none. */
#include "test.h"

#include "hermes/log.h"

static const hermes_log_options_t small = {
    .size = sizeof small, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};

static hermes_log_t *open_log(const char *path)
{
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    return log;
}

static hermes_log_reader_t *open_reader(const char *path)
{
    hermes_log_reader_t *reader;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    return reader;
}

static void expect_next(hermes_log_reader_t *reader, uint64_t timestamp)
{
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
    assert_int_equal(message.timestamp, timestamp);
}

static void are_kept(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    const hermes_slice_t slices[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    const uint64_t stamps[] = {INT64_MAX, 1, 1340271000000000123};
    void *room;
    uint64_t sequence = 0;
    assert_int_equal(hermes_log_append_at(log, 77, "x", 1, &sequence), 0);
    assert_int_equal(sequence, 1);
    assert_int_equal(hermes_log_append_batch_at(log, stamps, slices, 3), 3);
    assert_int_equal(hermes_log_append_batch_at(log, NULL, NULL, 0), 0);
    assert_int_equal(hermes_log_claim(log, 1, &room), 0);
    memcpy(room, "d", 1);
    assert_int_equal(hermes_log_commit_at(log, 5, &sequence), 0);
    assert_int_equal(sequence, 5);
    hermes_log_reader_t *reader = open_reader(path);
    expect_next(reader, 77);
    for (int i = 0; i < 3; i++)
        expect_next(reader, stamps[i]);
    expect_next(reader, 5);
    hermes_log_reader_close(reader);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    const uint64_t none[] = {0, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    const hermes_slice_t slices[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    void *room;
    for (int i = 0; i < 3; i++) {
        const uint64_t stamps[] = {9, none[i], 9};
        assert_int_equal(hermes_log_append_at(log, none[i], "x", 1, NULL), HERMES_EINVALID);
        assert_int_equal(hermes_log_append_batch_at(log, stamps + 1, slices, 2), HERMES_EINVALID);
        /* What comes before it is in; the next call tells. */
        assert_int_equal(hermes_log_append_batch_at(log, stamps, slices, 3), 1);
        assert_int_equal(hermes_log_append_batch_at(log, stamps, slices, 1), HERMES_EINVALID);
        assert_int_equal(hermes_log_claim(log, 1, &room), 0);
        assert_int_equal(hermes_log_commit_at(log, none[i], NULL), HERMES_EINVALID);
        memcpy(room, "d", 1);
        assert_int_equal(hermes_log_commit_at(log, 8, NULL), 0); /* the claim was still open */
    }
    assert_int_equal(hermes_log_append_batch_at(log, NULL, slices, 3), HERMES_EINVALID);
    assert_int_equal(hermes_log_sequence(log), 6);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_kept),
        cmocka_unit_test(what_is_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
