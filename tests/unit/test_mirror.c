/* The parts of a mirror, each by itself; tests/mirror has them together. */
#include "test.h"

#include "mirror/backoff.h"
#include "mirror/cookie.h"
#include "mirror/gaps.h"
#include "mirror/image.h"
#include "mirror/naks.h"
#include "mirror/pacer.h"
#include "mirror/random.h"
#include "mirror/receiver.h"
#include "mirror/repairs.h"
#include "mirror/sender.h"

static struct gaps gaps;

static void note(uint64_t begin, uint64_t end)
{
    struct gap gap = {.begin = begin, .end = end};
    assert_true(gaps_append(&gaps, &gap));
}

/* What gaps say, beside a map of which units are missing. */
static void gaps_agree_with_a_map(void **state)
{
    (void)state;
    enum { UNITS = 4000 };
    static bool missing[UNITS];
    uint64_t random = 1;
    gaps.first = GAPS_MAX - 10; /* around the ring's end */
    gaps.count = 0;
    for (uint64_t at = 0; at + 20 < UNITS;) {
        uint64_t begin = at + random_below(&random, 10), end = begin + 1 + random_below(&random, 9);
        note(begin, end);
        memset(missing + begin, true, end - begin);
        at = end;
    }
    for (int i = 0; i < 4000; i++) {
        uint64_t begin = random_below(&random, UNITS), end = begin + random_below(&random, 30);
        int64_t wanted = 0;
        end = end > UNITS ? UNITS : end;
        for (uint64_t at = begin; at < end; at++) {
            wanted += missing[at];
            missing[at] = false;
        }
        assert_int_equal(gaps_close(&gaps, begin, end), wanted);
        uint32_t next = gaps_find(&gaps, begin);
        uint64_t first = begin;
        while (first < UNITS && !missing[first])
            first++;
        if (next == gaps.count)
            assert_int_equal(first, UNITS);
        else
            assert_int_equal(gaps_at(&gaps, next)->begin, first);
    }
}

static void a_split_without_room_changes_nothing(void **state)
{
    (void)state;
    gaps.first = gaps.count = 0;
    for (uint64_t i = 0; i < GAPS_MAX; i++)
        note(10 * i, 10 * i + 5);
    assert_false(gaps_append(&gaps, &(struct gap){.begin = 1u << 20, .end = 1u << 21}));
    assert_int_equal(gaps_close(&gaps, 21, 23), -1);
    assert_int_equal(gaps_at(&gaps, 2)->end, 25);
    assert_int_equal(gaps_close(&gaps, 20, 25), 5);
    assert_int_equal(gaps_close(&gaps, 31, 33), 2);
}

static void siphash_is_siphash(void **state)
{
    (void)state;
    uint8_t key[COOKIE_KEY_BYTES], text[15];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        text[i] = i;
    assert_true(cookie_siphash(key, text, 15) == 0xa129ca6149be45e5u); /* the paper's appendix A */
    assert_true(cookie_siphash(key, text, 0) == 0x726fdb47dd0e0e31u);  /* the authors' vectors */
}

static void a_cookie_is_for_one_address_and_a_while(void **state)
{
    (void)state;
    const uint8_t key[COOKIE_KEY_BYTES] = {1};
    struct mirror_address here = {{1}}, there = {{2}};
    uint64_t now = 100 * (uint64_t)COOKIE_LASTS_NS, cookie = cookie_make(key, &here, 7, now);
    assert_true(cookie_is_good(key, &here, 7, now, cookie));
    assert_true(cookie_is_good(key, &here, 7, now + COOKIE_LASTS_NS, cookie));
    assert_false(cookie_is_good(key, &here, 7, now + 2 * (uint64_t)COOKIE_LASTS_NS, cookie));
    assert_false(cookie_is_good(key, &there, 7, now, cookie));
    assert_false(cookie_is_good(key, &here, 8, now, cookie));
    assert_false(cookie_is_good(key, &here, 7, now, 0));
}

