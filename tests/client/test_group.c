/* Consumer groups against a real broker: who gets what, when it is done, and when it comes again. */
#include "members.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* ---- what is refused ---- */

static void test_refuses(void **state)
{
    struct fixture *f = *state;
    hermes_subscriber_t *s;
    make_topic(f, "t", false);
    make_topic(f, "exclusive", false);
    hermes_subscriber_options_t bad[] = {
        {.size = 0, .group = "g"},
        {.size = sizeof bad[0], .group = "g", .name = "n"},
        {.size = sizeof bad[0], .ack = HERMES_ACK_MANUAL},
        {.size = sizeof bad[0], .name = "n", .ack = HERMES_ACK_NONE},
        {.size = sizeof bad[0], .group = "g", .ack = 3},
        {.size = sizeof bad[0], .group = "g", .from = HERMES_FROM_POSITION},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hermes_subscriber_open(f->client, "t", &bad[i], &s), HERMES_EINVALID);
    const char *names[] = {"", ".", "a/b", "../x", "risk~"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        hermes_subscriber_options_t options = {.size = sizeof options, .group = names[i]};
        assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &s), HERMES_ENAME);
        assert_int_equal(hermes_group_create(f->client, "t", names[i], NULL), HERMES_ENAME);
        assert_int_equal(hermes_group_delete(f->client, "t", names[i]), HERMES_ENAME);
    }
    hermes_group_options_t wrong[] = {
        {.size = 4},
        {.size = sizeof wrong[0], .lease_ns = 1000},
        {.size = sizeof wrong[0], .lease_ns = 100000000000000000u},
        {.size = sizeof wrong[0], .max_deliveries = 2048},
        {.size = sizeof wrong[0], .dead_letter = "t"},
        {.size = sizeof wrong[0], .dead_letter = "exclusive"},
        {.size = sizeof wrong[0], .from = 3},
        {.size = sizeof wrong[0], .from = HERMES_FROM_POSITION, .position = 64},
        {.size = sizeof wrong[0], .from = HERMES_FROM_POSITION, .position = 1},
        {.size = sizeof wrong[0], .durable = 2},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(hermes_group_create(f->client, "t", "g", &wrong[i]), HERMES_EINVALID);
    assert_int_equal(
        hermes_group_create(f->client, "t", "g",
                            &(hermes_group_options_t){.size = sizeof *wrong, .dead_letter = "/"}),
        HERMES_ENAME);
    assert_int_equal(hermes_group_create(f->client, "none", "g", NULL), HERMES_ENOTFOUND);
    assert_int_equal(hermes_group_delete(f->client, "t", "g"), HERMES_ENOTFOUND);
    assert_int_equal(hermes_group_alter(f->client, "t", "g", 1, NULL), HERMES_EINVALID);
    hermes_group_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_group_describe(f->client, "t", "g", &info), HERMES_ENOTFOUND);

    assert_int_equal(hermes_group_create(f->client, "t", "g", NULL), 0);
    assert_int_equal(hermes_group_create(f->client, "t", "g", NULL), HERMES_EEXISTS);
    hermes_group_options_t options = {.size = sizeof options};
    assert_int_equal(hermes_group_alter(f->client, "t", "g", 0, &options), HERMES_EINVALID);
    assert_int_equal(hermes_group_alter(f->client, "t", "g", 8, &options), HERMES_EINVALID);
    assert_int_equal(hermes_group_alter(f->client, "t", "g", HERMES_GROUP_LEASE, &options), HERMES_EINVALID);
    hermes_subscriber_options_t as_name = {.size = sizeof as_name, .name = "g"};
    assert_int_equal(hermes_subscriber_open(f->client, "t", &as_name, &s), HERMES_EINVALID); /* a group */
    s = join_as(f->client, "g", HERMES_ACK_AUTO);
    assert_int_equal(hermes_group_delete(f->client, "t", "g"), HERMES_EBUSY);
    assert_int_equal(hermes_seek_first(s), HERMES_EINVALID);
    hermes_message_t never = {.position = 0};
    assert_int_equal(hermes_ack(s, &never), HERMES_EINVALID);
    assert_int_equal(hermes_nack(s, &never), HERMES_EINVALID);
    assert_int_equal(hermes_renew(s, &never), HERMES_EINVALID);
    hermes_subscriber_close(s);
    assert_int_equal(hermes_group_delete(f->client, "t", "g"), 0);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &s), 0);
    assert_int_equal(hermes_ack(s, &never), HERMES_EINVALID); /* alone */
    assert_int_equal(hermes_deliveries(s, &never), 1);
}

