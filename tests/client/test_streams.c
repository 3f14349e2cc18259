/* The client library where messages go through the connection: over TCP, with TLS on it, and over the Unix
 * socket without shared memory. */
#include "proxy.h"

#include <inttypes.h>
#include <poll.h>

/* Once for each transport. */
static int setup_tcp(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tcp", 1);
    return setup(state);
}

static int setup_tls(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tls", 1);
    return setup(state);
}

static int setup_unix(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "unix", 1);
    return setup(state);
}

static const uint64_t long_ns = 60000000000u;

static hermes_publisher_t *publish_to(struct fixture *f, const char *topic)
{
    hermes_publisher_t *publisher;
    if (hermes_publisher_open(f->client, topic, NULL, &publisher) != 0)
        fail_msg("%s", hermes_last_error(f->client));
    return publisher;
}

static hermes_subscriber_t *subscribe_from(struct fixture *f, const char *topic, enum hermes_from from)
{
    hermes_subscriber_t *subscriber;
    hermes_subscriber_options_t options = {.size = sizeof options, .from = from};
    if (hermes_subscriber_open(f->client, topic, &options, &subscriber) != 0)
        fail_msg("%s", hermes_last_error(f->client));
    return subscriber;
}

/* Message i of every topic here: its number, and so many bytes behind it. */
static size_t length_of(uint64_t i)
{
    return sizeof i + i * 37 % 1500;
}

static void publish_numbers(hermes_publisher_t *publisher, uint64_t from, uint64_t to)
{
    char payload[sizeof(uint64_t) + 1500] = {0};
    for (uint64_t i = from; i <= to; i++) {
        memcpy(payload, &i, sizeof i);
        assert_int_equal(hermes_publish(publisher, payload, length_of(i), NULL), 0);
    }
}

static void expect_number(const hermes_message_t *message, uint64_t i)
{
    uint64_t number;
    assert_int_equal(message->sequence, i);
    assert_int_equal(message->length, length_of(i));
    memcpy(&number, message->payload, sizeof number);
    assert_int_equal(number, i);
}

static void expect_numbers(hermes_subscriber_t *subscriber, uint64_t from, uint64_t to)
{
    hermes_message_t message;
    for (uint64_t i = from; i <= to; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
        expect_number(&message, i);
    }
}

static void test_what_is_published_comes(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    for (unsigned shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        make_topic(f, topic, shared);
        hermes_publisher_t *publisher = publish_to(f, topic);
        hermes_subscriber_t *live = subscribe_from(f, topic, HERMES_FROM_END);
        publish_numbers(publisher, 1, 1000);
        expect_numbers(live, 1, 1000);
        assert_int_equal(hermes_poll(live, &message), 0);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, long_ns), 0);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), 1000);
        assert_int_equal(hermes_publisher_accepted(publisher), 1000);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_subscriber_t *late = subscribe_from(f, topic, HERMES_FROM_FIRST);
        expect_numbers(late, 1, 1000);
        hermes_subscriber_close(late);
    }
}

static hermes_client_t *connect_to(const char *format, unsigned port)
{
    char url[128];
    hermes_client_t *client;
    snprintf(url, sizeof url, format, port);
    if (hermes_connect(url, &client) != 0)
        fail_msg("%s", hermes_last_error(NULL));
    return client;
}

/* ---- publishing ---- */

