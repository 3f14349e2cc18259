/*
 * A broker that does not run (SIGSTOP), beside every call that was not asked to wait: none does, and what it
 * needs of the broker is there once that runs again, whoever polls, waits or is woken.
 */
#include "kinds.h"

#include <poll.h>
#include <sys/time.h>

#include "base/clock.h"
#include "client/subscriber.h"

static const uint64_t moment_ns = 30000000, patience_ns = 60000000000;

static hermes_client_t *connect_client(void)
{
    hermes_client_t *client;
    assert_int_equal(hermes_connect(NULL, &client), 0);
    return client;
}

static hermes_publisher_t *publisher_of(hermes_client_t *client, const char *topic, uint64_t wait_ns)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(client, topic, NULL, &publisher), 0);
    hermes_publisher_set_wait(publisher, wait_ns);
    return publisher;
}

static void publish(hermes_publisher_t *publisher, uint64_t first, uint64_t last)
{
    uint64_t payload[512] = {0};
    for (payload[0] = first; payload[0] <= last; payload[0]++)
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
}

static uint64_t number_of(const hermes_message_t *message)
{
    uint64_t number;
    memcpy(&number, message->payload, sizeof number);
    return number;
}

static int take_none(void *context, const hermes_message_t *message)
{
    (void)context;
    (void)message;
    return 1;
}

/* Nothing can be read; awaits_broker: for want of an answer. Each call but the wait comes back without having
 * slept for the broker; the wait in its time (generously: a machine may be busy, an unanswered request takes
 * 10 s). The descriptor tells of something now and then, not all the time. */
static void expect_no_call_waits(hermes_client_t *client, hermes_subscriber_t *subscriber, bool awaits_broker)
{
    hermes_message_t message;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    uint64_t sleeps = client->channel.sleeps;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hermes_poll(subscriber, &message), 0);
        assert_int_equal(hermes_poll_many(subscriber, 10, take_none, NULL), 0);
        assert_int_equal(hermes_subscriber_describe(subscriber, &told), 0);
        assert_int_equal(told.awaits_broker, awaits_broker);
        assert_int_equal(hermes_subscriber_arm(subscriber), 0);
        assert_int_equal(hermes_subscriber_describe(subscriber, &told), 0);
        assert_int_equal(told.awaits_broker, awaits_broker); /* an event loop may ask when it has armed */
    }
    uint64_t start_ns = clock_monotonic_ns();
    assert_int_equal(hermes_wait(subscriber, &message, moment_ns), 0);
    uint64_t took_ns = clock_monotonic_ns() - start_ns;
    assert_in_range(took_ns, moment_ns, 5000000000);
    unsigned looks = 0;
    for (start_ns = clock_monotonic_ns(); clock_monotonic_ns() - start_ns < 4 * moment_ns; looks++) {
        struct pollfd ready = {.fd = hermes_subscriber_fd(subscriber), .events = POLLIN};
        assert_int_equal(hermes_poll(subscriber, &message), 0);
        assert_int_equal(hermes_subscriber_arm(subscriber), 0);
        (void)poll(&ready, 1, (int)(moment_ns / 1000000));
    }
    assert_in_range(looks, 1, 100);
    assert_int_equal(client->channel.sleeps, sleeps);
}

enum way { BY_POLL, BY_WAIT, BY_DESCRIPTOR, WAYS };

static int read_one(hermes_subscriber_t *subscriber, enum way way, hermes_message_t *message)
{
    struct pollfd ready = {.events = POLLIN};
    int rc;
    switch (way) {
    case BY_POLL:
        return poll_until_told(subscriber, message);
    case BY_WAIT:
        return hermes_wait(subscriber, message, patience_ns);
    default:
        while ((rc = hermes_poll(subscriber, message)) == 0) {
            ready.fd = hermes_subscriber_fd(subscriber);
            if (hermes_subscriber_arm(subscriber) == 0)
                assert_int_equal(poll(&ready, 1, (int)(patience_ns / 1000000)), 1);
        }
        return rc;
    }
}

