/* What is committed is stored and synced, whoever wrote it, and whatever the broker knows of that; and
 * nothing is done where nothing happens. */
#include "fixture.h"

#include <sched.h>
#include <sys/socket.h>

#include "client/client.h"

enum { TOPICS = 300, TOPICS_A_SESSION = 60, SESSIONS = TOPICS / TOPICS_A_SESSION };

/* From the beginning of a test. What it waits for takes milliseconds: each message that nobody was woken for
 * takes a second, and a few of them all of these. */
static uint64_t limit_seconds(void)
{
    return (uint64_t)time(NULL) + 60;
}

/* Looks at what the broker says, and does nothing that wakes it, as hermes_publisher_wait() would. */
static void await_durable(hermes_publisher_t *publisher, uint64_t sequence, uint64_t end)
{
    for (; hermes_publisher_confirmed(publisher, HERMES_DURABLE) < sequence; sched_yield())
        if ((uint64_t)time(NULL) > end)
            fail_msg("message %lu is not stored", (unsigned long)sequence);
}

static void await_durable_topic(hermes_client_t *client, const char *topic)
{
    hermes_topic_info_t info = {.size = sizeof info};
    for (uint64_t end = limit_seconds();;) {
        assert_int_equal(hermes_topic_describe(client, topic, &info), 0);
        if (info.durable_position == info.committed_position)
            return;
        if ((uint64_t)time(NULL) > end)
            fail_msg("stored: %lu of %lu", (unsigned long)info.durable_position,
                     (unsigned long)info.committed_position);
    }
}

/* To the nanosecond: what /proc counts are ticks, and who sleeps through them costs nothing there. */
static uint64_t cpu_ns(pid_t process)
{
    clockid_t clock;
    struct timespec used;
    assert_int_equal(clock_getcpuclockid(process, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* ---- many topics ---- */

struct crowd {
    hermes_client_t *clients[SESSIONS];
    hermes_publisher_t *publishers[TOPICS];
};

static void open_crowd(struct fixture *f, struct crowd *crowd, enum hermes_durability durability)
{
    for (int i = 0; i < TOPICS; i++) {
        char name[32];
        snprintf(name, sizeof name, "topic-%d", i);
        if (i % TOPICS_A_SESSION == 0)
            assert_int_equal(hermes_connect(NULL, &crowd->clients[i / TOPICS_A_SESSION]), 0);
        make_topic_of(f, name, false, durability);
        assert_int_equal(
            hermes_publisher_open(crowd->clients[i / TOPICS_A_SESSION], name, NULL, &crowd->publishers[i]),
            0);
    }
}

static void close_crowd(struct crowd *crowd)
{
    for (int i = 0; i < TOPICS; i++)
        hermes_publisher_close(crowd->publishers[i]);
    for (int i = 0; i < SESSIONS; i++)
        hermes_disconnect(crowd->clients[i]);
}

static void an_idle_broker_with_many_topics_rests(void **state)
{
    struct fixture *f = *state;
    static struct crowd crowd;
    open_crowd(f, &crowd, HERMES_DURABILITY_ASYNC);
    struct timespec while_nothing_happens = {2, 0};
    nanosleep(&while_nothing_happens, NULL); /* what there was to do is done */
    uint64_t before = cpu_ns(f->broker);
    nanosleep(&while_nothing_happens, NULL);
    double percent = (double)(cpu_ns(f->broker) - before) / 2e9 * 100;
    print_message("%d idle topics: %.3f %% of a core\n", TOPICS, percent);
    assert_true(percent < 2); /* looking at all of them every interval takes more */
    uint64_t end = limit_seconds();
    /* And it is awake as soon as there is something to do, whichever topic it is. */
    for (int i = 0; i < TOPICS; i++) {
        uint64_t sequence;
        assert_int_equal(hermes_publish(crowd.publishers[i], "news", 4, &sequence), 0);
        await_durable(crowd.publishers[i], sequence, end);
    }
    /* All at once. */
    uint64_t sequences[TOPICS];
    for (int i = 0; i < TOPICS; i++)
        assert_int_equal(hermes_publish(crowd.publishers[i], "more", 4, &sequences[i]), 0);
    for (int i = 0; i < TOPICS; i++)
        await_durable(crowd.publishers[i], sequences[i], end);
    close_crowd(&crowd);
}

static void sync_topics_are_confirmed_however_many_there_are(void **state)
{
    struct fixture *f = *state;
    static struct crowd crowd;
    open_crowd(f, &crowd, HERMES_DURABILITY_SYNC);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < TOPICS; i++)
            assert_int_equal(hermes_publish(crowd.publishers[i], "news", 4, NULL), 0);
    close_crowd(&crowd);
}

static void what_is_synced_seldom_is_synced_before_it_rests(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/hermes.conf", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("[store]\nsync_interval_ms = 500\n", file);
    fclose(file);
    stop_broker(f, SIGTERM);
    start_broker(f);
    hermes_publisher_t *publisher;
    make_topic(f, "events", false);
    assert_int_equal(hermes_publisher_open(f->client, "events", NULL, &publisher), 0);
    for (int i = 0; i < 3; i++) { /* who waits rings now and then, and so has it looked at between syncs */
        assert_int_equal(hermes_publish(publisher, "once", 4, NULL), 0);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, 30000000000u), 0);
    }
    hermes_publisher_close(publisher);
}

