/* A log out of another's bytes, however they are cut, and whenever there is room. */
#include "log_fixture.h"

#include "broker/mirror/copy.h"
#include "broker/topic.h"
#include "mirror/random.h"

enum { LOG_BYTES = 2 * SEGMENT, MOST = 65536 };

static struct fixture fixture;
static struct topic topic;
static struct copy copy;
static _Alignas(64) uint8_t source[LOG_BYTES];
static uint64_t source_end;
static uint64_t seed = 11;

/* The bytes of a log that was written elsewhere. */
static void make_source(void)
{
    static uint8_t payload[MOST];
    struct window_writer *writer = &fixture.log.writer;
    while (writer->position + 4 * MOST < LOG_BYTES) {
        uint64_t before = writer->position;
        size_t length = random_below(&seed, random_below(&seed, 4) == 0 ? MOST : 200);
        memset(payload, (int)random_below(&seed, 256), length);
        int rc = publish_one(writer, payload, length, 1000, true);
        assert_true(rc == 0 || rc == HERMES_EAGAIN);
        for (uint64_t at = before; at < writer->position; at += 64)
            memcpy(source + at, writer->data + (at & writer->mask), 64);
        if (rc == HERMES_EAGAIN)
            persist_all(&fixture);
    }
    source_end = writer->position;
}

static int begin(void **state)
{
    (void)state;
    struct error_text text;
    char prefix[128], directory[128];
    setup(&fixture);
    make_source();
    snprintf(prefix, sizeof prefix, "%s/copy", fixture.directory);
    snprintf(directory, sizeof directory, "%s/copied", fixture.directory);
    struct log_options options = {.prefix = prefix,
                                  .directory = directory,
                                  .topic_id = 8,
                                  .window_bytes = WINDOW,
                                  .segment_bytes = SEGMENT,
                                  .durability = DURABILITY_ASYNC,
                                  .instance = 1};
    topic.durability = DURABILITY_ASYNC;
    assert_int_equal(log_open(&topic.log, &options, &text), 0);
    assert_int_equal(log_begin(&topic.log, WRITER_OWNER, &text), 0);
    copy_begin(&copy, &topic);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char directory[128];
    assert_int_equal(log_close(&topic.log, STATE_CLOSED), 0);
    snprintf(directory, sizeof directory, "%s/copied", fixture.directory);
    test_remove(directory);
    teardown(&fixture);
    return 0;
}

/* Stored now and then: the window is full in between, in the middle of frames too. */
static void every_byte_gets_in_whatever_is_offered_when(void **state)
{
    (void)state;
    unsigned refused = 0;
    uint64_t at = 0, compared = 0;
    while (at < source_end) {
        uint64_t most = (source_end - at) / 64, offered = 64 * (1 + random_below(&seed, 400));
        offered = offered > most * 64 ? most * 64 : offered;
        uint64_t taken = copy_take(&copy, source + at, offered);
        assert_int_equal(copy.error, 0);
        assert_true(taken <= offered);
        at += taken;
        assert_int_equal(copy.position, at);
        refused += taken < offered;
        /* Whoever took all of a frame has it in the log: nobody would offer it again. */
        assert_int_equal(at - topic.log.writer.position, copy.part);
        assert_true(copy.part == 0 || copy.part < copy.whole);
        for (uint64_t to = topic.log.writer.position; compared < to; compared += 64)
            assert_memory_equal(topic.log.writer.data + (compared & (WINDOW - 1)), source + compared, 64);
        if (taken < offered || random_below(&seed, 100) == 0)
            (void)log_persist(&topic.log, 64 * (1 + random_below(&seed, 500)));
    }
    assert_int_equal(compared, source_end);
    assert_int_equal(topic.log.writer.sequence, fixture.log.writer.sequence);
    assert_true(refused > 10);
}

static void what_is_no_frame_is_refused(void **state)
{
    (void)state;
    _Alignas(64) uint8_t nonsense[64];
    memset(nonsense, 0x5a, sizeof nonsense);
    assert_int_equal(copy_take(&copy, nonsense, sizeof nonsense), 0);
    assert_int_equal(copy.error, HERMES_EMALFORMED);
    assert_int_equal(copy_take(&copy, source, 64), 0); /* and nothing more is taken */
    assert_int_equal(topic.log.writer.position, 0);
}

/* An empty message that its source says to be that one. */
static void offer(uint64_t sequence)
{
    uint8_t frame[64];
    memcpy(frame, source, sizeof frame);
    memcpy(frame + offsetof(hermes_header_t, sequence), &sequence, sizeof sequence);
    memset(frame + offsetof(hermes_header_t, length), 0, sizeof(uint32_t));
    (void)copy_take(&copy, frame, sizeof frame);
}

static void offer_in_vain(uint64_t wrong)
{
    uint64_t position = topic.log.writer.position, sequence = topic.log.writer.sequence;
    offer(wrong);
    assert_int_equal(copy.error, HERMES_EMALFORMED);
    assert_int_equal(topic.log.writer.position, position);
    assert_int_equal(topic.log.writer.sequence, sequence);
    copy.error = HERMES_OK;
}

/* Without a hole none is missing; behind one, too, none comes again. */
static void a_sequence_that_does_not_follow_is_refused(void **state)
{
    (void)state;
    offer(1);
    offer(2);
    assert_int_equal(copy.error, 0);
    assert_int_equal(topic.log.writer.position, 128);
    offer_in_vain(2);
    offer_in_vain(4);
    copy_skip(&copy, 6400);
    offer_in_vain(2);
    offer_in_vain(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_byte_gets_in_whatever_is_offered_when, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_frame_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_sequence_that_does_not_follow_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
