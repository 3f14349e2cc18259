/* A group's page, step by step. */
#include "group_page.h"

static void test_one_message(void **state)
{
    (void)state;
    struct group_page *page = new_page(64, 2, "dead");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    uint64_t position;
    uint16_t claim;
    assert_false(group_again(&a, &position, &claim));
    assert_int_equal(group_claim(&a, 0), GROUP_TAKEN); /* below the floor */
    assert_int_equal(ack(&a, 64), HERMES_EINVALID);
    assert_int_equal(renew(&a, 64), HERMES_EINVALID);
    assert_int_equal(group_claim(&a, 64), GROUP_MINE);
    assert_int_equal(group_claim(&b, 64), GROUP_TAKEN);
    assert_int_equal(group_claim(&a, 64), GROUP_TAKEN);
    assert_int_equal(group_deliveries(&a, 64, group_first_claim(&a)), 1);
    group_passed(&a, 192, 1);
    assert_int_equal(group_start(&b), 192);
    assert_int_equal(ack(&b, 64), HERMES_EEXPIRED);
    assert_int_equal(nack(&b, 64), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 64), 0);
    assert_int_equal(nack(&a, 64), 0);
    assert_true(group_has_news(&b));
    assert_true(given_again(&b, &position, &claim));
    assert_int_equal(position, 64);
    uint64_t other;
    uint16_t none;
    assert_false(group_again(&a, &other, &none));
    assert_int_equal(group_deliveries(&b, 64, claim), 2);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(ack(&b, 64), HERMES_EEXPIRED); /* not under this claim */
    assert_int_equal(group_renew(&b, 64, claim), 0);
    assert_int_equal(group_nack(&b, 64, claim), 0); /* the second time: at the limit */
    assert_int_equal(atomic_load(&page->dead), 1);
    assert_false(group_again(&a, &other, &none)); /* dead letters are the broker's */
    assert_int_equal(group_ack(&b, 64, claim), HERMES_EEXPIRED);
    assert_int_equal(group_advance(page, MASK), 64);
    uint64_t word = atomic_load(&page->slot[1]);
    assert_int_equal(group_state_of(word), GROUP_DEAD);
    assert_int_equal(group_deliveries_of(word), 2);
    assert_true(group_put_away(page, MASK, 64, word));
    assert_false(group_put_away(page, MASK, 64, word));
    assert_int_equal(group_ack(&b, 64, claim), HERMES_EEXPIRED); /* done, but not by its claim */
    assert_int_equal(group_advance(page, MASK), 192);
    assert_int_equal(group_claim(&b, 192), GROUP_MINE);
    group_passed(&b, 256, 2);
    assert_int_equal(ack(&b, 192), 0);
    assert_int_equal(ack(&b, 192), 0); /* twice is once */
    assert_int_equal(group_advance(page, MASK), 256);
    assert_int_equal(ack(&b, 192), 0);
    assert_int_equal(renew(&b, 192), HERMES_EEXPIRED);
    assert_int_equal(nack(&b, 192), HERMES_EEXPIRED);
    drop_page(page);
}

