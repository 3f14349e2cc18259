/*
 * A deleted topic: who published to it or subscribed to it is told HERMES_ECLOSED by each call, for good,
 * also one that waits; and a topic of the same name that is made anew is another one.
 */
#include "counters.h"
#include "kinds.h"

#include <pthread.h>
#include <stdatomic.h>

/* The next broker does not keep the place of a publisher that was there before a crash: a deletion need not
 * wait until that is over. */
static void keep_no_place(const struct fixture *f)
{
    char path[96];
    snprintf(path, sizeof path, "%s/hermes.conf", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("[broker]\ngrace_ms = 1\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void restart(struct fixture *f, int signal_number)
{
    stop_broker(f, signal_number);
    start_broker(f);
    while (hermes_ping(f->client) < 0)
        ;
}

static void publish_and_leave(const char *topic, uint64_t first, uint64_t last)
{
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = successor_of(client, topic);
    for (uint64_t i = first; i <= last; i++)
        assert_int_equal(publish(publisher, i), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
}

/* ---- publishers: there are some only where a broker has not got them back yet ---- */

static void expect_publisher_over(hermes_publisher_t *publisher)
{
    uint64_t number = 2;
    const hermes_slice_t slices[] = {{&number, sizeof number}, {&number, sizeof number}};
    void *payload;
    for (int i = 0; i < 2; i++) {
        uint64_t sequence = 77;
        assert_int_equal(hermes_publish(publisher, &number, sizeof number, &sequence), HERMES_ECLOSED);
        assert_int_equal(sequence, 0);
        assert_int_equal(hermes_publish_batch(publisher, slices, 2), HERMES_ECLOSED);
        assert_int_equal(hermes_claim(publisher, sizeof number, &payload), HERMES_ECLOSED);
        assert_int_equal(hermes_commit(publisher, &sequence), HERMES_EINVALID);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), HERMES_ECLOSED);
        assert_int_equal(hermes_publisher_poll(publisher), HERMES_ECLOSED);
    }
    assert_int_equal(hermes_publisher_accepted(publisher), 1);
    assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), 1);
    assert_int_equal(hermes_publisher_close(publisher), 0); /* what is not in was told */
}

static void publisher_of_a_deleted_topic(struct fixture *f, bool shared, int signal_number, bool anew)
{
    make_topic(f, "t", shared);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    assert_int_equal(publish(publisher, 1), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    keep_no_place(f);
    restart(f, signal_number);
    delete_topic(f, "t");
    if (anew)
        make_topic(f, "t", shared);
    bool page_says_so = signal_number == SIGKILL && !anew; /* then nobody has to be asked */
    if (page_says_so)
        stop_broker(f, SIGTERM);
    expect_publisher_over(publisher);
    if (page_says_so)
        start_broker(f);
    assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), anew ? 0 : HERMES_ENOTFOUND);
    if (anew)
        assert_int_equal(publish(publisher, 1), 0);
    hermes_disconnect(client);
    if (!anew)
        return;
    expect_counters("t", 1); /* nothing of the other one's */
    delete_topic(f, "t");
}

static void test_publishers_of_a_deleted_topic_are_told(void **state)
{
    static const int signals[] = {SIGKILL, SIGTERM};
    for (int i = 0; i < 8; i++)
        publisher_of_a_deleted_topic(*state, i & 1, signals[i >> 1 & 1], i >> 2 & 1);
}

/* ---- publishers that wait ---- */

enum waiting { IN_PUBLISH, IN_BATCH, IN_CLAIM, UNTIL_COMMITTED, UNTIL_DURABLE, IN_CLOSE, WAITINGS };

static int wait_in(hermes_publisher_t *publisher, enum waiting waiting)
{
    uint64_t number = 2;
    const hermes_slice_t slices[] = {{&number, sizeof number}, {&number, sizeof number}};
    void *payload;
    switch (waiting) {
    case IN_PUBLISH:
        return publish(publisher, number);
    case IN_BATCH:
        return (int)hermes_publish_batch(publisher, slices, 2);
    case IN_CLAIM: /* the window that it has may have room for one; what it says is told by the commit */
        return hermes_claim(publisher, sizeof number, &payload) < 0 ? HERMES_ECLOSED
                                                                    : hermes_commit(publisher, NULL);
    case UNTIL_COMMITTED:
        return hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns);
    case UNTIL_DURABLE:
        return hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns);
    default: /* one message is not in: the one that no call has told of */
        return hermes_publisher_close(publisher) == 1 ? HERMES_ECLOSED : HERMES_OK;
    }
}

