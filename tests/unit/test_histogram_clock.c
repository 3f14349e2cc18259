#include "test.h"

#include "base/clock.h"
#include "base/histogram.h"

static struct histogram h;

static void quantiles_are_within_a_64th(void **state)
{
    (void)state;
    histogram_reset(&h);
    for (uint64_t i = 1; i <= 1000000; i++)
        histogram_record(&h, i);
    for (int percent = 1; percent <= 100; percent++) {
        uint64_t exact = (uint64_t)percent * 10000, got = histogram_quantile(&h, percent / 100.0);
        assert_true(got >= exact && got <= exact + exact / 64 + 1);
    }
    assert_int_equal(h.minimum, 1);
    assert_int_equal(h.maximum, 1000000);
    assert_int_equal(h.count, 1000000);
}

static void buckets_are_continuous(void **state)
{
    (void)state;
    unsigned last = 0;
    for (uint64_t value = 0; value < 1u << 20; value++) {
        unsigned bucket = histogram_bucket(value);
        assert_true(bucket == last || bucket == last + 1);
        last = bucket;
    }
    assert_true(histogram_bucket(UINT64_MAX) < HISTOGRAM_BUCKETS);
}

static void exports_hgrm(void **state)
{
    (void)state;
    char line[256] = "";
    histogram_reset(&h);
    histogram_record(&h, 100);
    histogram_record(&h, 200);
    FILE *file = tmpfile();
    histogram_write_hgrm(&h, file);
    rewind(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_non_null(strstr(line, "1/(1-Percentile)"));
    unsigned rows = 0;
    double value, share;
    while (fgets(line, sizeof line, file) != NULL)
        rows += sscanf(line, "%lf %lf", &value, &share) == 2;
    assert_int_equal(rows, 2);
    fclose(file);
}

static void clock_agrees_and_never_steps_back(void **state)
{
    (void)state;
    hermes_clock_t clock;
    hermes_clock_init(&clock);
    uint64_t last = 0, end = clock_monotonic_ns() + 100000000;
    while (clock_monotonic_ns() < end) {
        uint64_t before = clock_realtime_ns(), now = hermes_clock_now(&clock), after = clock_realtime_ns();
        assert_true(now >= last);
        /* Generous: the machine may take the CPU away between two readings. */
        assert_true(now + 1000000 > before && now < after + 1000000);
        last = now;
    }
}

/* The slow path follows a clock that was set; here the clock object is what is wrong. */
static void clock_follows_a_step(void **state)
{
    (void)state;
    hermes_clock_t clock;
    hermes_clock_init(&clock);
    clock.base_ns += 5000000000u;
    uint64_t now = hermes_clock_synchronise(&clock);
    assert_true(now < clock_realtime_ns() + 1000000);
    clock.base_ns -= 7000000000u;
    now = hermes_clock_synchronise(&clock);
    assert_true(now + 1000000 > clock_realtime_ns());
    clock = (hermes_clock_t){0}; /* no usable counter */
    now = hermes_clock_now(&clock);
    assert_true(now <= clock_realtime_ns());
}

static void errors_have_names(void **state)
{
    (void)state;
    for (int code = 0; code >= HERMES_EEXPIRED; code--) {
        assert_non_null(strstr(hermes_error_name(code), "HERMES_"));
        assert_true(strlen(hermes_strerror(code)) > 3);
    }
    assert_string_equal(hermes_error_name(-1000), "HERMES_EUNKNOWN");
    assert_string_equal(hermes_error_name(7), "HERMES_EUNKNOWN");
    assert_string_equal(hermes_error_name(HERMES_EFENCED), "HERMES_EFENCED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_a_64th),
        cmocka_unit_test(buckets_are_continuous),
        cmocka_unit_test(exports_hgrm),
        cmocka_unit_test(clock_agrees_and_never_steps_back),
        cmocka_unit_test(clock_follows_a_step),
        cmocka_unit_test(errors_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
