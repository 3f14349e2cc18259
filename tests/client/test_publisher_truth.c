/*
 * What a publisher was told is true: whatever happens to broker and session in between, each call's answer
 * agrees with what stands in the topic afterwards.
 */
#include "counters.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* ---- requests that time out ---- */

static void limit_requests(hermes_client_t *client)
{
    client->request_timeout_ns = 50000000;
}

static void go_on_after_a_time_out(struct fixture *f, const char *topic, bool shared)
{
    make_topic(f, topic, shared);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, topic, 0);
    hermes_topic_info_t info = {.size = sizeof info};
    limit_requests(client);
    kill(f->broker, SIGSTOP);
    assert_int_equal(hermes_ping(client), HERMES_ETIMEOUT);
    assert_int_equal(hermes_topic_describe(client, topic, &info), HERMES_ETIMEOUT);
    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(publish(publisher, i), 0);
    kill(f->broker, SIGCONT);
    client->request_timeout_ns = patience_ns;
    assert_int_equal(hermes_ping(client), 0);
    assert_int_equal(describe(topic).publishers, 1); /* to the broker it never was away */
    for (uint64_t i = 101; i <= 200; i++)
        assert_int_equal(publish(publisher, i), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    assert_int_equal(hermes_publisher_accepted(publisher), 200);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    expect_counters(topic, 200);
    hermes_disconnect(client);
}

static void test_a_request_that_times_out_costs_no_session(void **state)
{
    go_on_after_a_time_out(*state, "exclusive", false);
    go_on_after_a_time_out(*state, "shared", true);
}

static void test_what_a_late_answer_opened_is_closed(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "exclusive", false);
    make_topic(f, "shared", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    limit_requests(client);
    kill(f->broker, SIGSTOP);
    assert_int_equal(hermes_publisher_open(client, "exclusive", NULL, &publisher), HERMES_ETIMEOUT);
    assert_int_equal(hermes_publisher_open(client, "shared", NULL, &publisher), HERMES_ETIMEOUT);
    assert_int_equal(hermes_subscriber_open(client, "exclusive", NULL, &subscriber), HERMES_ETIMEOUT);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0); /* and nothing else is */
    kill(f->broker, SIGCONT);
    client->request_timeout_ns = patience_ns;
    assert_int_equal(hermes_ping(client), 0); /* behind the answers, and so is what closes them */
    assert_int_equal(hermes_ping(client), 0);
    assert_int_equal(describe("exclusive").publishers, 0);
    assert_int_equal(describe("exclusive").subscribers, 0);
    assert_int_equal(describe("shared").publishers, 0);
    hermes_disconnect(client);
}

/* ---- other publishers in between ---- */

static void publish_as_another(const char *topic, uint64_t first, uint64_t count)
{
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = successor_of(client, topic);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(publish(publisher, first + i), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
}

/* However many came in between. */
static void test_what_a_successor_displaced_is_not_called_published(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    for (unsigned others = 1; others <= 200; others += others < 3 ? 1 : 197) {
        uint64_t before = describe("t").last_sequence;
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = successor_of(client, "t");
        assert_int_equal(publish(publisher, before + 1), 0);
        cut_session(client);
        for (unsigned i = 1; i <= others; i++)
            publish_as_another("t", before + 1 + i, 1);
        uint64_t sequence = 77;
        assert_int_equal(hermes_publish(publisher, "x", 1, &sequence), HERMES_EFENCED);
        assert_int_equal(sequence, 0);
        assert_int_equal(hermes_publisher_accepted(publisher), 1);
        assert_int_equal(publish(publisher, 0), HERMES_EFENCED);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_COMMITTED), before + 1);
        assert_int_equal(hermes_publisher_wait_for(publisher, before + 1, HERMES_DURABLE, patience_ns), 0);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
        expect_counters("t", before + 1 + others);
    }
}

/* Alone, a publisher whose session was cut goes on: what it was told stands, in order. */
static void test_a_session_that_is_cut_costs_nothing(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "exclusive", false);
    make_topic(f, "shared", true);
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        uint64_t sequence;
        for (uint64_t i = 1; i <= 2000; i++) {
            int rc = hermes_publish(publisher, &i, sizeof i, &sequence);
            if (rc != 0)
                fail_msg("%d: %s", rc, hermes_last_error(client));
            assert_int_equal(sequence, i);
            if (i % 200 == 0)
                cut_session(client);
        }
        assert_int_equal(hermes_publisher_accepted(publisher), 2000);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
        expect_counters(topic, 2000);
    }
}