static void expect_messages(hermes_client_t *client, hermes_subscriber_t *subscriber, enum way way,
                            uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        hermes_message_t message;
        int rc = read_one(subscriber, way, &message);
        if (rc != 1)
            fail_msg("%d instead of message %d: %s", rc, (int)number, hermes_last_error(client));
        assert_int_equal(number_of(&message), number);
    }
}

static void pause_broker(struct fixture *f)
{
    kill(f->broker, SIGSTOP);
    char path[64], line[512], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)f->broker);
    while (state != 'T') {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_non_null(fgets(line, sizeof line, file));
        fclose(file);
        state = strrchr(line, ')')[2];
    }
}

static hermes_subscriber_t *read_first(hermes_client_t *client, enum kind kind)
{
    hermes_subscriber_t *subscriber = subscriber_of(client, kind);
    expect_messages(client, subscriber, BY_WAIT, 1, 1);
    hermes_message_t message;
    assert_int_equal(hermes_poll(subscriber, &message), 0); /* and it is done */
    return subscriber;
}

/* ---- the store ---- */

enum { SEGMENTS = 3 };

/* Until only a segment that is not open has more. */
static uint64_t read_what_is_there(hermes_subscriber_t *subscriber, uint64_t number)
{
    hermes_message_t message;
    while (hermes_poll(subscriber, &message) == 1)
        assert_int_equal(number_of(&message), ++number);
    return number;
}

static void read_the_store(struct fixture *f, enum kind kind, enum way way)
{
    enum { MANY = SEGMENTS * 260 }; /* of 4 KiB, in segments of 1 MiB */
    make_topic(f, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 1);
    hermes_subscriber_t *subscriber = read_first(client, kind);
    publish(publisher, 2, MANY);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    pause_broker(f);
    uint64_t number = read_what_is_there(subscriber, 1);
    assert_in_range(number, 1, MANY - 1);
    expect_no_call_waits(client, subscriber, true);
    kill(f->broker, SIGCONT);
    expect_messages(client, subscriber, way, number + 1, MANY);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
    delete_topic(f, "t");
}

static void test_a_segment_is_waited_for_by_who_waits(void **state)
{
    for (enum kind kind = PLAIN; kind <= DURABLE; kind++)
        for (enum way way = 0; way < WAYS; way++)
            read_the_store(*state, kind, way);
}

/* ---- another publisher ---- */

static void follow_publishers(struct fixture *f, enum kind kind, enum way way)
{
    make_topic_for_all(f);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 1);
    hermes_subscriber_t *subscriber = read_first(client, kind);
    hermes_publisher_close(publisher);
    publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 2, 3);
    pause_broker(f);
    expect_no_call_waits(client, subscriber, true);
    kill(f->broker, SIGCONT);
    expect_messages(client, subscriber, way, 2, 3);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
    delete_topic(f, "t");
}

static void test_the_window_of_another_publisher_is_waited_for_by_who_waits(void **state)
{
    for (enum kind kind = PLAIN; kind < KINDS; kind++)
        follow_publishers(*state, kind, kind % WAYS);
}

/* ---- another broker ---- */

static void follow_brokers(struct fixture *f, enum kind kind, int signal_number, enum way way)
{
    make_topic_for_all(f);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 1);
    hermes_subscriber_t *subscriber = read_first(client, kind);
    stop_broker(f, signal_number);
    start_broker(f);
    pause_broker(f);
    expect_no_call_waits(client, subscriber, signal_number == SIGTERM);
    kill(f->broker, SIGCONT);
    publish(publisher, 2, 3);
    expect_messages(client, subscriber, way, 2, 3);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
    delete_topic(f, "t");
}

static void test_the_next_broker_is_waited_for_by_who_waits(void **state)
{
    for (enum kind kind = PLAIN; kind < KINDS; kind++)
        follow_brokers(*state, kind, SIGTERM, (kind + 1) % WAYS);
}

static void test_a_greeting_is_waited_for_by_nobody(void **state)
{
    for (enum kind kind = PLAIN; kind < KINDS; kind++)
        follow_brokers(*state, kind, SIGKILL, (kind + 2) % WAYS);
}

/* ---- a group's reset ---- */

