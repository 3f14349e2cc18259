/* Members of groups where messages go through the connection: whose a message is, what an ack says, and what
 * becomes of both when the connection breaks or the broker dies. */
#include "members.h"
#include "proxy.h"

#include <poll.h>

static int setup_tcp(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "tcp", 1);
    return setup(state);
}

static int setup_unix(void **state)
{
    setenv("HERMES_TEST_TRANSPORT", "unix", 1);
    return setup(state);
}

/* ---- sharing ---- */

/* Of both kinds, in one group: each message goes to one of them. */
static void test_members_here_and_afar_are_one_group(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 600, MEMBERS = 3 };
    char here[128];
    bool seen[MANY + 1] = {false};
    hermes_client_t *clients[MEMBERS];
    hermes_subscriber_t *members[MEMBERS];
    hermes_message_t message;
    make_messages(f, MANY);
    snprintf(here, sizeof here, "unix:%s/broker.sock", f->home);
    for (int i = 0; i < MEMBERS; i++) {
        bool is_here = i == 0 && strcmp(transport(), "unix") == 0; /* who comes over TCP is another user */
        assert_int_equal(hermes_connect(is_here ? here : NULL, &clients[i]), 0);
        members[i] = join(clients[i]);
    }
    for (int got = 0, i = 0; got < MANY; i = (i + 1) % MEMBERS) {
        int rc = hermes_poll(members[i], &message);
        assert_in_range(rc, 0, 1);
        if (rc == 0)
            continue;
        uint64_t number = number_of(&message);
        assert_in_range(number, 1, MANY);
        assert_false(seen[number]);
        assert_int_equal(hermes_deliveries(members[i], &message), 1);
        assert_int_equal(hermes_ack(members[i], &message), 0);
        seen[number] = true;
        got++;
    }
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.members, MEMBERS);
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.last_sequence, MANY);
    for (int i = 0; i < MEMBERS; i++)
        hermes_disconnect(clients[i]);
    assert_int_equal(describe(f, "risk").members, 0);
}

/* So many that were not seen before, in whatever order: what comes again stands before or behind what is new.
 */
static void take_some(hermes_subscriber_t *member, unsigned count, uint64_t *seen)
{
    hermes_message_t message;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
        uint64_t number = number_of(&message);
        assert_in_range(number, 1, 40);
        assert_int_equal(*seen >> number & 1, 0);
        *seen |= (uint64_t)1 << number;
        assert_int_equal(hermes_ack(member, &message), 0);
    }
}

/* What it was given, and what it was sent and had not asked for yet. */
static void test_who_goes_gives_back_what_it_had(void **state)
{
    struct fixture *f = *state;
    uint64_t seen = 0;
    make_messages(f, 20);
    hermes_client_t *other = another();
    hermes_subscriber_t *stays = join(f->client), *goes = join(other);
    for (uint64_t i = 1; i <= 10; i++)
        expect(goes, i);
    hermes_subscriber_close(goes);
    take_some(stays, 20, &seen);
    publish(f, "t", 21, 40);
    goes = join(other);
    take_some(stays, 10, &seen);
    hermes_subscriber_close(stays);
    take_some(goes, 10, &seen);
    hermes_disconnect(other);
}

static void test_large_messages_come_one_by_one_as_they_are(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 40 };
    static uint8_t payload[HERMES_PAYLOAD_MAX];
    hermes_publisher_t *publisher;
    hermes_message_t message;
    make_topic(f, "t", false);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        memset(payload, (int)i, sizeof payload);
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload - i, NULL), 0);
    }
    hermes_subscriber_t *member = join_as(f->client, "risk", HERMES_ACK_AUTO);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
        assert_int_equal(message.length, sizeof payload - i);
        assert_int_equal(((const uint8_t *)message.payload)[message.length - 1], i);
    }
}

/* ---- acknowledging ---- */

/* Whatever becomes of the connection then. */
static void test_what_is_acked_is_done_when_that_returns(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_client_t *other = another();
    hermes_subscriber_t *member = join(other);
    for (uint64_t i = 1; i <= 10; i++) {
        hermes_message_t message = expect(member, i);
        if (i % 2 == 0)
            assert_int_equal(hermes_ack(member, &message), 0);
    }
    assert_int_equal(describe(f, "risk").in_flight, 5);
    hermes_forget(other);
    member = join(f->client);
    for (uint64_t i = 1; i <= 10; i += 2)
        expect(member, i);
    expect_nothing(member);
}

