#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "hermes/log.h"
#include "log/frames.h"
#include "log/recovery.h"
#include "log/store.h"
#include "log/verify.h"
#include "log/window.h"

enum { SEGMENT = STORE_SEGMENT_MIN };

/* Frames of `length` payload bytes from sequence on, as they stand in a log; returns their bytes. */
static size_t make_frames(uint8_t *to, uint64_t sequence, unsigned count, uint32_t length)
{
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *frame = to + used;
        memset(frame, 0, hermes_frame_bytes(length));
        memset(frame + HERMES_HEADER_BYTES, (int)(sequence + i), length);
        hermes_message_encode((hermes_header_t *)(void *)frame, frame + HERMES_HEADER_BYTES, length,
                              sequence + i, (sequence + i) * 1000);
        used += hermes_frame_bytes(length);
    }
    return used;
}

static _Alignas(64) uint8_t frames[65536];

static void open_store(struct store *store, const char *path, int expected)
{
    struct error_text text;
    int rc = store_open(store, path, SEGMENT, 42, STORE_WRITE, &text);
    if (rc != expected)
        print_message("%s\n", text.bytes);
    assert_int_equal(rc, expected);
}

/* Appends n batches of 64 frames of 64 bytes. */
static void append(struct store *store, unsigned batches)
{
    struct error_text text;
    for (unsigned i = 0; i < batches; i++) {
        size_t bytes = make_frames(frames, store->sequence, 64, 32);
        assert_int_equal(store_append(store, frames, bytes, store->sequence + 64, 1, &text), 0);
    }
}

static void rolls_and_recovers(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    open_store(&store, path, 0);
    assert_int_equal(store.sequence, 1);
    append(&store, 3 * SEGMENT / 4096 + 10);
    assert_int_equal(store.entry_count, 4);
    uint64_t position = store.position, sequence = store.sequence;
    assert_int_equal(store_sync(&store, &text), 0);
    assert_int_equal(store_checkpoint(&store, 1, &text), 0);
    append(&store, 5); /* written, not synced: found by walking */
    store_close(&store);
    open_store(&store, path, 0);
    assert_int_equal(store.position, position + 5 * 4096);
    assert_int_equal(store.sequence, sequence + 5 * 64);
    assert_int_equal(store.checkpoint.position, store.position); /* it is durable now */
    struct store_place place;
    assert_int_equal(store_find(&store, STORE_BY_POSITION, SEGMENT + 64, &place, &text), 0);
    struct segment segment;
    assert_int_equal(segment_map(place.fd, &segment, &text), 0);
    close(place.fd);
    assert_int_equal(segment.header.base, SEGMENT);
    segment_release(&segment);
    assert_int_equal(store_find(&store, STORE_BY_SEQUENCE, SEGMENT / 64 * 2 + 1, &place, &text), 0);
    assert_int_equal(segment_map(place.fd, &segment, &text), 0);
    close(place.fd);
    assert_int_equal(segment.header.base, 2 * SEGMENT);
    segment_release(&segment);
    store_close(&store);
    test_remove(path);
}

static void write_at(const char *path, const char *name, off_t offset, const void *bytes, size_t count)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, offset), count);
    close(fd);
}

/* A tail that a power cut tore ends the log there: what stood behind it never comes back, and is kept aside.
 */
static void torn_tail_ends_the_log(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    static const char lost[512];
    struct store store;
    struct error_text text;
    open_store(&store, path, 0);
    append(&store, 4);
    store_close(&store);
    write_at(path, "00000000000000000000.log", 64 + 4096, lost, sizeof lost);
    open_store(&store, path, 0);
    assert_int_equal(store.position, 4096);
    assert_int_equal(store.sequence, 65);
    assert_true(store.cut_bytes > 3 * 4096 - 64);
    size_t bytes = make_frames(frames, 65, 1, 32);
    assert_int_equal(store_append(&store, frames, bytes, 66, 1, &text), 0);
    store_close(&store);
    open_store(&store, path, 0);
    assert_int_equal(store.position, 4096 + 64);
    store_close(&store);
    test_remove(path);
}

/* What is wrong and has nothing good behind it is the end; and what is cut twice at one place is there twice.
 */
