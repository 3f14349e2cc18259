/* What subscribers are told of what they cannot read, and how much of it there was. */
#include "kinds.h"

#include <fcntl.h>
#include <glob.h>

enum { COUNT = 50, DAMAGED = 25 };

static void publish_numbers(struct fixture *f, uint64_t first, uint64_t last)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (uint64_t i = first; i <= last; i++)
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
    hermes_publisher_close(publisher);
}

static void publish_counters(struct fixture *f, uint64_t count)
{
    publish_numbers(f, 1, count);
}

static int count_one(void *context, const hermes_message_t *message)
{
    (void)message;
    ++*(int *)context;
    return 0;
}

/* One bit of the payload of that message, in the topic's only segment. */
static void damage(struct fixture *f, uint64_t sequence)
{
    char pattern[128], byte;
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/data/topics/t/*.log", f->home);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    int fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    globfree(&found);
    for (off_t at = 0; pread(fd, &byte, 1, at) == 1; at += 64) {
        struct {
            hermes_header_t header;
            uint64_t number;
        } frame;
        assert_true(pread(fd, &frame, sizeof frame, at) >= 0);
        if (frame.header.magic != HERMES_MAGIC || frame.header.sequence != sequence)
            continue;
        frame.number ^= 1;
        assert_int_equal(pwrite(fd, &frame, sizeof frame, at), sizeof frame);
        close(fd);
        return;
    }
    fail_msg("message %d is not in the segment", (int)sequence);
}

static void test_an_error_behind_messages_is_told_by_the_next_call(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish_counters(f, COUNT);
    stop_broker(f, SIGTERM);
    damage(f, DAMAGED);
    start_broker(f);
    for (int way = 0; way < 3; way++) {
        hermes_subscriber_t *s;
        hermes_message_t message;
        int count = 0, rc = 0;
        assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &s), 0);
        assert_int_equal(hermes_seek_first(s), 0);
        assert_int_equal(hermes_poll_many(s, 1000, count_one, &count), DAMAGED - 1);
        assert_int_equal(hermes_subscriber_arm(s), 1); /* there is something to be told */
        if (way == 0)
            rc = (int)hermes_poll_many(s, 1000, count_one, &count);
        else
            rc = way == 1 ? hermes_poll(s, &message) : hermes_wait(s, &message, HERMES_FOREVER);
        assert_int_equal(rc, HERMES_ECHECKSUM);
        assert_non_null(strstr(hermes_last_error(f->client), "damaged"));
        assert_int_equal(count, DAMAGED - 1);
        assert_int_equal(hermes_poll_many(s, 1000, count_one, &count), COUNT - DAMAGED);
        assert_int_equal(hermes_poll_many(s, 1000, count_one, &count), 0);
        hermes_subscriber_close(s);
    }
}

/* The members take turns; who comes to it is told, and the other goes on behind it. */
static void test_damage_is_told_to_one_member_and_counted_once(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_topic(f, "t", false);
    publish_counters(f, COUNT);
    stop_broker(f, SIGTERM);
    damage(f, DAMAGED);
    start_broker(f);
    hermes_subscriber_t *members[] = {subscriber_of(f->client, MEMBER), subscriber_of(f->client, MEMBER)};
    unsigned told = 0;
    for (uint64_t number = 1, turn = 0; number <= COUNT; turn++) {
        int rc = hermes_wait(members[turn % 2], &message, HERMES_FOREVER);
        if (rc == HERMES_ECHECKSUM) {
            assert_int_equal(number, DAMAGED);
            told++;
        } else {
            assert_int_equal(rc, 1);
            assert_int_equal(message.sequence, number);
        }
        number++;
    }
    hermes_group_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_group_describe(f->client, "t", "g", &info), 0);
    assert_int_equal(told, 1);
    assert_int_equal(info.lost, 1);
}

static void test_what_a_seek_passes_over_is_not_lost(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *s;
    hermes_message_t message;
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    make_topic_of(f, "t", true, HERMES_DURABILITY_MEMORY);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &s), 0);
    publish_counters(f, 1);
    assert_int_equal(hermes_wait(s, &message, HERMES_FOREVER), 1);
    publish_counters(f, 20000); /* laps */
    int rc;
    while ((rc = hermes_poll(s, &message)) == 1)
        ;
    assert_int_equal(rc, HERMES_EGONE);
    assert_int_equal(hermes_seek_end(s), 0);
    publish_counters(f, 1);
    assert_int_equal(hermes_wait(s, &message, HERMES_FOREVER), 1);
    assert_int_equal(hermes_subscriber_describe(s, &counters), 0);
    assert_int_equal(counters.lost, 0);
    hermes_subscriber_close(s);
}

/* ---- after a stop in good order, for who did not read its log to the end ---- */

