/* Where a broker and its clients meet, by the environment and the user (the linker puts our geteuid and
 * getpwuid in place of the system's: --wrap). */
#include "test.h"

#include <pwd.h>

#include "io/location.h"

static uid_t user = 12345;
static struct passwd *entry; /* the user's; NULL: there is none */

uid_t __wrap_geteuid(void);
struct passwd *__wrap_getpwuid(uid_t uid);

uid_t __wrap_geteuid(void)
{
    return user;
}

struct passwd *__wrap_getpwuid(uid_t uid)
{
    assert_int_equal(uid, user);
    return entry;
}

static int without_an_environment(void **state)
{
    static const char *const names[] = {"HERMES_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    setenv("XDG_RUNTIME_DIR", "/run/user/12345", 1);
    user = 12345;
    entry = NULL;
    return 0;
}

static void expect(const char *socket, const char *data, const char *config)
{
    struct location location;
    struct error_text text = {{0}};
    int rc = location_find(&location, &text);
    if (rc < 0)
        fail_msg("%s", text.bytes);
    assert_string_equal(location.socket, socket);
    assert_string_equal(location.data, data);
    assert_string_equal(location.config, config);
}

static void hermes_home_has_everything(void **state)
{
    (void)state;
    setenv("HERMES_HOME", "/srv/h", 1);
    expect("/srv/h/broker.sock", "/srv/h/data", "/srv/h/hermes.conf");
    user = 0;
    expect("/srv/h/broker.sock", "/srv/h/data", "/srv/h/hermes.conf");
}

static void without_home_it_is_what_the_system_knows_of_the_user(void **state)
{
    static char there[] = "/home/somebody";
    struct passwd found = {.pw_dir = there};
    (void)state;
    entry = &found;
    for (int i = 0; i < 2; i++) {
        expect("/run/user/12345/hermes/broker.sock", "/home/somebody/.local/state/hermes",
               "/home/somebody/.config/hermes/hermes.conf");
        setenv("HOME", "", 1); /* and an empty one is as none */
    }
    setenv("HOME", "/elsewhere", 1);
    expect("/run/user/12345/hermes/broker.sock", "/elsewhere/.local/state/hermes",
           "/elsewhere/.config/hermes/hermes.conf");
}

/* Least of all /tmp, where anybody could have put a configuration. */
static void without_any_home_it_is_said_and_no_place_is_made_up(void **state)
{
    static char nothing[] = "", relative[] = "somewhere";
    struct passwd homes[] = {{.pw_dir = NULL}, {.pw_dir = nothing}, {.pw_dir = relative}};
    struct location location;
    (void)state;
    for (size_t i = 0; i <= sizeof homes / sizeof homes[0]; i++) {
        struct error_text text = {{0}};
        entry = i == 0 ? NULL : &homes[i - 1];
        assert_int_equal(location_find(&location, &text), HERMES_ENOTFOUND);
        assert_non_null(strstr(text.bytes, "set HOME, or HERMES_HOME"));
    }
}

/* Another path for each who looks: no broker and client would meet. */
static void a_relative_path_is_refused_in_hermes_home_and_passed_over_elsewhere(void **state)
{
    struct location location;
    struct error_text text = {{0}};
    (void)state;
    setenv("HERMES_HOME", "here", 1);
    assert_int_equal(location_find(&location, &text), HERMES_EINVALID);
    assert_string_equal(text.bytes, "HERMES_HOME is 'here': it must be an absolute path");
    unsetenv("HERMES_HOME");
    setenv("HOME", "/home/somebody", 1);
    setenv("XDG_STATE_HOME", "state", 1);
    setenv("XDG_CONFIG_HOME", "./settings", 1);
    expect("/run/user/12345/hermes/broker.sock", "/home/somebody/.local/state/hermes",
           "/home/somebody/.config/hermes/hermes.conf");
    setenv("HOME", "somewhere", 1);
    assert_int_equal(location_find(&location, &text), HERMES_ENOTFOUND);
}

static void root_needs_no_home(void **state)
{
    (void)state;
    user = 0;
    unsetenv("XDG_RUNTIME_DIR");
    expect("/run/hermes/broker.sock", "/var/lib/hermes", "/etc/hermes/hermes.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(hermes_home_has_everything, without_an_environment),
        cmocka_unit_test_setup(without_home_it_is_what_the_system_knows_of_the_user, without_an_environment),
        cmocka_unit_test_setup(without_any_home_it_is_said_and_no_place_is_made_up, without_an_environment),
        cmocka_unit_test_setup(a_relative_path_is_refused_in_hermes_home_and_passed_over_elsewhere,
                               without_an_environment),
        cmocka_unit_test_setup(root_needs_no_home, without_an_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