/* A process of its own, which can be stopped. Says "ready", and "waits" once it is told that the broker is
 * gone; its exit code is what the call returned. */
static int wait_elsewhere(enum waiting waiting, int in, int out)
{
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    hermes_publisher_options_t options = {
        .size = sizeof options, .flags = HERMES_PUBLISH_NO_WAIT, .wait_ns = patience_ns};
    char byte = 0;
    if (hermes_connect(NULL, &client) < 0 || hermes_publisher_open(client, "t", &options, &publisher) < 0 ||
        write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
        return 100;
    if (waiting >= UNTIL_COMMITTED) { /* one that is taken, and waits for a broker */
        hermes_publisher_set_wait(publisher, 0);
        int rc = publish(publisher, 1);
        hermes_publisher_set_wait(publisher, patience_ns);
        if (rc != 0 && rc != HERMES_EDISCONNECTED)
            return 101;
    }
    if (write(out, &byte, 1) != 1)
        return 102;
    return -wait_in(publisher, waiting);
}

struct waiter {
    pid_t process;
    int to, from;
};

static void expect_word(const struct waiter *waiter)
{
    char byte;
    assert_int_equal(read(waiter->from, &byte, 1), 1);
}

static struct waiter begin_waiting(enum waiting waiting)
{
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    struct waiter waiter = {.process = test_fork(), .to = in[1], .from = out[0]};
    if (waiter.process == 0) {
        close(in[1]);
        close(out[0]);
        _exit(wait_elsewhere(waiting, in[0], out[1]));
    }
    close(in[0]);
    close(out[1]);
    expect_word(&waiter);
    return waiter;
}

static void publisher_waits(struct fixture *f, bool shared, int signal_number, bool anew,
                            enum waiting waiting)
{
    int status = 0;
    make_topic(f, "t", shared);
    struct waiter waiter = begin_waiting(waiting);
    stop_broker(f, signal_number);
    assert_int_equal(write(waiter.to, "", 1), 1);
    expect_word(&waiter);
    await_sleep(waiter.process, waiter.process); /* for a broker */
    kill(waiter.process, SIGSTOP);
    assert_int_equal(waitpid(waiter.process, &status, WUNTRACED), waiter.process);
    assert_true(WIFSTOPPED(status));
    start_broker(f);
    while (hermes_ping(f->client) < 0)
        ;
    delete_topic(f, "t");
    if (anew)
        make_topic(f, "t", shared);
    kill(waiter.process, SIGCONT);
    assert_int_equal(waitpid(waiter.process, &status, 0), waiter.process);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != -HERMES_ECLOSED)
        fail_msg("shared %d, signal %d, anew %d, waiting %d: %d", shared, signal_number, anew, (int)waiting,
                 -WEXITSTATUS(status));
    close(waiter.to);
    close(waiter.from);
    if (anew) {
        expect_counters("t", 0);
        delete_topic(f, "t");
    }
}

static void test_publishers_that_wait_are_told(void **state)
{
    for (enum waiting waiting = IN_PUBLISH; waiting < WAITINGS; waiting++)
        for (int anew = 0; anew < 2; anew++)
            publisher_waits(*state, false, SIGTERM, anew, waiting);
}

static void test_publishers_to_a_shared_topic_that_wait_are_told(void **state)
{
    static const enum waiting waitings[] = {UNTIL_COMMITTED, UNTIL_DURABLE, IN_CLOSE};
    static const int signals[] = {SIGKILL, SIGTERM};
    for (size_t i = 0; i < sizeof waitings / sizeof waitings[0]; i++)
        for (int j = 0; j < 4; j++)
            publisher_waits(*state, true, signals[j & 1], j >> 1, waitings[i]);
}

/* ---- subscribers ---- */

static int take_one(void *context, const hermes_message_t *message)
{
    (void)context;
    (void)message;
    return 0;
}

static void expect_subscriber_over(hermes_subscriber_t *subscriber, enum kind kind)
{
    hermes_message_t message;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(poll_until_told(subscriber, &message), HERMES_ECLOSED);
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), HERMES_ECLOSED);
        assert_int_equal(hermes_poll_many(subscriber, 10, take_one, NULL), HERMES_ECLOSED);
        if (kind == MEMBER) /* stands where its group does */
            continue;
        assert_int_equal(hermes_seek_first(subscriber), HERMES_ECLOSED);
        assert_int_equal(hermes_seek_sequence(subscriber, 1), HERMES_ECLOSED);
        assert_int_equal(hermes_seek_end(subscriber), HERMES_ECLOSED);
    }
}

