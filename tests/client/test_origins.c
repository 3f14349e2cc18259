/* What a publisher had on its way through a connection is in its topic once, whatever became of the broker:
 * stopped in order, killed, or gone with the machine. */
#include "proxy.h"

#include <dirent.h>
#include <inttypes.h>

static int setup_tcp(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tcp", 1);
    return setup(state);
}

static const uint64_t long_ns = 60000000000u;

static hermes_publisher_t *publish_to(struct fixture *f, const char *topic)
{
    hermes_publisher_t *publisher;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = HERMES_PUBLISH_NO_WAIT};
    if (hermes_publisher_open(f->client, topic, &options, &publisher) != 0)
        fail_msg("%s", hermes_last_error(f->client));
    hermes_publisher_set_wait(publisher, long_ns); /* a loaded machine is no reason for an error */
    return publisher;
}

static void publish_numbers(struct fixture *f, hermes_publisher_t *publisher, uint64_t from, uint64_t to)
{
    char payload[1500] = {0};
    for (uint64_t i = from; i <= to; i++) {
        memcpy(payload, &i, sizeof i);
        if (hermes_publish(publisher, payload, sizeof i + i * 37 % 1400, NULL) != 0)
            fail_msg("message %" PRIu64 ": %s", i, hermes_last_error(f->client));
    }
}

static void wait_for(struct fixture *f, hermes_publisher_t *publisher, enum hermes_confirmation confirmation)
{
    if (hermes_publisher_wait(publisher, confirmation, long_ns) != 0)
        fail_msg("%s", hermes_last_error(f->client));
}

/* All that the topic has, by a subscriber of its own: numbers from..to, each once, in order. */
static void expect_topic(struct fixture *f, const char *topic, uint64_t from, uint64_t to)
{
    hermes_message_t message;
    hermes_subscriber_t *subscriber;
    hermes_subscriber_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_subscriber_open(f->client, topic, &options, &subscriber), 0);
    for (uint64_t i = from; i <= to; i++) {
        uint64_t number;
        assert_int_equal(hermes_wait(subscriber, &message, long_ns), 1);
        memcpy(&number, message.payload, sizeof number);
        assert_int_equal(number, i);
        assert_int_equal(message.sequence, i - from + 1);
    }
    assert_int_equal(hermes_poll(subscriber, &message), 0);
    hermes_subscriber_close(subscriber);
}

/* The broker sleeps while the others than the first are handed to the connection: they are on their way when
 * it ends. */
static void publish_to_a_sleeper(struct fixture *f, hermes_publisher_t *publisher, uint64_t from, uint64_t to)
{
    publish_numbers(f, publisher, from, from);
    wait_for(f, publisher, HERMES_COMMITTED);
    assert_int_equal(kill(f->broker, SIGSTOP), 0);
    publish_numbers(f, publisher, from + 1, to);
}

/* What a reboot leaves of a broker that was killed: its disk. */
static void forget_memory(const char *directory)
{
    char path[512];
    struct dirent *item;
    DIR *files = opendir(directory);
    assert_non_null(files);
    while ((item = readdir(files)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, item->d_name);
        if (item->d_name[0] != '.' || strcmp(item->d_name, ".home") == 0)
            assert_int_equal(unlink(path), 0);
    }
    closedir(files);
    assert_int_equal(rmdir(directory), 0);
}

static void reboot(struct fixture *f, const char *memory)
{
    stop_broker(f, SIGKILL);
    forget_memory(memory);
    start_broker(f);
}

static hermes_broker_info_t describe(const struct fixture *f)
{
    hermes_broker_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_broker_describe(f->client, &info), 0);
    return info;
}

static void stop(struct fixture *f)
{
    stop_broker(f, SIGTERM);
    start_broker(f);
}

static void test_goes_on_when_it_is_stopped_with_messages_on_their_way(void **state)
{
    struct fixture *f = *state;
    for (unsigned shared = 0; shared < 2; shared++) {
        const char *topic = shared ? "shared" : "exclusive";
        make_topic(f, topic, shared);
        hermes_publisher_t *publisher = publish_to(f, topic);
        for (uint64_t i = 0; i < 3; i++) {
            publish_to_a_sleeper(f, publisher, i * 100 + 1, i * 100 + 100);
            stop(f);
        }
        wait_for(f, publisher, HERMES_DURABLE);
        assert_int_equal(hermes_publisher_accepted(publisher), 300);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        expect_topic(f, topic, 1, 300);
    }
}

/* Nothing of it may be in the topic. */
static void test_goes_on_when_all_that_it_ever_published_is_on_its_way(void **state)
{
    struct fixture *f = *state;
    hermes_broker_info_t info = describe(f);
    for (unsigned way = 0; way < 2; way++) {
        const char *topic = way == 0 ? "stopped" : "rebooted";
        make_topic(f, topic, true);
        hermes_publisher_t *publisher = publish_to(f, topic);
        assert_int_equal(kill(f->broker, SIGSTOP), 0);
        publish_numbers(f, publisher, 1, 100);
        if (way == 0)
            stop(f);
        else
            reboot(f, info.memory);
        wait_for(f, publisher, HERMES_DURABLE);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        expect_topic(f, topic, 1, 100);
    }
}

