/* Dead letters against a real broker: what became of messages that nobody could deal with. */
#include "members.h"

static hermes_subscriber_t *subscribe_letters(hermes_client_t *client, uint32_t flags)
{
    hermes_subscriber_t *s;
    hermes_subscriber_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST, .flags = flags};
    int rc = hermes_subscriber_open(client, "letters", &options, &s);
    if (rc != 0)
        fail_msg("%s", hermes_last_error(client));
    return s;
}

/* The envelope of the next letter. */
static hermes_message_t expect_letter(hermes_subscriber_t *letters, uint64_t sequence)
{
    hermes_message_t message;
    assert_int_equal(hermes_wait(letters, &message, patience_ns), 1);
    const hermes_letter_t *letter = hermes_letter_of(&message);
    assert_non_null(letter);
    assert_int_equal(letter->sequence, sequence);
    return message;
}

/* Claimed and given back once: at the limit, it is dead. */
static hermes_message_t kill_next(hermes_subscriber_t *member, uint64_t sequence)
{
    hermes_message_t message;
    assert_int_equal(hermes_wait(member, &message, patience_ns), 1);
    assert_int_equal(message.sequence, sequence);
    assert_int_equal(hermes_nack(member, &message), 0);
    return message;
}

static void await_nothing_in_flight(struct fixture *f)
{
    for (time_t start = time(NULL); describe(f, "risk").in_flight != 0;)
        assert_true(time(NULL) - start < PATIENCE);
}

static void test_a_letter_says_whence_it_came(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 3, "letters");
    publish(f, "t", 1, 3);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    hermes_message_t message;
    for (unsigned i = 1; i <= 3; i++) {
        message = expect(a, 1);
        assert_int_equal(hermes_nack(a, &message), 0);
    }
    expect(a, 2); /* nobody waits for it */
    hermes_message_t put = expect_letter(letters, 1);
    const hermes_letter_t *letter = hermes_letter_of(&put);
    hermes_topic_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
    assert_string_equal(letter->topic, "t");
    assert_string_equal(letter->group, "risk");
    assert_int_equal(letter->reason, HERMES_LETTER_DELIVERIES);
    assert_int_equal(letter->deliveries, 3);
    assert_int_equal(letter->position, message.position);
    assert_int_equal(letter->timestamp, message.timestamp);
    assert_int_equal(letter->payload_bytes, sizeof(uint64_t));
    assert_int_equal(put.length, HERMES_LETTER_BYTES + sizeof(uint64_t));
    assert_true(letter->buried_ns >= letter->timestamp);
    assert_int_equal(put.timestamp, letter->buried_ns);
    uint64_t number;
    memcpy(&number, (const char *)put.payload + HERMES_LETTER_BYTES, sizeof number);
    assert_int_equal(number, 1);
    /* A death counts as a delivery, too. */
    for (unsigned i = 2; i <= 3; i++) {
        hermes_subscriber_close(a);
        a = join(f->client);
        expect(a, 2);
    }
    hermes_subscriber_close(a);
    expect_letter(letters, 2);
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").dead, 2);
}

/* The topic for them is gone: words stay dead, members are told nothing and go on, and when there is one
 * again the letters come. */
static void test_letters_wait_for_their_topic(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    assert_int_equal(hermes_topic_delete(f->client, "letters"), 0);
    publish(f, "t", 1, 3);
    hermes_subscriber_t *a = join(f->client);
    kill_next(a, 1);
    hermes_message_t message = expect(a, 2);
    assert_int_equal(hermes_ack(a, &message), 0);
    expect(a, 3);
    expect_nothing(a);
    assert_int_equal(describe(f, "risk").in_flight, 2);
    restart(f, SIGTERM); /* nor are they forgotten, and nor is what is at its limit by now */
    expect_nothing(a);
    assert_int_equal(describe(f, "risk").in_flight, 2);
    make_topic(f, "letters", false); /* it must be shared */
    expect_nothing(a);
    assert_int_equal(describe(f, "risk").in_flight, 2);
    assert_int_equal(hermes_topic_delete(f->client, "letters"), 0);
    make_topic(f, "letters", true);
    hermes_subscriber_t *letters = subscribe_letters(f->client, 0);
    expect_letter(letters, 1);
    expect_letter(letters, 3);
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").dead, 2);
}

