/* Groups and brokers that are killed and stopped in between: nothing is lost, and only what was in flight
 * comes again. */
#include "members.h"

static void test_killed_broker(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1), message;
    for (uint64_t i = 2; i <= 10; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    stop_broker(f, SIGKILL);
    for (uint64_t i = 11; i <= 20; i++) { /* nobody needs it */
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    start_broker(f);
    message = expect(a, 21);
    assert_int_equal(hermes_ack(a, &held), 0); /* not forgotten, and nothing comes twice */
    assert_int_equal(hermes_ack(a, &message), 0);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.last_sequence, 21);
    expect(a, 22);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 23);
    assert_int_equal(describe(f, "risk").members, 2);
    hermes_subscriber_close(a); /* under its new session */
    expect(b, 22);
    assert_int_equal(describe(f, "risk").redelivered, 1);
    hermes_disconnect(other);
}

/* A member that dies with its broker: its line is given up after a lease, its messages come again. */
static void test_member_dies_with_the_broker(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 300000000, 0, NULL);
    publish(f, "t", 1, 3);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 1);
    stop_broker(f, SIGKILL);
    hermes_disconnect(other); /* tells nobody */
    start_broker(f);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 2);
    expect(a, 3);
    expect(a, 1);
}

static void test_stopped_broker(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1), message;
    for (uint64_t i = 2; i <= 10; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    stop_broker(f, SIGTERM);
    assert_int_equal(hermes_poll(a, &message), 0);
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    start_broker(f);
    hermes_message_t again = expect(a, 1); /* what was in flight, and nothing else */
    assert_int_equal(hermes_deliveries(a, &again), 2);
    expect(a, 11);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.in_flight, 2);
    assert_int_equal(info.members, 1);
    restart(f, SIGTERM);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 1);
    expect(b, 11);
    expect(b, 12);
    expect(a, 13);
    hermes_disconnect(other);
}

/* What was in flight when the broker stopped may have been worked on: it counts as a delivery. */
static void test_a_stop_delivers_nothing_beyond_the_limit(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, NULL);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 1);
    stop_broker(f, SIGTERM);
    start_broker(f);
    expect(a, 2);
    assert_int_equal(describe(f, "risk").dead, 1);
}

/* A memory topic ends with its broker's orderly stop, and its groups begin anew with it. */
static void test_memory_topic(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 7, NULL);
    publish(f, "t", 1, 10);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 1);
    restart(f, SIGKILL);
    expect(a, 2);
    restart(f, SIGTERM);
    expect_nothing(a);
    publish(f, "t", 77, 78);
    expect(a, 77);
    assert_int_equal(describe(f, "risk").max_deliveries, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_killed_broker),  TEST(test_member_dies_with_the_broker),
        TEST(test_stopped_broker), TEST(test_a_stop_delivers_nothing_beyond_the_limit),
        TEST(test_memory_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
