/* The client library against a real broker: every call, what it refuses, and restarts in between. */
#include "fixture.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

/* Every message is a counter from 1, told by its first eight bytes; nothing is missing or repeated. */
static void expect_counters(hermes_subscriber_t *subscriber, uint64_t count)
{
    hermes_message_t message;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number;
        assert_int_equal(hermes_wait(subscriber, &message, 60000000000u), 1);
        assert_true(message.length >= sizeof number);
        memcpy(&number, message.payload, sizeof number);
        assert_int_equal(number, i);
        assert_int_equal(message.sequence, i);
    }
    assert_int_equal(hermes_poll(subscriber, &message), 0);
}

/* ---- what is refused ---- */

static void test_refuses(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *nobody;
    assert_int_equal(hermes_connect("/nowhere/broker.sock", &nobody), HERMES_EDISCONNECTED);
    assert_non_null(strstr(hermes_last_error(NULL), "/nowhere/broker.sock"));
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_true(hermes_connect(longest, &nobody) < 0);
    longest[300] = 0;
    const char *names[] = {"", ".", "..", "a/b", longest, "\xff", "a b", NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        hermes_publisher_t *publisher;
        hermes_subscriber_t *subscriber;
        hermes_topic_info_t info = {.size = sizeof info};
        assert_int_equal(hermes_topic_create(f->client, names[i], NULL), HERMES_ENAME);
        assert_int_equal(hermes_topic_delete(f->client, names[i]), HERMES_ENAME);
        assert_int_equal(hermes_topic_describe(f->client, names[i], &info), HERMES_ENAME);
        assert_int_equal(hermes_publisher_open(f->client, names[i], NULL, &publisher), HERMES_ENAME);
        assert_int_equal(hermes_subscriber_open(f->client, names[i], NULL, &subscriber), HERMES_ENAME);
        assert_true(strlen(hermes_last_error(f->client)) > 0);
    }
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "unknown", NULL, &publisher), HERMES_ENOTFOUND);
    assert_non_null(strstr(hermes_last_error(f->client), "unknown"));
    assert_int_equal(hermes_ping(f->client), 0);
}

static void refuse_payloads(struct fixture *f, const char *topic, bool shared)
{
    static char payload[HERMES_PAYLOAD_MAX + 1];
    make_topic(f, topic, shared);
    hermes_publisher_t *publisher;
    void *claimed, *second;
    assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
    assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish(publisher, payload, SIZE_MAX, NULL), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish(publisher, NULL, 5, NULL), HERMES_EINVALID);
    assert_int_equal(hermes_claim(publisher, HERMES_PAYLOAD_MAX + 1, &claimed), HERMES_ETOOLARGE);
    assert_int_equal(hermes_commit(publisher, NULL), HERMES_EINVALID);
    hermes_slice_t slices[] = {{payload, 8}, {payload, sizeof payload}, {payload, 8}};
    assert_int_equal(hermes_publish_batch(publisher, slices + 1, 2), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish_batch(publisher, slices, 3), 1); /* up to the one that is wrong */
    assert_int_equal(hermes_publish_batch(publisher, slices, 0), 0);

    assert_int_equal(hermes_claim(publisher, 100, &claimed), 0);
    assert_int_equal(hermes_publish(publisher, payload, 1, NULL), HERMES_EINVALID);
    assert_int_equal(hermes_claim(publisher, 1, &second), HERMES_EINVALID);
    assert_int_equal(hermes_publish_batch(publisher, slices, 1), HERMES_EINVALID);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, 0), HERMES_EINVALID);
    assert_non_null(strstr(hermes_last_error(f->client), "claim"));
    memset(claimed, 0xff, 100);
    hermes_abort(publisher);
    hermes_abort(publisher);
    assert_int_equal(hermes_publish(publisher, payload, 0, NULL), 0);
    assert_int_equal(hermes_publish(publisher, payload, HERMES_PAYLOAD_MAX, NULL), 0);
    assert_int_equal(hermes_claim(publisher, 100, &claimed), 0); /* open when it is closed: aborted */
    hermes_publisher_close(publisher);

    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    assert_int_equal(hermes_subscriber_open(f->client, topic, NULL, &subscriber), 0);
    assert_int_equal(hermes_seek_first(subscriber), 0);
    const uint32_t lengths[] = {8, 0, HERMES_PAYLOAD_MAX};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, 60000000000u), 1);
        assert_int_equal(message.length, lengths[i]);
        assert_int_equal(message.sequence, i + 1);
    }
    assert_int_equal(hermes_wait(subscriber, &message, 1000000), 0);
    hermes_subscriber_close(subscriber);
}

