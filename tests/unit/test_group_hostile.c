/* Pages that are not what they should be: whoever maps one may write anything into it. */
#include "group_page.h"

static void test_checks(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member member;
    uint32_t slots;
    size_t bytes = group_page_bytes(SLOTS);
    assert_int_equal(group_page_check(page, bytes, &slots), 0);
    assert_int_equal(slots, SLOTS);
    assert_int_equal(group_page_check(page, bytes - 1, &slots), HERMES_EMALFORMED);
    assert_int_equal(group_page_check(page, 100, &slots), HERMES_EMALFORMED);
    assert_int_equal(group_member_init(&member, page, bytes, GROUP_MEMBERS, 1, false), HERMES_EMALFORMED);
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED); /* not given */
    atomic_store(&page->members[0].generation, GROUP_GENERATIONS + 1);
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED);
    page->version = 9;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EVERSION);
    page->version = GROUP_VERSION;
    page->slots = SLOTS * 2;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    page->slots = SLOTS + 64;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    page->slots = 0; /* a durable subscription has no members who claim */
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED);
    page->magic = 1;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    drop_page(page);
}

static void count_visits(void *context, uint64_t position, uint64_t word)
{
    (void)position, (void)word;
    ++*(uint64_t *)context;
}

/* The broker, who reads it, comes to an end all the same. */
static void test_a_page_that_is_scribbled_on_ends_every_loop(void **state)
{
    (void)state;
    static const uint64_t wild[] = {0,
                                    1,
                                    63,
                                    4096 * 64,
                                    (uint64_t)1 << 46,
                                    (uint64_t)1 << 62,
                                    UINT64_MAX / 2,
                                    UINT64_MAX - ((uint64_t)4096 << 6),
                                    UINT64_MAX - 1000,
                                    UINT64_MAX - 5,
                                    UINT64_MAX};
    enum { WILD = sizeof wild / sizeof wild[0] };
    for (int i = 0; i < WILD * WILD; i++) {
        struct group_page *page = new_page(0, 2, "dead");
        uint64_t mask = page->slots - 1, visits = 0;
        atomic_store(&page->floor, wild[i / WILD]);
        atomic_store(&page->cursor, wild[i % WILD]);
        atomic_store(&page->given_up, wild[i % WILD]);
        for (uint64_t slot = 0; i % 3 != 0 && slot <= mask; slot++)
            atomic_store(&page->slot[slot], i % 3 == 1 ? UINT64_MAX : (wild[i / WILD] >> 18) << 36 | 1);
        group_visit(page, mask, count_visits, &visits);
        assert_true(visits <= mask + 1);
        (void)group_advance(page, mask);
        group_leave(page, mask, 0);
        struct group_record record = {.slots = page->slots};
        assert_int_equal(group_record_take(&record, page, mask), 0);
        group_record_release(&record);
        (void)group_page_fits(page, mask, 640);
        struct group_member member = new_member(page, 1, false);
        uint64_t position;
        uint16_t claim;
        for (uint64_t again = 0; group_again(&member, &position, &claim); again++)
            assert_true(again <= 2 * (mask + 1));
        drop_page(page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_a_page_that_is_scribbled_on_ends_every_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
