/*
 * Where a reader goes: positions from anywhere, laps, epochs, sources that fail. Whatever it is asked for, it
 * reads messages and nothing that only looks like one, and after a refusal it goes on where it was.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>

#include "hermes/log.h"
#include "log/log.h"
#include "log/publish.h"
#include "log/reader.h"

enum { WINDOW = WINDOW_MIN_BYTES, SEGMENT = STORE_SEGMENT_MIN, MESSAGES = 20000 };

static uint64_t positions[MESSAGES + 1]; /* by sequence */

/* A payload full of frames, whole and with sequences that would fit. */
static size_t make_imitation(uint8_t *payload, uint64_t sequence, size_t frames)
{
    memset(payload, 0, 32 + frames * 64);
    for (size_t i = 0; i < frames; i++) {
        uint8_t *frame = payload + 32 + i * 64;
        memset(frame + HERMES_HEADER_BYTES, 'x', 32);
        hermes_message_encode((hermes_header_t *)(void *)frame, frame + HERMES_HEADER_BYTES, 32,
                              sequence + i + 1, 1000);
    }
    return 32 + frames * 64;
}

/* ---- stored ---- */

static hermes_log_t *fill(const char *path)
{
    static _Alignas(64) uint8_t payload[4096];
    hermes_log_options_t options = {.size = sizeof options, .window_bytes = WINDOW, .segment_bytes = SEGMENT};
    hermes_log_t *log;
    uint64_t seed = 11;
    assert_int_equal(hermes_log_open(path, &options, &log), 0);
    for (uint64_t i = 1; i < MESSAGES; i++) {
        size_t length = make_imitation(payload, i, test_random(&seed) % 8);
        int rc;
        while ((rc = hermes_log_append(log, payload, length, NULL)) == HERMES_EAGAIN)
            assert_int_equal(hermes_log_wait_room(log, 60000000000u), 0);
        assert_int_equal(rc, 0);
    }
    return log;
}

static void note_positions(hermes_log_reader_t *reader)
{
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    for (uint64_t i = 1; i < MESSAGES; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.sequence, i);
        positions[i] = message.position;
    }
    positions[MESSAGES] = hermes_log_reader_position(reader);
}

/* Seeks to many positions of the log; after a refusal the next message is the one that it would have been. */
static void seek_about(hermes_log_reader_t *reader, uint64_t first, uint64_t last)
{
    hermes_message_t message;
    uint64_t seed = 5;
    for (int i = 0; i < 2000; i++) {
        uint64_t sequence = first + test_random(&seed) % (last - first);
        uint64_t here = positions[sequence], there = positions[sequence + 1];
        int rc = hermes_log_reader_seek_position(reader, here);
        if (rc < 0)
            print_message("%s\n", hermes_log_reader_last_error(reader));
        assert_int_equal(rc, 0);
        uint64_t within = here + 64 * (1 + test_random(&seed) % 8);
        if (within < there &&
            positions[sequence + 1] / WINDOW == here / WINDOW) /* else a PAD begins somewhere */
            assert_int_equal(hermes_log_reader_seek_position(reader, within), HERMES_ENOTFOUND);
        assert_int_equal(hermes_log_reader_seek_position(reader, positions[MESSAGES] + 64), HERMES_ENOTFOUND);
        assert_int_equal(hermes_log_reader_seek_position(reader, UINT64_MAX & ~63ull), HERMES_ENOTFOUND);
        assert_int_equal(hermes_log_reader_seek_position(reader, here + 1), HERMES_EINVALID);
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.sequence, sequence);
        assert_int_equal(message.position, here);
    }
}

static void remove_indexes(const char *path)
{
    char name[128];
    for (uint64_t base = 0; base < positions[MESSAGES]; base += SEGMENT) {
        snprintf(name, sizeof name, "%s/%020llu.idx", path, (unsigned long long)base);
        assert_int_equal(unlink(name), 0);
    }
}

static void only_where_a_message_begins(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = fill(path);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    note_positions(reader);
    seek_about(reader, 1, MESSAGES - 1);
    seek_about(reader, MESSAGES - 200, MESSAGES - 1); /* in the window, not stored perhaps */
    /* Behind the last message is where the next one will be. */
    assert_int_equal(hermes_log_reader_seek_position(reader, positions[MESSAGES]), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &message), 0);
    assert_int_equal(hermes_log_append(log, "next", 4, NULL), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
    assert_int_equal(message.sequence, MESSAGES);
    positions[MESSAGES] = hermes_log_reader_position(reader);
    assert_int_equal(hermes_log_close(log), 0);
    hermes_log_reader_close(reader);

    assert_int_equal(hermes_log_reader_open(path, &reader), 0); /* nobody has it open */
    seek_about(reader, 1, MESSAGES - 1);
    hermes_log_reader_close(reader);
    remove_indexes(path);
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    seek_about(reader, MESSAGES - 200, MESSAGES - 1);
    for (uint64_t i = 1; i < MESSAGES; i += 1999) {
        assert_int_equal(hermes_log_reader_seek_sequence(reader, i), 0);
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.sequence, i);
    }
    hermes_log_reader_close(reader);
    test_remove(path);
}

