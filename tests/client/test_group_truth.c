/* What the members of groups are told is true: over restarts, resets, changes of the publisher, and when
 * messages are gone. */
#include "members.h"

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include "client/subscriber.h"

static void ack_all(hermes_subscriber_t *member, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        hermes_message_t message = expect(member, i);
        assert_int_equal(hermes_ack(member, &message), 0);
    }
}

/* The window of the former epoch is no more, and where it was lapped old frames stand in it. */
static void test_who_was_passed_in_another_epoch_reads_on(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    enum { LAPS = 10000 }; /* of 4,096 messages */
    make_group(f, 0, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    publish(f, "t", 1, LAPS);
    ack_all(a, 1, LAPS);
    expect_nothing(a);
    publish(f, "t", LAPS + 1, LAPS + 400);
    ack_all(b, LAPS + 1, LAPS + 300);
    ack_all(a, LAPS + 301, LAPS + 400);
    assert_int_equal(describe(f, "risk").lost, 0);
    hermes_disconnect(other);
}

/* Who joins between two publishers and is far behind reads the store, and sees of the next epoch's window
 * nothing before it looks for a message of that epoch again. */
static void test_what_comes_again_is_read_whatever_epoch_it_is_of(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    enum { LAPS = 10000 }; /* of 4,096 messages */
    publish(f, "t", 1, LAPS);
    hermes_subscriber_t *a = join(f->client);
    publish(f, "t", LAPS + 1, 2 * LAPS);
    ack_all(a, 1, LAPS + 49);
    hermes_message_t given = expect(a, LAPS + 50);
    assert_int_equal(hermes_nack(a, &given), 0);
    given = expect(a, LAPS + 50);
    assert_int_equal(hermes_ack(a, &given), 0);
    assert_int_equal(describe(f, "risk").lost, 0);
}

/* ---- a broker that is killed ---- */

static void renew_for(hermes_subscriber_t *member, const hermes_message_t *message, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(hermes_renew(member, message), 0);
        nanosleep(&(struct timespec){0, 50000000}, NULL); /* the pace of its work */
    }
}

static void test_who_renews_keeps_what_it_holds_over_a_crash(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 1000000000, 0, NULL); /* long beside the steps in which it is renewed */
    publish(f, "t", 1, 3);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1);
    restart(f, SIGKILL);
    renew_for(a, &held, 60); /* three leases */
    assert_int_equal(hermes_ack(a, &held), 0);
    assert_int_equal(describe(f, "risk").members, 1);
    assert_int_equal(describe(f, "risk").redelivered, 0);
}

/* Who acks alone, and who reads what only the store has, sees neither seal nor window of the new one. */
static void test_whatever_a_member_does_greets_a_new_broker(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish(f, "t", 1, 20000);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t first = expect(a, 1), second = expect(a, 2), third = expect(a, 3), message;
    hermes_client_t *observer = another();
    struct fixture seen = {.client = observer};
    for (int way = 0; way < 4; way++) {
        restart(f, SIGKILL);
        assert_int_equal(hermes_ping(observer), 0);
        assert_int_equal(describe(&seen, "risk").members, 0);
        for (time_t start = time(NULL); describe(&seen, "risk").members == 0;) {
            if (time(NULL) - start > PATIENCE)
                fail_msg("way %d greets nobody", way);
            if (way == 0)
                assert_int_equal(hermes_renew(a, &third), 0);
            else if (way == 1)
                assert_int_equal(hermes_ack(a, &first), 0);
            else if (way == 2)
                (void)hermes_nack(a, &second);
            else
                assert_int_equal(poll_until_told(a, &message), 1);
            sched_yield();
        }
        assert_int_equal(hermes_renew(a, &third), 0); /* the same line, the same claims */
    }
    hermes_disconnect(observer);
}

static void renew_until(hermes_subscriber_t *member, const hermes_message_t *message,
                        bool (*is_so)(const hermes_subscriber_t *member))
{
    for (time_t start = time(NULL); !is_so(member); sched_yield()) {
        assert_true(time(NULL) - start < PATIENCE);
        assert_int_equal(hermes_renew(member, message), 0);
    }
}

static bool greets(const hermes_subscriber_t *member)
{
    return asked_is_under_way(&member->opening);
}

static bool has_greeted(const hermes_subscriber_t *member)
{
    return member->opening.type == 0;
}