static void follow_resets(struct fixture *f, enum way way)
{
    make_topic_for_all(f);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 3);
    hermes_subscriber_t *subscriber = subscriber_of(client, MEMBER);
    expect_messages(client, subscriber, BY_WAIT, 1, 3);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "g", HERMES_GROUP_POSITION, &options), 0);
    pause_broker(f);
    expect_no_call_waits(client, subscriber, true);
    kill(f->broker, SIGCONT);
    expect_messages(client, subscriber, way, 1, 3);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
    delete_topic(f, "t");
}

static void test_a_reset_group_is_waited_for_by_who_waits(void **state)
{
    for (enum way way = 0; way < WAYS; way++)
        follow_resets(*state, way);
}

/* ---- acknowledging ---- */

/* A new broker is to be greeted first. */
static void test_an_acknowledgement_waits_for_nobody(void **state)
{
    struct fixture *f = *state;
    make_topic_for_all(f);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 3);
    hermes_subscriber_options_t options = {
        .size = sizeof options, .group = "g", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    hermes_subscriber_t *member;
    hermes_message_t messages[3];
    assert_int_equal(hermes_subscriber_open(client, "t", &options, &member), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hermes_wait(member, &messages[i], patience_ns), 1);
    stop_broker(f, SIGKILL);
    start_broker(f);
    pause_broker(f);
    uint64_t sleeps = client->channel.sleeps;
    assert_int_equal(hermes_ack(member, &messages[0]), 0);
    assert_int_equal(hermes_renew(member, &messages[1]), 0);
    assert_int_equal(hermes_nack(member, &messages[2]), 0);
    assert_int_equal(client->channel.sleeps, sleeps);
    kill(f->broker, SIGCONT);
    expect_messages(client, member, BY_WAIT, 3, 3);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
}

/* ---- publishing ---- */

/* Messages are taken as long as there is a window; then the caller, who said not to wait, is told so. */
static void publish_beside(struct fixture *f, bool shared, int signal_number)
{
    make_topic(f, "t", shared);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    publish(publisher, 1, 1);
    if (signal_number != 0) {
        stop_broker(f, signal_number);
        start_broker(f);
    }
    pause_broker(f);
    uint64_t sleeps = client->channel.sleeps, number = 2, *claim;
    void *payload;
    hermes_slice_t slice = {&number, sizeof number};
    for (int i = 0; i < 3; i++) {
        int rc = hermes_publish(publisher, &number, sizeof number, NULL);
        assert_true(rc == 0 || rc == HERMES_EAGAIN || rc == HERMES_EDISCONNECTED);
        int64_t count = hermes_publish_batch(publisher, &slice, 1);
        assert_true(count == 1 || count == HERMES_EAGAIN || count == HERMES_EDISCONNECTED);
        assert_int_equal(hermes_publisher_poll(publisher), 0);
        rc = hermes_claim(publisher, sizeof number, &payload);
        assert_true(rc == 0 || rc == HERMES_EAGAIN);
        if (rc != 0)
            continue;
        claim = payload;
        *claim = number;
        rc = hermes_commit(publisher, NULL);
        assert_true(rc == 0 || rc == HERMES_EDISCONNECTED);
    }
    (void)hermes_publisher_close(publisher);
    assert_int_equal(client->channel.sleeps, sleeps);
    kill(f->broker, SIGCONT);
    hermes_disconnect(client);
    while (hermes_ping(f->client) < 0)
        ;
    delete_topic(f, "t");
}

static void test_a_publisher_that_is_not_to_wait_does_not(void **state)
{
    static const int signals[] = {0, SIGKILL, SIGTERM};
    for (int shared = 0; shared < 2; shared++)
        for (int i = 0; i < 3; i++)
            publish_beside(*state, shared != 0, signals[i]);
}

/* ---- signals ---- */

/* ---- closing ---- */

enum { HANDLES = 8 };
static const char short_timeout[] = "500";

static void open_many(hermes_client_t *client, enum kind kind, hermes_subscriber_t *subscribers[HANDLES])
{
    for (int i = 0; i < HANDLES; i++)
        subscribers[i] = subscriber_of(client, kind);
}

