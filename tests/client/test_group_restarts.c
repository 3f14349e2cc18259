/* Groups and brokers that are killed and stopped in between: nothing is lost, and only what was in flight
 * comes again. */
#include "members.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "client/subscriber.h"

static void test_killed_broker(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1), message;
    for (uint64_t i = 2; i <= 10; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    stop_broker(f, SIGKILL);
    for (uint64_t i = 11; i <= 20; i++) { /* nobody needs it */
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    start_broker(f);
    message = expect(a, 21);
    assert_int_equal(hermes_ack(a, &held), 0); /* not forgotten, and nothing comes twice */
    assert_int_equal(hermes_ack(a, &message), 0);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.last_sequence, 21);
    message = expect(a, 22);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 23);
    while (describe(f, "risk").members < 2) /* the answer to its greeting is found by a later call */
        assert_int_equal(hermes_renew(a, &message), 0);
    hermes_subscriber_close(a); /* under its new session */
    expect(b, 22);
    assert_int_equal(describe(f, "risk").redelivered, 1);
    hermes_disconnect(other);
}

/* A member that dies with its broker: its line is given up after a lease, its messages come again. */
static void test_member_dies_with_the_broker(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 300000000, 0, NULL);
    publish(f, "t", 1, 3);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 1);
    stop_broker(f, SIGKILL);
    hermes_disconnect(other); /* tells nobody */
    start_broker(f);
    hermes_subscriber_t *a = join(f->client);
    for (uint64_t i = 2; i <= 3; i++) { /* else their leases may run out just as well */
        hermes_message_t message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    expect(a, 1);
}

static void test_stopped_broker(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1), message;
    for (uint64_t i = 2; i <= 10; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    stop_broker(f, SIGTERM);
    assert_int_equal(hermes_poll(a, &message), 0);
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    start_broker(f);
    hermes_message_t again = expect(a, 1); /* what was in flight, and nothing else */
    assert_int_equal(hermes_deliveries(a, &again), 2);
    expect(a, 11);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.in_flight, 2);
    assert_int_equal(info.members, 1);
    restart(f, SIGTERM);
    hermes_client_t *other = another();
    hermes_subscriber_t *b = join(other);
    expect(b, 1);
    expect(b, 11);
    expect(b, 12);
    expect(a, 13);
    hermes_disconnect(other);
}

/* It has not greeted the broker that came back, and lives: its group is not taken from under it. */
static void test_a_group_whose_members_are_awaited_is_not_deleted(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 0, NULL);
    publish(f, "t", 1, 3);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other), *d;
    hermes_subscriber_options_t durable = {
        .size = sizeof durable, .name = "place", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    assert_int_equal(hermes_subscriber_open(other, "t", &durable, &d), 0);
    hermes_message_t held = expect(a, 1), kept = expect(d, 1);
    restart(f, SIGKILL);
    hermes_client_t *newcomer = another();
    assert_int_equal(hermes_group_delete(newcomer, "t", "risk"), HERMES_EBUSY);
    assert_int_equal(hermes_group_delete(newcomer, "t", "place"), HERMES_EBUSY);
    hermes_disconnect(newcomer);
    assert_int_equal(hermes_ack(a, &held), 0);
    assert_int_equal(hermes_ack(d, &kept), 0);
    stop_broker(f, SIGKILL);
    hermes_disconnect(other); /* tells nobody */
    start_broker(f);
    newcomer = another();
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = 100000000};
    assert_int_equal(hermes_group_alter(newcomer, "t", "risk", HERMES_GROUP_LEASE, &options), 0);
    int rc;
    for (time_t start = time(NULL); (rc = hermes_group_delete(newcomer, "t", "risk")) == HERMES_EBUSY;)
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(rc, 0);
    hermes_disconnect(newcomer);
}