/* A claim is open while the broker stops, and another publisher comes to the next one. */
static void test_a_commit_tells_a_sequence_that_is_so(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    void *claimed;
    uint64_t sequence = 77, number = 1;
    assert_int_equal(hermes_claim(publisher, sizeof number, &claimed), 0);
    stop_broker(f, SIGTERM);
    start_broker(f);
    memcpy(claimed, &number, sizeof number);
    assert_int_equal(hermes_commit(publisher, &sequence), 0);
    assert_int_equal(sequence, 1);
    number = 2;
    assert_int_equal(hermes_claim(publisher, sizeof number, &claimed), 0);
    stop_broker(f, SIGTERM);
    start_broker(f);
    publish_as_another("t", 2, 10);
    memcpy(claimed, &number, sizeof number);
    assert_int_equal(hermes_commit(publisher, &sequence), HERMES_EFENCED);
    assert_int_equal(sequence, 0);
    hermes_disconnect(client);
    expect_counters("t", 11);
}

/* ---- batches ---- */

static struct trap {
    hermes_client_t *client;
    void *page;
    pthread_t helper;
} trap;

static void *take_over(void *unused)
{
    (void)unused;
    publish_as_another("t", 101, 10);
    return NULL;
}

/* The payload of a slice is touched for the first time: another publisher has the topic then. */
static void spring(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    cut_session(trap.client);
    pthread_create(&trap.helper, NULL, take_over, NULL);
    pthread_join(trap.helper, NULL);
    mprotect(trap.page, 4096, PROT_READ | PROT_WRITE);
}

static void batch_whose_publisher_is_displaced(struct fixture *f, enum hermes_durability durability)
{
    enum { COUNT = 300, PASSED = 100 };
    uint64_t numbers[COUNT];
    hermes_slice_t slices[COUNT];
    make_topic_of(f, "t", false, durability);
    trap.client = connect_client();
    trap.page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hermes_publisher_t *publisher = publisher_of(trap.client, "t", 0);
    for (unsigned i = 0; i < COUNT; i++) {
        numbers[i] = i + 1;
        slices[i] = (hermes_slice_t){i == PASSED ? trap.page : &numbers[i], sizeof numbers[i]};
    }
    struct sigaction action = {.sa_sigaction = spring, .sa_flags = SA_SIGINFO}, former;
    sigaction(SIGSEGV, &action, &former);
    int64_t done = hermes_publish_batch(publisher, slices, COUNT);
    sigaction(SIGSEGV, &former, NULL);
    assert_int_equal(done, PASSED);
    assert_int_equal(hermes_publisher_accepted(publisher), PASSED);
    if (durability == HERMES_DURABILITY_SYNC) /* what it says is published is on disk */
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), PASSED);
    assert_int_equal(hermes_publish_batch(publisher, slices, COUNT), HERMES_EFENCED);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(trap.client);
    munmap(trap.page, 4096);
    expect_counters("t", PASSED + 10);
    assert_int_equal(hermes_topic_delete(f->client, "t"), 0);
}

static void test_a_batch_tells_how_much_of_it_is_in(void **state)
{
    batch_whose_publisher_is_displaced(*state, HERMES_DURABILITY_ASYNC);
    batch_whose_publisher_is_displaced(*state, HERMES_DURABILITY_SYNC);
}

static void test_a_sync_time_out_tells_how_many_stand(void **state)
{
    struct fixture *f = *state;
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        uint64_t numbers[10];
        hermes_slice_t slices[10];
        make_topic_of(f, topic, shared, HERMES_DURABILITY_SYNC);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        hermes_publisher_set_wait(publisher, soon_ns);
        for (uint64_t i = 0; i < 10; i++) {
            numbers[i] = i + 2;
            slices[i] = (hermes_slice_t){&numbers[i], sizeof numbers[i]};
        }
        kill(f->broker, SIGSTOP);
        assert_int_equal(publish(publisher, 1), HERMES_ETIMEOUT);
        assert_int_equal(hermes_publisher_accepted(publisher), 1);
        assert_int_equal(hermes_publish_batch(publisher, slices, 10), HERMES_ETIMEOUT);
        assert_int_equal(hermes_publisher_accepted(publisher), 11);
        kill(f->broker, SIGCONT);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
        hermes_disconnect(client);
        expect_counters(topic, 11);
    }
}

/* ---- closing ---- */

static void test_close_waits_until_all_is_in(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", true);
    for (uint64_t round = 0; round < 5; round++) {
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, "t", 0);
        uint64_t payload[75] = {0};
        for (uint64_t i = 1; i <= 2000; i++) {
            payload[0] = round * 2000 + i;
            assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
        }
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
        assert_int_equal(describe("t").last_sequence, (round + 1) * 2000);
    }
    expect_counters("t", 10000);
}

