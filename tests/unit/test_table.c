/* Tables for people, on terminals of any width. */
#include "test.h"

#include "cli/table.h"

static const char *const headings[] = {"NAME", "#COUNT", "KIND", NULL};

static char *written(unsigned columns, const char *name)
{
    static char *text;
    size_t bytes;
    struct table table;
    free(text);
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    table_begin(&table, headings);
    table_text(&table, name);
    table_print(&table, "%d", 1234567);
    table_text(&table, "shared");
    assert_true(table_end(&table, file, columns));
    fclose(file);
    return text;
}

static void columns_are_as_wide_as_what_is_in_them(void **state)
{
    (void)state;
    assert_string_equal(written(0, "a"), "NAME    COUNT  KIND\na     1234567  shared\n");
    assert_string_equal(written(80, "a"), "NAME    COUNT  KIND\na     1234567  shared\n");
}

static void a_narrow_terminal_cuts_texts_and_never_numbers(void **state)
{
    static const char name[] = "a-name-that-is-rather-long";
    (void)state;
    assert_string_equal(written(30, name),
                        "NAME             COUNT  KIND\na-name-that-\u2026  1234567  shared\n");
    assert_string_equal(written(25, name), "NAME        COUNT  KIND\na-name-\u2026  1234567  shared\n");
    assert_non_null(strstr(written(0, name), name)); /* no terminal: as it is */
}

static void where_a_row_fits_no_line_each_cell_has_its_own(void **state)
{
    static const char name[] = "a-name-that-is-rather-long";
    (void)state;
    assert_string_equal(written(24, name), "NAME   a-name-that-is-r\u2026\nCOUNT  1234567\nKIND   shared\n");
    assert_string_equal(written(5, name), "NAME   a-name-\u2026\nCOUNT  1234567\nKIND   shared\n");
}

static void a_table_may_be_empty_or_large(void **state)
{
    char *text;
    size_t bytes;
    struct table table;
    (void)state;
    FILE *file = open_memstream(&text, &bytes);
    table_begin(&table, headings);
    assert_true(table_end(&table, file, 80));
    table_begin(&table, headings);
    for (int i = 0; i < 3 * 5000; i++)
        table_print(&table, "%d", i);
    assert_true(table_end(&table, file, 80));
    fclose(file);
    assert_memory_equal(text, "NAME  COUNT  KIND\n", 18);
    assert_non_null(strstr(text, "14997  14998  14999\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_what_is_in_them),
        cmocka_unit_test(a_narrow_terminal_cuts_texts_and_never_numbers),
        cmocka_unit_test(where_a_row_fits_no_line_each_cell_has_its_own),
        cmocka_unit_test(a_table_may_be_empty_or_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
