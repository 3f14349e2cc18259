#include "test.h"

#include "broker/config.h"

static int load(const char *content, struct config *config)
{
    TEST_DIRECTORY(path);
    char file[256];
    struct error_text text = {{0}};
    snprintf(file, sizeof file, "%s/hermes.conf", path);
    FILE *stream = fopen(file, "w");
    fputs(content, stream);
    fclose(stream);
    int rc = config_load(config, file, &text);
    if (rc < 0)
        assert_true(strlen(text.bytes) > 10);
    test_remove(path);
    return rc;
}

static void settings(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(
        load("[topic]\nwindow = 1M\nsegment=2MiB\n[net]\nbackend = epoll\n[broker]\nwait = spin\n"
             "socket_mode = 0660\n[mirror]\nspin_us = 200\nrate = 10M\n",
             &config),
        0);
    assert_int_equal(config.window_bytes, 1 << 20);
    assert_int_equal(config.segment_bytes, 2 << 20);
    assert_int_equal(config.backend, POLLER_EPOLL);
    assert_int_equal(config.spin_us, UINT32_MAX);
    assert_int_equal(config.socket_mode, 0660);
    assert_int_equal(config.mirror_spin_us, 200);
    assert_int_equal(config.mirror_rate, 10 << 20);
    static const char *const bad[] = {"[topic]\nwindow = 1000\n",
                                      "[topic]\nwindow = x\n",
                                      "[net]\nbackend = kqueue\n",
                                      "[broker]\nnonsense = 1\n",
                                      "[broker]\nsocket = relative\n",
                                      "[broker]\nwait = never\n",
                                      "[broker]\nsocket_mode = 8\n",
                                      "no section\n",
                                      "[store]\nsync_interval_ms = 0\n",
                                      "[topic]\nwindow = 128M\n", /* a segment has 64M */
                                      "[topic]\nwindow = 4M\nsegment = 2M\n",
                                      "[topic]\nsegment = 66M\n",
                                      "[mirror]\nspin_us = 1000001\n",
                                      "[mirror]\nrate = 1000\n",
                                      "[mirror]\nrate = fast\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(load(bad[i], &config) < 0);
    struct error_text text;
    assert_int_equal(config_load(&config, "/nonexistent/hermes.conf", &text), HERMES_ENOTFOUND);
    assert_true(config_load(&config, "/", &text) < 0); /* what cannot be read is not empty */
}

static void limits(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(load("", &config), 0);
    assert_int_equal(config.most[HOLDS_SESSIONS], 768);
    assert_int_equal(config.most[HOLDS_SILENT], 64);
    assert_int_equal(config.most[HOLDS_MEMORY], 512 << 20);
    assert_int_equal(config.sessions_reserved, 32);
    assert_int_equal(load("[topic]\nring = 4M\n", &config), 0); /* as many rings as one topic takes */
    assert_true(config.most[HOLDS_MEMORY] > 256ull * (4 << 20));
    assert_int_equal(load("[broker]\nsessions_max = 8\n[limits]\nmemory_per_user = 1G\nrings_per_user = 7\n"
                          "groups_per_user = 6\nsilent_per_user = 5\ngreet_ms = 100\n",
                          &config),
                     0);
    assert_int_equal(config.most[HOLDS_SESSIONS], 6);
    assert_int_equal(config.most[HOLDS_MEMORY], 1 << 30);
    assert_int_equal(config.most[HOLDS_RINGS], 7);
    assert_int_equal(config.most[HOLDS_GROUPS], 6);
    assert_int_equal(config.most[HOLDS_SILENT], 5);
    assert_int_equal(config.sessions_reserved, 2);
    assert_int_equal(config.greet_ms, 100);
    static const char *const bad[] = {"[limits]\nrings_per_user = 0\n", "[limits]\nrings_per_user = many\n",
                                      "[limits]\ngreet_ms = 0\n", "[limits]\nnonsense = 1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(load(bad[i], &config) < 0);
}

static void sizes(void **state)
{
    (void)state;
    uint64_t bytes;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},        {"65536", 65536},  {"64K", 65536},
                {"4M", 4 << 20}, {"4MiB", 4 << 20}, {"1g", 1 << 30}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(config_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    static const char *const bad[] = {"",  "K", "-1", "4X", "4MM", "99999999999999999999", "99999999999999G",
                                      " 4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(config_parse_size(bad[i], &bytes), HERMES_EINVALID);
}

static void addresses(void **state)
{
    (void)state;
    struct config config;
    struct tcp_address address;
    struct error_text text;
    assert_int_equal(
        load("[net]\nlisten = tcp://127.0.0.1:1, tcp://[::1]:2\nlisten = tcp://10.0.0.1:3\n", &config), 0);
    assert_int_equal(config.listen_count, 3);
    assert_false(config.insecure);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tcp_parse(config.listen[i], &address, &text), 0);
        assert_int_equal(tcp_is_loopback(&address), i < 2);
    }
    static const char *const bad[] = {
        "[net]\nlisten = 127.0.0.1:1\n", "[net]\nlisten = unix:/tmp/x\n", "[net]\ninsecure = yes\n",
        "[net]\nlisten = tcp://1,tcp://2,tcp://3,tcp://4,tcp://5,tcp://6,tcp://7,tcp://8,"
        "tcp://9\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(load(bad[i], &config), HERMES_EINVALID);
    assert_int_equal(
        load("[mirror]\nserve = a udp://127.0.0.1:7\nadd = b.c udp://[::1]:8\nadd = d udp://host:9\n",
             &config),
        0);
    assert_int_equal(config.mirror_count, 3);
    assert_string_equal(config.mirrors[1].topic, "b.c");
    assert_string_equal(config.mirrors[1].url, "udp://[::1]:8");
    assert_true(!config.mirrors[0].follows && config.mirrors[1].follows);
    static const char *const no_mirrors[] = {
        "[mirror]\nserve = udp://127.0.0.1:7\n", "[mirror]\nadd = a\n", "[mirror]\nadd = a tcp://1.2.3.4:5\n",
        "[mirror]\nadd = a udp://1.2.3.4:0\n", "[mirror]\nadd = .a udp://1.2.3.4:5\n"};
    for (size_t i = 0; i < sizeof no_mirrors / sizeof no_mirrors[0]; i++)
        assert_int_equal(load(no_mirrors[i], &config), HERMES_EINVALID);
    static const char *const nowhere[] = {
        "tcp://",           "tcp://:1",     "tcp://1.2.3.4",       "tcp://1.2.3.4:",
        "tcp://1.2.3.4:-1", "tcp://::1:80", "tcp://1.2.3.4:65536", "tcp://[]:1",
        "tcp://1.2.3.4:1x"};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        assert_int_equal(tcp_parse(nowhere[i], &address, &text), HERMES_EINVALID);
    assert_int_equal(tcp_parse("tcp://0.0.0.0:1", &address, &text), 0);
    assert_false(tcp_is_loopback(&address));
    assert_int_equal(tcp_parse("tcp://[::]:1", &address, &text), 0);
    assert_false(tcp_is_loopback(&address));
    assert_int_equal(tcp_parse("tcp://[::ffff:127.0.0.1]:1", &address, &text), 0);
    assert_false(tcp_is_loopback(&address)); /* it may be, but is none that we know */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings), cmocka_unit_test(addresses),
                                       cmocka_unit_test(limits), cmocka_unit_test(sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
