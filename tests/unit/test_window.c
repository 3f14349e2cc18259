#include "test.h"

#include <pthread.h>
#include <sched.h>

#include "log/publish.h"
#include "log/reader.h"

enum { CAPACITY = WINDOW_MIN_BYTES };

struct fixture {
    struct window *window;
    struct status *status;
    struct doorbell *doorbell;
    struct window_writer writer;
};

static void setup(struct fixture *f, const _Atomic uint64_t *gate)
{
    f->window = aligned_alloc(4096, WINDOW_HEADER_BYTES + CAPACITY);
    f->status = aligned_alloc(4096, STATUS_BYTES);
    f->doorbell = aligned_alloc(64, 64);
    /* Old bytes everywhere: whoever forgets to zero ahead is found out. */
    memset(f->window, 0xAA, WINDOW_HEADER_BYTES + CAPACITY);
    memset(f->status, 0, STATUS_BYTES);
    memset(f->doorbell, 0, 64);
    f->status->magic = STATUS_MAGIC;
    f->status->version = STATUS_VERSION;
    f->status->window_bytes = CAPACITY;
    f->status->durability = DURABILITY_MEMORY;
    atomic_store(&f->status->epoch, 1);
    atomic_store(&f->status->seal, status_seal(9, 0));
    atomic_store(&f->status->state, STATE_OPEN);
    atomic_store(&f->window->bell, 0);
    window_init(f->window, CAPACITY, 1, 1, 0, 1, false);
    window_writer_init(&f->writer,
                       &(struct window_writer_options){.window = f->window,
                                                       .mark = &f->status->seal,
                                                       .seal = status_load_seal(f->status),
                                                       .gate = gate,
                                                       .doorbell = f->doorbell,
                                                       .eventfd = -1,
                                                       .epoch = 1,
                                                       .membarrier = barrier_register()},
                       0, 1);
}

static void teardown(struct fixture *f)
{
    free(f->window);
    free(f->status);
    free(f->doorbell);
}

static void fill(uint8_t *payload, uint64_t sequence, uint32_t length)
{
    uint64_t seed = sequence * 0x9E3779B97F4A7C15u + 1;
    for (uint32_t i = 0; i < length; i++)
        payload[i] = (uint8_t)test_random(&seed);
}

static uint32_t length_of(uint64_t sequence)
{
    uint64_t seed = sequence + 77;
    test_random(&seed);
    uint64_t r = test_random(&seed);
    return r % 50 == 0 ? (uint32_t)(r >> 8) % (HERMES_PAYLOAD_MAX + 1) : (uint32_t)(r >> 8) % 300;
}

/* Laps many times over; behind each frame stands an empty slot; every frame reads back. */
static void frames_read_back_over_many_laps(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t payload[HERMES_PAYLOAD_MAX];
    setup(&f, NULL);
    uint64_t position = 0;
    for (uint64_t sequence = 1; f.writer.position < 40ull * CAPACITY; sequence++) {
        uint32_t length = length_of(sequence);
        fill(payload, sequence, length);
        assert_int_equal(publish_one(&f.writer, payload, length, sequence * 10, sequence % 3 != 0), 0);
        hermes_header_t header;
        uint64_t bytes;
        int rc;
        while ((rc = window_poll(f.window->data, CAPACITY - 1, position, &header, &bytes)) == POLL_SKIP)
            position += bytes;
        assert_int_equal(rc, POLL_DATA);
        assert_int_equal(header.sequence, sequence);
        assert_int_equal(header.length, length);
        assert_true(window_still_there(f.window, position));
        const uint8_t *frame = f.window->data + (position & (CAPACITY - 1));
        assert_int_equal(hermes_message_verify(&header, frame + 32, bytes), 0);
        assert_memory_equal(frame + 32, payload, length);
        for (uint64_t i = 32 + length; i < bytes; i++)
            assert_int_equal(frame[i], 0);
        position += bytes;
        assert_int_equal(position, f.writer.position);
        assert_int_equal(window_poll(f.window->data, CAPACITY - 1, position, &header, &bytes), POLL_EMPTY);
    }
    teardown(&f);
}

