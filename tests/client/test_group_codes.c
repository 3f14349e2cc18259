/* What group.h says of codes, ranges and defaults, and of the numbers that are told of a group. */
#include "members.h"

#include <stddef.h>

/* ---- what is asked for ---- */

static const uint64_t shortest_ns = 10000000, longest_ns = 86400000000000u;
enum { MOST_DELIVERIES = 2047 };

static int create(struct fixture *f, uint64_t lease_ns, uint32_t deliveries)
{
    hermes_group_options_t options = {
        .size = sizeof options, .lease_ns = lease_ns, .max_deliveries = deliveries};
    int rc = hermes_group_create(f->client, "t", "edge", &options);
    if (rc == 0)
        assert_int_equal(hermes_group_delete(f->client, "t", "edge"), 0);
    return rc;
}

static int alter(struct fixture *f, uint32_t fields, uint64_t lease_ns, uint32_t deliveries)
{
    hermes_group_options_t options = {
        .size = sizeof options, .lease_ns = lease_ns, .max_deliveries = deliveries};
    return hermes_group_alter(f->client, "t", "risk", fields, &options);
}

static void test_leases_and_limits_reach_to_their_edges(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 0, NULL);
    const struct {
        uint64_t lease_ns;
        uint32_t deliveries;
        int rc;
    } asked[] = {
        {shortest_ns, 1, 0},
        {longest_ns, MOST_DELIVERIES, 0},
        {shortest_ns - 1, 1, HERMES_EINVALID},
        {longest_ns + 1, 1, HERMES_EINVALID},
        {shortest_ns, MOST_DELIVERIES + 1, HERMES_EINVALID},
        {shortest_ns, UINT32_MAX, HERMES_EINVALID},
        {UINT64_MAX, 1, HERMES_EINVALID},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        assert_int_equal(create(f, asked[i].lease_ns, asked[i].deliveries), asked[i].rc);
        hermes_group_info_t before = describe(f, "risk");
        assert_int_equal(
            alter(f, HERMES_GROUP_LEASE | HERMES_GROUP_DELIVERIES, asked[i].lease_ns, asked[i].deliveries),
            asked[i].rc);
        hermes_group_info_t after = describe(f, "risk");
        assert_int_equal(after.lease_ns, asked[i].rc == 0 ? asked[i].lease_ns : before.lease_ns);
        assert_int_equal(after.max_deliveries,
                         asked[i].rc == 0 ? asked[i].deliveries : before.max_deliveries);
    }
}

/* The values of the other fields are not looked at. */
static void test_what_is_altered_is_what_is_named(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, shortest_ns, 5, NULL);
    assert_int_equal(alter(f, HERMES_GROUP_DELIVERIES, UINT64_MAX, 7), 0);
    assert_int_equal(alter(f, HERMES_GROUP_LEASE, longest_ns, UINT32_MAX), 0);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.lease_ns, longest_ns);
    assert_int_equal(info.max_deliveries, 7);
    assert_int_equal(alter(f, HERMES_GROUP_DELIVERIES, 0, 0), 0); /* no limit any more */
    assert_int_equal(describe(f, "risk").max_deliveries, 0);
    assert_int_equal(alter(f, HERMES_GROUP_LEASE, 0, 0), HERMES_EINVALID); /* a lease has no default here */
    const uint32_t nothing[] = {0, 8, HERMES_GROUP_LEASE | 1u << 31};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        assert_int_equal(alter(f, nothing[i], shortest_ns, 1), HERMES_EINVALID);
}

static void test_without_options_a_group_has_the_defaults_and_begins_at_the_end(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    assert_int_equal(hermes_group_create(f->client, "t", "risk", NULL), 0);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.durable, 0);
    assert_int_equal(info.lease_ns, 30000000000u);
    assert_int_equal(info.max_deliveries, 0);
    assert_int_equal(info.span_bytes, 4 * 1024 * 1024);
    assert_string_equal(info.name, "risk");
    assert_string_equal(info.dead_letter, "");
    hermes_subscriber_t *member = join(f->client); /* whose options say where a new group begins */
    publish(f, "t", 11, 11);
    expect(member, 11);
}

/* Who opens what is not there makes it so. */
static void test_who_comes_first_makes_it_with_the_defaults(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 2);
    expect(join(f->client), 1);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.durable, 0);
    assert_int_equal(info.lease_ns, 30000000000u);
    assert_int_equal(info.max_deliveries, 0);
    assert_int_equal(info.span_bytes, 4 * 1024 * 1024);
    assert_string_equal(info.dead_letter, "");
    hermes_subscriber_options_t options = {.size = sizeof options, .name = "desk"};
    hermes_subscriber_t *desk;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &desk), 0);
    publish(f, "t", 3, 3);
    expect(desk, 3);
    assert_int_equal(describe(f, "desk").durable, 1);
}

