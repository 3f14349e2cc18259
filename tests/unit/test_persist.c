/*
 * A log as its owner sees it, handed on to its store: what a publisher did wrong, an owner that dies, disks
 * that are slow (the linker puts our fdatasync and pwrite in place of the system's: --wrap), clocks that are
 * set.
 */
#include "log_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/steady.h"
#include "log/recovery.h"

/* ---- disks that take their time ---- */

static _Atomic bool slow;       /* the next call to a disk goes in and stays there */
static _Atomic uint32_t inside; /* it is in */
static _Atomic uint32_t go_on;  /* it may come out */

int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
ssize_t __real_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __wrap_fdatasync(int fd);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset);

static void be_slow(void)
{
    if (!atomic_exchange(&slow, false))
        return;
    atomic_store(&inside, 1);
    futex_wake_all(&inside);
    while (atomic_load(&go_on) == 0)
        futex_wait(&go_on, 0, FUTEX_FOREVER);
}

int __wrap_fdatasync(int fd)
{
    be_slow();
    return __real_fdatasync(fd);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    be_slow();
    return __real_pwrite(fd, bytes, count, offset);
}

static ino_t watched; /* is this one synced? */
static unsigned watched_syncs;

int __wrap_fsync(int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_ino == watched)
        watched_syncs++;
    return __real_fsync(fd);
}

/* ---- tests ---- */

/* The buffer changed while it was published: one message is damaged, and all others are as confirmed as ever,
 * whoever dies and however often. */
static void a_publishers_wrong_checksum_costs_its_message_alone(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    publish(&f, 100);
    uint64_t wrong = f.log.writer.position;
    publish(&f, 100);
    f.log.window->data[(wrong & (WINDOW - 1)) + HERMES_HEADER_BYTES] ^= 1;
    sync_all(&f);
    uint64_t end = persisted(&f);
    publish(&f, 10);
    for (int i = 0; i < 3; i++) {
        log_abandon(&f.log); /* SIGKILL */
        open_log(&f);
        assert_true(f.log.taken_up);
        assert_int_equal(f.log.store.position, end);
        assert_int_equal(f.log.store.cut_bytes, 0);
        persist_all(&f);
        end = persisted(&f);
        assert_int_equal(f.log.store.sequence, 211);
    }
    assert_int_equal(log_sync(&f.log), 0);
    /* And without a window. */
    log_abandon(&f.log);
    char name[128];
    snprintf(name, sizeof name, "%s.status", f.prefix);
    assert_int_equal(unlink(name), 0);
    open_log(&f);
    assert_false(f.log.taken_up);
    assert_int_equal(f.log.store.position, end);
    assert_int_equal(f.log.store.sequence, 211);
    teardown(&f);
}

/* The owner dies between noting where an epoch ended and saying that nobody writes any more. */
static void an_epoch_that_is_over_has_no_writer_after_a_death(void **state)
{
    (void)state;
    const enum status_writer writers[] = {WRITER_OWNER, WRITER_CLIENT};
    struct fixture f;
    setup(&f);
    publish(&f, 10);
    for (unsigned i = 0; i < 2; i++) {
        log_end(&f.log, EPOCH_LEFT);
        atomic_store(&f.log.status->writer, writers[i]);
        log_abandon(&f.log);
        open_log(&f);
        assert_true(f.log.taken_up);
        assert_false(log_has_writer(&f.log));
        begin_writing(&f);
        publish(&f, 1);
    }
    persist_all(&f);
    assert_int_equal(f.log.store.sequence, 13);
    teardown(&f);
}

/* It died between the two words that say how far it stored: nothing of it is a publisher's fault. */
static void an_owner_dies_between_position_and_sequence(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (uint64_t round = 1; round <= 3; round++) {
        publish(&f, 100);
        persist_all(&f);
        uint64_t before = persisted(&f);
        publish(&f, 50);
        persist_all(&f);
        publish(&f, 30); /* that nobody has stored yet */
        assert_int_equal(atomic_load(&f.log.status->persisted_sequence), round * 180 - 29);
        atomic_store(&f.log.status->persisted, before);
        log_abandon(&f.log);
        open_log(&f);
        assert_true(f.log.taken_up);
        assert_int_equal(f.log.store.sequence, round * 180 - 79);
        persist_all(&f);
        assert_int_equal(f.log.store.sequence, round * 180 + 1);
        begin_writing(&f);
    }
    teardown(&f);
}