static void test_every_way_to_publish(void **state)
{
    struct fixture *f = *state;
    uint64_t sequence, number = 2, times[] = {7, 5};
    char payload[sizeof number + 1500] = {0};
    hermes_message_t message;
    void *room;
    make_topic(f, "ways", false);
    hermes_publisher_t *publisher = publish_to(f, "ways");
    hermes_subscriber_t *subscriber = subscribe_from(f, "ways", HERMES_FROM_END);

    publish_numbers(publisher, 1, 1);
    memcpy(payload, &number, sizeof number);
    assert_int_equal(hermes_publish_at(publisher, 77, payload, length_of(2), &sequence), 0);
    assert_int_equal(sequence, 2);
    assert_int_equal(hermes_claim(publisher, length_of(3), &room), 0);
    assert_int_equal(hermes_publish(publisher, payload, 8, NULL), HERMES_EINVALID);
    hermes_abort(publisher);
    assert_int_equal(hermes_claim(publisher, length_of(3), &room), 0);
    memset(room, 0, length_of(3));
    memcpy(room, &(uint64_t){3}, sizeof(uint64_t));
    assert_int_equal(hermes_commit(publisher, &sequence), 0);
    assert_int_equal(sequence, 3);
    hermes_slice_t slices[] = {{payload, length_of(4)}, {payload, length_of(5)}};
    assert_int_equal(hermes_publish_batch_at(publisher, times, slices, 2), 2);
    assert_int_equal(hermes_publish(publisher, payload, HERMES_PAYLOAD_MAX + 1, NULL), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish_at(publisher, 0, payload, 8, NULL), HERMES_EINVALID);
    assert_int_equal(hermes_publisher_accepted(publisher), 5);
    assert_int_equal(hermes_publisher_wait_for(publisher, 3, HERMES_COMMITTED, long_ns), 0);
    assert_int_equal(hermes_publisher_wait_for(publisher, 6, HERMES_COMMITTED, 0), HERMES_EINVALID);

    expect_numbers(subscriber, 1, 1);
    assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
    expect_number(&message, 2);
    assert_int_equal(message.timestamp, 77);
    expect_numbers(subscriber, 3, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
        assert_int_equal(message.sequence, 4 + i);
        assert_int_equal(message.timestamp, times[i]);
    }
}

/* More than all that is on its way at a time: the ring, the credit, the sockets. */
static void test_a_batch_larger_than_what_may_be_on_its_way(void **state)
{
    enum { COUNT = 300 };
    struct fixture *f = *state;
    static char payload[HERMES_PAYLOAD_MAX];
    static hermes_slice_t slices[COUNT];
    make_topic(f, "large", true);
    hermes_publisher_t *publisher = publish_to(f, "large");
    for (size_t i = 0; i < COUNT; i++)
        slices[i] = (hermes_slice_t){payload, i % 3 == 0 ? sizeof payload : i};
    assert_int_equal(hermes_publish_batch(publisher, slices, COUNT), COUNT);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, long_ns), 0);
    hermes_subscriber_t *subscriber = subscribe_from(f, "large", HERMES_FROM_FIRST);
    for (size_t i = 0; i < COUNT; i++) {
        hermes_message_t message;
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
        assert_int_equal(message.sequence, i + 1);
        assert_int_equal(message.length, slices[i].length);
    }
}

static void note(void *context, uint64_t sequence)
{
    *(uint64_t *)context = sequence;
}

static void test_a_sync_topic_is_on_disk_when_publish_returns(void **state)
{
    struct fixture *f = *state;
    uint64_t durable = 0;
    make_topic_of(f, "sync", true, HERMES_DURABILITY_SYNC);
    hermes_publisher_t *publisher = publish_to(f, "sync");
    for (uint64_t i = 1; i <= 5; i++) {
        publish_numbers(publisher, i, i);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), i);
    }
    hermes_publisher_t *other;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = HERMES_PUBLISH_NO_WAIT};
    assert_int_equal(hermes_publisher_open(f->client, "sync", &options, &other), 0);
    hermes_publisher_notify(other, HERMES_DURABLE, note, &durable);
    publish_numbers(other, 1, 9);
    while (durable < 9)
        assert_true(hermes_publisher_poll(other) >= 0);
    make_topic_of(f, "memory", true, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *memory = publish_to(f, "memory");
    publish_numbers(memory, 1, 1);
    assert_int_equal(hermes_publisher_wait(memory, HERMES_COMMITTED, long_ns), 0);
    assert_int_equal(hermes_publisher_wait(memory, HERMES_DURABLE, 0), HERMES_ENOTSUP);
}