static void test_a_dead_letter_topic_is_made_and_shared(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_topic(f, "there", true);
    hermes_topic_info_t letters = {.size = sizeof letters};
    assert_int_equal(hermes_topic_describe(f->client, "letters", &letters), HERMES_ENOTFOUND);
    make_group(f, 0, 3, "letters");
    assert_int_equal(hermes_topic_describe(f->client, "letters", &letters), 0);
    assert_int_equal(letters.shared, 1);
    assert_string_equal(describe(f, "risk").dead_letter, "letters");
    hermes_group_options_t options = {.size = sizeof options, .dead_letter = "there"};
    assert_int_equal(hermes_group_create(f->client, "t", "other", &options), 0);
}

static void test_what_is_not_there_is_not_found(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = shortest_ns};
    hermes_group_info_t info = {.size = sizeof info};
    hermes_subscriber_options_t member = {.size = sizeof member, .group = "risk"},
                                holder = {.size = sizeof holder, .name = "desk"};
    hermes_subscriber_t *s;
    for (int i = 0; i < 2; i++) {
        const char *topic = i == 0 ? "t" : "none";
        assert_int_equal(hermes_group_alter(f->client, topic, "risk", HERMES_GROUP_LEASE, &options),
                         HERMES_ENOTFOUND);
        assert_int_equal(hermes_group_delete(f->client, topic, "risk"), HERMES_ENOTFOUND);
        assert_int_equal(hermes_group_describe(f->client, topic, "risk", &info), HERMES_ENOTFOUND);
    }
    assert_int_equal(hermes_group_list(f->client, "none", "", &info, 1), HERMES_ENOTFOUND);
    assert_int_equal(hermes_group_list(f->client, "t", "", &info, 1), 0);
    assert_int_equal(hermes_group_create(f->client, "none", "risk", &options), HERMES_ENOTFOUND);
    assert_int_equal(hermes_subscriber_open(f->client, "none", &member, &s), HERMES_ENOTFOUND);
    assert_int_equal(hermes_subscriber_open(f->client, "none", &holder, &s), HERMES_ENOTFOUND);
    assert_null(s);
}

/* Wherever it is sought, and whatever is there. */
static void test_a_member_cannot_seek(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *member = join(f->client);
    expect(member, 1);
    assert_int_equal(hermes_seek_first(member), HERMES_EINVALID);
    assert_int_equal(hermes_seek_end(member), HERMES_EINVALID);
    assert_int_equal(hermes_seek_sequence(member, 5), HERMES_EINVALID);
    assert_int_equal(hermes_seek_time(member, 1), HERMES_EINVALID);
    assert_int_equal(hermes_seek_position(member, 0), HERMES_EINVALID);
    expect(member, 2);
}

enum { MEMBERS = 256, HANDLES = 64 };

static void test_a_group_has_256_members(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *clients[MEMBERS / HANDLES + 1];
    hermes_subscriber_options_t options = {.size = sizeof options, .group = "risk"};
    hermes_subscriber_t *member;
    make_topic(f, "t", false);
    for (int i = 0; i <= MEMBERS / HANDLES; i++)
        clients[i] = another();
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(hermes_subscriber_open(clients[i / HANDLES], "t", &options, &member), 0);
    hermes_client_t *last = clients[MEMBERS / HANDLES];
    assert_int_equal(hermes_subscriber_open(last, "t", &options, &member), HERMES_ELIMIT);
    assert_int_equal(describe(f, "risk").members, MEMBERS);
    hermes_disconnect(clients[0]);
    assert_int_equal(hermes_subscriber_open(last, "t", &options, &member), 0);
    for (int i = 1; i <= MEMBERS / HANDLES; i++)
        hermes_disconnect(clients[i]);
}

/* ---- programs and libraries of different age ---- */

/* What an older program does not know has its default; what a newer one asks for and this library does not
 * know is refused, as is what is reserved. */
