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

static void message_is_payload_then_header(void **state)
{
    (void)state;
    const uint8_t *header = bytes + 69000;
    for (size_t length = 0; length < 3000; length++)
        assert_int_equal(crc32_message(bytes + 3, length, header),
                         crc32(crc32(0, bytes + 3, (uInt)length), header, 28));
}

static void delta_does_not_depend_on_payload(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        uint8_t before[28], after[28];
        uint64_t was[2], is[2];
        memcpy(before, bytes + round * 56, 28);
        memcpy(after, before, 28);
        memcpy(after + 8, bytes + round * 56 + 28, 16); /* sequence and time stamp */
        memcpy(was, before + 8, 16);
        memcpy(is, after + 8, 16);
        assert_int_equal(crc32_message(bytes, round, before) ^
                             crc32_header_delta(was[0] ^ is[0], was[1] ^ is[1]),
                         crc32_message(bytes, round, after));
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
