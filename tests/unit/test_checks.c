/* What hermes doctor makes of a machine, of files that a test wrote. */
#include "test.h"

#include <sys/stat.h>

#include "cli/checks.h"

static char root[] = "/tmp/hermes-test-XXXXXX";

static const struct check *check_of(const char *name)
{
    static struct check check;
    for (unsigned i = 0; check_name(i) != NULL; i++)
        if (strcmp(check_name(i), name) == 0) {
            check_run(root, i, &check);
            return &check;
        }
    fail_msg("no check %s", name);
    return NULL;
}

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void what_is_not_there_is_unknown_and_hurts_nobody(void **state)
{
    (void)state;
    assert_int_equal(check_of("clock")->state, CHECK_UNKNOWN);
    assert_int_equal(check_of("governor")->state, CHECK_UNKNOWN);
    assert_int_equal(check_of("huge pages")->state, CHECK_UNKNOWN);
    assert_int_equal(check_of("RemoveIPC")->state, CHECK_GOOD); /* no systemd */
    assert_int_equal(check_of("shared memory")->state, CHECK_BAD);
    for (unsigned i = 0; check_name(i) != NULL; i++) {
        struct check check;
        check_run(root, i, &check);
        assert_true(strlen(check.meaning) > 20);
        assert_true(strlen(check.found) > 0);
    }
}

static void the_clock_wants_an_invariant_counter_as_its_source(void **state)
{
    (void)state;
    put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu constant_tsc nonstop_tsc sse\n");
    put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
    assert_int_equal(check_of("clock")->state, CHECK_GOOD);
    put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    put("/sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet tsc acpi_pm\n");
    assert_int_equal(check_of("clock")->state, CHECK_NOTE);
    assert_non_null(strstr(check_of("clock")->remedy, "echo tsc"));
    put("/proc/cpuinfo", "flags\t\t: fpu sse\n");
    assert_non_null(strstr(check_of("clock")->found, "not invariant"));
}

static void a_governor_that_saves_power_is_named(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    assert_int_equal(check_of("governor")->state, CHECK_GOOD);
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
    assert_int_equal(check_of("governor")->state, CHECK_NOTE);
    assert_string_equal(check_of("governor")->found, "powersave on 1 of 2 processors");
    assert_non_null(strstr(check_of("governor")->remedy, "cpupower"));
}

static void huge_pages_of_shared_memory_may_be_off(void **state)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    (void)state;
    put(path, "always within_size [advise] never deny force\n");
    assert_int_equal(check_of("huge pages")->state, CHECK_GOOD);
    put(path, "always within_size advise [never] deny force\n");
    assert_int_equal(check_of("huge pages")->state, CHECK_NOTE);
    put(path, "what is this\n");
    assert_int_equal(check_of("huge pages")->state, CHECK_UNKNOWN);
}

static void a_full_shared_memory_is_told(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof path, "%s/dev", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/dev/shm", root);
    assert_int_equal(symlink("/proc", path), 0); /* a file system that has no room, and is no tmpfs */
    const struct check *check = check_of("shared memory");
    assert_int_equal(check->state, CHECK_BAD);
    assert_non_null(strstr(check->remedy, "mount"));
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_unknown_and_hurts_nobody),
        cmocka_unit_test(the_clock_wants_an_invariant_counter_as_its_source),
        cmocka_unit_test(a_governor_that_saves_power_is_named),
        cmocka_unit_test(huge_pages_of_shared_memory_may_be_off),
        cmocka_unit_test(a_full_shared_memory_is_told),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
