/* A group's page under threads that stop, die and come back. */
#include "group_page.h"

#include <pthread.h>
#include <sched.h>

enum { CROWD = 4, RUN = 200000 };

static struct {
    struct group_page *page;
    _Atomic uint32_t acked[RUN];
    _Atomic uint32_t delivered[RUN];
    _Atomic unsigned buried; /* by the keeper */
    _Atomic bool stop;
    const char *_Atomic wrong; /* cmocka's assertions are for the main thread alone */
} crowd;

#define EXPECT(condition)                                                                                    \
    do                                                                                                       \
        if (!(condition))                                                                                    \
            atomic_store(&crowd.wrong, #condition);                                                          \
    while (0)

/* Takes its messages, dies in every state, comes back; positions are 64 i. */
static void *live(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    uint64_t random = index + 77;
    struct group_member m = new_member(crowd.page, index, false);
    uint64_t at = 0, floor = 0;
    for (;;) {
        uint64_t now = atomic_load(&crowd.page->floor); /* before anybody raises it again */
        EXPECT(now >= floor);
        floor = group_advance(crowd.page, MASK);
        if (floor >= (uint64_t)RUN * 64)
            return NULL;
        uint64_t position = 0;
        uint16_t token = group_first_claim(&m);
        bool mine = group_has_news(&m) && group_again(&m, &position, &token);
        if (mine && (test_random(&random) % 64 == 0 || group_hand_out(&m, position, &token) < 0)) {
            group_leave(crowd.page, MASK, index); /* before it is given anything */
            m = new_member(crowd.page, index, false);
            continue;
        }
        if (!mine) {
            uint64_t start = group_start(&m);
            at = at > start ? at : start;
            if (at >= (uint64_t)RUN * 64) {
                sched_yield();
                continue;
            }
            position = at;
            enum group_claim claim = group_claim(&m, position);
            if (claim == GROUP_NO_ROOM) {
                sched_yield();
                continue;
            }
            mine = claim == GROUP_MINE;
            at += 64;
            uint64_t end = at;
            if (mine && test_random(&random) % 1000 == 0) { /* dies between claim and cursor */
                group_leave(crowd.page, MASK, index);
                m = new_member(crowd.page, index, false);
                continue;
            }
            group_passed(&m, end, end / 64);
        }
        if (!mine)
            continue;
        atomic_fetch_add(&crowd.delivered[position / 64], 1);
        uint64_t fate = test_random(&random) % 64;
        if (fate == 0) {
            (void)group_nack(&m, position, token);
        } else if (fate == 1) {
            group_leave(crowd.page, MASK, index);
            m = new_member(crowd.page, index, false);
        } else {
            if (fate == 2)
                sched_yield();
            else if (fate == 3)
                (void)group_renew(&m, position, token);
            int rc = group_ack(&m, position, token);
            EXPECT(rc == 0 || rc == HERMES_EEXPIRED);
            if (rc == 0)
                atomic_fetch_add(&crowd.acked[position / 64], 1);
        }
    }
}

static void expire(void *context, uint64_t position, uint64_t word)
{
    uint64_t *random = context;
    if ((word & GROUP_RENEWED) != 0)
        (void)group_take_renewal(crowd.page, MASK, position, &word);
    else if (group_state_of(word) == GROUP_CLAIMED && test_random(random) % 256 == 0 &&
             group_give_up(crowd.page, MASK, position, word))
        group_tell(crowd.page);
    else if (group_state_of(word) == GROUP_DEAD && group_put_away(crowd.page, MASK, position, word)) {
        atomic_fetch_add(&crowd.buried, 1);
        atomic_fetch_add(&crowd.acked[position / 64], 1);
    }
}

static void *keep(void *unused)
{
    (void)unused;
    uint64_t random = 99;
    struct group_record record = {.slots = SLOTS};
    uint64_t floor = 0;
    while (!atomic_load(&crowd.stop)) {
        group_visit(crowd.page, MASK, expire, &random);
        EXPECT(group_record_take(&record, crowd.page, MASK) == 0);
        EXPECT(record.floor >= floor && record.cursor >= record.floor);
        floor = record.floor;
        sched_yield();
    }
    group_record_release(&record);
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    crowd.page = new_page(0, 4, "dead");
    pthread_t threads[CROWD], keeper;
    assert_int_equal(pthread_create(&keeper, NULL, keep, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, live, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&crowd.stop, true);
    pthread_join(keeper, NULL);
    if (atomic_load(&crowd.wrong) != NULL)
        fail_msg("%s", atomic_load(&crowd.wrong));
    uint64_t again = 0;
    for (unsigned i = 0; i < RUN; i++) {
        if (atomic_load(&crowd.acked[i]) < 1)
            fail_msg("message %u was never acknowledged", i);
        if (atomic_load(&crowd.delivered[i]) > 4)
            fail_msg("message %u was delivered %u times", i, atomic_load(&crowd.delivered[i]));
        again += atomic_load(&crowd.delivered[i]) - (atomic_load(&crowd.delivered[i]) > 0);
    }
    assert_true(again > 0);
    assert_int_equal(atomic_load(&crowd.page->dead), atomic_load(&crowd.buried));
    drop_page(crowd.page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
