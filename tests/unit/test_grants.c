/* Keys that the loop hands out and a mirror's thread seals with: for how long, and to whom. */
#include "test.h"

#include "broker/mirror/audience.h"

static struct grants grants;
static struct audience audience;

/* From the thread's side: what is over goes. */
static void look(uint64_t now_ns)
{
    audience_look(&audience, now_ns);
}

static int begin(void **state)
{
    (void)state;
    memset(&grants, 0, sizeof grants);
    memset(&audience, 0, sizeof audience);
    audience.grants = &grants;
    return 0;
}

static int end(void **state)
{
    (void)state;
    audience_leave(&audience);
    return 0;
}

static struct seal_grant given(uint64_t session, uint64_t now_ns)
{
    struct seal_grant key;
    uint64_t lasts_ns;
    assert_int_equal(grants_give(&grants, session, now_ns, &key, &lasts_ns), 0);
    assert_in_range(lasts_ns, 1, GRANT_LASTS_NS);
    return key;
}

static bool is_good(const struct seal_grant *key, uint64_t now_ns)
{
    const struct grant *grant = grants_find(&grants, key->id, key->member, now_ns);
    return grant != NULL && memcmp(&grant->key, key, sizeof *key) == 0;
}

static void a_session_has_one_and_no_other_session_has_it(void **state)
{
    (void)state;
    struct seal_grant one = given(1, 1), other = given(2, 1), again = given(1, 2);
    assert_memory_equal(&one, &again, sizeof one);
    assert_memory_not_equal(one.secret, other.secret, sizeof one.secret);
    assert_int_not_equal(one.id, other.id);
    assert_int_not_equal(one.id, 0);
    assert_null(grants_find(&grants, 0, 0, 1));
}

static void when_the_session_has_ended_it_lapses_a_while_later(void **state)
{
    (void)state;
    struct seal_grant one = given(1, 1), other = given(2, 1);
    grants_end(&grants, 1, 100 + GRANT_LAPSES_NS);
    look(99 + GRANT_LAPSES_NS);
    assert_true(is_good(&one, 99 + GRANT_LAPSES_NS));
    assert_false(is_good(&one, 100 + GRANT_LAPSES_NS));
    assert_true(is_good(&other, 100 + GRANT_LAPSES_NS));
}

static void when_the_right_is_taken_away_it_is_over_at_once_and_stays_so(void **state)
{
    (void)state;
    struct seal_grant one = given(1, 1);
    grants_end(&grants, 1, 100);
    assert_false(is_good(&one, 100));
    grants_end(&grants, 1, 100 + GRANT_LAPSES_NS); /* the session goes, too, a moment later */
    assert_false(is_good(&one, 101));
}

static void another_follows_in_time_and_the_former_holds_on_for_a_while(void **state)
{
    (void)state;
    struct seal_grant first = given(1, 1), second = given(1, 1 + GRANT_LASTS_NS);
    assert_memory_not_equal(first.secret, second.secret, sizeof first.secret);
    assert_true(is_good(&first, GRANT_LASTS_NS + GRANT_LAPSES_NS));
    assert_true(is_good(&second, GRANT_LASTS_NS + GRANT_LAPSES_NS));
    assert_false(is_good(&first, 1 + GRANT_LASTS_NS + GRANT_LAPSES_NS));
    assert_true(is_good(&second, 1 + GRANT_LASTS_NS + GRANT_LAPSES_NS));
}

static void places_are_free_again_when_what_had_them_is_over(void **state)
{
    (void)state;
    struct seal_grant key;
    uint64_t lasts_ns;
    for (uint64_t session = 1; session <= GRANTS_MAX; session++)
        (void)given(session, 1);
    assert_int_equal(grants_give(&grants, 99, 1, &key, &lasts_ns), HERMES_ELIMIT);
    grants_end(&grants, 5, 10);
    assert_int_equal(grants_give(&grants, 99, 11, &key, &lasts_ns), HERMES_ELIMIT); /* the thread's still */
    look(11);
    key = given(99, 12);
    assert_true(is_good(&key, 12));
    look(13);
    assert_true(is_good(&key, 13));
}

