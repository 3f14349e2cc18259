/* Everything that a log holds is dropped, whoever reads and writes it, and wherever a crash comes between. */
#include "log_fixture.h"

#include <errno.h>
#include <fcntl.h>

#include "broker/own_reader.h"

static struct fixture fixture;
static struct reader reader;
static hermes_message_t message;

static int begin(void **state)
{
    (void)state;
    setup(&fixture);
    assert_int_equal(own_reader_open(&reader, &fixture.log), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    reader_close(&reader);
    teardown(&fixture);
    return 0;
}

/* A disk that has room for so many segments. */
static size_t disk_segments = SIZE_MAX;

int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    bool is_full = fixture.log.store.entry_count >= disk_segments;
    return is_full ? ENOSPC : __real_posix_fallocate(fd, offset, size);
}

/* To the brim, and some messages that stand in memory alone. */
static void fill_disk(size_t segments)
{
    int64_t done;
    disk_segments = segments;
    do {
        publish(&fixture, 1000);
        while ((done = log_persist(&fixture.log, WINDOW)) > 0)
            ;
    } while (done == 0);
    assert_int_equal(done, HERMES_EFULL);
    assert_true(log_committed(&fixture.log).position > fixture.log.store.position);
}

static void purge(void)
{
    assert_int_equal(log_purge(&fixture.log), 0);
}

static uint64_t first(void)
{
    return atomic_load(&fixture.log.status->first);
}

static void assert_next(uint64_t sequence)
{
    assert_int_equal(reader_poll(&reader, &message), 1);
    assert_int_equal(message.sequence, sequence);
}

/* The reader is told where it goes on, and how much it lost once it has the next message. */
static void assert_told(uint64_t sequence, uint64_t lost)
{
    assert_int_equal(reader_poll(&reader, &message), HERMES_EGONE);
    assert_int_equal(reader.position, fixture.log.store.floor);
    assert_int_equal(reader_poll(&reader, &message), 0);
    publish(&fixture, 1);
    assert_next(sequence);
    assert_int_equal(reader.lost, lost);
}

static void who_reads_in_the_window_is_told(void **state)
{
    (void)state;
    publish(&fixture, 10);
    assert_next(1);
    assert_next(2);
    purge();
    assert_told(11, 8);
}

static void who_reads_in_the_store_is_told_in_a_segment_that_it_has_mapped(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) { /* beyond the window, within a segment */
        publish(&fixture, 1000);
        sync_all(&fixture);
    }
    assert_int_equal(reader_seek_first(&reader), 0);
    assert_next(1);
    assert_true(reader.in_store);
    purge();
    assert_told(8001, 7999);
}

static void who_has_read_all_notices_nothing(void **state)
{
    (void)state;
    publish(&fixture, 2);
    assert_next(1);
    assert_next(2);
    purge();
    assert_int_equal(reader_poll(&reader, &message), 0);
    publish(&fixture, 1);
    assert_next(3);
    assert_int_equal(reader.lost, 0);
}

static void seeks_find_nothing_older(void **state)
{
    (void)state;
    publish(&fixture, 100);
    uint64_t old = reader.position;
    purge();
    publish(&fixture, 100);
    sync_all(&fixture);
    for (int store = 0; store < 2; store++) { /* what is purged stands beside what is not */
        assert_int_equal(reader_seek_first(&reader), 0);
        assert_next(101);
        assert_int_equal(reader_seek_sequence(&reader, 1), 0);
        assert_next(101);
        assert_int_equal(reader_seek_sequence(&reader, 150), 0);
        assert_next(150);
        assert_int_equal(reader_seek_time(&reader, 1), 0);
        assert_next(101);
        assert_int_equal(reader_seek_position(&reader, old), HERMES_EGONE);
        assert_int_equal(reader_seek_position(&reader, first()), 0);
        assert_next(101);
        assert_int_equal(reader.lost, 0);
        for (int i = 0; i < 8; i++) { /* now out of the window as well */
            publish(&fixture, 1000);
            sync_all(&fixture);
        }
    }
}