static void test_each_word_of_a_message_has_its_answer(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 3600000000000u, 3, "letters");
    publish(f, "t", 1, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    hermes_message_t first = expect(a, 1), wrong = first;
    wrong.position = 1 << 20;
    for (int i = 0; i < 3; i++) {
        int (*const words[])(hermes_subscriber_t *, const hermes_message_t *) = {hermes_ack, hermes_nack,
                                                                                 hermes_renew};
        assert_int_equal(words[i](a, &wrong), HERMES_EINVALID);
        assert_int_equal(words[i](b, &first), HERMES_EEXPIRED);
        assert_non_null(strstr(hermes_last_error(other), "message 1 of topic 't'"));
    }
    assert_int_equal(hermes_renew(a, &first), 0);
    assert_int_equal(hermes_nack(a, &first), 0);
    hermes_message_t again = expect(b, 1);
    assert_int_equal(hermes_deliveries(b, &again), 2);
    assert_int_equal(hermes_ack(a, &first), HERMES_EEXPIRED);
    assert_int_equal(hermes_nack(b, &again), 0);
    again = expect(b, 1);
    assert_int_equal(hermes_deliveries(b, &again), 3);
    assert_int_equal(hermes_nack(b, &again), 0);
    assert_int_equal(hermes_ack(b, &again), HERMES_EEXPIRED); /* a dead letter by now */
    publish(f, "t", 2, 2);
    again = expect(b, 2);
    assert_int_equal(hermes_ack(b, &again), 0);
    assert_int_equal(hermes_ack(b, &again), 0);
    assert_int_equal(hermes_seek_first(b), HERMES_EINVALID);
    hermes_disconnect(other);
}

static void test_asking_for_the_next_acks_in_auto_mode(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *member = join_as(f->client, "risk", HERMES_ACK_AUTO);
    for (uint64_t i = 1; i <= 50; i++)
        expect(member, i);
    hermes_message_t third = expect(member, 51);
    assert_int_equal(hermes_nack(member, &third), 0);
    for (bool came = false; !came;) { /* behind what was on its way */
        hermes_message_t message;
        assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
        came = number_of(&message) == 51;
    }
    hermes_subscriber_close(member);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.members, 0);
    member = join_as(f->client, "risk", HERMES_ACK_AUTO);
    expect(member, 51);
}

static void test_at_most_once_never_comes_again(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *member = join_as(f->client, "risk", HERMES_ACK_NONE);
    for (uint64_t i = 1; i <= 10; i++)
        expect(member, i);
    hermes_subscriber_close(member);
    assert_int_equal(describe(f, "risk").in_flight, 0);
    expect_nothing(join_as(f->client, "risk", HERMES_ACK_NONE));
}

/* ---- leases ---- */

/* It came here in time, and nobody asked for it before its lease ended. */
static void test_what_lay_here_too_long_does_not_come_under_anothers_lease(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 50000000, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *late = join(f->client), *awake = join(other);
    expect_nothing(late); /* and waits for the next one */
    publish(f, "t", 1, 1);
    while (describe(f, "risk").in_flight == 0)
        sched_yield(); /* it is on its way to who asked first */
    hermes_message_t again = expect(awake, 1), message;
    assert_true(hermes_deliveries(awake, &again) >= 2);
    int rc = hermes_ack(awake, &again);
    assert_true(rc == 0 || rc == HERMES_EEXPIRED); /* it may be slow itself */
    if (rc == 0)
        assert_int_equal(hermes_wait(late, &message, blink_ns), 0);
    hermes_disconnect(other);
}

/* ---- another position, no group ---- */

/* It hears of a reset a moment later: what it had been sent by then is nobody's, and said to be. */
static void expect_behind_a_reset(hermes_subscriber_t *member, uint64_t number)
{
    hermes_message_t message;
    assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
    while (number_of(&message) != number) {
        assert_int_equal(hermes_ack(member, &message), HERMES_EEXPIRED);
        assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
    }
    assert_int_equal(hermes_ack(member, &message), 0);
}

static void test_a_reset_begins_anew(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t held = expect(member, 1);
    for (uint64_t i = 2; i <= 50; i++)
        held = expect(member, i);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_POSITION, .position = held.position};
    reset_group(f, &options);
    assert_int_equal(hermes_ack(member, &held), HERMES_EEXPIRED);
    expect_behind_a_reset(member, 50);
    options.from = HERMES_FROM_END;
    reset_group(f, &options);
    publish(f, "t", 101, 101);
    expect_behind_a_reset(member, 101);
    expect_nothing(member);
}