static void gate_shuts_and_opens(void **state)
{
    (void)state;
    struct fixture f;
    _Atomic uint64_t gate = 0;
    uint8_t payload[1000] = {0};
    setup(&f, &gate);
    while (publish_one(&f.writer, payload, sizeof payload, 0, false) == 0)
        assert_true(f.writer.position <= CAPACITY);
    assert_true(f.writer.position > CAPACITY - 4096);
    assert_int_equal(atomic_load(&f.window->overwrite_limit), 0);
    atomic_store(&gate, 8192);
    assert_int_equal(publish_one(&f.writer, payload, sizeof payload, 0, false), 0);
    assert_true(atomic_load(&f.window->overwrite_limit) <= 8192);
    teardown(&f);
}

static void claim_and_abort_leave_no_trace(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    int rc = 0;
    uint8_t *frame = window_reserve(&f.writer, hermes_frame_bytes(2000), &rc);
    assert_non_null(frame);
    memset(frame + HERMES_HEADER_BYTES, 0xFF, 2000);
    window_abort(frame, 2000);
    assert_int_equal(publish_one(&f.writer, "x", 1, 0, true), 0);
    hermes_header_t header;
    uint64_t bytes;
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, 0, &header, &bytes), POLL_DATA);
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, bytes, &header, &bytes), POLL_EMPTY);
    teardown(&f);
}

static void seal_fences_the_publisher(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    atomic_store(&f.status->seal, status_seal(10, 0)); /* a new broker: go on, and greet it */
    assert_int_equal(publish_one(&f.writer, "x", 1, 0, true), 0);
    assert_true(f.writer.owner_changed);
    atomic_store(&f.status->seal, status_seal(10, 1));
    assert_int_equal(publish_one(&f.writer, "x", 1, 0, true), HERMES_EFENCED);
    teardown(&f);
}

/* A hostile window: whatever stands there, poll stays inside it. */
static void hostile_frames_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    hermes_header_t *frame = (hermes_header_t *)(void *)f.window->data, header;
    uint64_t bytes;
    hermes_message_encode_plain(frame, 10, 1, 1);
    frame->length = HERMES_PAYLOAD_MAX + 1;
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, 0, &header, &bytes), HERMES_EMALFORMED);
    frame->length = UINT32_MAX;
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, 0, &header, &bytes), HERMES_EMALFORMED);
    frame->length = 10;
    frame->version = 7;
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, 0, &header, &bytes), HERMES_EVERSION);
    frame->version = 1;
    frame->flags = 4;
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, 0, &header, &bytes), HERMES_EMALFORMED);
    /* A frame that would cross the end of the window. */
    hermes_header_t *last = (hermes_header_t *)(void *)(f.window->data + CAPACITY - 64);
    hermes_message_encode_plain(last, 100, 1, 1);
    assert_int_equal(window_poll(f.window->data, CAPACITY - 1, CAPACITY - 64, &header, &bytes),
                     HERMES_EMALFORMED);
    teardown(&f);
}

/* ---- threads ---- */

static struct window *only_window;

static int no_window(void *context, uint32_t epoch, int *fd)
{
    (void)epoch;
    int *source = context;
    *fd = dup(*source);
    return *fd < 0 ? HERMES_EIO : 0;
}

static int no_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    (void)context;
    (void)key;
    (void)value;
    (void)place;
    return HERMES_ENOTFOUND;
}

struct race {
    struct window_writer *writer;
    uint64_t count;
    bool pause; /* let the readers park now and then */
};

static void *publish_many(void *argument)
{
    struct race *race = argument;
    static uint8_t payload[HERMES_PAYLOAD_MAX];
    for (uint64_t sequence = 1; sequence <= race->count; sequence++) {
        uint32_t length = length_of(sequence);
        fill(payload, sequence, length);
        publish_one(race->writer, payload, length, sequence, true);
        if (race->pause && sequence % 16 == 0)
            sched_yield();
    }
    return NULL;
}

/*
 * A reader that is overtaken again and again must see no torn, repeated or reordered message; what it
 * misses it must be told. It parks as well: a wake-up that is lost would show as a stall.
 */