static void test_who_closes_beside_a_broker_that_hangs_waits_for_one_answer_at_most(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *plain[HANDLES], *members[HANDLES];
    make_topic_for_all(f);
    setenv("HERMES_REQUEST_TIMEOUT_MS", short_timeout, 1);
    hermes_client_t *client = connect_client();
    unsetenv("HERMES_REQUEST_TIMEOUT_MS");
    open_many(client, PLAIN, plain);
    open_many(client, MEMBER, members);
    pause_broker(f);
    uint64_t sleeps = client->channel.sleeps;
    for (int i = 0; i < HANDLES; i++)
        hermes_subscriber_close(plain[i]); /* nobody waits for what these had */
    assert_int_equal(client->channel.sleeps, sleeps);
    hermes_subscriber_close(members[0]);
    sleeps = client->channel.sleeps;
    for (int i = 1; i < HANDLES; i++)
        hermes_subscriber_close(members[i]); /* the answers come one after the other */
    assert_int_equal(client->channel.sleeps, sleeps);
    kill(f->broker, SIGCONT);
    hermes_subscriber_t *again = subscriber_of(client, MEMBER);
    sleeps = client->channel.sleeps;
    pause_broker(f);
    hermes_subscriber_close(again); /* the broker has answered since: its turn to be waited for */
    assert_true(client->channel.sleeps > sleeps);
    kill(f->broker, SIGCONT);
    hermes_disconnect(client);
}

static void test_who_disconnects_beside_a_broker_that_hangs_waits_for_one_answer_at_most(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *members[HANDLES];
    hermes_topic_options_t options = {
        .size = sizeof options, .durability = HERMES_DURABILITY_ASYNC, .shared = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    setenv("HERMES_REQUEST_TIMEOUT_MS", short_timeout, 1);
    hermes_client_t *client = connect_client();
    unsetenv("HERMES_REQUEST_TIMEOUT_MS");
    open_many(client, MEMBER, members);
    for (int i = 0; i < 2 * HANDLES; i++)
        (void)publisher_of(client, "t", patience_ns);
    pause_broker(f);
    uint64_t start_ns = clock_monotonic_ns();
    assert_int_equal(hermes_disconnect(client), 0);
    uint64_t took_ns = clock_monotonic_ns() - start_ns;
    kill(f->broker, SIGCONT);
    assert_in_range(took_ns, 0, 5000000000); /* generously: it is half a second for each who waits */
}

/* A new broker, which knows the member not yet, is greeted before: that is one wait for its answer, and no
 * looking for it now and then. */
static void test_who_closes_beside_a_new_broker_waits_on_the_connection(void **state)
{
    struct fixture *f = *state;
    make_topic_for_all(f);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 1);
    hermes_subscriber_t *member = subscriber_of(client, MEMBER);
    expect_messages(client, member, BY_WAIT, 1, 1);
    stop_broker(f, SIGKILL);
    start_broker(f);
    pause_broker(f);
    uint64_t sleeps = client->channel.sleeps;
    hermes_subscriber_close(member); /* after a while without an answer */
    assert_true(client->channel.sleeps > sleeps);
    kill(f->broker, SIGCONT);
    assert_int_equal(hermes_ping(client), 0); /* the session is as it was */
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
}

static void note(int number)
{
    (void)number;
}

