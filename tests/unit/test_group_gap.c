/* What is gone, and how many of it nobody had: a group's page, and who finds the same gap. */
#include "group_page.h"

#include <pthread.h>
#include <sched.h>

/* Messages are 64 bytes long, the first at position 0; place i is that behind the first i. */
static struct group_gap gap(uint64_t after, uint64_t last)
{
    return (struct group_gap){.from = after * 64, .after = after, .to = last * 64, .last = last};
}

static uint64_t note(struct group_page *page, uint64_t after, uint64_t last)
{
    const struct group_gap found = gap(after, last);
    return group_note_gap(page, MASK, &found);
}

static uint64_t lost(const struct group_page *page)
{
    return atomic_load(&page->lost);
}

static void test_what_somebody_had_is_not_lost(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at < 5 * 64; at += 64)
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
    assert_int_equal(note(page, 2, 10), 5);
    assert_int_equal(lost(page), 5);
    assert_int_equal(ack(&a, 4 * 64), 0);
    drop_page(page);
}

static void test_a_gap_is_counted_once(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at < 5 * 64; at += 64)
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
    assert_int_equal(note(page, 2, 10), 5);
    assert_int_equal(note(page, 2, 10), 0); /* by whomever */
    assert_int_equal(note(page, 0, 8), 0);  /* who is behind */
    assert_int_equal(note(page, 1, 15), 5); /* what others had before is in the first count */
    assert_int_equal(note(page, 12, 20), 5);
    assert_int_equal(note(page, 30, 31), 1);
    assert_int_equal(lost(page), 16);
    drop_page(page);
}

/* A member is held up while it says that it has passed message 1, and another goes on to 2 meanwhile. */
static void test_place_and_sequence_are_of_one_message(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member held_up = new_member(page, 0, false), other = new_member(page, 1, false);
    assert_int_equal(group_claim(&held_up, 0), GROUP_MINE);
    assert_int_equal(group_claim(&other, 64), GROUP_MINE);
    group_passed(&other, 128, 2);
    group_say_edge(page, 64, 1);
    struct group_place edge = group_edge(page);
    assert_int_equal(edge.position, 64 * edge.sequence);
    const struct group_gap found = {edge.position, edge.sequence, 5 * 64, 5};
    assert_int_equal(group_note_gap(page, MASK, &found), 3);

    const uint64_t far = (uint64_t)9 << 40, many = (uint64_t)7 << 32; /* the low halves begin again */
    group_set_edge(page, far + 64, many + 1);
    edge = group_edge(page);
    assert_true(edge.position == far + 64 && edge.sequence == many + 1);
    group_say_edge(page, far - 64, many - 1);
    edge = group_edge(page);
    assert_true(edge.position == far - 64 && edge.sequence == many - 1);
    drop_page(page);
}

/* It read the message before that was gone, and was about to claim it. */
static void test_what_is_counted_is_given_to_nobody(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, true);
    assert_int_equal(note(page, 0, 3), 3);
    assert_int_equal(group_claim(&a, 64), GROUP_TAKEN);
    assert_int_equal(group_claim(&b, 2 * 64), GROUP_TAKEN);
    assert_int_equal(group_claim(&a, 3 * 64), GROUP_MINE);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(lost(page), 3);
    drop_page(page);
}

/* Nothing of it is in flight, in a record or in anybody's way, in the next lap neither. */
static void test_what_is_counted_is_done(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    assert_int_equal(note(page, 1, SLOTS), SLOTS - 1);
    struct group_record record = {.slots = SLOTS};
    assert_int_equal(group_record_take(&record, page, MASK), 0); /* nobody has raised the cursor yet */
    assert_int_equal(record.count, 1);
    group_record_release(&record);
    group_passed(&a, SPAN, SLOTS);
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(group_advance(page, MASK), SPAN);
    for (uint64_t at = SPAN; at < 2 * SPAN; at += 64)
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
    drop_page(page);
}

