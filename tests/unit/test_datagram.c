/* What a mirror's datagrams look like, and that none gets past datagram_check() that is not as it should be.
 */
#include "test.h"

#include "wire/datagram.h"

enum { LINE_BYTES = 8192 };

static const uint32_t session = 0xABCD0001, receiver = 0x401;

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t length = hex[0] == '-' ? 0 : strlen(hex) / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return length;
}

static void check_vector(const char *line)
{
    static char name[64], body_hex[LINE_BYTES], all_hex[LINE_BYTES];
    _Alignas(8) static uint8_t made[DATAGRAM_BYTES_MAX], wanted[DATAGRAM_BYTES_MAX];
    unsigned type, of_session, of_receiver;
    unsigned long position, timestamp, number;
    struct datagram d;
    assert_int_equal(sscanf(line, "%63s %u %lu %lu %lu %u %u %8191s %8191s", name, &type, &position,
                            &timestamp, &number, &of_session, &of_receiver, body_hex, all_hex),
                     9);
    size_t body = from_hex(body_hex, made + DATAGRAM_HEAD_BYTES), length = from_hex(all_hex, wanted);
    assert_int_equal(length,
                     datagram_finish(made, (enum datagram_type)type, position, timestamp, number, of_session,
                                     of_receiver, (uint32_t)body, DATAGRAM_GUARDED_BY_CRC));
    assert_memory_equal(made, wanted, length);
    assert_int_equal(datagram_check(wanted, length, DATAGRAM_GUARDED_BY_CRC, &d), 0);
    assert_int_equal(d.head.header.sequence, position);
    assert_int_equal(d.head.number, number);
}

static void vectors_are_made_and_taken(void **state)
{
    (void)state;
    static char line[LINE_BYTES];
    int count = 0;
    FILE *file = fopen(SOURCE_DIR "/tests/vectors/datagrams.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (line[0] != '#') {
            check_vector(line);
            count++;
        }
    fclose(file);
    assert_int_equal(count, 11);
}

/* A datagram with that body; then what datagram_check() says. */
static int try(enum datagram_type type, uint64_t position, const void *body, size_t bytes)
{
    _Alignas(8) static uint8_t all[2 * DATAGRAM_BYTES_MAX];
    struct datagram d;
    if (bytes > 0)
        memcpy(all + DATAGRAM_HEAD_BYTES, body, bytes);
    uint32_t length = datagram_finish(all, type, position, 1, 1, session, receiver, (uint32_t)bytes,
                                      DATAGRAM_GUARDED_BY_CRC);
    return datagram_check(all, length, DATAGRAM_GUARDED_BY_CRC, &d);
}

static struct datagram_join good_join = {
    .protocol = DATAGRAM_PROTOCOL, .topic_id = 1, .nonce = 2, .window_bytes = 65536};
static struct datagram_setup good_setup = {.protocol = DATAGRAM_PROTOCOL, .slice_bytes = 1408, .epoch = 1};
static struct datagram_status good_status = {.window_bytes = 65536};

#define TRY_WITH(good, type, field, value, expected)                                                         \
    do {                                                                                                     \
        __typeof__(good) wrong = good;                                                                       \
        wrong.field = (value);                                                                               \
        assert_int_equal(try(type, 64, &wrong, sizeof wrong), expected);                                     \
    } while (0)

static void every_field_has_its_bounds(void **state)
{
    (void)state;
    assert_int_equal(try(DATAGRAM_JOIN, 64, &good_join, sizeof good_join), 0);
    assert_int_equal(try(DATAGRAM_JOIN, DATAGRAM_LIVE, &good_join, sizeof good_join), 0);
    TRY_WITH(good_join, DATAGRAM_JOIN, protocol, 2, HERMES_EVERSION);
    TRY_WITH(good_join, DATAGRAM_JOIN, reserved, 1, HERMES_EMALFORMED);
    TRY_WITH(good_join, DATAGRAM_JOIN, padding[31], 1, HERMES_EMALFORMED);
    TRY_WITH(good_join, DATAGRAM_JOIN, window_bytes, 0, HERMES_EMALFORMED);
    TRY_WITH(good_join, DATAGRAM_JOIN, window_bytes, 63, HERMES_EMALFORMED);
    TRY_WITH(good_join, DATAGRAM_JOIN, window_bytes, 2ull * DATAGRAM_WINDOW_MAX, HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_SETUP, 64, &good_setup, sizeof good_setup), 0);
    assert_int_equal(try(DATAGRAM_SETUP, DATAGRAM_LIVE, &good_setup, sizeof good_setup), HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, protocol, 0, HERMES_EVERSION);
    TRY_WITH(good_setup, DATAGRAM_SETUP, slice_bytes, 448, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, slice_bytes, 4160, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, slice_bytes, 1400, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, first_position, 1, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, start_position, UINT64_MAX - 63, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, epoch_position, 32, HERMES_EMALFORMED);
    TRY_WITH(good_setup, DATAGRAM_SETUP, reserved, 9, HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_STATUS, 64, &good_status, sizeof good_status), 0);
    TRY_WITH(good_status, DATAGRAM_STATUS, window_bytes, UINT64_MAX, HERMES_EMALFORMED);
    TRY_WITH(good_status, DATAGRAM_STATUS, flags, 4, HERMES_EMALFORMED);
    TRY_WITH(good_status, DATAGRAM_STATUS, reserved, 4, HERMES_EMALFORMED);
    struct datagram_heartbeat heartbeat = {.state = DATAGRAM_ENDED};
    assert_int_equal(try(DATAGRAM_HEARTBEAT, 64, &heartbeat, sizeof heartbeat), 0);
    TRY_WITH(heartbeat, DATAGRAM_HEARTBEAT, state, 2, HERMES_EMALFORMED);
    struct datagram_gone gone = {64};
    assert_int_equal(try(DATAGRAM_GONE, 64, &gone, sizeof gone), 0);
    TRY_WITH(gone, DATAGRAM_GONE, asked_position, 65, HERMES_EMALFORMED);
}