/* The holder of a line before, whoever has it now, and whatever it says of whatever claim. */
static void test_a_former_holder_of_a_line_changes_nothing(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member before = new_member(page, 0, false), late = before;
    assert_int_equal(group_claim(&before, 0), GROUP_MINE);
    group_passed(&before, 64, 1);
    group_leave(page, MASK, 0);
    struct group_member now = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim;
    assert_true(group_again(&now, &position, &claim));
    assert_int_equal(nack(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(renew(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(ack(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(group_claim(&now, 64), GROUP_MINE);
    group_passed(&now, 128, 2);
    assert_int_equal(nack(&late, 64), HERMES_EEXPIRED); /* the claim has the same number of deliveries */
    assert_int_equal(group_ack(&now, 0, claim), 0);
    assert_int_equal(ack(&now, 64), 0);
    /* The same client, under its new line: what it had before the line was taken from it. */
    assert_int_equal(group_advance(page, MASK), 128);
    assert_int_equal(group_ack(&now, 192, group_first_claim(&late)), HERMES_EEXPIRED);
    assert_int_equal(group_ack(&now, 192, group_first_claim(&now)), HERMES_EINVALID);
    assert_int_equal(group_ack(&now, 192, 0), HERMES_EINVALID);
    drop_page(page);
}

/* Its line is another's, and it lives: what it claimed there is its own until somebody takes it. */
static void test_who_has_another_line_keeps_what_it_had_on_the_one_before(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member before = new_member(page, 0, false);
    uint16_t claim = group_first_claim(&before), again;
    for (uint64_t at = 0; at < 256; at += 64) {
        assert_int_equal(group_claim(&before, at), GROUP_MINE);
        group_passed(&before, at + 64, at / 64 + 1);
    }
    struct group_member other = new_member(page, 0, false), now = new_member(page, 1, false);
    group_member_was(&now, &before);
    assert_int_equal(group_ack(&now, 0, claim), 0);
    assert_int_equal(group_renew(&now, 64, claim), 0);
    assert_int_equal(group_nack(&now, 128, claim), 0);
    struct group_member same = now; /* and greets a broker once more */
    group_member_was(&same, &now);
    assert_int_equal(group_ack(&same, 64, claim), 0);
    uint64_t position;
    assert_true(given_again(&other, &position, &again));
    assert_int_equal(position, 128);
    assert_int_equal(group_ack(&now, 128, claim), HERMES_EEXPIRED);
    assert_int_equal(group_ack(&other, 128, again), 0);
    assert_int_equal(group_ack(&now, 192, claim), 0);
    assert_int_equal(group_advance(page, MASK), 256);
    drop_page(page);
}

/* As long as there is a word of it, whose it is is known; of what was done with a span ago, nothing is. */
static void test_what_was_done_with_long_ago_is_done(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 1, ""); /* the first time is the last */
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at <= SPAN; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at / 64 + 1);
        assert_int_equal(at == 0 ? nack(&a, at) : ack(&a, at), 0);
        assert_int_equal(ack(&a, 0), at < SPAN ? HERMES_EEXPIRED : HERMES_OK);
        assert_int_equal(ack(&a, at), at == 0 ? HERMES_EEXPIRED : HERMES_OK);
    }
    assert_int_equal(nack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 0), HERMES_EEXPIRED);
    drop_page(page);
}

/* What was done by way of a page that is over may come again, and is told so. */
static void test_after_the_page_nothing_counts(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at < 256; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at);
    }
    assert_int_equal(ack(&a, 0), 0);
    atomic_store(&page->state, GROUP_CLOSED);
    assert_int_equal(ack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 128), HERMES_EEXPIRED);
    assert_int_equal(nack(&a, 192), HERMES_EEXPIRED);
    drop_page(page);
}

/* A broker that dies while it stops, or cannot write the record, leaves the page to the next one as it is. */
static void test_what_is_told_not_to_be_done_comes_again(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    uint64_t position;
    uint16_t claim;
    for (uint64_t at = 0; at < 192; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at);
    }
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(renew(&a, 128), 0); /* its word is not that of a first claim any more */
    atomic_store(&page->state, GROUP_CLOSED);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(ack(&a, 128), HERMES_EEXPIRED);
    atomic_store(&page->state, GROUP_OPEN);
    group_leave(page, MASK, 0);
    for (uint64_t at = 64; at < 192; at += 64) {
        assert_true(group_again(&b, &position, &claim));
        assert_int_equal(position, at);
    }
    assert_false(group_again(&b, &position, &claim));
    drop_page(page);
}

/* Who has a line and leaves takes nothing from who had it before, and does not know that yet. */
static void test_who_leaves_gives_up_its_own(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member former = new_member(page, 0, false), latter = new_member(page, 0, false);
    struct group_member other = new_member(page, 1, false);
    uint64_t position;
    uint16_t claim;
    for (uint64_t at = 0; at < 128; at += 64) {
        assert_int_equal(group_claim(at == 0 ? &former : &latter, at), GROUP_MINE);
        group_passed(&other, at + 64, at);
    }
    group_leave(page, MASK, 0);
    assert_true(group_again(&other, &position, &claim));
    assert_int_equal(position, 64);
    assert_false(group_again(&other, &position, &claim));
    assert_int_equal(ack(&former, 0), 0);
    drop_page(page);
}