static void test_options_of_another_age(void **state)
{
    struct fixture *f = *state;
    struct {
        hermes_group_options_t known;
        uint64_t more;
    } newer = {.known = {.size = sizeof newer}};
    make_topic(f, "t", false);
    hermes_group_options_t older = {.size = offsetof(hermes_group_options_t, span_bytes), .span_bytes = 1};
    assert_int_equal(hermes_group_create(f->client, "t", "older", &older), 0);
    assert_int_equal(describe(f, "older").span_bytes, 4 * 1024 * 1024);
    assert_int_equal(hermes_group_create(f->client, "t", "newer", &newer.known), 0);
    newer.more = 1;
    assert_int_equal(hermes_group_create(f->client, "t", "newest", &newer.known), HERMES_ENOTSUP);
    newer.known.lease_ns = shortest_ns;
    assert_int_equal(hermes_group_alter(f->client, "t", "newer", HERMES_GROUP_LEASE, &newer.known),
                     HERMES_ENOTSUP);
}

static void test_what_is_reserved_is_refused(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 0, NULL);
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = shortest_ns, .reserved = 1};
    assert_int_equal(hermes_group_create(f->client, "t", "g", &options), HERMES_ENOTSUP);
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_LEASE, &options),
                     HERMES_ENOTSUP);
    hermes_subscriber_options_t member = {.size = sizeof member, .group = "risk", .reserved = 1};
    hermes_subscriber_t *s;
    assert_int_equal(hermes_subscriber_open(f->client, "t", &member, &s), HERMES_ENOTSUP);
    hermes_publisher_options_t publishes = {.size = sizeof publishes, .reserved = 1};
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", &publishes, &publisher), HERMES_ENOTSUP);
}

/* The first one's size is that of all. */
static void test_infos_of_another_age(void **state)
{
    struct fixture *f = *state;
    enum { OLD = offsetof(hermes_group_info_t, position), NEW = sizeof(hermes_group_info_t) + 8, GROUPS = 3 };
    static const char *const names[GROUPS] = {"a", "b", "c"};
    make_topic(f, "t", false);
    for (int i = 0; i < GROUPS; i++)
        assert_int_equal(hermes_group_create(f->client, "t", names[i], NULL), 0);
    const size_t sizes[] = {OLD, NEW};
    for (int kind = 0; kind < 2; kind++) {
        _Alignas(8) char bytes[GROUPS * NEW + 8];
        size_t size = sizes[kind];
        memset(bytes, 0x55, sizeof bytes);
        memcpy(bytes, &size, sizeof size);
        int rc = hermes_group_list(f->client, "t", "", (hermes_group_info_t *)(void *)bytes, GROUPS);
        assert_int_equal(rc, GROUPS);
        for (int i = 0; i < GROUPS; i++)
            assert_string_equal(bytes + (size_t)i * size + offsetof(hermes_group_info_t, name), names[i]);
        assert_int_equal(bytes[GROUPS * size], 0x55); /* and nothing behind it is touched */
    }
    hermes_group_info_t none = {.size = 0};
    assert_int_equal(hermes_group_list(f->client, "t", "", &none, 1), HERMES_EINVALID);
    assert_int_equal(hermes_group_describe(f->client, "t", "a", &none), HERMES_EINVALID);
}

/* ---- what is told of a group ---- */

static void test_what_is_in_flight_is_what_is_not_done(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 2, "letters");
    delete_topic(f, "letters"); /* so that what is dead waits */
    publish(f, "t", 1, 6);
    hermes_subscriber_t *member = join(f->client);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.uid, geteuid());
    assert_int_equal(info.position, 0);
    assert_int_equal(info.last_sequence, 0);
    hermes_message_t m[6];
    for (unsigned i = 1; i <= 5; i++)
        m[i] = expect(member, i);
    info = describe(f, "risk");
    assert_int_equal(info.position, m[5].position + 64); /* all below it were given out */
    assert_int_equal(info.done_position, 0);
    assert_int_equal(info.last_sequence, 5);
    assert_int_equal(info.in_flight, 5);
    assert_int_equal(hermes_ack(member, &m[2]), 0);
    assert_int_equal(describe(f, "risk").in_flight, 4);
    assert_int_equal(describe(f, "risk").done_position, 0); /* the first is not done */
    assert_int_equal(hermes_nack(member, &m[1]), 0);        /* to be given out again */
    assert_int_equal(describe(f, "risk").in_flight, 4);
    m[1] = expect(member, 1);
    assert_int_equal(hermes_nack(member, &m[1]), 0); /* a dead letter to be */
    info = describe(f, "risk");
    assert_int_equal(info.in_flight, 4);
    assert_int_equal(info.dead, 1);
    assert_int_equal(info.redelivered, 1);
    make_topic(f, "letters", true);
    for (time_t start = time(NULL); describe(f, "risk").in_flight != 3;)
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(describe(f, "risk").done_position, m[3].position);
    for (unsigned i = 3; i <= 5; i++)
        assert_int_equal(hermes_ack(member, &m[i]), 0);
    info = describe(f, "risk");
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.done_position, info.position);
    assert_int_equal(info.lost, 0);
}