/* A restart, after which the group is served. */
static void restart_seen(struct fixture *f, struct fixture *seen)
{
    restart(f, SIGKILL);
    assert_int_equal(hermes_ping(seen->client), 0);
    assert_int_equal(describe(seen, "risk").members, 0);
}

/* The connection to it may look alive for some milliseconds longer, as a silent one does. */
static void test_what_a_dead_broker_answered_does_not_greet_its_successor(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held = expect(a, 1);
    struct fixture seen = {.client = another()};
    restart_seen(f, &seen);
    kill(f->broker, SIGSTOP);
    renew_until(a, &held, greets);
    kill(f->broker, SIGCONT);
    assert_int_equal(hermes_ping(f->client), 0); /* the answer has come before that, and nobody took it up */
    assert_true(a->opening.answered);
    int silent[2], session = dup(f->client->channel.fd); /* which does not end before the broker does */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, silent), 0);
    assert_int_equal(dup2(silent[0], f->client->channel.fd), f->client->channel.fd);
    close(silent[0]);
    restart_seen(f, &seen);
    close(session);
    renew_until(a, &held, has_greeted);
    close(silent[1]);
    for (time_t start = time(NULL); describe(&seen, "risk").members == 0; sched_yield()) {
        assert_true(time(NULL) - start < PATIENCE);
        assert_int_equal(hermes_renew(a, &held), 0);
    }
    hermes_disconnect(seen.client);
}

/* A line is another member's after a while; what its former holder says then is its own business. */
static void test_a_former_holder_of_a_line_changes_nothing(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 100000000, 0, NULL);
    publish(f, "t", 1, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t stale = expect(a, 1);
    for (int i = 0; i < 2; i++) { /* the second time all lines are free, and given from the first on */
        stop_broker(f, SIGKILL);
        start_broker(f);
        hermes_subscriber_t *b = join(other);
        hermes_message_t message = expect(b, 1);
        if (i == 1) {
            hermes_group_options_t options = {.size = sizeof options, .lease_ns = 3600000000000u};
            assert_int_equal(hermes_group_alter(other, "t", "risk", HERMES_GROUP_LEASE, &options), 0);
            assert_int_equal(hermes_nack(a, &stale), HERMES_EEXPIRED);
            assert_int_equal(hermes_renew(a, &stale), HERMES_EEXPIRED);
            assert_int_equal(hermes_ack(a, &stale), HERMES_EEXPIRED);
            assert_int_equal(hermes_ack(b, &message), 0);
        }
        hermes_subscriber_close(b);
    }
    hermes_disconnect(other);
}

/* What was claimed and could not be read, for the broker did not open it, is handed out only if it is still
 * this member's. */
static void test_a_claim_that_waited_for_a_broker_is_looked_at_again(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 1000000000, 0, NULL);
    publish(f, "t", 1, 30000); /* two segments */
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(other), *b = join(f->client);
    hermes_message_t first = expect(b, 1), message;
    for (uint64_t i = 2; i <= 30000; i++) {
        assert_int_equal(poll_until_told(a, &message), 1);
        assert_int_equal(hermes_ack(a, &message), 0);
        if (i % 100 == 0)
            assert_int_equal(hermes_renew(b, &first), 0);
    }
    other->request_timeout_ns = 50000000;
    kill(f->broker, SIGSTOP);
    assert_int_equal(hermes_nack(b, &first), 0);
    int rc = hermes_poll(a, &message);
    kill(f->broker, SIGCONT);
    assert_int_equal(rc, 0);
    first = expect(b, 1); /* once the lease has run out */
    assert_true(describe(f, "risk").expired > 0);
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = 3600000000000u};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_LEASE, &options), 0);
    expect_nothing(a);
    assert_int_equal(hermes_ack(b, &first), 0);
    hermes_disconnect(other);
}

/* ---- after a reset ---- */