static void damaged_end_is_put_aside(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    char file[256];
    open_store(&store, path, 0);
    append(&store, 1);
    store_close(&store);
    for (int i = 0; i < 3; i++) {
        open_store(&store, path, 0);
        assert_int_equal(store.position, 4096);
        append(&store, 1);
        store_close(&store);
        for (int n = 0; n < 64; n++)
            write_at(path, "00000000000000000000.log", 64 + 4096 + 64 * n + 40, "!", 1);
        open_store(&store, path, 0);
        assert_int_equal(store.position, 4096);
        assert_int_equal(store.cut_bytes, 4096);
        store_close(&store);
    }
    static const char *const names[] = {"00000000000000004096.cut", "00000000000000004096.1.cut",
                                        "00000000000000004096.2.cut"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        assert_int_equal(access(file, F_OK), 0);
    }
    assert_int_equal(store_remove(path), 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        assert_int_equal(access(file, F_OK), -1);
    }
    test_remove(path);
}

/* A publisher changed it while it was published, or a disk did: what is behind it may have been confirmed
 * since the checkpoint, and stays. Here at the beginning, in the middle, and at the end of a segment. */
static void damage_with_good_frames_behind_it_is_kept(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    open_store(&store, path, 0);
    append(&store, SEGMENT / 4096 + 3);
    uint64_t position = store.position, sequence = store.sequence;
    store_close(&store);
    static const uint64_t wrong[] = {0, 4096, SEGMENT - 4096, SEGMENT - 64};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        write_at(path, "00000000000000000000.log", (off_t)(64 + wrong[i] + 40), "!", 1);
    write_at(path, "00000000000001048576.log", 64 + 64 + 40, "!", 1);
    for (int i = 0; i < 3; i++) {
        open_store(&store, path, 0);
        assert_int_equal(store.position, position);
        assert_int_equal(store.sequence, sequence);
        assert_int_equal(store.cut_bytes, 0);
        store_close(&store);
    }
    test_remove(path);
}

/* With a window it is known how far was stored, and nothing else is asked. */
static void what_was_persisted_is_never_cut(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    open_store(&store, path, 0);
    append(&store, SEGMENT / 4096 + 3);
    uint64_t position = store.position, sequence = store.sequence;
    append(&store, 1); /* written, and then its owner died before it could say so */
    store_close(&store);
    for (int n = 0; n < 64 * 3; n++)
        write_at(path, "00000000000001048576.log", 64 + 64 * n + 40, "!", 1);
    assert_int_equal(store_open(&store, path, SEGMENT, 42, STORE_RESUME, &text), 0);
    assert_int_equal(store_resume(&store, position, sequence, &text), 0);
    assert_int_equal(store.position, position);
    append(&store, 1);
    assert_int_equal(store_sync(&store, &text), 0);
    store_close(&store);
    assert_int_equal(store_open(&store, path, SEGMENT, 42, STORE_RESUME, &text), 0);
    assert_int_equal(store_resume(&store, position + 4 * SEGMENT, sequence, &text), HERMES_ECORRUPT);
    store_close(&store);
    open_store(&store, path, 0); /* and without one: good frames stand behind */
    assert_int_equal(store.position, position + 4096);
    store_close(&store);
    test_remove(path);
}

/* Types that only a later version knows: passed over by everybody, with the sequence of the next message. */
static void reserved_types_are_passed_over(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    open_store(&store, path, 0);
    for (uint8_t type = 3; type <= 16; type++) {
        size_t bytes = make_frames(frames, store.sequence, 2, 32);
        hermes_header_t *control = (hermes_header_t *)(void *)(frames + bytes);
        memset(control, 0, 64);
        *control = (hermes_header_t){.magic = HERMES_MAGIC,
                                     .version = HERMES_VERSION,
                                     .type = type,
                                     .sequence = store.sequence + 2,
                                     .length = 32};
        assert_int_equal(store_append(&store, frames, bytes + 64, store.sequence + 2, 1, &text), 0);
    }
    struct frames walk = {.data = frames, .end = 3 * 64, .sequence = 27, .check = FRAME_CHECKSUMS};
    struct frame frame;
    assert_true(frames_next(&walk, &frame) == 1 && frames_next(&walk, &frame) == 1);
    assert_int_equal(frames_next(&walk, &frame), HERMES_EMALFORMED); /* 16 is nobody's */
    store_close(&store);
    open_store(&store, path, 0);
    assert_int_equal(store.position, (14 * 3 - 1) * 64); /* up to that one */
    assert_int_equal(store.sequence, 29);
    store_close(&store);
    char name[128];
    struct verify verify = {
        .capacity = WINDOW_MIN_BYTES, .segment_bytes = SEGMENT, .end = (14 * 3 - 1) * 64, .sequence = 1};
    static uint8_t buffer[WINDOW_MIN_BYTES];
    snprintf(name, sizeof name, "%s/%020d.log", path, 0);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(verify_segment(&verify, fd, verify.end, buffer, &text), 0);
    close(fd);
    assert_int_equal(verify.damaged, 0);
    assert_int_equal(verify.messages, 28);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_sequence(reader, 20), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
    assert_int_equal(message.sequence, 20);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    for (uint64_t i = 1; i <= 28; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.sequence, i);
    }
    assert_int_equal(hermes_log_reader_poll(reader, &message), HERMES_ECLOSED);
    hermes_log_reader_close(reader);
    test_remove(path);
}