/* A status page that cannot be used: the store is the truth, and recovers as it does without one. */
static void an_unusable_status_page_is_as_none(void **state)
{
    (void)state;
    struct fixture f;
    struct error_text text;
    setup(&f);
    publish(&f, 50);
    sync_all(&f);
    f.log.status->magic = 0;
    log_abandon(&f.log);
    open_log(&f);
    assert_false(f.log.taken_up);
    assert_int_equal(f.log.store.sequence, 51);
    assert_int_equal(persisted(&f), 50 * 64);
    struct store_place place;
    assert_int_equal(store_find(&f.log.store, STORE_BY_SEQUENCE, 20, &place, &text), 0);
    close(place.fd);
    teardown(&f);
}

/* A topic's definition says another size by now: its window and what it holds are taken up all the same. */
static void a_window_of_another_size_is_taken_up_as_it_is(void **state)
{
    (void)state;
    for (enum log_durability durability = DURABILITY_ASYNC; durability <= DURABILITY_MEMORY; durability++) {
        static const uint64_t sizes[] = {WINDOW, 2 * WINDOW, WINDOW};
        struct fixture f = {0};
        strcpy(f.directory, "/tmp/hermes-test-XXXXXX");
        assert_non_null(mkdtemp(f.directory));
        snprintf(f.prefix, sizeof f.prefix, "%s/shm", f.directory);
        open_log_with(&f, 4 * WINDOW, durability);
        for (uint64_t i = 0; i < 3; i++) {
            begin_writing(&f);
            publish(&f, 100);
            log_abandon(&f.log);
            open_log_with(&f, sizes[i], durability);
            assert_true(f.log.taken_up);
            assert_int_equal(f.log.capacity, 4 * WINDOW);
            assert_int_equal(log_committed(&f.log).sequence, (i + 1) * 100 + 1);
        }
        teardown(&f);
    }
}

/* Something in the owner's process wrote where it should not, over what was told to be in the log. */
static void an_owner_that_loses_its_end_says_so(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        struct fixture f;
        setup(&f);
        publish(&f, 100);
        persist_all(&f);
        publish(&f, 10);
        uint64_t wrong = f.log.writer.position;
        publish(&f, 10);
        f.log.window->data[wrong + round * 8] ^= 1; /* the magic; the sequence */
        assert_int_equal(log_close(&f.log, STATE_CLOSED), HERMES_EMALFORMED);
        open_log(&f); /* what comes before that is there */
        assert_int_equal(f.log.store.sequence, 111);
        teardown(&f);
    }
}

/* What the publisher does to a frame while it is stored is not stored. */
static void what_is_stored_is_what_was_checked(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    publish(&f, 10);
    hermes_header_t *header = (hermes_header_t *)(void *)f.log.window->data;
    header->length = 0xffffffff;
    assert_int_equal(log_persist(&f.log, WINDOW), HERMES_EMALFORMED);
    header->length = 32;
    header->type = 16;
    assert_int_equal(log_persist(&f.log, WINDOW), HERMES_EMALFORMED);
    header->type = HERMES_TYPE_DATA;
    assert_int_equal(log_persist(&f.log, WINDOW), 640);
    teardown(&f);
}

/* Nor is what it committed lost, or what is wrong with it hidden, because it died before it told its
 * position. */