/* ---- how often a message was given out ---- */

enum { ROUND = 2033 };

static void test_beyond_2047_deliveries_some_late_number_is_told(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    hermes_subscriber_t *member = join(f->client);
    for (unsigned i = 1; i <= MOST_DELIVERIES + 100; i++) {
        hermes_message_t message = expect(member, 1);
        unsigned told = hermes_deliveries(member, &message);
        if (i <= MOST_DELIVERIES)
            assert_int_equal(told, i);
        else
            assert_in_range(told, ROUND, MOST_DELIVERIES);
        assert_int_equal(hermes_nack(member, &message), 0);
    }
    assert_int_equal(describe(f, "risk").dead, 0); /* there is no limit */
}

/* Where a message has gone on to the place of another one's word, a span further on. */
static void test_of_what_was_done_a_span_ago_deliveries_are_not_known(void **state)
{
    struct fixture *f = *state;
    enum { FIT = 4096 }; /* of 64 bytes */
    make_topic(f, "t", false);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_FIRST, .span_bytes = 64 * FIT};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    publish(f, "t", 1, FIT + 1);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t first = expect(member, 1), message = first;
    for (uint64_t i = 2; i <= FIT; i++) {
        assert_int_equal(hermes_ack(member, &message), 0);
        message = expect(member, i);
    }
    assert_int_equal(hermes_deliveries(member, &first), 1);
    expect(member, FIT + 1);
    assert_int_equal(hermes_deliveries(member, &first), 0);
    assert_int_equal(hermes_ack(member, &first), 0); /* whatever became of it */
    assert_int_equal(hermes_nack(member, &first), HERMES_EEXPIRED);
    assert_int_equal(hermes_renew(member, &first), HERMES_EEXPIRED);
}

/* ---- whose it is ---- */

static void test_a_group_is_of_who_made_it_and_of_root(void **state)
{
    struct fixture *f = *state;
    if (!admit_strangers(f))
        skip();
    make_messages(f, 3);
    make_group(f, 0, 0, NULL);
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = longest_ns};
    hermes_subscriber_options_t ours = {.size = sizeof ours, .group = "risk"};
    hermes_subscriber_t *member;
    assert_int_equal(seteuid(STRANGER), 0);
    hermes_client_t *stranger = another();
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(hermes_subscriber_open(stranger, "t", &ours, &member), HERMES_EACCESS);
    assert_int_equal(hermes_group_alter(stranger, "t", "risk", HERMES_GROUP_LEASE, &options), HERMES_EACCESS);
    assert_int_equal(hermes_group_alter(stranger, "t", "risk", HERMES_GROUP_POSITION, &options),
                     HERMES_EACCESS);
    assert_int_equal(hermes_group_delete(stranger, "t", "risk"), HERMES_EACCESS);
    hermes_message_t message = expect(join_as(stranger, "theirs", HERMES_ACK_MANUAL), 1);
    assert_int_equal(describe(f, "theirs").uid, STRANGER);
    hermes_subscriber_t *root = join_as(f->client, "theirs", HERMES_ACK_MANUAL);
    message = expect(root, 2);
    assert_int_equal(hermes_ack(root, &message), 0);
    assert_int_equal(hermes_group_alter(f->client, "t", "theirs", HERMES_GROUP_LEASE, &options), 0);
    assert_int_equal(hermes_group_alter(stranger, "t", "theirs", HERMES_GROUP_LEASE, &options), 0);
    hermes_disconnect(stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_leases_and_limits_reach_to_their_edges),
        TEST(test_what_is_altered_is_what_is_named),
        TEST(test_without_options_a_group_has_the_defaults_and_begins_at_the_end),
        TEST(test_who_comes_first_makes_it_with_the_defaults),
        TEST(test_a_dead_letter_topic_is_made_and_shared),
        TEST(test_what_is_not_there_is_not_found),
        TEST(test_a_member_cannot_seek),
        TEST(test_a_group_has_256_members),
        TEST(test_options_of_another_age),
        TEST(test_what_is_reserved_is_refused),
        TEST(test_infos_of_another_age),
        TEST(test_what_is_in_flight_is_what_is_not_done),
        TEST(test_beyond_2047_deliveries_some_late_number_is_told),
        TEST(test_of_what_was_done_a_span_ago_deliveries_are_not_known),
        TEST(test_a_group_is_of_who_made_it_and_of_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
