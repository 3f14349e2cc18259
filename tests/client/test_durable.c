/* Durable subscriptions against a real broker: a position that survives programs and brokers. */
#include "members.h"

#include "client/subscriber.h"

static hermes_subscriber_t *subscribe_as(hermes_client_t *client, const char *name, uint32_t ack,
                                         int expected)
{
    hermes_subscriber_t *s = NULL;
    hermes_subscriber_options_t options = {
        .size = sizeof options, .name = name, .from = HERMES_FROM_FIRST, .ack = ack};
    assert_int_equal(hermes_subscriber_open(client, "t", &options, &s), expected);
    return s;
}

static void test_durable(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 100);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_AUTO, 0);
    subscribe_as(f->client, "n", HERMES_ACK_AUTO, HERMES_EBUSY);
    expect(s, 1);
    expect(s, 2);
    expect(s, 3);
    hermes_subscriber_close(s);
    s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t message = expect(s, 3); /* it was not done */
    assert_int_equal(hermes_ack(s, &message), 0);
    expect(s, 4);
    assert_int_equal(hermes_nack(s, &message), HERMES_EINVALID);
    restart(f, SIGKILL);
    expect(s, 5);
    hermes_client_t *other = another();
    hermes_message_t fifth = expect(s, 6);
    assert_int_equal(hermes_ack(s, &fifth), 0);
    while (describe(f, "n").members == 0) /* it greets the new broker */
        assert_int_equal(hermes_poll(s, &message), 1);
    subscribe_as(other, "n", HERMES_ACK_AUTO, HERMES_EBUSY);
    hermes_subscriber_close(s);
    s = subscribe_as(other, "n", HERMES_ACK_AUTO, 0);
    expect(s, 7);
    restart(f, SIGTERM);
    expect(s, 7);
    hermes_group_info_t info = describe(f, "n");
    assert_int_equal(info.durable, 1);
    assert_int_equal(info.last_sequence, 6);
    assert_int_equal(hermes_seek_sequence(s, 50), 0);
    expect(s, 50);
    expect(s, 51);
    hermes_disconnect(other);
    s = subscribe_as(f->client, "n", HERMES_ACK_AUTO, 0);
    expect(s, 51);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "n", HERMES_GROUP_POSITION, &options), 0);
    expect(s, 1);
    hermes_subscriber_close(s);
    assert_int_equal(hermes_group_delete(f->client, "t", "n"), 0);
}

/* What an ack said was done stays done; an ack of what is behind it already changes nothing. */
static void test_acks_say_how_far_all_is_done(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t held[11];
    for (unsigned i = 1; i <= 6; i++)
        held[i] = expect(s, i);
    assert_int_equal(hermes_ack(s, &held[5]), 0);
    assert_int_equal(describe(f, "n").last_sequence, 5);
    assert_int_equal(hermes_ack(s, &held[1]), 0);
    assert_int_equal(describe(f, "n").last_sequence, 5);
    hermes_subscriber_close(s);
    s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    expect(s, 6);
}

/* Its broker has written down where it stands: what is acked then is not in it, and not told to be. */
static void test_acks_after_an_orderly_stop_are_expired(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t held[6];
    for (unsigned i = 1; i <= 5; i++)
        held[i] = expect(s, i);
    assert_int_equal(hermes_ack(s, &held[2]), 0);
    stop_broker(f, SIGTERM);
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(hermes_ack(s, &held[i]), HERMES_EEXPIRED);
    start_broker(f);
    expect(s, 3);
    for (unsigned i = 1; i <= 5; i++) /* of the former place */
        assert_int_equal(hermes_ack(s, &held[i]), HERMES_EEXPIRED);
    expect(s, 4);
    hermes_subscriber_close(s);
    s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    expect(s, 3);
}