static void a_writers_position_is_a_hint(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    publish(&f, 10);
    hermes_header_t *header = (hermes_header_t *)(void *)f.log.window->data;
    _Atomic uint64_t *position = &f.log.window->position;
    uint64_t end = atomic_load(position);
    static const uint64_t wrong[] = {0, 1000 * WINDOW, UINT64_MAX & ~63ull};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        atomic_store(position, wrong[i]);
        header->length = 0xffffffff;
        assert_int_equal(log_persist(&f.log, WINDOW), HERMES_EMALFORMED);
        header->length = 32;
    }
    for (uint64_t said = 64; said < end; said += 64) { /* no more is stored than it said, or all of it */
        atomic_store(position, f.log.store.position + 64);
        assert_int_equal(log_persist(&f.log, WINDOW), 64);
    }
    atomic_store(position, 0);
    assert_int_equal(log_persist(&f.log, WINDOW), 64);
    atomic_store(position, end);
    assert_int_equal(log_persist(&f.log, WINDOW), 0);
    publish(&f, 1);
    atomic_store(position, end + 32); /* half a frame is none */
    assert_int_equal(log_persist(&f.log, WINDOW), HERMES_EMALFORMED);
    atomic_store(position, end + 64);
    assert_int_equal(log_persist(&f.log, WINDOW), 64);
    teardown(&f);
}

static int (*slow_call)(struct log *log);
static int slow_result;

static int persist_once(struct log *log)
{
    return log_persist(log, WINDOW) > 0 ? 0 : -1;
}

static void *in_a_slow_call(void *log)
{
    slow_result = slow_call(log);
    return NULL;
}

/* While a disk takes its time, everything that the owner's loop asks of the log is answered. */
static void nobody_waits_for_a_slow_disk(void **state)
{
    (void)state;
    int (*const calls[])(struct log *) = {persist_once, log_sync};
    struct fixture f;
    struct error_text text;
    setup(&f);
    publish(&f, 1000);
    sync_all(&f);
    for (size_t i = 0; i < 2; i++) {
        publish(&f, 10);
        if (calls[i] == log_sync)
            persist_all(&f);
        slow_call = calls[i];
        atomic_store(&inside, 0);
        atomic_store(&go_on, 0);
        atomic_store(&slow, true);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, in_a_slow_call, &f.log), 0);
        while (atomic_load(&inside) == 0)
            futex_wait(&inside, 0, FUTEX_FOREVER);

        struct store_place place;
        assert_int_equal(store_find(&f.log.store, STORE_BY_SEQUENCE, 500, &place, &text), 0);
        assert_true(place.sequence <= 500);
        close(place.fd);
        (void)log_park(&f.log);
        (void)log_has_more(&f.log);
        log_lock(&f.log);
        log_unlock(&f.log);
        begin_writing(&f); /* the window goes away under it */
        publish(&f, 5);

        atomic_store(&go_on, 1);
        futex_wake_all(&go_on);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(slow_result, 0);
    }
    persist_all(&f);
    assert_int_equal(f.log.store.sequence, 1 + 1000 + 2 * 15);
    teardown(&f);
}

struct search {
    struct store *store;
    _Atomic bool stop;
    uint64_t found;
};

static void *search_on(void *argument)
{
    struct search *search = argument;
    uint64_t seed = 3;
    while (!atomic_load(&search->stop)) {
        struct store_place place;
        struct error_text text;
        uint64_t sequence = 1 + test_random(&seed) % 100000;
        int rc = store_find(search->store, test_random(&seed) % 2 == 0 ? STORE_BY_SEQUENCE : STORE_BY_TIME,
                            sequence, &place, &text);
        assert_true(rc == 0 || rc == HERMES_ENOTFOUND);
        if (rc == 0)
            close(place.fd);
        search->found += rc == 0;
    }
    return NULL;
}

/* Segments come and go while others search. */
static void searches_beside_rolls_and_retention(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    atomic_store(&f.log.keep_bytes, 2 * SEGMENT);
    publish(&f, 10);
    persist_all(&f);
    struct search search = {.store = &f.log.store};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, search_on, &search), 0);
    int retired = 0;
    for (int i = 0; i < 100; i++) {
        publish(&f, 1500);
        sync_all(&f);
        int rc = log_retain(&f.log);
        assert_true(rc >= 0);
        retired += rc;
    }
    atomic_store(&search.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(retired > 2);
    teardown(&f);
}

/* A topic's directory is as new as its first segment, and goes with a power cut unless the one above it is
 * synced. */
