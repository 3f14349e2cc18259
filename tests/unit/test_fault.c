/*
 * Disks that fail: each kind of call is made to fail once, or from some moment on (the linker puts our
 * functions in place of the system's: --wrap). A failed write or sync is final, never tried again as if it
 * had not been; a full disk heals, and so does a lack of descriptors. What was confirmed before stays
 * readable, in this process and in the next.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "hermes/log.h"

enum { NONE, STALL, PWRITE, FDATASYNC, FALLOCATE, OPENAT, THREAD };

static _Atomic int failing;    /* which call */
static _Atomic int failure;    /* errno */
static _Atomic unsigned times; /* how often from now on */

/* Which frames of the first segment were written. */
enum { FRAMES = 200 };
static _Atomic bool written[FRAMES];

static off_t frame_offset(unsigned i)
{
    return 64 + (off_t)i * 64;
}

static bool fails(int call)
{
    if (atomic_load(&failing) != call || atomic_load(&times) == 0)
        return false;
    atomic_fetch_sub(&times, 1);
    return true;
}

int __real_openat(int directory, const char *name, int flags, mode_t mode);
int __wrap_openat(int directory, const char *name, int flags, mode_t mode);
ssize_t __real_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __real_fdatasync(int fd);
int __real_posix_fallocate(int fd, off_t offset, off_t size);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __wrap_fdatasync(int fd);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    while (atomic_load(&failing) == STALL)
        sched_yield();
    if (!fails(PWRITE)) {
        for (unsigned i = 0; i < FRAMES; i++)
            written[i] =
                written[i] || (offset <= frame_offset(i) && frame_offset(i) + 64 <= offset + (off_t)count);
        return __real_pwrite(fd, bytes, count, offset);
    }
    errno = atomic_load(&failure);
    return -1;
}

int __wrap_fdatasync(int fd)
{
    if (!fails(FDATASYNC))
        return __real_fdatasync(fd);
    errno = atomic_load(&failure);
    return -1;
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    return fails(FALLOCATE) ? atomic_load(&failure) : __real_posix_fallocate(fd, offset, size);
}

int __wrap_openat(int directory, const char *name, int flags, mode_t mode)
{
    if (!fails(OPENAT))
        return __real_openat(directory, name, flags, mode);
    errno = atomic_load(&failure);
    return -1;
}

typedef void *thread_main_t(void *);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_main_t *main,
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_main_t *main,
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_main_t *main,
                          void *argument)
{
    return fails(THREAD) ? atomic_load(&failure) : __real_pthread_create(thread, attributes, main, argument);
}

static void arm(int call, int error, unsigned count)
{
    atomic_store(&failure, error);
    atomic_store(&times, count);
    atomic_store(&failing, call);
}

static const hermes_log_options_t small = {
    .size = sizeof small, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};

static void append(hermes_log_t *log, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(hermes_log_append(log, "0123456789", 10, NULL), 0);
}

/* All from the first on; at least `least`, which were confirmed. */
static uint64_t read_all(const char *path, uint64_t least)
{
    hermes_log_reader_t *reader;
    hermes_message_t message;
    uint64_t last = 0;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    while (hermes_log_reader_poll(reader, &message) == 1)
        assert_int_equal(message.sequence, ++last);
    assert_true(last >= least);
    hermes_log_reader_close(reader);
    return last;
}

/* After a write or a sync has failed, once, nothing is confirmed any more; a new start finds what there is.
 */