static void test_acks_after_a_reset_are_expired(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t held[6];
    for (unsigned i = 1; i <= 5; i++)
        held[i] = expect(s, i);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "n", HERMES_GROUP_POSITION, &options), 0);
    assert_int_equal(hermes_ack(s, &held[5]), HERMES_EEXPIRED); /* before it knows */
    expect(s, 1);
    assert_int_equal(hermes_ack(s, &held[5]), HERMES_EEXPIRED); /* and after */
    hermes_message_t never = {.position = 64};
    assert_int_equal(hermes_ack(s, &never), HERMES_EINVALID);
    expect(s, 2);
    hermes_subscriber_close(s);
    s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    expect(s, 1);
}

/* Of copies somebody may have made anything. Else the place would stand where nothing begins, and what is
 * published until then would never come. */
static void test_what_was_never_given_out_cannot_be_acked(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t third = {0};
    for (uint64_t i = 1; i <= 3; i++)
        third = expect(s, i);
    const uint64_t end = third.position + hermes_frame_bytes(third.length);
    const uint64_t never[] = {end, end + 64, 1u << 20, 1ull << 62, UINT64_MAX - 63, third.position + 8};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        hermes_message_t message = third;
        message.position = never[i];
        assert_int_equal(hermes_ack(s, &message), HERMES_EINVALID);
    }
    hermes_message_t longer = third;
    longer.length += 64;
    assert_int_equal(hermes_ack(s, &longer), HERMES_EINVALID);
    hermes_group_info_t info = describe(f, "n");
    assert_int_equal(info.position, 0);
    assert_int_equal(info.last_sequence, 0);
    assert_int_equal(hermes_seek_first(s), 0); /* what was given out before a seek was given out */
    assert_int_equal(hermes_ack(s, &third), 0);
    assert_int_equal(describe(f, "n").last_sequence, 3);
    expect(s, 1);
    restart(f, SIGKILL); /* nor does a broker that died take that back */
    do
        assert_int_equal(hermes_ack(s, &third), 0);
    while (describe(f, "n").members == 0); /* it greets the next one, who else would keep the place for it */
    hermes_subscriber_close(s);
    s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    expect(s, 4);
}

enum { LARGE = 1000, MANY = 3000 }; /* several windows, and segments */

static hermes_publisher_t *publisher_of(struct fixture *f)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    return publisher;
}

static void publish_large_by(hermes_publisher_t *publisher, unsigned count)
{
    static const char payload[LARGE] = "much";
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
}

static void publish_large(struct fixture *f, unsigned count)
{
    hermes_publisher_t *publisher = publisher_of(f);
    publish_large_by(publisher, count);
    hermes_publisher_close(publisher);
}

/* All that was published, and nothing acked. */
static void read_large(hermes_subscriber_t *s, hermes_message_t *messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hermes_wait(s, &messages[i], patience_ns), 1);
}

static void assert_no_copy_is_acked(hermes_subscriber_t *s, const hermes_message_t *message)
{
    hermes_message_t changed[] = {*message, *message, *message, *message, *message};
    changed[0].length -= 128;
    changed[1].length += 64;
    changed[2].position += 64;
    changed[3].position -= 64;
    changed[4].sequence++;
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
        assert_int_equal(hermes_ack(s, &changed[i]), HERMES_EINVALID);
}

/* Within a message the place would be stuck: nothing begins there. Where the message is by now, in the window
 * or in one segment or another, makes no difference. */
static void test_copies_that_name_no_message_cannot_be_acked(void **state)
{
    static hermes_message_t held[MANY];
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish_large(f, MANY);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, MANY);
    assert_no_copy_is_acked(s, &held[0]);
    assert_no_copy_is_acked(s, &held[MANY / 2]);
    assert_no_copy_is_acked(s, &held[MANY - 2]);
    assert_int_equal(describe(f, "n").position, 0);
    const unsigned honest[] = {0, 2, MANY / 2, MANY - 2, MANY - 1, 1, MANY / 2};
    for (size_t i = 0; i < sizeof honest / sizeof honest[0]; i++)
        assert_int_equal(hermes_ack(s, &held[honest[i]]), 0);
    assert_int_equal(describe(f, "n").last_sequence, MANY);
}

