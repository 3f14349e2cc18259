#include "test.h"

#include <inttypes.h>

#include "hermes/message.h"

enum { LINE = 8192 };

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t count = 0;
    if (hex[0] == '-')
        return 0;
    for (; hex[0] != 0 && hex[1] != 0; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        bytes[count++] = (uint8_t)value;
    }
    return count;
}

/* The vectors come from a program of another language that knows nothing of this code. */
static void vectors_agree(void **state)
{
    (void)state;
    FILE *file = fopen(SOURCE_DIR "/tests/vectors/messages.txt", "r");
    assert_non_null(file);
    static char line[LINE], payload_hex[LINE], encoded_hex[LINE];
    static _Alignas(8) uint8_t payload[LINE], encoded[LINE], ours[LINE];
    unsigned lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned type, flags;
        uint64_t sequence, timestamp;
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%u %u %" SCNu64 " %" SCNu64 " %8191s %8191s", &type, &flags, &sequence,
                                &timestamp, payload_hex, encoded_hex),
                         6);
        size_t length = from_hex(payload_hex, payload), total = from_hex(encoded_hex, encoded);
        hermes_header_t *header = (hermes_header_t *)ours;
        memcpy(ours + HERMES_HEADER_BYTES, payload, length);
        int rc = flags ? hermes_message_encode(header, payload, length, sequence, timestamp)
                       : hermes_message_encode_plain(header, length, sequence, timestamp);
        assert_int_equal(rc, 0);
        assert_int_equal(total, length + HERMES_HEADER_BYTES);
        assert_memory_equal(ours, encoded, total);
        assert_int_equal(hermes_message_verify((hermes_header_t *)encoded, encoded + 32, total), 0);
        lines++;
    }
    fclose(file);
    assert_true(lines >= 40);
}

/* Each bit of a message, flipped, is noticed. */
static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    _Alignas(8) uint8_t message[32 + 67];
    memset(message, 'x', sizeof message);
    hermes_message_encode((hermes_header_t *)message, message + 32, 67, 5, 99);
    for (size_t bit = 0; bit < sizeof message * 8; bit++) {
        message[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_true(hermes_message_verify((hermes_header_t *)message, message + 32, sizeof message) < 0);
        message[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(hermes_message_verify((hermes_header_t *)message, message + 32, sizeof message), 0);
}

static void restamp_keeps_the_checksum_right(void **state)
{
    (void)state;
    uint64_t seed = 7;
    _Alignas(8) uint8_t message[32 + 300];
    for (unsigned round = 0; round < 300; round++) {
        hermes_header_t *header = (hermes_header_t *)message;
        for (unsigned i = 0; i < round; i++)
            message[32 + i] = (uint8_t)test_random(&seed);
        hermes_message_encode(header, message + 32, round, test_random(&seed), test_random(&seed));
        hermes_message_restamp(header, test_random(&seed), test_random(&seed));
        assert_int_equal(hermes_message_verify(header, message + 32, sizeof message), 0);
        /* A payload that was damaged before stays detectably damaged. */
        if (round > 0) {
            message[32 + round / 2] ^= 1;
            hermes_message_restamp(header, 1, 2);
            assert_int_equal(hermes_message_verify(header, message + 32, sizeof message), HERMES_ECHECKSUM);
        }
    }
}

static void bad_headers_are_named(void **state)
{
    (void)state;
    hermes_header_t good, bad;
    assert_int_equal(hermes_message_encode(&good, "", HERMES_PAYLOAD_MAX + 1, 1, 1), HERMES_ETOOLARGE);
    hermes_message_encode(&good, "abcd", 4, 1, 1);
    assert_int_equal(hermes_message_decode(&good, 36), 0);
    assert_int_equal(hermes_message_decode(&good, 35), HERMES_EMALFORMED);
    assert_int_equal(hermes_message_decode(&good, 31), HERMES_EMALFORMED);
    bad = good;
    bad.magic++;
    assert_int_equal(hermes_message_decode(&bad, 36), HERMES_EMALFORMED);
    bad = good;
    bad.version = 2;
    assert_int_equal(hermes_message_decode(&bad, 36), HERMES_EVERSION);
    bad = good;
    bad.flags |= 2;
    assert_int_equal(hermes_message_decode(&bad, 36), HERMES_EMALFORMED);
    bad = good;
    bad.length = HERMES_PAYLOAD_MAX + 1;
    assert_int_equal(hermes_message_decode(&bad, SIZE_MAX), HERMES_ETOOLARGE);
}

static void topic_names(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof name);
    name[299] = 0;
    assert_int_equal(hermes_topic_name_check(name), HERMES_ENAME);
    name[128] = 0;
    assert_int_equal(hermes_topic_name_check(name), HERMES_ENAME);
    name[127] = 0;
    assert_int_equal(hermes_topic_name_check(name), 0);
    static const char *const bad[] = {"", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "\xc3\xa4", "a:b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(hermes_topic_name_check(bad[i]), HERMES_ENAME);
    assert_int_equal(hermes_topic_name_check(NULL), HERMES_ENAME);
    assert_int_equal(hermes_topic_name_check("market.quotes_1-x"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(restamp_keeps_the_checksum_right),
        cmocka_unit_test(bad_headers_are_named),
        cmocka_unit_test(topic_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