static uint64_t fill(hermes_publisher_t *publisher)
{
    uint64_t payload[100] = {0};
    for (;;) {
        payload[0]++;
        int rc = hermes_publish(publisher, payload, sizeof payload, NULL);
        if (rc != 0) {
            assert_int_equal(rc, HERMES_EAGAIN);
            return payload[0] - 1;
        }
    }
}

/* A subscriber that is waited for is behind: what is in the ring is the broker's, and goes in. */
static void test_what_is_left_to_the_broker_goes_in(void **state)
{
    struct fixture *f = *state;
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = HERMES_DURABILITY_ASYNC,
                                      .shared = 1,
                                      .window_bytes = 256 * 1024,
                                      .push_back = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    hermes_subscriber_options_t waited = {
        .size = sizeof waited, .from = HERMES_FROM_FIRST, .flags = HERMES_SUBSCRIBE_PUSH_BACK};
    hermes_subscriber_t *subscriber;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &waited, &subscriber), 0);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    hermes_publisher_set_wait(publisher, soon_ns);
    uint64_t accepted = fill(publisher);
    assert_int_equal(hermes_publisher_accepted(publisher), accepted);
    int64_t missing = hermes_publisher_close(publisher);
    assert_in_range(missing, 1, accepted);
    assert_non_null(strstr(hermes_last_error(client), "left to the broker"));
    hermes_disconnect(client);
    hermes_message_t message;
    for (uint64_t i = 1; i <= accepted; i++) {
        uint64_t number;
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
        memcpy(&number, message.payload, sizeof number);
        assert_int_equal(number, i);
    }
    assert_int_equal(hermes_poll(subscriber, &message), 0);
}

static void test_close_without_a_broker_tells_what_is_lost(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0), *other = publisher_of(client, "t", 0);
    assert_int_equal(publish(publisher, 1), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    hermes_publisher_set_wait(publisher, soon_ns);
    hermes_publisher_set_wait(other, soon_ns);
    stop_broker(f, SIGKILL);
    while (channel_is_up(&client->channel)) /* io_uring holds it for a moment */
        sched_yield();
    for (uint64_t i = 2; i <= 6; i++)
        assert_int_equal(publish(publisher, i), 0);
    assert_int_equal(publish(other, 7), 0);
    assert_int_equal(hermes_publisher_accepted(publisher), 6);
    assert_int_equal(hermes_publisher_close(publisher), 5);
    assert_non_null(strstr(hermes_last_error(client), "the last 5 messages"));
    assert_int_equal(hermes_disconnect(client), 1);
    assert_non_null(strstr(hermes_last_error(NULL), "the last 1 message"));
    start_broker(f);
    expect_counters("t", 1);
}

static void *close_it(void *publisher)
{
    return (void *)(intptr_t)hermes_publisher_close(publisher);
}

static void test_close_waits_for_a_broker(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    hermes_publisher_set_wait(publisher, patience_ns);
    stop_broker(f, SIGKILL);
    for (uint64_t i = 1; i <= 6; i++)
        assert_int_equal(publish(publisher, i), 0);
    pthread_t thread;
    void *missing = NULL;
    pthread_create(&thread, NULL, close_it, publisher);
    start_broker(f);
    pthread_join(thread, &missing);
    assert_ptr_equal(missing, NULL);
    hermes_disconnect(client);
    expect_counters("t", 6);
}

/* ---- waiting ---- */

static _Atomic pid_t waiter;

static void *wait_for_a_broker(void *publisher)
{
    atomic_store(&waiter, gettid());
    return (void *)(intptr_t)hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns);
}

static void test_who_waits_for_a_broker_sleeps(void **state)
{
    struct fixture *f = *state;
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        make_topic(f, topic, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, HERMES_PUBLISH_NO_WAIT);
        hermes_publisher_set_wait(publisher, 0);
        stop_broker(f, shared ? SIGKILL : SIGTERM);
        int rc = publish(publisher, 1);
        assert_int_equal(rc, shared ? 0 : HERMES_EDISCONNECTED);
        atomic_store(&waiter, 0);
        pthread_t thread;
        void *waited = NULL;
        pthread_create(&thread, NULL, wait_for_a_broker, publisher);
        while (atomic_load(&waiter) == 0)
            ;
        await_sleep(getpid(), atomic_load(&waiter));
        start_broker(f);
        pthread_join(thread, &waited);
        assert_ptr_equal(waited, NULL);
        hermes_disconnect(client);
        expect_counters(topic, 1);
        while (hermes_ping(f->client) < 0)
            ;
    }
}