static void rename_definition(struct fixture *f, const char *topic, const char *from, const char *to)
{
    char before[256], after[256];
    snprintf(before, sizeof before, "%s/data/topics/%s/%s", f->home, topic, from);
    snprintf(after, sizeof after, "%s/data/topics/%s/%s", f->home, topic, to);
    assert_int_equal(rename(before, after), 0);
}

/* Nor is a member told of a topic that is not served after a start: it cannot help it. */
static void test_letters_of_a_topic_that_is_not_served_are_no_members_business(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(f->client);
    stop_broker(f, SIGTERM);
    rename_definition(f, "letters", "topic.conf", "aside");
    char path[256];
    snprintf(path, sizeof path, "%s/data/topics/letters/topic.conf", f->home);
    FILE *file = fopen(path, "w");
    assert_true(fputs("nonsense\n", file) >= 0 && fclose(file) == 0);
    start_broker(f);
    kill_next(a, 1);
    expect(a, 2);
    expect_nothing(a);
    stop_broker(f, SIGTERM);
    rename_definition(f, "letters", "aside", "topic.conf");
    start_broker(f);
    hermes_subscriber_t *letters = subscribe_letters(f->client, 0);
    expect_letter(letters, 1);
}

enum { LARGE = HERMES_PAYLOAD_MAX };

static void publish_large(struct fixture *f, unsigned count)
{
    static uint8_t payload[LARGE];
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    for (unsigned i = 1; i <= count; i++) {
        memset(payload, (int)i, sizeof payload);
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
    }
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
    hermes_publisher_close(publisher);
}

/* No room in their topic, for as long as its reader does not read: nobody waits but they, and none is lost.
 */
static void test_letters_wait_for_room(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 12 };
    make_topic(f, "t", false);
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = HERMES_DURABILITY_MEMORY,
                                      .shared = 1,
                                      .push_back = 1,
                                      .window_bytes = 256 * 1024};
    assert_int_equal(hermes_topic_create(f->client, "letters", &options), 0);
    make_group(f, 0, 1, "letters");
    hermes_client_t *other = another();
    hermes_subscriber_t *letters = subscribe_letters(other, HERMES_SUBSCRIBE_PUSH_BACK);
    publish_large(f, MANY + 1);
    hermes_subscriber_t *a = join(f->client);
    for (uint64_t i = 1; i <= MANY; i++)
        kill_next(a, i);
    hermes_message_t message;
    assert_int_equal(hermes_wait(a, &message, patience_ns), 1);
    assert_int_equal(hermes_ack(a, &message), 0);
    assert_true(describe(f, "risk").in_flight > 0);
    for (uint64_t i = 1; i <= MANY; i++) {
        message = expect_letter(letters, i);
        /* It does not fit with its envelope: what is missing is told. */
        assert_int_equal(message.length, LARGE);
        assert_int_equal(hermes_letter_of(&message)->payload_bytes, LARGE);
        const uint8_t *payload = (const uint8_t *)message.payload + HERMES_LETTER_BYTES;
        assert_int_equal(payload[0], i);
        assert_int_equal(payload[LARGE - HERMES_LETTER_BYTES - 1], i);
    }
    await_nothing_in_flight(f);
    hermes_disconnect(other);
}

/* Both topics in memory alone. */
static void test_letters_of_memory_topics(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, 200);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    for (uint64_t i = 1; i <= 200; i++)
        kill_next(a, i);
    for (uint64_t i = 1; i <= 200; i++)
        expect_letter(letters, i);
    await_nothing_in_flight(f);
}

/* What was overwritten before it could be put away is lost, and counted as that. */
static void test_what_is_gone_is_no_letter(void **state)
{
    struct fixture *f = *state;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    make_group(f, 0, 1, "letters");
    assert_int_equal(hermes_topic_delete(f->client, "letters"), 0);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *a = join(f->client);
    kill_next(a, 1);
    hermes_message_t message = expect(a, 2);
    assert_int_equal(hermes_ack(a, &message), 0);
    publish(f, "t", 3, 20000); /* of 64 bytes, in a window of 256 KiB */
    await_nothing_in_flight(f);
    hermes_group_info_t info = describe(f, "risk");
    assert_int_equal(info.lost, 1);
    assert_int_equal(info.dead, 1);
    make_topic(f, "letters", true);
    hermes_subscriber_t *letters = subscribe_letters(f->client, 0);
    hermes_message_t none;
    assert_int_equal(hermes_poll(letters, &none), 0);
}