static void one_that_asks_again_and_again_takes_two_places_at_most(void **state)
{
    (void)state;
    uint64_t now_ns = 1;
    for (int i = 0; i < 3 * GRANTS_MAX; i++) {
        (void)given(1, now_ns);
        now_ns += GRANT_LASTS_NS;
        look(now_ns);
    }
    for (uint64_t session = 2; session < GRANTS_MAX; session++)
        (void)given(session, now_ns);
}

static int ask(uint64_t session, uint64_t now_ns)
{
    struct seal_grant key;
    uint64_t lasts_ns;
    return grants_give(&grants, session, now_ns, &key, &lasts_ns);
}

static void who_finds_no_place_for_its_next_one_keeps_what_it_has(void **state)
{
    (void)state;
    struct seal_grant one = given(1, 1);
    uint64_t later_ns = 1 + GRANT_LASTS_NS;
    for (uint64_t session = 2; session <= GRANTS_MAX; session++)
        (void)given(session, later_ns);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t now_ns = later_ns + i * 2 * GRANT_LAPSES_NS;
        assert_int_equal(ask(1, now_ns), HERMES_ELIMIT);
        look(now_ns + GRANT_LAPSES_NS);
        assert_true(is_good(&one, now_ns + GRANT_LAPSES_NS));
    }
}

static void one_that_asks_and_forgets_leaves_places_to_others(void **state)
{
    (void)state;
    int got = 0;
    for (int i = 0; i < 2 * GRANTS_MAX; i++) { /* the thread has not looked yet */
        got += ask(1, 10) == 0;
        grants_end(&grants, 1, 10);
    }
    assert_int_equal(got, GRANTS_A_SESSION);
    for (uint64_t session = 2; session < 2 + GRANTS_MAX - GRANTS_A_SESSION; session++)
        (void)given(session, 10);
    look(10);
    (void)given(1, 11);
}

/* ---- what the thread hears ---- */

static const struct mirror_address somewhere = {{2, 0, 9}};

static struct seat *heard(void *bytes, size_t length)
{
    return audience_hear(&audience, 1, &somewhere, bytes, &length);
}

/* A JOIN, as a receiver makes it. */
static size_t make_join(uint8_t *bytes, enum datagram_guard guard)
{
    static uint64_t joins; /* no number is used twice */
    struct datagram_join *join = (void *)(bytes + DATAGRAM_HEAD_BYTES);
    memset(bytes, 0, DATAGRAM_HEAD_BYTES + sizeof *join);
    join->protocol = DATAGRAM_PROTOCOL;
    return datagram_finish(bytes, DATAGRAM_JOIN, 0, 1, ++joins, 0, 0, sizeof *join, guard);
}

static void nobody_is_heard_but_who_has_a_key(void **state)
{
    (void)state;
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
    struct seal_grant key = given(1, 1), forged = key;
    struct sealing *sealing, *forger;
    forged.secret[0] ^= 1;
    assert_int_equal(sealing_make(&sealing, &key, 1), 0);
    assert_int_equal(sealing_make(&forger, &forged, 1), 0);
    size_t length = make_join(bytes, DATAGRAM_GUARDED_BY_TAG);
    assert_null(heard(bytes, length)); /* in the clear */
    assert_null(heard(bytes, 0));
    length = (size_t)sealing_seal(forger, bytes, length);
    assert_null(heard(bytes, length));
    length = (size_t)sealing_seal(sealing, bytes, make_join(bytes, DATAGRAM_GUARDED_BY_TAG));
    uint8_t copy[DATAGRAM_BYTES_MAX];
    memcpy(copy, bytes, length);
    for (size_t cut = 0; cut < length; cut++) {
        memcpy(bytes, copy, length);
        assert_null(heard(bytes, cut));
    }
    memcpy(bytes, copy, length);
    assert_non_null(heard(bytes, length));
    memcpy(bytes, copy, length);
    assert_null(heard(bytes, length)); /* again */
    assert_int_equal(audience_counters(&audience).refused, 4 + length);
    sealing_free(sealing);
    sealing_free(forger);
}

