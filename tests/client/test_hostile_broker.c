/* The client library against a broker that breaks every rule of docs/reference/protocol.md: what it sends is
 * refused, told, or passed over, and never believed. */
#include "proxy.h"

#include <inttypes.h>
#include <semaphore.h>

#include "wire/wire.h"

enum { HANDLE = 7, TOPIC_ID = 9 };

/* What it does once it has answered what opens an outlet or an intake. */
typedef void (*trick_t)(int fd, uint64_t *random);

struct liar {
    int listener;
    unsigned port;
    trick_t trick;
    uint64_t random;
    enum wire_type cue; /* what its trick follows on; 0: what opens an outlet, an intake or a member */
    bool lies_at_once;  /* instead of a welcome */
    bool hangs_up;      /* when it has lied */
    _Atomic unsigned played, ended;
    pthread_t thread;
};

/* ---- what it says ---- */

static void say(int fd, const void *bytes, size_t count)
{
    (void)!send(fd, bytes, count, MSG_NOSIGNAL);
}

static void say_message(int fd, uint8_t type, uint64_t sequence, const void *payload, uint32_t length)
{
    hermes_header_t header;
    wire_header(&header, (enum wire_type)type, sequence, length);
    say(fd, &header, sizeof header);
    say(fd, payload, length);
}

/* A frame as it stands in a log, at to; its bytes. */
static size_t put_frame(uint8_t *to, uint64_t sequence, uint32_t length)
{
    size_t bytes = hermes_frame_bytes(length);
    memset(to, 0, bytes);
    hermes_header_t header;
    (void)hermes_message_encode(&header, to + sizeof header, length, sequence, 1);
    memcpy(to, &header, sizeof header);
    return bytes;
}

static void say_log(int fd, uint64_t position, uint64_t sequence, const uint8_t *frames, size_t count)
{
    static uint8_t bytes[sizeof(struct wire_log) + WIRE_FLOW_MAX];
    struct wire_log log = {.epoch = 1, .position = position, .sequence = sequence, .end = position + count};
    memcpy(bytes, &log, sizeof log);
    memcpy(bytes + sizeof log, frames, count);
    say_message(fd, WIRE_LOG, HANDLE, bytes, (uint32_t)(sizeof log + count));
}

static bool hear(int fd, void *to, size_t count)
{
    return recv(fd, to, count, MSG_WAITALL) == (ssize_t)count;
}

static void answer(int fd, const hermes_header_t *asked)
{
    const struct wire_welcome welcome = {.protocol = WIRE_PROTOCOL, .instance = 1};
    const struct wire_outlet outlet = {.handle = HANDLE, .topic_id = TOPIC_ID, .sequence = 1};
    const struct wire_intake intake = {
        .handle = HANDLE, .topic_id = TOPIC_ID, .ring_id = 1, .sequence = 1, .resumed = 1, .credit = 1 << 20};
    const struct wire_member member = {
        .handle = HANDLE, .topic_id = TOPIC_ID, .page = 1, .member = 1, .claim = 1, .lease_ms = 1000};
    if (asked->type == WIRE_HELLO)
        say_message(fd, WIRE_WELCOME, asked->sequence, &welcome, sizeof welcome);
    else if (asked->type == WIRE_OUTLET_OPEN)
        say_message(fd, WIRE_OUTLET, asked->sequence, &outlet, sizeof outlet);
    else if (asked->type == WIRE_INTAKE_OPEN)
        say_message(fd, WIRE_INTAKE, asked->sequence, &intake, sizeof intake);
    else if (asked->type == WIRE_MEMBER_OPEN)
        say_message(fd, WIRE_MEMBER, asked->sequence, &member, sizeof member);
    else if (asked->type < WIRE_OUTLET_OPEN)
        say_message(fd, WIRE_OK, asked->sequence, NULL, 0);
}