/* What a member claimed again, and cannot take, counts as nothing, and keeps its turn. */
static void test_what_is_put_back_is_for_others_and_comes_in_its_turn(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 1, "dead");
    struct group_member gone = new_member(page, 0, false), poor = new_member(page, 1, false);
    uint64_t position;
    uint16_t claim;
    for (uint64_t at = 0; at < 128; at += 64) {
        assert_int_equal(group_claim(&gone, at), GROUP_MINE);
        group_passed(&gone, at + 64, at / 64 + 1);
    }
    atomic_store(&page->max_deliveries, 2);
    group_leave(page, MASK, 0);
    for (int i = 0; i < 5; i++) { /* in none of which it is delivered */
        struct group_member other = new_member(page, 2, false);
        assert_true(group_again(&poor, &position, &claim));
        assert_int_equal(position, 0);
        group_put_back(&poor, &poor.look, position, claim);
        assert_true(group_again(&other, &position, &claim));
        assert_int_equal(position, 0);
        group_put_back(&other, &other.look, position, claim);
    }
    assert_true(given_again(&poor, &position, &claim));
    assert_int_equal(position, 0);
    assert_int_equal(group_deliveries(&poor, position, claim), 2);
    group_put_back(&poor, &poor.look, position, group_first_claim(&poor)); /* under which it is not its own */
    assert_int_equal(group_ack(&poor, position, claim), 0);
    assert_true(given_again(&poor, &position, &claim));
    assert_int_equal(position, 64);
    drop_page(page);
}

/* Who may not be held up looks at some words at a time, for several members, and overlooks nothing that comes
 * back meanwhile. */
static void test_a_look_in_steps_finds_all_there_is(void **state)
{
    (void)state;
    enum { MESSAGES = 64, STEP = 5 };
    struct group_page *page = new_page(0, 0, "");
    struct group_member had = new_member(page, 0, false);
    struct group_member two[] = {new_member(page, 1, false), new_member(page, 2, false)};
    struct group_look look = group_look_begin(page);
    unsigned times[MESSAGES] = {0}, steps = 0;
    for (uint64_t at = 0; at < MESSAGES * 64; at += 64) {
        assert_int_equal(group_claim(&had, at), GROUP_MINE);
        group_passed(&had, at + 64, at / 64 + 1);
    }
    assert_int_equal(nack(&had, (MESSAGES - 1) * 64), 0);
    for (int rc = 1; rc != 0 || group_look_has_news(&look, page); steps++) {
        uint64_t words = STEP, position;
        uint16_t claim;
        rc = group_again_within(&two[steps % 2], &look, &words, &position, &claim);
        assert_in_range(words, rc == HERMES_EAGAIN ? 0 : 1, rc == HERMES_EAGAIN ? 0 : STEP);
        if (rc > 0) {
            times[position / 64]++;
            assert_int_equal(group_ack(&two[steps % 2], position, claim), 0);
        }
        if (steps == 3) /* where it was already */
            assert_int_equal(nack(&had, 64), 0);
    }
    assert_in_range(steps, 2 * MESSAGES / STEP, 3 * MESSAGES / STEP);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(times[i], i == 1 || i == MESSAGES - 1);
    drop_page(page);
}

/* What was claimed too late to be handed out is another's, even if claiming is doing. */
static void test_what_nobody_was_given_is_given(void **state)
{
    (void)state;
    for (int at_most_once = 0; at_most_once < 2; at_most_once++) {
        struct group_page *page = new_page(0, 0, "");
        struct group_member a = new_member(page, 0, at_most_once), b = new_member(page, 1, at_most_once);
        uint64_t position;
        uint16_t claim = group_first_claim(&a);
        assert_int_equal(group_claim(&a, 0), GROUP_MINE);
        group_passed(&a, 64, 1);
        for (int times = 0; times < 2; times++) { /* for the first time, and again */
            group_unclaim(&a, 0, claim);
            assert_true(group_again(times == 0 ? &a : &b, &position, &claim));
            assert_int_equal(position, 0);
        }
        group_unclaim(&a, 0, group_first_claim(&a)); /* it is not its own any more */
        assert_false(group_again(&a, &position, &claim));
        drop_page(page);
    }
}

