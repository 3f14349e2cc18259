/* Push-back topics against a real broker: publishers wait for who asked for it, and for nobody else. */
#include "fixture.h"

#include <pthread.h>

static const uint64_t patience_ns = 60000000000u;
static const uint64_t blink_ns = 20000000; /* for what must not happen; what must is waited for otherwise */
enum { WINDOW = 256 * 1024, PAYLOAD = 1000, PATIENCE_MS = 60000 };
enum { SENT_MOST = 1024 * 1024 }; /* over a connection may be sent and not read yet (subscriber.h) */

static void make_push_back(struct fixture *f, bool shared, enum hermes_durability durability)
{
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = durability,
                                      .shared = shared,
                                      .window_bytes = WINDOW,
                                      .segment_bytes = 1024 * 1024,
                                      .push_back = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
}

static hermes_subscriber_t *subscribe(hermes_client_t *client, uint32_t from)
{
    hermes_subscriber_t *s;
    hermes_subscriber_options_t options = {
        .size = sizeof options, .from = from, .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    int rc = hermes_subscriber_open(client, "t", &options, &s);
    if (rc != 0)
        fail_msg("%s", hermes_last_error(client));
    return s;
}

static hermes_publisher_t *publisher_of(hermes_client_t *client, uint64_t wait_ns)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
    hermes_publisher_set_wait(publisher, wait_ns);
    return publisher;
}

static int publish(hermes_publisher_t *publisher, uint64_t number)
{
    uint8_t payload[PAYLOAD] = {0};
    memcpy(payload, &number, sizeof number);
    return hermes_publish(publisher, payload, sizeof payload, NULL);
}

/* Publishes until there is no room for whatever reason; the number of the last. */
static uint64_t publish_what_fits(struct fixture *f, hermes_publisher_t *publisher, uint64_t last)
{
    int rc;
    while ((rc = publish(publisher, last + 1)) == 0)
        if (++last > 100000)
            fail_msg("nobody was waited for");
    if (rc != HERMES_EAGAIN)
        fail_msg("%d: %s", rc, hermes_last_error(f->client));
    return last;
}

static hermes_topic_info_t describe(struct fixture *f)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc;
    while ((rc = hermes_topic_describe(f->client, "t", &info)) == HERMES_EDISCONNECTED) /* a new broker */
        ;
    assert_int_equal(rc, 0);
    return info;
}

/* The broker has gone round once, and the store, of a topic that has one, is not behind. */
static void await_persister(struct fixture *f)
{
    hermes_topic_info_t info;
    do
        info = describe(f);
    while (info.durability != HERMES_DURABILITY_MEMORY && info.persisted_position < info.committed_position);
}

/* Publishes until there is no room, and it is neither the store nor the broker that has to make some. */
static uint64_t fill(struct fixture *f, hermes_publisher_t *publisher, uint64_t last)
{
    uint64_t before;
    do {
        await_persister(f);
        before = last;
        last = publish_what_fits(f, publisher, last);
    } while (last > before);
    return last;
}

static void read_all(hermes_subscriber_t *s, uint64_t first, uint64_t last)
{
    hermes_message_t message;
    for (uint64_t i = first; i <= last; i++) {
        uint64_t number;
        assert_int_equal(hermes_wait(s, &message, patience_ns), 1);
        memcpy(&number, message.payload, sizeof number);
        assert_int_equal(number, i);
    }
}

/* While it reads it tells publishers where it is now and then; who finds nothing more says it exactly. */
static void read_nothing(hermes_subscriber_t *s)
{
    hermes_message_t message;
    assert_int_equal(hermes_poll(s, &message), 0);
}

static void test_refuses(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *s;
    hermes_client_t *clients[65];
    make_topic(f, "plain", false);
    make_push_back(f, false, HERMES_DURABILITY_MEMORY);
    hermes_subscriber_options_t options = {.size = sizeof options, .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    assert_int_equal(hermes_subscriber_open(f->client, "plain", &options, &s), HERMES_EINVALID);
    assert_non_null(strstr(hermes_last_error(f->client), "--push-back"));
    options.group = "g";
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &s), HERMES_EINVALID);
    options.group = NULL;
    options.flags = 2;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &s), HERMES_ENOTSUP);
    for (int i = 0; i < 65; i++) { /* a session each: one has 64 handles */
        assert_int_equal(hermes_connect(NULL, &clients[i]), 0);
        options.flags = HERMES_SUBSCRIBE_PUSH_BACK;
        assert_int_equal(hermes_subscriber_open(clients[i], "t", &options, &s), i < 64 ? 0 : HERMES_ELIMIT);
    }
    assert_int_equal(describe(f).push_back, 1);
    assert_int_equal(describe(f).waited_for, 64);
    for (int i = 0; i < 65; i++)
        hermes_disconnect(clients[i]);
}