static void test_refuses_payloads(void **state)
{
    refuse_payloads(*state, "exclusive", false);
    refuse_payloads(*state, "shared", true);
}

static void test_one_publisher_of_an_exclusive_topic(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *first, *second;
    make_topic(f, "t", false);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &first), 0);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &second), HERMES_EBUSY);
    hermes_publisher_close(first);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &second), 0);
}

/* ---- confirmation ---- */

static hermes_topic_info_t describe(struct fixture *f, const char *topic)
{
    hermes_topic_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_topic_describe(f->client, topic, &info), 0);
    return info;
}

/* On a sync topic, whatever a call has published is durable when it returns. */
static void sync_is_sync(struct fixture *f, const char *topic, bool shared)
{
    make_topic_of(f, topic, shared, HERMES_DURABILITY_SYNC);
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
    static char payload[HERMES_PAYLOAD_MAX];
    hermes_slice_t slices[200];
    for (unsigned i = 0; i < 200; i++)
        slices[i] = (hermes_slice_t){payload, i * 13};
    uint64_t sent = 0;
    for (unsigned i = 0; i < 20; i++) {
        void *claimed;
        if (i % 3 == 0) {
            assert_int_equal(hermes_publish(publisher, payload, i * 3000, NULL), 0);
            sent += 1;
        } else if (i % 3 == 1) {
            assert_int_equal(hermes_publish_batch(publisher, slices, 200), 200);
            sent += 200;
        } else {
            assert_int_equal(hermes_claim(publisher, i, &claimed), 0);
            memset(claimed, 7, i);
            assert_int_equal(hermes_commit(publisher, NULL), 0);
            sent += 1;
        }
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), sent);
        hermes_topic_info_t info = describe(f, topic);
        assert_int_equal(info.last_sequence, sent);
        assert_int_equal(info.durable_position, info.committed_position);
    }
    hermes_publisher_close(publisher);
}

static void test_sync_is_sync(void **state)
{
    sync_is_sync(*state, "exclusive", false);
    sync_is_sync(*state, "shared", true);
}

struct told {
    uint64_t sequence;
    unsigned calls;
};

static void tell(void *context, uint64_t sequence)
{
    struct told *told = context;
    assert_true(sequence > told->sequence);
    told->sequence = sequence;
    told->calls++;
}

static void calls_back(struct fixture *f, const char *topic, bool shared, enum hermes_durability durability)
{
    enum { COUNT = 2000 };
    make_topic_of(f, topic, shared, durability);
    hermes_publisher_options_t options = {.size = sizeof options, .flags = HERMES_PUBLISH_NO_WAIT};
    hermes_publisher_t *publisher;
    struct told committed = {0, 0}, durable = {0, 0};
    assert_int_equal(hermes_publisher_open(f->client, topic, &options, &publisher), 0);
    hermes_publisher_notify(publisher, HERMES_COMMITTED, tell, &committed);
    hermes_publisher_notify(publisher, HERMES_DURABLE, tell, &durable);
    for (uint64_t i = 1; i <= COUNT; i++) {
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
        assert_true(hermes_publisher_poll(publisher) >= 0);
        assert_true(durable.sequence <= i && committed.sequence <= i);
    }
    while (durable.sequence < COUNT || committed.sequence < COUNT)
        assert_true(hermes_publisher_poll(publisher) >= 0);
    assert_int_equal(hermes_publisher_poll(publisher), 0);
    hermes_topic_info_t info = describe(f, topic);
    assert_int_equal(info.durable_position, info.committed_position);
    hermes_publisher_close(publisher);
}

static void test_calls_back(void **state)
{
    calls_back(*state, "a", false, HERMES_DURABILITY_SYNC);
    calls_back(*state, "b", true, HERMES_DURABILITY_SYNC);
    calls_back(*state, "c", false, HERMES_DURABILITY_ASYNC);
    calls_back(*state, "d", true, HERMES_DURABILITY_ASYNC);
}