static unsigned deliveries_of(struct group_page *page, uint64_t position)
{
    return group_deliveries_of(atomic_load(&page->slot[position / 64 & MASK]));
}

/* What was claimed again to be read, and came to nothing: its member leaves, its lease runs out, the broker
 * stops. */
static void test_what_nobody_was_given_is_no_delivery(void **state)
{
    (void)state;
    enum { LEAVES, EXPIRES, STOPS, WAYS };
    for (int way = LEAVES; way < WAYS; way++) {
        struct group_page *page = new_page(0, 2, "dead");
        struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
        uint64_t position;
        uint16_t claim;
        assert_int_equal(group_claim(&a, 0), GROUP_MINE);
        group_passed(&a, 64, 1);
        assert_int_equal(nack(&a, 0), 0);
        for (int times = 0; times < 3; times++) { /* however often: it is not dead */
            assert_true(group_again(&a, &position, &claim));
            if (way == LEAVES)
                group_leave(page, MASK, 0);
            else if (way == EXPIRES)
                assert_true(group_give_up(page, MASK, 0, atomic_load(&page->slot[0])));
            else
                atomic_store(&page->state, GROUP_CLOSED);
            group_tell(page);
            assert_int_equal(group_hand_out(&a, 0, &claim), HERMES_EEXPIRED);
            if (way == STOPS)
                group_unclaim(&a, 0, claim);
            atomic_store(&page->state, GROUP_OPEN);
            assert_int_equal(deliveries_of(page, 0), 1);
        }
        assert_true(given_again(&b, &position, &claim));
        assert_int_equal(group_deliveries(&b, 0, claim), 2);
        assert_int_equal(group_nack(&b, 0, claim), 0);
        assert_int_equal(group_state_of(atomic_load(&page->slot[0])), GROUP_DEAD);
        drop_page(page);
    }
}