/* ---- publishers that the broker knows nothing of ---- */

/* It finds out, and comes back, or is fenced: then it was told. */
static void what_a_publisher_without_a_session_was_told_is_stored(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    make_topic(f, "events", false);
    assert_int_equal(hermes_connect(NULL, &client), 0);
    assert_int_equal(hermes_publisher_open(client, "events", NULL, &publisher), 0);
    assert_int_equal(shutdown(client->channel.fd, SHUT_RDWR), 0);
    hermes_topic_info_t info = {.size = sizeof info};
    uint64_t told = 0;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2000; i++) {
        rc = hermes_publish(publisher, "still here", 10, NULL);
        told += rc == 0;
        if (i < 1000) /* time for the broker to find out that the session is over */
            assert_int_equal(hermes_topic_describe(f->client, "events", &info), 0);
    }
    assert_true(rc == 0 || rc == HERMES_EFENCED);
    await_durable_topic(f->client, "events");
    assert_int_equal(hermes_topic_describe(f->client, "events", &info), 0);
    assert_int_equal(info.last_sequence, told);
    hermes_publisher_close(publisher);
    hermes_disconnect(client);
}

static void publish_while_the_broker_stands(struct fixture *f)
{
    pid_t publisher = test_fork();
    if (publisher == 0) {
        hermes_client_t *client;
        hermes_publisher_t *p;
        if (hermes_connect(NULL, &client) != 0 || hermes_publisher_open(client, "events", NULL, &p) != 0)
            _exit(1);
        kill(f->broker, SIGSTOP);
        for (int i = 0; i < 100; i++)
            if (hermes_publish(p, "the last words", 14, NULL) != 0)
                _exit(2);
        _exit(0); /* without closing anything */
    }
    int status;
    assert_int_equal(waitpid(publisher, &status, 0), publisher);
    assert_int_equal(status, 0);
}

static void what_a_window_holds_is_stored_though_publisher_and_broker_died(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "events", false);
    publish_while_the_broker_stands(f);
    stop_broker(f, SIGKILL);
    start_broker(f);
    hermes_client_t *client;
    hermes_topic_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_connect(NULL, &client), 0);
    await_durable_topic(client, "events");
    assert_int_equal(hermes_topic_describe(client, "events", &info), 0);
    assert_int_equal(info.last_sequence, 100);
    hermes_disconnect(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_idle_broker_with_many_topics_rests, setup, teardown),
        cmocka_unit_test_setup_teardown(sync_topics_are_confirmed_however_many_there_are, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_synced_seldom_is_synced_before_it_rests, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_publisher_without_a_session_was_told_is_stored, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_a_window_holds_is_stored_though_publisher_and_broker_died, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