static void test_an_exclusive_topic_has_one_publisher(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *second;
    make_topic(f, "mine", false);
    hermes_publisher_t *first = publish_to(f, "mine");
    assert_int_equal(hermes_publisher_open(f->client, "mine", NULL, &second), HERMES_EBUSY);
    assert_int_equal(hermes_publisher_close(first), 0);
    assert_int_equal(hermes_publisher_open(f->client, "mine", NULL, &second), 0);
}

/* ---- reading ---- */

static void test_begins_where_it_is_told(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    uint64_t position[21], number;
    char payload[sizeof number + 1500] = {0};
    make_topic(f, "places", false);
    hermes_publisher_t *publisher = publish_to(f, "places");
    for (number = 1; number <= 20; number++) {
        memcpy(payload, &number, sizeof number);
        assert_int_equal(hermes_publish_at(publisher, number * 10, payload, length_of(number), NULL), 0);
    }
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    hermes_subscriber_t *subscriber = subscribe_from(f, "places", HERMES_FROM_FIRST);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
        expect_number(&message, i);
        position[i] = message.position;
    }
    assert_int_equal(hermes_seek_first(subscriber), 0);
    expect_numbers(subscriber, 1, 2);
    assert_int_equal(hermes_seek_sequence(subscriber, 11), 0);
    expect_numbers(subscriber, 11, 12);
    assert_int_equal(hermes_seek_time(subscriber, 155), 0);
    expect_numbers(subscriber, 16, 20);
    assert_int_equal(hermes_seek_position(subscriber, position[5]), 0);
    expect_numbers(subscriber, 5, 6);
    /* What is refused changes nothing. */
    assert_int_equal(hermes_seek_position(subscriber, position[5] + 1), HERMES_EINVALID);
    assert_int_equal(hermes_seek_position(subscriber, UINT64_C(1) << 40), HERMES_ENOTFOUND);
    expect_numbers(subscriber, 7, 7);
    assert_int_equal(hermes_seek_end(subscriber), 0);
    assert_int_equal(hermes_poll(subscriber, &message), 0);
    publish_numbers(publisher, 21, 21);
    expect_numbers(subscriber, 21, 21);
    /* What does not exist yet comes when it does, and nothing before. */
    assert_int_equal(hermes_seek_sequence(subscriber, 23), 0);
    publish_numbers(publisher, 22, 24);
    expect_numbers(subscriber, 23, 24);
}

/* It reads nothing while more is published than is on its way to it at most; nothing of that is lost. */
static void test_a_slow_subscriber_misses_nothing_that_is_stored(void **state)
{
    enum { COUNT = 4000 }; /* 3 MB */
    struct fixture *f = *state;
    make_topic(f, "stored", false);
    hermes_publisher_t *publisher = publish_to(f, "stored");
    hermes_subscriber_t *slow = subscribe_from(f, "stored", HERMES_FROM_END);
    publish_numbers(publisher, 1, COUNT);
    expect_numbers(slow, 1, COUNT);
}