static bool is_cue(const struct liar *liar, uint8_t type)
{
    if (liar->cue != 0)
        return type == liar->cue;
    return type == WIRE_OUTLET_OPEN || type == WIRE_INTAKE_OPEN || type == WIRE_MEMBER_OPEN;
}

static void serve(struct liar *liar, int fd)
{
    static uint8_t payload[WIRE_FLOW_MAX];
    hermes_header_t asked;
    if (liar->lies_at_once)
        liar->trick(fd, &liar->random);
    while (hear(fd, &asked, sizeof asked) && asked.length <= sizeof payload &&
           hear(fd, payload, asked.length)) {
        answer(fd, &asked);
        if (is_cue(liar, asked.type)) {
            liar->trick(fd, &liar->random);
            atomic_fetch_add(&liar->played, 1);
            if (liar->hangs_up)
                return;
        }
    }
}

static void *run(void *argument)
{
    struct liar *liar = argument;
    for (int fd; (fd = accept(liar->listener, NULL, NULL)) >= 0; close(fd)) {
        serve(liar, fd);
        atomic_fetch_add(&liar->ended, 1);
    }
    return NULL;
}

static void begin(struct liar *liar, trick_t trick, uint64_t seed)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    *liar = (struct liar){.trick = trick, .random = seed};
    liar->listener = proxy_socket(0, true);
    assert_int_equal(getsockname(liar->listener, (struct sockaddr *)&at, &length), 0);
    liar->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&liar->thread, NULL, run, liar), 0);
}

/* After its clients have gone. */
static void end(struct liar *liar)
{
    shutdown(liar->listener, SHUT_RDWR);
    pthread_join(liar->thread, NULL);
    close(liar->listener);
}

static hermes_client_t *connect_to_liar(const struct liar *liar)
{
    char url[64];
    hermes_client_t *client;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", liar->port);
    if (hermes_connect(url, &client) != 0)
        fail_msg("%s", hermes_last_error(NULL));
    return client;
}

/* ---- frames that are none ---- */

static uint8_t frames[WIRE_FLOW_MAX];

/* Two messages, of which the second is spoilt, and a third. */
static size_t three_frames(size_t spoilt, uint8_t with)
{
    size_t first = put_frame(frames, 1, 100), second = put_frame(frames + first, 2, 100);
    size_t third = put_frame(frames + first + second, 3, 100);
    frames[first + spoilt] ^= with;
    return first + second + third;
}

static void spoilt_payload(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 0, 1, frames, three_frames(50, 1));
}

static void spoilt_magic(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 0, 1, frames, three_frames(0, 1));
}

static void length_beyond_a_message(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 0, 1, frames, three_frames(26, 0xff));
}

static void length_beyond_the_run(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 0, 1, frames, three_frames(25, 0x80));
}

/* Says what is wrong, once, and goes on behind it. */
static void expect_damage(trick_t trick, int code)
{
    struct liar liar;
    hermes_message_t message;
    hermes_subscriber_t *subscriber;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    begin(&liar, trick, 0);
    hermes_client_t *client = connect_to_liar(&liar);
    assert_int_equal(hermes_subscriber_open(client, "t", NULL, &subscriber), 0);
    assert_int_equal(hermes_wait(subscriber, &message, HERMES_FOREVER), 1);
    assert_int_equal(message.sequence, 1);
    assert_int_equal(hermes_wait(subscriber, &message, HERMES_FOREVER), code);
    assert_int_equal(hermes_wait(subscriber, &message, HERMES_FOREVER), 1);
    assert_int_equal(message.sequence, 3);
    assert_int_equal(message.length, 100);
    assert_int_equal(hermes_subscriber_describe(subscriber, &told), 0);
    assert_int_equal(told.corrupt, 1);
    hermes_disconnect(client);
    end(&liar);
}