/* Of many the first asks early, and few do before it can be heard. */
static void few_ask_before_they_can_hear(void **state)
{
    (void)state;
    enum { ROUNDS = 2000, CROWD = 50 };
    uint64_t random = 3, early = 0;
    const uint64_t most = 4000;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t wait[CROWD], first = most;
        for (int i = 0; i < CROWD; i++) {
            wait[i] = backoff_ns(random_next(&random), most, CROWD);
            assert_true(wait[i] <= most);
            first = wait[i] < first ? wait[i] : first;
        }
        for (int i = 0; i < CROWD; i++)
            early += wait[i] <= first + most / 8;
    }
    assert_true(early < 3 * ROUNDS);
    assert_int_equal(backoff_ns(0, most, CROWD), 0);
    assert_true(backoff_ns(UINT64_MAX, most, CROWD) >= most - 1);
    assert_true(backoff_ns(UINT64_MAX, most, UINT32_MAX) <= most);
}

static struct repairs repairs;

static void what_is_on_its_way_is_known_to_the_slot(void **state)
{
    (void)state;
    repairs_sent(&repairs, 1984, 128, 0, 20); /* across two cells */
    assert_true(repairs_on_their_way(&repairs, 1984, 0, 19));
    assert_true(repairs_on_their_way(&repairs, 2048, 0, 19));
    assert_false(
        repairs_on_their_way(&repairs, 1984, 0, 20)); /* heard of it, or of later ones: it was lost */
    assert_false(repairs_on_their_way(&repairs, 2112, 0, 1));
    assert_false(repairs_on_their_way(&repairs, 1984, 5, 1)); /* it went to another */
    repairs_sent(&repairs, 1920, 64, 0, 30);
    assert_true(repairs_on_their_way(&repairs, 1984, 0, 10));
    assert_false(repairs_on_their_way(&repairs, 1984, 0, 25));
    repairs_sent(&repairs, 1920, 64, 0, 30 + (1ull << 32)); /* long after */
    assert_false(repairs_on_their_way(&repairs, 1984, 0, 10));
}

static void a_pacer_keeps_its_rate(void **state)
{
    (void)state;
    struct pacer pacer = {0, 1000000, 3000};
    uint64_t now = 1000000000, sent = 0;
    for (; now < 2000000000; now += 1000)
        while (pacer_ready_ns(&pacer) <= now) {
            pacer_take(&pacer, now, 1000);
            sent += 1000;
        }
    assert_in_range(sent, 1000000, 1000000 + 4000);
}

static void datagrams_that_are_late_make_it_wait(void **state)
{
    (void)state;
    struct naks naks = {.due_ns = UINT64_MAX, .rtt = {100000, 0}};
    struct gap gap = {.begin = 0, .end = 64, .number = 10, .noticed_ns = 1000};
    assert_int_equal(naks_first_due(&naks, 1000), 1000);
    naks_closing(&naks, &gap, 9, 1000 + 4000);
    assert_int_equal(naks_first_due(&naks, 2000), 2000 + 5000);
    naks_closing(&naks, &gap, 9, 1000 + 90000000); /* no longer than a round trip */
    assert_int_equal(naks.reorder_ns, 100000);
    for (int i = 0; i < 200; i++)
        naks_closing(&naks, &gap, 11, 2000);
    assert_true(naks.reorder_ns < 1000);
}

static void one_nak_asks_for_many_and_goes_on(void **state)
{
    (void)state;
    struct datagram_range ranges[DATAGRAM_RANGES_MAX];
    struct naks naks = {.due_ns = UINT64_MAX, .rtt = {100000, 0}};
    gaps.first = gaps.count = 0;
    for (uint64_t i = 0; i < 100; i++)
        note(128 * i, 128 * i + 64);
    naks_noticed(&naks, &gaps);
    assert_int_equal(naks_collect(&naks, &gaps, 5, ranges), DATAGRAM_RANGES_MAX);
    assert_true(naks.due_ns <= 5);
    assert_int_equal(naks_collect(&naks, &gaps, 5, ranges), 100 - DATAGRAM_RANGES_MAX);
    assert_int_equal(ranges[0].position, 128 * DATAGRAM_RANGES_MAX);
    assert_in_range(naks.due_ns, 100000, 110000);
}