static void wait_and_go_on(struct fixture *f)
{
    hermes_client_t *other;
    assert_int_equal(hermes_connect(NULL, &other), 0);
    hermes_subscriber_t *slow = subscribe(f->client, HERMES_FROM_END),
                        *fast = subscribe(other, HERMES_FROM_END);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    uint64_t last = 0;
    for (int lap = 0; lap < 5; lap++) {
        uint64_t before = last;
        last = fill(f, publisher, last);
        /* What one has read is of no use while the other has not. (Of a shared topic, the rest is still in
         * the producer's ring.) */
        uint64_t there = before + WINDOW / 2 / PAYLOAD;
        read_all(fast, before + 1, there);
        uint64_t more = fill(f, publisher, last);
        if (transport() == NULL) /* else the other's connection may have been what took no more */
            assert_int_equal(more, last);
        last = more;
        read_all(slow, before + 1, there);
        for (uint64_t i = there + 1; i <= last; i++) {
            read_all(slow, i, i);
            read_all(fast, i, i);
        }
        read_nothing(slow);
        read_nothing(fast);
    }
    /* All that fits a window (and the producer's ring, and connections), and not much more, is under way at a
     * time. */
    uint64_t most = 3 * WINDOW + (transport() != NULL ? SENT_MOST : 0);
    assert_in_range(last, 5 * WINDOW / 2 / PAYLOAD, 5 * most / PAYLOAD);
    hermes_subscriber_close(slow); /* nobody waits for it any more */
    last++;
    hermes_publisher_set_wait(publisher, patience_ns);
    for (int i = 0; i < 1000; i++, last++) {
        assert_int_equal(publish(publisher, last), 0);
        read_all(fast, last, last);
    }
    hermes_disconnect(other);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, last + (uint64_t)i), 0);
}

static void test_exclusive_memory(void **state)
{
    make_push_back(*state, false, HERMES_DURABILITY_MEMORY);
    wait_and_go_on(*state);
}

static void test_exclusive_stored(void **state)
{
    make_push_back(*state, false, HERMES_DURABILITY_ASYNC);
    wait_and_go_on(*state);
}

static void test_shared_memory(void **state)
{
    make_push_back(*state, true, HERMES_DURABILITY_MEMORY);
    wait_and_go_on(*state);
}

static void test_shared_stored(void **state)
{
    make_push_back(*state, true, HERMES_DURABILITY_ASYNC);
    wait_and_go_on(*state);
}

struct reading {
    uint64_t count;
    pid_t publisher;
};

static void *read_slowly(void *argument)
{
    struct reading *reading = argument;
    hermes_client_t *client;
    if (hermes_connect(NULL, &client) < 0)
        return NULL;
    hermes_subscriber_t *s = subscribe(client, HERMES_FROM_FIRST);
    hermes_message_t message;
    uint64_t number = 0;
    while (number < reading->count && hermes_wait(s, &message, patience_ns) == 1) {
        uint64_t next;
        memcpy(&next, message.payload, sizeof next);
        assert_int_equal(next, number + 1);
        number = next;
        if (number % 100 == 0 && number < reading->count / 2)
            await_sleep(getpid(), reading->publisher); /* which has more to say than fits */
    }
    assert_int_equal(number, reading->count);
    hermes_disconnect(client);
    return NULL;
}

/* The publisher sleeps each time that there is no room, and is woken when there is. */
static void test_sleeping_publisher(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, false, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publisher_of(f->client, patience_ns);
    struct reading reading = {10000, gettid()};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reading), 0);
    while (describe(f).waited_for == 0)
        ;
    for (uint64_t i = 1; i <= reading.count; i++)
        assert_int_equal(publish(publisher, i), 0);
    /* Over a connection, what there was no credit for goes with a later call. */
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
    pthread_join(thread, NULL);
}

/* A process of its own that subscribes, says so, and does nothing more. */
static pid_t start_idle_subscriber(void)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = test_fork();
    if (child == 0) {
        hermes_client_t *client;
        hermes_subscriber_t *s;
        hermes_subscriber_options_t options = {.size = sizeof options, .flags = HERMES_SUBSCRIBE_PUSH_BACK};
        char said =
            hermes_connect(NULL, &client) == 0 && hermes_subscriber_open(client, "t", &options, &s) == 0;
        (void)!write(pipes[1], &said, 1);
        for (;;)
            pause();
    }
    char said = 0;
    assert_int_equal(read(pipes[0], &said, 1), 1);
    assert_int_equal(said, 1);
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