static void test_a_frame_that_is_none_is_told(void **state)
{
    (void)state;
    expect_damage(spoilt_payload, HERMES_ECHECKSUM);
    expect_damage(spoilt_magic, HERMES_EMALFORMED);
    expect_damage(length_beyond_a_message, HERMES_ETOOLARGE);
    expect_damage(length_beyond_the_run, HERMES_EMALFORMED);
}

/* ---- flows that break the rules ---- */

static void one_good_message(int fd)
{
    say_log(fd, 0, 1, frames, put_frame(frames, 1, 8));
}

static void position_between_frames(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 32, 1, frames, put_frame(frames, 1, 8));
}

static void position_before_the_last(int fd, uint64_t *random)
{
    (void)random;
    one_good_message(fd);
    one_good_message(fd);
}

static void position_that_wraps(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, UINT64_MAX - 63, 1, frames, put_frame(frames, 1, 100));
}

static void half_a_frame(int fd, uint64_t *random)
{
    (void)random;
    say_log(fd, 0, 1, frames, put_frame(frames, 1, 8) / 2);
}

static void more_than_the_credit(int fd, uint64_t *random)
{
    (void)random;
    uint64_t position = 0;
    memset(frames, 0, sizeof frames);
    for (int i = 0; i < 5; i++, position += sizeof frames)
        say_log(fd, position, 1, frames, sizeof frames);
}

static void a_log_without_its_head(int fd, uint64_t *random)
{
    (void)random;
    say_message(fd, WIRE_LOG, HANDLE, frames, 31);
}

static void an_end_cut_short(int fd, uint64_t *random)
{
    (void)random;
    say_message(fd, WIRE_END, HANDLE, frames, 16);
}

static void more_behind_the_end(int fd, uint64_t *random)
{
    (void)random;
    struct wire_end last = {.code = HERMES_ECORRUPT};
    say_message(fd, WIRE_END, HANDLE, &last, sizeof last);
    say_message(fd, WIRE_END, HANDLE, &last, sizeof last);
}

static void no_header(int fd, uint64_t *random)
{
    (void)random;
    memset(frames, 0xee, 4096);
    say(fd, frames, 4096);
}

static void a_length_beyond_all(int fd, uint64_t *random)
{
    (void)random;
    hermes_header_t header;
    wire_header(&header, WIRE_LOG, HANDLE, UINT32_MAX);
    say(fd, &header, sizeof header);
}

static void a_reply_beyond_its_limit(int fd, uint64_t *random)
{
    (void)random;
    say_message(fd, WIRE_TOPICS, 1, frames, WIRE_REPLY_MAX + 1);
}

/* The connection ends, whatever was said, and another one is made: the trick is played again. */
static void expect_the_end(trick_t trick)
{
    struct liar liar;
    hermes_message_t message;
    hermes_subscriber_t *subscriber;
    begin(&liar, trick, 0);
    hermes_client_t *client = connect_to_liar(&liar);
    assert_int_equal(hermes_subscriber_open(client, "t", NULL, &subscriber), 0);
    while (atomic_load(&liar.played) < 2)
        (void)hermes_wait(subscriber, &message, 1000000);
    hermes_disconnect(client);
    end(&liar);
}

static void test_a_flow_that_breaks_the_rules_ends_the_connection(void **state)
{
    (void)state;
    static const trick_t tricks[] = {
        position_between_frames, position_before_the_last, position_that_wraps, half_a_frame,
        a_log_without_its_head,  an_end_cut_short,         more_behind_the_end, no_header,
        a_length_beyond_all,     a_reply_beyond_its_limit};
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++)
        expect_the_end(tricks[i]);
}

/* While its subscriber reads nothing. */
static void test_more_than_the_credit_ends_the_connection(void **state)
{
    (void)state;
    struct liar liar;
    hermes_subscriber_t *subscriber;
    begin(&liar, more_than_the_credit, 0);
    hermes_client_t *client = connect_to_liar(&liar);
    assert_int_equal(hermes_subscriber_open(client, "t", NULL, &subscriber), 0);
    while (atomic_load(&liar.ended) == 0)
        (void)hermes_ping(client);
    hermes_disconnect(client);
    end(&liar);
}