/* Its lease begins when it is handed out, and it is another claim than the one before of the same member. */
static void test_what_is_handed_out_again_is_another_claim(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim;
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    group_passed(&a, 64, 1);
    assert_int_equal(nack(&a, 0), 0);
    assert_true(given_again(&a, &position, &claim));
    assert_true((atomic_load(&page->slot[0]) & GROUP_RENEWED) != 0);
    assert_int_equal(nack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(ack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(group_ack(&a, 0, claim), 0);
    drop_page(page);
}

/* It is not seen again under another page: who made it done counts it, whatever became of the page. */
static void test_what_cannot_be_read_is_counted_though_the_page_is_over(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 3, false), b = new_member(page, 4, false);
    for (uint64_t at = 0; at < 3 * 64; at += 64)
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
    assert_true(group_write_off(&a, 0, group_first_claim(&a)));
    assert_false(group_write_off(&b, 64, group_first_claim(&b)));
    assert_int_equal(atomic_load(&page->lost), 1);
    atomic_store(&page->state, GROUP_CLOSED);
    assert_true(group_write_off(&a, 64, group_first_claim(&a)));
    assert_int_equal(atomic_load(&page->lost), 2);
    assert_int_equal(ack(&a, 2 * 64), HERMES_EEXPIRED); /* who is told so may get it again */
    assert_int_equal(atomic_load(&page->lost), 2);
    drop_page(page);
}

/* Its member reads for longer than its lease: another finds out first, or it was done meanwhile. */
static void test_what_cannot_be_read_is_counted_once(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member late = new_member(page, 3, false), other = new_member(page, 4, false);
    uint64_t position;
    uint16_t first = group_first_claim(&late), again, others;
    assert_int_equal(group_claim(&late, 0), GROUP_MINE);
    assert_int_equal(nack(&late, 0), 0);
    assert_true(group_again(&late, &position, &again));
    assert_int_equal(group_ack(&late, 0, first), 0); /* of the time before */
    assert_false(group_write_off(&late, 0, again));
    assert_int_equal(atomic_load(&page->lost), 0);

    assert_int_equal(group_claim(&late, 64), GROUP_MINE);
    group_passed(&late, 128, 2);
    assert_int_equal(nack(&late, 64), 0);
    assert_true(group_again(&late, &position, &again));
    assert_true(group_give_up(page, MASK, 64, atomic_load(&page->slot[1])));
    group_tell(page);
    assert_true(group_again(&other, &position, &others));
    assert_true(group_write_off(&other, 64, others));
    assert_int_equal(group_ack(&other, 64, others), HERMES_EEXPIRED); /* it may have had it before, too */
    assert_false(group_write_off(&late, 64, again));
    assert_int_equal(group_advance(page, MASK), 128);
    assert_int_equal(group_claim(&other, 64 + SPAN), GROUP_MINE); /* there is no word of the other any more */
    assert_false(group_write_off(&late, 64, again));
    assert_int_equal(atomic_load(&page->lost), 1);
    drop_page(page);
}

/* A keeper that looks now and then sees that somebody renewed, however often it was; and who acks or nacks
 * what is just looked at is not told that it expired. */
static void test_any_number_of_renewals_is_seen(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    uint64_t seen = atomic_load(&page->slot[0]);
    for (unsigned times = 1; times < 20; times++) {
        for (unsigned i = 0; i < times; i++)
            assert_int_equal(renew(&a, 0), 0);
        uint64_t word = atomic_load(&page->slot[0]);
        assert_true(word != seen && (word & GROUP_RENEWED) != 0);
        assert_true(group_take_renewal(page, MASK, 0, &word));
        assert_true(word == seen && atomic_load(&page->slot[0]) == seen);
        uint64_t old = word | GROUP_RENEWED;
        assert_false(group_take_renewal(page, MASK, 0, &old));
    }
    assert_int_equal(renew(&a, 0), 0);
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(ack(&a, 0), 0);
    drop_page(page);
}

static void test_without_dead_letter_the_limit_drops(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 1, "");
    struct group_member a = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim;
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    group_passed(&a, 64, 1);
    assert_int_equal(nack(&a, 0), 0);
    assert_false(group_again(&a, &position, &claim));
    assert_int_equal(group_advance(page, MASK), 64);
    assert_int_equal(atomic_load(&page->dead), 1);
    drop_page(page);
}

/* However often a message comes again: what is said of one delivery is not taken for said of the next. */
static void test_two_deliveries_in_a_row_have_two_claims(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    uint64_t position;
    uint16_t before, claim = group_first_claim(&a);
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    group_passed(&a, 64, 1);
    for (unsigned i = 2; i < GROUP_DELIVERIES_MAX + 20; i++) {
        before = claim;
        assert_int_equal(group_nack(&a, 0, claim), 0);
        assert_true(group_again(&a, &position, &claim));
        assert_int_equal(group_hand_out(&a, position, &claim), 0);
        assert_int_not_equal(claim, before);
        assert_int_equal(group_renew(&a, 0, before), HERMES_EEXPIRED);
        unsigned deliveries = group_deliveries(&a, 0, claim);
        if (i <= GROUP_DELIVERIES_MAX)
            assert_int_equal(deliveries, i);
        else
            assert_true(deliveries > GROUP_DELIVERIES_MAX - 8);
    }
    drop_page(page);
}

static void test_the_highest_limit_is_one(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, GROUP_DELIVERIES_MAX, "");
    struct group_member a = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim = group_first_claim(&a);
    unsigned deliveries = 1;
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    group_passed(&a, 64, 1);
    for (; group_nack(&a, 0, claim) == 0 && group_again(&a, &position, &claim); deliveries++) {
        assert_true(deliveries < GROUP_DELIVERIES_MAX);
        assert_int_equal(group_hand_out(&a, position, &claim), 0);
    }
    assert_int_equal(deliveries, GROUP_DELIVERIES_MAX);
    assert_int_equal(atomic_load(&page->dead), 1);
    drop_page(page);
}