/* ---- windows and sources ---- */

struct fixture {
    char directory[64], prefix[96];
    struct log log;
    struct reader reader;
    int failing;    /* what the source says instead of opening */
    bool is_remote; /* who is asked for a window answers the next time, and has it no more */
    unsigned asked;
};

static int open_window(void *context, uint32_t epoch, int *fd)
{
    struct fixture *f = context;
    char path[160];
    if (f->is_remote)
        return f->asked++ % 2 == 0 ? HERMES_EDISCONNECTED : HERMES_EAGAIN;
    log_window_path(f->prefix, epoch, path, sizeof path);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? HERMES_EAGAIN : HERMES_OK;
}

static int open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct fixture *f = context;
    struct error_text ignored;
    return f->failing < 0 ? f->failing : store_find(&f->log.store, key, value, place, &ignored);
}

static void begin_writing(struct fixture *f)
{
    struct error_text text;
    assert_int_equal(log_begin(&f->log, WRITER_OWNER, &text), 0);
}

static void setup(struct fixture *f, enum log_durability durability)
{
    struct error_text text;
    *f = (struct fixture){0};
    strcpy(f->directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->prefix, sizeof f->prefix, "%s/shm", f->directory);
    struct log_options options = {.prefix = f->prefix,
                                  .directory = f->directory,
                                  .topic_id = 7,
                                  .window_bytes = WINDOW,
                                  .segment_bytes = SEGMENT,
                                  .durability = durability,
                                  .instance = 1};
    assert_int_equal(log_open(&f->log, &options, &text), 0);
    begin_writing(f);
    struct reader_source source = {open_window, open_segment, f};
    assert_int_equal(reader_open(&f->reader, f->log.status, f->log.doorbell, source, VERIFY_ALL), 0);
}

static void teardown(struct fixture *f)
{
    reader_close(&f->reader);
    log_abandon(&f->log);
    test_remove(f->directory);
}

static void publish(struct fixture *f, unsigned count)
{
    static _Alignas(64) uint8_t payload[4096];
    for (unsigned i = 0; i < count; i++) {
        uint64_t sequence = f->log.writer.sequence;
        size_t length = make_imitation(payload, sequence, sequence % 8);
        if (sequence < MESSAGES)
            positions[sequence] = f->log.writer.position;
        int rc = publish_one(&f->log.writer, payload, length, 1000, true);
        if (rc == HERMES_EAGAIN) {
            assert_true(log_persist(&f->log, WINDOW) > 0);
            i--;
            continue;
        }
        assert_int_equal(rc, 0);
    }
}

/* The rest of the log from where the reader is: in order, to its end. */
static uint64_t read_on(struct reader *reader, uint64_t expected, uint64_t last)
{
    hermes_message_t message;
    uint64_t first = 0;
    int rc;
    while ((rc = reader_poll(reader, &message)) == 1) {
        first = first == 0 ? message.sequence : first;
        assert_true(expected == 0 || message.sequence == expected);
        expected = message.sequence + 1;
    }
    assert_int_equal(rc, 0);
    assert_true(expected == last + 1 || expected == 0);
    return first;
}

/* Past a lap, after any changes of publishers, and in between: the oldest that is left is a message. */
static void newcomers_begin_with_a_message(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, DURABILITY_MEMORY);
    uint64_t seed = 17, last = 0, some = 0;
    for (int round = 0; round < 200; round++) {
        unsigned count = (unsigned)(1 + test_random(&seed) % 900);
        publish(&f, count);
        last += count;
        for (int changes = (int)(test_random(&seed) % 3); changes > 0; changes--)
            begin_writing(&f); /* one opens and dies before it writes */
        assert_int_equal(reader_seek_first(&f.reader), 0);
        uint64_t oldest = read_on(&f.reader, 0, last); /* 0: there is no frame that is known to be one */
        assert_true(oldest > 1 || round < 5 || oldest == 0);
        some += oldest > 0;
        assert_int_equal(f.reader.corrupt, 0);
        assert_int_equal(f.reader.position, f.log.writer.position);
    }
    assert_true(some > 100);
    teardown(&f);
}