static void test_goes_on_after_a_reboot(void **state)
{
    static const enum hermes_durability kinds[] = {HERMES_DURABILITY_ASYNC, HERMES_DURABILITY_SYNC};
    struct fixture *f = *state;
    hermes_broker_info_t info = describe(f);
    for (unsigned i = 0; i < 2; i++) {
        const char *topic = i == 0 ? "async" : "sync";
        make_topic_of(f, topic, true, kinds[i]);
        hermes_publisher_t *publisher = publish_to(f, topic);
        for (uint64_t round = 0; round < 3; round++) {
            publish_to_a_sleeper(f, publisher, round * 100 + 1, round * 100 + 100);
            reboot(f, info.memory);
        }
        publish_numbers(f, publisher, 301, 310);
        wait_for(f, publisher, HERMES_DURABLE);
        assert_int_equal(hermes_publisher_accepted(publisher), 310);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        expect_topic(f, topic, 1, 310);
    }
}

/* What was committed and not stored yet when the machine went is with the publisher still. */
static void test_what_was_confirmed_and_is_gone_goes_once_more(void **state)
{
    struct fixture *f = *state;
    hermes_broker_info_t info = describe(f);
    make_topic(f, "t", true);
    hermes_publisher_t *publisher = publish_to(f, "t");
    for (uint64_t round = 0; round < 5; round++) {
        publish_numbers(f, publisher, round * 100 + 1, round * 100 + 100);
        wait_for(f, publisher, HERMES_COMMITTED);
        reboot(f, info.memory);
    }
    wait_for(f, publisher, HERMES_DURABLE);
    assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), 500);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    expect_topic(f, "t", 1, 500);
}

/* An orderly stop ends what a topic in memory holds; what was not in goes on in the next one. */
static void test_a_topic_in_memory_begins_anew_with_what_was_not_in(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "memory", true, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publish_to(f, "memory");
    publish_to_a_sleeper(f, publisher, 1, 100);
    stop(f);
    publish_numbers(f, publisher, 101, 110);
    wait_for(f, publisher, HERMES_COMMITTED);
    assert_int_equal(hermes_publisher_accepted(publisher), 110);
}

/* Several publishers of one topic, on this host and through connections that are cut at random bytes, beside
 * a broker that is stopped, killed, and loses its memory. */
static void test_each_message_is_in_once_whatever_happens(void **state)
{
    struct fixture *f = *state;
    hermes_broker_info_t info = describe(f);
    struct proxy proxy;
    char url[64];
    uint64_t seed = (uint64_t)time(NULL) * 2654435761u | 1, random = seed;
    const uint64_t rounds = getenv("HERMES_TEST_LONG") != NULL ? 200 : 16;
    print_message("seed %" PRIu64 "\n", seed);
    make_topic(f, "t", true);
    proxy_start(&proxy, f->port);
    hermes_client_t *client;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u?shm=no", proxy.port);
    assert_int_equal(hermes_connect(url, &client), 0);
    hermes_client_t *own = f->client;
    f->client = client;
    hermes_publisher_t *publisher = publish_to(f, "t");
    atomic_store(&proxy.most, 60000);
    atomic_store(&proxy.seed, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        f->client = client;
        publish_numbers(f, publisher, round * 40 + 1, round * 40 + 40);
        f->client = own;
        switch (test_random(&random) % 4) {
        case 0:
            stop(f);
            break;
        case 1:
            stop_broker(f, SIGKILL);
            start_broker(f);
            break;
        case 2:
            reboot(f, info.memory);
            break;
        default:
            break;
        }
    }
    f->client = client;
    wait_for(f, publisher, HERMES_DURABLE);
    assert_int_equal(hermes_publisher_accepted(publisher), rounds * 40);
    assert_int_equal(hermes_disconnect(client), 0);
    f->client = own;
    proxy_stop(&proxy);
    expect_topic(f, "t", 1, rounds * 40);
}

int main(void)
{
#define TCP(test) cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)
    const struct CMUnitTest tests[] = {
        TCP(test_goes_on_when_it_is_stopped_with_messages_on_their_way),
        TCP(test_goes_on_when_all_that_it_ever_published_is_on_its_way),
        TCP(test_goes_on_after_a_reboot),
        TCP(test_what_was_confirmed_and_is_gone_goes_once_more),
        TCP(test_a_topic_in_memory_begins_anew_with_what_was_not_in),
        TCP(test_each_message_is_in_once_whatever_happens),
    };
    return cmocka_run_group_tests_name("origins", tests, NULL, NULL);
}