static void reap(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_dead_subscriber_stops_counting(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, false, HERMES_DURABILITY_ASYNC);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    pid_t child = start_idle_subscriber();
    uint64_t last = fill(f, publisher, 0);
    kill(child, SIGSTOP); /* hanging is not dying */
    assert_int_equal(fill(f, publisher, last), last);
    if (transport() == NULL) /* whom the broker waits for, who is not on its host does not see */
        assert_non_null(strstr(hermes_last_error(f->client), "a subscriber that is waited for is behind"));
    reap(child);
    hermes_publisher_set_wait(publisher, patience_ns);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, ++last), 0);
}

/* Of the brokers that are started from now on. */
static void set_grace(struct fixture *f, unsigned grace_ms)
{
    char path[128];
    snprintf(path, sizeof path, "%s/hermes.conf", f->home);
    FILE *file = fopen(path, "a"); /* beside where it listens */
    assert_non_null(file);
    fprintf(file, "[broker]\ngrace_ms = %u\n", grace_ms);
    assert_int_equal(fclose(file), 0);
}

/* A crash of the broker changes nothing, for the grace: who is behind is waited for. */
static void test_killed_broker(void **state)
{
    struct fixture *f = *state;
    if (transport() == NULL) /* else who comes back has another place, and the former one counts so long */
        set_grace(f, PATIENCE_MS);
    make_push_back(f, false, HERMES_DURABILITY_ASYNC);
    hermes_subscriber_t *s = subscribe(f->client, HERMES_FROM_END);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    uint64_t last = fill(f, publisher, 0);
    stop_broker(f, SIGKILL);
    read_all(s, 1, 10);
    uint64_t more = publish_what_fits(f, publisher, last);
    if (transport() == NULL)
        assert_in_range(more - last, 1, 20); /* in place of the ten */
    else
        assert_int_equal(more, last); /* it is the broker that would say that there is room */
    last = more;
    start_broker(f);
    more = fill(f, publisher, last);
    if (transport() == NULL)
        assert_int_equal(more, last);
    last = more; /* else the ten's room is known by now, or its connection was not there again at first */
    read_all(s, 11, last);
    uint64_t before = last;
    last = fill(f, publisher, last);
    assert_true(last > before);
    assert_int_equal(describe(f).waited_for, 1);
    read_all(s, before + 1, last);
}

static void test_who_dies_with_the_broker_is_waited_for_no_longer_than_the_grace(void **state)
{
    struct fixture *f = *state;
    set_grace(f, 100);
    make_push_back(f, false, HERMES_DURABILITY_ASYNC);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    pid_t child = start_idle_subscriber();
    uint64_t last = fill(f, publisher, 0);
    stop_broker(f, SIGKILL);
    reap(child);
    start_broker(f);
    hermes_publisher_set_wait(publisher, patience_ns);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, ++last), 0);
}

/* Who lives and does nothing for that long may be overtaken, as who has died; what it does then counts again.
 */
static void test_who_is_silent_for_the_grace_is_overtaken_until_it_polls(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    if (transport() != NULL)
        skip(); /* nobody is waited for whose connection broke, and it has what was sent */
    set_grace(f, 100);
    make_push_back(f, false, HERMES_DURABILITY_MEMORY);
    hermes_subscriber_t *s = subscribe(f->client, HERMES_FROM_END);
    hermes_client_t *other;
    assert_int_equal(hermes_connect(NULL, &other), 0);
    hermes_publisher_t *publisher = publisher_of(other, blink_ns);
    uint64_t last = fill(f, publisher, 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    hermes_publisher_set_wait(publisher, patience_ns);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, ++last), 0);
    assert_int_equal(poll_until_told(s, &message), HERMES_EGONE);
    while (describe(f).waited_for == 0)
        assert_in_range(hermes_poll(s, &message), 0, 1);
    hermes_publisher_set_wait(publisher, blink_ns);
    last = fill(f, publisher, last); /* and that it waits for it */
    assert_int_equal(describe(f).waited_for, 1);
    hermes_disconnect(other);
}