static void whole_segments_are_removed_and_the_last_one_stays(void **state)
{
    (void)state;
    fill_segments(&fixture, 4);
    purge();
    assert_int_equal(fixture.log.store.entry_count, 1);
    assert_int_equal(first(), fixture.log.store.position);
    assert_int_equal(store_first(&fixture.log.store), first());
    assert_int_equal(reader_seek_first(&reader), 0);
    assert_int_equal(reader_poll(&reader, &message), 0);
    purge(); /* of nothing */
    fill_segments(&fixture, 3);
    purge();
    assert_int_equal(fixture.log.store.entry_count, 1);
}

static void come_back(bool memory_is_lost)
{
    reader_close(&reader);
    log_abandon(&fixture.log);
    if (memory_is_lost)
        path_sweep(fixture.directory, "shm");
    open_log(&fixture);
    begin_writing(&fixture);
    assert_int_equal(own_reader_open(&reader, &fixture.log), 0);
}

static void it_stays_so_after_a_crash_and_a_power_cut(void **state)
{
    (void)state;
    publish(&fixture, 100);
    purge();
    publish(&fixture, 10);
    sync_all(&fixture);
    const uint64_t floor = first();
    for (int lost = 0; lost < 2; lost++) {
        come_back(lost == 1);
        assert_int_equal(first(), floor);
        assert_int_equal(reader_seek_first(&reader), 0);
        assert_next(101);
        assert_int_equal(reader_seek_sequence(&reader, 1), 0);
        assert_next(101);
        publish(&fixture, 1);
        sync_all(&fixture); /* and so the checkpoint is written again */
    }
}

static void nobody_hears_of_it(void *context, uint64_t floor)
{
    (void)context;
    (void)floor;
}

static void a_crash_in_the_middle_has_dropped_all(void **state)
{
    struct error_text text;
    (void)state;
    fill_segments(&fixture, 3);
    publish(&fixture, 100);
    sync_all(&fixture);
    assert_int_equal(store_purge(&fixture.log.store, nobody_hears_of_it, NULL, &text), 0);
    const uint64_t floor = fixture.log.store.floor, next = fixture.log.store.sequence;
    assert_true(first() < floor);
    come_back(false);
    assert_int_equal(first(), floor);
    assert_int_equal(reader_seek_position(&reader, floor - 64), HERMES_EGONE);
    reader_hop(&reader, floor - 64, next - 1); /* as of who read before the crash */
    assert_int_equal(reader_poll(&reader, &message), HERMES_EGONE);
    publish(&fixture, 1);
    assert_next(next);
    sync_all(&fixture);
    assert_true(fixture.log.store.entry_count > 1);
    assert_int_equal(reader_seek_sequence(&reader, 1), 0); /* among segments that still are to go */
    assert_next(next);
    assert_true(log_retain(&fixture.log) >= 0); /* and what is left of it goes */
    assert_int_equal(fixture.log.store.entry_count, 1);
}

static void a_checkpoint_that_cannot_be_written_has_dropped_nothing(void **state)
{
    (void)state;
    publish(&fixture, 10);
    sync_all(&fixture);
    int fd = fixture.log.store.checkpoint_fd, full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    fixture.log.store.checkpoint_fd = full;
    assert_int_equal(log_purge(&fixture.log), HERMES_EFULL);
    fixture.log.store.checkpoint_fd = fd;
    close(full);
    assert_int_equal(first(), 0);
    assert_next(1);
    purge(); /* it heals */
    assert_told(11, 9);
}

static void on_a_full_disk_what_stands_in_memory_alone_is_dropped_too(void **state)
{
    (void)state;
    fill_disk(3);
    purge();
    disk_segments = SIZE_MAX;
    assert_int_equal(first(), log_committed(&fixture.log).position);
    assert_int_equal(reader_seek_first(&reader), 0);
    assert_int_equal(reader_poll(&reader, &message), 0);
    const uint64_t next = log_committed(&fixture.log).sequence;
    publish(&fixture, 1);
    assert_next(next);
}