/* Reports of a receiver behind a link of that rate, a millisecond apart. */
static uint64_t reports(struct arrival *arrival, uint64_t *now_ns, uint64_t *bytes, uint64_t bytes_per_s,
                        bool had_nothing)
{
    for (int i = 0; i < 10; i++) {
        *now_ns += 1000000;
        *bytes += bytes_per_s / 1000;
        arrival_reported(arrival, *now_ns, 500000, *bytes, had_nothing);
    }
    return arrival_estimate(arrival);
}

static void what_arrives_is_the_rate_and_silence_is_not(void **state)
{
    (void)state;
    struct arrival arrival = {0};
    uint64_t now_ns = 5, bytes = 0;
    assert_int_equal(reports(&arrival, &now_ns, &bytes, 20000000, false), 20000000);
    arrival = (struct arrival){arrival.since_ns, arrival.since_bytes, 0, arrival.best};
    assert_int_equal(reports(&arrival, &now_ns, &bytes, 1000000, true),
                     20000000); /* there was no more to send */
    arrival = (struct arrival){arrival.since_ns, arrival.since_bytes, 0, 0};
    assert_int_equal(reports(&arrival, &now_ns, &bytes, 1000000, false), 1000000);
    arrival_reported(&arrival, now_ns + 1000000, 500000, UINT64_MAX, false); /* nobody believes that */
    arrival_reported(&arrival, now_ns + 2000000, 500000, 0, false);
    assert_int_equal(arrival_estimate(&arrival), 1000000);
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

static struct mirror_packet packet;
static const struct mirror_address somebody = {{7}};

/* What somebody says to the sender; its answer is in packet. */
static int say(struct sender *sender, enum datagram_type type, uint64_t position,
               const struct datagram_head *as, const void *body, size_t bytes)
{
    _Alignas(8) uint8_t all[DATAGRAM_BYTES_MAX];
    memcpy(all + DATAGRAM_HEAD_BYTES, body, bytes);
    uint32_t length = datagram_finish(all, type, position, 1, 1, as->session, as->receiver, (uint32_t)bytes,
                                      DATAGRAM_GUARDED_BY_CRC);
    return sender_receive(sender, 1000000000, &somebody, all, length, &packet);
}

static struct datagram_head answered(void)
{
    struct datagram_head head;
    memcpy(&head, packet.bytes, sizeof head);
    return head;
}

/* A sender to whom somebody has come; as whom. */
static struct sender *joined(struct datagram_head *as)
{
    struct sender *sender;
    struct sender_config config = {.topic_id = 1,
                                   .epoch = 1,
                                   .end_position = 1 << 20,
                                   .multicast = true,
                                   .receivers_max = 2,
                                   .window_bytes = 1 << 20};
    struct mirror_source source = {NULL, zeros, no_end};
    assert_int_equal(sender_open(&sender, &config, &source), 0);
    struct datagram_join join = {
        .protocol = DATAGRAM_PROTOCOL, .topic_id = 1, .nonce = 5, .window_bytes = 1 << 20};
    struct datagram_status status = {.window_bytes = 1 << 20};
    *as = (struct datagram_head){0};
    assert_int_equal(say(sender, DATAGRAM_JOIN, 0, as, &join, sizeof join), 1);
    memcpy(&join.cookie, (uint8_t *)mirror_packet_body(&packet) + 8, 8);
    assert_int_equal(say(sender, DATAGRAM_JOIN, 0, as, &join, sizeof join), 0);
    assert_int_equal(sender_next(sender, 1000000000, &packet), 1);
    *as = answered();
    assert_int_equal(as->header.type, DATAGRAM_SETUP);
    assert_int_equal(say(sender, DATAGRAM_STATUS, 0, as, &status, sizeof status), 0);
    return sender;
}

/* Somebody who says that it has heard everything, and misses everything, over and over. */
static void the_greedy_get_what_their_budget_has(void **state)
{
    (void)state;
    struct datagram_head as;
    struct sender *sender = joined(&as);
    struct datagram_nak nak = {.ranges = {{0, 1 << 20}}};
    const uint64_t begin = 1000000000, lasts = 20000000;
    for (uint64_t now = begin; now < begin + lasts; now += 10000) {
        while (sender_next(sender, now, &packet) > 0)
            nak.heard.number = answered().number;
        assert_int_equal(say(sender, DATAGRAM_NAK, 0, &as, &nak, 40), 0);
    }
    uint64_t most = (1 << 20) + lasts * 256 / 1000 + DATAGRAM_BYTES_MAX;
    assert_in_range(sender_counters(sender)->repair_bytes, 1 << 20, most);
    sender_close(sender);
}

static void who_is_forgotten_is_told_in_fewer_bytes(void **state)
{
    (void)state;
    struct datagram_head as;
    struct sender *sender = joined(&as);
    struct datagram_status status = {.window_bytes = 1 << 20};
    as.receiver++;
    assert_int_equal(say(sender, DATAGRAM_STATUS, 0, &as, &status, sizeof status), 1);
    struct datagram_head head = answered();
    assert_int_equal(head.header.type, DATAGRAM_UNKNOWN);
    assert_int_equal(head.receiver, as.receiver);
    assert_int_equal(head.session, as.session);
    assert_true(packet.length < DATAGRAM_HEAD_BYTES + sizeof status);
    sender_close(sender);
}

static void positions_and_numbers_are_not_taken_at_their_word(void **state)
{
    (void)state;
    struct datagram_head as;
    struct sender *sender = joined(&as);
    struct datagram_status status = {.window_bytes = 1 << 20};
    assert_int_equal(say(sender, DATAGRAM_STATUS, (1 << 20) + 64, &as, &status, sizeof status),
                     HERMES_EMALFORMED);
    status.heard.number = 1000000;
    assert_int_equal(say(sender, DATAGRAM_STATUS, 0, &as, &status, sizeof status), HERMES_EMALFORMED);
    status.heard.number = 1;
    status.window_bytes = DATAGRAM_WINDOW_MAX;
    assert_int_equal(say(sender, DATAGRAM_STATUS, 64, &as, &status, sizeof status), 0);
    sender_log(sender, 0, 1 << 24);
    while (sender_next(sender, 1000000000, &packet) > 0)
        ;
    assert_int_equal(sender_position(sender) / DATAGRAM_SLICE_BYTES, ((1 << 20) + 64) / DATAGRAM_SLICE_BYTES);
    sender_close(sender);
}

enum { SLOW_SLICES = 6000, SLOW_WINDOW = 65536 };

struct slow {
    uint64_t position, room, random;
};

static uint8_t slow_byte(uint64_t position)
{
    return (uint8_t)(position / 64 * 31 + 7);
}

static uint64_t slow_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    struct slow *slow = context;
    assert_int_equal(position, slow->position);
    uint64_t taken = slow->room < length ? slow->room : length;
    for (uint64_t at = 0; at < taken; at += 64)
        assert_int_equal(bytes[at], slow_byte(position + at));
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

/* It takes a slice now and then, and gets every byte once and in order, whatever the order they come in. */
static void a_sink_that_has_no_room_holds_up_and_loses_nothing(void **state)
{
    (void)state;
    struct slow slow = {.random = 3};
    struct mirror_sink sink = {&slow, slow_bytes, nothing_is_lost, NULL};
    struct image *image = calloc(1, sizeof *image);
    const struct notice notice = {0};
    uint8_t slice[64];
    assert_non_null(image);
    image->sink = &sink;
    image->window_bytes = SLOW_WINDOW;
    image->staging = malloc(SLOW_WINDOW);
    image_start(image, 0, 0);
    uint64_t beyond = 0;
    while (slow.position < SLOW_SLICES * 64) {
        uint64_t at = slow.position / 64 * 64 + random_below(&slow.random, SLOW_WINDOW / 64 + 20) * 64;
        if (random_below(&slow.random, 4) == 0)
            at = image->position; /* or nothing would ever come in order */
        memset(slice, slow_byte(at), sizeof slice);
        if (at < SLOW_SLICES * 64)
            beyond += image_take(image, at, slice, sizeof slice, &notice) == IMAGE_BEYOND;
        slow.room += random_below(&slow.random, 3) * 64;
        image_offer(image, &notice);
        assert_int_equal(image->position, slow.position);
        assert_true(!image_holds(image) || slow.room == 0);
    }
    assert_true(beyond > 0);
    free(image->staging);
    free(image);
}

static void a_new_epoch(void *context, uint64_t position, uint32_t epoch)
{
    (void)context;
    (void)position;
    (void)epoch;
}

/* What it joins from is one address, what it reports from another: a host with several, or somebody between
 * who rewrites them. To the sender it is nobody, again and again. How often it joins in a second. */
static uint64_t joins_of_one_with_two_addresses(struct sender *sender)
{
    static const struct mirror_address other = {{8}}, senders = {{9}};
    static struct mirror_packet out;
    struct slow slow = {.random = 3};
    struct mirror_sink sink = {&slow, slow_bytes, nothing_is_lost, a_new_epoch};
    struct receiver_config config = {.topic_id = 1, .sender = senders, .window_bytes = 1 << 16, .seed = 1};
    struct receiver *receiver;
    const uint64_t began_ns = 1000000000;
    assert_int_equal(receiver_open(&receiver, &config, &sink), 0);
    for (uint64_t now_ns = began_ns; now_ns < 2 * began_ns; now_ns += 10000) {
        while (receiver_next(receiver, now_ns, &out) > 0) {
            bool joins =
                ((const struct datagram_head *)(const void *)out.bytes)->header.type == DATAGRAM_JOIN;
            if (sender_receive(sender, now_ns, joins ? &somebody : &other, out.bytes, out.length, &packet) >
                0)
                (void)receiver_receive(receiver, now_ns, &senders, packet.bytes, packet.length);
        }
        while (sender_next(sender, now_ns, &packet) > 0)
            (void)receiver_receive(receiver, now_ns, &senders, packet.bytes, packet.length);
    }
    uint64_t joins = receiver_counters(receiver)->joins;
    receiver_close(receiver);
    return joins;
}

static void who_is_nobody_again_and_again_joins_less_often(void **state)
{
    (void)state;
    struct datagram_head as;
    struct sender *sender = joined(&as);
    uint64_t joins = joins_of_one_with_two_addresses(sender);
    assert_true(joins > 2 && joins < 300);
    sender_close(sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sink_that_has_no_room_holds_up_and_loses_nothing),
        cmocka_unit_test(who_is_nobody_again_and_again_joins_less_often),
        cmocka_unit_test(gaps_agree_with_a_map),
        cmocka_unit_test(a_split_without_room_changes_nothing),
        cmocka_unit_test(siphash_is_siphash),
        cmocka_unit_test(a_cookie_is_for_one_address_and_a_while),
        cmocka_unit_test(few_ask_before_they_can_hear),
        cmocka_unit_test(what_is_on_its_way_is_known_to_the_slot),
        cmocka_unit_test(a_pacer_keeps_its_rate),
        cmocka_unit_test(datagrams_that_are_late_make_it_wait),
        cmocka_unit_test(one_nak_asks_for_many_and_goes_on),
        cmocka_unit_test(what_arrives_is_the_rate_and_silence_is_not),
        cmocka_unit_test(the_greedy_get_what_their_budget_has),
        cmocka_unit_test(who_is_forgotten_is_told_in_fewer_bytes),
        cmocka_unit_test(positions_and_numbers_are_not_taken_at_their_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
