/* Whose turn it is. */
#include "test.h"

#include "base/rounds.h"

struct paper {
    struct round_entry place; /* the first */
    char name;
};

enum { PAPERS = 64 };

/* Letters are put in, each of its own kind ('a' and 'A' of the same); '|' is a barrier; '-' takes one out.
 * What comes out, and then the rest. */
static void check(const char *what, const char *expected)
{
    struct rounds rounds = {0};
    struct paper papers[PAPERS];
    char out[PAPERS + 1] = "";
    size_t used = 0;
    for (size_t i = 0; what[i] != 0; i++) {
        papers[i].name = what[i];
        if (what[i] == '-')
            out[used++] = ((struct paper *)rounds_take(&rounds))->name;
        else
            rounds_put(&rounds, &papers[i].place, (uint64_t)what[i] | 0x20, what[i] == '|');
    }
    while (!rounds_is_empty(&rounds))
        out[used++] = ((struct paper *)rounds_take(&rounds))->name;
    out[used] = 0;
    assert_string_equal(out, expected);
}

static void one_of_each_comes_in_turn(void **state)
{
    (void)state;
    check("", "");
    check("a", "a");
    check("abc", "abc");
    check("aAaAabBc", "abcABaAa");
}

static void who_comes_late_waits_for_one_of_each(void **state)
{
    (void)state;
    check("aAaA-b-c-B", "aAbacBA");
}

static void nobody_passes_a_barrier(void **state)
{
    (void)state;
    check("aAb|BaA-c|d", "abA|BacA|d");
    check("||a", "||a");
    check("aA|a-b", "aA|ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_comes_in_turn),
        cmocka_unit_test(who_comes_late_waits_for_one_of_each),
        cmocka_unit_test(nobody_passes_a_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