static void overtaken_reader_sees_nothing_torn(void **state)
{
    (void)state;
    struct map map;
    int fd;
    assert_int_equal(map_create_memfd("test", WINDOW_HEADER_BYTES + CAPACITY, &map, &fd), 0);
    struct fixture f;
    setup(&f, NULL);
    only_window = map.address;
    window_init(only_window, CAPACITY, 1, 1, 0, 1, false);
    window_writer_init(&f.writer,
                       &(struct window_writer_options){.window = only_window,
                                                       .mark = &f.status->seal,
                                                       .seal = status_load_seal(f.status),
                                                       .doorbell = f.doorbell,
                                                       .eventfd = -1,
                                                       .epoch = 1,
                                                       .membarrier = barrier_register()},
                       0, 1);
    struct reader reader;
    assert_int_equal(reader_open(&reader, f.status, f.doorbell,
                                 (struct reader_source){no_window, no_segment, &fd}, VERIFY_ALL),
                     0);
    const char *is_long = getenv("HERMES_TEST_LONG");
    struct race race = {&f.writer, is_long != NULL ? 3000000 : 60000, true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, publish_many, &race), 0);
    static uint8_t wanted[HERMES_PAYLOAD_MAX];
    uint64_t received = 0, last = 0;
    while (last < race.count) {
        hermes_message_t message;
        int rc = reader_poll(&reader, &message);
        if (rc == 0) {
            rc = reader_wait(&reader, 5000000000u, 1000);
            assert_int_not_equal(rc, HERMES_ETIMEOUT);
            continue;
        }
        if (rc == HERMES_EGONE)
            continue;
        assert_int_equal(rc, 1);
        assert_true(message.sequence > last);
        assert_int_equal(message.length, length_of(message.sequence));
        fill(wanted, message.sequence, message.length);
        assert_memory_equal(message.payload, wanted, message.length);
        last = message.sequence;
        received++;
    }
    pthread_join(thread, NULL);
    assert_int_equal(received + reader.lost, race.count);
    assert_int_equal(reader.corrupt, 0);
    reader_close(&reader);
    map_release(&map);
    close(fd);
    teardown(&f);
}

/* Who publishes out of a buffer that another thread writes to may send either; never damage. */
static _Atomic bool changed;

static void *change(void *payload)
{
    volatile uint8_t *byte = payload;
    while (!atomic_load_explicit(&changed, memory_order_relaxed))
        byte[512]++;
    return NULL;
}

static void a_payload_that_changes_while_it_is_sent_is_whole(void **state)
{
    (void)state;
#ifdef WINDOW_TSAN
    skip(); /* the caller's race, which it is right to report */
#endif
    struct fixture f;
    pthread_t thread;
    static uint8_t payload[1024];
    uint64_t damaged = 0;
    setup(&f, NULL);
    assert_int_equal(pthread_create(&thread, NULL, change, payload), 0);
    for (unsigned i = 0; i < 300000; i++) {
        uint64_t at = f.writer.position;
        assert_int_equal(publish_one(&f.writer, payload, sizeof payload, 7, true), 0);
        if (at / CAPACITY != f.writer.position / CAPACITY) /* perhaps padded */
            continue;
        const hermes_header_t *header = window_header(f.writer.data, at & f.writer.mask);
        damaged += hermes_message_verify(header, header + 1, HERMES_HEADER_BYTES + sizeof payload) < 0;
    }
    atomic_store(&changed, true);
    pthread_join(thread, NULL);
    assert_int_equal(damaged, 0);
    teardown(&f);
}

/* Else its readers stay a lap behind it, where reading is slow. */
static void a_writer_without_room_waits_for_half_a_window(void **state)
{
    (void)state;
    const uint64_t capacity = 16 * CAPACITY, position = 5 * capacity;
    struct readers *readers = aligned_alloc(64, READERS_BYTES);
    memset(readers, 0, READERS_BYTES);
    struct window_writer writer = {.mask = capacity - 1, .position = position, .readers = readers};
    uint64_t wanted = 0;
    assert_false(window_waits_for_readers(&writer, &wanted));
    int line = readers_add(readers, 7, position - capacity);
    assert_int_equal(line, 0);
    assert_true(window_waits_for_readers(&writer, &wanted));
    assert_int_equal(wanted, position - capacity / 2);
    readers_moved(readers, 0, position - capacity / 8 * 7, false);
    assert_false(window_waits_for_readers(&writer, &wanted));
    free(readers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_read_back_over_many_laps),
        cmocka_unit_test(gate_shuts_and_opens),
        cmocka_unit_test(claim_and_abort_leave_no_trace),
        cmocka_unit_test(a_writer_without_room_waits_for_half_a_window),
        cmocka_unit_test(seal_fences_the_publisher),
        cmocka_unit_test(hostile_frames_are_refused),
        cmocka_unit_test(overtaken_reader_sees_nothing_torn),
        cmocka_unit_test(a_payload_that_changes_while_it_is_sent_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
