/* Where a client finds its broker: URLs, what is wrong with them, and lists. */
#include "test.h"

#include "io/places.h"

static struct places places;
static struct error_text text;

static void expect_refused(const char *url, int code, const char *words)
{
    text.bytes[0] = 0;
    if (places_parse(url, &places, &text) != code || strstr(text.bytes, words) == NULL)
        fail_msg("'%s': %s", url, text.bytes);
}

static void test_each_kind(void **state)
{
    (void)state;
    static const struct {
        const char *url, *path;
        bool streams;
    } known[] = {
        {"shm:/a/b", "/a/b", false},          {"unix:/a/b", "/a/b", false},
        {"unix:///a/b", "/a/b", false},       {"a/b,c?d", "a/b,c?d", false},
        {"unix:/a,b", "/a,b", false},         {"unix:/a/b?shm=no", "/a/b", true},
        {"tcp://localhost:7000", NULL, true}, {"tcp://127.0.0.1:1", NULL, true},
        {"tcp://[::1]:65535", NULL, true},    {"tls://localhost:7000", NULL, true},
        {"tls://[::1]:7000", NULL, true},     {"tcp://[::1]:7000?shm=no", NULL, true},
        {"tls://a:1?shm=no", NULL, true},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (places_parse(known[i].url, &places, &text) != 0)
            fail_msg("%s", text.bytes);
        assert_int_equal(places.count, 1);
        assert_int_equal(places.streams, known[i].streams);
        assert_int_equal(places.at[0].stays, strstr(known[i].url, "?shm=no") != NULL);
        if (known[i].path != NULL)
            assert_string_equal(places.at[0].path, known[i].path);
        else
            assert_null(places.at[0].path);
    }
}

static void test_says_what_is_wrong_where(void **state)
{
    (void)state;
    expect_refused("", HERMES_EINVALID, "path");
    expect_refused("unix:", HERMES_EINVALID, "path");
    expect_refused("unix:?shm=no", HERMES_EINVALID, "path");
    expect_refused("unix:/a?shm=yes", HERMES_EINVALID, "shm=no");
    expect_refused("tcp://host:7000?shm=yes", HERMES_EINVALID, "shm=no");
    expect_refused("tcp://", HERMES_EINVALID, "port");
    expect_refused("tcp://host", HERMES_EINVALID, "port is missing");
    expect_refused("tcp://host:", HERMES_EINVALID, "port is missing");
    expect_refused("tcp://host:x", HERMES_EINVALID, "not a number");
    expect_refused("tcp://host:70x", HERMES_EINVALID, "not a number");
    expect_refused("tcp://host:65536", HERMES_EINVALID, "65535");
    expect_refused("tcp://host:0", HERMES_EINVALID, "port 0");
    expect_refused("tcp://:7000", HERMES_EINVALID, "host is missing");
    expect_refused("tcp://[]:7000", HERMES_EINVALID, "host is missing");
    expect_refused("tcp://::1:7000", HERMES_EINVALID, "brackets");
    expect_refused("tcp://[::1]", HERMES_EINVALID, "port is missing");
    expect_refused("tcp://host:7000/topic", HERMES_EINVALID, "not a number");
    expect_refused("http://host:7000", HERMES_ENOTSUP, "tcp://HOST:PORT");
    expect_refused("tls://host", HERMES_EINVALID, "'tls://host' is not tls://HOST:PORT: the port is missing");
    expect_refused("tls://::1:7000", HERMES_EINVALID, "brackets");
    expect_refused("ssl://host:7000", HERMES_ENOTSUP, "tls://HOST:PORT");
    static char longest[PLACES_BYTES + 1];
    memset(longest, 'x', sizeof longest - 1);
    expect_refused(longest, HERMES_ETOOLARGE, "path");
}

static void test_lists(void **state)
{
    (void)state;
    assert_int_equal(places_parse("tcp://a:1,tcp://[::1]:2,unix:/c,d?shm=no", &places, &text), 0);
    assert_int_equal(places.count, 3);
    assert_true(places.streams);
    assert_string_equal(places.at[1].url, "tcp://[::1]:2");
    assert_string_equal(places.at[2].path, "/c,d");
    assert_false(places.encrypted);
    assert_int_equal(places_parse("tls://a:1,unix:/b?shm=no,tls://c:2", &places, &text), 0);
    assert_true(places.encrypted);
    assert_true(places.at[2].encrypted);
    assert_false(places.at[1].encrypted);
    assert_int_equal(places_parse("unix:/a,shm:/b", &places, &text), 0);
    assert_int_equal(places.count, 2);
    assert_false(places.streams);
    expect_refused("unix:/a,tcp://b:1", HERMES_EINVALID, "share memory");
    expect_refused("tls://a:1,tcp://b:2", HERMES_EINVALID, "'tcp://b:2' beside tls://");
    expect_refused("tcp://b:2,unix:/a?shm=no,tls://a:1", HERMES_EINVALID, "'tcp://b:2' beside tls://");
    expect_refused("tcp://a:1,tcp://b", HERMES_EINVALID, "tcp://b");
    expect_refused("tcp://a:1,", HERMES_EINVALID, "not a number");
    expect_refused(
        "tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1,tcp://a:1",
        HERMES_ELIMIT, "8");
}

static void test_the_environment_names_it(void **state)
{
    (void)state;
    setenv("HERMES_URL", "tcp://a:1", 1);
    assert_int_equal(places_parse(NULL, &places, &text), 0);
    assert_true(places.streams);
    assert_int_equal(places_parse("shm:", &places, &text), 0);
    assert_false(places.streams);
    setenv("HERMES_URL", "", 1);
    setenv("HERMES_HOME", "/a", 1);
    assert_int_equal(places_parse(NULL, &places, &text), 0);
    assert_string_equal(places.at[0].path, "/a/broker.sock");
}

static void test_names_are_looked_up(void **state)
{
    (void)state;
    assert_int_equal(places_parse("tcp://127.0.0.1:7,tcp://[::1]:7", &places, &text), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(place_look_up(&places.at[i], &text), 0);
        assert_int_equal(places.at[i].count, 1);
        assert_true(tcp_is_loopback(&places.at[i].addresses[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_says_what_is_wrong_where),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_the_environment_names_it),
        cmocka_unit_test(test_names_are_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