static void test_room(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    for (uint64_t at = 0; at < SPAN; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at / 64);
    }
    assert_int_equal(group_claim(&b, SPAN), GROUP_NO_ROOM);
    assert_int_equal(atomic_load(&page->hungry), 1);
    uint64_t position;
    uint16_t claim;
    while (group_again(&b, &position, &claim))
        fail_msg("nothing was given up");
    assert_false(group_has_news(&b));
    assert_int_equal(ack(&a, 64), 0); /* not the first: no room yet, but news */
    assert_true(group_has_news(&b));
    assert_int_equal(group_claim(&b, SPAN), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(group_claim(&b, SPAN), GROUP_MINE); /* in the slot of position 0 */
    assert_int_equal(group_claim(&b, SPAN + 64), GROUP_MINE);
    assert_int_equal(group_claim(&b, SPAN + 128), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 0), 0); /* late, twice: touches nobody */
    assert_int_equal(group_deliveries(&b, SPAN, group_first_claim(&b)), 1);
    assert_int_equal(group_claim(&a, 0), GROUP_TAKEN); /* a member that is a lap behind */
    drop_page(page);
}

/* Who dies between a claim and the cursor leaves a message behind the cursor, and one that is slow may set
 * the cursor back: what was given up is found all the same. */
static void test_given_up_behind_the_cursor(void **state)
{
    (void)state;
    for (unsigned most = 0; most < 2; most++) {
        struct group_page *page = new_page(0, most, "dead");
        struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
        uint64_t position;
        uint16_t claim;
        assert_int_equal(group_claim(&a, 0), GROUP_MINE);
        group_passed(&a, 64, 1);
        assert_int_equal(ack(&a, 0), 0);
        assert_int_equal(group_claim(&a, 64), GROUP_MINE);
        if (most == 0)
            group_passed(&a, 128, 2);
        atomic_store(&page->cursor, 64);
        group_leave(page, MASK, 0);
        assert_int_equal(group_again(&b, &position, &claim), most == 0);
        assert_false(group_again(&b, &position, &claim));
        assert_int_equal(group_claim(&b, 64), GROUP_TAKEN);
        group_passed(&b, 128, 2);
        uint64_t word = atomic_load(&page->slot[1]);
        if (most == 0)
            assert_int_equal(group_ack(&b, position, claim), 0);
        else
            assert_true(group_put_away(page, MASK, 64, word));
        assert_int_equal(group_advance(page, MASK), 128);
        drop_page(page);
    }
}

static void count(void *context, uint64_t position, uint64_t word)
{
    (void)position;
    *(unsigned *)context += group_state_of(word) == GROUP_CLAIMED;
}

/* Who is stopped while it moves the cursor puts it where it was long ago when it goes on. All others are at
 * the end of what there is, and none of them moves it again before there is room. */
static void test_room_is_found_behind_the_cursor(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    for (uint64_t at = 0; at < 3 * SPAN; at += 64) {
        struct group_member *m = at / 64 % 2 == 0 ? &a : &b;
        assert_int_equal(group_claim(m, at), GROUP_MINE);
        group_passed(m, at + 64, at / 64 + 1);
        assert_int_equal(ack(m, at), 0);
        atomic_store(&page->cursor, 64);
    }
    assert_int_equal(atomic_load(&page->floor), 2 * SPAN);
    assert_int_equal(atomic_load(&page->hungry), 0);
    drop_page(page);
}

/* And what is in flight is seen there: its lease may run out, and a broker counts it. */
static void test_what_is_in_flight_is_seen_behind_the_cursor(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    const uint64_t far = SPAN - 64; /* messages of the largest size are not further apart */
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    for (uint64_t at = 64; at <= far; at = at < 640 ? at + 64 : at == far ? far + 64 : far) {
        assert_int_equal(group_claim(&b, at), GROUP_MINE);
        group_passed(&b, at + 64, 1);
    }
    atomic_store(&page->cursor, 64);
    unsigned in_flight = 0;
    group_visit(page, MASK, count, &in_flight);
    assert_int_equal(in_flight, 12);
    assert_int_equal(ack(&a, 0), 0);
    in_flight = 0;
    group_visit(page, MASK, count, &in_flight);
    assert_int_equal(in_flight, 11);
    drop_page(page);
}