static void expect_messages(hermes_subscriber_t *subscriber, uint64_t first, uint64_t last)
{
    hermes_message_t message;
    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
        assert_memory_equal(message.payload, &i, sizeof i);
    }
}

static void test_subscribers_read_what_there_is_and_are_told(void **state)
{
    struct fixture *f = *state;
    for (enum kind kind = PLAIN; kind < KINDS; kind++) {
        make_topic_for_all(f);
        hermes_client_t *client = connect_client();
        hermes_subscriber_t *subscriber = subscriber_of(client, kind);
        publish_and_leave("t", 1, 5);
        expect_messages(subscriber, 1, 2);
        delete_topic(f, "t");
        if (kind == PLAIN || kind == WAITED_FOR) /* the others' places are deleted with the topic */
            expect_messages(subscriber, 3, 5);
        expect_subscriber_over(subscriber, kind);
        hermes_disconnect(client);
    }
}

/* Another topic of the name: what is in it is not theirs. */
static void test_subscribers_of_a_topic_that_was_made_anew_are_told(void **state)
{
    static const int signals[] = {SIGKILL, SIGTERM, 0};
    struct fixture *f = *state;
    for (int i = 0; i < 3 * KINDS; i++) {
        enum kind kind = (enum kind)(i / 3);
        make_topic_for_all(f);
        hermes_client_t *client = connect_client();
        hermes_subscriber_t *subscriber = subscriber_of(client, kind);
        publish_and_leave("t", 1, 5);
        expect_messages(subscriber, 1, 5);
        if (signals[i % 3] != 0)
            restart(f, signals[i % 3]);
        delete_topic(f, "t");
        make_topic_for_all(f);
        publish_and_leave("t", 1, 9);
        expect_subscriber_over(subscriber, kind);
        hermes_subscriber_close(subscriber);
        subscriber = subscriber_of(client, kind); /* who asks for it has it */
        expect_messages(subscriber, 1, 9);
        hermes_disconnect(client);
        delete_topic(f, "t");
    }
}

static _Atomic pid_t waiting_thread;

static void *wait_for_a_message(void *subscriber)
{
    hermes_message_t message;
    atomic_store(&waiting_thread, gettid());
    return (void *)(intptr_t)hermes_wait(subscriber, &message, HERMES_FOREVER);
}

static void test_subscribers_that_wait_are_told(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2 * KINDS; i++) {
        enum kind kind = (enum kind)(i / 2);
        bool away = i % 2 != 0; /* a broker that is stopped, and comes back without the topic */
        make_topic_for_all(f);
        hermes_client_t *client = connect_client();
        hermes_subscriber_t *subscriber = subscriber_of(client, kind);
        pthread_t thread;
        void *result;
        atomic_store(&waiting_thread, 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_a_message, subscriber), 0);
        while (atomic_load(&waiting_thread) == 0)
            ;
        await_sleep(getpid(), atomic_load(&waiting_thread));
        if (away)
            restart(f, SIGTERM);
        delete_topic(f, "t");
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_int_equal((intptr_t)result, HERMES_ECLOSED);
        expect_subscriber_over(subscriber, kind);
        hermes_disconnect(client);
    }
}

static void *open_and_close(void *argument)
{
    _Atomic bool *stop = argument;
    intptr_t odd = 0;
    hermes_client_t *client;
    if (hermes_connect(NULL, &client) < 0)
        return (void *)(intptr_t)HERMES_EIO;
    while (!atomic_load(stop) && odd == 0) {
        hermes_subscriber_t *s;
        int rc = hermes_subscriber_open(client, "t", NULL, &s);
        if (rc == 0)
            hermes_subscriber_close(s);
        odd = rc == HERMES_ENOTFOUND ? 0 : rc;
    }
    hermes_disconnect(client);
    return (void *)odd;
}

/* Whether it goes before the broker answers, or while the subscriber looks at what it was given. */
static void test_a_topic_that_is_deleted_is_not_found(void **state)
{
    struct fixture *f = *state;
    _Atomic bool stop = false;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &stop), 0);
    for (int i = 0; i < 300; i++) {
        make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
        delete_topic(f, "t");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        void *odd;
        assert_int_equal(pthread_join(threads[i], &odd), 0);
        assert_int_equal((intptr_t)odd, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_publishers_of_a_deleted_topic_are_told),
        TEST(test_publishers_that_wait_are_told),
        TEST(test_publishers_to_a_shared_topic_that_wait_are_told),
        TEST(test_subscribers_read_what_there_is_and_are_told),
        TEST(test_subscribers_of_a_topic_that_was_made_anew_are_told),
        TEST(test_subscribers_that_wait_are_told),
        TEST(test_a_topic_that_is_deleted_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