static void test_a_deletion_is_told_by_each_call(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_messages(f, 2);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t held = expect(member, 1);
    assert_int_equal(hermes_topic_delete(f->client, "t"), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hermes_wait(member, &message, patience_ns), HERMES_ECLOSED);
    assert_int_equal(hermes_ack(member, &held), HERMES_EEXPIRED);
    make_messages(f, 1);
    assert_int_equal(hermes_poll(member, &message), HERMES_ECLOSED);
    expect(join(f->client), 1);
}

static void test_what_was_overwritten_is_told_and_counted(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 20000 }; /* of 64 bytes, in a window of 256 KiB */
    hermes_message_t message;
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 0, NULL);
    publish(f, "t", 1, MANY);
    hermes_subscriber_t *member = join(f->client);
    assert_int_equal(hermes_wait(member, &message, patience_ns), HERMES_EGONE);
    assert_int_equal(hermes_subscriber_describe(member, &counters), 0);
    assert_in_range(counters.lost, 1, MANY - 1);
    for (uint64_t i = counters.lost + 1; i <= MANY; i++) {
        message = expect(member, i);
        assert_int_equal(hermes_ack(member, &message), 0);
    }
    assert_int_equal(describe(f, "risk").lost, counters.lost);
    assert_int_equal(describe(f, "risk").in_flight, 0);
}

/* As long as the broker has not said that there is nothing, somebody who wants what is there looks again. */
static void test_a_member_knows_when_it_has_all_that_is_there(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 100 };
    hermes_message_t message;
    hermes_subscriber_counters_t told = {.size = sizeof told, .awaits_broker = 1};
    make_messages(f, COUNT);
    hermes_subscriber_t *member = join_as(f->client, "risk", HERMES_ACK_AUTO);
    for (uint64_t got = 0; told.awaits_broker != 0;) {
        int rc = hermes_poll(member, &message);
        assert_in_range(rc, 0, 1);
        got += rc == 1;
        if (rc == 0)
            assert_int_equal(hermes_subscriber_describe(member, &told), 0);
        if (told.awaits_broker == 0)
            assert_int_equal(got, COUNT);
    }
    publish(f, "t", COUNT + 1, COUNT + 1);
    expect(member, COUNT + 1);
}

/* ---- waiting by a descriptor ---- */

static void test_an_event_loop_hears_of_each_message(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 20 };
    hermes_message_t message;
    make_topic(f, "t", false);
    hermes_subscriber_t *member = join(f->client);
    hermes_client_t *other = another();
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(other, "t", NULL, &publisher), 0);
    for (uint64_t i = 1; i <= COUNT; i++) {
        int rc;
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
        while ((rc = hermes_poll(member, &message)) == 0) {
            struct pollfd ready = {.fd = hermes_subscriber_fd(member), .events = POLLIN};
            if (hermes_subscriber_arm(member) == 0)
                assert_int_equal(poll(&ready, 1, PATIENCE * 1000), 1);
        }
        assert_int_equal(rc, 1);
        assert_int_equal(number_of(&message), i);
        assert_int_equal(hermes_ack(member, &message), 0);
    }
    hermes_disconnect(other);
}

/* ---- connections that break ---- */

static hermes_client_t *connect_through(const struct proxy *proxy)
{
    char url[64];
    hermes_client_t *client;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u?shm=no", proxy->port);
    if (hermes_connect(url, &client) != 0)
        fail_msg("%s", hermes_last_error(NULL));
    return client;
}

struct tally {
    unsigned seen[3001], unseen;
    bool done[3001];
};

/* What one of them gets next, if anything. What was told to be done never comes again. */
static void work(hermes_subscriber_t *member, bool acks, struct tally *tally)
{
    hermes_message_t message;
    int rc = hermes_wait(member, &message, 1000000);
    if (rc == 0 || rc == HERMES_EDISCONNECTED)
        return;
    assert_int_equal(rc, 1);
    uint64_t number = number_of(&message);
    assert_in_range(number, 1, 3000);
    assert_false(tally->done[number]);
    tally->unseen -= tally->seen[number]++ == 0;
    if (!acks)
        return;
    rc = hermes_ack(member, &message);
    assert_true(rc == 0 || rc == HERMES_EEXPIRED);
    tally->done[number] = rc == 0;
}