/* Messages that only the store has by now. */
static void test_letters_from_the_store(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 30000 }; /* several windows, two segments */
    make_topic(f, "t", false);
    hermes_group_options_t options = {
        .size = sizeof options, .max_deliveries = 1, .dead_letter = "letters", .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    publish(f, "t", 1, MANY);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    hermes_message_t message, early = expect(a, 1), next = expect(a, 2);
    for (uint64_t i = 3; i <= MANY; i++) {
        message = expect(a, i);
        assert_int_equal(hermes_ack(a, &message), 0);
    }
    assert_int_equal(hermes_nack(a, &next), 0);
    expect_letter(letters, 2);
    assert_int_equal(hermes_nack(a, &early), 0);
    expect_letter(letters, 1);
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").lost, 0);
}

/* Killed at the very moment at which a letter is there: it may be there twice, and none is missing. */
static void test_a_broker_that_is_killed_loses_no_letter(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 40, KILLS = 8 };
    bool there[MANY + 1] = {false};
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, MANY);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    for (uint64_t i = 1; i <= MANY; i++) {
        kill_next(a, i);
        if (i % (MANY / KILLS) != 0)
            continue;
        hermes_message_t message;
        assert_int_equal(hermes_wait(letters, &message, patience_ns), 1);
        there[hermes_letter_of(&message)->sequence] = true;
        restart(f, SIGKILL);
    }
    for (uint64_t i = 1; i <= MANY; i++)
        while (!there[i]) {
            hermes_message_t message;
            assert_int_equal(hermes_wait(letters, &message, patience_ns), 1);
            there[hermes_letter_of(&message)->sequence] = true;
        }
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").dead, MANY);
}

static void send_next(hermes_publisher_t *publisher, uint64_t *sent)
{
    ++*sent;
    assert_int_equal(hermes_publish(publisher, sent, sizeof *sent, NULL), 0);
}

/* Beside a publisher of the same topic, whose messages are in it once, though the broker is killed after
 * letters came in between, and its ring goes on meanwhile. */
static void test_letters_among_what_others_publish(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 5, A_ROUND = 20, MANY = ROUNDS * A_ROUND };
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, MANY);
    hermes_client_t *other = another();
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(other, 0);
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "letters", NULL, &publisher), 0);
    uint64_t sent = 0, published = 0, letters_there = 0;
    for (uint64_t i = 1; i <= MANY; i++) {
        kill_next(a, i);
        send_next(publisher, &sent);
        if (i % A_ROUND != 0)
            continue;
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
        await_nothing_in_flight(f);
        stop_broker(f, SIGKILL);
        for (int late = 0; late < A_ROUND; late++)
            send_next(publisher, &sent);
        start_broker(f);
    }
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, patience_ns), 0);
    bool there[MANY + 1] = {false};
    hermes_message_t message;
    while (published < sent || letters_there < MANY) {
        assert_int_equal(hermes_wait(letters, &message, patience_ns), 1);
        const hermes_letter_t *letter = hermes_letter_of(&message);
        if (letter == NULL)
            assert_int_equal(number_of(&message), ++published);
        else if (!there[letter->sequence])
            there[letter->sequence] = ++letters_there > 0;
    }
    while (hermes_wait(letters, &message, blink_ns) == 1) /* of what others publish nothing comes twice */
        assert_non_null(hermes_letter_of(&message));
    hermes_disconnect(other);
}

/* A group that goes while its letters are under way. */
static void test_a_group_is_deleted_with_letters_waiting(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_topic(f, "letters", true);
    for (int round = 0; round < 20; round++) {
        make_group(f, 0, 1, "letters");
        publish(f, "t", 1, 20);
        hermes_subscriber_t *a = join(f->client);
        hermes_message_t message;
        while (hermes_poll(a, &message) == 1)
            assert_int_equal(hermes_nack(a, &message), 0);
        hermes_subscriber_close(a);
        delete_group(f);
    }
    make_group(f, 0, 1, "letters");
    hermes_subscriber_t *a = join(f->client);
    hermes_message_t message;
    while (hermes_poll(a, &message) == 1)
        assert_int_equal(hermes_nack(a, &message), 0);
    assert_int_equal(hermes_topic_delete(f->client, "t"), 0);
}