static void test_a_signal_ends_a_wait_for_an_answer(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, 1);
    hermes_subscriber_t *subscriber = read_first(client, PLAIN);
    hermes_publisher_close(publisher);
    publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 2, 2);
    pause_broker(f);
    struct sigaction action = {.sa_handler = note}, before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    struct itimerval soon = {{0, 50000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    hermes_message_t message;
    int rc = hermes_wait(subscriber, &message, patience_ns);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    kill(f->broker, SIGCONT);
    assert_int_equal(rc, HERMES_EINTERRUPTED);
    expect_messages(client, subscriber, BY_WAIT, 2, 2);
    hermes_disconnect(client);
    hermes_publisher_close(publisher);
}

/* ---- answers that are not wanted ---- */

/* Says so from the second time on that it is asked: something was slept for. */
struct wish {
    int asked, says;
};

static int ask(void *context)
{
    struct wish *wish = context;
    return wish->asked++ == 0 ? 0 : wish->says;
}

static void expect_interrupted(struct wish *wish, int rc)
{
    assert_int_equal(rc, HERMES_EINTERRUPTED);
    assert_true(wish->asked > 1);
    wish->asked = 0;
}

static void interrupt_each_request(hermes_client_t *client, hermes_subscriber_t *subscriber,
                                   struct wish *wish)
{
    hermes_client_t *other = NULL;
    hermes_publisher_t *publisher = NULL;
    hermes_subscriber_t *opened = NULL;
    hermes_topic_info_t info = {.size = sizeof info};
    expect_interrupted(wish, hermes_connect(NULL, &other));
    assert_null(other);
    expect_interrupted(wish, hermes_ping(client));
    expect_interrupted(wish, hermes_topic_describe(client, "t", &info));
    expect_interrupted(wish, hermes_topic_create(client, "new", NULL));
    expect_interrupted(wish, hermes_group_delete(client, "t", "g"));
    expect_interrupted(wish, hermes_publisher_open(client, "t", NULL, &publisher));
    expect_interrupted(wish, hermes_subscriber_open(client, "t", NULL, &opened));
    expect_interrupted(wish, hermes_seek_position(subscriber, 0));
    assert_true(publisher == NULL && opened == NULL);
}

static void test_who_is_asked_ends_whatever_waits_for_an_answer(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(f->client, "t", patience_ns);
    publish(publisher, 1, SEGMENTS * 300);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    hermes_publisher_close(publisher);
    hermes_subscriber_t *reader = subscriber_of(client, PLAIN), *member = subscriber_of(client, MEMBER);
    assert_int_equal(hermes_seek_end(reader), 0);
    pause_broker(f);
    struct wish wish = {0, 1};
    hermes_interrupt_t before = hermes_set_interrupt((hermes_interrupt_t){ask, &wish});
    assert_null(before.ask);
    interrupt_each_request(client, reader, &wish);
    hermes_subscriber_close(member); /* it is closed all the same */
    assert_true(wish.asked > 1);
    kill(f->broker, SIGCONT);
    assert_ptr_equal(hermes_set_interrupt((hermes_interrupt_t){NULL, NULL}).context, &wish);
    assert_int_equal(hermes_ping(client),
                     0); /* the session went on, and nothing that was asked for is left */
    publisher = publisher_of(client, "t", patience_ns);
    publish(publisher, SEGMENTS * 300 + 1, SEGMENTS * 300 + 1);
    expect_messages(client, reader, BY_WAIT, SEGMENTS * 300 + 1, SEGMENTS * 300 + 1);
    hermes_disconnect(client);
}

static void test_a_child_that_is_asked_leaves_the_session_to_its_parent(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *client = connect_client();
    pause_broker(f);
    struct wish wish = {0, -1};
    (void)hermes_set_interrupt((hermes_interrupt_t){ask, &wish});
    expect_interrupted(&wish, hermes_ping(client));
    assert_true(client->channel.fd < 0);
    (void)hermes_set_interrupt((hermes_interrupt_t){NULL, NULL});
    kill(f->broker, SIGCONT);
    hermes_disconnect(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_segment_is_waited_for_by_who_waits),
        TEST(test_the_window_of_another_publisher_is_waited_for_by_who_waits),
        TEST(test_the_next_broker_is_waited_for_by_who_waits),
        TEST(test_a_greeting_is_waited_for_by_nobody),
        TEST(test_a_reset_group_is_waited_for_by_who_waits),
        TEST(test_an_acknowledgement_waits_for_nobody),
        TEST(test_a_publisher_that_is_not_to_wait_does_not),
        TEST(test_who_closes_beside_a_broker_that_hangs_waits_for_one_answer_at_most),
        TEST(test_who_disconnects_beside_a_broker_that_hangs_waits_for_one_answer_at_most),
        TEST(test_who_closes_beside_a_new_broker_waits_on_the_connection),
        TEST(test_a_signal_ends_a_wait_for_an_answer),
        TEST(test_who_is_asked_ends_whatever_waits_for_an_answer),
        TEST(test_a_child_that_is_asked_leaves_the_session_to_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