/* At random bytes; one of them acks by itself. */
static void test_no_message_is_passed_over_when_connections_break(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 3000 };
    static struct tally tally;
    struct proxy proxy;
    tally = (struct tally){.unseen = MANY};
    make_messages(f, MANY);
    proxy_start(&proxy, f->port);
    hermes_client_t *clients[2] = {connect_through(&proxy), connect_through(&proxy)};
    hermes_subscriber_t *members[2] = {join_as(clients[0], "risk", HERMES_ACK_AUTO), join(clients[1])};
    atomic_store(&proxy.most, 40000);
    atomic_store(&proxy.seed, (uint64_t)time(NULL) * 2654435761u | 1);
    restart(f, SIGKILL); /* so the connections that were there before are over */
    for (unsigned i = 0; tally.unseen > 0; i++)
        work(members[i % 2], i % 2 == 1, &tally);
    print_message("%u cuts\n", atomic_load(&proxy.cuts));
    assert_true(atomic_load(&proxy.cuts) > 0);
    for (unsigned i = 0; describe(f, "risk").in_flight > 0; i++)
        work(members[i % 2], i % 2 == 1, &tally);
    atomic_store(&proxy.seed, 0);
    for (int i = 0; i < 2; i++)
        hermes_disconnect(clients[i]);
    proxy_stop(&proxy);
}

/* A broker that was killed, and its successor, who awaits the member: what it holds is still its own. (What
 * another user's members did since the last record is not known any more, and those over TCP are one.) */
static void test_a_member_lives_through_its_brokers_death(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    make_group(f, 3600000000000u, 0, NULL);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t held[6];
    for (uint64_t i = 1; i <= 5; i++)
        held[i] = expect(member, i);
    assert_int_equal(hermes_ack(member, &held[2]), 0);
    restart(f, SIGKILL);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(hermes_ack(member, &held[i]), 0);
    for (uint64_t i = 6; i <= 10; i++) {
        held[0] = expect(member, i);
        assert_int_equal(hermes_deliveries(member, &held[0]), 1);
        assert_int_equal(hermes_ack(member, &held[0]), 0);
    }
    assert_int_equal(describe(f, "risk").in_flight, 0);
    assert_int_equal(describe(f, "risk").redelivered, 0);
}

/* In good order: what was held is given out again. */
static void test_a_member_goes_over_to_the_next_broker(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_messages(f, 4);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t first = expect(member, 1), second = expect(member, 2);
    assert_int_equal(hermes_ack(member, &first), 0);
    stop_broker(f, SIGTERM);
    assert_int_equal(hermes_wait(member, &message, 1000000), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_poll(member, &message), 0);
    start_broker(f);
    second = expect(member, 2);
    assert_int_equal(hermes_ack(member, &second), 0);
    expect(member, 3);
    expect(member, 4);
}

/* ---- durable subscriptions ---- */

static hermes_subscriber_t *take(hermes_client_t *client, uint32_t ack)
{
    hermes_subscriber_t *subscriber = NULL;
    const hermes_subscriber_options_t options = {
        .size = sizeof options, .name = "desk", .from = HERMES_FROM_FIRST, .ack = ack};
    if (hermes_subscriber_open(client, "t", &options, &subscriber) != 0)
        fail_msg("%s", hermes_last_error(client));
    return subscriber;
}

static void test_a_durable_subscription_goes_on_behind_its_last_ack(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *busy;
    make_messages(f, 100);
    hermes_client_t *other = another();
    hermes_subscriber_t *desk = take(other, HERMES_ACK_MANUAL);
    hermes_message_t held[31];
    for (unsigned i = 1; i <= 30; i++)
        held[i] = expect(desk, i);
    hermes_message_t never = held[30];
    never.position += 64; /* it is here, and was not handed out yet */
    assert_int_equal(hermes_ack(desk, &never), HERMES_EINVALID);
    assert_int_equal(hermes_nack(desk, &held[1]), HERMES_EINVALID);
    assert_int_equal(hermes_renew(desk, &held[1]), HERMES_EINVALID);
    assert_int_equal(hermes_deliveries(desk, &held[1]), 1);
    assert_int_equal(hermes_ack(desk, &held[20]), 0);
    assert_int_equal(hermes_ack(desk, &held[10]), 0);
    const hermes_subscriber_options_t options = {.size = sizeof options, .name = "desk"};
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &busy), HERMES_EBUSY);
    hermes_subscriber_close(desk);
    desk = take(f->client, HERMES_ACK_AUTO);
    expect(desk, 21);
    expect(desk, 22);
    assert_int_equal(hermes_ack(desk, &held[25]), HERMES_EEXPIRED); /* of the one before */
    hermes_subscriber_close(desk);
    desk = take(other, HERMES_ACK_MANUAL);
    expect(desk, 22);
    hermes_disconnect(other);
}