/* Readers that stand in what a lap has left of the one before are not driven on by a change of publishers. */
static void readers_keep_their_place_when_publishers_change(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, DURABILITY_MEMORY);
    publish(&f, 1500); /* past a lap */
    uint64_t limit = atomic_load(&f.log.window->overwrite_limit), sequence = 1;
    while (positions[sequence] < limit)
        sequence++;
    assert_true(positions[sequence] < window_oldest(f.log.window, f.log.writer.position));
    assert_int_equal(reader_resume(&f.reader, positions[sequence], sequence), 0);
    begin_writing(&f);
    assert_int_equal(read_on(&f.reader, sequence, 1500), sequence);
    teardown(&f);
}

static void positions_in_a_window(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    setup(&f, DURABILITY_MEMORY);
    publish(&f, 1500);
    uint64_t end = f.log.writer.position, lap = end & ~(uint64_t)(WINDOW - 1), gone = 0;
    assert_true(lap > 0);
    for (uint64_t sequence = 1; sequence < 1500; sequence++) {
        uint64_t here = positions[sequence];
        int rc = reader_seek_position(&f.reader, here);
        if (here < lap) { /* overwritten, or not to be told from payload any more */
            assert_int_equal(rc, HERMES_EGONE);
            gone++;
            continue;
        }
        assert_int_equal(rc, 0);
        if (here + 64 < positions[sequence + 1] && positions[sequence + 1] / WINDOW == here / WINDOW)
            assert_int_equal(reader_seek_position(&f.reader, here + 64), HERMES_ENOTFOUND);
        assert_int_equal(reader_seek_position(&f.reader, end + 64), HERMES_ENOTFOUND);
        assert_int_equal(reader_poll(&f.reader, &message), 1);
        assert_int_equal(message.sequence, sequence);
    }
    assert_true(gone > 0 && gone < 1499);
    assert_int_equal(reader_seek_position(&f.reader, end), 0);
    assert_int_equal(reader_poll(&f.reader, &message), 0);
    teardown(&f);
}

/* The broker is away for a while: nothing is half done. */
static void a_seek_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    setup(&f, DURABILITY_ASYNC);
    publish(&f, 5000);
    while (log_persist(&f.log, WINDOW) > 0)
        ;
    assert_int_equal(reader_seek_sequence(&f.reader, 4990), 0);
    assert_int_equal(reader_poll(&f.reader, &message), 1);
    f.failing = HERMES_EDISCONNECTED;
    assert_int_equal(reader_seek_first(&f.reader), HERMES_EDISCONNECTED);
    assert_int_equal(reader_seek_sequence(&f.reader, 10), HERMES_EDISCONNECTED);
    assert_int_equal(reader_seek_time(&f.reader, 10), HERMES_EDISCONNECTED);
    assert_int_equal(reader_seek_position(&f.reader, positions[10]), HERMES_EDISCONNECTED);
    f.failing = 0;
    assert_int_equal(read_on(&f.reader, 4991, 5000), 4991);
    teardown(&f);
}

/* A publisher that was fenced went on for a while: what it committed behind the end does not count, and who
 * comes while that stands there neither reads it nor stays behind it. */
static void ends_that_did_not_count_are_left_again(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, DURABILITY_ASYNC);
    publish(&f, 10);
    uint64_t end = f.log.writer.position;
    atomic_store(&f.log.status->seal, status_seal(1, f.log.epoch));
    atomic_store(&f.log.window->position, end + 640);
    assert_int_equal(reader_seek_end(&f.reader), 0);
    assert_int_equal(f.reader.position, end + 640);
    begin_writing(&f);
    publish(&f, 5);
    assert_int_equal(read_on(&f.reader, 11, 15), 11);
    /* And when nobody comes. */
    end = f.log.writer.position;
    atomic_store(&f.log.window->position, end + 640);
    log_end(&f.log, EPOCH_LEFT);
    assert_int_equal(reader_seek_end(&f.reader), 0);
    assert_int_equal(f.reader.position, end);
    assert_int_equal(reader_seek_position(&f.reader, end + 640), HERMES_ENOTFOUND);
    assert_int_equal(read_on(&f.reader, 0, 0), 0);
    teardown(&f);
}

/* The epoch is sealed and its end not recorded yet: polls say nothing, and so does whoever asks before
 * sleeping, or a waiting reader would look all the time until the broker goes on. */
static void a_change_of_publishers_is_slept_through(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    uint32_t bell;
    setup(&f, DURABILITY_MEMORY);
    publish(&f, 3);
    atomic_store(&f.log.status->seal, status_seal(1, f.log.epoch));
    assert_int_equal(reader_resume(&f.reader, positions[2], 2), 0);
    assert_int_equal(reader_poll(&f.reader, &message), 0);
    assert_false(reader_ready(&f.reader));
    assert_false(reader_park(&f.reader, &bell));
    assert_in_range(reader_longest_sleep(&f.reader), 1, 10000000); /* nobody rings */
    assert_int_equal(reader_poll(&f.reader, &message), 0);
    log_end(&f.log, EPOCH_LEFT);
    assert_int_equal(read_on(&f.reader, 2, 3), 2);
    assert_false(reader_ready(&f.reader));
    begin_writing(&f);
    assert_true(reader_ready(&f.reader));
    publish(&f, 1);
    assert_int_equal(read_on(&f.reader, 4, 4), 4);
    teardown(&f);
}