/* ---- confirmations of what was never sent ---- */

static void confirm(int fd, uint64_t committed, uint64_t durable, uint64_t credit)
{
    struct wire_confirm said = {.committed = committed, .durable = durable, .credit = credit};
    say_message(fd, WIRE_CONFIRM, HANDLE, &said, sizeof said);
}

static void confirms_what_was_not_sent(int fd, uint64_t *random)
{
    (void)random;
    confirm(fd, 1000, 0, 0);
}

static void durable_before_it_is_committed(int fd, uint64_t *random)
{
    (void)random;
    confirm(fd, 0, 1, 0);
}

static void credit_beyond_all(int fd, uint64_t *random)
{
    (void)random;
    confirm(fd, 0, 0, INT64_MAX);
}

static void test_a_confirmation_that_cannot_be_ends_the_connection(void **state)
{
    (void)state;
    static const trick_t tricks[] = {confirms_what_was_not_sent, durable_before_it_is_committed,
                                     credit_beyond_all};
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
        struct liar liar;
        hermes_publisher_t *publisher;
        begin(&liar, tricks[i], 0);
        hermes_client_t *client = connect_to_liar(&liar);
        assert_int_equal(hermes_publisher_open(client, "t", NULL, &publisher), 0);
        while (atomic_load(&liar.played) < 2)
            (void)hermes_publisher_poll(publisher);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_COMMITTED), 0);
        hermes_disconnect(client);
        end(&liar);
    }
}

/* ---- what members are given, and told ---- */

/* So many messages, of which the list and the frames may say otherwise. */
static void give(int fd, uint32_t count, uint64_t position, const uint8_t *bytes, size_t length)
{
    static uint8_t payload[sizeof(struct wire_given) + 64 * sizeof(struct wire_gift) + WIRE_FLOW_MAX];
    const struct wire_given given = {.epoch = 1, .count = count};
    size_t used = sizeof given, listed = count < 64 ? count : 0;
    memcpy(payload, &given, used);
    for (size_t i = 0; i < listed; i++, used += sizeof(struct wire_gift)) {
        const struct wire_gift gift = {.position = position + i * 64, .claim = 8193, .deliveries = 1};
        memcpy(payload + used, &gift, sizeof gift);
    }
    memcpy(payload + used, bytes, length);
    say_message(fd, WIRE_GIVEN, HANDLE, payload, (uint32_t)(used + length));
}

static void a_gift_between_frames(int fd, uint64_t *random)
{
    (void)random;
    give(fd, 1, 32, frames, put_frame(frames, 1, 8));
}

static void a_gift_without_its_frame(int fd, uint64_t *random)
{
    (void)random;
    give(fd, 2, 0, frames, put_frame(frames, 1, 8));
}

static void a_frame_without_its_gift(int fd, uint64_t *random)
{
    (void)random;
    give(fd, 0, 0, frames, put_frame(frames, 1, 8));
}

static void a_list_without_an_end(int fd, uint64_t *random)
{
    (void)random;
    give(fd, UINT32_MAX, 0, frames, 64);
}

static void a_gift_that_is_no_message(int fd, uint64_t *random)
{
    (void)random;
    size_t bytes = put_frame(frames, 1, 8);
    frames[5] = HERMES_TYPE_PAD;
    give(fd, 1, 0, frames, bytes);
}

static void a_gift_longer_than_it_says(int fd, uint64_t *random)
{
    (void)random;
    size_t bytes = put_frame(frames, 1, 8);
    frames[26] = 0xff;
    give(fd, 1, 0, frames, bytes);
}

static void more_gifts_than_credit(int fd, uint64_t *random)
{
    (void)random;
    size_t bytes = put_frame(frames, 1, 8);
    bytes += put_frame(frames + bytes, 2, 8);
    give(fd, 2, 0, frames, bytes);
}