static void failure_is_final(int call)
{
    TEST_DIRECTORY(path);
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    append(log, 100);
    assert_int_equal(hermes_log_sync(log), 0);
    arm(call, EIO, 1);
    append(log, 50);
    assert_int_equal(hermes_log_sync(log), HERMES_EIO);
    assert_true(strlen(hermes_log_last_error(log)) > 0);
    arm(NONE, 0, 0);
    assert_int_equal(hermes_log_sync(log), HERMES_EIO); /* the disk is well again; what it lost is lost */
    assert_true(read_all(path, 100) >= 100);
    assert_true(hermes_log_close(log) < 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    uint64_t there = hermes_log_sequence(log);
    assert_true(there >= 100);
    append(log, 10);
    assert_int_equal(hermes_log_sync(log), 0);
    assert_int_equal(read_all(path, there + 10), there + 10);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

static void failed_write_is_final(void **state)
{
    (void)state;
    failure_is_final(PWRITE);
}

static void failed_sync_is_final(void **state)
{
    (void)state;
    failure_is_final(FDATASYNC);
}

/* The kernel takes pages that could not be written for clean (fsync(2)), and the next sync succeeds without
 * them: so who takes the log up writes them again. */
static void what_a_failed_sync_left_is_written_again(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    append(log, 100);
    assert_int_equal(hermes_log_sync(log), 0);
    append(log, 50);
    arm(FDATASYNC, EIO, 1);
    assert_int_equal(hermes_log_sync(log), HERMES_EIO);
    arm(NONE, 0, 0);
    assert_true(hermes_log_close(log) < 0);
    for (unsigned i = 0; i < FRAMES; i++)
        written[i] = false;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    for (unsigned i = 100; i < 150; i++)
        assert_true(written[i]);
    assert_int_equal(hermes_log_sync(log), 0);
    assert_int_equal(hermes_log_close(log), 0);
    assert_int_equal(read_all(path, 150), 150);
    test_remove(path);
}

/* The next segment cannot be had for a while: that is told, and all is there in the end. */
static void what_passes_heals(int call, int error, int code)
{
    TEST_DIRECTORY(path);
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    arm(call, error, 20);
    uint64_t sent = 0, told = 0;
    while (sent < 30000) {
        int rc = hermes_log_append(log, "0123456789", 10, NULL);
        sent += rc == 0;
        if (rc == HERMES_EAGAIN)
            rc = hermes_log_wait_room(log, 60000000000u);
        told += rc == code;
        assert_true(rc == 0 || rc == code);
    }
    assert_true(told > 0);
    assert_int_equal(hermes_log_sync(log), 0);
    assert_int_equal(atomic_load(&times), 0);
    assert_int_equal(read_all(path, sent), sent);
    assert_int_equal(hermes_log_close(log), 0);
    assert_int_equal(read_all(path, sent), sent);
    test_remove(path);
}

static void full_disk_heals(void **state)
{
    (void)state;
    what_passes_heals(FALLOCATE, ENOSPC, HERMES_EFULL);
}

static void a_lack_of_descriptors_at_a_roll_heals(void **state)
{
    (void)state;
    what_passes_heals(OPENAT, EMFILE, HERMES_ELIMIT);
    what_passes_heals(OPENAT, ENFILE, HERMES_ELIMIT);
    what_passes_heals(OPENAT, ENOMEM, HERMES_ENOMEM);
}

/* Reads `count` messages, from `from` on, and then what poll() says is the end. */
static void reads_to(hermes_log_reader_t *reader, uint64_t from, uint64_t count, int end)
{
    hermes_message_t message;
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.sequence, from + i);
    }
    assert_int_equal(hermes_log_reader_poll(reader, &message), end);
}

