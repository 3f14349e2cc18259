/* How far publishers from afar have come is a function of the log, with a file so that not all of it is read:
 * whatever becomes of the file, and wherever the log ends, nobody is told of messages that are not in, nor
 * sends any twice. */
#include "log_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALICE = 11, BOB = 12, USER = 1000 };

static int try_open(struct fixture *f, enum log_durability durability)
{
    struct error_text text;
    struct log_options options = {.prefix = f->prefix,
                                  .directory = f->directory,
                                  .topic_id = 7,
                                  .window_bytes = WINDOW,
                                  .segment_bytes = SEGMENT,
                                  .durability = durability,
                                  .has_origins = true,
                                  .instance = 1};
    return log_open(&f->log, &options, &text);
}

static void open_as(struct fixture *f, enum log_durability durability)
{
    assert_int_equal(try_open(f, durability), 0);
    begin_writing(f);
}

static void setup_as(struct fixture *f, enum log_durability durability)
{
    *f = (struct fixture){0};
    strcpy(f->directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->prefix, sizeof f->prefix, "%s/shm", f->directory);
    open_as(f, durability);
}

static void path_of(const struct fixture *f, char path[128])
{
    snprintf(path, 128, "%s/origins", f->directory);
}

/* A batch as the sequencer writes it. */
static void publish_as(struct fixture *f, uint64_t id, uint64_t first, uint32_t count)
{
    struct window_writer *writer = &f->log.writer;
    struct origin_mark mark = {.id = id, .first = first, .count = count, .uid = USER};
    int rc;
    uint8_t *frame = window_reserve(writer, ORIGIN_FRAME_BYTES, &rc);
    assert_non_null(frame);
    window_commit(writer, origin_fill(frame, writer->sequence, &mark), ORIGIN_FRAME_BYTES, 0);
    publish(f, count);
}

/* The machine goes: of shared memory nothing is left. */
static void reboot(struct fixture *f)
{
    char path[128];
    log_window_path(f->prefix, f->log.epoch, path, sizeof path);
    unlink(path);
    snprintf(path, sizeof path, "%s.status", f->prefix);
    unlink(path);
    log_abandon(&f->log);
}

static uint64_t last_of(struct fixture *f, uint64_t id)
{
    struct origin origin;
    assert_int_equal(origins_find(&f->log.origins, id, 0, &origin), 0);
    assert_int_equal(origin.uid, USER);
    return origin.last;
}

/* epoch: in which it came; all that are not known may be later. */
static int knows(struct fixture *f, uint64_t id, uint32_t epoch)
{
    struct origin origin;
    return origins_find(&f->log.origins, id, epoch, &origin);
}

static void test_the_frame_says_whose_the_messages_are(void **state)
{
    (void)state;
    uint8_t bytes[ORIGIN_FRAME_BYTES] = {0};
    const struct origin_mark mark = {.id = 1, .first = 2, .count = 3, .uid = 4};
    struct origin_mark read;
    uint64_t word = origin_fill(bytes, 9, &mark);
    memcpy(bytes, &word, sizeof word);
    struct frames frames = {.data = bytes, .end = sizeof bytes, .sequence = 9, .check = FRAME_CHECKSUMS};
    struct frame frame;
    assert_int_equal(frames_next(&frames, &frame), 1);
    assert_int_equal(frames.sequence, 9);
    assert_true(origin_read(&frame, &read));
    assert_memory_equal(&read, &mark, sizeof mark);
    bytes[40] ^= 1;
    assert_false(origin_read(&frame, &read));
}

/* A segment is mapped to its last byte, and what stands behind that is nobody's. */
static void test_nothing_is_read_behind_the_frames(void **state)
{
    (void)state;
    enum { PAGE = 4096 };
    uint8_t *bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(bytes != MAP_FAILED);
    assert_int_equal(mprotect(bytes + PAGE, PAGE, PROT_NONE), 0);
    uint8_t *last = bytes + PAGE - ORIGIN_FRAME_BYTES;
    struct origin_mark mark = {.id = ALICE, .first = 1, .count = 4, .uid = USER};
    uint64_t word = origin_fill(last, 9, &mark);
    atomic_store((_Atomic uint64_t *)last, word);
    struct origins origins;
    origins_init(&origins);
    char path[] = "/tmp/hermes-test-XXXXXX";
    close(mkstemp(path));
    (void)origins_open(&origins, path);
    origins_note(&origins, (struct frames){.data = last, .end = ORIGIN_FRAME_BYTES}, 1);
    struct origin origin;
    assert_int_equal(origins_find(&origins, ALICE, 1, &origin), 0);
    assert_int_equal(origin.last, 4);
    origins_close(&origins);
    unlink(path);
    munmap(bytes, 2 * PAGE);
}

