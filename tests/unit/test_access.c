/* Who may do what: rules as they are read, and that no request is without its line in the table. */
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "auth/rules.h"
#include "auth/tokens.h"
#include "broker/request/access.h"

static char directory[] = "/tmp/hermes-access-XXXXXX";

static const char *file(const char *name, const char *content)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(content, out);
    fclose(out);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    (void)state;
    (void)unlink(file("rules", ""));
    (void)unlink(file("tokens", ""));
    (void)unlink(file("tokens.lock", ""));
    return rmdir(directory);
}

static void every_request_has_its_right(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++)
        assert_int_equal(access_right_for((uint8_t)type) >= 0, wire_request_bytes((uint8_t)type) >= 0);
}

static void rules_are_a_union(void **state)
{
    (void)state;
    struct rules rules;
    struct error_text text;
    const char *path = file("rules", "# who\nallow uid:7 publish a*\nallow * subscribe *.public # all\n\n"
                                     "allow cert:risk-* create,administer *b*c\n");
    assert_int_equal(rules_read(&rules, path, &text), 0);
    assert_int_equal(rules.count, 3);
    assert_int_equal(rules_rights(&rules, "uid:7", "a"), RIGHT_PUBLISH);
    assert_int_equal(rules_rights(&rules, "uid:7", "a.public"), RIGHT_PUBLISH | RIGHT_SUBSCRIBE);
    assert_int_equal(rules_rights(&rules, "uid:77", "a"), 0);
    assert_int_equal(rules_rights(&rules, "uid:77", ".public"), RIGHT_SUBSCRIBE);
    assert_int_equal(rules_rights(&rules, "cert:risk-1", "bc"), RIGHT_CREATE | RIGHT_ADMINISTER);
    assert_int_equal(rules_rights(&rules, "cert:risk-1", "abbcabc"), RIGHT_CREATE | RIGHT_ADMINISTER);
    assert_int_equal(rules_rights(&rules, "cert:risk-1", "abcb"), 0);
    assert_int_equal(rules_rights(&rules, "cert:risk", "bc"), 0);
    assert_int_equal(rules_find(&rules, "cert:risk-1", "bc", RIGHT_CREATE)->line, 5);
    assert_null(rules_find(&rules, "cert:risk-1", "bc", RIGHT_PUBLISH));
    rules_free(&rules);
}

static void without_rules_all_may_do_everything(void **state)
{
    (void)state;
    struct rules rules;
    struct error_text text;
    assert_int_equal(rules_read(&rules, file("rules", "# none\n"), &text), 0);
    assert_int_equal(rules_rights(&rules, "anonymous", "t"), RIGHTS_ALL);
    rules_free(&rules);
    assert_int_equal(rules_read(&rules, "/nowhere/rules", &text), HERMES_ENOTFOUND);
}

static void what_is_no_rule_is_named_by_its_line(void **state)
{
    (void)state;
    static const char *const wrong[] = {"deny * all *",          "allow * all",
                                        "allow * all t extra",   "allow alice all t",
                                        "allow uid: all t",      "allow * reed t",
                                        "allow * all t/u",       "allow user:no-such-user-there-is all t",
                                        "allow * publish,read t"};
    struct rules rules;
    struct error_text text;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char content[256];
        snprintf(content, sizeof content, "\nallow * all t\n%s\n", wrong[i]);
        assert_true(rules_read(&rules, file("rules", content), &text) < 0);
        assert_non_null(strstr(text.bytes, "line 3: "));
    }
}

static void a_secret_is_known_by_its_hash_alone(void **state)
{
    (void)state;
    char first[TOKEN_SECRET_BYTES] = "", second[TOKEN_SECRET_BYTES] = "";
    struct error_text text;
    struct tokens tokens;
    const char *path = file("tokens", "");
    assert_int_equal(tokens_create(path, "first", 0, first, &text), 0);
    assert_int_equal(tokens_create(path, "second", 100, second, &text), 0);
    assert_int_equal(tokens_create(path, "first", 0, first, &text), HERMES_EEXISTS);
    assert_int_equal(tokens_create(path, "a b", 0, first, &text), HERMES_ENAME);
    assert_int_equal(tokens_read(&tokens, path, &text), 0);
    assert_string_equal(tokens_find(&tokens, first)->name, "first");
    const struct token *over = tokens_find(&tokens, second);
    assert_string_equal(over->name, "second");
    assert_true(!token_is_over(over, 99) && token_is_over(over, 100));
    first[10] ^= 1;
    assert_null(tokens_find(&tokens, first));
    tokens_free(&tokens);
    assert_int_equal(tokens_revoke(path, "second", &text), 0);
    assert_int_equal(tokens_revoke(path, "second", &text), HERMES_ENOTFOUND);
    assert_int_equal(tokens_read(&tokens, path, &text), 0);
    assert_null(tokens_find(&tokens, second));
    tokens_free(&tokens);
    assert_int_equal(tokens_read(&tokens, file("tokens", "name 00ff 0 0\n"), &text), HERMES_EINVALID);
}

static void a_tokens_times_are_dates(void **state)
{
    (void)state;
    static const struct {
        const char *times;
        int result;
    } cases[] = {{"0 0", HERMES_OK},
                 {"1 253402300799", HERMES_OK},
                 {"0 253402300800", HERMES_EINVALID},
                 {"0 9223372036854775807", HERMES_EINVALID},
                 {"9223372036854775807 0", HERMES_EINVALID},
                 {"0 99999999999999999999999", HERMES_EINVALID},
                 {"-1 0", HERMES_EINVALID},
                 {"0 -1", HERMES_EINVALID}};
    struct error_text text;
    struct tokens tokens;
    char line[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "name %064d %s\n", 0, cases[i].times);
        assert_int_equal(tokens_read(&tokens, file("tokens", line), &text), cases[i].result);
        if (cases[i].result == HERMES_OK)
            tokens_free(&tokens);
    }
}

static void a_line_without_an_end_is_named_and_not_read_for_good(void **state)
{
    (void)state;
    struct error_text text;
    struct rules rules;
    struct tokens tokens;
    assert_int_equal(tokens_read(&tokens, "/dev/zero", &text), HERMES_EINVALID);
    assert_non_null(strstr(text.bytes, "line 1 is too long"));
    assert_int_equal(rules_read(&rules, "/dev/zero", &text), HERMES_EINVALID);
    assert_non_null(strstr(text.bytes, "line 1 is too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_has_its_right),
        cmocka_unit_test(rules_are_a_union),
        cmocka_unit_test(without_rules_all_may_do_everything),
        cmocka_unit_test(what_is_no_rule_is_named_by_its_line),
        cmocka_unit_test(a_secret_is_known_by_its_hash_alone),
        cmocka_unit_test(a_tokens_times_are_dates),
        cmocka_unit_test(a_line_without_an_end_is_named_and_not_read_for_good),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