/* A look at the log leaves the reader, and the message in hand, where they are. */
static void test_late_acks_of_what_is_stored_change_nothing_for_the_reader(void **state)
{
    static hermes_message_t held[MANY];
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish_large(f, MANY);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, MANY);
    assert_int_equal(hermes_seek_first(s), 0);
    for (unsigned i = 0; i < MANY; i++) {
        hermes_message_t message;
        assert_int_equal(hermes_wait(s, &message, patience_ns), 1);
        assert_int_equal(message.sequence, i + 1);
        if (i % 100 == 0) {
            assert_int_equal(hermes_ack(s, &held[MANY / 2 + i / 3]), 0);
            assert_memory_equal(message.payload, "much", 5);
        }
    }
    restart(f, SIGKILL);
    assert_int_equal(hermes_ack(s, &held[MANY - 2]), 0);
    stop_broker(f, SIGKILL);
    assert_int_equal(hermes_ack(s, &held[MANY - 1]), 0); /* it is asked nothing for that */
    start_broker(f);
}

/* What is overwritten by now can be acked late as well: nobody will stand in it. (By the same publisher:
 * another one has another window.) */
static void test_late_acks_of_what_is_overwritten_count(void **state)
{
    static hermes_message_t held[100];
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publisher_of(f);
    publish_large_by(publisher, 100);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, 100);
    assert_no_copy_is_acked(s, &held[50]);
    publish_large_by(publisher, MANY);
    assert_int_equal(hermes_ack(s, &held[50]), 0);
    assert_int_equal(describe(f, "n").last_sequence, 51);
}

/* In files, where readers look for what their window does not have any more. */
static void await_stored(struct fixture *f)
{
    hermes_topic_info_t info = {.size = sizeof info};
    do
        assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
    while (info.persisted_position != info.committed_position);
}

/* Who reads on in the store has the window of an epoch that ended before what is read and acked there. */
static void test_acks_of_what_a_later_publisher_stored_count(void **state)
{
    static hermes_message_t held[MANY];
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish_large(f, MANY / 2);
    await_stored(f);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, 1);
    publish_large(f, MANY / 2);
    await_stored(f);
    read_large(s, held + 1, MANY - 10); /* not to the end, where the new window would be */
    assert_no_copy_is_acked(s, &held[MANY * 3 / 4]);
    const unsigned honest[] = {MANY / 2, MANY * 3 / 4, MANY - 20};
    for (size_t i = 0; i < sizeof honest / sizeof honest[0]; i++) {
        assert_int_equal(hermes_ack(s, &held[honest[i]]), 0);
        assert_int_equal(describe(f, "n").last_sequence, honest[i] + 1);
    }
}

/* What stands in neither the window nor the segment that is being read the broker opens; nothing comes of an
 * ack that nobody could look at, but of what is done nothing has to come. */
static void test_an_ack_that_must_be_looked_up_needs_a_broker(void **state)
{
    static hermes_message_t held[MANY];
    struct fixture *f = *state;
    make_topic(f, "t", false);
    publish_large(f, MANY);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, MANY);
    stop_broker(f, SIGKILL);
    f->client->request_timeout_ns = blink_ns;
    assert_int_equal(hermes_ack(s, &held[MANY / 2]), HERMES_EDISCONNECTED);
    f->client->request_timeout_ns = patience_ns;
    start_broker(f);
    assert_int_equal(hermes_ping(f->client), 0);
    assert_int_equal(describe(f, "n").position, 0);
    assert_int_equal(hermes_ack(s, &held[MANY / 2]), 0);
    assert_int_equal(describe(f, "n").last_sequence, MANY / 2 + 1);
    stop_broker(f, SIGKILL);
    assert_int_equal(hermes_ack(s, &held[MANY / 4]), 0);
    hermes_message_t copy = held[MANY / 4];
    copy.length -= 128;
    assert_int_equal(hermes_ack(s, &copy), 0); /* is believed */
    start_broker(f);
    assert_int_equal(hermes_ping(f->client), 0);
    assert_int_equal(describe(f, "n").last_sequence, MANY / 2 + 1);
}