static void a_new_topics_directory_is_synced(void **state)
{
    (void)state;
    TEST_DIRECTORY(above);
    struct stat status;
    struct fixture f = {0};
    assert_int_equal(stat(above, &status), 0);
    watched = status.st_ino;
    snprintf(f.directory, sizeof f.directory, "%s/topic", above);
    snprintf(f.prefix, sizeof f.prefix, "%s/shm", above);
    open_log(&f);
    begin_writing(&f);
    publish(&f, 1);
    persist_all(&f);
    assert_int_equal(watched_syncs, 1);
    assert_int_equal(log_sync(&f.log), 0);
    assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
    test_remove(f.directory);
    test_remove(above);
}

static const uint64_t second = 1000000000u, hour = 3600000000000u, week = 7 * 24 * 3600000000000u;

/* A step of the wall clock counts once it has lasted as long as it is large, or an hour. */
static void a_clock_that_is_set_moves_slowly(void **state)
{
    (void)state;
    struct steady steady;
    uint64_t wall = 1000 * week, boot = 5 * second;
    steady_start(&steady, wall, boot);
    for (int i = 0; i < 20; i++) { /* a week ahead for half a second */
        boot += second / 20;
        wall += second / 20;
        uint64_t told = wall + (i >= 5 && i < 15 ? week : 0);
        assert_int_equal(steady_look(&steady, told, boot), wall);
    }
    assert_int_equal(steady_look(&steady, wall - 3 * second, boot), wall); /* set back, for good */
    assert_int_equal(steady_look(&steady, wall - second, boot + 2 * second), wall + 2 * second);
    assert_int_equal(steady_look(&steady, wall, boot + 3 * second), wall);
    /* A machine that was off for a week, or whose clock is a week wrong: an hour will tell. */
    steady_start(&steady, wall, boot);
    for (uint64_t t = 0; t < hour; t += 60 * second)
        assert_int_equal(steady_look(&steady, wall + week + t, boot + t), wall + t);
    assert_int_equal(steady_look(&steady, wall + week + hour, boot + hour), wall + week + hour);
}

/* Segments that say that they were begun when they cannot have been do not make others older. */
static void odd_times_of_segments_delete_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill_segments(&f, 5);
    struct store *store = &f.log.store;
    uint64_t now = clock_realtime_ns();
    assert_int_equal(store_retires(store, 0, hour), 0);
    store->entries[1].created = now - 2 * week; /* its clock was wrong: the one before knows better */
    assert_int_equal(store_retires(store, 0, hour), 0);
    store->entries[1].created = now + week;
    store->entries[0].created = now - 2 * week;
    assert_int_equal(store_retires(store, 0, hour), 0);
    for (size_t i = 1; i < store->entry_count - 1; i++) /* those were all in the future; the last is right */
        store->entries[i].created = now + week;
    assert_int_equal(store_retires(store, 0, hour), 0);
    store->entries[store->entry_count - 1].created = now - 2 * hour;
    assert_int_equal(store_retires(store, 0, hour), SEGMENT);
    /* The wall clock jumps: the next look, and the time that a new segment gets. */
    store->entries[1].created = now - 2;
    steady_start(&store->clock, now - week, clock_boot_ns());
    assert_int_equal(store_retires(store, 0, hour), 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publishers_wrong_checksum_costs_its_message_alone),
        cmocka_unit_test(an_epoch_that_is_over_has_no_writer_after_a_death),
        cmocka_unit_test(an_owner_dies_between_position_and_sequence),
        cmocka_unit_test(an_unusable_status_page_is_as_none),
        cmocka_unit_test(a_window_of_another_size_is_taken_up_as_it_is),
        cmocka_unit_test(an_owner_that_loses_its_end_says_so),
        cmocka_unit_test(what_is_stored_is_what_was_checked),
        cmocka_unit_test(a_writers_position_is_a_hint),
        cmocka_unit_test(nobody_waits_for_a_slow_disk),
        cmocka_unit_test(searches_beside_rolls_and_retention),
        cmocka_unit_test(a_new_topics_directory_is_synced),
        cmocka_unit_test(a_clock_that_is_set_moves_slowly),
        cmocka_unit_test(odd_times_of_segments_delete_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