static void what_a_full_disk_keeps_from_being_dropped_is_told(void **state)
{
    (void)state;
    fill_disk(1); /* there is nothing that would make room by going */
    const uint64_t stored = fixture.log.store.position;
    assert_int_equal(log_purge(&fixture.log), HERMES_EFULL);
    assert_non_null(strstr(fixture.log.error.bytes, "in memory"));
    assert_int_equal(first(), stored);
    disk_segments = SIZE_MAX;
    purge(); /* it heals */
    assert_int_equal(first(), log_committed(&fixture.log).position);
    assert_int_equal(reader_seek_first(&reader), 0);
    assert_int_equal(reader_poll(&reader, &message), 0);
}

static void what_retention_keeps_is_kept_from_there_on(void **state)
{
    (void)state;
    fill_segments(&fixture, 2);
    purge();
    const uint64_t floor = first();
    atomic_store(&fixture.log.keep_bytes, SEGMENT);
    fill_segments(&fixture, 4);
    assert_true(log_retain(&fixture.log) > 0);
    assert_true(first() > floor);
    assert_int_equal(first() % SEGMENT, 0);
}

static void a_memory_log_begins_behind_what_was_purged(void **state)
{
    struct fixture f = {0};
    (void)state;
    strcpy(f.directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f.directory));
    snprintf(f.prefix, sizeof f.prefix, "%s/shm", f.directory);
    open_log_with(&f, WINDOW, DURABILITY_MEMORY);
    begin_writing(&f);
    struct reader own;
    assert_int_equal(own_reader_open(&own, &f.log), 0);
    publish(&f, 10);
    assert_int_equal(reader_poll(&own, &message), 1);
    assert_int_equal(log_purge(&f.log), 0);
    assert_int_equal(reader_poll(&own, &message), HERMES_EGONE);
    publish(&f, 2);
    assert_int_equal(reader_poll(&own, &message), 1);
    assert_int_equal(message.sequence, 11);
    assert_int_equal(own.lost, 9);
    assert_int_equal(reader_seek_first(&own), 0);
    assert_int_equal(reader_poll(&own, &message), 1);
    assert_int_equal(message.sequence, 11);
    publish(&f, 3 * WINDOW / 64); /* round and round */
    assert_int_equal(reader_poll(&own, &message), HERMES_EGONE);
    assert_int_equal(reader_poll(&own, &message), 1);
    reader_close(&own);
    assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
    test_remove(f.directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_reads_in_the_window_is_told, begin, end),
        cmocka_unit_test_setup_teardown(who_reads_in_the_store_is_told_in_a_segment_that_it_has_mapped, begin,
                                        end),
        cmocka_unit_test_setup_teardown(who_has_read_all_notices_nothing, begin, end),
        cmocka_unit_test_setup_teardown(seeks_find_nothing_older, begin, end),
        cmocka_unit_test_setup_teardown(whole_segments_are_removed_and_the_last_one_stays, begin, end),
        cmocka_unit_test_setup_teardown(it_stays_so_after_a_crash_and_a_power_cut, begin, end),
        cmocka_unit_test_setup_teardown(a_crash_in_the_middle_has_dropped_all, begin, end),
        cmocka_unit_test_setup_teardown(a_checkpoint_that_cannot_be_written_has_dropped_nothing, begin, end),
        cmocka_unit_test_setup_teardown(on_a_full_disk_what_stands_in_memory_alone_is_dropped_too, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_full_disk_keeps_from_being_dropped_is_told, begin, end),
        cmocka_unit_test_setup_teardown(what_retention_keeps_is_kept_from_there_on, begin, end),
        cmocka_unit_test(a_memory_log_begins_behind_what_was_purged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
