/* The index: entries where they must be, a hint that is never wrong, whatever becomes of the file. */
#include "test.h"

#include <fcntl.h>

#include "core/store.h"
#include "hermes/message.h"

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
        if (i % 2 == 0)
            assert_int_equal(store_sync(&store, 1, &text), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(believes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