static void test_refuses_confirmations_that_are_none(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    uint64_t told = 0;
    make_topic(f, "t", false);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    static const int none[] = {-1, 2, 1000000, INT_MIN};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        enum hermes_confirmation confirmation = (enum hermes_confirmation)none[i];
        assert_int_equal(hermes_publisher_wait(publisher, confirmation, 0), HERMES_EINVALID);
        assert_int_equal(hermes_publisher_confirmed(publisher, confirmation), 0);
        hermes_publisher_notify(publisher, confirmation, tell, &told);
    }
    assert_int_equal(hermes_publish(publisher, "x", 1, NULL), 0);
    assert_int_equal(hermes_publisher_poll(publisher), 0);
    hermes_publisher_close(publisher);
}

static void test_options_that_are_all_0_are_the_default_ones(void **state)
{
    struct fixture *f = *state;
    hermes_topic_options_t zero = {.size = sizeof zero};
    assert_int_equal(hermes_topic_create(f->client, "zero", &zero), 0);
    assert_int_equal(hermes_topic_create(f->client, "null", NULL), 0);
    hermes_topic_info_t a = describe(f, "zero"), b = describe(f, "null");
    assert_int_equal(a.durability, HERMES_DURABILITY_ASYNC);
    assert_int_equal(b.durability, HERMES_DURABILITY_ASYNC);
    assert_int_equal(a.shared, b.shared);
    assert_int_equal(a.window_bytes, b.window_bytes);
    assert_int_equal(a.segment_bytes, b.segment_bytes);
}

/* Programs and libraries of different age: what the older does not know is 0, or refused. */
static void test_structs_may_grow(void **state)
{
    struct fixture *f = *state;
    struct {
        hermes_topic_options_t known;
        uint64_t future;
    } newer = {.known = {.size = sizeof newer}, .future = 0};
    assert_int_equal(hermes_topic_create(f->client, "newer", &newer.known), 0);
    newer.future = 1;
    assert_int_equal(hermes_topic_create(f->client, "refused", &newer.known), HERMES_ENOTSUP);
    hermes_topic_options_t older = {.size = offsetof(hermes_topic_options_t, window_bytes), .shared = 1};
    older.window_bytes = 12345; /* behind its end: never looked at */
    assert_int_equal(hermes_topic_create(f->client, "older", &older), 0);
    assert_int_equal(describe(f, "older").shared, 1);
    hermes_topic_options_t without = {.size = 0};
    assert_int_equal(hermes_topic_create(f->client, "without", &without), HERMES_EINVALID);
    hermes_publisher_options_t none = {.flags = HERMES_PUBLISH_NO_CRC};
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "older", &none, &publisher), HERMES_EINVALID);

    struct {
        hermes_topic_info_t known;
        uint64_t future;
    } infos[2];
    memset(infos, 0xff, sizeof infos);
    infos[0].known.size = sizeof infos[0];
    assert_int_equal(hermes_topic_list(f->client, "", &infos[0].known, 2), 2);
    assert_string_equal(infos[0].known.name, "newer");
    assert_string_equal(infos[1].known.name, "older");
    assert_int_equal(infos[0].future | infos[1].future, 0);
    struct {
        size_t size;
        char name[128];
        uint64_t behind;
    } short_info = {.size = offsetof(hermes_topic_info_t, topic_id), .behind = 77};
    assert_int_equal(hermes_topic_describe(f->client, "older", (hermes_topic_info_t *)(void *)&short_info),
                     0);
    assert_string_equal(short_info.name, "older");
    assert_int_equal(short_info.behind, 77);
    short_info.size = 0;
    assert_int_equal(hermes_topic_describe(f->client, "older", (hermes_topic_info_t *)(void *)&short_info),
                     HERMES_EINVALID);
}