static void test_what_was_held_before_a_reset_is_expired(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t held[6], message;
    for (unsigned i = 1; i <= 5; i++)
        held[i] = expect(a, i);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_POSITION, .position = held[3].position};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    for (int i = 0; i < 2; i++) { /* before it has seen the new page, and after */
        for (unsigned j = 1; j <= 5; j++) {
            assert_int_equal(hermes_ack(a, &held[j]), HERMES_EEXPIRED);
            assert_int_equal(hermes_renew(a, &held[j]), HERMES_EEXPIRED);
            assert_int_equal(hermes_nack(a, &held[j]), HERMES_EEXPIRED);
        }
        message = expect(a, 3 + (unsigned)i);
    }
    assert_int_equal(hermes_ack(a, &message), 0);
    assert_int_equal(describe(f, "risk").in_flight, 1);
}

/* Who finds another page at its greeting goes to where that stands, and not the group to where it was. */
static void test_a_reset_and_a_crash_skip_nothing(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_client_t *other = another();
    for (int way = 0; way < 3; way++) {
        hermes_subscriber_t *a = join(f->client);
        hermes_message_t held = {0};
        for (uint64_t i = 1; i <= 50; i++)
            held = expect(a, i);
        hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
        assert_int_equal(hermes_group_alter(other, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
        restart(f, SIGKILL);
        struct fixture seen = {.client = other};
        while (way < 2 && describe(&seen, "risk").members == 0)
            assert_int_equal(way == 0 ? hermes_ack(a, &held) : hermes_renew(a, &held), HERMES_EEXPIRED);
        expect(a, 1);
        expect(a, 2);
        hermes_subscriber_close(a);
        assert_int_equal(hermes_group_alter(other, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    }
    hermes_disconnect(other);
}

static void test_a_late_ack_of_a_dead_message_is_expired(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    for (int i = 0; i < 2; i++) { /* with a topic for them, and without */
        make_group(f, 0, 1, i == 0 ? "letters" : NULL);
        if (i == 0)
            publish(f, "t", 1, 2);
        hermes_subscriber_t *a = join(f->client);
        hermes_message_t message = expect(a, 1);
        assert_int_equal(hermes_nack(a, &message), 0);
        assert_int_equal(hermes_ack(a, &message), HERMES_EEXPIRED);
        expect(a, 2);
        hermes_subscriber_close(a);
        delete_group(f);
    }
}

/* What was kept of a message is enough, and nobody else has it yet. */
static void test_an_ack_by_what_was_kept_and_before_another_has_it(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 50000000, 0, NULL);
    publish(f, "t", 1, 1);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t given = expect(a, 1);
    hermes_message_t kept = {
        .position = given.position, .sequence = given.sequence, .length = given.length, .claim = given.claim};
    for (time_t start = time(NULL); describe(f, "risk").expired == 0; sched_yield())
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(hermes_renew(a, &kept), HERMES_EEXPIRED);
    assert_int_equal(hermes_ack(a, &kept), 0);
    assert_int_equal(hermes_ack(a, &kept), 0);
    assert_int_equal(hermes_nack(a, &kept), HERMES_EEXPIRED);
    expect_nothing(a);
    kept.claim = 0;
    assert_int_equal(hermes_renew(a, &kept), HERMES_EEXPIRED);
}

/* Also to who is told late: another may have it by then, for the next time. */
static void test_deliveries_are_of_the_message_as_it_was_given(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    hermes_message_t given[20];
    for (unsigned i = 0; i < 20; i++) { /* a claim has the low bits of it */
        hermes_subscriber_t *turn = i % 2 == 0 ? a : b;
        given[i] = expect(turn, 1);
        for (unsigned j = i < 7 ? 0 : i - 7; j <= i; j++)
            assert_int_equal(hermes_deliveries(j % 2 == 0 ? a : b, &given[j]), j + 1);
        assert_int_equal(hermes_nack(turn, &given[i]), 0);
    }
    hermes_disconnect(other);
}

/* A broker that does not run keeps no member from its messages: nobody puts dead letters away while it polls.
 */
static void test_dead_letters_keep_nobody_waiting(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, 1);
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message = expect(a, 1);
    kill(f->broker, SIGSTOP);
    assert_int_equal(hermes_nack(a, &message), 0);
    int rc = hermes_wait(a, &message, blink_ns);
    kill(f->broker, SIGCONT);
    assert_int_equal(rc, 0);
}

/* ---- counters ---- */

static uint64_t lost_by(hermes_subscriber_t *member)
{
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    assert_int_equal(hermes_subscriber_describe(member, &counters), 0);
    return counters.lost;
}

/* At once, not when the next message is read; each once, whoever finds out. */
static void test_what_is_gone_is_counted_when_it_is_found(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *b = join(other);
    enum { MANY = 20000 };
    hermes_message_t message;
    publish(f, "t", 1, MANY);
    assert_int_equal(poll_until_told(a, &message), HERMES_EGONE); /* before anybody had any */
    uint64_t lost = describe(f, "risk").lost;
    assert_int_equal(poll_until_told(b, &message), 1);
    assert_int_equal(number_of(&message), lost + 1);
    assert_int_equal(describe(f, "risk").lost, lost);
    hermes_message_t held = message;
    uint64_t last = number_of(&message);
    for (; last < MANY - 100; last++)
        ack_all(last % 2 ? a : b, last + 1, last + 1);
    publish(f, "t", MANY + 1, 2 * MANY);
    assert_int_equal(poll_until_told(b, &message), HERMES_EGONE); /* the second time */
    uint64_t total = describe(f, "risk").lost;
    assert_int_equal(poll_until_told(a, &message), 1);
    assert_int_equal(total, lost + number_of(&message) - last - 1);
    assert_int_equal(describe(f, "risk").lost, total);
    assert_int_equal(lost_by(a) + lost_by(b), total);
    assert_int_equal(hermes_ack(a, &message), 0);
    assert_int_equal(hermes_nack(b, &held), 0); /* it is available, and cannot be read: one more */
    assert_int_equal(poll_until_told(a, &message), HERMES_EGONE);
    assert_int_equal(describe(f, "risk").lost, total + 1);
    assert_int_equal(describe(f, "risk").redelivered, 0); /* nobody got it again */
    assert_int_equal(poll_until_told(a, &message), 1);
    assert_int_equal(describe(f, "risk").lost, total + 1);
    assert_int_equal(lost_by(a) + lost_by(b), total + 1);
    hermes_disconnect(other);
}

/* Nothing is left that says how much was gone: that is told, to one, with what comes next. */
static void test_what_was_purged_is_told_to_one(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    make_group(f, 0, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *members[] = {join(f->client), join(other)};
    hermes_message_t message;
    unsigned told = 0;
    assert_int_equal(hermes_topic_purge(f->client, "t"), 0);
    for (int i = 0; i < 2; i++)
        told += hermes_wait(members[i], &message, blink_ns) == HERMES_EGONE;
    publish(f, "t", 11, 12);
    for (int i = 0; i < 2; i++) {
        int rc = hermes_wait(members[i], &message, patience_ns);
        if (rc == HERMES_EGONE) {
            told++;
            rc = hermes_wait(members[i], &message, patience_ns);
        }
        assert_int_equal(rc, 1);
        assert_int_equal(number_of(&message), 11 + i);
    }
    assert_int_equal(told, 1);
    assert_int_equal(describe(f, "risk").lost, 10);
    hermes_disconnect(other);
}

/* As it is for a moment: the epoch is over, and where it ended is not said yet. */
static struct status *amid_the_end_of_an_epoch(const struct status *status)
{
    struct status *page = aligned_alloc(_Alignof(struct status), sizeof *page);
    assert_non_null(page);
    memcpy(page, status, sizeof *page);
    memset(page->epochs, 0, sizeof page->epochs);
    return page;
}

static void await_end_of_epoch(const struct status *status)
{
    struct epoch_record record;
    for (time_t start = time(NULL);
         !status_find_epoch(status, atomic_load(&status->epoch), &record) || record.end == EPOCH_OPEN;
         sched_yield())
        assert_true(time(NULL) - start < PATIENCE);
}

/* Until then nobody knows what is left to be read. Then one is told, and the other goes on. */
static void test_what_is_gone_while_an_epoch_ends_is_told_to_one(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 0, NULL);
    hermes_client_t *other = another();
    hermes_subscriber_t *members[] = {join(f->client), join(other)};
    hermes_message_t message;
    publish(f, "t", 1, 20000);
    await_end_of_epoch(members[0]->reader.status);
    for (int i = 0; i < 2; i++) {
        const struct status *status = members[i]->reader.status;
        struct status *page = amid_the_end_of_an_epoch(status);
        members[i]->reader.status = page;
        while (!members[i]->reader.undecided) /* the broker hands it the window */
            assert_int_equal(hermes_poll(members[i], &message), 0);
        assert_int_equal(hermes_poll(members[i], &message), 0);
        members[i]->reader.status = status;
        free(page);
    }
    assert_int_equal(poll_until_told(members[0], &message), HERMES_EGONE);
    uint64_t lost = describe(f, "risk").lost;
    assert_int_equal(poll_until_told(members[1], &message), 1);
    assert_int_equal(number_of(&message), lost + 1);
    assert_int_equal(lost_by(members[0]), lost);
    assert_int_equal(lost_by(members[1]), 0);
    hermes_disconnect(other);
}

/* The same of what retention takes away from those that are slower. */
static void test_what_retention_takes_is_counted(void **state)
{
    struct fixture *f = *state;
    hermes_topic_options_t topic = {.size = sizeof topic,
                                    .durability = HERMES_DURABILITY_ASYNC,
                                    .window_bytes = 256 * 1024,
                                    .segment_bytes = 1024 * 1024,
                                    .keep_bytes = 1024 * 1024};
    assert_int_equal(hermes_topic_create(f->client, "t", &topic), 0);
    make_group(f, 0, 0, NULL);
    hermes_subscriber_t *a = join(f->client);
    publish(f, "t", 1, 10);
    hermes_message_t held = expect(a, 1), message;
    ack_all(a, 2, 10);
    hermes_topic_info_t info = {.size = sizeof info};
    uint64_t next = 11;
    do { /* until the first segments are gone */
        publish(f, "t", next, next + 19999);
        next += 20000;
        assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
    } while (info.first_position == 0);
    int rc = poll_until_told(a, &message);
    assert_int_equal(rc, HERMES_EGONE);
    while (rc == HERMES_EGONE) /* retention goes on beside it */
        rc = poll_until_told(a, &message);
    assert_int_equal(rc, 1); /* how much it was is known by now */
    uint64_t lost = describe(f, "risk").lost;
    assert_int_equal(lost, number_of(&message) - 11);
    assert_int_equal(lost_by(a), lost);
    assert_int_equal(hermes_nack(a, &held), 0);
    assert_int_equal(poll_until_told(a, &message), HERMES_EGONE);
    assert_int_equal(describe(f, "risk").lost, lost + 1);
    assert_int_equal(lost_by(a), lost + 1);
    assert_int_equal(describe(f, "risk").redelivered, 0);
}

/* As of a broker that was killed over a reset, or a deletion, whose record was on disk: members have the page
 * that counted before, and the next one says that it does not before it answers anybody. */
static void test_in_a_page_that_no_record_names_nothing_counts(void **state)
{
    struct fixture *f = *state;
    char path[128];
    make_messages(f, 20);
    hermes_client_t *other = another();
    hermes_subscriber_t *once = join_as(other, "once", HERMES_ACK_NONE);
    hermes_subscriber_t *risk = join_as(other, "risk", HERMES_ACK_MANUAL);
    hermes_message_t held = expect(risk, 1), message;
    expect(once, 1);
    stop_broker(f, SIGKILL);
    snprintf(path, sizeof path, "%s/data/topics/t/groups/once", f->home);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/data/topics/t/groups/risk", f->home);
    assert_int_equal(unlink(path), 0);
    start_broker(f);
    assert_int_equal(hermes_ack(risk, &held), HERMES_EEXPIRED);
    assert_int_equal(poll_until_told(once, &message), HERMES_ECLOSED);
    assert_int_equal(poll_until_told(risk, &message), HERMES_ECLOSED);
    hermes_disconnect(other);
}

/* Who was away is no member of another group that has the name by now; but of one that was reset, it is. */
static void test_a_group_that_was_made_anew_is_another(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_messages(f, 20);
    hermes_client_t *other = another();
    hermes_subscriber_options_t durable = {
        .size = sizeof durable, .name = "place", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    hermes_subscriber_t *risk = join(other), *audit = join_as(other, "audit", HERMES_ACK_MANUAL), *place;
    assert_int_equal(hermes_subscriber_open(other, "t", &durable, &place), 0);
    expect(risk, 1);
    expect(audit, 1);
    expect(place, 1);
    restart(f, SIGTERM);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "audit", HERMES_GROUP_POSITION, &options), 0);
    assert_int_equal(hermes_group_delete(f->client, "t", "risk"), 0);
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    assert_int_equal(hermes_group_delete(f->client, "t", "place"), 0);
    options.durable = 1;
    assert_int_equal(hermes_group_create(f->client, "t", "place", &options), 0);
    restart(f, SIGTERM); /* their records say it */
    expect(audit, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hermes_wait(risk, &message, patience_ns), HERMES_ECLOSED);
        assert_int_equal(hermes_wait(place, &message, patience_ns), HERMES_ECLOSED);
    }
    hermes_disconnect(other);
    expect(join(f->client), 1);
}

