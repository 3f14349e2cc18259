/* Times and durations as people write them. */
#include "test.h"

#include "cli/when.h"

static const uint64_t now = 1764156845123456789u; /* 2025-11-26T11:34:05.123456789Z */

static void assert_time(const char *text, uint64_t expected)
{
    uint64_t ns = 1;
    int rc = when_time(text, now, &ns);
    if (rc != 0 || ns != expected)
        fail_msg("%s: %d, %llu in place of %llu", text, rc, (unsigned long long)ns,
                 (unsigned long long)expected);
}

static void dates_times_and_what_is_relative_are_understood(void **state)
{
    (void)state;
    assert_time("0", 0);
    assert_time("1764156845123456789", now);
    assert_time("18446744073709551615", UINT64_MAX);
    assert_time("now", now);
    assert_time("-5m", now - 300000000000u);
    assert_time("-1h30m", now - 5400000000000u);
    assert_time("-250ms", now - 250000000u);
    assert_time("-0", now);
    assert_time("1970-01-01", 0);
    assert_time("2025-11-26", 1764115200000000000u);
    assert_time("2024-02-29", 1709164800000000000u);
    assert_time("2025-11-26T11:34", 1764156840000000000u);
    assert_time("2025-11-26 11:34:05", 1764156845000000000u);
    assert_time("2025-11-26T11:34:05.5Z", 1764156845500000000u);
    assert_time("2025-11-26T11:34:05.123456789", now);
    assert_time("2025-11-26T12:34:05.123456789+01:00", now);
    assert_time("2025-11-26T06:04:05.123456789-05:30", now);
    assert_time("2012-06-21T09:30:00", 1340271000000000000u);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "--5m",
                                        "-5",
                                        "-5x",
                                        "-5m ",
                                        "yesterday",
                                        "now ",
                                        "Now",
                                        "18446744073709551616",
                                        "1e9",
                                        "12.5",
                                        "+5m",
                                        "0x10",
                                        "1969-12-31",
                                        "1970-01-01T00:00:00+00:01",
                                        "2262-01-01",
                                        "2025-13-01",
                                        "2025-00-01",
                                        "2025-02-29",
                                        "2025-04-31",
                                        "2025-1-1",

                                        "2025-11-26T",
                                        "2025-11-26T24:00",
                                        "2025-11-26T11",
                                        "2025-11-26T11:60",
                                        "2025-11-26T11:34:60",
                                        "2025-11-26T11:34:05.",
                                        "2025-11-26T11:34:05.1234567890",
                                        "2025-11-26Z",
                                        "2025-11-26T11:34+1",
                                        "2025-11-26T11:34 ",
                                        "-99999999999w",
                                        "-3000w",
                                        " 2025-11-26"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t ns;
        if (when_time(wrong[i], now, &ns) != HERMES_EINVALID)
            fail_msg("'%s' was taken for a time", wrong[i]);
    }
}

static void durations_have_units(void **state)
{
    uint64_t ns;
    (void)state;
    assert_int_equal(when_duration("90s", &ns), 0);
    assert_int_equal(ns, 90000000000u);
    assert_int_equal(when_duration("1w2d", &ns), 0);
    assert_int_equal(ns, 9 * 86400000000000u);
    assert_int_equal(when_duration("0", &ns), 0);
    assert_int_equal(ns, 0);
    static const char *const wrong[] = {
        "", "s", "5", "5m3", "-5m", "1.5s", "30501w", "99999999999999999999s", "0 "};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (when_duration(wrong[i], &ns) != HERMES_EINVALID)
            fail_msg("'%s' was taken for a duration", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_times_and_what_is_relative_are_understood),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