static void test_words_of_other_laps(void **state)
{
    (void)state;
    uint64_t positions[] = {0, 64, SPAN, (uint64_t)1 << 45, ((uint64_t)1 << 46) - 64};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        uint64_t at = positions[i], word = group_word(at, 1, 255, GROUP_GENERATIONS, GROUP_CLAIMED);
        assert_true(group_is_of(word, at));
        assert_int_equal(group_line_of(word), 255);
        assert_int_equal(group_generation_of(word), GROUP_GENERATIONS);
        assert_int_equal(group_deliveries_of(word), 1);
        assert_false(group_is_free_for(word, at));
        assert_false(group_is_of(word, at + SPAN));
        assert_true(group_is_free_for(word, at + SPAN)); /* the next lap */
        assert_false(
            group_is_free_for(group_word(at + SPAN, 1, 0, 1, GROUP_DONE), at)); /* a member a lap behind */
        assert_true(group_is_free_for(0, at));
    }
}

/* What lies between could not be read: the floor follows the cursor, but not over what is in flight. */
/* Of those who sleep. */
static void test_one_watches_for_all(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false),
                        c = new_member(page, 2, true);
    assert_true(group_keep_watch(&a));
    assert_true(group_keep_watch(&a)); /* there was nothing */
    assert_false(group_keep_watch(&b));
    assert_false(group_keep_watch(&c));
    assert_int_equal(atomic_load(&page->watch), c.slept_by);
    group_hand_on(&b, false); /* it does not wait any longer */
    assert_int_equal(atomic_load(&page->watch), c.slept_by);
    group_hand_on(&a, true);
    assert_int_not_equal(atomic_load(&page->watch), c.slept_by); /* who lies down just now does not sleep */
    uint32_t watch = atomic_load(&page->watch);
    group_hand_on(&a, true); /* once */
    assert_int_equal(atomic_load(&page->watch), watch);
    group_hand_on(&c, false); /* it was woken, and does not look: another has to */
    assert_int_not_equal(atomic_load(&page->watch), watch);
    assert_true(group_keep_watch(&b));
    /* b is stopped. Who finds a message by looking takes the watch from it. */
    assert_false(group_keep_watch(&a));
    assert_false(group_keep_watch(&c));
    group_hand_on(&a, false);
    assert_false(group_keep_watch(&a));
    group_hand_on(&a, true);
    assert_true(group_keep_watch(&c));
    group_hand_on(&b, true); /* and goes on */
    assert_false(group_keep_watch(&b));
    /* c dies. */
    group_leave(page, MASK, 2);
    assert_true(group_keep_watch(&b));
    drop_page(page);
}

static void test_jump(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    assert_int_equal(group_claim(&a, 64), GROUP_MINE);
    group_passed(&a, 10 * SPAN, 1);
    assert_int_equal(group_claim(&a, 10 * SPAN), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 64), 0);
    assert_int_equal(group_claim(&a, 10 * SPAN), GROUP_MINE);
    drop_page(page);
}

/* ---- records ---- */