static void test_what_was_overwritten_is_told_and_counted(void **state)
{
    enum { COUNT = 4000 };
    struct fixture *f = *state;
    hermes_message_t message;
    uint64_t read = 0, last = 0;
    unsigned gone = 0;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    make_topic_of(f, "memory", false, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publish_to(f, "memory");
    hermes_subscriber_t *slow = subscribe_from(f, "memory", HERMES_FROM_END);
    publish_numbers(publisher, 1, COUNT);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    while (last < COUNT) {
        int rc = hermes_wait(slow, &message, long_ns);
        gone += rc == HERMES_EGONE;
        assert_true(rc == 1 || rc == HERMES_EGONE);
        if (rc != 1)
            continue;
        assert_true(message.sequence > last);
        last = message.sequence;
        expect_number(&message, last);
        read++;
    }
    assert_int_equal(hermes_subscriber_describe(slow, &told), 0);
    assert_true(gone > 0);
    assert_int_equal(told.lost + read, COUNT);
}

static int count_up(void *context, const hermes_message_t *message)
{
    uint64_t *next = context;
    expect_number(message, (*next)++);
    return *next % 10 == 0;
}

static void test_many_at_a_time(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 1;
    make_topic(f, "many", false);
    hermes_publisher_t *publisher = publish_to(f, "many");
    hermes_subscriber_t *subscriber = subscribe_from(f, "many", HERMES_FROM_END);
    publish_numbers(publisher, 1, 95);
    while (next <= 95)
        assert_true(hermes_poll_many(subscriber, 7, count_up, &next) >= 0);
}

/* ---- event loops ---- */

static void await_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 60000), 1);
}

static void expect_by_loop(hermes_subscriber_t *subscriber, uint64_t from, uint64_t to)
{
    hermes_message_t message;
    for (uint64_t i = from; i <= to;) {
        int rc = hermes_poll(subscriber, &message);
        assert_true(rc >= 0);
        if (rc == 1)
            expect_number(&message, i++);
        else if (hermes_subscriber_arm(subscriber) == 0)
            await_readable(hermes_subscriber_fd(subscriber));
    }
}