/* Whether it acks makes no difference: what it has read may be overwritten. */
static void test_a_durable_subscription_is_waited_for_too(void **state)
{
    struct fixture *f = *state;
    if (transport() != NULL)
        skip(); /* test_far_members.c */
    make_push_back(f, false, HERMES_DURABILITY_MEMORY);
    const hermes_subscriber_options_t options = {.size = sizeof options,
                                                 .name = "desk",
                                                 .ack = HERMES_ACK_MANUAL,
                                                 .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    hermes_subscriber_t *s;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &s), 0);
    hermes_publisher_t *publisher = publisher_of(f->client, 0);
    uint64_t last = fill(f, publisher, 0);
    read_all(s, 1, last);
    read_nothing(s);
    uint64_t next = fill(f, publisher, last);
    assert_true(next > last);
    read_all(s, last + 1, next);
    hermes_subscriber_close(s);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, ++next), 0);
}

static void test_stopped_broker(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, false, HERMES_DURABILITY_ASYNC);
    hermes_subscriber_t *s = subscribe(f->client, HERMES_FROM_END);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    uint64_t last = fill(f, publisher, 0);
    stop_broker(f, SIGTERM);
    start_broker(f);
    hermes_publisher_set_wait(publisher, patience_ns);
    assert_int_equal(publish(publisher, ++last), 0);
    read_all(s, 1, last);
    assert_int_equal(describe(f).waited_for, 1);
    hermes_publisher_set_wait(publisher, blink_ns);
    uint64_t before = last;
    last = fill(f, publisher, last);
    assert_true(last > before);
    read_all(s, before + 1, last);
}

/* Who reads history from the store is not waited for, until it is through. */
static void test_history(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, false, HERMES_DURABILITY_ASYNC);
    hermes_publisher_t *publisher = publisher_of(f->client, patience_ns);
    uint64_t last = 0;
    while (last < 3000)
        assert_int_equal(publish(publisher, ++last), 0);
    await_persister(f);
    hermes_subscriber_t *s = subscribe(f->client, HERMES_FROM_FIRST);
    read_all(s, 1, 10);
    while (last < 6000)
        assert_int_equal(publish(publisher, ++last), 0);
    read_all(s, 11, last);
    hermes_message_t message;
    assert_int_equal(hermes_poll(s, &message), 0); /* through: now it is */
    hermes_publisher_set_wait(publisher, blink_ns);
    uint64_t before = last;
    last = fill(f, publisher, last);
    read_all(s, before + 1, last);
    assert_int_equal(hermes_seek_first(s), 0);
    hermes_publisher_set_wait(publisher, patience_ns);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(publish(publisher, ++last), 0);
}

/* The broker, which appends for producers, does not burn its core while a reader holds it up. */
static void test_held_up_broker_sleeps(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, true, HERMES_DURABILITY_MEMORY);
    hermes_subscriber_t *s = subscribe(f->client, HERMES_FROM_END);
    hermes_publisher_t *publisher = publisher_of(f->client, blink_ns);
    (void)fill(f, publisher, 0);
    await_sleep(f->broker, f->broker);
    hermes_message_t message;
    assert_int_equal(hermes_poll(s, &message), 1);
}

static void test_who_has_disconnected_is_waited_for_no_more(void **state)
{
    struct fixture *f = *state;
    make_push_back(f, false, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publisher_of(f->client, 0);
    uint64_t last = 0;
    for (int round = 0; round < 20; round++) {
        hermes_client_t *client;
        assert_int_equal(hermes_connect(NULL, &client), 0);
        (void)subscribe(client, HERMES_FROM_END);
        last = fill(f, publisher, last);
        assert_int_equal(hermes_disconnect(client), 0);
        if (transport() != NULL) /* that there is room the broker has to say */
            hermes_publisher_set_wait(publisher, patience_ns);
        assert_int_equal(publish(publisher, ++last), 0);
        hermes_publisher_set_wait(publisher, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_refuses),
        TEST(test_exclusive_memory),
        TEST(test_exclusive_stored),
        TEST(test_shared_memory),
        TEST(test_shared_stored),
        TEST(test_sleeping_publisher),
        TEST(test_dead_subscriber_stops_counting),
        TEST(test_killed_broker),
        TEST(test_who_dies_with_the_broker_is_waited_for_no_longer_than_the_grace),
        TEST(test_who_is_silent_for_the_grace_is_overtaken_until_it_polls),
        TEST(test_a_durable_subscription_is_waited_for_too),
        TEST(test_stopped_broker),
        TEST(test_history),
        TEST(test_held_up_broker_sleeps),
        TEST(test_who_has_disconnected_is_waited_for_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
