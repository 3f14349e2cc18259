/* What a mirror sends of a log: any bytes of it, wherever they are by now. */
#include "log_fixture.h"

#include "log/log_source.h"
#include "mirror/random.h"

enum { LOG_BYTES = 3 * SEGMENT, SLICE = 1408, LOOKS = 40 };

static struct fixture fixture;
static struct log_source source;
static uint8_t shadow[LOG_BYTES], slice[SLICE];
static uint64_t seed = 5;

static int begin(void **state)
{
    (void)state;
    setup(&fixture);
    assert_int_equal(log_source_open(&source, &fixture.log), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    log_source_close(&source);
    teardown(&fixture);
    return 0;
}

/* One message; its frame goes into the shadow as well. false: it has no room, or there are enough. */
static bool publish_some(void)
{
    static uint8_t payload[5000];
    struct window_writer *writer = &fixture.log.writer;
    uint64_t before = writer->position;
    size_t length = random_below(&seed, sizeof payload);
    if (before + 2 * sizeof payload > LOG_BYTES)
        return false;
    memset(payload, (int)random_below(&seed, 256), length);
    int rc = publish_one(writer, payload, length, 1000, true);
    for (uint64_t at = before; at < writer->position; at += 64)
        memcpy(shadow + at, writer->data + (at & writer->mask), 64);
    assert_true(rc == 0 || rc == HERMES_EAGAIN);
    return rc == 0;
}

static void follow(void)
{
    while (log_source_follow(&source))
        ;
    assert_int_equal(log_source_end(&source), fixture.log.writer.position);
}

static void assert_copied(uint64_t position, uint32_t length)
{
    uint64_t first = 0;
    assert_true(log_source_bytes(&source, position, length, slice, &first));
    assert_memory_equal(slice, shadow + position, length);
}

/* Stored in small pieces, so that slices begin in the store alone and end in the window alone. */
static void every_byte_is_there_wherever_it_is_kept(void **state)
{
    (void)state;
    bool more = true;
    while (more) {
        while (publish_some())
            ;
        more = log_persist(&fixture.log, 64 * (1 + random_below(&seed, 200))) > 0;
        follow();
        uint64_t end = log_source_end(&source), limit = atomic_load(&fixture.log.window->overwrite_limit);
        for (uint64_t at = limit > SLICE ? limit / 64 * 64 - SLICE + 64 : 0; at < limit; at += 64)
            assert_copied(at, SLICE);
        for (int i = 0; i < LOOKS; i++) {
            uint32_t length = 64 * (uint32_t)(1 + random_below(&seed, SLICE / 64));
            assert_copied(random_below(&seed, (end - length) / 64 + 1) * 64, length);
        }
    }
    assert_true(fixture.log.store.entry_count >= 3);
}

static void what_is_purged_or_not_there_yet_is_not_made_up(void **state)
{
    (void)state;
    uint64_t first = 0;
    publish(&fixture, 100);
    assert_false(log_source_bytes(&source, 0, 64, slice, &first)); /* nobody has looked at it yet */
    follow();
    assert_true(log_source_bytes(&source, 99 * 64, 64, slice, &first));
    assert_false(log_source_bytes(&source, 99 * 64, 128, slice, &first));
    sync_all(&fixture);
    assert_int_equal(log_purge(&fixture.log), 0);
    follow();
    assert_false(log_source_bytes(&source, 0, 64, slice, &first));
    assert_int_equal(first, 100 * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_byte_is_there_wherever_it_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(what_is_purged_or_not_there_yet_is_not_made_up, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
