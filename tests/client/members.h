/* Members of the group "risk" of topic "t", whose messages are counters. */
#ifndef TESTS_CLIENT_MEMBERS_H
#define TESTS_CLIENT_MEMBERS_H

#include "fixture.h"

#include <sys/stat.h>

enum { PATIENCE = 60 };
static const uint64_t patience_ns = PATIENCE * 1000000000ull;
static const uint64_t blink_ns = 30000000; /* long enough for what must not happen to happen */

static inline hermes_subscriber_t *join_as(hermes_client_t *client, const char *group, uint32_t ack)
{
    hermes_subscriber_t *member = NULL;
    hermes_subscriber_options_t options = {
        .size = sizeof options, .group = group, .from = HERMES_FROM_FIRST, .ack = ack};
    int rc = hermes_subscriber_open(client, "t", &options, &member);
    if (rc != 0)
        fail_msg("%s", hermes_last_error(client));
    return member;
}

static inline hermes_subscriber_t *join(hermes_client_t *client)
{
    return join_as(client, "risk", HERMES_ACK_MANUAL);
}

static inline hermes_client_t *another(void)
{
    hermes_client_t *client;
    assert_int_equal(hermes_connect(NULL, &client), 0);
    return client;
}

/* Counters from first to last. */
static inline void publish(struct fixture *f, const char *topic, uint64_t first, uint64_t last)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, topic, NULL, &publisher), 0);
    for (uint64_t i = first; i <= last; i++)
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
    hermes_publisher_close(publisher);
}

static inline uint64_t number_of(const hermes_message_t *message)
{
    uint64_t number;
    assert_int_equal(message->length, sizeof number);
    memcpy(&number, message->payload, sizeof number);
    return number;
}

static inline hermes_message_t expect(hermes_subscriber_t *member, uint64_t number)
{
    hermes_message_t message;
    assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
    assert_int_equal(number_of(&message), number);
    return message;
}

/* Through a connection a member may have been sent messages before it asks for them (client.h,
 * hermes_subscriber_open()): which of two members has the next one, and whether that is here before one that
 * was given back, nobody knows then. */
static inline bool is_sent_ahead(void)
{
    return transport() != NULL;
}

/* All who come over TCP without a word of who they are are one user, and not the broker's. */
static inline bool is_another_user(void)
{
    return transport() != NULL && strcmp(transport(), "unix") != 0;
}

/* The next message of a group's, the first one's where that can be said. Returns whose it is. */
static inline hermes_subscriber_t *take_next(hermes_subscriber_t *first, hermes_subscriber_t *second,
                                             hermes_message_t *message)
{
    hermes_subscriber_t *turn = first;
    int rc = is_sent_ahead() ? hermes_poll(turn, message) : hermes_wait(turn, message, patience_ns);
    for (time_t start = time(NULL); rc == 0; rc = hermes_poll(turn, message)) {
        assert_true(is_sent_ahead() && time(NULL) - start < PATIENCE);
        turn = turn == first ? second : first;
    }
    assert_int_equal(rc, 1);
    return turn;
}

static inline void expect_nothing(hermes_subscriber_t *member)
{
    hermes_message_t message;
    int rc = hermes_wait(member, &message, blink_ns);
    if (rc != 0)
        fail_msg("unexpected: %d, message %llu", rc, rc == 1 ? (unsigned long long)number_of(&message) : 0);
}

static inline hermes_group_info_t describe(struct fixture *f, const char *group)
{
    hermes_group_info_t info = {.size = sizeof info};
    int rc = hermes_group_describe(f->client, "t", group, &info);
    if (rc != 0)
        fail_msg("%s", hermes_last_error(f->client));
    return info;
}

static inline void make_group(struct fixture *f, uint64_t lease_ns, uint32_t most, const char *letters)
{
    hermes_group_options_t options = {.size = sizeof options,
                                      .lease_ns = lease_ns,
                                      .max_deliveries = most,
                                      .dead_letter = letters,
                                      .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
}

/* Topic "t" with messages 1 to count. */
static inline void make_messages(struct fixture *f, uint64_t count)
{
    make_topic(f, "t", false);
    publish(f, "t", 1, count);
}

/* Letters that are on their way are in the way of both: on a loaded machine longer than the broker waits. */
static inline void delete_group(struct fixture *f)
{
    int rc;
    while ((rc = hermes_group_delete(f->client, "t", "risk")) == HERMES_EBUSY)
        assert_non_null(strstr(hermes_last_error(f->client), "dead letters"));
    assert_int_equal(rc, 0);
}

static inline void reset_group(struct fixture *f, const hermes_group_options_t *options)
{
    int rc;
    while ((rc = hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, options)) == HERMES_EBUSY)
        assert_non_null(strstr(hermes_last_error(f->client), "dead letters"));
    assert_int_equal(rc, 0);
}

/* Members greet the next broker by themselves, with what they do; nothing comes meanwhile. */
static inline void await_members(struct fixture *f, hermes_subscriber_t *member, uint32_t count)
{
    hermes_message_t message;
    for (time_t start = time(NULL); describe(f, "risk").members != count;) {
        assert_int_equal(hermes_poll(member, &message), 0);
        assert_true(time(NULL) - start < PATIENCE);
    }
}

enum { STRANGER = 65534 };

/* The broker lets strangers in. false: there are none here. */
static inline bool admit_strangers(struct fixture *f)
{
    char path[128];
    snprintf(path, sizeof path, "%s/broker.sock", f->home);
    bool may =
        geteuid() == 0 && chmod(f->home, 0755) == 0 && chmod(path, 0666) == 0 && seteuid(STRANGER) == 0;
    assert_int_equal(seteuid(getuid()), 0);
    return may;
}

static inline void restart(struct fixture *f, int signal_number)
{
    stop_broker(f, signal_number);
    start_broker(f);
}

#endif