static void test_what_is_stored_is_known(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    publish_as(&f, ALICE, 1, 5);
    publish(&f, 3);
    publish_as(&f, BOB, 100, 2);
    publish_as(&f, ALICE, 6, 1);
    assert_int_equal(knows(&f, ALICE, f.log.epoch), HERMES_ENOTFOUND); /* not stored yet */
    sync_all(&f);
    assert_int_equal(last_of(&f, ALICE), 6);
    assert_int_equal(last_of(&f, BOB), 101);
    teardown(&f);
}

/* In order, by death, by a reboot; with the file, and with what the file did not have. */
static void test_the_next_start_knows_it(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    for (uint64_t i = 0; i < 9; i++) {
        uint32_t epoch = f.log.epoch;
        publish_as(&f, ALICE, 1 + 10 * i, 10);
        sync_all(&f);
        if (i % 3 == 0)
            assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
        else if (i % 3 == 1)
            log_abandon(&f.log);
        else
            reboot(&f);
        open_as(&f, DURABILITY_ASYNC);
        assert_int_equal(last_of(&f, ALICE), 10 + 10 * i);
        assert_int_equal(knows(&f, BOB, epoch), HERMES_ENOTFOUND);
        assert_int_equal(knows(&f, BOB, 0), HERMES_EGONE);
    }
    teardown(&f);
}

/* What the next publisher's messages are is not told by the rest of a batch that a power cut took. */
static void test_a_batch_that_lost_its_end_ends_there(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    publish_as(&f, ALICE, 1, 10);
    assert_true(log_persist(&f.log, ORIGIN_FRAME_BYTES + 4 * 64) > 0);
    assert_int_equal(log_sync(&f.log), 0);
    for (int i = 0; i < 3; i++) {
        reboot(&f);
        open_as(&f, DURABILITY_ASYNC);
        assert_int_equal(last_of(&f, ALICE), 4);
        publish(&f, 20); /* somebody else's */
        sync_all(&f);
    }
    teardown(&f);
}

static void spoil(const struct fixture *f, off_t slot)
{
    char path[128];
    path_of(f, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, slot * ORIGINS_SLOT_BYTES + 20), 1);
    close(fd);
}

static void test_a_damaged_slot_costs_a_longer_walk(void **state)
{
    (void)state;
    for (off_t slot = 0; slot < 2; slot++) {
        struct fixture f;
        setup_as(&f, DURABILITY_ASYNC);
        for (uint64_t i = 0; i < 3; i++) {
            publish_as(&f, ALICE, 1 + 10 * i, 10);
            sync_all(&f);
            assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
            if (i == 2)
                spoil(&f, slot);
            open_as(&f, DURABILITY_ASYNC);
        }
        assert_int_equal(last_of(&f, ALICE), 30);
        teardown(&f);
    }
}

/* Then nobody knows, of whoever came before; and it is known again what comes from now on. */
static void test_without_the_file_nobody_knows(void **state)
{
    (void)state;
    for (int is_damaged = 0; is_damaged < 2; is_damaged++) {
        struct fixture f;
        char path[128];
        setup_as(&f, DURABILITY_ASYNC);
        uint32_t epoch = f.log.epoch;
        publish_as(&f, ALICE, 1, 10);
        sync_all(&f);
        assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
        path_of(&f, path);
        if (is_damaged) {
            spoil(&f, 0);
            spoil(&f, 1);
        } else {
            assert_int_equal(unlink(path), 0);
        }
        open_as(&f, DURABILITY_ASYNC);
        assert_int_equal(knows(&f, ALICE, epoch), HERMES_EGONE);
        assert_int_equal(knows(&f, ALICE, f.log.epoch), HERMES_ENOTFOUND);
        publish_as(&f, BOB, 1, 10);
        sync_all(&f);
        reboot(&f);
        open_as(&f, DURABILITY_ASYNC);
        assert_int_equal(last_of(&f, BOB), 10);
        assert_int_equal(knows(&f, ALICE, epoch), HERMES_EGONE);
        teardown(&f);
    }
}

/* A frame that cannot be read may have been anybody's. */
static void test_damage_where_the_log_is_read_is_no_knowledge(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    setup_as(&f, DURABILITY_ASYNC);
    uint32_t epoch = f.log.epoch;
    publish_as(&f, ALICE, 1, 10);
    publish_as(&f, ALICE, 11, 10);
    sync_all(&f);
    reboot(&f);
    snprintf(path, sizeof path, "%s/%020d.log", f.directory, 0);
    int fd = open(path, O_RDWR);
    off_t second = 64 + ORIGIN_FRAME_BYTES + 10 * 64;
    assert_int_equal(pwrite(fd, "x", 1, second + 40), 1);
    close(fd);
    open_as(&f, DURABILITY_ASYNC);
    assert_int_equal(knows(&f, ALICE, epoch), HERMES_EGONE);
    teardown(&f);
}