/* As of what is overwritten: who stands there goes on with what is left. */
static void test_late_acks_of_what_retention_took_count(void **state)
{
    static hermes_message_t held[MANY];
    struct fixture *f = *state;
    hermes_topic_info_t info = {.size = sizeof info};
    hermes_topic_options_t options = {
        .size = sizeof options, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024, .keep_bytes = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    hermes_publisher_t *publisher = publisher_of(f);
    publish_large_by(publisher, 100);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    read_large(s, held, 100);
    publish_large_by(publisher, MANY);
    for (time_t start = time(NULL); info.first_position <= held[99].position;) {
        assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
        assert_true(time(NULL) - start < PATIENCE);
    }
    assert_int_equal(hermes_ack(s, &held[50]), 0);
    assert_int_equal(describe(f, "n").last_sequence, 51);
}

/* Where it was sought to it goes on, but for what is done behind that; what was given out there and not acked
 * comes again, as behind its place. */
static void test_what_was_sought_holds_over_an_orderly_stop(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 30);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t message;
    for (uint64_t i = 1; i <= 20; i++)
        message = expect(s, i);
    assert_int_equal(hermes_ack(s, &message), 0);
    assert_int_equal(hermes_seek_first(s), 0);
    for (uint64_t i = 1; i <= 5; i++)
        expect(s, i);
    restart(f, SIGTERM);
    expect(s, 6);
    assert_int_equal(hermes_seek_sequence(s, 25), 0);
    restart(f, SIGTERM);
    message = expect(s, 25);
    expect(s, 26);
    restart(f, SIGTERM);
    message = expect(s, 25);
    expect(s, 26);
    assert_int_equal(hermes_ack(s, &message), 0);
    restart(f, SIGTERM);
    expect(s, 26);
    assert_int_equal(hermes_seek_end(s), 0);
    restart(f, SIGTERM);
    publish(f, "t", 31, 31);
    expect(s, 31);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(f->client, "t", "n", HERMES_GROUP_POSITION, &options), 0);
    expect(s, 1);
}

/* Counters from 1 on, with these time stamps. */
static void publish_at(struct fixture *f, const uint64_t *stamps, uint64_t count)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (uint64_t i = 1; i <= count; i++)
        assert_int_equal(hermes_publish_at(publisher, stamps[i - 1], &i, sizeof i, NULL), 0);
    hermes_publisher_close(publisher);
}

/* A seek begins to read before what it looks for, and before the place; what comes of it holds all the same,
 * whether it was found before the stop or not, though what follows is older. */
static void test_what_a_seek_looks_for_holds_over_an_orderly_stop(void **state)
{
    static const uint64_t stamps[] = {1000, 2000, 3000, 4000, 9000, 5000, 6000};
    struct fixture *f = *state;
    for (int kind = 0; kind < 4; kind++) {
        bool by_time = kind % 2, found = kind / 2;
        make_topic(f, "t", false);
        publish_at(f, stamps, 7);
        hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
        hermes_message_t message = expect(s, 1);
        assert_int_equal(hermes_ack(s, &message), 0);
        assert_int_equal(by_time ? hermes_seek_time(s, 7000) : hermes_seek_sequence(s, 5), 0);
        if (found)
            expect(s, 5);
        restart(f, SIGTERM);
        message = expect(s, 5);
        restart(f, SIGTERM);
        message = expect(s, 5);
        assert_int_equal(hermes_ack(s, &message), 0);
        restart(f, SIGTERM);
        expect(s, 6);
        expect(s, 7);
        hermes_subscriber_close(s);
        delete_topic(f, "t");
    }
}

