/*
 * A broker is back, and does not run: it is there to be greeted, and does not answer. Who has messages to
 * read reads them meanwhile.
 */
#include "counters.h"
#include "kinds.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "client/subscriber.h"

enum { MESSAGES = 100 };
enum way { BY_WAIT, BY_POLL, WAYS };

struct reading {
    hermes_subscriber_t *subscriber;
    enum way way;
    _Atomic uint64_t read;
    uint64_t failure;
};

static int read_one(struct reading *reading, hermes_message_t *message)
{
    return reading->way == BY_WAIT ? hermes_wait(reading->subscriber, message, patience_ns)
                                   : hermes_poll(reading->subscriber, message);
}

static void *read_all(void *argument)
{
    struct reading *reading = argument;
    while (atomic_load(&reading->read) < MESSAGES) {
        hermes_message_t message;
        uint64_t number, next = atomic_load(&reading->read) + 1;
        int rc = read_one(reading, &message);
        if (rc == 0)
            continue;
        memcpy(&number, message.payload, sizeof number);
        if (rc < 0 || number != next) {
            reading->failure = next;
            break;
        }
        atomic_store(&reading->read, next);
    }
    return NULL;
}

static bool is_read(struct reading *reading, uint64_t count)
{
    for (time_t start = time(NULL); atomic_load(&reading->read) < count;)
        if (time(NULL) - start > 20)
            return false;
    return true;
}

/*
 * The first messages are there when the broker dies, each other one comes when the one before it was read: so
 * the reader is to be found waiting. Whatever it asks the broker has ten minutes to be answered, and is not.
 */
static void read_beside_a_broker_that_does_not_run(struct fixture *f, enum kind kind, enum way way)
{
    make_topic_for_all(f);
    hermes_client_t *client = connect_client(), *publishing = connect_client();
    struct reading reading = {.subscriber = subscriber_of(client, kind), .way = way};
    hermes_publisher_t *publisher = publisher_of(publishing, "t", 0);
    hermes_publisher_set_wait(publisher, 0);
    uint64_t next = 1;
    while (next <= MESSAGES / 4)
        assert_int_equal(publish(publisher, next++), 0);
    client->request_timeout_ns = 600000000000u;
    stop_broker(f, SIGKILL);
    start_broker(f);
    kill(f->broker, SIGSTOP);

    uint64_t asked = client->channel.correlation, start_ns = clock_monotonic_ns();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reading), 0);
    bool in_time = true;
    while (next <= MESSAGES) {
        in_time = in_time && is_read(&reading, next - 1);
        assert_int_equal(publish(publisher, next++), 0);
    }
    in_time = in_time && is_read(&reading, MESSAGES);
    kill(f->broker, SIGCONT);
    pthread_join(thread, NULL);
    assert_true(in_time);
    assert_int_equal(reading.failure, 0);
    /* Nor does it lose 20 ms with each of them: it asks after pauses of 20 ms that double, up to a second,
     * and for a member, whose lease runs, up to 100 ms (each time a greeting, what it wants, and that it
     * forgets it). */
    uint64_t ms = (clock_monotonic_ns() - start_ns) / 1000000;
    bool is_member = kind == MEMBER || kind == DURABLE;
    assert_in_range(client->channel.correlation - asked, 0, 4 * (is_member ? 5 + ms / 100 : 8 + ms / 1000));
    hermes_disconnect(client);
    hermes_disconnect(publishing);
    while (hermes_ping(f->client) < 0)
        ;
    delete_topic(f, "t");
}

static void test_a_broker_that_does_not_run_delays_no_message(void **state)
{
    for (enum kind kind = PLAIN; kind < KINDS; kind++)
        for (enum way way = BY_WAIT; way < WAYS; way++)
            read_beside_a_broker_that_does_not_run(*state, kind, way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_broker_that_does_not_run_delays_no_message, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