/* What it could not store is for the next writer; until that one has closed the log, it has not ended. */
static void readers_wait_for_who_takes_up_a_log_that_could_not_be_closed(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log;
    hermes_log_reader_t *followed, *late;
    arm(FALLOCATE, ENOSPC, 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    assert_int_equal(hermes_log_reader_open(path, &followed), 0);
    arm(FALLOCATE, ENOSPC, UINT32_MAX);
    append(log, 10);
    assert_int_equal(hermes_log_sync(log), HERMES_EFULL);
    assert_int_equal(hermes_log_close(log), HERMES_EFULL);
    reads_to(followed, 1, 10, 0);
    assert_int_equal(hermes_log_reader_open(path, &late), 0);
    assert_int_equal(hermes_log_reader_seek_first(late), 0);
    reads_to(late, 1, 10, 0);
    arm(NONE, 0, 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    assert_int_equal(hermes_log_sequence(log), 10);
    append(log, 10);
    reads_to(late, 11, 10, 0);
    assert_int_equal(hermes_log_close(log), 0);
    reads_to(followed, 11, 10, HERMES_ECLOSED);
    reads_to(late, 0, 0, HERMES_ECLOSED);
    hermes_log_reader_close(followed);
    hermes_log_reader_close(late);
    test_remove(path);
}

struct closing {
    hermes_log_t *log;
    pthread_barrier_t *both;
    int rc;
    char sentence[512];
};

static void *close_beside_another(void *argument)
{
    struct closing *c = argument;
    pthread_barrier_wait(c->both);
    c->rc = hermes_log_close(c->log);
    snprintf(c->sentence, sizeof c->sentence, "%s", hermes_log_last_error(NULL));
    return NULL;
}

static void logs_that_are_closed_at_a_time_tell_each_its_own_failure(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char paths[3][256];
    struct closing closing[3];
    pthread_barrier_t both;
    pthread_t threads[3];
    pthread_barrier_init(&both, NULL, 3);
    arm(FALLOCATE, ENOSPC, 0);
    for (int i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d", path, i);
        closing[i] = (struct closing){.both = &both};
        assert_int_equal(hermes_log_open(paths[i], &small, &closing[i].log), 0);
    }
    arm(FALLOCATE, ENOSPC, UINT32_MAX);
    append(closing[0].log, 1);
    append(closing[1].log, 1); /* and nothing to the third, which has nothing to store */
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, close_beside_another, &closing[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    arm(NONE, 0, 0);
    pthread_barrier_destroy(&both);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(closing[i].rc, HERMES_EFULL);
        assert_non_null(strstr(closing[i].sentence, hermes_strerror(HERMES_EFULL)));
        assert_int_equal(hermes_log_open(paths[i], &small, &closing[i].log), 0);
        assert_int_equal(hermes_log_close(closing[i].log), 0);
    }
    assert_int_equal(closing[2].rc, 0);
    assert_string_equal(closing[2].sentence, "");
    test_remove(path);
}

/* A log without its thread is not open; if it was new, it is as if nobody had asked for it, and what a former
 * writer left is still there for the next. */
static void an_opening_that_fails_leaves_shared_memory_as_it_was(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    hermes_log_t *log;
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    arm(THREAD, EAGAIN, 1);
    assert_true(hermes_log_open(path, &small, &log) < 0);
    assert_null(log);
    assert_int_not_equal(access(shm, F_OK), 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    arm(FALLOCATE, ENOSPC, UINT32_MAX);
    append(log, 10);
    assert_int_equal(hermes_log_close(log), HERMES_EFULL);
    arm(THREAD, EAGAIN, 1);
    assert_true(hermes_log_open(path, &small, &log) < 0);
    arm(NONE, 0, 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    assert_int_equal(hermes_log_sequence(log), 10);
    assert_int_equal(hermes_log_close(log), 0);
    assert_int_equal(read_all(path, 10), 10);
    assert_int_not_equal(access(shm, F_OK), 0);
    test_remove(path);
}

/* A window that is full: because the disk is slow, has no room, or refused a write. */
static void a_full_window_says_why(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log;
    hermes_slice_t slice = {"0123456789", 10};
    void *payload;
    int rc;
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    append(log, 1);
    assert_int_equal(hermes_log_sync(log), 0); /* so that there is a segment */
    arm(STALL, 0, 0);
    while ((rc = hermes_log_append(log, "0123456789", 10, NULL)) == 0)
        ;
    assert_int_equal(rc, HERMES_EAGAIN);
    assert_int_equal(hermes_log_append_batch(log, &slice, 1), HERMES_EAGAIN);
    assert_int_equal(hermes_log_claim(log, 10, &payload), HERMES_EAGAIN);
    assert_int_equal(hermes_log_wait_room(log, 1000), HERMES_ETIMEOUT);
    arm(FALLOCATE, ENOSPC, UINT32_MAX);
    do /* until all is stored that there is room for */
        while (hermes_log_append(log, "0123456789", 10, NULL) == 0)
            ;
    while ((rc = hermes_log_sync(log)) == 0);
    assert_int_equal(rc, HERMES_EFULL);
    while ((rc = hermes_log_append(log, "0123456789", 10, NULL)) == 0 || rc == HERMES_EAGAIN)
        ;
    assert_int_equal(rc, HERMES_EFULL);
    assert_int_equal(hermes_log_append_batch(log, &slice, 1), HERMES_EFULL);
    assert_int_equal(hermes_log_claim(log, 10, &payload), HERMES_EFULL);
    assert_int_equal(hermes_log_wait_room(log, 60000000000u), HERMES_EFULL);
    assert_int_equal(hermes_log_sync(log), HERMES_EFULL);
    uint64_t last = hermes_log_sequence(log);
    arm(PWRITE, EIO, UINT32_MAX);
    while ((rc = hermes_log_wait_room(log, 60000000000u)) == HERMES_EFULL)
        ;
    assert_int_equal(rc, HERMES_EIO);
    assert_int_equal(hermes_log_append(log, "0123456789", 10, NULL), HERMES_EIO);
    assert_int_equal(hermes_log_append_batch(log, &slice, 1), HERMES_EIO);
    assert_int_equal(hermes_log_claim(log, 10, &payload), HERMES_EIO);
    assert_int_equal(hermes_log_sync(log), HERMES_EIO);
    assert_int_equal(hermes_log_close(log), HERMES_EIO);
    arm(NONE, 0, 0);
    assert_int_equal(hermes_log_open(path, &small, &log), 0);
    assert_int_equal(hermes_log_sequence(log), last);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

static void an_opening_says_what_the_system_refused(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    static const struct {
        int call, failure, code;
    } refused[] = {{FALLOCATE, ENOSPC, HERMES_EFULL},
                   {PWRITE, EIO, HERMES_EIO},
                   {FDATASYNC, EIO, HERMES_EIO},
                   {THREAD, EAGAIN, HERMES_ELIMIT}};
    hermes_log_t *log;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        arm(refused[i].call, refused[i].failure, 1);
        assert_int_equal(hermes_log_open(path, &small, &log), refused[i].code);
        assert_null(log);
        assert_true(strlen(hermes_log_last_error(NULL)) > 0);
    }
    arm(NONE, 0, 0);
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_write_is_final),
        cmocka_unit_test(failed_sync_is_final),
        cmocka_unit_test(what_a_failed_sync_left_is_written_again),
        cmocka_unit_test(full_disk_heals),
        cmocka_unit_test(a_lack_of_descriptors_at_a_roll_heals),
        cmocka_unit_test(a_full_window_says_why),
        cmocka_unit_test(an_opening_says_what_the_system_refused),
        cmocka_unit_test(logs_that_are_closed_at_a_time_tell_each_its_own_failure),
        cmocka_unit_test(an_opening_that_fails_leaves_shared_memory_as_it_was),
        cmocka_unit_test(readers_wait_for_who_takes_up_a_log_that_could_not_be_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