/* Or begins elsewhere: what was dead before is nobody's any more, and comes again with all the rest. */
static void test_a_group_is_reset_with_letters_waiting(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 20, ROUNDS = 30 };
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, MANY);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    for (int round = 1; round <= ROUNDS; round++) {
        for (uint64_t i = 1; i <= MANY; i++)
            kill_next(a, i);
        if (round < ROUNDS)
            assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    }
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").dead, ROUNDS * MANY);
    assert_int_equal(describe(f, "risk").lost, 0);
    uint64_t last = 0;
    for (hermes_message_t message; hermes_poll(letters, &message) == 1;) {
        uint64_t sequence = hermes_letter_of(&message)->sequence;
        assert_true(sequence == last + 1 ||
                    sequence == 1); /* in order, or from the beginning after a reset */
        last = sequence;
    }
    assert_int_equal(last, MANY);
}

/* Who moves a group on, or deletes it, has given nothing up that nobody could deal with. */
static void test_no_letter_is_lost_by_a_reset_or_a_deletion(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 200 };
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, 2 * MANY);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_END};
    for (uint64_t i = 1; i <= MANY; i++)
        kill_next(a, i);
    hermes_message_t last = expect(a, MANY + 1);
    options.from = HERMES_FROM_POSITION;
    options.position = last.position;
    reset_group(f, &options);
    for (uint64_t i = MANY + 1; i <= 2 * MANY; i++)
        kill_next(a, i);
    hermes_subscriber_close(a);
    delete_group(f);
    for (uint64_t i = 1; i <= 2 * MANY; i++)
        expect_letter(letters, i);
}

/* While they cannot be put away, that is refused; back is where they come again. */
static void test_letters_that_wait_hold_their_group(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    assert_int_equal(hermes_topic_delete(f->client, "letters"), 0);
    publish(f, "t", 1, 3);
    hermes_subscriber_t *a = join(f->client);
    kill_next(a, 1);
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_END};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options),
                     HERMES_EBUSY);
    assert_non_null(strstr(hermes_last_error(f->client), "letters"));
    assert_int_equal(describe(f, "risk").in_flight, 1);
    options.from = HERMES_FROM_FIRST;
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_POSITION, &options), 0);
    kill_next(a, 1);
    hermes_subscriber_close(a);
    assert_int_equal(hermes_group_delete(f->client, "t", "risk"), HERMES_EBUSY);
    make_topic(f, "letters", true);
    delete_group(f);
    hermes_subscriber_t *letters = subscribe_letters(f->client, 0);
    expect_letter(letters, 1);
}

/* Of what waits to be delivered again, too. */
static void test_a_lower_limit_holds_for_what_was_given_back_before(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    make_group(f, 0, 5, "letters");
    hermes_group_options_t plain = {.size = sizeof plain, .from = HERMES_FROM_FIRST};
    assert_int_equal(hermes_group_create(f->client, "t", "plain", &plain), 0);
    publish(f, "t", 1, 2);
    hermes_subscriber_t *letters = subscribe_letters(f->client, 0);
    hermes_group_options_t lower = {.size = sizeof lower, .max_deliveries = 2};
    const char *groups[] = {"risk", "plain"};
    for (int i = 0; i < 2; i++) {
        hermes_subscriber_t *a = join_as(f->client, groups[i], HERMES_ACK_MANUAL);
        for (int given = 1; given <= 3; given++) {
            hermes_message_t message = expect(a, 1);
            assert_int_equal(hermes_nack(a, &message), 0);
        }
        assert_int_equal(hermes_group_alter(f->client, "t", groups[i], HERMES_GROUP_DELIVERIES, &lower), 0);
        hermes_message_t message = expect(a, 2);
        assert_int_equal(hermes_ack(a, &message), 0);
        for (time_t start = time(NULL); describe(f, groups[i]).dead != 1;)
            assert_true(time(NULL) - start < PATIENCE);
        expect_nothing(a);
        assert_int_equal(describe(f, groups[i]).redelivered, 2);
    }
    hermes_message_t letter = expect_letter(letters, 1);
    assert_int_equal(hermes_letter_of(&letter)->deliveries, 3);
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "plain").in_flight, 0);
}

/* However little time they had to become durable: what the topic has by then is put away. */
static void test_an_orderly_stop_repeats_no_letter(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 12, A_ROUND = 20 };
    make_topic(f, "t", false);
    make_group(f, 0, 1, "letters");
    publish(f, "t", 1, ROUNDS * A_ROUND);
    hermes_subscriber_t *a = join(f->client), *letters = subscribe_letters(f->client, 0);
    for (uint64_t round = 0, next = 1; round < ROUNDS; round++) {
        for (uint64_t i = 1; i <= A_ROUND; i++)
            kill_next(a, round * A_ROUND + i);
        expect_letter(letters, next++);
        restart(f, SIGTERM);
        while (next <= (round + 1) * A_ROUND)
            expect_letter(letters, next++);
    }
    await_nothing_in_flight(f);
    hermes_message_t none;
    assert_int_equal(hermes_wait(letters, &none, blink_ns), 0);
}

