/* Time stamps of a writer's own: kept as they are, refused where they are none, and found by seeks whatever
 * they do - go back, lie in the future, and with an index or without. */
#include "test.h"

#include <dirent.h>

#include "hermes/log.h"

enum { MESSAGES = 24000, PAYLOAD = 400, SEEKS = 300 };

static const hermes_log_options_t small = {
    .size = sizeof small, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};

static uint64_t times[MESSAGES + 1]; /* by sequence */

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
        /* What comes before it is in; a call with the rest tells. */
        assert_int_equal(hermes_log_append_batch_at(log, stamps, slices, 3), 1);
        assert_int_equal(hermes_log_append_batch_at(log, stamps + 1, slices + 1, 2), HERMES_EINVALID);
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

/* Whatever comes after it is judged by itself: other messages one by one, another batch, a claim. */
static void a_batch_that_was_cut_short_refuses_nothing_that_is_legal(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    const hermes_slice_t slices[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    const uint64_t one_is_none[] = {5, 0, 7}, all[] = {5, 6, 7};
    void *room;
    assert_int_equal(hermes_log_append_batch_at(log, one_is_none, slices, 3), 1);
    assert_int_equal(hermes_log_append_batch_at(log, all, slices, 3), 3);
    assert_int_equal(hermes_log_append_batch_at(log, one_is_none, slices, 3), 1);
    assert_int_equal(hermes_log_append_at(log, 8, "d", 1, NULL), 0);
    assert_int_equal(hermes_log_claim(log, 1, &room), 0);
    memcpy(room, "e", 1);
    assert_int_equal(hermes_log_commit_at(log, 9, NULL), 0);
    assert_int_equal(hermes_log_append_batch(log, slices, 3), 3);
    assert_int_equal(hermes_log_sequence(log), 10);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

/* Forward for most of the time; now and then a clock is set back, and now and then one message lies anywhere.
 */
static void choose_times(void)
{
    uint64_t seed = 4711, now = 1000;
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        if (test_random(&seed) % 3000 == 0)
            now /= 2;
        now += 1 + test_random(&seed) % 100;
        times[i] = test_random(&seed) % 1000 == 0 ? 1 + test_random(&seed) % (2 * now) : now;
    }
}

static void append_messages(hermes_log_t *log)
{
    static const uint8_t payload[PAYLOAD];
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        int rc;
        while ((rc = hermes_log_append_at(log, times[i], payload, sizeof payload, NULL)) == HERMES_EAGAIN)
            assert_int_equal(hermes_log_wait_room(log, 10000000000u), 0);
        assert_int_equal(rc, 0);
    }
}

/* MESSAGES + 1: none. */
static uint64_t first_since(uint64_t time)
{
    uint64_t sequence = 1;
    while (sequence <= MESSAGES && times[sequence] < time)
        sequence++;
    return sequence;
}

static void seeks_are_right(const char *path, uint64_t *seed)
{
    hermes_log_reader_t *reader = open_reader(path);
    hermes_message_t message;
    for (int i = 0; i < SEEKS; i++) {
        uint64_t time =
            i % 2 == 0 ? 1 + test_random(seed) % 1400000 : times[1 + test_random(seed) % MESSAGES];
        uint64_t wanted = first_since(time);
        assert_int_equal(hermes_log_reader_seek_time(reader, time), 0);
        uint64_t position = hermes_log_reader_position(reader);
        int rc = hermes_log_reader_poll(reader, &message);
        if (wanted > MESSAGES) {
            assert_true(rc == 0 || rc == HERMES_ECLOSED);
            assert_int_equal(position, hermes_log_reader_position(reader));
            continue;
        }
        assert_int_equal(rc, 1);
        assert_int_equal(message.position, position);
        assert_int_equal(message.sequence, wanted);
        assert_int_equal(message.timestamp, times[wanted]);
        if (wanted < MESSAGES) { /* and on with the next, also where that is earlier */
            assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
            assert_int_equal(message.sequence, wanted + 1);
        }
    }
    hermes_log_reader_close(reader);
}

/* Of the segments from that position on. */
static void remove_indexes(const char *path, uint64_t from)
{
    char first[32];
    snprintf(first, sizeof first, "%020llu.idx", (unsigned long long)from);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    unsigned removed = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strstr(entry->d_name, ".idx") != NULL && strcmp(entry->d_name, first) >= 0) {
            assert_int_equal(unlinkat(dirfd(directory), entry->d_name, 0), 0);
            removed++;
        }
    closedir(directory);
    assert_true(removed > 2);
}

static void the_first_as_late_is_found(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    uint64_t seed = 99;
    hermes_log_t *log = open_log(path);
    choose_times();
    append_messages(log);
    seeks_are_right(path, &seed); /* the newest are in the window alone */
    assert_int_equal(hermes_log_sync(log), 0);
    seeks_are_right(path, &seed);
    assert_int_equal(hermes_log_close(log), 0);
    seeks_are_right(path, &seed);
    for (int lost = 0; lost < 2; lost++) { /* of some segments, then of all */
        remove_indexes(path, lost == 0 ? 8 * small.segment_bytes : 0);
        seeks_are_right(path, &seed);
        log = open_log(path);
        seeks_are_right(path, &seed);
        assert_int_equal(hermes_log_close(log), 0);
    }
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_kept),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_batch_that_was_cut_short_refuses_nothing_that_is_legal),
        cmocka_unit_test(the_first_as_late_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