/* Nor do members make it anew, with other settings than it had: they are told, whenever they come back. */
static void test_a_group_that_was_deleted_while_its_members_were_away_stays_so(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 7, NULL);
    publish(f, "t", 1, 3);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other);
    hermes_message_t held = expect(a, 1), message;
    restart(f, SIGTERM);
    hermes_client_t *newcomer = another();
    assert_int_equal(hermes_group_delete(newcomer, "t", "risk"), 0);
    assert_int_equal(poll_until_told(a, &message), HERMES_ECLOSED);
    assert_non_null(strstr(hermes_last_error(other), "'risk' of topic 't' was deleted"));
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    hermes_group_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_group_describe(newcomer, "t", "risk", &info), HERMES_ENOTFOUND);
    hermes_disconnect(newcomer);
    make_group(f, 0, 7, NULL); /* another one */
    assert_int_equal(hermes_poll(a, &message), HERMES_ECLOSED);
    hermes_subscriber_close(a);
    a = join(other);
    expect(a, 1);
    hermes_disconnect(other);
}

/* What was in flight when the broker stopped was not given up: nobody failed. */
static void test_a_stop_is_no_failure(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 2, NULL);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 1);
    stop_broker(f, SIGTERM);
    start_broker(f);
    expect(a, 1);
    assert_int_equal(describe(f, "risk").dead, 0);
}

/* A memory topic ends with its broker's orderly stop, and its groups begin anew with it. */
static void test_memory_topic(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 7, NULL);
    publish(f, "t", 1, 10);
    hermes_subscriber_t *a = join(f->client);
    expect(a, 1);
    restart(f, SIGKILL);
    hermes_message_t held = expect(a, 2);
    restart(f, SIGTERM);
    await_members(f, a, 1); /* of a page that has never heard of that message */
    assert_int_equal(hermes_renew(a, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_nack(a, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    publish(f, "t", 77, 78);
    expect(a, 77);
    assert_int_equal(describe(f, "risk").max_deliveries, 7);
}

/* It was given out as often as it may be; whether it was dealt with the broker cannot know. */
static void test_a_stop_delivers_nothing_beyond_the_limit(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 2, NULL);
    publish(f, "t", 1, 3);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message = expect(a, 1);
    assert_int_equal(hermes_nack(a, &message), 0);
    message = expect(a, 1);
    assert_int_equal(hermes_deliveries(a, &message), 2);
    expect(a, 2);
    restart(f, SIGTERM);
    message = expect(a, 2);
    assert_int_equal(hermes_deliveries(a, &message), 2);
    expect(a, 3);
    assert_int_equal(describe(f, "risk").dead, 1);
    restart(f, SIGTERM); /* and is counted once */
    expect(a, 3);
    assert_int_equal(describe(f, "risk").dead, 2);
}

/* The broker's exit code at an orderly stop. */
static int stop_and_tell(struct fixture *f)
{
    int status = 0;
    kill(f->broker, SIGTERM);
    assert_int_equal(waitpid(f->broker, &status, 0), f->broker);
    f->broker = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A directory where the record is to be written first: no record can be written any more. */
static void forbid_record(struct fixture *f, const char *group, bool forbidden)
{
    char path[256];
    snprintf(path, sizeof path, "%s/data/topics/t/groups/%s~", f->home, group);
    while ((forbidden ? mkdir(path, 0700) : rmdir(path)) != 0)
        assert_int_equal(errno, EEXIST); /* one is being written */
}

/* Its page stays in shared memory, as a topic's window does, and the broker says that it could not do all. */
static void test_a_record_that_cannot_be_written_loses_no_acks(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message = expect(a, 1), held = message;
    forbid_record(f, "risk", true);
    for (uint64_t i = 2; i <= 11; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    assert_int_equal(stop_and_tell(f), 1);
    forbid_record(f, "risk", false);
    start_broker(f);
    message = expect(a, 12);
    assert_int_equal(describe(f, "risk").in_flight, 2);
    assert_int_equal(hermes_ack(a, &held), 0); /* as after a crash: it is still its own */
    assert_int_equal(hermes_ack(a, &message), 0);
    restart(f, SIGTERM);
    expect(a, 13);
    assert_int_equal(describe(f, "risk").redelivered, 0);
}

/* The page outlived the stop and is the next broker's, the log has another. Who did not greet the broker that
 * stopped finds both at once: it goes over, and leaves nothing behind. */
static void test_who_slept_over_two_brokers_keeps_what_it_holds(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1000); /* enough to be reading when it is answered */
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other);
    hermes_message_t held = expect(a, 1), message;
    restart(f, SIGKILL);
    forbid_record(f, "risk", true);
    assert_int_equal(stop_and_tell(f), 1);
    forbid_record(f, "risk", false);
    start_broker(f);
    for (time_t start = time(NULL); subscriber_is_due(a); sched_yield()) {
        assert_true(time(NULL) - start < PATIENCE);
        if (hermes_poll(a, &message) == 1)
            assert_int_not_equal(number_of(&message), 1);
    }
    assert_int_equal(describe(f, "risk").members, 1);
    assert_int_equal(hermes_renew(a, &held), 0);
    assert_int_equal(hermes_ack(a, &held), 0);
    assert_int_equal(describe(f, "risk").redelivered, 0);
    hermes_disconnect(other);
}

/* Its page was to move, and does not: who is in it goes on, with all that it has. */
static void test_a_reset_that_fails_takes_nothing_from_anybody(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other);
    hermes_message_t held = expect(a, 1), message;
    forbid_record(f, "risk", true);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_END};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), HERMES_EIO);
    forbid_record(f, "risk", false);
    message = expect(a, 2);
    assert_int_equal(hermes_ack(a, &held), 0);
    assert_int_equal(hermes_ack(a, &message), 0);
    restart(f, SIGKILL);
    expect(a, 3);
    assert_int_equal(describe(f, "risk").redelivered, 0);
    hermes_disconnect(other);
}