/* No room for the checkpoint, once: what was synced is synced, and the next one says so. */
static void a_checkpoint_without_room_heals(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    open_store(&store, path, 0);
    append(&store, 1);
    assert_int_equal(store_sync(&store, &text), 0);
    assert_int_equal(store_checkpoint(&store, 1, &text), 0);
    int fd = store.checkpoint_fd, no_room = open("/dev/full", O_WRONLY | O_CLOEXEC);
    append(&store, 1);
    assert_int_equal(store_sync(&store, &text), 0);
    store.checkpoint_fd = no_room;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_checkpoint(&store, 1, &text), HERMES_EFULL);
        struct checkpoint there;
        assert_int_equal(checkpoint_read(fd, &there), 0);
        assert_int_equal(there.position, 4096);
    }
    store.checkpoint_fd = fd;
    assert_int_equal(store_checkpoint(&store, 1, &text), 0);
    struct checkpoint there;
    assert_int_equal(checkpoint_read(fd, &there), 0);
    assert_int_equal(there.position, 2 * 4096);
    close(no_room);
    store_close(&store);
    test_remove(path);
}

/* Back over several segments, below the checkpoint, and only to where a frame begins. */
static void a_tail_is_cut_back(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    struct store_place place;
    open_store(&store, path, 0);
    append(&store, 3 * SEGMENT / 4096 + 10);
    assert_int_equal(store_prepare(&store, &text), 0);
    assert_int_equal(store_sync(&store, &text), 0);
    assert_int_equal(store_checkpoint(&store, 1, &text), 0);
    uint64_t end = store.position;
    assert_int_equal(store_cut(&store, end - 64, end, &text), HERMES_EINVALID);
    assert_int_equal(store_cut(&store, end + 64, 0, &text), HERMES_EINVALID);
    assert_int_equal(store_cut(&store, 4096 + 32, 0, &text), HERMES_ECORRUPT);
    assert_int_equal(store.position, end);
    assert_int_equal(store_cut(&store, end, 0, &text), 0);
    const uint64_t cuts[] = {end - 64, 3 * SEGMENT, 2 * SEGMENT + 640, SEGMENT, SEGMENT - 64, 64, 0};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        assert_int_equal(store_cut(&store, cuts[i], cuts[i], &text), 0);
        assert_int_equal(store.position, cuts[i]);
        assert_int_equal(store.sequence, 1 + cuts[i] / 64);
        assert_int_equal(store.entry_count, 1 + cuts[i] / SEGMENT);
        int rc = store_find(&store, STORE_BY_POSITION, end, &place, &text);
        assert_true(rc == HERMES_ENOTFOUND || i <= 1);
        if (rc == 0)
            close(place.fd);
        if (i % 2 == 0) {
            store_close(&store);
            open_store(&store, path, 0);
            assert_int_equal(store.position, cuts[i]);
            assert_int_equal(store.sequence, 1 + cuts[i] / 64);
            assert_int_equal(store.cut_bytes, 0);
        }
    }
    append(&store, SEGMENT / 4096 + 1);
    assert_int_equal(store_sync(&store, &text), 0);
    store_close(&store);
    open_store(&store, path, 0);
    assert_int_equal(store.position, SEGMENT + 4096);
    store_close(&store);
    test_remove(path);
}