/* What would be passed over in silence is refused, before anything is made of it. */
static void test_a_durable_subscription_is_refused_what_only_groups_have(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    const struct {
        hermes_group_options_t options;
        const char *why;
    } wrong[] = {
        {{.lease_ns = 1000000000}, "no lease"},
        {{.max_deliveries = 3}, "no limit of deliveries"},
        {{.dead_letter = "letters"}, "no dead-letter topic"},
        {{.span_bytes = 1 << 20}, "no span"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hermes_group_options_t options = wrong[i].options;
        options.size = sizeof options;
        options.durable = 1;
        assert_int_equal(hermes_group_create(f->client, "t", "n", &options), HERMES_EINVALID);
        assert_non_null(strstr(hermes_last_error(f->client), wrong[i].why));
    }
    hermes_topic_info_t letters = {.size = sizeof letters};
    assert_int_equal(hermes_topic_describe(f->client, "letters", &letters), HERMES_ENOTFOUND);
    hermes_group_options_t options = {
        .size = sizeof options, .durable = 1, .from = HERMES_FROM_FIRST, .lease_ns = 0};
    assert_int_equal(hermes_group_create(f->client, "t", "n", &options), 0);
    options.lease_ns = 1000000000;
    const uint32_t fields[] = {HERMES_GROUP_LEASE, HERMES_GROUP_DELIVERIES,
                               HERMES_GROUP_LEASE | HERMES_GROUP_POSITION};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_int_equal(hermes_group_alter(f->client, "t", "n", fields[i], &options), HERMES_EINVALID);
    assert_int_equal(hermes_group_alter(f->client, "t", "n", HERMES_GROUP_POSITION, &options), 0);
}

static void test_what_is_wrong_with_a_position_is_said_once(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 3);
    const uint64_t wrong[] = {1, 1 << 20};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hermes_group_options_t options = {
            .size = sizeof options, .from = HERMES_FROM_POSITION, .position = wrong[i]};
        assert_int_equal(hermes_group_create(f->client, "t", "g", &options), HERMES_EINVALID);
        const char *said = strstr(hermes_last_error(f->client), hermes_strerror(HERMES_EINVALID));
        assert_true(said == NULL || strstr(said + 1, hermes_strerror(HERMES_EINVALID)) == NULL);
        assert_non_null(strstr(hermes_last_error(f->client), "position"));
    }
}

static void test_a_span_is_a_power_of_two(void **state)
{
    struct fixture *f = *state;
    enum { KIB = 1024, MIB = 1024 * 1024 };
    const struct {
        uint64_t asked, given;
    } spans[] = {{0, 4 * MIB},   {1, 256 * KIB},         {256 * KIB, 256 * KIB}, {256 * KIB + 1, 512 * KIB},
                 {MIB - 1, MIB}, {1ull << 40, 256 * MIB}};
    make_topic(f, "t", false);
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        hermes_group_options_t options = {.size = sizeof options, .span_bytes = spans[i].asked};
        assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
        hermes_group_info_t info = describe(f, "risk");
        assert_int_equal(info.span_bytes, spans[i].given);
        assert_int_equal(info.lease_ns, 30000000000);
        assert_int_equal(info.max_deliveries, 0);
        assert_string_equal(info.dead_letter, "");
        assert_int_equal(hermes_group_delete(f->client, "t", "risk"), 0);
    }
}