static void a_given_without_its_head(int fd, uint64_t *random)
{
    (void)random;
    say_message(fd, WIRE_GIVEN, HANDLE, frames, 31);
}

static void a_log_for_a_member_of_a_group(int fd, uint64_t *random)
{
    (void)random;
    one_good_message(fd);
}

static void say_settled(int fd, uint64_t settled, uint32_t refused, uint64_t number, int32_t code)
{
    struct {
        struct wire_settled head;
        struct wire_refusal refusal;
    } said = {{.settled = settled, .refused = refused}, {.number = number, .code = code}};
    say_message(fd, WIRE_SETTLED, HANDLE, &said, refused == 0 ? sizeof said.head : sizeof said);
}

static void settles_what_was_not_said(int fd, uint64_t *random)
{
    (void)random;
    say_settled(fd, 1, 0, 0, 0);
}

static void refuses_what_was_not_said(int fd, uint64_t *random)
{
    (void)random;
    say_settled(fd, 0, 1, 1, HERMES_EEXPIRED);
}

static void refuses_more_than_it_lists(int fd, uint64_t *random)
{
    (void)random;
    say_settled(fd, 0, UINT32_MAX, 0, HERMES_EEXPIRED);
}

static void a_settled_without_its_head(int fd, uint64_t *random)
{
    (void)random;
    say_message(fd, WIRE_SETTLED, HANDLE, frames, 15);
}

static hermes_subscriber_t *join_liar(hermes_client_t *client, bool durable)
{
    hermes_subscriber_t *member;
    const hermes_subscriber_options_t options = {.size = sizeof options,
                                                 .group = durable ? NULL : "g",
                                                 .name = durable ? "d" : NULL,
                                                 .ack = HERMES_ACK_MANUAL};
    assert_int_equal(hermes_subscriber_open(client, "t", &options, &member), 0);
    return member;
}

/* Its member asked for a message, or (cue) said something of one. */
static void expect_the_end_of_a_member(trick_t trick, enum wire_type cue, bool durable)
{
    struct liar liar;
    hermes_message_t message = {.claim = 1};
    begin(&liar, trick, 0);
    liar.cue = cue;
    hermes_client_t *client = connect_to_liar(&liar);
    hermes_subscriber_t *member = join_liar(client, durable);
    while (atomic_load(&liar.played) < 2)
        (void)hermes_wait(member, &message, 1000000); /* one that was good, in front of it */
    hermes_disconnect(client);
    end(&liar);
}

static void test_what_members_are_told_against_the_rules_ends_the_connection(void **state)
{
    (void)state;
    static const trick_t on_credit[] = {
        a_gift_between_frames,     a_gift_without_its_frame,  a_frame_without_its_gift,
        a_list_without_an_end,     a_gift_that_is_no_message, a_gift_longer_than_it_says,
        more_gifts_than_credit,    a_given_without_its_head,  a_log_for_a_member_of_a_group,
        settles_what_was_not_said, refuses_what_was_not_said, refuses_more_than_it_lists,
        a_settled_without_its_head};
    static const trick_t on_joining[] = {more_gifts_than_credit, settles_what_was_not_said};
    for (size_t i = 0; i < sizeof on_credit / sizeof *on_credit; i++)
        expect_the_end_of_a_member(on_credit[i], WIRE_CREDIT, false);
    for (size_t i = 0; i < sizeof on_joining / sizeof *on_joining; i++) {
        expect_the_end_of_a_member(on_joining[i], 0, false);
        expect_the_end_of_a_member(on_joining[i], 0, true);
    }
}

static void settles_with_a_code_that_is_none(int fd, uint64_t *random)
{
    (void)random;
    say_settled(fd, 1, 1, 1, 1);
}

static void settles_as_expired(int fd, uint64_t *random)
{
    (void)random;
    say_settled(fd, 1, 1, 1, HERMES_EEXPIRED);
}