static void test_record(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char path[64];
    snprintf(path, sizeof path, "%s/risk", directory);
    struct group_page *page = new_page(128, 3, "dead");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    for (uint64_t at = 128; at < 1280; at += 128) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 128, at);
    }
    assert_int_equal(ack(&a, 128), 0);
    assert_int_equal(ack(&a, 640), 0);
    uint64_t position;
    uint16_t claim = group_first_claim(&a);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(group_nack(i == 0 ? &a : &b, 256, claim), 0);
        if (i < 2)
            assert_true(given_again(&b, &position, &claim));
    }
    struct group_record record = {.topic_id = 7,
                                  .page_id = 9,
                                  .lease_ns = 5,
                                  .slots = SLOTS,
                                  .max_deliveries = 3,
                                  .uid = 4,
                                  .dead_letter = "dead"},
                        read;
    struct error_text text;
    assert_int_equal(group_record_take(&record, page, MASK), 0);
    assert_int_equal(record.floor, 256);
    assert_int_equal(record.cursor, 1280);
    assert_int_equal(record.count, 7); /* 256 dead, 384, 512, 768 to 1152 */
    assert_int_equal(group_record_write(&record, path, &text), 0);
    assert_int_equal(group_record_read(&read, path, &text), 0);
    assert_true(group_record_equal(&record, &read));
    assert_int_equal(read.topic_id, 7);
    assert_int_equal(read.uid, 4);
    assert_int_equal(read.page_id, 9);

    struct group_page *other = new_page(0, 3, "dead");
    group_record_restore(&read, other, MASK, (struct group_place){960, 15}); /* the log lost its end */
    assert_int_equal(atomic_load(&other->floor), 256);
    assert_int_equal(group_start(&a), 1280);
    struct group_member c = new_member(other, 0, false);
    assert_int_equal(group_start(&c), 960);
    unsigned again = 0;
    while (given_again(&c, &position, &claim)) {
        assert_true(position > 256 && position < 960 && position != 640);
        again++;
        assert_int_equal(group_deliveries(&c, position, claim), 2);
        assert_int_equal(group_ack(&c, position, claim), 0);
    }
    assert_int_equal(again, 4);
    assert_int_equal(group_advance(other, MASK), 256);
    assert_true(group_put_away(other, MASK, 256, group_word(256, 3, 0, 0, GROUP_DEAD)));
    assert_int_equal(group_advance(other, MASK), 960);
    drop_page(other);
    group_record_release(&read);

    /* Every byte flipped, every length of truncation: an error, never another record. */
    FILE *file = fopen(path, "rb");
    uint8_t bytes[1024];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(size, GROUP_RECORD_HEADER_BYTES + 7 * 16);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        assert_true(group_record_decode(&read, bytes, size) < 0);
        bytes[i] ^= 0x10;
        assert_true(group_record_decode(&read, bytes, i) < 0);
    }
    assert_int_equal(group_record_decode(&read, bytes, size), 0);
    group_record_release(&read);
    assert_int_equal(group_record_read(&read, directory, &text), HERMES_EMALFORMED);
    assert_int_equal(group_record_read(&read, "/nonexistent", &text), HERMES_ENOTFOUND);
    assert_int_equal(group_record_write(&record, "/nonexistent/a", &text), HERMES_ENOTFOUND);
    group_record_release(&record);
    drop_page(page);
    test_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_message),
        cmocka_unit_test(test_a_former_holder_of_a_line_changes_nothing),
        cmocka_unit_test(test_who_has_another_line_keeps_what_it_had_on_the_one_before),
        cmocka_unit_test(test_what_was_done_with_long_ago_is_done),
        cmocka_unit_test(test_after_the_page_nothing_counts),
        cmocka_unit_test(test_what_cannot_be_read_is_counted_though_the_page_is_over),
        cmocka_unit_test(test_what_cannot_be_read_is_counted_once),
        cmocka_unit_test(test_what_is_told_not_to_be_done_comes_again),
        cmocka_unit_test(test_who_leaves_gives_up_its_own),
        cmocka_unit_test(test_what_is_put_back_is_for_others_and_comes_in_its_turn),
        cmocka_unit_test(test_a_look_in_steps_finds_all_there_is),
        cmocka_unit_test(test_what_nobody_was_given_is_given),
        cmocka_unit_test(test_what_nobody_was_given_is_no_delivery),
        cmocka_unit_test(test_what_is_handed_out_again_is_another_claim),
        cmocka_unit_test(test_any_number_of_renewals_is_seen),
        cmocka_unit_test(test_without_dead_letter_the_limit_drops),
        cmocka_unit_test(test_two_deliveries_in_a_row_have_two_claims),
        cmocka_unit_test(test_the_highest_limit_is_one),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_one_watches_for_all),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_given_up_behind_the_cursor),
        cmocka_unit_test(test_room_is_found_behind_the_cursor),
        cmocka_unit_test(test_what_is_in_flight_is_seen_behind_the_cursor),
        cmocka_unit_test(test_words_of_other_laps),
        cmocka_unit_test(test_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