/* Half a change would be left behind. */
static void test_a_group_that_is_refused_leaves_no_topic_behind(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 3);
    make_group(f, 0, 0, NULL);
    hermes_topic_info_t info = {.size = sizeof info};
    hermes_group_options_t options = {
        .size = sizeof options, .dead_letter = "new", .from = HERMES_FROM_POSITION, .position = 64};
    const struct {
        const char *group;
        uint64_t lease_ns, position;
        uint32_t most;
        int rc;
    } refused[] = {
        {"risk", 0, 0, 0, HERMES_EEXISTS},
        {"other", 1, 0, 0, HERMES_EINVALID},
        {"other", 0, 0, 1 << 20, HERMES_EINVALID},
        {"other", 0, 8, 0, HERMES_EINVALID},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        options.lease_ns = refused[i].lease_ns;
        options.max_deliveries = refused[i].most;
        options.position = refused[i].position;
        assert_int_equal(hermes_group_create(f->client, "t", refused[i].group, &options), refused[i].rc);
        assert_int_equal(hermes_topic_describe(f->client, "new", &info), HERMES_ENOTFOUND);
    }
    options = (hermes_group_options_t){.size = sizeof options, .dead_letter = "new"};
    assert_int_equal(hermes_group_create(f->client, "t", "other", &options), 0);
    assert_int_equal(hermes_topic_describe(f->client, "new", &info), 0);
}

/* Though nobody is there who would be given it. */
static void test_a_lower_limit_buries_what_waits(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    make_group(f, 0, 0, "letters");
    hermes_subscriber_t *member = join(f->client), *letters = subscribe_letters(f->client, 0);
    for (int given = 1; given <= 3; given++)
        (void)kill_next(member, 1);
    hermes_subscriber_close(member);
    hermes_group_options_t limit = {.size = sizeof limit, .max_deliveries = 4};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_DELIVERIES, &limit), 0);
    assert_int_equal(describe(f, "risk").dead, 0);
    limit.max_deliveries = 3;
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_DELIVERIES, &limit), 0);
    hermes_message_t letter = expect_letter(letters, 1);
    assert_int_equal(hermes_letter_of(&letter)->deliveries, 3);
    await_nothing_in_flight(f);
    assert_int_equal(describe(f, "risk").dead, 1);
}

static void test_who_has_a_message_when_the_limit_is_lowered_may_acknowledge_it(void **state)
{
    struct fixture *f = *state;
    make_messages(f, 1);
    make_group(f, 0, 0, "letters");
    hermes_subscriber_t *member = join(f->client);
    for (int given = 1; given <= 3; given++)
        (void)kill_next(member, 1);
    hermes_message_t message = expect(member, 1);
    hermes_group_options_t limit = {.size = sizeof limit, .max_deliveries = 2};
    assert_int_equal(hermes_group_alter(f->client, "t", "risk", HERMES_GROUP_DELIVERIES, &limit), 0);
    assert_int_equal(hermes_renew(member, &message), 0);
    assert_int_equal(hermes_ack(member, &message), 0);
    assert_int_equal(describe(f, "risk").dead, 0);
    assert_int_equal(describe(f, "risk").in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_letter_says_whence_it_came),
        TEST(test_letters_wait_for_their_topic),
        TEST(test_letters_of_a_topic_that_is_not_served_are_no_members_business),
        TEST(test_letters_wait_for_room),
        TEST(test_letters_of_memory_topics),
        TEST(test_what_is_gone_is_no_letter),
        TEST(test_letters_from_the_store),
        TEST(test_a_broker_that_is_killed_loses_no_letter),
        TEST(test_letters_among_what_others_publish),
        TEST(test_a_group_is_deleted_with_letters_waiting),
        TEST(test_a_group_is_reset_with_letters_waiting),
        TEST(test_no_letter_is_lost_by_a_reset_or_a_deletion),
        TEST(test_letters_that_wait_hold_their_group),
        TEST(test_a_lower_limit_holds_for_what_was_given_back_before),
        TEST(test_an_orderly_stop_repeats_no_letter),
        TEST(test_a_group_that_is_refused_leaves_no_topic_behind),
        TEST(test_a_lower_limit_buries_what_waits),
        TEST(test_who_has_a_message_when_the_limit_is_lowered_may_acknowledge_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