static void publish_large(struct fixture *f, int count)
{
    static uint8_t payload[60000];
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    hermes_publisher_set_wait(publisher, HERMES_FOREVER);
    for (int i = 0; i < count; i++)
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, HERMES_FOREVER), 0);
    hermes_publisher_close(publisher);
}

/* To the last message, without a gap but where it is told, which is not for ever, and counted. */
static void expect_the_rest(struct fixture *f, hermes_subscriber_t *s, uint64_t last)
{
    hermes_message_t message = {.sequence = 0};
    hermes_subscriber_counters_t told = {.size = sizeof told};
    uint64_t read = 0, gone = 0;
    while (message.sequence < last) {
        uint64_t gone_before = gone, expected = message.sequence + 1;
        int rc;
        while ((rc = poll_until_told(s, &message)) == HERMES_EGONE && gone < 20)
            gone++;
        if (rc != 1)
            fail_msg("%d: %s", rc, hermes_last_error(f->client));
        read++;
        if (gone == gone_before)
            assert_int_equal(message.sequence, expected);
    }
    assert_int_equal(message.sequence, last);
    assert_in_range(read, 1, last - 1);
    assert_in_range(gone, 1, 20);
    assert_int_equal(hermes_subscriber_describe(s, &told), 0);
    assert_int_equal(told.lost, last - read);
}

static void await_removal_up_to(struct fixture *f, uint64_t position)
{
    hermes_topic_info_t info = {.size = sizeof info};
    while (info.first_position < position)
        assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
}

static void test_what_was_removed_after_a_stop_is_told_and_reading_goes_on(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *subscribers[KINDS];
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = HERMES_DURABILITY_ASYNC,
                                      .window_bytes = 256 * 1024,
                                      .segment_bytes = 1024 * 1024,
                                      .keep_bytes = 4 * 1024 * 1024,
                                      .push_back = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    publish_large(f, 50); /* some three segments, of which a reader has opened the first */
    for (int kind = 0; kind < KINDS; kind++)
        subscribers[kind] = subscriber_of(f->client, kind);
    stop_broker(f, SIGTERM);
    start_broker(f);
    publish_large(f, 150);
    await_removal_up_to(f, 3 * options.segment_bytes);
    for (int kind = 0; kind < KINDS; kind++)
        expect_the_rest(f, subscribers[kind], 200);
}

enum { OLD = 5, ALL = 10 };
enum seek { TO_FIRST, TO_SEQUENCE, TO_TIME, TO_POSITION, TO_END, SEEKS };

static hermes_subscriber_t *seeker_of(struct fixture *f, enum kind kind, enum seek seek)
{
    char name[16];
    snprintf(name, sizeof name, "d%d", (int)seek);
    hermes_subscriber_options_t options = {.size = sizeof options, .name = kind == DURABLE ? name : NULL};
    options.flags = kind == WAITED_FOR ? HERMES_SUBSCRIBE_PUSH_BACK : 0;
    hermes_subscriber_t *subscriber;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &subscriber), 0);
    return subscriber;
}

static uint64_t number_of(const hermes_message_t *message)
{
    uint64_t number;
    memcpy(&number, message->payload, sizeof number);
    return number;
}

static int seek_to(hermes_subscriber_t *subscriber, enum seek seek, const hermes_message_t *message)
{
    switch (seek) {
    case TO_FIRST:
        return hermes_seek_first(subscriber);
    case TO_SEQUENCE:
        return hermes_seek_sequence(subscriber, message->sequence);
    case TO_TIME:
        return hermes_seek_time(subscriber, message->timestamp);
    case TO_POSITION:
        return hermes_seek_position(subscriber, message->position);
    default:
        return hermes_seek_end(subscriber);
    }
}

/* The messages that there are, by their numbers. Returns the first's. */
static uint64_t list_messages(struct fixture *f, hermes_message_t messages[ALL + 1])
{
    hermes_subscriber_t *all = subscriber_of(f->client, PLAIN);
    hermes_message_t message = {.position = 0};
    uint64_t first = 0, number = 0;
    while (number < ALL) {
        assert_int_equal(hermes_wait(all, &message, HERMES_FOREVER), 1);
        number = number_of(&message);
        messages[number] = message;
        first = first == 0 ? number : first;
    }
    hermes_subscriber_close(all);
    return first;
}

static void seek_after_a_stop(struct fixture *f, enum kind kind, enum hermes_durability durability)
{
    hermes_topic_options_t options = {.size = sizeof options, .durability = durability, .push_back = 1};
    hermes_subscriber_t *seekers[SEEKS];
    hermes_message_t messages[ALL + 1], message;
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    publish_numbers(f, 1, OLD);
    for (int seek = 0; seek < SEEKS; seek++)
        seekers[seek] = seeker_of(f, kind, seek);
    stop_broker(f, SIGTERM);
    start_broker(f);
    publish_numbers(f, OLD + 1, ALL);
    uint64_t first = list_messages(f, messages);
    for (int seek = 0; seek < SEEKS; seek++) {
        uint64_t expected = seek == TO_FIRST ? first : seek == TO_END ? ALL + 1 : OLD + 2;
        int rc = seek_to(seekers[seek], seek, &messages[OLD + 2]);
        if (rc != 0)
            fail_msg("seek %d of kind %d: %d: %s", seek, (int)kind, rc, hermes_last_error(f->client));
        if (seek == TO_END)
            publish_numbers(f, ALL + 1, ALL + 1);
        assert_int_equal(hermes_wait(seekers[seek], &message, HERMES_FOREVER), 1);
        assert_int_equal(number_of(&message), expected);
        hermes_subscriber_close(seekers[seek]);
    }
    delete_topic(f, "t");
}