/* Both of one client: what one of them takes off the connection for the other wakes that. */
static void test_descriptors_for_event_loops(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    hermes_client_t *writer;
    hermes_publisher_t *publisher;
    make_topic(f, "events", false);
    assert_int_equal(hermes_connect(NULL, &writer), 0);
    assert_int_equal(hermes_publisher_open(writer, "events", NULL, &publisher), 0);
    hermes_subscriber_t *one = subscribe_from(f, "events", HERMES_FROM_END);
    hermes_subscriber_t *other = subscribe_from(f, "events", HERMES_FROM_END);
    assert_int_equal(hermes_subscriber_arm(one), 0);
    assert_int_equal(hermes_subscriber_arm(other), 0);
    assert_int_not_equal(hermes_subscriber_fd(one), hermes_subscriber_fd(other));
    publish_numbers(publisher, 1, 1);
    expect_numbers(one, 1, 1);
    await_readable(hermes_subscriber_fd(other));
    expect_by_loop(other, 1, 1);
    publish_numbers(publisher, 2, 50);
    expect_by_loop(one, 2, 50);
    expect_by_loop(other, 2, 50);
    assert_int_equal(hermes_poll(other, &message), 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    publish_numbers(publisher, 51, 60);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    expect_by_loop(one, 51, 60);
    expect_by_loop(other, 51, 60);
    assert_int_equal(hermes_disconnect(writer), 0);
}

/* ---- administration ---- */

static void test_topics_and_groups_are_administered(void **state)
{
    struct fixture *f = *state;
    hermes_topic_info_t info = {.size = sizeof info}, infos[4] = {{.size = sizeof info}};
    hermes_broker_info_t broker = {.size = sizeof broker};
    make_topic(f, "a", true);
    make_topic(f, "b", true);
    assert_int_equal(hermes_topic_create(f->client, "b", NULL), HERMES_EEXISTS);
    assert_int_equal(hermes_topic_list(f->client, "", infos, 4), 2);
    assert_string_equal(infos[1].name, "b");
    assert_int_equal(hermes_topic_list_unserved(f->client, "", infos, 4), 0);
    hermes_topic_options_t options = {.size = sizeof options, .keep_bytes = 1 << 30};
    assert_int_equal(hermes_topic_alter(f->client, "a", HERMES_ALTER_KEEP_BYTES, &options), 0);
    assert_int_equal(hermes_topic_describe(f->client, "a", &info), 0);
    assert_int_equal(info.keep_bytes, 1 << 30);
    hermes_publisher_t *publisher = publish_to(f, "a");
    publish_numbers(publisher, 1, 3);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    assert_int_equal(hermes_topic_purge(f->client, "a"), 0);
    assert_int_equal(hermes_topic_describe(f->client, "a", &info), 0);
    assert_int_equal(info.first_position, info.committed_position);
    hermes_group_options_t group = {.size = sizeof group, .lease_ns = 20000000};
    hermes_group_info_t of_group = {.size = sizeof of_group};
    assert_int_equal(hermes_group_create(f->client, "a", "g", &group), 0);
    group.lease_ns = 30000000;
    assert_int_equal(hermes_group_alter(f->client, "a", "g", HERMES_GROUP_LEASE, &group), 0);
    assert_int_equal(hermes_group_describe(f->client, "a", "g", &of_group), 0);
    assert_int_equal(of_group.lease_ns, 30000000);
    assert_int_equal(hermes_group_list(f->client, "a", "", &of_group, 1), 1);
    assert_int_equal(hermes_group_delete(f->client, "a", "g"), 0);
    delete_topic(f, "a");
    assert_int_equal(hermes_topic_describe(f->client, "a", &info), HERMES_ENOTFOUND);
    assert_int_equal(hermes_broker_describe(f->client, &broker), 0);
    assert_int_equal(broker.pid, f->broker);
    assert_int_equal(hermes_ping(f->client), 0);
}

static void test_what_is_not_possible_says_so(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *subscriber;
    hermes_verification_t result = {.size = sizeof result};
    make_topic(f, "t", true);
    const hermes_subscriber_options_t durable = {.size = sizeof durable, .name = "n"};
    const hermes_subscriber_options_t waited_for = {.size = sizeof waited_for,
                                                    .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    assert_int_equal(hermes_subscriber_open(f->client, "t", &waited_for, &subscriber), HERMES_EINVALID);
    assert_int_equal(hermes_subscriber_open(f->client, "t", &durable, &subscriber), 0);
    assert_int_equal(hermes_seek_first(subscriber), HERMES_ENOTSUP);
    assert_non_null(strstr(hermes_last_error(f->client), "connection"));
    assert_int_equal(hermes_topic_verify(f->client, "t", NULL, NULL, &result), HERMES_ENOTSUP);
    assert_non_null(strstr(hermes_last_error(f->client), "connection"));
    assert_int_equal(hermes_ping(f->client), 0);
}

static void test_a_deleted_topic_says_so(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_topic(f, "gone", true);
    hermes_publisher_t *publisher = publish_to(f, "gone");
    hermes_subscriber_t *subscriber = subscribe_from(f, "gone", HERMES_FROM_END);
    publish_numbers(publisher, 1, 2);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    delete_topic(f, "gone");
    expect_numbers(subscriber, 1, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), HERMES_ECLOSED);
    make_topic(f, "gone", true);
    assert_int_equal(hermes_wait(subscriber, &message, 0), HERMES_ECLOSED);
    assert_int_equal(hermes_seek_first(subscriber), HERMES_ECLOSED);
}

/* ---- brokers that come and go ---- */

static void go_on_through(struct fixture *f, const char *topic, int signal_number)
{
    hermes_publisher_t *publisher = publish_to(f, topic);
    hermes_subscriber_t *subscriber = subscribe_from(f, topic, HERMES_FROM_END);
    for (uint64_t i = 0; i < 3; i++) {
        publish_numbers(publisher, i * 100 + 1, i * 100 + 100);
        expect_numbers(subscriber, i * 50 + 1, i * 50 + 50);
        stop_broker(f, signal_number);
        start_broker(f);
    }
    publish_numbers(publisher, 301, 400);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    assert_int_equal(hermes_publisher_accepted(publisher), 400);
    expect_numbers(subscriber, 151, 400);
    assert_int_equal(hermes_publisher_close(publisher), 0);
}

static void test_goes_on_when_the_broker_is_killed(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "shared", true);
    make_topic(f, "exclusive", false);
    go_on_through(f, "shared", SIGKILL);
    go_on_through(f, "exclusive", SIGKILL);
}

