/* Addresses of mirrors, and what stands behind them. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "io/udp.h"

static struct error_text text;

static void what_stands_behind_an_address_is_told_from_it(void **state)
{
    (void)state;
    char base[UDP_URL_BYTES];
    struct udp_group group;
    assert_int_equal(udp_split("udp://192.0.2.1:7400", base, &group, &text), 0);
    assert_string_equal(base, "udp://192.0.2.1:7400");
    assert_int_equal(group.address.ss_family, 0);
    assert_int_equal(
        udp_split("udp://192.0.2.1:7400?group=239.1.2.3:7401&interface=eth1&ttl=4", base, &group, &text), 0);
    assert_string_equal(base, "udp://192.0.2.1:7400");
    const struct sockaddr_in *four = (const void *)&group.address;
    assert_int_equal(four->sin_family, AF_INET);
    assert_int_equal(ntohs(four->sin_port), 7401);
    assert_string_equal(group.interface, "eth1");
    assert_int_equal(group.hops, 4);
    assert_int_equal(udp_split("udp://[2001:db8::1]:7400?group=[ff15::7]:1", base, &group, &text), 0);
    assert_int_equal(group.address.ss_family, AF_INET6);
    assert_int_equal(udp_split("tls://a.example:1?interface=eth1", base, &group, &text), 0);
    assert_string_equal(base, "tls://a.example:1");
    assert_string_equal(group.interface, "eth1");
}

static void what_is_no_group_interface_or_ttl_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "udp://192.0.2.1:7400?",
        "udp://192.0.2.1:7400?group=",
        "udp://192.0.2.1:7400?group=239.1.2.3",
        "udp://192.0.2.1:7400?group=239.1.2.3:0",
        "udp://192.0.2.1:7400?group=192.0.2.7:7401",
        "udp://192.0.2.1:7400?group=name.example:7401",
        "udp://192.0.2.1:7400?group=[2001:db8::1]:7401",
        "udp://192.0.2.1:7400?interface=eth1",
        "udp://192.0.2.1:7400?ttl=1",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&ttl=0",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&ttl=256",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&ttl=4x",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&interface=",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&interface=a-name-that-is-too-long",
        "udp://192.0.2.1:7400?group=239.1.2.3:7401&",
        "udp://192.0.2.1:7400?groups=239.1.2.3:7401",
        "udp://192.0.2.1?group=239.1.2.3:7401",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(udp_check(wrong[i], &text), HERMES_EINVALID);
    assert_int_equal(udp_check("udp://192.0.2.1:7400?group=239.1.2.3:7401&ttl=255", &text), 0);
}

static void the_own_address_is_that_of_the_way_there(void **state)
{
    (void)state;
    struct sockaddr_storage there = {0}, own;
    struct sockaddr_in *four = (void *)&there;
    const struct sockaddr_in *mine = (const void *)&own;
    four->sin_family = AF_INET;
    four->sin_port = htons(7400);
    four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(udp_own(&there, &own), 0);
    assert_int_equal(mine->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    assert_int_equal(mine->sin_port, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_behind_an_address_is_told_from_it),
        cmocka_unit_test(what_is_no_group_interface_or_ttl_is_refused),
        cmocka_unit_test(the_own_address_is_that_of_the_way_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