/* Their names in order, and the last one's place is free again. */
static void test_a_topic_has_256_groups_and_lists_them_by_name(void **state)
{
    struct fixture *f = *state;
    enum { MOST = 256, PAGE = 100 };
    hermes_group_options_t options = {.size = sizeof options, .span_bytes = 256 * 1024};
    hermes_group_info_t infos[PAGE] = {{.size = sizeof infos[0]}};
    char name[16] = "";
    make_topic(f, "t", false);
    for (int i = 0; i < MOST; i++) {
        snprintf(name, sizeof name, "g%03d", i * 7 % MOST);
        options.durable = i % 2 == 1;
        options.span_bytes = options.durable ? 0 : 256 * 1024;
        assert_int_equal(hermes_group_create(f->client, "t", name, &options), 0);
    }
    assert_int_equal(hermes_group_create(f->client, "t", "more", NULL), HERMES_ELIMIT);
    name[0] = 0;
    for (int listed = 0, count; listed < MOST; listed += count) {
        count = hermes_group_list(f->client, "t", name, infos, PAGE);
        assert_int_equal(count, MOST - listed < PAGE ? MOST - listed : PAGE);
        for (int i = 0; i < count; i++) {
            snprintf(name, sizeof name, "g%03d", listed + i);
            assert_string_equal(infos[i].name, name);
        }
    }
    assert_int_equal(hermes_group_list(f->client, "t", name, infos, PAGE), 0);
    assert_int_equal(hermes_group_delete(f->client, "t", name), 0);
    assert_int_equal(hermes_group_create(f->client, "t", "more", NULL), 0);
}

/* ---- sharing ---- */

static void test_members_share(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1000);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    bool seen[1001] = {false};
    hermes_message_t message;
    unsigned shares[2] = {0};
    for (unsigned i = 0; i < 1000; i++) {
        hermes_subscriber_t *turn = i % 3 == 0 ? take_next(b, a, &message) : take_next(a, b, &message);
        uint64_t number = number_of(&message);
        if (!is_sent_ahead())
            assert_int_equal(number, i + 1); /* in order, whoever asks */
        assert_in_range(number, 1, 1000);
        assert_int_equal(hermes_deliveries(turn, &message), 1);
        assert_false(seen[number]);
        seen[number] = true;
        shares[turn == b]++;
        assert_int_equal(hermes_ack(turn, &message), 0);
    }
    if (!is_sent_ahead())
        assert_int_equal(shares[1], 334);
    assert_int_equal(shares[0] + shares[1], 1000);
    expect_nothing(a);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.members, 2);
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.last_sequence, 1000);
    assert_int_equal(info.position, info.done_position);
    hermes_disconnect(other);
    assert_int_equal(describe(f, "risk").members, 1);
    hermes_group_info_t infos[4] = {{.size = sizeof infos[0]}};
    assert_int_equal(hermes_group_list(f->client, "t", "", infos, 4), 1);
    assert_string_equal(infos[0].name, "risk");
    assert_int_equal(hermes_group_list(f->client, "t", "risk", infos, 4), 0);
}

/* What a member held when its client disconnected is the next one's at once, not what comes after it. */
static void test_a_disconnected_member_leaves_its_messages(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 200 };
    make_topic(f, "t", false);
    publish(f, "t", 1, 300);
    hermes_subscriber_t *stays = join(f->client);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        hermes_client_t *other = another();
        expect(join(other), i);
        assert_int_equal(describe(f, "risk").in_flight, 1);
        hermes_disconnect(other);
        hermes_message_t message = expect(stays, i);
        assert_int_equal(hermes_deliveries(stays, &message), 2);
        assert_int_equal(hermes_ack(stays, &message), 0);
        if (is_sent_ahead()) { /* what it is sent next it gives back, before it is another's turn */
            hermes_subscriber_close(stays);
            stays = join(f->client);
        }
    }
    assert_int_equal(describe(f, "risk").members, 1);
    assert_int_equal(describe(f, "risk").redelivered, ROUNDS);
}

static void test_nack_goes_to_who_sleeps(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 3);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    hermes_message_t m1 = expect(a, 1), m2 = expect(a, 2), m3 = expect(a, 3);
    expect_nothing(b);
    assert_int_equal(hermes_renew(a, &m2), 0);
    assert_int_equal(hermes_nack(a, &m2), 0);
    hermes_message_t again;
    hermes_subscriber_t *turn = take_next(b, a, &again);
    assert_int_equal(number_of(&again), 2);
    assert_int_equal(hermes_ack(a, &m2), HERMES_EEXPIRED);
    assert_non_null(strstr(hermes_last_error(f->client), "message 2 of topic 't'"));
    assert_int_equal(hermes_ack(turn, &again), 0);
    assert_int_equal(hermes_ack(turn, &again), 0);
    assert_int_equal(hermes_ack(a, &m3), 0); /* out of order */
    assert_int_equal(describe(f, "risk").in_flight, 1);
    assert_int_equal(hermes_ack(a, &m1), 0);
    assert_int_equal(describe(f, "risk").in_flight, 0);
    hermes_disconnect(other);
}