/* Also where the broker ends between the two, and nothing more is published. */
static void test_what_is_committed_becomes_durable(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", true);
    hermes_publisher_t *publisher = publish_to(f, "t");
    for (uint64_t i = 1; i <= 5; i++) {
        publish_numbers(publisher, i, i);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
        stop_broker(f, SIGKILL);
        start_broker(f);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, long_ns), 0);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), i);
    }
}

static void test_goes_on_when_the_broker_is_stopped_in_order(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "shared", true);
    make_topic(f, "exclusive", false);
    go_on_through(f, "shared", SIGTERM);
    go_on_through(f, "exclusive", SIGTERM);
}

static void test_without_a_broker_nothing_waits_that_was_not_asked_to(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    make_topic(f, "t", true);
    hermes_publisher_t *publisher = publish_to(f, "t");
    hermes_subscriber_t *subscriber = subscribe_from(f, "t", HERMES_FROM_END);
    publish_numbers(publisher, 1, 1);
    expect_numbers(subscriber, 1, 1);
    stop_broker(f, SIGKILL);
    while (hermes_is_connected(f->client)) /* for some milliseconds it looks alive */
        assert_int_equal(hermes_poll(subscriber, &message), 0);
    assert_int_equal(hermes_wait(subscriber, &message, 1000000), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_subscriber_describe(subscriber, &told), 0);
    assert_int_equal(told.awaits_broker, 1);
    assert_int_equal(hermes_is_connected(f->client), 0);
    hermes_publisher_set_wait(publisher, 0);
    /* Taken: it goes out once a broker comes back; and nothing more is taken as long as it has not. */
    assert_int_equal(hermes_publish(publisher, "late", 4, NULL), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_publish(publisher, "more", 4, NULL), HERMES_EAGAIN);
    assert_int_equal(hermes_publisher_accepted(publisher), 2);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, 1000000), HERMES_ETIMEOUT);
    start_broker(f);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, long_ns), 0);
    assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
    assert_int_equal(message.sequence, 2);
    assert_memory_equal(message.payload, "late", 4);
    assert_int_equal(hermes_is_connected(f->client), 1);
}

static void test_memory_topics_begin_anew_after_a_stop(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "memory", true, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publish_to(f, "memory");
    hermes_subscriber_t *subscriber = subscribe_from(f, "memory", HERMES_FROM_END);
    publish_numbers(publisher, 1, 100);
    expect_numbers(subscriber, 1, 100);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    stop_broker(f, SIGTERM);
    start_broker(f);
    publisher = publish_to(f, "memory");
    publish_numbers(publisher, 1, 10);
    expect_numbers(subscriber, 1, 10);
}

/* ---- places ---- */

