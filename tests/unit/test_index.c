/* The index: entries where they must be, a hint that is never wrong, whatever becomes of the file. */
#include "test.h"

#include <fcntl.h>

#include "hermes/message.h"
#include "log/recovery.h"
#include "log/store.h"

enum { SEGMENT = 4 * STORE_SEGMENT_MIN, FRAMES = 400000, TOPIC = 42 };

struct message {
    uint64_t position, timestamp;
};

static struct message messages[FRAMES + 1]; /* by sequence */
static _Alignas(64) uint8_t frame[HERMES_HEADER_BYTES + HERMES_PAYLOAD_MAX + 64];

/* Times go forward, but for clocks that are set back now and then. */
static uint64_t next_time(uint64_t *seed, uint64_t time)
{
    return test_random(seed) % 5000 == 0 ? time - test_random(seed) % 100000 : time + test_random(seed) % 40;
}

static void append(struct store *store, uint64_t count, uint64_t *seed, uint64_t *time)
{
    struct error_text text;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)(test_random(seed) % (test_random(seed) % 500 == 0 ? 60000 : 90));
        uint64_t room = SEGMENT - store->position % SEGMENT;
        if (hermes_frame_bytes(length) > room)
            length = (uint32_t)(room - HERMES_HEADER_BYTES);
        *time = next_time(seed, *time);
        memset(frame, 0, hermes_frame_bytes(length));
        hermes_message_encode((hermes_header_t *)(void *)frame, frame + HERMES_HEADER_BYTES, length,
                              store->sequence, *time);
        messages[store->sequence] = (struct message){store->position, *time};
        assert_int_equal(
            store_append(store, frame, hermes_frame_bytes(length), store->sequence + 1, 1, &text), 0);
    }
}

/* The first message as late as that; the one behind the last if none is. */
static uint64_t first_since(const struct store *store, uint64_t time)
{
    uint64_t sequence = 1;
    while (sequence < store->sequence && messages[sequence].timestamp < time)
        sequence++;
    return sequence;
}

static uint64_t latest(const struct store *store)
{
    uint64_t time = 0;
    for (uint64_t i = 1; i < store->sequence; i++)
        time = messages[i].timestamp > time ? messages[i].timestamp : time;
    return time;
}

static void place_is_right(struct store *store, enum store_key key, uint64_t value, uint64_t wanted,
                           bool indexed)
{
    struct store_place place;
    struct error_text text;
    assert_int_equal(store_find(store, key, value, &place, &text), 0);
    close(place.fd);
    assert_true(place.sequence >= 1 && place.sequence <= wanted);
    assert_int_equal(messages[place.sequence].position, place.position);
    if (indexed) {
        assert_true(place.indexed);
        assert_true(messages[wanted].position - place.position <= INDEX_STRIDE + HERMES_PAYLOAD_MAX + 64);
    }
}

static void places_are_right(struct store *store, uint64_t *seed, bool indexed)
{
    uint64_t end = latest(store);
    for (int i = 0; i < 300; i++) {
        uint64_t sequence = 1 + test_random(seed) % (store->sequence - 1);
        place_is_right(store, STORE_BY_SEQUENCE, sequence, sequence, indexed);
        uint64_t time = messages[1].timestamp + test_random(seed) % (end - messages[1].timestamp);
        place_is_right(store, STORE_BY_TIME, time, first_since(store, time), indexed);
    }
    /* Times that an index has in it: the message that has this time itself is before the entry. */
    for (uint64_t i = 1; i < store->sequence; i += 97) {
        uint64_t time = messages[i].timestamp;
        place_is_right(store, STORE_BY_TIME, time, first_since(store, time), indexed);
    }
    place_is_right(store, STORE_BY_TIME, 0, 1, indexed);
    place_is_right(store, STORE_BY_SEQUENCE, 1, 1, indexed);
}

static void open_store(struct store *store, const char *path)
{
    struct error_text text;
    assert_int_equal(store_open(store, path, SEGMENT, TOPIC, STORE_WRITE, &text), 0);
}

static void finds_what_is_there(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    uint64_t seed = 99, time = 1000000000;
    struct store store;
    struct error_text text;
    open_store(&store, path);
    append(&store, 100000, &seed, &time);
    assert_true(store.entry_count > 2);
    places_are_right(&store, &seed, true);
    /* It goes on where it was, whether the store was closed in good order or not. */
    for (int i = 0; i < 5; i++) {
        if (i % 2 == 0) {
            assert_int_equal(store_sync(&store, &text), 0);
            assert_int_equal(store_checkpoint(&store, 1, &text), 0);
        }
        store_close(&store);
        open_store(&store, path);
        assert_int_equal(store.index.timestamp, latest(&store));
        append(&store, 10000, &seed, &time);
        places_are_right(&store, &seed, true);
    }
    /* A lost one of the last segment is made again, with what was before that segment. */
    char name[INDEX_NAME_BYTES];
    while (store.position % SEGMENT > 1000 || store.position % SEGMENT == 0)
        append(&store, 1, &seed, &time);
    index_name(store.entries[store.entry_count - 1].base, name);
    assert_int_equal(unlinkat(store.directory, name, 0), 0);
    time = latest(&store);
    store_close(&store);
    open_store(&store, path);
    assert_int_equal(store.index.timestamp, time);
    places_are_right(&store, &seed, true);
    store_close(&store);
    test_remove(path);
}