struct sleeper {
    hermes_subscriber_t *member;
    uint64_t number;
    _Atomic pid_t thread;
};

static void *sleep_on(void *argument)
{
    struct sleeper *sleeper = argument;
    hermes_message_t message;
    atomic_store(&sleeper->thread, gettid());
    if (hermes_wait(sleeper->member, &message, patience_ns) == 1)
        sleeper->number = number_of(&message);
    return NULL;
}

static void start_sleeper(pthread_t *thread, struct sleeper *sleeper)
{
    assert_int_equal(pthread_create(thread, NULL, sleep_on, sleeper), 0);
    while (atomic_load(&sleeper->thread) == 0)
        sched_yield();
    await_sleep(getpid(), atomic_load(&sleeper->thread));
}

/* The wake-up itself: whoever sleeps when the message becomes available. */
static void test_sleepers_wake(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client);
    struct sleeper sleeper = {.member = join(other)};
    hermes_message_t message = expect(a, 1);
    pthread_t thread;
    start_sleeper(&thread, &sleeper);
    assert_int_equal(hermes_nack(a, &message), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sleeper.number, 1);
    /* And by a descriptor. */
    assert_int_equal(hermes_poll(a, &message), 0);
    assert_int_equal(hermes_subscriber_arm(a), 0);
    hermes_disconnect(other); /* gives it back */
    struct timeval timeout = {PATIENCE, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(hermes_subscriber_fd(a), &set);
    assert_int_equal(select(hermes_subscriber_fd(a) + 1, &set, NULL, NULL, &timeout), 1);
    expect(a, 1);
}

static void test_asking_for_the_next_acks_the_last(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 2);
    hermes_subscriber_t *s = join_as(f->client, "auto", HERMES_ACK_AUTO);
    expect(s, 1);
    expect(s, 2);
    while (describe(f, "auto").in_flight > 1) /* over a connection it is on its way */
        assert_true(is_sent_ahead());
    publish(f, "t", 3, 3);
    hermes_message_t third = expect(s, 3);
    assert_int_equal(hermes_nack(s, &third), 0); /* and is not acked all the same by asking for the next */
    expect(s, 3);
    hermes_subscriber_close(s); /* in the middle of the third */
    publish(f, "t", 4, 4);
    s = join_as(f->client, "auto", HERMES_ACK_AUTO);
    expect(s, 3);
    expect(s, 4);
}

/* Over a connection: of what was sent, but not what waits for who asks. */
static void test_at_most_once_is_done_when_it_is_given_out(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 2);
    hermes_subscriber_t *s = join_as(f->client, "none", HERMES_ACK_NONE);
    expect(s, 1);
    expect(s, 2);
    hermes_subscriber_close(s);
    publish(f, "t", 3, 3);
    s = join_as(f->client, "none", HERMES_ACK_NONE);
    expect(s, 3);
    assert_int_equal(describe(f, "none").in_flight, 0);
}

/* ---- leases and dead letters ---- */

static void test_lease(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 1000000000, 0, NULL); /* long beside the steps in which it is renewed */
    publish(f, "t", 1, 2);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    hermes_message_t first = expect(a, 1), second = expect(a, 2);
    hermes_subscriber_t *turn = NULL;
    hermes_message_t message;
    for (time_t start = time(NULL); turn == NULL;) { /* the second is renewed, the first is not */
        assert_int_equal(hermes_renew(a, &second), 0);
        if (hermes_wait(b, &message, 20000000) == 1)
            turn = b;
        else if (is_sent_ahead() && hermes_poll(a, &message) == 1)
            turn = a;
        assert_true(time(NULL) - start < PATIENCE);
    }
    assert_int_equal(number_of(&message), 1);
    assert_int_equal(hermes_deliveries(turn, &message), 2);
    assert_int_equal(hermes_ack(a, &first), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(turn, &message), 0);
    assert_int_equal(hermes_ack(a, &second), 0);
    assert_int_equal(describe(f, "risk").expired, 1);
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = 3600000000000u};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_LEASE, &options), 0);
    assert_int_equal(describe(f, "risk").lease_ns, 3600000000000u);
    hermes_disconnect(other);
}