/* Twice is enough: it is said again over each connection. */
static int has_heard_it_twice(void *liar)
{
    return atomic_load(&((struct liar *)liar)->played) >= 2;
}

static void test_an_ack_is_told_what_came_of_it_and_nothing_else(void **state)
{
    (void)state;
    struct liar liar;
    const hermes_message_t message = {.position = 64, .claim = 1};
    static const trick_t tricks[] = {settles_with_a_code_that_is_none, settles_as_expired};
    static const int codes[] = {HERMES_EINTERRUPTED, HERMES_EEXPIRED};
    for (size_t i = 0; i < 2; i++) {
        begin(&liar, tricks[i], 0);
        liar.cue = WIRE_ACK;
        hermes_client_t *client = connect_to_liar(&liar);
        hermes_subscriber_t *member = join_liar(client, false);
        hermes_set_interrupt((hermes_interrupt_t){has_heard_it_twice, &liar});
        assert_int_equal(hermes_ack(member, &message), codes[i]);
        hermes_set_interrupt((hermes_interrupt_t){NULL, NULL});
        hermes_disconnect(client);
        end(&liar);
    }
}

/* Each gift is another's by now, or spoilt, or good: whatever it is, it is passed over or comes. */
static void gives_anything(int fd, uint64_t *random)
{
    size_t bytes = put_frame(frames, 1, (uint32_t)(test_random(random) % 200));
    if (test_random(random) % 2 == 0)
        frames[test_random(random) % bytes] ^= (uint8_t)test_random(random);
    give(fd, 1, test_random(random) % 16 * 64, frames, bytes);
    if (test_random(random) % 8 == 0)
        say_settled(fd, test_random(random) % 4, (uint32_t)(test_random(random) % 2), test_random(random) % 4,
                    (int32_t)(test_random(random) % 8) - 6);
}

static uint64_t touch(const hermes_message_t *message)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < message->length; i++)
        sum += ((const uint8_t *)message->payload)[i];
    return sum;
}

static void test_whatever_members_are_given_is_survived(void **state)
{
    (void)state;
    const unsigned rounds = getenv("HERMES_TEST_LONG") != NULL ? 2000 : 60;
    uint64_t seed = (uint64_t)time(NULL) * 2654435761u | 1, sum = 0;
    struct liar liar;
    hermes_message_t message;
    print_message("seed %" PRIu64 "\n", seed);
    begin(&liar, gives_anything, seed);
    liar.cue = WIRE_CREDIT;
    liar.hangs_up = true;
    hermes_client_t *client = connect_to_liar(&liar);
    hermes_subscriber_options_t options = {.size = sizeof options, .group = "g"};
    hermes_subscriber_t *member;
    assert_int_equal(hermes_subscriber_open(client, "t", &options, &member), 0);
    while (atomic_load(&liar.played) < rounds)
        if (hermes_wait(member, &message, 1000000) == 1)
            sum += touch(&message);
    print_message("%" PRIu64 "\n", sum);
    hermes_disconnect(client);
    end(&liar);
}

/* ---- anything ---- */

