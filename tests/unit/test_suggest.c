/* Which name a mistyped word stands for. */
#include "test.h"

#include "cli/suggest.h"

static const char *const names[] = {"bench", "demo", "dump",   "export", "group",
                                    "info",  "pub",  "replay", "sub",    "topic"};

static const char *suggestion_for(const char *word)
{
    static struct suggestion suggestion;
    suggest_begin(&suggestion, word);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        suggest_look_at(&suggestion, names[i]);
    return suggestion.name;
}

static void a_misspelt_word_is_known(void **state)
{
    (void)state;
    assert_string_equal(suggestion_for("toppic"), "topic");
    assert_string_equal(suggestion_for("tpoic"), "topic");
    assert_string_equal(suggestion_for("topics"), "topic");
    assert_string_equal(suggestion_for("subs"), "sub");
    assert_string_equal(suggestion_for("sbu"), "sub");
    assert_string_equal(suggestion_for("subscribe"), "sub");
    assert_string_equal(suggestion_for("publish"), "pub");
    assert_string_equal(suggestion_for("rep"), "replay");
    assert_string_equal(suggestion_for("exprot"), "export");
}

static void another_word_suggests_nothing(void **state)
{
    (void)state;
    assert_string_equal(suggestion_for("frobnicate"), "");
    assert_string_equal(suggestion_for(""), "");
    assert_string_equal(suggestion_for("x"), "");
    assert_string_equal(suggestion_for("ls"), "");
    assert_string_equal(suggestion_for("sub"), ""); /* it is one */
    char longest[SUGGEST_BYTES + 100];
    memset(longest, 's', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_string_equal(suggestion_for(longest), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_misspelt_word_is_known),
        cmocka_unit_test(another_word_suggests_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