/* Bytes of the files are flipped, cut off, or of another topic: still no place behind what is wanted. */
static void believes_nothing(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    uint64_t seed = 7, time = 1000000000;
    struct store store;
    open_store(&store, path);
    append(&store, 100000, &seed, &time);
    for (size_t i = 0; i < store.entry_count; i++) {
        char name[INDEX_NAME_BYTES];
        index_name(store.entries[i].base, name);
        int fd = openat(store.directory, name, O_RDWR | O_CLOEXEC);
        off_t size = lseek(fd, 0, SEEK_END);
        for (int n = 0; n < 20 && i % 3 != 2; n++) {
            uint8_t byte = (uint8_t)test_random(&seed);
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)(test_random(&seed) % (uint64_t)size)), 1);
        }
        if (i % 3 == 1)
            assert_int_equal(ftruncate(fd, (off_t)(test_random(&seed) % (uint64_t)size)), 0);
        close(fd);
        if (i % 3 == 2)
            assert_int_equal(unlinkat(store.directory, name, 0), 0);
    }
    places_are_right(&store, &seed, false);
    store_close(&store);
    open_store(&store, path);
    places_are_right(&store, &seed, false);
    append(&store, 30000, &seed, &time);
    /* New segments have sound ones. */
    uint64_t first = 0;
    for (uint64_t i = 1; i < store.sequence; i++)
        if (messages[i].position == store.entries[store.entry_count - 1].base)
            first = i;
    for (uint64_t i = first; i < store.sequence; i += 100)
        place_is_right(&store, STORE_BY_SEQUENCE, i, i, true);
    store_close(&store);
    test_remove(path);
}

/*
 * A store of 100 GB, nearly all of it holes: headers and indexes of all segments, and frames in a few of
 * them, one to a stride. Every search reads a few dozen times, and no more than in a store a hundredth of
 * that size.
 */
enum { LARGE = 64 * 1024 * 1024, PER_SEGMENT = LARGE / INDEX_STRIDE, SEGMENTS = 1600, WRITTEN = 100 };

ssize_t __real_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset);

static unsigned reads;

ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset)
{
    reads++;
    return __real_pread(fd, bytes, count, offset);
}

static uint64_t time_of(uint64_t sequence)
{
    return 1000000 + 10 * sequence;
}

static void make_segment(int directory, uint64_t i)
{
    struct segment_header header = {.base = i * LARGE,
                                    .first_sequence = 1 + i * PER_SEGMENT,
                                    .created = 1000 + i,
                                    .size = LARGE,
                                    .topic_id = TOPIC,
                                    .epoch = 1};
    struct index_writer index = {.fd = -1, .timestamp = i == 0 ? 0 : time_of(i * PER_SEGMENT)};
    char name[SEGMENT_NAME_BYTES];
    segment_header_finish(&header);
    segment_name(header.base, name);
    int fd = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SEGMENT_HEADER_BYTES + LARGE), 0);
    assert_int_equal(segment_write(fd, (const uint8_t *)&header, sizeof header, 0), 0);
    index_begin(&index, directory, header.base, LARGE, header.created);
    for (uint64_t n = 0; n < PER_SEGMENT; n++) {
        hermes_header_t *message = (hermes_header_t *)(void *)frame;
        uint64_t position = header.base + n * INDEX_STRIDE, sequence = header.first_sequence + n;
        *message = (hermes_header_t){.magic = HERMES_MAGIC,
                                     .version = HERMES_VERSION,
                                     .type = HERMES_TYPE_DATA,
                                     .sequence = sequence,
                                     .timestamp = time_of(sequence),
                                     .length = INDEX_STRIDE - HERMES_HEADER_BYTES};
        index_add_frames(&index, frame, INDEX_STRIDE, position);
        if (i % WRITTEN == 0 || i + 2 >= SEGMENTS)
            assert_int_equal(
                segment_write(fd, frame, sizeof *message, SEGMENT_HEADER_BYTES + n * INDEX_STRIDE), 0);
    }
    index_end(&index);
    close(fd);
}

static void searches_100_gigabytes(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct error_text text;
    struct store store;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (uint64_t i = 0; i < SEGMENTS; i++)
        make_segment(directory, i);
    close(directory);
    reads = 0;
    assert_int_equal(store_open(&store, path, LARGE, TOPIC, STORE_WRITE, &text), 0);
    assert_int_equal(store.position, (uint64_t)SEGMENTS * LARGE);
    assert_true(reads < 20); /* and not 1,600 */
    uint64_t seed = 5;
    for (int i = 0; i < 1000; i++) {
        uint64_t sequence = 1 + test_random(&seed) % (SEGMENTS / WRITTEN) * WRITTEN * PER_SEGMENT +
                            test_random(&seed) % PER_SEGMENT;
        uint64_t step = test_random(&seed) % 10;
        struct store_place place;
        reads = 0;
        enum store_key key = i % 2 == 0 ? STORE_BY_SEQUENCE : STORE_BY_TIME;
        uint64_t value = key == STORE_BY_SEQUENCE ? sequence : time_of(sequence) - step;
        assert_int_equal(store_find(&store, key, value, &place, &text), 0);
        close(place.fd);
        assert_true(place.indexed);
        assert_true(place.sequence <= sequence && sequence - place.sequence <= 1);
        assert_int_equal(place.position, (place.sequence - 1) * INDEX_STRIDE);
        assert_true(reads <= 60);
    }
    store_close(&store);
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(believes_nothing),
        cmocka_unit_test(searches_100_gigabytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