/* Of another user's group: its page is none of the files that outlive a broker. */
static void test_a_record_that_cannot_be_written_loses_no_acks_of_strangers(void **state)
{
    struct fixture *f = *state;
    if (!admit_strangers(f))
        skip();
    assert_int_equal(seteuid(STRANGER), 0);
    hermes_client_t *client = another();
    assert_int_equal(seteuid(0), 0);
    make_messages(f, 100);
    hermes_subscriber_t *a = join(client);
    expect(a, 1);
    hermes_message_t message;
    forbid_record(f, "risk", true);
    for (uint64_t i = 2; i <= 11; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    assert_int_equal(stop_and_tell(f), 1);
    forbid_record(f, "risk", false);
    start_broker(f);
    assert_true(admit_strangers(f));
    assert_int_equal(seteuid(STRANGER), 0);
    message = expect(a, 1); /* as after any orderly stop */
    assert_int_equal(hermes_ack(a, &message), 0);
    expect(a, 12);
    assert_int_equal(seteuid(0), 0);
    restart(f, SIGTERM); /* nothing is left that speaks of it */
    assert_true(admit_strangers(f));
    assert_int_equal(seteuid(STRANGER), 0);
    expect(a, 12);
    expect(a, 13);
    assert_int_equal(seteuid(0), 0);
    hermes_disconnect(client);
}

/* What is told of before anything was read: where it begins. */
static void test_where_a_group_stands_is_known_exactly(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *reader;
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &reader), 0);
    assert_int_equal(hermes_seek_sequence(reader, 50), 0);
    hermes_message_t fiftieth = expect(reader, 50);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_END};
    assert_int_equal(hermes_group_create(f->client, "t", "end", &options), 0);
    assert_int_equal(describe(f, "end").last_sequence, 100);
    options.from = HERMES_FROM_POSITION;
    options.position = fiftieth.position;
    assert_int_equal(hermes_group_create(f->client, "t", "middle", &options), 0);
    assert_int_equal(describe(f, "middle").last_sequence, 49);
    options.durable = 1;
    assert_int_equal(hermes_group_create(f->client, "t", "durable", &options), 0);
    assert_int_equal(describe(f, "durable").last_sequence, 49);
    options.from = HERMES_FROM_FIRST;
    assert_int_equal(hermes_group_alter(f->client, "t", "middle", HERMES_GROUP_POSITION, &options), 0);
    assert_int_equal(describe(f, "middle").last_sequence, 0);
    options.from = HERMES_FROM_END;
    assert_int_equal(hermes_group_alter(f->client, "t", "middle", HERMES_GROUP_POSITION, &options), 0);
    assert_int_equal(describe(f, "middle").last_sequence, 100);
    restart(f, SIGTERM);
    assert_int_equal(describe(f, "middle").last_sequence, 100);
    assert_int_equal(describe(f, "durable").last_sequence, 49);
    assert_int_equal(describe(f, "middle").lost, 0);
}