/* The log's next owner made everything anew: the reader goes on where it stood, and at the end of a log that
 * has lost what it read. */
static void a_reader_that_moves_keeps_its_place(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    setup(&f, DURABILITY_ASYNC);
    publish(&f, 10);
    while (log_persist(&f.log, WINDOW) > 0)
        ;
    assert_int_equal(reader_resume(&f.reader, positions[4], 4), 0);
    reader_move(&f.reader, f.log.status, f.log.doorbell);
    assert_true(reader_ready(&f.reader));
    assert_int_equal(read_on(&f.reader, 4, 10), 4);
    f.reader.position = f.log.writer.position + 6400;
    reader_move(&f.reader, f.log.status, f.log.doorbell);
    assert_int_equal(reader_poll(&f.reader, &message), HERMES_EGONE);
    assert_int_equal(f.reader.position, f.log.writer.position);
    publish(&f, 1);
    assert_int_equal(read_on(&f.reader, 11, 11), 11);
    teardown(&f);
}

/* What a stranger may write into the window's page leads nowhere. */
static void a_windows_own_words_are_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    setup(&f, DURABILITY_MEMORY);
    publish(&f, 100);
    struct window *window = f.log.window;
    const uint64_t odd[] = {1, WINDOW - 1, UINT64_MAX, UINT64_MAX - 63, 1ull << 63, WINDOW * 5ull + 7};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        for (int word = 0; word < 4; word++) {
            uint64_t capacity = window->capacity, first = window->first;
            uint64_t position = atomic_load(&window->position), limit = atomic_load(&window->overwrite_limit);
            if (word == 0)
                window->capacity = odd[i];
            else if (word == 1)
                window->first = odd[i];
            else if (word == 2)
                atomic_store(&window->position, odd[i]);
            else
                atomic_store(&window->overwrite_limit, odd[i]);
            assert_int_equal(reader_seek_first(&f.reader), 0);
            assert_int_equal(f.reader.position % 64, 0);
            (void)reader_poll(&f.reader, &message);
            assert_int_equal(reader_seek_end(&f.reader), 0);
            assert_int_equal(f.reader.position % 64, 0);
            (void)reader_poll(&f.reader, &message);
            (void)reader_seek_position(&f.reader, 64);
            window->capacity = capacity;
            window->first = first;
            atomic_store(&window->position, position);
            atomic_store(&window->overwrite_limit, limit);
        }
    assert_int_equal(reader_seek_first(&f.reader), 0);
    assert_int_equal(read_on(&f.reader, 1, 100), 1);
    teardown(&f);
}

/* Its owner stopped, another is there, and windows are asked for by a request whose answer comes later. */
static void a_closed_log_is_read_to_its_end_by_who_was_epochs_behind(void **state)
{
    (void)state;
    struct fixture f;
    hermes_message_t message;
    setup(&f, DURABILITY_ASYNC);
    publish(&f, 10);
    assert_int_equal(reader_poll(&f.reader, &message), 1);
    for (int i = 0; i < 2; i++) {
        log_end(&f.log, EPOCH_STOPPED);
        begin_writing(&f);
        publish(&f, 10);
    }
    log_end(&f.log, EPOCH_STOPPED);
    atomic_store(&f.log.status->state, STATE_CLOSED);
    f.is_remote = true;
    for (uint64_t i = 2; i <= 10; i++) {
        assert_int_equal(reader_poll(&f.reader, &message), 1);
        assert_int_equal(message.sequence, i);
    }
    assert_int_equal(reader_poll(&f.reader, &message), HERMES_ECLOSED);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_where_a_message_begins),
        cmocka_unit_test(newcomers_begin_with_a_message),
        cmocka_unit_test(readers_keep_their_place_when_publishers_change),
        cmocka_unit_test(positions_in_a_window),
        cmocka_unit_test(a_seek_that_fails_changes_nothing),
        cmocka_unit_test(ends_that_did_not_count_are_left_again),
        cmocka_unit_test(a_change_of_publishers_is_slept_through),
        cmocka_unit_test(a_reader_that_moves_keeps_its_place),
        cmocka_unit_test(a_windows_own_words_are_not_believed),
        cmocka_unit_test(a_closed_log_is_read_to_its_end_by_who_was_epochs_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