static void test_places_are_tried_in_turn(void **state)
{
    struct fixture *f = *state;
    char format[128];
    hermes_client_t *client;
    struct fixture nobody = {.port_fd = 0};
    reserve_port(&nobody);
    snprintf(format, sizeof format, "tcp://127.0.0.1:%u,tcp://localhost:%%u?shm=no", nobody.port);
    client = connect_to(format, f->port);
    assert_int_equal(hermes_ping(client), 0);
    hermes_disconnect(client);
    snprintf(format, sizeof format, "tcp://127.0.0.1:%u,unix:%s/broker.sock?shm=no", nobody.port, f->home);
    client = connect_to(format, 0);
    assert_int_equal(hermes_ping(client), 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    assert_int_equal(hermes_ping(client), 0);
    hermes_disconnect(client);
    snprintf(format, sizeof format, "tcp://127.0.0.1:%u", nobody.port);
    assert_int_equal(hermes_connect(format, &client), HERMES_EDISCONNECTED);
    assert_non_null(strstr(hermes_last_error(NULL), format));
    close(nobody.port_fd);
}

/* ---- connections that are cut ---- */

static void test_connections_cut_at_random_bytes(void **state)
{
    struct fixture *f = *state;
    struct proxy proxy;
    uint64_t seed = (uint64_t)time(NULL) * 2654435761u | 1;
    bool encrypted = strcmp(transport(), "tls") == 0;
    const uint64_t count = getenv("HERMES_TEST_LONG") != NULL ? 20000 : encrypted ? 500 : 1500;
    print_message("seed %" PRIu64 "\n", seed);
    make_topic(f, "cut", true);
    proxy_start(&proxy, f->port);
    hermes_client_t *own = f->client,
                    *client = connect_to(
                        encrypted ? "tls://127.0.0.1:%u?shm=no" : "tcp://127.0.0.1:%u?shm=no", proxy.port);
    f->client = client;
    hermes_publisher_t *publisher = publish_to(f, "cut");
    hermes_subscriber_t *subscriber = subscribe_from(f, "cut", HERMES_FROM_END);
    atomic_store(&proxy.most, encrypted ? 20000 : 60000); /* a handshake is some 3,000 */
    atomic_store(&proxy.seed, seed);
    stop_broker(f, SIGKILL); /* so the connection that was there before is over */
    start_broker(f);
    for (uint64_t i = 1; i <= count; i += 10) {
        publish_numbers(publisher, i, i + 9);
        expect_numbers(subscriber, i, i + 9);
    }
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, long_ns), 0);
    assert_int_equal(hermes_publisher_accepted(publisher), count);
    print_message("%u cuts\n", atomic_load(&proxy.cuts));
    assert_int_equal(hermes_disconnect(client), 0);
    f->client = own;
    proxy_stop(&proxy);
    hermes_subscriber_t *all = subscribe_from(f, "cut", HERMES_FROM_FIRST);
    expect_numbers(all, 1, count);
}

int main(void)
{
#define BOTH(test)                                                                                           \
    cmocka_unit_test_setup_teardown(test, setup_tcp, teardown),                                              \
        cmocka_unit_test_setup_teardown(test, setup_unix, teardown)
#define TCP(test) cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)
#define TLS(test) cmocka_unit_test_setup_teardown(test, setup_tls, teardown)
    const struct CMUnitTest tests[] = {
        BOTH(test_what_is_published_comes),
        BOTH(test_every_way_to_publish),
        TCP(test_a_batch_larger_than_what_may_be_on_its_way),
        TCP(test_a_sync_topic_is_on_disk_when_publish_returns),
        TCP(test_an_exclusive_topic_has_one_publisher),
        BOTH(test_begins_where_it_is_told),
        BOTH(test_a_slow_subscriber_misses_nothing_that_is_stored),
        BOTH(test_what_was_overwritten_is_told_and_counted),
        TCP(test_many_at_a_time),
        BOTH(test_descriptors_for_event_loops),
        BOTH(test_topics_and_groups_are_administered),
        BOTH(test_what_is_not_possible_says_so),
        BOTH(test_a_deleted_topic_says_so),
        BOTH(test_goes_on_when_the_broker_is_killed),
        TCP(test_what_is_committed_becomes_durable),
        TCP(test_goes_on_when_the_broker_is_stopped_in_order),
        BOTH(test_without_a_broker_nothing_waits_that_was_not_asked_to),
        TCP(test_memory_topics_begin_anew_after_a_stop),
        TCP(test_places_are_tried_in_turn),
        TCP(test_connections_cut_at_random_bytes),
        TLS(test_what_is_published_comes),
        TLS(test_a_batch_larger_than_what_may_be_on_its_way),
        TLS(test_a_slow_subscriber_misses_nothing_that_is_stored),
        TLS(test_descriptors_for_event_loops),
        TLS(test_goes_on_when_the_broker_is_killed),
        TLS(test_without_a_broker_nothing_waits_that_was_not_asked_to),
        TLS(test_connections_cut_at_random_bytes),
    };
    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