static void test_urls(void **state)
{
    struct fixture *f = *state;
    static const char *const forms[] = {"unix:%s/broker.sock", "unix://%s/broker.sock", "%s/broker.sock"};
    char url[200];
    hermes_client_t *client;
    for (size_t i = 0; i < 3; i++) {
        snprintf(url, sizeof url, i == 0 ? forms[0] : i == 1 ? forms[1] : forms[2], f->home);
        assert_int_equal(hermes_connect(url, &client), 0);
        assert_int_equal(hermes_ping(client), 0);
        hermes_disconnect(client);
    }
    assert_int_equal(hermes_connect("tcp://localhost:1", &client), HERMES_EDISCONNECTED);
    assert_non_null(strstr(hermes_last_error(NULL), "tcp://localhost:1"));
    assert_int_equal(hermes_connect("http://localhost:1", &client), HERMES_ENOTSUP);
    assert_non_null(strstr(hermes_last_error(NULL), "http://localhost:1"));
    assert_true(hermes_connect("", &client) < 0);
    assert_true(hermes_connect("unix:", &client) < 0);
}

static void test_waits_for_one_message(void **state)
{
    struct fixture *f = *state;
    for (unsigned shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        make_topic_of(f, topic, shared, HERMES_DURABILITY_ASYNC);
        hermes_publisher_t *publisher;
        assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
        uint64_t sequence = 0;
        for (unsigned i = 1; i <= 100; i++) {
            assert_int_equal(hermes_publish(publisher, &i, sizeof i, &sequence), 0);
            enum hermes_confirmation c = i % 2 ? HERMES_DURABLE : HERMES_COMMITTED;
            assert_int_equal(hermes_publisher_wait_for(publisher, i / 2, c, 60000000000u), 0);
            assert_true(hermes_publisher_confirmed(publisher, c) >= i / 2);
        }
        assert_int_equal(hermes_publisher_wait_for(publisher, sequence + 1, HERMES_COMMITTED, 0),
                         HERMES_EINVALID);
        hermes_publisher_close(publisher);
    }
}

/* ---- event loops ---- */

/* One message each time that the reader is about to sleep. */
static sem_t about_to_sleep;

static void *publish_to_sleepers(void *unused)
{
    (void)unused;
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_connect(NULL, &client), 0);
    assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
    for (uint64_t i = 1; i <= 3000; i++) {
        while (sem_wait(&about_to_sleep) != 0)
            ;
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
    }
    hermes_disconnect(client);
    return NULL;
}

/* Sleeps in poll(2) alone, through restarts of the broker: it is woken each time, and not for nothing. */
static void test_descriptor_for_event_loops(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_subscriber_t *subscriber;
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
    struct pollfd pollfd = {.fd = hermes_subscriber_fd(subscriber), .events = POLLIN};
    assert_true(pollfd.fd >= 0);
    assert_int_equal(hermes_subscriber_fd(subscriber), pollfd.fd);
    assert_int_equal(hermes_subscriber_arm(subscriber), 0);
    assert_int_equal(poll(&pollfd, 1, 0), 0);
    pthread_t publisher;
    assert_int_equal(sem_init(&about_to_sleep, 0, 0), 0);
    pthread_create(&publisher, NULL, publish_to_sleepers, NULL);
    hermes_message_t message;
    uint64_t expected = 1, number;
    unsigned waits = 0;
    while (expected <= 3000) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 1) {
            memcpy(&number, message.payload, sizeof number);
            assert_int_equal(number, expected++);
        } else if (hermes_subscriber_arm(subscriber) == 0) {
            assert_true(rc == 0 || rc == HERMES_EDISCONNECTED);
            sem_post(&about_to_sleep);
            assert_int_equal(poll(&pollfd, 1, 60000), 1);
            if (++waits == 300 || waits == 600) {
                stop_broker(f, waits == 300 ? SIGKILL : SIGTERM);
                start_broker(f);
            }
        }
    }
    assert_true(waits > 600);
    pthread_join(publisher, NULL);
    assert_int_equal(hermes_poll(subscriber, &message), 0);
    (void)hermes_subscriber_arm(
        subscriber); /* it may have something to tell; deleted: that is told as well */
    assert_int_equal(hermes_topic_delete(f->client, "t"), 0);
    while ((poll(&pollfd, 1, 60000), hermes_poll(subscriber, &message)) != HERMES_ECLOSED)
        (void)hermes_subscriber_arm(subscriber);
    hermes_subscriber_close(subscriber);
}