static void confirmed_but_missing_is_corruption(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    struct error_text text;
    char file[256];
    open_store(&store, path, 0);
    append(&store, SEGMENT / 4096 + 2);
    assert_int_equal(store_sync(&store, &text), 0);
    assert_int_equal(store_checkpoint(&store, 1, &text), 0);
    store_close(&store);
    snprintf(file, sizeof file, "%s/%020d.log", path, SEGMENT);
    assert_int_equal(unlink(file), 0);
    open_store(&store, path, HERMES_ECORRUPT);
    snprintf(file, sizeof file, "%s/%020d.log", path, 0);
    assert_int_equal(access(file, F_OK), 0);
    test_remove(path);
}

static void damaged_headers_are_named(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct store store;
    char original[64];
    char file[256];
    open_store(&store, path, 0);
    append(&store, 1);
    store_close(&store);
    snprintf(file, sizeof file, "%s/%020d.log", path, 0);
    int fd = open(file, O_RDONLY);
    assert_int_equal(pread(fd, original, 64, 0), 64);
    close(fd);
    for (unsigned i = 0; i < 64; i++) {
        char byte = original[i] ^ 0x20;
        struct error_text text;
        write_at(path, "00000000000000000000.log", i, &byte, 1);
        assert_true(store_open(&store, path, SEGMENT, 42, STORE_WRITE, &text) < 0);
        write_at(path, "00000000000000000000.log", i, &original[i], 1);
    }
    struct segment_header newer;
    memcpy(&newer, original, sizeof newer);
    newer.version = 2;
    write_at(path, "00000000000000000000.log", 0, &newer, sizeof newer);
    open_store(&store, path, HERMES_EVERSION);
    write_at(path, "00000000000000000000.log", 0, original, 64);
    /* Truncation at any length is an error, never a crash. */
    for (off_t length = 0; length < 64 + SEGMENT; length += 104729) {
        assert_int_equal(truncate(file, length), 0);
        struct error_text text;
        assert_true(store_open(&store, path, SEGMENT, 42, STORE_WRITE, &text) < 0);
    }
    test_remove(path);
}

static void checkpoint_survives_a_torn_slot(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char file[256];
    snprintf(file, sizeof file, "%s/checkpoint", path);
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    struct checkpoint c = {0}, read_back;
    assert_int_equal(checkpoint_read(fd, &read_back), HERMES_ENOTFOUND);
    for (uint64_t i = 1; i < 10; i++) {
        c.position = i * 64;
        assert_int_equal(checkpoint_write(fd, &c), 0);
        assert_int_equal(checkpoint_read(fd, &read_back), 0);
        assert_int_equal(read_back.position, i * 64);
    }
    uint8_t torn = 0;
    off_t newest = (off_t)(c.generation & 1) * 64;
    assert_int_equal(pwrite(fd, &torn, 1, newest + 16), 1);
    assert_int_equal(checkpoint_read(fd, &read_back), 0);
    assert_int_equal(read_back.position, 8 * 64);
    close(fd);
    test_remove(path);
}

/* A disk without room says so at the roll, before a byte of the log is lost. */
static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct store store;
    struct error_text text;
    assert_int_equal(store_open(&store, "/proc/nope", SEGMENT, 1, STORE_WRITE, &text), HERMES_ENOTFOUND);
    assert_int_equal(store_open(&store, "/nonexistent/a", SEGMENT, 1, STORE_READ, &text), HERMES_ENOTFOUND);
    uint64_t base;
    assert_int_equal(segment_name_parse("00000000000000000064.log", &base), 0);
    assert_int_equal(base, 64);
    assert_int_equal(segment_name_parse("0000000000000000064.log", &base), HERMES_ENAME);
    assert_int_equal(segment_name_parse("0000000000000000x064.log", &base), HERMES_ENAME);
    assert_int_equal(segment_name_parse("99999999999999999999.log", &base), HERMES_ENAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolls_and_recovers),
        cmocka_unit_test(torn_tail_ends_the_log),
        cmocka_unit_test(damaged_end_is_put_aside),
        cmocka_unit_test(damage_with_good_frames_behind_it_is_kept),
        cmocka_unit_test(what_was_persisted_is_never_cut),
        cmocka_unit_test(reserved_types_are_passed_over),
        cmocka_unit_test(a_checkpoint_without_room_heals),
        cmocka_unit_test(a_tail_is_cut_back),
        cmocka_unit_test(confirmed_but_missing_is_corruption),
        cmocka_unit_test(damaged_headers_are_named),
        cmocka_unit_test(checkpoint_survives_a_torn_slot),
        cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