/* Nobody knows where the place is, nor whose; who reads alone seeks in what the broker that stopped left,
 * where none has to open it. */
static void test_a_seek_needs_a_broker_after_an_orderly_stop(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0), *alone;
    make_topic_of(f, "memory", false, HERMES_DURABILITY_MEMORY);
    publish(f, "memory", 1, 10);
    assert_int_equal(hermes_subscriber_open(f->client, "memory", NULL, &alone), 0);
    expect(s, 1);
    stop_broker(f, SIGTERM);
    f->client->request_timeout_ns = blink_ns;
    assert_int_equal(hermes_seek_first(s), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_seek_sequence(s, 5), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_seek_sequence(alone, 5), 0);
    expect(alone, 5);
    f->client->request_timeout_ns = patience_ns;
    start_broker(f);
    assert_int_equal(hermes_seek_sequence(s, 5), 0);
    expect(s, 5);
}

/* A seek is that of who has the place. What another was given meanwhile and did not ack comes to who has it
 * next, over stops, too. */
static void test_a_seek_ends_when_another_has_the_place(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 30);
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t message = expect(s, 1);
    assert_int_equal(hermes_ack(s, &message), 0);
    for (uint64_t stops = 1, next = 2; stops <= 2; stops++) {
        assert_int_equal(hermes_seek_sequence(s, 20), 0);
        expect(s, 20);
        restart(f, SIGTERM);
        hermes_client_t *client = another();
        hermes_subscriber_t *other = subscribe_as(client, "n", HERMES_ACK_MANUAL, 0);
        message = expect(other, next++);
        assert_int_equal(hermes_ack(other, &message), 0);
        expect(other, next);
        hermes_disconnect(client);
        if (stops == 2)
            restart(f, SIGTERM);
        expect(s, next);
    }
}

/* Who finds at its greeting that the place stands elsewhere goes there. */
static void test_a_reset_and_a_crash_skip_nothing(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 20);
    hermes_client_t *other = another();
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t held = {0};
    for (uint64_t i = 1; i <= 10; i++)
        held = expect(s, i);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_alter(other, "t", "n", HERMES_GROUP_POSITION, &options), 0);
    restart(f, SIGKILL);
    struct fixture seen = {.client = other};
    while (describe(&seen, "n").members == 0)
        assert_int_equal(hermes_ack(s, &held), HERMES_EEXPIRED);
    expect(s, 1);
    expect(s, 2);
    hermes_disconnect(other);
}

/* Who lost its place to another is told, and what it acks of it counts no more. */
static void test_a_place_that_another_has_is_told(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 10);
    hermes_client_t *other = another();
    hermes_subscriber_t *s = subscribe_as(f->client, "n", HERMES_ACK_MANUAL, 0);
    hermes_message_t held = expect(s, 1), message;
    restart(f, SIGTERM);
    hermes_subscriber_t *b = subscribe_as(other, "n", HERMES_ACK_MANUAL, 0); /* was faster */
    assert_int_equal(hermes_ack(s, &held), HERMES_EEXPIRED);
    assert_int_equal(hermes_wait(s, &message, patience_ns), HERMES_EBUSY);
    assert_int_equal(hermes_seek_first(s), HERMES_EBUSY);
    assert_int_equal(hermes_ack(s, &held), HERMES_EEXPIRED);
    message = expect(b, 1);
    assert_int_equal(hermes_ack(b, &message), 0);
    hermes_subscriber_close(b);
    expect(s, 2); /* it is free again */
    hermes_disconnect(other);
}

/* Whoever asks next, over another connection, finds the place free. */
static void test_a_disconnected_holder_leaves_its_place(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    for (int i = 0; i < 200; i++) {
        hermes_client_t *holder = another();
        subscribe_as(holder, "n", HERMES_ACK_AUTO, 0);
        hermes_disconnect(holder);
    }
}