/* A position is where a message begins, or the end. */
static void test_a_position_within_a_message_is_refused(void **state)
{
    struct fixture *f = *state;
    char large[1000] = {0};
    make_topic(f, "t", false);
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hermes_publish(publisher, large, sizeof large, NULL), 0);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_POSITION, .position = 1088};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    assert_int_equal(describe(f, "risk").last_sequence, 1);
    options.position += 64;
    assert_int_equal(hermes_group_create(f->client, "t", "other", &options), HERMES_EINVALID);
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options),
                     HERMES_EINVALID);
}

/* What a member did with a message before a reset, or an orderly stop, says nothing about what it does with
 * it now. */
static void test_a_claim_of_before_a_reset_is_over(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1), again;
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    again = expect(a, 1);
    assert_int_equal(hermes_ack(a, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_nack(a, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(a, &again), 0);
    held = expect(a, 2);
    restart(f, SIGTERM);
    again = expect(a, 2);
    assert_int_equal(hermes_nack(a, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(a, &again), 0);
}

/* It renews, and does nothing else: a broker that comes back takes nothing from it. */
static void test_who_renews_keeps_what_it_holds_over_a_crash(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 1000000000, 0, NULL); /* long beside the steps in which it is renewed */
    publish(f, "t", 1, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other), *b = join(f->client);
    hermes_message_t held = expect(a, 1);
    restart(f, SIGKILL);
    for (time_t start = time(NULL); time(NULL) - start < 4;) { /* for more than two leases */
        assert_int_equal(hermes_renew(a, &held), 0);
        expect_nothing(b);
    }
    assert_int_equal(hermes_ack(a, &held), 0);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.expired, 0);
    assert_int_equal(info.in_flight, 0);
    hermes_disconnect(other);
}

enum { HELD = 20000 };

struct acker {
    hermes_subscriber_t *member;
    hermes_message_t messages[HELD];
    int told[HELD + 1];
    _Atomic unsigned count;
};

static void *ack_all(void *context)
{
    struct acker *acker = context;
    for (unsigned i = 0; i < HELD; i++) {
        acker->told[i + 1] = hermes_ack(acker->member, &acker->messages[i]);
        atomic_store(&acker->count, i + 1);
        for (volatile int spin = 0; spin < 1000; spin++) /* so that the stop comes in between */
            ;
    }
    return NULL;
}

/* What an ack returned 0 for while the broker stopped, or by a hair before it, does not come again. */
static void test_acks_while_the_broker_stops_are_true(void **state)
{
    struct fixture *f = *state;
    static struct acker acker;
    hermes_client_t *other = another();
    make_messages(f, HELD);
    for (unsigned round = 1; round <= 5; round++) {
        char group[16];
        snprintf(group, sizeof group, "group%u", round);
        acker = (struct acker){.member = join_as(other, group, HERMES_ACK_MANUAL)};
        for (unsigned i = 0; i < HELD; i++)
            acker.messages[i] = expect(acker.member, i + 1);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ack_all, &acker), 0);
        while (atomic_load(&acker.count) * 100 < round * HELD)
            ;
        restart(f, SIGTERM);
        pthread_join(thread, NULL);

        for (time_t start = time(NULL); describe(f, group).last_sequence < HELD;) {
            hermes_message_t message;
            for (; hermes_wait(acker.member, &message, blink_ns) == 1;) {
                assert_int_equal(acker.told[number_of(&message)], HERMES_EEXPIRED);
                assert_int_equal(hermes_ack(acker.member, &message), 0);
            }
            assert_true(time(NULL) - start < PATIENCE);
        }
        hermes_subscriber_close(acker.member);
    }
    hermes_disconnect(other);
}

static uint64_t first_position(struct fixture *f)
{
    hermes_topic_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
    return info.first_position;
}

/* What retention took from a group is counted when that is found, once, and by the sequences on both sides of
 * it, whatever broker finds it. */
