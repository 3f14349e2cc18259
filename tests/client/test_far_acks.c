/* What is said of messages through a connection: whether it counts though nobody waits for the answer, and
 * how often a message was given out. */
#include "members.h"

#include "client/subscriber.h"

static int setup_tcp(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tcp", 1);
    return setup(state);
}

/* Of the broker's user: what its members hold outlives a broker that is killed. */
static int setup_unix(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "unix", 1);
    return setup(state);
}

static void await_in_flight(struct fixture *f, hermes_subscriber_t *member, uint64_t count)
{
    hermes_message_t message;
    for (time_t start = time(NULL); describe(f, "risk").in_flight != count;) {
        assert_int_equal(hermes_poll(member, &message), 0);
        assert_true(time(NULL) - start < PATIENCE);
    }
}

/* ---- nobody waits for the answer ---- */

/* The next broker hears of it, and knows what the member holds. */
static void test_what_was_said_while_no_broker_was_there_is_said_to_the_next(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 3600000000000u, 0, NULL);
    publish(f, "t", 1, 2);
    hermes_client_t *other = another();
    hermes_subscriber_t *member = join(other);
    hermes_message_t first = expect(member, 1), second = expect(member, 2);
    stop_broker(f, SIGKILL);
    other->request_timeout_ns = blink_ns;
    assert_int_equal(hermes_ack(member, &first), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_renew(member, &second), HERMES_EDISCONNECTED);
    other->request_timeout_ns = patience_ns;
    start_broker(f);
    await_in_flight(f, member, 1);
    assert_int_equal(hermes_ack(member, &first), 0); /* as it was told first */
    assert_int_equal(hermes_ack(member, &second), 0);
    assert_int_equal(describe(f, "risk").in_flight, 0);
    assert_int_equal(describe(f, "risk").redelivered, 0);
    hermes_disconnect(other);
}

/* Also who says nothing more leaves it said. */
static void test_who_closes_has_said_it(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 3600000000000u, 0, NULL);
    publish(f, "t", 1, 2);
    hermes_client_t *other = another();
    hermes_subscriber_t *member = join(other);
    hermes_message_t first = expect(member, 1);
    kill(f->broker, SIGSTOP);
    other->request_timeout_ns = blink_ns;
    assert_int_equal(hermes_ack(member, &first), HERMES_EDISCONNECTED);
    other->request_timeout_ns = patience_ns;
    kill(f->broker, SIGCONT);
    hermes_disconnect(other);
    hermes_subscriber_t *next = join(f->client);
    expect(next, 2);
    expect_nothing(next);
}

static int give_up(void *context)
{
    ++*(int *)context;
    return 1;
}

static void test_who_waits_no_longer_has_said_it(void **state)
{
    struct fixture *f = *state;
    int asked = 0;
    make_messages(f, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *member = join(other);
    hermes_message_t first = expect(member, 1);
    kill(f->broker, SIGSTOP);
    (void)hermes_set_interrupt((hermes_interrupt_t){give_up, &asked});
    int rc = hermes_ack(member, &first);
    (void)hermes_set_interrupt((hermes_interrupt_t){NULL, NULL});
    kill(f->broker, SIGCONT);
    assert_int_equal(rc, HERMES_EINTERRUPTED);
    assert_true(asked > 0);
    await_in_flight(f, member, 0);
    hermes_disconnect(other);
}

/* ---- how often ---- */

/* It was sent to who had asked for it, and died. */
static void test_what_was_sent_counts_as_given_out(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 3600000000000u, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *gone = join(other);
    expect_nothing(gone); /* and waits for the next one */
    publish(f, "t", 1, 1);
    for (time_t start = time(NULL); describe(f, "risk").in_flight == 0;)
        assert_true(time(NULL) - start < PATIENCE);
    hermes_forget(other);
    hermes_subscriber_t *next = join(f->client);
    hermes_message_t message = expect(next, 1);
    assert_int_equal(hermes_deliveries(next, &message), 2);
}

/* ---- durable subscriptions ---- */

static void test_a_durable_subscription_cannot_seek(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    const hermes_subscriber_options_t durable = {
        .size = sizeof durable, .name = "desk", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    hermes_subscriber_t *desk, *alone;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &durable, &desk), 0);
    expect(desk, 1);
    assert_int_equal(hermes_seek_first(desk), HERMES_ENOTSUP);
    assert_int_equal(hermes_seek_end(desk), HERMES_ENOTSUP);
    assert_int_equal(hermes_seek_sequence(desk, 5), HERMES_ENOTSUP);
    assert_int_equal(hermes_seek_time(desk, 1), HERMES_ENOTSUP);
    assert_int_equal(hermes_seek_position(desk, 0), HERMES_ENOTSUP);
    expect(desk, 2);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &alone), 0);
    assert_int_equal(hermes_seek_sequence(alone, 5), 0);
    expect(alone, 5);
}

/* Nobody looks in the store for it; what stands in the window is looked at. */
static void test_what_has_left_the_window_is_believed(void **state)
{
    struct fixture *f = *state;
    const hermes_subscriber_options_t durable = {
        .size = sizeof durable, .name = "desk", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    hermes_subscriber_t *desk;
    make_messages(f, 10);
    assert_int_equal(hermes_subscriber_open(f->client, "t", &durable, &desk), 0);
    hermes_message_t early = {0}, copy;
    for (uint64_t i = 1; i <= 5; i++)
        early = expect(desk, i);
    hermes_message_t late = expect(desk, 6);
    copy = early;
    copy.sequence++;
    assert_int_equal(hermes_ack(desk, &copy), HERMES_EINVALID);
    assert_int_equal(describe(f, "desk").position, 0);
    publish(f, "t", 11, 20000);
    assert_int_equal(hermes_ack(desk, &early), 0);
    assert_int_equal(describe(f, "desk").last_sequence, 5);
    copy = late;
    copy.sequence++;
    assert_int_equal(hermes_ack(desk, &copy), 0);
    assert_int_equal(describe(f, "desk").position, late.position + 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define OVER(way, name) {#name ", " #way, name, setup_##way, teardown, NULL}
        OVER(unix, test_what_was_said_while_no_broker_was_there_is_said_to_the_next),
        OVER(tcp, test_who_closes_has_said_it),
        OVER(tcp, test_who_waits_no_longer_has_said_it),
        OVER(tcp, test_what_was_sent_counts_as_given_out),
        OVER(tcp, test_a_durable_subscription_cannot_seek),
        OVER(unix, test_a_durable_subscription_cannot_seek),
        OVER(tcp, test_what_has_left_the_window_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