/* Connections break at random bytes, while it opens, too. Nobody else has it meanwhile, so each message comes
 * once and in order, and what was acked over a connection that broke is done. */
static void test_a_durable_subscription_goes_on_where_it_stood(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 2000 };
    hermes_message_t message;
    struct proxy proxy;
    make_messages(f, MANY);
    proxy_start(&proxy, f->port);
    hermes_client_t *client = connect_through(&proxy);
    hermes_subscriber_t *desk = take(client, HERMES_ACK_MANUAL);
    expect(desk, 1);
    atomic_store(&proxy.most, 100000);
    atomic_store(&proxy.seed, (uint64_t)time(NULL) * 2654435761u | 1);
    proxy_cut(&proxy);
    for (uint64_t i = 2; i <= MANY; i++) {
        message = expect(desk, i);
        if (i % 3 == 0)
            assert_int_equal(hermes_ack(desk, &message), 0);
    }
    assert_int_equal(hermes_ack(desk, &message), 0);
    print_message("%u cuts\n", atomic_load(&proxy.cuts));
    assert_true(atomic_load(&proxy.cuts) > 0);
    assert_int_equal(describe(f, "desk").last_sequence, MANY);
    atomic_store(&proxy.seed, 0);
    hermes_disconnect(client);
    proxy_stop(&proxy);
}

static void test_what_a_durable_subscription_had_comes_again_when_another_had_it(void **state)
{
    struct fixture *f = *state;
    struct proxy proxy;
    make_messages(f, 10);
    proxy_start(&proxy, f->port);
    hermes_client_t *client = connect_through(&proxy);
    hermes_subscriber_t *desk = take(client, HERMES_ACK_MANUAL);
    hermes_message_t held[6], message;
    for (unsigned i = 1; i <= 5; i++)
        held[i] = expect(desk, i);
    proxy_cut(&proxy);
    assert_int_equal(hermes_ping(client), 0); /* over another connection then */
    hermes_subscriber_t *other = NULL;
    const hermes_subscriber_options_t options = {
        .size = sizeof options, .name = "desk", .ack = HERMES_ACK_MANUAL};
    while (hermes_subscriber_open(f->client, "t", &options, &other) == HERMES_EBUSY)
        ;
    message = expect(other, 1);
    assert_int_equal(hermes_ack(other, &message), 0);
    assert_int_equal(hermes_ack(desk, &held[5]), HERMES_EEXPIRED); /* nobody waits for what cannot count */
    int rc;
    while ((rc = hermes_wait(desk, &message, patience_ns)) == 0)
        ;
    assert_int_equal(rc, HERMES_EBUSY);
    hermes_subscriber_close(other);
    while ((rc = hermes_wait(desk, &message, patience_ns)) == HERMES_EBUSY)
        ;
    assert_int_equal(rc, 1);
    assert_int_equal(number_of(&message), 2);
    assert_int_equal(hermes_ack(desk, &held[5]), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(desk, &message), 0);
    hermes_disconnect(client);
    proxy_stop(&proxy);
}

/* What comes out while it is armed is told by the next poll. */
static void test_an_event_loop_is_told_that_another_has_its_place(void **state)
{
    struct fixture *f = *state;
    struct proxy proxy;
    hermes_message_t message;
    make_messages(f, 1);
    proxy_start(&proxy, f->port);
    hermes_client_t *client = connect_through(&proxy);
    hermes_subscriber_t *desk = take(client, HERMES_ACK_MANUAL), *other = NULL;
    expect(desk, 1);
    proxy_cut(&proxy);
    assert_int_equal(hermes_ping(client), 0); /* over another connection then */
    const hermes_subscriber_options_t options = {.size = sizeof options, .name = "desk"};
    while (hermes_subscriber_open(f->client, "t", &options, &other) == HERMES_EBUSY)
        ;
    int rc;
    for (time_t start = time(NULL); (rc = hermes_subscriber_arm(desk)) == 0;)
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(rc, 1);
    assert_int_equal(hermes_subscriber_arm(desk), 1); /* until that was heard */
    assert_int_equal(hermes_poll(desk, &message), HERMES_EBUSY);
    hermes_disconnect(client);
    proxy_stop(&proxy);
}