struct everything {
    hermes_client_t *client;
    hermes_publisher_t *exclusive, *shared;
    hermes_subscriber_t *subscriber;
    void *claimed;
};

static void open_everything(struct everything *e)
{
    assert_int_equal(hermes_connect(NULL, &e->client), 0);
    assert_int_equal(hermes_publisher_open(e->client, "e", NULL, &e->exclusive), 0);
    assert_int_equal(hermes_publisher_open(e->client, "s", NULL, &e->shared), 0);
    assert_int_equal(hermes_subscriber_open(e->client, "s", NULL, &e->subscriber), 0);
    assert_true(hermes_subscriber_fd(e->subscriber) >= 0);
    assert_int_equal(hermes_claim(e->exclusive, 8, &e->claimed), 0);
}

/* A child that forgets its parent's client, and stays until end is closed. */
static pid_t fork_forgetful(struct everything *e, const int end[2])
{
    pid_t child = fork();
    if (child == 0) {
        close(end[1]);
        hermes_forget(e->client);
        char byte;
        _exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
    }
    return child;
}

static void test_forgets_after_fork(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "e", false);
    make_topic(f, "s", true);
    int end[2], status;
    assert_int_equal(pipe(end), 0);

    /* The parent goes on undisturbed. */
    struct everything mine;
    open_everything(&mine);
    pid_t child = fork_forgetful(&mine, end);
    uint64_t number = 1;
    memcpy(mine.claimed, &number, sizeof number);
    assert_int_equal(hermes_commit(mine.exclusive, NULL), 0);
    assert_int_equal(hermes_publish(mine.shared, &number, sizeof number, NULL), 0);
    expect_counters(mine.subscriber, 1);
    assert_int_equal(hermes_ping(mine.client), 0);
    assert_int_equal(describe(f, "e").publishers, 1);
    hermes_disconnect(mine.client);

    /* A parent that dies is noticed, though its child lives. */
    pid_t parent = test_fork();
    if (parent == 0) {
        struct everything its;
        open_everything(&its);
        (void)fork_forgetful(&its, end);
        _exit(0);
    }
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(status, 0);
    while (describe(f, "e").publishers + describe(f, "s").publishers + describe(f, "s").subscribers > 0)
        sched_yield();
    close(end[1]);
    close(end[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- newcomers ---- */

static void *change_publishers(void *argument)
{
    atomic_bool *stop = argument;
    hermes_client_t *client;
    assert_int_equal(hermes_connect(NULL, &client), 0);
    while (!atomic_load(stop)) {
        hermes_publisher_t *publisher;
        assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
        assert_int_equal(hermes_publish(publisher, "x", 1, NULL), 0);
        hermes_publisher_close(publisher);
    }
    hermes_disconnect(client);
    return NULL;
}

/* Each new publisher has a new window; who opens the topic meanwhile waits a moment, and is let in. */
static void test_subscribers_come_while_publishers_change(void **state)
{
    struct fixture *f = *state;
    atomic_bool stop = false;
    pthread_t thread;
    assert_int_equal(hermes_topic_create(f->client, "t", NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, change_publishers, &stop), 0);
    for (int i = 0; i < 300; i++) {
        hermes_subscriber_t *subscriber;
        assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
        hermes_subscriber_close(subscriber);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- restarts ---- */

/* All three ways to publish, while the broker is stopped and killed; each message counts once. */
static void publish_through_restarts(struct fixture *f, const char *topic, bool shared,
                                     enum hermes_durability durability)
{
    enum { ROUNDS = 12, BURST = 50 };
    while (hermes_ping(f->client) < 0) /* the last broker was killed: its socket may take a moment to die */
        ;
    make_topic_of(f, topic, shared, durability);
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_client_t *reader; /* of its own: sessions are found anew one by one */
    assert_int_equal(hermes_connect(NULL, &reader), 0);
    assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(reader, topic, NULL, &subscriber), 0);
    uint64_t number = 0;
    for (int round = 0; round < ROUNDS; round++) {
        void *claimed = NULL;
        if (round % 3 == 2)
            assert_int_equal(hermes_claim(publisher, 40, &claimed), 0);
        if (round % 2 == 0) {
            /* Through a connection: what is on its way at an orderly stop is known by nobody. */
            stop_broker(f, round % 4 == 0 && transport() == NULL ? SIGTERM : SIGKILL);
            start_broker(f);
        }
        if (claimed != NULL) {
            number++;
            memcpy(claimed, &number, sizeof number);
            memset((char *)claimed + 8, 'c', 32);
            assert_int_equal(hermes_commit(publisher, NULL), 0);
        }
        if (round % 3 == 1) {
            uint64_t numbers[BURST];
            hermes_slice_t slices[BURST];
            for (int i = 0; i < BURST; i++) {
                numbers[i] = ++number;
                slices[i] = (hermes_slice_t){&numbers[i], sizeof numbers[i]};
            }
            assert_int_equal(hermes_publish_batch(publisher, slices, BURST), BURST);
        } else {
            for (int i = 0; i < BURST; i++) {
                number++;
                assert_int_equal(hermes_publish(publisher, &number, sizeof number, NULL), 0);
            }
        }
    }
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, 60000000000u), 0);
    if (transport() == NULL)
        assert_int_equal(hermes_publisher_sequence(publisher), number);
    expect_counters(subscriber, number);
    assert_int_equal(hermes_seek_first(subscriber), 0);
    expect_counters(subscriber, number);
    hermes_disconnect(reader);
    hermes_publisher_close(publisher);
}

static void test_exclusive_through_restarts(void **state)
{
    publish_through_restarts(*state, "t", false, HERMES_DURABILITY_ASYNC);
    publish_through_restarts(*state, "sync", false, HERMES_DURABILITY_SYNC);
}

static void test_shared_through_restarts(void **state)
{
    publish_through_restarts(*state, "t", true, HERMES_DURABILITY_ASYNC);
    publish_through_restarts(*state, "sync", true, HERMES_DURABILITY_SYNC);
}

/* No broker within wait_ns: said so; and nothing is lost once there is one. */
static void publish_without_a_broker(struct fixture *f, const char *topic, bool shared)
{
    make_topic(f, topic, shared);
    hermes_publisher_options_t options = {.size = sizeof options, .wait_ns = 20000000};
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, topic, &options, &publisher), 0);
    uint64_t number = 1;
    assert_int_equal(hermes_publish(publisher, &number, sizeof number, NULL), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, 60000000000u), 0);
    stop_broker(f, SIGTERM);
    int rc;
    do { /* a ring takes some more */
        number++;
        rc = hermes_publish(publisher, &number, sizeof number, NULL);
    } while (rc == 0);
    assert_int_equal(rc, shared && transport() == NULL ? HERMES_EAGAIN : HERMES_EDISCONNECTED);
    assert_non_null(strstr(hermes_last_error(f->client), "no broker"));
    if (rc == HERMES_EAGAIN)
        number--; /* it never got into the ring */
    uint64_t refused = number + 1;
    assert_int_equal(hermes_publish(publisher, &refused, sizeof refused, NULL), HERMES_EAGAIN);
    assert_true(hermes_publisher_wait(publisher, HERMES_COMMITTED, 20000000) < 0);
    assert_true(hermes_publisher_confirmed(publisher, HERMES_COMMITTED) < number);
    start_broker(f);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, 60000000000u), 0);
    assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_COMMITTED), number);
    number++;
    assert_int_equal(hermes_publish(publisher, &number, sizeof number, NULL), 0);
    hermes_subscriber_t *subscriber;
    assert_int_equal(hermes_subscriber_open(f->client, topic, NULL, &subscriber), 0);
    assert_int_equal(hermes_seek_first(subscriber), 0);
    expect_counters(subscriber, number);
    hermes_subscriber_close(subscriber);
    hermes_publisher_close(publisher);
}

static void test_without_a_broker(void **state)
{
    publish_without_a_broker(*state, "exclusive", false);
    publish_without_a_broker(*state, "shared", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_payloads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_publisher_of_an_exclusive_topic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync_is_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_confirmations_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_that_are_all_0_are_the_default_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_structs_may_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_urls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptor_for_event_loops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgets_after_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscribers_come_while_publishers_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive_through_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_through_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_broker, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
