/* A message as a line of JSON, from whoever writes one. */
#include "test.h"

#include "cli/json.h"
#include "cli/record.h"

static struct record record;
static struct error_text told;

/* The line is copied to the end of a block of its own: what reads behind it is found by valgrind and
 * sanitizers. */
static int parse(const char *line, size_t length)
{
    static char *copy;
    free(copy);
    copy = malloc(length + 1);
    assert_non_null(copy);
    char *start = copy + 1;
    memcpy(start, line, length);
    return record_parse(start, length, &record, &told);
}

static void assert_payload(const char *line, const char *payload, size_t length, uint64_t timestamp)
{
    int rc = parse(line, strlen(line));
    if (rc != 0)
        fail_msg("%s: %s", line, told.bytes);
    assert_int_equal(record.length, length);
    assert_memory_equal(record.payload, payload, length);
    assert_int_equal(record.timestamp, timestamp);
}

static void text_and_base64_are_payloads(void **state)
{
    (void)state;
    assert_payload("{\"payload\":\"hello\"}", "hello", 5, 0);
    assert_payload(" { \"payload\" : \"\" } ", "", 0, 0);
    assert_payload("{\"payload_base64\":\"//4A\"}", "\xff\xfe\0", 3, 0);
    assert_payload("{\"payload_base64\":\"/w==\"}", "\xff", 1, 0);
    assert_payload("{\"payload\":\"aGVsbG8=\",\"encoding\":\"base64\"}", "hello", 5, 0);
    assert_payload("{\"encoding\":\"base64\",\"payload\":\"aGVsbG8=\"}", "hello", 5, 0);
    assert_payload("{\"encoding\":\"text\",\"payload\":\"aGVsbG8=\"}", "aGVsbG8=", 8, 0);
    assert_payload(
        "{\"topic\":\"t\",\"sequence\":7,\"timestamp\":1764156845123456789,\"length\":2,\"payload\":\"ab\"}",
        "ab", 2, 1764156845123456789u);
    assert_payload(
        "{\"x\":[1,-2.5e+3,{\"y\":null,\"z\":[]}],\"w\":{},\"v\":true,\"payload\":\"ok\",\"u\":false}", "ok",
        2, 0);
}

static void escapes_become_what_they_stand_for(void **state)
{
    (void)state;
    assert_payload("{\"payload\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t", 8, 0);
    assert_payload("{\"payload\":\"a\\u0000b\"}", "a\0b", 3, 0);
    assert_payload("{\"payload\":\"\\u00e4\\u20AC\\ud83d\\ude00\"}", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                   9, 0);
    assert_payload("{\"pay\\u006coad\":\"x\"}", "x", 1, 0);
}

static void what_is_no_record_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "\"payload\"",
                                        "[]",
                                        "{",
                                        "{}",
                                        "{\"payload\"}",
                                        "{\"payload\":}",
                                        "{\"payload\":1}",
                                        "{\"payload\":null}",
                                        "{\"payload\":\"a\"",
                                        "{\"payload\":\"a}",
                                        "{\"payload\":\"a\"}}",
                                        "{\"payload\":\"a\"} x",
                                        "{\"payload\":\"a\",}",
                                        "{,\"payload\":\"a\"}",
                                        "{\"payload\":\"a\" \"b\":1}",
                                        "{payload:\"a\"}",
                                        "{'payload':'a'}",
                                        "{\"payload\":\"a\",\"payload\":\"b\"}",
                                        "{\"payload\":\"a\",\"payload_base64\":\"\"}",
                                        "{\"payload\":\"\\x41\"}",
                                        "{\"payload\":\"\\u12\"}",
                                        "{\"payload\":\"\\ud83d\"}",
                                        "{\"payload\":\"\\ude00\"}",
                                        "{\"payload\":\"\\ud83d\\u0041\"}",
                                        "{\"payload\":\"\\",
                                        "{\"payload\":\"a\tb\"}",
                                        "{\"payload_base64\":\"a\"}",
                                        "{\"payload_base64\":\"====\"}",
                                        "{\"payload_base64\":\"a=bc\"}",
                                        "{\"payload_base64\":\"aGVsbG9=\"}",
                                        "{\"payload_base64\":\"aG!=\"}",
                                        "{\"payload\":\"a\",\"encoding\":\"rot13\"}",
                                        "{\"payload\":\"a\",\"timestamp\":-1}",
                                        "{\"payload\":\"a\",\"timestamp\":1.5}",
                                        "{\"payload\":\"a\",\"timestamp\":\"1\"}",
                                        "{\"payload\":\"a\",\"timestamp\":9223372036854775808}",
                                        "{\"payload\":\"a\",\"x\":01}",
                                        "{\"payload\":\"a\",\"x\":[1}",
                                        "{\"payload\":\"a\",\"x\":[1,]}",
                                        "{\"payload\":\"a\",\"x\":-}",
                                        "{\"payload\":\"a\",\"x\":1.}",
                                        "{\"payload\":\"a\",\"x\":nul}"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (parse(wrong[i], strlen(wrong[i])) == 0 || told.bytes[0] == 0)
            fail_msg("%s was taken for a record", wrong[i]);
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    char line[4096] = "{\"payload\":\"a\",\"x\":";
    size_t used = strlen(line);
    memset(line + used, '[', 2000);
    memset(line + used + 2000, ']', 2000);
    line[used + 4000] = '}';
    assert_int_equal(parse(line, used + 4001), HERMES_EMALFORMED);
}

/* Whatever stands there: no byte behind the line is looked at, and none of what is given lies outside it. */
static void damaged_lines_hurt_nobody(void **state)
{
    static const char line[] =
        "{\"x\":[1,{\"y\":\"\\u00e4\"}],\"encoding\":\"base64\",\"payload\":\"aGVsbG8=\"}";
    static const char noise[] = "{}[]\"\\u:,0=e-.\x80 n";
    uint64_t seed = 20261126;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char damaged[sizeof line];
        memcpy(damaged, line, sizeof line);
        for (uint64_t changes = test_random(&seed) % 4; changes > 0; changes--)
            damaged[test_random(&seed) % (sizeof line - 1)] = noise[test_random(&seed) % sizeof noise];
        size_t length = test_random(&seed) % sizeof line;
        if (parse(damaged, length) == 0)
            assert_true(record.length <= length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_base64_are_payloads), cmocka_unit_test(escapes_become_what_they_stand_for),
        cmocka_unit_test(what_is_no_record_is_refused), cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(damaged_lines_hurt_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