/* Who puts them away is the broker. */
static void test_dead_letters_are_in_nobodys_way(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 3, "letters");
    publish(f, "t", 1, 1);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message;
    for (unsigned i = 1; i <= 3; i++) {
        message = expect(a, 1);
        assert_int_equal(hermes_deliveries(a, &message), i);
        assert_int_equal(hermes_nack(a, &message), 0);
    }
    publish(f, "t", 2, 2);
    expect(a, 2);
    assert_int_equal(describe(f, "risk").dead, 1);
    assert_int_equal(hermes_ack(a, &message), HERMES_EEXPIRED);
    hermes_subscriber_close(a); /* a death counts as a delivery too */
    a = join(f->client);
    expect(a, 2);
    hermes_subscriber_close(a);
    a = join(f->client);
    message = expect(a, 2);
    assert_int_equal(hermes_deliveries(a, &message), 3);
    hermes_subscriber_close(a);
    publish(f, "t", 3, 3);
    a = join(f->client);
    expect(a, 3);
    expect_nothing(a);
    assert_int_equal(describe(f, "risk").dead, 2);
}

static void test_limit_without_letters_drops(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, NULL);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message = expect(a, 1);
    assert_int_equal(hermes_nack(a, &message), 0);
    expect(a, 2);
    assert_int_equal(describe(f, "risk").dead, 1);
}

/* ---- room ---- */

static void test_room(void **state)
{
    struct fixture *f = *state;
    const hermes_topic_options_t wide = {/* a stored one has ORIGIN frames between */
                                         .size = sizeof wide,
                                         .durability = HERMES_DURABILITY_MEMORY,
                                         .window_bytes = 1024 * 1024};
    assert_int_equal(hermes_topic_create(f->client, "t", &wide), 0);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_FIRST, .span_bytes = 256 * 1024};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    assert_int_equal(describe(f, "risk").span_bytes, 256 * 1024);
    enum { FIT = 4096 };
    publish(f, "t", 1, FIT + 10);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    struct sleeper sleeper = {.member = is_sent_ahead() ? a : b}; /* who has asked may get both */
    hermes_message_t messages[FIT];
    for (unsigned i = 0; i < FIT; i++)
        messages[i] = expect(a, i + 1);
    expect_nothing(a);
    pthread_t thread;
    if (sleeper.member == b)
        start_sleeper(&thread, &sleeper);
    assert_int_equal(hermes_ack(a, &messages[1]), 0); /* the oldest is still there */
    expect_nothing(a);
    assert_int_equal(hermes_ack(a, &messages[0]), 0);
    if (sleeper.member == b)
        pthread_join(thread, NULL);
    else
        sleep_on(&sleeper);
    assert_int_equal(sleeper.number, FIT + 1);
    expect(a, FIT + 2);
    expect_nothing(a);
    hermes_disconnect(other);
}

/* ---- positions ---- */

static void test_reset(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t first = expect(a, 1), held = first;
    assert_int_equal(hermes_ack(a, &first), 0);
    for (uint64_t i = 2; i <= 50; i++)
        held = expect(a, i);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_POSITION, .position = held.position};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    expect(a, 50);
    options.from = HERMES_FROM_FIRST;
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    expect(a, 1);
    options.from = HERMES_FROM_END;
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    expect_nothing(a);
    publish(f, "t", 101, 103);
    expect(a, 101);
    for (uint64_t i = 102; i <= 103; i++) {
        held = expect(a, i);
        assert_int_equal(hermes_ack(a, &held), 0);
    }
    stop_broker(f, SIGKILL); /* the new page outlives it, as the old one would have */
    start_broker(f);
    await_members(f, a, 1);
    if (is_another_user()) /* what it did and held since the last record is not known any more */
        expect(a, 101);
    else
        expect_nothing(a);
    options.from = HERMES_FROM_POSITION;
    options.position = 1ull << 40;
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options),
                     HERMES_EINVALID);
    uint64_t in_flight = describe(f, "risk").in_flight; /* as it was; what is sent ahead, too */
    assert_in_range(in_flight, 1, is_sent_ahead() ? 3 : 1);
}