static void where_it_is_open_who_has_no_key_is_heard_too(void **state)
{
    (void)state;
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX];
    audience.open = true;
    assert_non_null(heard(bytes, make_join(bytes, DATAGRAM_GUARDED_BY_CRC)));
}

/* ---- a group ---- */

/* A receiver's, of a grant. */
static struct sealing *sealing_of(const struct seal_grant *key)
{
    struct sealing *sealing;
    assert_int_equal(sealing_make(&sealing, key, 1), 0);
    return sealing;
}

/* It says something; is it heard? */
static bool speaks(const struct seal_grant *key, uint64_t now_ns)
{
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
    struct sealing *sealing = sealing_of(key);
    int64_t length = sealing_seal(sealing, bytes, make_join(bytes, DATAGRAM_GUARDED_BY_TAG));
    sealing_free(sealing);
    return circle_unseal(&audience.circle, &grants, now_ns, bytes, (size_t)length) > 0;
}

static uint64_t number; /* of the sender's datagrams: one row under all secrets */

/* Who of them can read what is sent to all? */
static bool reads(const struct seal_grant *key)
{
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES];
    struct sealing *sealing = sealing_of(key);
    memset(bytes, 0, DATAGRAM_HEAD_BYTES);
    size_t length =
        datagram_finish(bytes, DATAGRAM_UNKNOWN, 0, 1, ++number, 1, 0, 0, DATAGRAM_GUARDED_BY_TAG);
    int64_t sealed = circle_seal(&audience.circle, bytes, length);
    bool opened = sealed > 0 && sealing_unseal(sealing, bytes, (size_t)sealed) > 0;
    sealing_free(sealing);
    return opened;
}

static void a_group_has_one_secret_and_each_a_number_of_its_own(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant one = given(1, 1), other = given(2, 1), again = given(1, 2);
    assert_memory_equal(&one, &again, sizeof one);
    assert_memory_equal(one.secret, other.secret, sizeof one.secret);
    assert_int_equal(one.id, other.id);
    assert_int_not_equal(one.member, other.member);
    assert_true(speaks(&one, 1) && speaks(&other, 1));
    assert_true(reads(&one) && reads(&other));
}

static void when_one_leaves_the_others_get_another_secret_and_that_one_does_not_have_it(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant gone = given(1, 1), one = given(2, 1), other = given(3, 1);
    assert_true(speaks(&gone, 1) && speaks(&one, 1) && speaks(&other, 1));
    grants_end(&grants, 1, 10);
    look(10);
    assert_false(speaks(&gone, 10));
    struct seal_grant next = given(2, 11);
    assert_memory_not_equal(next.secret, gone.secret, sizeof next.secret);
    assert_true(speaks(&next, 11));
    look(12);
    assert_true(reads(&other)); /* it has still to hear of it */
    struct seal_grant last = given(3, 13);
    assert_memory_equal(next.secret, last.secret, sizeof next.secret);
    look(14);
    assert_true(reads(&next) && reads(&last));
    assert_false(reads(&gone));
}

static void a_group_waits_for_nobody_for_long(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant gone = given(1, 1), one = given(2, 1), silent = given(3, 1);
    assert_true(speaks(&gone, 1) && speaks(&one, 1) && speaks(&silent, 1));
    grants_end(&grants, 1, 10);
    struct seal_grant next = given(2, 11);
    assert_true(speaks(&next, 11));
    look(10 + GRANT_CHANGES_NS);
    assert_true(reads(&gone));
    look(11 + GRANT_CHANGES_NS);
    assert_true(reads(&next));
    assert_false(reads(&gone));
    assert_false(reads(&silent));
    assert_true(speaks(&silent, 11 + GRANT_CHANGES_NS)); /* and is heard, and will ask */
}