/* A record knows the sequence up to which gaps are counted, and not where that is. */
static void test_a_restored_page_counts_on(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, ""), *fresh = new_page(0, 0, "");
    assert_int_equal(note(page, 0, 10), 10);
    struct group_record record = {.slots = SLOTS};
    assert_int_equal(group_record_take(&record, page, MASK), 0);
    group_record_restore(&record, fresh, MASK, (struct group_place){20 * 64, 20});
    group_record_release(&record);
    assert_int_equal(note(fresh, 0, 10), 0);
    assert_int_equal(note(fresh, 0, 12), 2);
    assert_int_equal(lost(fresh), 12);
    drop_page(page);
    drop_page(fresh);
}

/* Far up, where the low halves of sequence and position have gone round. */
static void test_gaps_are_counted_at_any_height(void **state)
{
    (void)state;
    const uint64_t rounds[] = {1, UINT32_MAX - 5, UINT32_MAX + (uint64_t)9, (uint64_t)1 << 33,
                               (uint64_t)1 << 50};
    struct group_page *page = new_page(0, 0, "");
    uint64_t due = 0;
    for (unsigned i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        uint64_t first = rounds[i];
        assert_int_equal(note(page, first, first + 10), 10);
        assert_int_equal(note(page, first + 5, first + 12), 2);
        assert_int_equal(note(page, first, first + 11), 0);
        due += 12;
    }
    assert_int_equal(lost(page), due);
    drop_page(page);
}

/* ---- several at once ---- */

enum { READERS = 2, FINDERS = 2, ROUNDS = 1500, GAP = SLOTS / 4, STEP = 16 };

static struct {
    struct group_page *page;
    struct group_member members[READERS + FINDERS];
    pthread_barrier_t barrier;
    _Atomic uint64_t had; /* by readers, in all rounds */
} race;

/* Still has mapped what is gone, and reads on there. */
static void *read_on(void *argument)
{
    struct group_member *m = argument;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t at = round * GAP * 64, end = at + (GAP - STEP) * 64;
        pthread_barrier_wait(&race.barrier);
        for (; at < end && group_start(m) < end; at += 64) {
            enum group_claim claim = group_claim(m, at);
            group_passed(m, at + 64, at / 64 + 1);
            if (claim == GROUP_MINE)
                atomic_fetch_add(&race.had, 1);
        }
        pthread_barrier_wait(&race.barrier);
    }
    return NULL;
}

/* Has nothing mapped, and finds more gone than the finder before. */
static void *find(void *argument)
{
    struct group_member *m = argument;
    uint64_t more = m == &race.members[READERS] ? 0 : STEP;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t first = round * GAP, last = first + GAP - STEP + more;
        pthread_barrier_wait(&race.barrier);
        (void)note(race.page, first, last);
        group_passed(m, last * 64, last);
        pthread_barrier_wait(&race.barrier);
        (void)note(race.page, first, first + GAP); /* the rest, so that each round begins alike */
        (void)group_advance(race.page, MASK);
    }
    return NULL;
}

static void test_each_message_is_lost_or_had(void **state)
{
    (void)state;
    pthread_t threads[READERS + FINDERS];
    race.page = new_page(0, 0, "");
    pthread_barrier_init(&race.barrier, NULL, READERS + FINDERS);
    for (unsigned i = 0; i < READERS + FINDERS; i++)
        race.members[i] = new_member(race.page, i, true);
    for (unsigned i = 0; i < READERS + FINDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_on : find, &race.members[i]),
                         0);
    for (unsigned i = 0; i < READERS + FINDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(lost(race.page) + atomic_load(&race.had), (uint64_t)ROUNDS * GAP);
    pthread_barrier_destroy(&race.barrier);
    drop_page(race.page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_somebody_had_is_not_lost),
        cmocka_unit_test(test_a_gap_is_counted_once),
        cmocka_unit_test(test_place_and_sequence_are_of_one_message),
        cmocka_unit_test(test_what_is_counted_is_given_to_nobody),
        cmocka_unit_test(test_what_is_counted_is_done),
        cmocka_unit_test(test_a_restored_page_counts_on),
        cmocka_unit_test(test_gaps_are_counted_at_any_height),
        cmocka_unit_test(test_each_message_is_lost_or_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