/* ---- publishers that wait ---- */

static uint64_t publish_until_full(hermes_publisher_t *publisher)
{
    static const char payload[1000] = "much";
    uint64_t count = 0;
    int rc;
    while ((rc = hermes_publish(publisher, payload, sizeof payload, NULL)) == 0)
        count++;
    assert_int_equal(rc, HERMES_EAGAIN);
    return count;
}

/* In a topic in memory, of which nothing is left but the window. */
static void test_publishers_wait_for_who_asks_for_it_from_afar(void **state)
{
    struct fixture *f = *state;
    char here[128];
    hermes_client_t *local;
    hermes_publisher_t *publisher;
    hermes_message_t message;
    hermes_topic_options_t topic = {.size = sizeof topic,
                                    .durability = HERMES_DURABILITY_MEMORY,
                                    .window_bytes = 256 * 1024,
                                    .push_back = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &topic), 0);
    const hermes_subscriber_options_t kinds[] = {
        {.size = sizeof kinds[0], .flags = HERMES_SUBSCRIBE_PUSH_BACK},
        {.size = sizeof kinds[0], .flags = HERMES_SUBSCRIBE_PUSH_BACK, .name = "desk"}};
    snprintf(here, sizeof here, "unix:%s/broker.sock", f->home);
    assert_int_equal(hermes_connect(here, &local), 0);
    const hermes_publisher_options_t at_once = {.size = sizeof at_once};
    assert_int_equal(hermes_publisher_open(local, "t", &at_once, &publisher), 0);
    hermes_publisher_set_wait(publisher, 0);
    uint64_t sequence = 0;
    for (int i = 0; i < 2; i++) {
        hermes_subscriber_t *slow;
        assert_int_equal(hermes_subscriber_open(f->client, "t", &kinds[i], &slow), 0);
        for (int turn = 0; turn < 2; turn++) {
            uint64_t count = publish_until_full(publisher);
            for (uint64_t n = 0; n < count; n++) {
                assert_int_equal(hermes_wait(slow, &message, patience_ns), 1);
                assert_int_equal(message.sequence, ++sequence);
            }
        }
        (void)publish_until_full(publisher);
        hermes_subscriber_close(slow); /* and nobody waits for it any more */
        for (int n = 0; n < 5000; n++)
            assert_int_equal(hermes_publish(publisher, &n, sizeof n, NULL), 0);
        hermes_topic_info_t info = {.size = sizeof info};
        assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
        sequence = info.last_sequence;
    }
    hermes_disconnect(local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TCP(name) {#name ", TCP", name, setup_tcp, teardown, NULL}
#define BOTH(name)                                                                                           \
    TCP(name),                                                                                               \
    {                                                                                                        \
#name ", Unix", name, setup_unix, teardown, NULL                                                     \
    }
        BOTH(test_members_here_and_afar_are_one_group),
        BOTH(test_who_goes_gives_back_what_it_had),
        BOTH(test_large_messages_come_one_by_one_as_they_are),
        BOTH(test_what_is_acked_is_done_when_that_returns),
        BOTH(test_each_word_of_a_message_has_its_answer),
        BOTH(test_asking_for_the_next_acks_in_auto_mode),
        BOTH(test_at_most_once_never_comes_again),
        BOTH(test_what_lay_here_too_long_does_not_come_under_anothers_lease),
        BOTH(test_a_reset_begins_anew),
        BOTH(test_a_deletion_is_told_by_each_call),
        BOTH(test_what_was_overwritten_is_told_and_counted),
        BOTH(test_a_member_knows_when_it_has_all_that_is_there),
        BOTH(test_an_event_loop_hears_of_each_message),
        TCP(test_no_message_is_passed_over_when_connections_break),
        {"test_a_member_lives_through_its_brokers_death", test_a_member_lives_through_its_brokers_death,
         setup_unix, teardown, NULL},
        TCP(test_a_member_goes_over_to_the_next_broker),
        BOTH(test_a_durable_subscription_goes_on_behind_its_last_ack),
        TCP(test_a_durable_subscription_goes_on_where_it_stood),
        TCP(test_what_a_durable_subscription_had_comes_again_when_another_had_it),
        TCP(test_an_event_loop_is_told_that_another_has_its_place),
        BOTH(test_publishers_wait_for_who_asks_for_it_from_afar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
