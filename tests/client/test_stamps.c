/* Time stamps of a publisher's own: subscribers see them, whichever way the messages took. */
#include "counters.h"

enum { COUNT = 300 };

/* Of counter i: back and forth, and some of another century. */
static uint64_t time_of(uint64_t i)
{
    return i % 7 == 0 ? 4000000000000000000 + i : 1 + (i * 7919) % 100000;
}

static void expect_times(const char *topic, uint64_t count)
{
    hermes_client_t *client = connect_client();
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    assert_int_equal(hermes_subscriber_open(client, topic, NULL, &subscriber), 0);
    assert_int_equal(hermes_seek_first(subscriber), 0);
    for (uint64_t i = 1; i <= count; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
        assert_int_equal(message.timestamp, time_of(i));
    }
    hermes_disconnect(client);
}

static int publish_at(hermes_publisher_t *publisher, uint64_t number)
{
    return hermes_publish_at(publisher, time_of(number), &number, sizeof number, NULL);
}

static void publish_every_way(hermes_publisher_t *publisher)
{
    static uint64_t numbers[COUNT], times[COUNT];
    hermes_slice_t slices[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        numbers[i] = i + 3;
        times[i] = time_of(i + 3);
        slices[i] = (hermes_slice_t){&numbers[i], sizeof numbers[i]};
    }
    void *room;
    assert_int_equal(publish_at(publisher, 1), 0);
    assert_int_equal(hermes_claim(publisher, 8, &room), 0);
    memset(room, 0, 8);
    *(uint8_t *)room = 2;
    assert_int_equal(hermes_commit_at(publisher, time_of(2), NULL), 0);
    assert_int_equal(hermes_publish_batch_at(publisher, times, slices, COUNT), COUNT);
}

static void test_subscribers_see_them(void **state)
{
    static const enum hermes_durability durabilities[] = {HERMES_DURABILITY_MEMORY, HERMES_DURABILITY_ASYNC,
                                                          HERMES_DURABILITY_SYNC};
    for (unsigned i = 0; i < 6; i++) {
        char topic[8];
        snprintf(topic, sizeof topic, "t%u", i);
        make_topic_of(*state, topic, i % 2 == 1, durabilities[i / 2]);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        publish_every_way(publisher);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
        expect_counters(topic, COUNT + 2);
        expect_times(topic, COUNT + 2);
    }
}

/* Several windows, or rings, full: most of it waits for room. */
static void test_they_stay_with_messages_that_wait_for_room(void **state)
{
    static uint8_t payload[4000];
    static uint64_t times[COUNT];
    hermes_slice_t slices[COUNT];
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        make_topic(*state, topic, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        for (uint64_t first = 1; first < 4 * COUNT; first += COUNT) {
            for (uint64_t i = 0; i < COUNT; i++) {
                times[i] = time_of(first + i);
                slices[i] = (hermes_slice_t){payload, sizeof payload};
            }
            assert_int_equal(hermes_publish_batch_at(publisher, times, slices, COUNT), COUNT);
        }
        for (uint64_t i = 4 * COUNT + 1; i <= 8 * COUNT; i++)
            assert_int_equal(hermes_publish_at(publisher, time_of(i), payload, sizeof payload, NULL), 0);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
        expect_times(topic, 8 * COUNT);
    }
}

/* What a ring held, and what was published without a broker, goes out with the next one. */
static void test_they_stay_over_a_broker_s_death(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    assert_int_equal(publish_at(publisher, 1), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    kill(f->broker, SIGSTOP);
    for (uint64_t i = 2; i <= 20; i++)
        assert_int_equal(publish_at(publisher, i), 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    for (uint64_t i = 21; i <= 40; i++)
        assert_int_equal(publish_at(publisher, i), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
    expect_counters("t", 40);
    expect_times("t", 40);
}

static void test_what_is_no_time_is_refused(void **state)
{
    static const uint64_t none[] = {0, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    const uint64_t number = 1;
    const hermes_slice_t slices[] = {{&number, 8}, {&number, 8}, {&number, 8}};
    make_topic(*state, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    void *room;
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t times[] = {1, none[i], 1};
        assert_int_equal(hermes_publish_at(publisher, none[i], &number, 8, NULL), HERMES_EINVALID);
        assert_non_null(strstr(hermes_last_error(client), "no time stamp"));
        assert_int_equal(hermes_publish_batch_at(publisher, times + 1, slices, 2), HERMES_EINVALID);
        assert_int_equal(hermes_publish_batch_at(publisher, times, slices, 3), 1);
        assert_int_equal(hermes_claim(publisher, 8, &room), 0);
        assert_int_equal(hermes_commit_at(publisher, none[i], NULL), HERMES_EINVALID);
        memcpy(room, &number, 8);
        assert_int_equal(hermes_commit_at(publisher, INT64_MAX, NULL), 0); /* the claim was still open */
    }
    assert_int_equal(hermes_publish_batch_at(publisher, NULL, slices, 3), HERMES_EINVALID);
    assert_int_equal(hermes_publisher_accepted(publisher), 6);
    hermes_disconnect(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_subscribers_see_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_they_stay_with_messages_that_wait_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_they_stay_over_a_broker_s_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_time_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