static void test_who_seeks_after_a_stop_finds_what_the_next_broker_has(void **state)
{
    for (int durability = HERMES_DURABILITY_MEMORY; durability <= HERMES_DURABILITY_ASYNC; durability++) {
        seek_after_a_stop(*state, PLAIN, durability);
        seek_after_a_stop(*state, DURABLE, durability);
        seek_after_a_stop(*state, WAITED_FOR, durability);
    }
}

static void test_who_seeks_without_a_broker_seeks_in_what_the_last_one_left(void **state)
{
    struct fixture *f = *state;
    make_topic_for_all(f);
    publish_numbers(f, 1, OLD);
    hermes_subscriber_t *plain = subscriber_of(f->client, PLAIN),
                        *durable = subscriber_of(f->client, DURABLE);
    hermes_message_t message;
    stop_broker(f, SIGTERM);
    assert_int_equal(hermes_seek_end(plain), 0);
    assert_int_equal(hermes_seek_end(durable), HERMES_EDISCONNECTED); /* which would be forgotten */
    start_broker(f);
    publish_numbers(f, OLD + 1, ALL);
    assert_int_equal(hermes_wait(plain, &message, HERMES_FOREVER), 1);
    assert_int_equal(number_of(&message), OLD + 1);
    assert_int_equal(hermes_wait(durable, &message, HERMES_FOREVER), 1);
    assert_int_equal(number_of(&message), 1);
}

enum { SPREAD = 3000 }; /* messages of 1,000 bytes: over segments, and several times the window */

static void publish_spread(struct fixture *f)
{
    static const uint8_t payload[1000];
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (uint64_t i = 1; i <= SPREAD; i++)
        assert_int_equal(hermes_publish_at(publisher, i * 10, payload, sizeof payload, NULL), 0);
    hermes_publisher_close(publisher);
}

static uint64_t position_of(const hermes_subscriber_t *subscriber)
{
    hermes_subscriber_counters_t told = {.size = sizeof told};
    assert_int_equal(hermes_subscriber_describe(subscriber, &told), 0);
    return told.position;
}

static int seek_by(hermes_subscriber_t *subscriber, bool by_time, uint64_t sequence)
{
    return by_time ? hermes_seek_time(subscriber, sequence * 10 - 5)
                   : hermes_seek_sequence(subscriber, sequence);
}

static void test_who_sought_stands_where_the_next_message_does(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    for (int kind = 0; kind < 4; kind++) {
        bool by_time = kind % 2, stored = kind / 2;
        hermes_topic_options_t options = {
            .size = sizeof options, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};
        options.durability = stored ? HERMES_DURABILITY_ASYNC : HERMES_DURABILITY_MEMORY;
        assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
        publish_spread(f);
        hermes_subscriber_t *subscriber = subscriber_of(f->client, PLAIN);
        for (uint64_t sequence = stored ? 1 : SPREAD - 100; sequence <= SPREAD; sequence += 7) {
            assert_int_equal(seek_by(subscriber, by_time, sequence), 0);
            uint64_t position = position_of(subscriber);
            assert_int_equal(hermes_wait(subscriber, &message, HERMES_FOREVER), 1);
            assert_int_equal(message.sequence, sequence);
            assert_int_equal(message.position, position);
        }
        /* What is not there yet will be behind the last. */
        assert_int_equal(seek_by(subscriber, by_time, SPREAD + 1), 0);
        hermes_topic_info_t topic = {.size = sizeof topic};
        assert_int_equal(hermes_topic_describe(f->client, "t", &topic), 0);
        assert_int_equal(position_of(subscriber), topic.committed_position);
        hermes_subscriber_close(subscriber);
        delete_topic(f, "t");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_an_error_behind_messages_is_told_by_the_next_call),
        TEST(test_damage_is_told_to_one_member_and_counted_once),
        TEST(test_what_a_seek_passes_over_is_not_lost),
        TEST(test_what_was_removed_after_a_stop_is_told_and_reading_goes_on),
        TEST(test_who_seeks_after_a_stop_finds_what_the_next_broker_has),
        TEST(test_who_seeks_without_a_broker_seeks_in_what_the_last_one_left),
        TEST(test_who_sought_stands_where_the_next_message_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
