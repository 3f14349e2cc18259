/*
 * Lines of the status page after a restart: a publisher that lives finds in its own line what the former
 * broker took, however many others are of publishers that are gone.
 */
#include "counters.h"

enum { OTHERS = 255, OTHERS_A_SESSION = 60, SESSIONS = (OTHERS + OTHERS_A_SESSION - 1) / OTHERS_A_SESSION };

struct crowd {
    hermes_client_t *clients[SESSIONS];
    hermes_publisher_t *publishers[OTHERS];
};

static void open_crowd(struct crowd *crowd)
{
    for (int i = 0; i < OTHERS; i++) {
        if (i % OTHERS_A_SESSION == 0)
            crowd->clients[i / OTHERS_A_SESSION] = connect_client();
        crowd->publishers[i] = publisher_of(crowd->clients[i / OTHERS_A_SESSION], "t", 0);
    }
}

/* Without a word: to the broker, their processes died. */
static void lose_crowd(struct crowd *crowd)
{
    for (int i = 0; i < SESSIONS; i++)
        hermes_forget(crowd->clients[i]);
}

static void close_crowd(struct crowd *crowd)
{
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(hermes_disconnect(crowd->clients[i]), 0);
}

/* Messages 2 to 6: some in the log, none of them confirmed to anybody, when the broker dies. */
static void die_amid_messages(struct fixture *f, hermes_publisher_t *publisher)
{
    for (uint64_t i = 2; i <= 4; i++)
        assert_int_equal(publish(publisher, i), 0);
    while (describe("t").last_sequence < 4)
        ;
    kill(f->broker, SIGSTOP);
    for (uint64_t i = 5; i <= 6; i++)
        assert_int_equal(publish(publisher, i), 0);
    stop_broker(f, SIGKILL);
}

static void expect_all_in(hermes_publisher_t *publisher)
{
    assert_int_equal(publish(publisher, 7), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), 0);
    assert_int_equal(hermes_publisher_accepted(publisher), 7);
}

/* All others' rings had ended. Newcomers ask first, and take all lines but one. */
static void test_newcomers_take_the_lines_of_those_who_had_gone(void **state)
{
    struct fixture *f = *state;
    struct crowd crowd;
    make_topic(f, "t", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0); /* the first line is its own */
    assert_int_equal(publish(publisher, 1), 0);
    open_crowd(&crowd);
    lose_crowd(&crowd);
    while (describe("t").publishers > 1)
        ;
    die_amid_messages(f, publisher);
    start_broker(f);
    open_crowd(&crowd);
    hermes_client_t *last = connect_client();
    hermes_publisher_t *refused;
    expect_all_in(publisher);
    assert_int_equal(hermes_publisher_open(last, "t", NULL, &refused), HERMES_ELIMIT);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
    close_crowd(&crowd);
    hermes_disconnect(last);
    expect_counters("t", 7);
}

/* All others had rings, too, and died with the broker. */
static void test_who_is_back_has_a_line_beside_255_that_are_not(void **state)
{
    struct fixture *f = *state;
    struct crowd crowd;
    make_topic(f, "t", true);
    hermes_client_t *client = connect_client();
    hermes_publisher_t *publisher = publisher_of(client, "t", 0);
    assert_int_equal(publish(publisher, 1), 0);
    open_crowd(&crowd);
    die_amid_messages(f, publisher);
    lose_crowd(&crowd);
    start_broker(f);
    expect_all_in(publisher);
    open_crowd(&crowd); /* and so has everybody who comes now */
    assert_int_equal(publish(publisher, 8), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
    close_crowd(&crowd);
    expect_counters("t", 8);
}

/* None of them takes the line of another that did not ask yet, whoever comes first. */
static void test_all_who_are_back_find_what_was_taken_of_theirs(void **state)
{
    struct fixture *f = *state;
    static struct crowd crowd;
    make_topic(f, "t", true);
    open_crowd(&crowd);
    hermes_publisher_t *last = publisher_of(crowd.clients[SESSIONS - 1], "t", 0); /* all lines are in use */
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(publish(crowd.publishers[i], 1), 0);
    while (describe("t").last_sequence < OTHERS)
        ;
    kill(f->broker, SIGSTOP);
    for (int i = 0; i < OTHERS; i += 2)
        assert_int_equal(publish(crowd.publishers[i], 2), 0);
    stop_broker(f, SIGKILL);
    start_broker(f);
    assert_int_equal(publish(last, 1), 0);
    for (int i = OTHERS - 1; i >= 0; i--)
        assert_int_equal(publish(crowd.publishers[i], 3), 0);
    assert_int_equal(hermes_publisher_wait(last, HERMES_COMMITTED, patience_ns), 0);
    for (int i = 0; i < OTHERS; i++) {
        assert_int_equal(hermes_publisher_wait(crowd.publishers[i], HERMES_COMMITTED, patience_ns), 0);
        assert_int_equal(hermes_publisher_accepted(crowd.publishers[i]), i % 2 == 0 ? 3 : 2);
    }
    close_crowd(&crowd);
    while (describe("t").last_sequence < 1 + 2 * OTHERS + (OTHERS + 1) / 2)
        ;
    assert_int_equal(describe("t").last_sequence, 1 + 2 * OTHERS + (OTHERS + 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_newcomers_take_the_lines_of_those_who_had_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_back_has_a_line_beside_255_that_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_who_are_back_find_what_was_taken_of_theirs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