/* A, B, C and D of one secret; B leaves, and E comes; E knows the secret behind that of C, who leaves. */
static void a_group_never_goes_back_to_a_secret_that_others_took_away_with_them(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant gone = given(2, 1), slow = given(4, 1);
    assert_true(speaks(&gone, 1) && speaks(&slow, 1));
    grants_end(&grants, 2, 10);
    struct seal_grant next = given(3, 11);
    assert_true(speaks(&next, 11));
    grants_end(&grants, 3, 12);
    struct seal_grant last = given(5, 13);
    assert_true(speaks(&last, 13));
    assert_false(speaks(&slow, 14)); /* it asks once a second, and speaks more often */
    look(14 + GRANT_CHANGES_NS);
    assert_true(reads(&last));
    assert_false(reads(&gone));
    assert_false(reads(&next));
    struct seal_grant heard_of = given(4, 15);
    assert_true(speaks(&heard_of, 15) && reads(&heard_of));
}

static void only_who_has_the_next_secret_turns_a_group_over_to_it(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant gone = given(1, 1), one = given(2, 1);
    assert_true(speaks(&gone, 1) && speaks(&one, 1));
    grants_end(&grants, 1, 10);
    struct seal_grant next = given(2, 11), forged = next, nobody = next;
    forged.secret[0] ^= 1;
    nobody.member++;
    assert_false(speaks(&forged, 12));
    assert_false(speaks(&nobody, 12));
    look(12 + GRANT_CHANGES_NS);
    assert_true(reads(&one));
    assert_false(reads(&next));
    assert_true(speaks(&next, 13 + GRANT_CHANGES_NS));
    look(13 + 2 * GRANT_CHANGES_NS);
    assert_true(reads(&next));
}

/* The thread wipes what is over, while the loop is still about to say so of more. */
static void who_leaves_takes_the_secret_away_also_while_the_thread_is_wiping_it(void **state)
{
    (void)state;
    grants.group = true;
    struct seal_grant gone = given(1, 1);
    memset(&grants.all[0].key, 0, sizeof grants.all[0].key); /* as in grant_return(), half way */
    grants_end(&grants, 1, 10);
    struct seal_grant next = given(2, 10);
    assert_memory_not_equal(next.secret, gone.secret, sizeof next.secret);
    assert_int_not_equal(next.id, gone.id);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_session_has_one_and_no_other_session_has_it),
        TEST(when_the_session_has_ended_it_lapses_a_while_later),
        TEST(when_the_right_is_taken_away_it_is_over_at_once_and_stays_so),
        TEST(another_follows_in_time_and_the_former_holds_on_for_a_while),
        TEST(places_are_free_again_when_what_had_them_is_over),
        TEST(one_that_asks_again_and_again_takes_two_places_at_most),
        TEST(who_finds_no_place_for_its_next_one_keeps_what_it_has),
        TEST(one_that_asks_and_forgets_leaves_places_to_others),
        TEST(nobody_is_heard_but_who_has_a_key),
        TEST(where_it_is_open_who_has_no_key_is_heard_too),
        TEST(a_group_has_one_secret_and_each_a_number_of_its_own),
        TEST(when_one_leaves_the_others_get_another_secret_and_that_one_does_not_have_it),
        TEST(a_group_waits_for_nobody_for_long),
        TEST(a_group_never_goes_back_to_a_secret_that_others_took_away_with_them),
        TEST(only_who_has_the_next_secret_turns_a_group_over_to_it),
        TEST(who_leaves_takes_the_secret_away_also_while_the_thread_is_wiping_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
