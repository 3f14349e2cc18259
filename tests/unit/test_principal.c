/* What each principal may hold, whatever the others do. */
#include "test.h"

#include "broker/principal.h"

static struct principals some(void)
{
    struct principals principals = {.first = NULL};
    for (int i = 0; i < HOLDINGS; i++)
        principals.most[i] = 10;
    return principals;
}

static void each_has_its_own_share(void **state)
{
    (void)state;
    struct principals principals = some();
    struct error_text text;
    for (int i = 0; i < 10; i++)
        assert_int_equal(principal_take(&principals, 1000, HOLDS_RINGS, 1, &text), 0);
    assert_int_equal(principal_take(&principals, 1000, HOLDS_RINGS, 1, &text), HERMES_ELIMIT);
    assert_non_null(strstr(text.bytes, "user 1000 has 10 publishers with a ring"));
    assert_non_null(strstr(text.bytes, "[limits] rings_per_user"));
    assert_int_equal(principal_take(&principals, 1001, HOLDS_RINGS, 10, &text), 0);
    assert_int_equal(principal_take(&principals, 1000, HOLDS_GROUPS, 10, &text), 0);
    principal_give_back(&principals, 1000, HOLDS_RINGS, 1);
    assert_int_equal(principal_take(&principals, 1000, HOLDS_RINGS, 2, &text), HERMES_ELIMIT);
    assert_int_equal(principal_take(&principals, 1000, HOLDS_RINGS, 1, &text), 0);
    principal_give_back(&principals, 1000, HOLDS_RINGS, 10);
    principal_give_back(&principals, 1000, HOLDS_GROUPS, 10);
    principal_give_back(&principals, 1001, HOLDS_RINGS, 10);
    assert_null(principals.first);
}

static void amounts_do_not_wrap(void **state)
{
    (void)state;
    struct principals principals = some();
    struct error_text text;
    principals.most[HOLDS_MEMORY] = UINT64_MAX - 1;
    assert_int_equal(principal_take(&principals, 1, HOLDS_MEMORY, UINT64_MAX, &text), HERMES_ELIMIT);
    assert_int_equal(principal_take(&principals, 1, HOLDS_MEMORY, UINT64_MAX - 1, &text), 0);
    assert_int_equal(principal_take(&principals, 1, HOLDS_MEMORY, 1, &text), HERMES_ELIMIT);
    principal_give_back(&principals, 1, HOLDS_MEMORY, UINT64_MAX - 1);
}

static void what_is_there_already_counts_beyond_the_limit(void **state)
{
    (void)state;
    struct principals principals = some();
    struct error_text text;
    assert_int_equal(principal_add(&principals, 1, HOLDS_GROUPS, 100), 0);
    assert_int_equal(principal_holds(&principals, 1, HOLDS_GROUPS), 100);
    assert_int_equal(principal_take(&principals, 1, HOLDS_GROUPS, 1, &text), HERMES_ELIMIT);
    principal_give_back(&principals, 1, HOLDS_GROUPS, 95);
    assert_int_equal(principal_take(&principals, 1, HOLDS_GROUPS, 1, &text), 0);
    principal_give_back(&principals, 1, HOLDS_GROUPS, 6);
    assert_int_equal(principal_holds(&principals, 1, HOLDS_GROUPS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_own_share),
        cmocka_unit_test(amounts_do_not_wrap),
        cmocka_unit_test(what_is_there_already_counts_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