static void test_deletion_is_told(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 2);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 1);
    assert_int_equal(hermes_topic_delete(f->client, "t"), 0);
    hermes_message_t message;
    assert_int_equal(hermes_wait(a, &message, patience_ns), HERMES_ECLOSED);
    make_messages(f, 1);
    hermes_subscriber_t *b = join(f->client); /* a group of the same name begins anew */
    expect(b, 1);
}

/* Who has asked already is told, though another was to ask next. */
static int poll_either(hermes_subscriber_t *a, hermes_subscriber_t *b, hermes_message_t *message)
{
    int rc;
    while ((rc = hermes_poll(a, message)) == 0 && (!is_sent_ahead() || (rc = hermes_poll(b, message)) == 0))
        ;
    return rc;
}

/* Overwritten before anybody read them: told once, counted, passed over. */
static void test_overtaken(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    enum { MANY = 20000 }; /* of 64 bytes, in a window of 256 KiB */
    publish(f, "t", 1, 1);
    hermes_message_t held = expect(a, 1), message;
    publish(f, "t", 2, MANY);
    uint64_t got = 0;
    int gone = 0;
    for (unsigned i = 0; got + describe(f, "risk").lost < MANY - 1; i++) {
        int rc;
        while ((rc = hermes_poll(i % 2 ? a : b, &message)) == 1) {
            got++;
            assert_int_equal(hermes_ack(i % 2 ? a : b, &message), 0);
        }
        assert_true(rc == 0 || rc == HERMES_EGONE);
        gone += rc == HERMES_EGONE;
    }
    expect_nothing(a);
    expect_nothing(b);
    assert_int_equal(gone, 1);
    assert_int_equal(describe(f, "risk").lost, MANY - 1 - got);
    assert_int_equal(hermes_nack(a, &held), 0); /* what cannot be read again is lost too */
    assert_int_equal(poll_either(a, b, &message), HERMES_EGONE);
    assert_int_equal(hermes_poll(a, &message), 0);
    assert_int_equal(hermes_poll(b, &message), 0);
    assert_int_equal(describe(f, "risk").lost, MANY - got);
    assert_int_equal(describe(f, "risk").in_flight, 0);
    hermes_disconnect(other);
}

/* Messages that only the store has: claimed, given back, and read from there. */
static void test_from_the_store(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    enum { MANY = 30000 }; /* several windows, two segments */
    publish(f, "t", 1, MANY);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    hermes_message_t early = expect(b, 1), message;
    uint64_t sum = 1;
    for (uint64_t i = 2; i <= MANY; i++) {
        hermes_subscriber_t *turn = i % 7 == 0 ? take_next(b, a, &message) : take_next(a, b, &message);
        sum += number_of(&message);
        if (!is_sent_ahead())
            assert_int_equal(number_of(&message), i);
        assert_int_equal(hermes_ack(turn, &message), 0);
    }
    assert_int_equal(sum, (uint64_t)MANY * (MANY + 1) / 2);
    assert_int_equal(hermes_nack(b, &early), 0);
    hermes_subscriber_t *turn = take_next(a, b, &early);
    assert_int_equal(number_of(&early), 1);
    assert_int_equal(hermes_ack(turn, &early), 0);
    publish(f, "t", MANY + 1, MANY + 1);
    (void)take_next(a, b, &message);
    assert_int_equal(number_of(&message), MANY + 1);
    hermes_disconnect(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_refuses),
        TEST(test_a_durable_subscription_is_refused_what_only_groups_have),
        TEST(test_what_is_wrong_with_a_position_is_said_once),
        TEST(test_a_span_is_a_power_of_two),
        TEST(test_a_topic_has_256_groups_and_lists_them_by_name),
        TEST(test_members_share),
        TEST(test_a_disconnected_member_leaves_its_messages),
        TEST(test_nack_goes_to_who_sleeps),
        TEST(test_sleepers_wake),
        TEST(test_asking_for_the_next_acks_the_last),
        TEST(test_at_most_once_is_done_when_it_is_given_out),
        TEST(test_lease),
        TEST(test_dead_letters_are_in_nobodys_way),
        TEST(test_limit_without_letters_drops),
        TEST(test_room),
        TEST(test_reset),
        TEST(test_deletion_is_told),
        TEST(test_overtaken),
        TEST(test_from_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
