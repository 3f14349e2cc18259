/* membarrier(2) refused to the broker alone, as a container's profile may: who publishes fences for itself,
 * so that a sequencer or persister that sleeps is always woken. */
#include "fixture.h"

#include "base/wait.h"
#include "client/publisher.h"

static void check(hermes_client_t *client, const char *topic, bool alone)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(client, topic, NULL, &publisher), 0);
    assert_int_equal(publisher->writer.membarrier, alone);
    assert_int_equal(hermes_publish(publisher, "x", 1, NULL), 0);
    hermes_publisher_close(publisher);
}

static void publishers_fence_for_a_broker_that_cannot(void **state)
{
    struct fixture *f = *state;
    bool ours = barrier_register();
    make_topic(f, "shared", true);
    make_topic(f, "exclusive", false);
    check(f->client, "shared", ours);
    check(f->client, "exclusive", ours);
    hermes_disconnect(f->client);
    stop_broker(f, SIGTERM);
    start_broker_denied(f, "membarrier");
    assert_int_equal(hermes_connect(NULL, &f->client), 0);
    check(f->client, "shared", false);
    check(f->client, "exclusive", false);
}

/* Thousands of times the sequencer sleeps, or is about to: none of the messages lies in its ring for long. */
static void a_sequencer_that_sleeps_is_woken(void **state)
{
    struct fixture *f = *state;
    hermes_disconnect(f->client);
    stop_broker(f, SIGTERM);
    char path[96];
    snprintf(path, sizeof path, "%s/hermes.conf", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("[broker]\nspin_us = 0\n", file);
    fclose(file);
    start_broker_denied(f, "membarrier");
    assert_int_equal(hermes_connect(NULL, &f->client), 0);
    make_topic_of(f, "t", true, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(hermes_publish(publisher, "x", 1, NULL), 0);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, 20000000000u), 0);
    }
    hermes_publisher_close(publisher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publishers_fence_for_a_broker_that_cannot, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sequencer_that_sleeps_is_woken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
