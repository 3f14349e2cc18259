#include "test.h"

#include <zlib.h>

#include "base/crc32.h"

static uint8_t bytes[70000];

static int fill(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)test_random(&seed);
    return 0;
}

/* Every length up to some pages, at several alignments, begun and continued: as zlib. */
static void agrees_with_zlib(void **state)
{
    (void)state;
    for (size_t length = 0; length < 5000; length++)
        for (size_t offset = 0; offset < 3; offset++) {
            uint32_t begun = offset == 2 ? 0xDEADBEEF : 0;
            assert_int_equal(crc32_update(begun, bytes + offset, length),
                             crc32(begun, bytes + offset, (uInt)length));
        }
    assert_int_equal(crc32_update(0, bytes, 65536), crc32(0, bytes, 65536));
}

/* A header's words but for the last, which has the length. */
struct words {
    uint64_t word, sequence, timestamp;
};

static uint32_t message(uint32_t length, const struct words *words)
{
    return crc32_message(bytes + 3, length, words->word, words->sequence, words->timestamp);
}

static void message_is_payload_then_header(void **state)
{
    (void)state;
    struct words words;
    memcpy(&words, bytes + 69000, sizeof words);
    for (uint32_t length = 0; length < 3000; length++) {
        uint8_t header[28];
        memcpy(header, &words, sizeof words);
        memcpy(header + sizeof words, &length, sizeof length);
        assert_int_equal(message(length, &words), crc32(crc32(0, bytes + 3, length), header, 28));
    }
}

static void delta_does_not_depend_on_payload(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        struct words was, is;
        memcpy(&was, bytes + round * 56, sizeof was);
        memcpy(&is, bytes + round * 56 + 28, sizeof is);
        is.word = was.word;
        uint32_t delta = crc32_header_delta(was.sequence ^ is.sequence, was.timestamp ^ is.timestamp);
        assert_int_equal(message(round, &was) ^ delta, message(round, &is));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_zlib),
        cmocka_unit_test(message_is_payload_then_header),
        cmocka_unit_test(delta_does_not_depend_on_payload),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