/* What retention and purges drop is known all the same. */
static void test_what_is_dropped_was_published_all_the_same(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    publish_as(&f, ALICE, 1, 10);
    while (f.log.writer.position < 3 * SEGMENT) {
        publish(&f, 64);
        persist_all(&f);
    }
    sync_all(&f);
    assert_true(f.log.origins.position < SEGMENT);
    atomic_store(&f.log.keep_bytes, 1);
    assert_true(log_retain(&f.log) > 0);
    reboot(&f);
    open_as(&f, DURABILITY_ASYNC);
    assert_int_equal(last_of(&f, ALICE), 10);
    assert_int_equal(log_purge(&f.log), 0);
    reboot(&f);
    open_as(&f, DURABILITY_ASYNC);
    assert_int_equal(last_of(&f, ALICE), 10);
    teardown(&f);
}

/* However much is published, a start reads the latest of it only. */
static void test_the_file_follows_the_log(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    publish_as(&f, ALICE, 1, 10);
    while (f.log.writer.position < ORIGINS_STRIDE + SEGMENT) {
        publish(&f, 64);
        persist_all(&f);
        if (f.log.store.position - f.log.store.synced_position > SEGMENT / 2)
            assert_int_equal(log_sync(&f.log), 0);
    }
    sync_all(&f);
    assert_true(f.log.store.position - f.log.origins.position < ORIGINS_STRIDE);
    teardown(&f);
}

static void test_the_latest_publishers_are_known(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    uint32_t epoch = f.log.epoch;
    for (uint64_t id = 1; id <= ORIGINS_KEPT + 1; id++) {
        publish_as(&f, id, 1, 1);
        if (id % 64 == 0)
            sync_all(&f);
        if (id == ORIGINS_KEPT) {
            sync_all(&f);
            publish_as(&f, 1, 2, 1); /* it has come again */
        }
    }
    sync_all(&f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(last_of(&f, 1), 2);
        assert_int_equal(knows(&f, 2, epoch), HERMES_EGONE);
        assert_int_equal(last_of(&f, 3), 1);
        assert_int_equal(last_of(&f, ORIGINS_KEPT + 1), 1);
        assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
        open_as(&f, DURABILITY_ASYNC);
    }
    teardown(&f);
}

static void begin_line(struct fixture *f, uint64_t id, uint64_t last)
{
    struct status_ring *line = &f->log.status->rings[3];
    atomic_store(&line->consumed_sequence, last);
    atomic_store(&line->origin, (uint64_t)USER + 1);
    atomic_store(&line->id, id);
}

/* The log ends with its broker; what was in it is known to the next start, and to no later one. */
static void test_a_log_in_memory_is_known_of_for_one_start(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_MEMORY);
    uint32_t epoch = f.log.epoch;
    begin_line(&f, ALICE, 17);
    assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
    open_as(&f, DURABILITY_MEMORY);
    assert_int_equal(last_of(&f, ALICE), 17);
    reboot(&f);
    open_as(&f, DURABILITY_MEMORY);
    assert_int_equal(knows(&f, ALICE, epoch), HERMES_EGONE);
    assert_int_equal(knows(&f, ALICE, f.log.epoch), HERMES_EGONE);
    teardown(&f);
}

/* Nothing of it is in the log; its line says how it counts. */
static void test_a_stop_tells_of_whom_nothing_is_in(void **state)
{
    (void)state;
    struct fixture f;
    setup_as(&f, DURABILITY_ASYNC);
    begin_line(&f, ALICE, 41);
    assert_int_equal(log_close(&f.log, STATE_CLOSED), 0);
    open_as(&f, DURABILITY_ASYNC);
    assert_int_equal(last_of(&f, ALICE), 41);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_frame_says_whose_the_messages_are),
        cmocka_unit_test(test_nothing_is_read_behind_the_frames),
        cmocka_unit_test(test_what_is_stored_is_known),
        cmocka_unit_test(test_the_next_start_knows_it),
        cmocka_unit_test(test_a_batch_that_lost_its_end_ends_there),
        cmocka_unit_test(test_a_damaged_slot_costs_a_longer_walk),
        cmocka_unit_test(test_without_the_file_nobody_knows),
        cmocka_unit_test(test_damage_where_the_log_is_read_is_no_knowledge),
        cmocka_unit_test(test_what_is_dropped_was_published_all_the_same),
        cmocka_unit_test(test_the_file_follows_the_log),
        cmocka_unit_test(test_the_latest_publishers_are_known),
        cmocka_unit_test(test_a_log_in_memory_is_known_of_for_one_start),
        cmocka_unit_test(test_a_stop_tells_of_whom_nothing_is_in),
    };
    return cmocka_run_group_tests_name("origins", tests, NULL, NULL);
}