static void lengths_are_exact(void **state)
{
    (void)state;
    static const uint8_t zeros[DATAGRAM_SLICE_MAX + 64];
    const size_t exact[] = {sizeof(struct datagram_join),
                            sizeof(struct datagram_challenge),
                            sizeof(struct datagram_setup),
                            sizeof(struct datagram_heartbeat),
                            sizeof(struct datagram_status),
                            sizeof(struct datagram_gone),
                            0};
    const enum datagram_type types[] = {DATAGRAM_JOIN,      DATAGRAM_CHALLENGE, DATAGRAM_SETUP,
                                        DATAGRAM_HEARTBEAT, DATAGRAM_STATUS,    DATAGRAM_GONE,
                                        DATAGRAM_UNKNOWN};
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        for (size_t bytes = 0; bytes < 200; bytes++)
            if (bytes != exact[i])
                assert_int_equal(try(types[i], 64, zeros, bytes), HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_DATA, 64, zeros, 0), HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_DATA, 64, zeros, 65), HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_DATA, 64, zeros, DATAGRAM_SLICE_MAX), 0);
    assert_int_equal(try(DATAGRAM_DATA, 64, zeros, DATAGRAM_SLICE_MAX + 64), HERMES_ETOOLARGE);
    assert_int_equal(try(DATAGRAM_DATA, 65, zeros, 64), HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_DATA, DATAGRAM_LIVE, zeros, 64), HERMES_EMALFORMED);
    for (int type = 0; type < 256; type++)
        if (type < DATAGRAM_JOIN || type > DATAGRAM_UNKNOWN)
            assert_int_equal(try((enum datagram_type)type, 64, zeros, 64), HERMES_EPROTOCOL);
}

static void ranges_ascend_and_do_not_touch(void **state)
{
    (void)state;
    struct datagram_nak nak = {.ranges = {{64, 128}, {192, 64}, {1 << 20, 1 << 20}}};
    const size_t fixed = offsetof(struct datagram_nak, ranges), each = sizeof nak.ranges[0];
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed + 3 * each), 0);
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed), HERMES_EMALFORMED);
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed + 3 * each - 8), HERMES_EMALFORMED);
    nak.ranges[1].position = 128;
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed + 3 * each), HERMES_EMALFORMED);
    nak.ranges[1] = (struct datagram_range){192, UINT64_MAX - 63};
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed + 3 * each), HERMES_EMALFORMED);
    nak.ranges[1] = (struct datagram_range){192, 0};
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, fixed + 3 * each), HERMES_EMALFORMED);
    for (uint64_t i = 0; i < DATAGRAM_RANGES_MAX; i++)
        nak.ranges[i] = (struct datagram_range){i * 128, 64};
    assert_int_equal(try(DATAGRAM_NAK, 64, &nak, sizeof nak), 0);
    static uint8_t one_more[sizeof nak + 16];
    assert_int_equal(try(DATAGRAM_NAK, 64, one_more, sizeof one_more), HERMES_EMALFORMED);
}

static void a_bit_more_or_less_is_noticed(void **state)
{
    (void)state;
    _Alignas(8) uint8_t all[DATAGRAM_HEAD_BYTES + 64] = {0};
    struct datagram d;
    uint32_t length = datagram_finish(all, DATAGRAM_DATA, 64, 1, 1, session, 0, 64, DATAGRAM_GUARDED_BY_CRC);
    for (uint32_t bit = 0; bit < length * 8; bit++) {
        all[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(datagram_check(all, length, DATAGRAM_GUARDED_BY_CRC, &d) < 0);
        all[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (uint32_t cut = 0; cut < length; cut++)
        assert_true(datagram_check(all, cut, DATAGRAM_GUARDED_BY_CRC, &d) < 0);
    assert_int_equal(datagram_check(all, length, DATAGRAM_GUARDED_BY_CRC, &d), 0);
    assert_int_equal(datagram_check(all, length, DATAGRAM_GUARDED_BY_TAG, &d), HERMES_ECHECKSUM);
    length = datagram_finish(all, DATAGRAM_DATA, 64, 1, 1, session, 0, 64, DATAGRAM_GUARDED_BY_TAG);
    assert_int_equal(datagram_check(all, length, DATAGRAM_GUARDED_BY_TAG, &d), 0);
    assert_int_equal(datagram_check(all, length, DATAGRAM_GUARDED_BY_CRC, &d), HERMES_ECHECKSUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_made_and_taken),
        cmocka_unit_test(every_field_has_its_bounds),
        cmocka_unit_test(lengths_are_exact),
        cmocka_unit_test(ranges_ascend_and_do_not_touch),
        cmocka_unit_test(a_bit_more_or_less_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