/* ---- a line that is another's ---- */

enum { A_SESSION = 64, SESSIONS = GROUP_MEMBERS / A_SESSION };

static void move_socket(struct fixture *f, bool away)
{
    char path[128], aside[128];
    snprintf(path, sizeof path, "%s/broker.sock", f->home);
    snprintf(aside, sizeof aside, "%s/aside.sock", f->home);
    assert_int_equal(away ? rename(path, aside) : rename(aside, path), 0);
}

/* The last is as late as the line that it gets. */
static hermes_subscriber_t *join_when_there_is_room(hermes_client_t *client)
{
    hermes_subscriber_options_t options = {.size = sizeof options, .group = "risk"};
    hermes_subscriber_t *member;
    int rc;
    for (time_t start = time(NULL);
         (rc = hermes_subscriber_open(client, "t", &options, &member)) == HERMES_ELIMIT;)
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(rc, 0);
    return member;
}

/* It does not reach the broker that runs by now, which thinks that it is gone, and gives its line to another
 * as there is no other left. What it took until it is answered is its own all the same. */
static void test_who_loses_its_line_keeps_what_it_took(void **state)
{
    struct fixture *f = *state;
    hermes_client_t *client = another(), *clients[SESSIONS];
    hermes_subscriber_t *others[GROUP_MEMBERS];
    make_topic(f, "t", false);
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_FIRST, .lease_ns = 200000000, .span_bytes = 256 * 1024};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(client);
    ack_all(a, 1, 1);
    restart(f, SIGKILL);
    for (unsigned i = 0; i < SESSIONS; i++)
        clients[i] = another();
    move_socket(f, true);
    for (unsigned i = 0; i < GROUP_MEMBERS - 1; i++)
        others[i] = join_when_there_is_room(clients[i / A_SESSION]);
    hermes_message_t held = expect(a, 2);
    others[GROUP_MEMBERS - 1] = join_when_there_is_room(clients[SESSIONS - 1]);
    move_socket(f, false);
    hermes_subscriber_close(others[0]);
    for (unsigned line = a->member->line; a->member->line == line; sched_yield()) /* it greets */
        (void)hermes_renew(a, &held);
    assert_int_equal(hermes_ack(a, &held), 0);
    for (unsigned i = 0; i < SESSIONS; i++)
        hermes_disconnect(clients[i]);
    hermes_disconnect(client);
    assert_int_equal(describe(f, "risk").redelivered, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_who_was_passed_in_another_epoch_reads_on),
        TEST(test_what_comes_again_is_read_whatever_epoch_it_is_of),
        TEST(test_who_renews_keeps_what_it_holds_over_a_crash),
        TEST(test_whatever_a_member_does_greets_a_new_broker),
        TEST(test_what_a_dead_broker_answered_does_not_greet_its_successor),
        TEST(test_a_former_holder_of_a_line_changes_nothing),
        TEST(test_a_claim_that_waited_for_a_broker_is_looked_at_again),
        TEST(test_what_was_held_before_a_reset_is_expired),
        TEST(test_a_reset_and_a_crash_skip_nothing),
        TEST(test_a_late_ack_of_a_dead_message_is_expired),
        TEST(test_an_ack_by_what_was_kept_and_before_another_has_it),
        TEST(test_deliveries_are_of_the_message_as_it_was_given),
        TEST(test_dead_letters_keep_nobody_waiting),
        TEST(test_what_is_gone_is_counted_when_it_is_found),
        TEST(test_what_is_gone_while_an_epoch_ends_is_told_to_one),
        TEST(test_what_was_purged_is_told_to_one),
        TEST(test_what_retention_takes_is_counted),
        TEST(test_in_a_page_that_no_record_names_nothing_counts),
        TEST(test_who_loses_its_line_keeps_what_it_took),
        TEST(test_a_group_that_was_made_anew_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