/* A stopped broker holds up nobody who does not wait: not even who has to greet it. */
static void test_who_does_not_wait_is_not_held_up(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "exclusive", false);
    make_topic(f, "shared", true);
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, HERMES_PUBLISH_NO_WAIT);
        hermes_publisher_set_wait(publisher, 0);
        uint64_t next = 1;
        assert_int_equal(publish(publisher, next++), 0);
        stop_broker(f, SIGKILL);
        start_broker(f);
        kill(f->broker, SIGSTOP);
        client->request_timeout_ns = patience_ns; /* if it is waited for at all, this test takes a minute */
        for (int i = 0; i < 100; i++)
            next += publish(publisher, next) == 0;
        assert_true(hermes_publisher_poll(publisher) >= 0);
        kill(f->broker, SIGCONT);
        while (next <= 200)
            next += publish(publisher, next) == 0;
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
        assert_int_equal(hermes_publisher_accepted(publisher), 200);
        hermes_disconnect(client);
        expect_counters(topic, 200);
        while (hermes_ping(f->client) < 0)
            ;
    }
}

/* ---- codes ---- */

static void test_each_code_means_one_thing(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "deleted", true);
    make_topic(f, "stopped", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "deleted", 0);
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    assert_int_equal(hermes_subscriber_open(client, "stopped", NULL, &subscriber), 0);
    assert_int_equal(hermes_topic_delete(f->client, "deleted"), HERMES_EBUSY);

    /* A reader that needs the store, and a broker that does not answer. */
    limit_requests(client);
    hermes_publisher_t *filler = publisher_of(f->client, "stopped", 0);
    uint64_t payload[1000] = {0};
    for (uint64_t i = 1; i <= 200; i++) { /* several windows */
        payload[0] = i;
        assert_int_equal(hermes_publish(filler, payload, sizeof payload, NULL), 0);
    }
    assert_int_equal(hermes_publisher_wait(filler, HERMES_DURABLE, patience_ns), 0);
    kill(f->broker, SIGSTOP);
    assert_int_equal(poll_until_told(subscriber, &message), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_wait(subscriber, &message, soon_ns), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_seek_first(subscriber), HERMES_EDISCONNECTED);
    kill(f->broker, SIGCONT);
    client->request_timeout_ns = patience_ns;
    assert_int_equal(hermes_seek_first(subscriber), 0);
    for (uint64_t i = 1; i <= 200; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
        assert_int_equal(message.sequence, i);
    }
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
}

/* ---- an answer of a broker that is dead by the time it is read ---- */

static void await_answer(const hermes_client_t *client)
{
    struct pollfd there = {.fd = client->channel.fd, .events = POLLIN};
    assert_int_equal(poll(&there, 1, 60000), 1);
}

static bool is_known_to_the_owner(const hermes_publisher_t *publisher)
{
    const hermes_client_t *client = publisher->client;
    return publisher->connection == client->channel.connected &&
           client->instance == (uint32_t)(status_load_seal(publisher->status) >> 32);
}

static bool sees_another_owner(const hermes_publisher_t *publisher)
{
    return publisher->writer.owner_changed || publisher->writer.seal != status_load_seal(publisher->status);
}

/* It knew the publisher. Its successor does not, and would give the topic to another. */
static void test_whom_a_dead_broker_knew_greets_its_successor(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    uint64_t number = 1;
    assert_int_equal(publish(publisher, number), 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    assert_int_equal(hermes_ping(client), 0);
    kill(f->broker, SIGSTOP);
    assert_int_equal(publish(publisher, ++number), 0); /* greets it, and is not answered */
    assert_int_equal(publisher->asked.type, WIRE_PUBLISHER_OPEN);
    kill(f->broker, SIGCONT);
    await_answer(client);
    stop_broker(f, SIGKILL);
    start_broker(f);
    for (time_t start = time(NULL); !is_known_to_the_owner(publisher); sched_yield()) {
        assert_true(time(NULL) - start < 60);
        assert_int_equal(publish(publisher, ++number), 0);
        assert_true(is_known_to_the_owner(publisher) || sees_another_owner(publisher));
    }
    hermes_publisher_t *other;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &other), HERMES_EBUSY);
    assert_int_equal(publish(publisher, ++number), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    expect_counters("t", number);
    hermes_disconnect(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_request_that_times_out_costs_no_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_late_answer_opened_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_successor_displaced_is_not_called_published, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_session_that_is_cut_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whom_a_dead_broker_knew_greets_its_successor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_commit_tells_a_sequence_that_is_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_batch_tells_how_much_of_it_is_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sync_time_out_tells_how_many_stand, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits_until_all_is_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_left_to_the_broker_goes_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_without_a_broker_tells_what_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits_for_a_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_waits_for_a_broker_sleeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_does_not_wait_is_not_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_code_means_one_thing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
