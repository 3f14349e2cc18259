/* Datagrams in pieces: which go together, and what comes out of whatever came. */
#include "test.h"

#include "mirror/segments.h"

enum { MANY = 200 };

static struct mirror_packet packets[MANY];
static uint8_t bytes[SEGMENTS_PIECE_BYTES];

static void fill(uint32_t length)
{
    memset(packets, 0, sizeof packets);
    for (int i = 0; i < MANY; i++)
        packets[i].length = length;
}

static void those_that_are_alike_go_together(void **state)
{
    (void)state;
    fill(500);
    assert_int_equal(segments_join(packets, 1), 1);
    assert_int_equal(segments_join(packets, 7), 7);
    assert_int_equal(segments_join(packets, MANY), SEGMENTS_JOINED_MAX);
    fill(DATAGRAM_BYTES_MAX);
    assert_int_equal(segments_join(packets, MANY), SEGMENTS_BYTES_MAX / DATAGRAM_BYTES_MAX);
}

static void a_shorter_one_is_the_last(void **state)
{
    (void)state;
    fill(500);
    packets[3].length = 499;
    assert_int_equal(segments_join(packets, 10), 4);
    packets[4].length = 1;
    assert_int_equal(segments_join(packets + 3, 7), 2);
}

static void a_longer_one_begins_anew(void **state)
{
    (void)state;
    fill(500);
    packets[3].length = 501;
    assert_int_equal(segments_join(packets, 10), 3);
    assert_int_equal(segments_join(packets + 3, 7), 2);
}

static void each_place_has_its_own(void **state)
{
    (void)state;
    fill(500);
    packets[2].to.bytes[3] = 1;
    packets[3].to.bytes[3] = 1;
    packets[5].to_group = true;
    assert_int_equal(segments_join(packets, 10), 2);
    assert_int_equal(segments_join(packets + 2, 8), 2);
    assert_int_equal(segments_join(packets + 4, 6), 1);
    packets[6].to_group = true; /* whatever stands there as an address */
    packets[6].to.bytes[3] = 9;
    assert_int_equal(segments_join(packets + 5, 5), 2);
}

/* All of them lie within, one behind the other, none is empty. Returns how many. */
static uint32_t split(size_t length, size_t each)
{
    /* Of just that length: what is read beyond it is seen. */
    uint8_t *piece = malloc(length > 0 ? length : 1), *at = piece;
    struct segments segments = {.bytes = piece, .left = length, .each = each};
    const uint8_t *datagram;
    size_t datagram_bytes;
    uint32_t count = 0;
    memcpy(piece, bytes, length);
    while (segments_next(&segments, &datagram, &datagram_bytes)) {
        assert_ptr_equal(datagram, at);
        assert_true(datagram_bytes > 0 && (size_t)(datagram - piece) + datagram_bytes <= length);
        assert_memory_equal(datagram, bytes + (at - piece), datagram_bytes);
        at += datagram_bytes;
        count++;
    }
    if (count < SEGMENTS_SPLIT_MAX)
        assert_int_equal(at - piece, length);
    free(piece);
    return count;
}

static void what_came_is_split_as_it_was_joined(void **state)
{
    (void)state;
    assert_int_equal(split(0, 0), 0);
    assert_int_equal(split(0, 7), 0);
    assert_int_equal(split(1456, 0), 1);
    assert_int_equal(split(1456, 1456), 1);
    assert_int_equal(split(44 * 1456, 1456), 44);
    assert_int_equal(split(44 * 1456 - 1455, 1456), 44);
    assert_int_equal(split(1457, 1456), 2);
}

static void sizes_that_nobody_joins_stay_within_bounds(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 47, 48, 1455, 1456, 4159, 65535, 65536};
    static const size_t sizes[] = {0, 1, 2, 3, 47, 48, 511, 512, 65535, 65536, SIZE_MAX, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            assert_true(split(lengths[i], sizes[k]) <= SEGMENTS_SPLIT_MAX);
    assert_int_equal(split(65536, 1), SEGMENTS_SPLIT_MAX);
}

int main(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_are_alike_go_together),
        cmocka_unit_test(a_shorter_one_is_the_last),
        cmocka_unit_test(a_longer_one_begins_anew),
        cmocka_unit_test(each_place_has_its_own),
        cmocka_unit_test(what_came_is_split_as_it_was_joined),
        cmocka_unit_test(sizes_that_nobody_joins_stay_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
