#include "test.h"

#include "io/channel.h"
#include "wire/wire.h"

static void headers_are_checked(void **state)
{
    (void)state;
    hermes_header_t h;
    wire_header(&h, WIRE_PING, 7, 0);
    assert_int_equal(wire_header_check(&h, 0), 0);
    h.length = 1;
    assert_int_equal(wire_header_check(&h, 0), HERMES_ETOOLARGE);
    h.length = 0;
    h.version = 9;
    assert_int_equal(wire_header_check(&h, 0), HERMES_EVERSION);
    h.version = 1;
    h.magic = 0;
    assert_int_equal(wire_header_check(&h, 0), HERMES_EPROTOCOL);
}

static void requests_have_one_size(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++)
        assert_true(wire_request_bytes((uint8_t)type) <= WIRE_REQUEST_MAX);
    assert_int_equal(wire_request_bytes(WIRE_OK), -1);
    assert_int_equal(wire_request_bytes(WIRE_PING), 0);
}

static void flows_have_their_length(void **state)
{
    (void)state;
    hermes_header_t h;
    wire_header(&h, WIRE_CREDIT, 7, sizeof(struct wire_credit));
    assert_int_equal(wire_flow_check(&h), 0);
    h.length++;
    assert_int_equal(wire_flow_check(&h), HERMES_EMALFORMED);
    wire_header(&h, WIRE_PUBLISH, 7, WIRE_FLOW_MAX);
    assert_int_equal(wire_flow_check(&h), 0);
    h.length += HERMES_FRAME_ALIGNMENT;
    assert_int_equal(wire_flow_check(&h), HERMES_ETOOLARGE);
    h.length = HERMES_FRAME_ALIGNMENT - 1;
    assert_int_equal(wire_flow_check(&h), HERMES_EMALFORMED);
    for (unsigned type = WIRE_ACK; type <= WIRE_RENEW; type++) {
        wire_header(&h, (enum wire_type)type, 7, 3 * sizeof(struct wire_ack));
        assert_int_equal(wire_flow_check(&h), 0);
        h.length--;
        assert_int_equal(wire_flow_check(&h), HERMES_EMALFORMED);
    }
    for (unsigned type = 0; type < 256; type++) /* what the broker sends is nothing that it takes */
        if (!wire_flows((uint8_t)type)) {
            wire_header(&h, (enum wire_type)type, 7, 0);
            assert_int_equal(wire_flow_check(&h), HERMES_EPROTOCOL);
            assert_true(wire_request_bytes((uint8_t)type) >= 0 || !wire_passes_descriptors((uint8_t)type));
        }
}

static void names_must_end(void **state)
{
    (void)state;
    char name[WIRE_TOPIC_BYTES];
    memset(name, 'a', sizeof name);
    assert_int_equal(wire_topic_check(name), HERMES_ENAME);
    name[5] = 0;
    assert_int_equal(wire_topic_check(name), 0);
}

static void a_grant_that_is_none_is_malformed(void **state)
{
    (void)state;
    const struct wire_mirror_grant good = {
        .topic_id = 7, .lasts_ns = 1, .url = "udp://127.0.0.1:7000", .id = 1, .member = 1};
    struct wire_mirror_grant bad = good;
    assert_int_equal(wire_mirror_grant_check(&good), 0);
    bad.id = 0;
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
    bad = good;
    bad.member = 0;
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
    bad = good;
    bad.lasts_ns = 0;
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
    bad = good;
    bad.reserved = 1;
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
    bad = good;
    memcpy(bad.url, "tcp", 3);
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
    bad = good;
    memset(bad.url + 6, 'a', sizeof bad.url - 6); /* it has no end */
    assert_int_equal(wire_mirror_grant_check(&bad), HERMES_EMALFORMED);
}

static void long_socket_paths_work(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char deep[PATH_BYTES];
    struct error_text text;
    snprintf(deep, sizeof deep, "%s/%0100d", path, 0);
    assert_int_equal(path_make_parents(deep, &text), 0);
    strcat(deep, "/broker.sock");
    struct sockaddr_un address;
    int directory;
    assert_int_equal(channel_address(deep, &address, &directory, &text), 0);
    assert_true(directory >= 0);
    assert_non_null(strstr(address.sun_path, "/broker.sock"));
    close(directory);
    struct channel *channel = calloc(1, sizeof *channel);
    assert_int_equal(channel_connect(channel, deep, 1000000000, &text), HERMES_EDISCONNECTED);
    free(channel);
    char command[PATH_BYTES + 16];
    snprintf(command, sizeof command, "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),     cmocka_unit_test(requests_have_one_size),
        cmocka_unit_test(flows_have_their_length), cmocka_unit_test(names_must_end),
        cmocka_unit_test(long_socket_paths_work),  cmocka_unit_test(a_grant_that_is_none_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
