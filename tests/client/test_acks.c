/*
 * An acknowledgement names a message that this very subscriber was given. Whatever else it names - another
 * topic's, another subscriber's, one that somebody made up - is refused, and changes nothing.
 */
#include "fixture.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const uint64_t patience_ns = 60000000000u;
enum { MESSAGES = 3 };

static void publish(struct fixture *f, const char *topic)
{
    hermes_publisher_t *publisher;
    make_topic(f, topic, false);
    assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(hermes_publish(publisher, "12345678", 8, NULL), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
}

enum place { ALONE, MEMBER, HOLDER };

static hermes_subscriber_t *subscriber_of(struct fixture *f, const char *topic, enum place place)
{
    hermes_subscriber_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    hermes_subscriber_t *subscriber;
    options.group = place == MEMBER ? "g" : NULL;
    options.name = place == HOLDER ? "g" : NULL;
    options.ack = place == ALONE ? HERMES_ACK_AUTO : HERMES_ACK_MANUAL;
    assert_int_equal(hermes_subscriber_open(f->client, topic, &options, &subscriber), 0);
    return subscriber;
}

static hermes_message_t take(hermes_subscriber_t *subscriber)
{
    hermes_message_t message;
    assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
    return message;
}

static hermes_group_info_t describe(struct fixture *f, const char *topic)
{
    hermes_group_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_group_describe(f->client, topic, "g", &info), 0);
    return info;
}

static void expect_refused(int rc)
{
    assert_true(rc == HERMES_EINVALID || rc == HERMES_EEXPIRED);
}

/* Of a member, which has the first message: nothing that is said of `foreign` does anything. */
static void expect_nothing_comes_of(struct fixture *f, hermes_subscriber_t *s,
                                    const hermes_message_t *foreign)
{
    hermes_group_info_t before = describe(f, "t");
    expect_refused(hermes_ack(s, foreign));
    expect_refused(hermes_nack(s, foreign));
    expect_refused(hermes_renew(s, foreign));
    hermes_group_info_t after = describe(f, "t");
    assert_int_equal(after.done_position, before.done_position);
    assert_int_equal(after.position, before.position);
    assert_int_equal(after.in_flight, before.in_flight);
    assert_int_equal(after.redelivered, before.redelivered);
}

static void refuse_others(struct fixture *f, enum place place)
{
    publish(f, "t");
    hermes_subscriber_t *s = subscriber_of(f, "t", place), *alone = subscriber_of(f, "t", ALONE);
    hermes_message_t mine = take(s), of_another = take(alone);
    expect_nothing_comes_of(f, s, &of_another);
    for (bool same = true; same;) { /* a claim has 13 bits that differ from topic to topic, by chance */
        publish(f, "other");
        hermes_subscriber_t *elsewhere = subscriber_of(f, "other", place);
        hermes_message_t foreign = take(elsewhere);
        assert_int_equal(foreign.position, mine.position);
        assert_int_equal(foreign.sequence, mine.sequence);
        same = foreign.claim == mine.claim;
        if (!same)
            expect_nothing_comes_of(f, s, &foreign);
        hermes_subscriber_close(elsewhere);
        delete_topic(f, "other");
    }
    hermes_message_t made_up = mine;
    made_up.claim ^= 1u << 12;
    expect_nothing_comes_of(f, s, &made_up);
    made_up = mine;
    made_up.position += 64;
    expect_nothing_comes_of(f, s, &made_up);
    expect_nothing_comes_of(f, s, &(hermes_message_t){.position = 0});
    assert_int_equal(hermes_ack(s, &mine), 0);
    assert_int_equal(describe(f, "t").in_flight, 0);
}

static void test_a_member_acknowledges_what_it_was_given(void **state)
{
    refuse_others(*state, MEMBER);
}

static void test_a_durable_subscription_acknowledges_what_it_was_given(void **state)
{
    refuse_others(*state, HOLDER);
}

static void test_another_member_acknowledges_nothing_for_this_one(void **state)
{
    struct fixture *f = *state;
    publish(f, "t");
    hermes_subscriber_t *a = subscriber_of(f, "t", MEMBER), *b = subscriber_of(f, "t", MEMBER);
    hermes_message_t first = take(a), second = take(b);
    expect_nothing_comes_of(f, a, &second);
    expect_nothing_comes_of(f, b, &first);
    assert_int_equal(hermes_ack(a, &first), 0);
    assert_int_equal(hermes_ack(b, &second), 0);
}

static void test_who_is_alone_acknowledges_nothing(void **state)
{
    struct fixture *f = *state;
    publish(f, "t");
    hermes_subscriber_t *s = subscriber_of(f, "t", ALONE);
    hermes_message_t message = take(s);
    assert_int_equal(hermes_ack(s, &message), HERMES_EINVALID);
    assert_int_equal(hermes_nack(s, &message), HERMES_EINVALID);
    assert_int_equal(hermes_renew(s, &message), HERMES_EINVALID);
    assert_int_equal(take(s).sequence, 2);
}

enum { CANNOT_TELL = 77 };

/* In a child, which is killed at the first system call but the one that ends it. */
static void ack_without_the_kernel(enum place place)
{
    hermes_subscriber_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    *(place == MEMBER ? &options.group : &options.name) = place == MEMBER ? "members" : "holder";
    hermes_client_t *client;
    hermes_subscriber_t *s;
    hermes_message_t first, second;
    if (hermes_connect(NULL, &client) < 0 || hermes_subscriber_open(client, "t", &options, &s) < 0 ||
        hermes_wait(s, &first, patience_ns) != 1 || hermes_ack(s, &first) != 0 ||
        hermes_wait(s, &second, patience_ns) != 1)
        _exit(1);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        _exit(CANNOT_TELL);
    bool is_renewed = place == HOLDER || hermes_renew(s, &second) == 0;
    bool is_acked = hermes_ack(s, &second) == 0 && hermes_ack(s, &second) == 0;
    syscall(SYS_exit, is_renewed && is_acked ? 0 : 2);
}

static void test_an_ack_needs_no_system_call(void **state)
{
    struct fixture *f = *state;
    int status;
#ifdef __SANITIZE_THREAD__
    skip(); /* it has calls of its own */
#endif
    if (transport() != NULL)
        skip(); /* a round trip */
    publish(f, "t");
    for (enum place place = MEMBER; place <= HOLDER; place++) {
        pid_t child = test_fork();
        if (child == 0)
            ack_without_the_kernel(place);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_TELL)
            skip();
        if (transport() == NULL)
            assert_int_equal(status, 0);
        else
            assert_true(WIFSIGNALED(status)); /* over a connection it is a round trip */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_member_acknowledges_what_it_was_given),
        TEST(test_a_durable_subscription_acknowledges_what_it_was_given),
        TEST(test_another_member_acknowledges_nothing_for_this_one),
        TEST(test_who_is_alone_acknowledges_nothing),
        TEST(test_an_ack_needs_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
