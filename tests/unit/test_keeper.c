/* The keeper with a clock of the test's own: when a claim is given up, and a line. */
#include "test.h"

#include <sys/mman.h>

#include "broker/keeper.h"
#include "broker/leases.h"

enum { SLOTS = GROUP_SLOTS_MIN, MASK = SLOTS - 1 };
static const uint64_t lease = 8000000, step = 1000000;

struct bench {
    char directory[32];
    struct kept kept;
    struct group_page *page;
    struct group_member member;
    struct workers workers; /* it has no task: the test looks itself */
    struct lane records;
    uint64_t now;
    uint64_t spent, costs; /* of the processor: until now, and by each look */
};

static uint64_t now_of(const struct kept *kept)
{
    return ((const struct bench *)(const void *)((const char *)kept - offsetof(struct bench, kept)))->now;
}

static uint64_t spent_of(const struct kept *kept)
{
    struct bench *b = (struct bench *)(void *)((char *)(uintptr_t)kept - offsetof(struct bench, kept));
    return b->spent += b->costs;
}

static int begin(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    strcpy(b->directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(b->directory));
    b->page = mmap(NULL, group_page_bytes(SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(b->page != MAP_FAILED);
    group_page_init(b->page, SLOTS, 7, 1, 0, "");
    group_give_line(b->page, 3, 5, 0);
    assert_int_equal(group_member_init(&b->member, b->page, group_page_bytes(SLOTS), 3, 5, false), 0);
    b->now = 1000000000;
    b->kept.clock = now_of;
    b->kept.spent = spent_of;
    b->kept.page = b->page;
    b->kept.mask = MASK;
    b->kept.workers = &b->workers;
    b->kept.lane = &b->records;
    assert_int_equal(workers_start(&b->workers, WORKERS_MIN), 0);
    b->kept.settings = (struct group_record){.slots = SLOTS, .lease_ns = lease};
    b->kept.grace_ns = 2 * lease;
    snprintf(b->kept.path, sizeof b->kept.path, "%s/record", b->directory);
    *state = b;
    return 0;
}

static int end(void **state)
{
    struct bench *b = *state;
    workers_stop(&b->workers);
    kept_release(&b->kept);
    munmap(b->page, group_page_bytes(SLOTS));
    test_remove(b->directory);
    free(b);
    return 0;
}

static void claim(struct bench *b, uint64_t position)
{
    assert_int_equal(group_claim(&b->member, position), GROUP_MINE);
    group_passed(&b->member, position + 64, position / 64 + 1);
}

static enum group_state state_of(struct bench *b, uint64_t position)
{
    return group_state_of(atomic_load(&b->page->slot[position / 64]));
}

static uint64_t look(struct bench *b, uint64_t now)
{
    struct leases_news news;
    return leases_look(&b->kept, now, &news);
}

/* Its line is another's, if need be. It may come back all the same: the page says nothing of it. */
static bool is_forsaken(struct bench *b)
{
    assert_int_equal(atomic_load(&b->page->members[3].id), 5);
    return atomic_load(&b->kept.forsaken[3]);
}

/* Eight looks a lease. */
static void look_for(struct bench *b, uint64_t ns)
{
    for (uint64_t until = b->now + ns; b->now < until; b->now += step)
        (void)look(b, b->now);
}

static void renew(struct bench *b, uint64_t position)
{
    assert_int_equal(group_renew(&b->member, position, group_first_claim(&b->member)), 0);
}

static void test_a_lease_runs_out(void **state)
{
    struct bench *b = *state;
    atomic_store(&b->kept.attended[3], true);
    claim(b, 0);
    look_for(b, lease);
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    look_for(b, 2 * step);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
    assert_int_equal(atomic_load(&b->page->expired), 1);
}

/* A look may take long, or be kept from its processor: what is done meanwhile is not older than it is. */
static void test_what_is_claimed_amid_a_look_has_its_whole_lease(void **state)
{
    struct bench *b = *state;
    atomic_store(&b->kept.attended[3], true);
    for (int i = 0; i < 2; i++) {
        i == 0 ? claim(b, 0) : renew(b, 0);
        (void)look(b, b->now - lease / 2); /* so long ago it began */
        look_for(b, lease);
        assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    }
    look_for(b, 2 * step);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
}

/* However often it was renewed between two looks. */
static void test_any_number_of_renewals_counts(void **state)
{
    struct bench *b = *state;
    atomic_store(&b->kept.attended[3], true);
    claim(b, 0);
    for (int times = 1; times <= 9; times++) {
        look_for(b, lease - step);
        for (int i = 0; i < times; i++)
            renew(b, 0);
        look_for(b, step);
        assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    }
    assert_int_equal(atomic_load(&b->page->expired), 0);
}

/* After a crash of the broker: a member that renews is alive, though it has not greeted. */
static void test_who_renews_is_waited_for(void **state)
{
    struct bench *b = *state;
    claim(b, 0);
    claim(b, 64);
    b->kept.since_ns = b->now;
    for (int i = 0; i < 20; i++) {
        look_for(b, lease / 2);
        renew(b, 0);
    }
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    assert_int_equal(state_of(b, 64), GROUP_CLAIMED); /* nor is anything else taken from it */
    assert_false(is_forsaken(b));
    atomic_store(&b->kept.attended[3], true); /* it greets */
    look_for(b, 2 * step);
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    assert_int_equal(state_of(b, 64), GROUP_AVAILABLE);
    assert_int_equal(atomic_load(&b->page->expired), 1);
}

/* So is who claims. */
static void test_who_claims_is_waited_for(void **state)
{
    struct bench *b = *state;
    b->kept.since_ns = b->now;
    for (uint64_t i = 0; i < 20; i++) {
        look_for(b, lease / 2);
        claim(b, i * 64);
    }
    assert_false(is_forsaken(b));
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
}

/* Both stood still for as long as a lease: what the member did before the keeper looks again counts. */
static void test_who_was_heard_of_since_the_last_look_is_waited_for(void **state)
{
    struct bench *b = *state;
    claim(b, 0);
    look_for(b, step);
    b->kept.since_ns = b->now;
    b->now += 2 * lease;
    renew(b, 0);
    claim(b, 64);
    look_for(b, step);
    assert_false(is_forsaken(b));
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    assert_int_equal(state_of(b, 64), GROUP_CLAIMED);
}

static void test_who_is_not_heard_of_is_gone(void **state)
{
    struct bench *b = *state;
    claim(b, 0);
    b->kept.since_ns = b->now;
    look_for(b, lease);
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    look_for(b, 2 * step);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
    assert_true(is_forsaken(b));
    assert_int_equal(b->kept.since_ns, 0); /* nobody else is waited for */
}

/* A living member whose greetings are not answered in time takes messages as before, and has each for a
 * lease.
 */
static void test_who_may_lose_its_line_has_a_lease_on_what_it_takes(void **state)
{
    struct bench *b = *state;
    b->kept.since_ns = b->now;
    look_for(b, lease + 2 * step);
    assert_true(is_forsaken(b));
    claim(b, 0);
    look_for(b, lease);
    assert_int_equal(state_of(b, 0), GROUP_CLAIMED);
    look_for(b, 2 * step);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
}

/* It has no lease: it is waited for as the publisher of a topic is. */
static void test_the_holder_of_a_durable_subscription_is_waited_for(void **state)
{
    struct bench *b = *state;
    b->kept.mask = 0;
    b->kept.settings.slots = 0;
    b->kept.since_ns = b->now;
    look_for(b, 2 * lease);
    assert_false(is_forsaken(b));
    look_for(b, 2 * step);
    assert_true(is_forsaken(b));
}

/* A quiet group with somebody to wait for is looked at again in time, and one without is left alone. */
static void test_it_looks_again_in_time(void **state)
{
    struct bench *b = *state;
    b->kept.mask = 0;
    b->kept.settings.slots = 0;
    assert_int_equal(look(b, b->now), TASK_WHEN_RUNG);
    b->kept.since_ns = b->now;
    uint64_t due = look(b, b->now);
    assert_true(due > b->now && due <= b->now + b->kept.grace_ns);
}

/* Somebody may fill the page with claims of a short lease: one look after the other would keep a worker. */
static void test_a_look_that_took_long_is_followed_by_a_longer_pause(void **state)
{
    struct bench *b = *state;
    atomic_store(&b->kept.attended[3], true);
    claim(b, 0);
    b->costs = lease;
    uint64_t due = look(b, b->now);
    assert_true(due >= b->now + 8 * b->costs);
    b->now += lease;
    assert_true(look(b, b->now) == due); /* rung: it does not look sooner */
    b->costs = 0;
    b->now = due;
    assert_true(look(b, b->now) < due + lease);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
}

/* What was given up while the limit was higher, or there was none. */
static void test_what_may_not_be_given_out_again_is_dead_as_soon_as_that_is_said(void **state)
{
    struct bench *b = *state;
    claim(b, 0);
    claim(b, 64);
    assert_int_equal(group_nack(&b->member, 0, group_first_claim(&b->member)), 0);
    b->kept.settings.max_deliveries = 2;
    atomic_store(&b->page->max_deliveries, 2);
    (void)look(b, b->now);
    assert_int_equal(state_of(b, 0), GROUP_AVAILABLE);
    b->kept.settings.max_deliveries = 1;
    atomic_store(&b->page->max_deliveries, 1);
    (void)look(b, b->now);
    assert_int_equal(state_of(b, 0), GROUP_DONE);     /* there is no dead-letter topic */
    assert_int_equal(state_of(b, 64), GROUP_CLAIMED); /* who has it may ack it */
    assert_int_equal(atomic_load(&b->page->dead), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_a_lease_runs_out),
        TEST(test_what_is_claimed_amid_a_look_has_its_whole_lease),
        TEST(test_any_number_of_renewals_counts),
        TEST(test_who_renews_is_waited_for),
        TEST(test_who_claims_is_waited_for),
        TEST(test_who_was_heard_of_since_the_last_look_is_waited_for),
        TEST(test_who_is_not_heard_of_is_gone),
        TEST(test_who_may_lose_its_line_has_a_lease_on_what_it_takes),
        TEST(test_the_holder_of_a_durable_subscription_is_waited_for),
        TEST(test_it_looks_again_in_time),
        TEST(test_a_look_that_took_long_is_followed_by_a_longer_pause),
        TEST(test_what_may_not_be_given_out_again_is_dead_as_soon_as_that_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