static void test_what_was_removed_is_counted_once(void **state)
{
    struct fixture *f = *state;
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = HERMES_DURABILITY_ASYNC,
                                      .window_bytes = 256 * 1024,
                                      .segment_bytes = 1024 * 1024,
                                      .keep_bytes = 1024 * 1024};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    publish(f, "t", 1, 10);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message;
    for (uint64_t i = 1; i <= 5; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    hermes_subscriber_close(a);
    publish(f, "t", 11, 60000);
    /* All that retention takes: of 60,000 frames of 64 bytes the last MiB is kept, and the segment it begins
     * in. */
    for (time_t start = time(NULL); first_position(f) < 2 * 1024 * 1024;)
        assert_true(time(NULL) - start < PATIENCE);
    restart(f, SIGTERM);
    assert_int_equal(describe(f, "risk").last_sequence, 5);
    a = join(f->client);
    int rc;
    while ((rc = hermes_wait(a, &message, patience_ns)) == HERMES_EGONE)
        ;
    assert_int_equal(rc, 1);
    uint64_t gone = message.sequence - 6;
    assert_true(gone > 0);
    assert_int_equal(describe(f, "risk").lost, gone);
    for (int i = 0; i < 4; i++) {
        restart(f, i % 2 == 0 ? SIGKILL : SIGTERM);
        assert_int_equal(hermes_wait(a, &message, patience_ns), 1);
        assert_int_equal(describe(f, "risk").lost, gone);
    }
}

/* A group whose record is damaged is not served: for who was a member before, its broker is away. */
static void test_a_group_that_is_not_served_is_away(void **state)
{
    struct fixture *f = *state;
    char path[256], aside[256];
    make_messages(f, 3);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message = expect(a, 1);
    assert_int_equal(hermes_ack(a, &message), 0);
    stop_broker(f, SIGTERM);
    snprintf(path, sizeof path, "%s/data/topics/t/groups/risk", f->home);
    snprintf(aside, sizeof aside, "%s/aside", f->home);
    assert_int_equal(rename(path, aside), 0);
    FILE *file = fopen(path, "w");
    assert_true(fputs("nonsense", file) >= 0 && fclose(file) == 0);
    start_broker(f);
    expect_nothing(a);
    hermes_subscriber_t *b;
    hermes_subscriber_options_t options = {.size = sizeof options, .group = "risk"};
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &b), HERMES_EIO);
    assert_non_null(strstr(hermes_last_error(f->client), "not served"));
    stop_broker(f, SIGTERM);
    assert_int_equal(rename(aside, path), 0);
    start_broker(f);
    expect(a, 2);
}

/* A member that dies with its broker, and its line in a new page that another takes: what it says late is of
 * another claim. */
static void test_a_stale_nack_gives_up_nobody_elses_claim(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 1000000000, 0, NULL); /* long beside what b does within it */
    publish(f, "t", 1, 2);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other);
    hermes_message_t stale = expect(a, 1);
    restart(f, SIGKILL); /* a does not come back within a lease */
    hermes_subscriber_t *b = join(f->client);
    hermes_message_t message = expect(b, 2);
    assert_int_equal(hermes_ack(b, &message), 0);
    expect(b, 1);
    hermes_client_t *third = another();
    hermes_subscriber_t *c = join(third); /* on the line that a had */
    assert_int_equal(hermes_nack(a, &stale), HERMES_EEXPIRED);
    expect_nothing(c);
    hermes_disconnect(third);
    hermes_disconnect(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_killed_broker),
        TEST(test_member_dies_with_the_broker),
        TEST(test_stopped_broker),
        TEST(test_a_group_whose_members_are_awaited_is_not_deleted),
        TEST(test_a_group_that_was_deleted_while_its_members_were_away_stays_so),
        TEST(test_a_stop_is_no_failure),
        TEST(test_memory_topic),
        TEST(test_a_stop_delivers_nothing_beyond_the_limit),
        TEST(test_a_record_that_cannot_be_written_loses_no_acks),
        TEST(test_a_reset_that_fails_takes_nothing_from_anybody),
        TEST(test_who_slept_over_two_brokers_keeps_what_it_holds),
        TEST(test_a_record_that_cannot_be_written_loses_no_acks_of_strangers),
        TEST(test_where_a_group_stands_is_known_exactly),
        TEST(test_a_position_within_a_message_is_refused),
        TEST(test_a_claim_of_before_a_reset_is_over),
        TEST(test_a_stale_nack_gives_up_nobody_elses_claim),
        TEST(test_who_renews_keeps_what_it_holds_over_a_crash),
        TEST(test_a_group_that_is_not_served_is_away),
        TEST(test_acks_while_the_broker_stops_are_true),
        TEST(test_what_was_removed_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
