/* Who joins a sender, and with what: the two of them, and time that the test makes. */
#include "test.h"

#include "mirror/receiver.h"
#include "mirror/sender.h"

enum { END = 1 << 20, TOPIC = 1 };

static const struct mirror_address here = {{1}}, there = {{2}};
static struct mirror_packet packet, reply;

struct slow {
    uint64_t position, room;
};

static uint64_t slow_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    struct slow *slow = context;
    (void)bytes;
    assert_int_equal(position, slow->position);
    uint64_t taken = slow->room < length ? slow->room : length;
    slow->room -= taken;
    slow->position += taken;
    return taken;
}

static void nothing_is_lost(void *context, uint64_t position, uint64_t length)
{
    (void)context;
    (void)position;
    (void)length;
    fail();
}

static void any_epoch(void *context, uint64_t position, uint32_t epoch)
{
    (void)context;
    (void)position;
    (void)epoch;
}

static bool zeros(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    (void)context;
    (void)position;
    *first = 0;
    memset(to, 0, length);
    return true;
}

static uint64_t no_end(void *context, uint32_t epoch)
{
    (void)context;
    (void)epoch;
    return UINT64_MAX;
}

/* Another start of the same one. */
static struct sender *new_sender(uint64_t incarnation)
{
    struct sender *sender;
    struct sender_config config = {.topic_id = TOPIC,
                                   .incarnation = incarnation,
                                   .seed = incarnation,
                                   .epoch = 1,
                                   .end_position = END,
                                   .receivers_max = 1,
                                   .window_bytes = END};
    struct mirror_source source = {NULL, zeros, no_end};
    assert_int_equal(sender_open(&sender, &config, &source), 0);
    return sender;
}

static struct receiver *new_receiver(struct slow *slow, uint64_t position)
{
    struct receiver *receiver;
    struct receiver_config config = {.sender = there, .position = position, .window_bytes = END, .seed = 3};
    struct mirror_sink sink = {slow, slow_bytes, nothing_is_lost, any_epoch};
    assert_int_equal(receiver_open(&receiver, &config, &sink), 0);
    return receiver;
}

static bool says(struct receiver *receiver, struct sender *sender, uint64_t now_ns)
{
    if (receiver_next(receiver, now_ns, &packet) <= 0)
        return false;
    if (sender_receive(sender, now_ns, &here, packet.bytes, packet.length, &reply) > 0)
        receiver_receive(receiver, now_ns, &there, reply.bytes, reply.length);
    return true;
}

static bool answers(struct receiver *receiver, struct sender *sender, uint64_t now_ns)
{
    if (sender_next(sender, now_ns, &packet) <= 0)
        return false;
    receiver_receive(receiver, now_ns, &there, packet.bytes, packet.length);
    return true;
}

/* All that both have to say within so many milliseconds. */
static void talk(struct receiver *receiver, struct sender *sender, uint64_t *now_ns, int milliseconds)
{
    for (int i = 0; i < milliseconds; i++) {
        *now_ns += 1000000;
        while (says(receiver, sender, *now_ns) || answers(receiver, sender, *now_ns))
            ;
    }
}

/* What waits for room may be taken while an answer is on its way that begins where the copy was. */
static void who_goes_on_while_it_joins_is_not_taken_for_another(void **state)
{
    (void)state;
    struct slow slow = {.room = 65536};
    struct sender *before = new_sender(1), *now = new_sender(2);
    struct receiver *receiver = new_receiver(&slow, 0);
    uint64_t now_ns = 1000000000;
    talk(receiver, before, &now_ns, 20);
    assert_int_equal(slow.position, 65536); /* and all the rest waits */
    assert_true(receiver_offer(receiver, now_ns));
    now_ns += 1500000000;
    while (says(receiver, now, now_ns))
        ; /* it has joined another start of the sender, and does not know it yet */
    slow.room = 65536;
    receiver_offer(receiver, now_ns);
    talk(receiver, now, &now_ns, 100);
    assert_int_equal(receiver_state(receiver), RECEIVER_RECEIVING);
    slow.room = END;
    receiver_offer(receiver, now_ns);
    talk(receiver, now, &now_ns, 100);
    assert_int_equal(slow.position, END);
    receiver_close(receiver);
    sender_close(before);
    sender_close(now);
}

/* Nobody answers any more: what has come is not held back for that. */
static void what_waited_is_taken_though_nobody_answers(void **state)
{
    (void)state;
    struct slow slow = {.room = 65536};
    struct sender *sender = new_sender(1);
    struct receiver *receiver = new_receiver(&slow, 0);
    uint64_t now_ns = 1000000000;
    talk(receiver, sender, &now_ns, 20);
    now_ns += 1500000000;
    while (says(receiver, sender, now_ns))
        ;
    slow.room = END;
    for (int i = 0; i < 3000; i++) {
        now_ns += 1000000;
        while (receiver_next(receiver, now_ns, &packet) > 0)
            ;
        receiver_offer(receiver, now_ns);
    }
    assert_int_equal(slow.position, END);
    receiver_close(receiver);
    sender_close(sender);
}

/* And not with what the last one, who left early, had not been sent. */
static void who_wants_what_comes_from_now_on_begins_there(void **state)
{
    (void)state;
    struct slow early = {0}, late = {.position = END, .room = END};
    struct sender *sender = new_sender(1);
    struct receiver *first = new_receiver(&early, 0), *second = new_receiver(&late, DATAGRAM_LIVE);
    uint64_t now_ns = 1000000000;
    while (says(first, sender, now_ns))
        ; /* it has a place, and is never heard of again */
    now_ns += 2000000000;
    assert_int_equal(sender_next(sender, now_ns, &packet), 0);
    talk(second, sender, &now_ns, 100);
    assert_int_equal(receiver_state(second), RECEIVER_RECEIVING);
    assert_int_equal(receiver_position(second), END);
    receiver_close(first);
    receiver_close(second);
    sender_close(sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_on_while_it_joins_is_not_taken_for_another),
        cmocka_unit_test(what_waited_is_taken_though_nobody_answers),
        cmocka_unit_test(who_wants_what_comes_from_now_on_begins_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