/* Good messages, of which one word or another is wrong. */
static void say_anything(int fd, uint64_t *random)
{
    static uint8_t bytes[HERMES_HEADER_BYTES + sizeof(struct wire_log) + 8192];
    uint64_t position = 0;
    for (int i = 0; i < 20; i++) {
        struct wire_log log = {.epoch = 1, .position = position, .sequence = 1};
        size_t count = 0;
        while (count < 2048)
            count += put_frame(bytes + HERMES_HEADER_BYTES + sizeof log + count,
                               position / 64 + count / 64 + 1, (uint32_t)(test_random(random) % 32));
        hermes_header_t header;
        static const uint8_t types[] = {WIRE_LOG,     WIRE_LOG,   WIRE_LOG, WIRE_END,
                                        WIRE_CONFIRM, WIRE_ERROR, WIRE_OK,  WIRE_OUTLET};
        uint8_t type = types[test_random(random) % sizeof types];
        uint32_t length = type == WIRE_LOG ? (uint32_t)(sizeof log + count) : 256;
        wire_header(&header, (enum wire_type)type, test_random(random) % 12, length);
        if (test_random(random) % 2 == 0)
            header.sequence = HANDLE;
        memcpy(bytes, &header, sizeof header);
        memcpy(bytes + sizeof header, &log, sizeof log);
        position += count;
        if (test_random(random) % 3 == 0)
            bytes[test_random(random) % (sizeof header + length)] ^= (uint8_t)test_random(random);
        say(fd, bytes, sizeof header + length);
    }
}

static void test_whatever_it_says_is_survived(void **state)
{
    (void)state;
    const unsigned rounds = getenv("HERMES_TEST_LONG") != NULL ? 2000 : 60;
    uint64_t seed = (uint64_t)time(NULL) * 2654435761u | 1, sum = 0;
    struct liar liar;
    hermes_message_t message;
    print_message("seed %" PRIu64 "\n", seed);
    begin(&liar, say_anything, seed);
    liar.hangs_up = true;
    hermes_client_t *client = connect_to_liar(&liar);
    hermes_subscriber_t *subscriber = NULL;
    hermes_publisher_t *publisher = NULL;
    while (atomic_load(&liar.played) < rounds) {
        if (subscriber == NULL)
            (void)hermes_subscriber_open(client, "t", NULL, &subscriber);
        if (publisher == NULL)
            (void)hermes_publisher_open(client, "t", NULL, &publisher);
        if (publisher != NULL) {
            hermes_publisher_set_wait(publisher, 0);
            (void)hermes_publish(publisher, "x", 1, NULL);
            (void)hermes_publisher_poll(publisher);
        }
        int rc = subscriber == NULL ? 0 : hermes_wait(subscriber, &message, 1000000);
        if (rc == 1)
            sum += touch(&message);
        if (rc == HERMES_ECLOSED) {
            hermes_subscriber_close(subscriber);
            subscriber = NULL;
        }
        if (publisher != NULL && (rc = hermes_publisher_poll(publisher)) < 0) {
            (void)hermes_publisher_close(publisher);
            publisher = NULL;
        }
    }
    print_message("%" PRIu64 "\n", sum);
    (void)hermes_disconnect(client);
    end(&liar);
}

static void test_no_welcome_is_none(void **state)
{
    (void)state;
    struct liar liar;
    char url[64];
    hermes_client_t *client;
    static const trick_t tricks[] = {no_header, a_length_beyond_all, a_reply_beyond_its_limit,
                                     an_end_cut_short};
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
        begin(&liar, tricks[i], 0);
        liar.lies_at_once = true;
        snprintf(url, sizeof url, "tcp://127.0.0.1:%u", liar.port);
        int rc = hermes_connect(url, &client);
        if (rc == 0)
            hermes_disconnect(client); /* what is for no handle of ours is passed over */
        end(&liar);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_that_is_none_is_told),
        cmocka_unit_test(test_a_flow_that_breaks_the_rules_ends_the_connection),
        cmocka_unit_test(test_more_than_the_credit_ends_the_connection),
        cmocka_unit_test(test_a_confirmation_that_cannot_be_ends_the_connection),
        cmocka_unit_test(test_what_members_are_told_against_the_rules_ends_the_connection),
        cmocka_unit_test(test_an_ack_is_told_what_came_of_it_and_nothing_else),
        cmocka_unit_test(test_whatever_members_are_given_is_survived),
        cmocka_unit_test(test_whatever_it_says_is_survived),
        cmocka_unit_test(test_no_welcome_is_none),
    };
    return cmocka_run_group_tests_name("hostile broker", tests, NULL, NULL);
}