/* In a child: takes the place, and leaves a child of its own that does nothing until the pipe ends. */
static void hold_and_fork(int ready, int until, bool forgets)
{
    hermes_client_t *client;
    hermes_subscriber_t *s;
    hermes_subscriber_options_t options = {.size = sizeof options, .name = "n"};
    char byte = 0;
    if (hermes_connect(NULL, &client) < 0 || hermes_subscriber_open(client, "t", &options, &s) < 0)
        _exit(1);
    if (fork() != 0)
        pause();
    if (forgets)
        hermes_forget(client);
    _exit(write(ready, &byte, 1) != 1 || read(until, &byte, 1) != 0);
}

/* Killed, once its child is there. Returns what that waits for. */
static int holder_that_was_killed(bool forgets)
{
    int ready[2], until[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(until), 0);
    pid_t holder = test_fork();
    if (holder == 0) {
        close(until[1]);
        hold_and_fork(ready[1], until[0], forgets);
    }
    close(ready[1]);
    close(until[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    return until[1];
}

static void await_place(struct fixture *f)
{
    hermes_subscriber_t *s;
    hermes_subscriber_options_t options = {.size = sizeof options, .name = "n"};
    int rc;
    for (time_t start = time(NULL);
         (rc = hermes_subscriber_open(f->client, "t", &options, &s)) == HERMES_EBUSY;)
        assert_true(time(NULL) - start < PATIENCE);
    assert_int_equal(rc, 0);
    hermes_subscriber_close(s);
}

static void test_a_child_keeps_its_parents_place_unless_it_lets_go(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    int until = holder_that_was_killed(true);
    await_place(f);
    close(until);
    until = holder_that_was_killed(false);
    subscribe_as(f->client, "n", HERMES_ACK_AUTO, HERMES_EBUSY);
    close(until);
    await_place(f);
}

/* Whoever held it did not come back: nobody waits for the next orderly stop. */
static void test_the_place_of_who_died_with_the_broker_is_free(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 3);
    hermes_client_t *other = another();
    expect(subscribe_as(other, "n", HERMES_ACK_MANUAL, 0), 1);
    stop_broker(f, SIGKILL);
    hermes_disconnect(other); /* tells nobody */
    start_broker(f);
    hermes_subscriber_t *s = NULL;
    hermes_subscriber_options_t options = {.size = sizeof options, .name = "n", .from = HERMES_FROM_FIRST};
    int rc;
    for (time_t start = time(NULL); (rc = hermes_subscriber_open(f->client, "t", &options, &s)) < 0;) {
        assert_int_equal(rc, HERMES_EBUSY);
        assert_true(time(NULL) - start < PATIENCE);
    }
    expect(s, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_durable),
        TEST(test_acks_say_how_far_all_is_done),
        TEST(test_acks_after_an_orderly_stop_are_expired),
        TEST(test_acks_after_a_reset_are_expired),
        TEST(test_what_was_never_given_out_cannot_be_acked),
        TEST(test_copies_that_name_no_message_cannot_be_acked),
        TEST(test_late_acks_of_what_is_stored_change_nothing_for_the_reader),
        TEST(test_late_acks_of_what_is_overwritten_count),
        TEST(test_acks_of_what_a_later_publisher_stored_count),
        TEST(test_an_ack_that_must_be_looked_up_needs_a_broker),
        TEST(test_late_acks_of_what_retention_took_count),
        TEST(test_what_was_sought_holds_over_an_orderly_stop),
        TEST(test_what_a_seek_looks_for_holds_over_an_orderly_stop),
        TEST(test_a_seek_needs_a_broker_after_an_orderly_stop),
        TEST(test_a_seek_ends_when_another_has_the_place),
        TEST(test_a_reset_and_a_crash_skip_nothing),
        TEST(test_a_place_that_another_has_is_told),
        TEST(test_a_disconnected_holder_leaves_its_place),
        TEST(test_a_child_keeps_its_parents_place_unless_it_lets_go),
        TEST(test_the_place_of_who_died_with_the_broker_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
