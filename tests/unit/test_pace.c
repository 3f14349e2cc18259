/*
 * When a reader stays behind its writer, and when it does not. How long things take on this machine decides
 * nothing here: times are made up far from where the line is drawn.
 */
#include "test.h"

#include "base/clock.h"
#include "log/pace.h"

enum { KIB = 1024, FRAME = 128, LONG_NS = 1000000000 };

static _Atomic uint64_t writer;

/* A reader that has read so many messages in `took` nanoseconds, and has come to an empty look. */
static struct pace after(uint64_t messages, uint64_t took, uint64_t *position, uint64_t *sequence)
{
    struct pace pace = {.until = PACE_FOLLOWING, .at_ns = clock_monotonic_ns() - took, .position = *position};
    pace.sequence = *sequence;
    *position += messages * FRAME;
    *sequence += messages;
    atomic_store(&writer, *position);
    return pace;
}

static void who_has_read_slow_messages_follows_the_head(void **state)
{
    (void)state;
    uint64_t position = 0, sequence = 1;
    struct pace pace = after(100, LONG_NS, &position, &sequence);
    pace_judge(&pace, &writer, position, sequence);
    assert_true(pace.until == PACE_FOLLOWING);
    assert_int_equal(pace.judge_at, position + PACE_JUDGE_BYTES); /* the next look is no sooner */
}

static void who_has_read_fast_messages_reads_what_was_there_before_a_pause(void **state)
{
    (void)state;
    uint64_t position = 0, sequence = 1;
    struct pace pace = after(1000000, 0, &position, &sequence);
    pace_judge(&pace, &writer, position, sequence);
    assert_int_equal(pace.until, position); /* before the next message */
    pace.at_ns = clock_monotonic_ns();      /* whatever a debugger or neighbour did meanwhile */
    pace.position = position - 1000000 * FRAME;
    pace.sequence = sequence - 1000000;
    atomic_store(&writer, position + 20 * FRAME);
    pace_look(&pace, &writer, position, sequence);
    assert_int_equal(pace.until, position + 20 * FRAME);
}

static void who_is_far_behind_does_not_wait_and_stays_some_way_behind(void **state)
{
    (void)state;
    uint64_t position = 64 * KIB, sequence = 1;
    struct pace pace = after(1000000, 0, &position, &sequence);
    atomic_store(&writer, position + 100 * KIB);
    pace_look(&pace, &writer, position, sequence);
    assert_int_equal(pace.until, position + 100 * KIB - PACE_BEHIND_BYTES);
}

static void a_message_after_silence_is_read_at_once(void **state)
{
    (void)state;
    uint64_t position = 0, sequence = 1;
    struct pace pace = after(1000000, 0, &position, &sequence);
    pace_judge(&pace, &writer, position, sequence);
    assert_int_equal(pace.until, position);
    pace.at_ns -= LONG_NS; /* the stream ended there */
    atomic_store(&writer, position + FRAME);
    pace_look(&pace, &writer, position, sequence);
    assert_true(pace.until == PACE_FOLLOWING);
}

static void a_stream_that_slows_down_is_followed(void **state)
{
    (void)state;
    uint64_t position = 0, sequence = 1;
    struct pace pace = after(3, LONG_NS, &position, &sequence);
    pace.until = position;
    atomic_store(&writer, position + FRAME);
    pace_look(&pace, &writer, position, sequence);
    assert_true(pace.until == PACE_FOLLOWING);
}

/* What the writer says is a stranger's, and a reader is moved about: nothing but when to look depends on it.
 */
static void wherever_reader_and_writer_are_said_to_be_looks_end(void **state)
{
    (void)state;
    static const uint64_t odd[] = {0, 1, 64, 1u << 20, UINT64_MAX / 2, UINT64_MAX - 64, UINT64_MAX};
    enum { ODD = sizeof odd / sizeof odd[0] };
    struct pace pace = {0};
    for (int i = 0; i < ODD * ODD * ODD; i++) {
        uint64_t position = odd[i % ODD], sequence = odd[i / ODD % ODD], end = odd[i / ODD / ODD];
        atomic_store(&writer, end);
        pace_judge(&pace, &writer, position, sequence);
        for (int look = 0; look < 2 && pace.until != PACE_FOLLOWING && position >= pace.until; look++)
            pace_look(&pace, &writer, position, sequence); /* the second: nothing came for a whole pause */
        bool far_behind = end - position >= PACE_NEAR_BYTES && end - position <= PACE_BEHIND_MOST;
        assert_true(pace.until > position || pace.until == PACE_FOLLOWING ||
                    (far_behind && pace.until == end - PACE_BEHIND_BYTES));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_read_slow_messages_follows_the_head),
        cmocka_unit_test(who_has_read_fast_messages_reads_what_was_there_before_a_pause),
        cmocka_unit_test(who_is_far_behind_does_not_wait_and_stays_some_way_behind),
        cmocka_unit_test(a_message_after_silence_is_read_at_once),
        cmocka_unit_test(a_stream_that_slows_down_is_followed),
        cmocka_unit_test(wherever_reader_and_writer_are_said_to_be_looks_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
