/* Sealed datagrams: what is genuine opens, once, and nothing else does. */
#include "test.h"

#include <openssl/crypto.h>

#include "mirror/replay.h"
#include "mirror/seal.h"
#include "wire/datagram.h"

enum { LINE_BYTES = 8192, BODY_BYTES = 64, SEALED_BYTES = DATAGRAM_HEAD_BYTES + BODY_BYTES + 16 };

static const uint64_t key_numbers = (uint64_t)1 << SEAL_KEY_NUMBERS;

struct box {
    _Alignas(8) uint8_t bytes[DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES + 8];
    size_t length;
};

/* OpenSSL's, in this program. */
static uint64_t allocations;

static void *allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations++;
    return malloc(size);
}

static void *reallocate(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations++;
    return realloc(old, size);
}

static void release(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

static struct sealing *make(uint16_t id, uint16_t member, uint32_t members_max)
{
    struct seal_grant grant = {.id = id, .member = member};
    struct sealing *sealing;
    for (uint8_t i = 0; i < SEAL_SECRET_BYTES; i++)
        grant.secret[i] = i;
    assert_int_equal(sealing_make(&sealing, &grant, members_max), 0);
    return sealing;
}

static struct box plain_of(enum datagram_type type, uint64_t number, uint32_t body_bytes)
{
    struct box box;
    for (uint32_t i = 0; i < body_bytes; i++)
        box.bytes[DATAGRAM_HEAD_BYTES + i] = (uint8_t)i;
    box.length = datagram_finish(box.bytes, type, 4096, 1000, number, 0xABCD0001, 0, body_bytes,
                                 DATAGRAM_GUARDED_BY_TAG);
    return box;
}

static struct box sealed_by(struct sealing *sealing, uint64_t number)
{
    struct box box = plain_of(DATAGRAM_DATA, number, BODY_BYTES);
    box.length = (size_t)sealing_seal(sealing, box.bytes, box.length);
    assert_int_equal(box.length, SEALED_BYTES);
    return box;
}

/* What comes of it, in a copy. */
static int64_t opens(struct sealing *sealing, const struct box *box)
{
    struct box copy = *box;
    return sealing_unseal(sealing, copy.bytes, copy.length);
}

static const int64_t opened = SEALED_BYTES - DATAGRAM_TAG_BYTES;

/* ---- vectors ---- */

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t length = strlen(hex) / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return length;
}

static void check_key(const char *line)
{
    char secret[128], key[128], salt[128];
    uint8_t wanted[SEAL_KEY_BYTES + SEAL_NONCE_BYTES];
    struct seal_grant grant = {0};
    struct seal_key made;
    unsigned member;
    unsigned long generation;
    assert_int_equal(
        sscanf(line, "key %127s %hu %u %lu %127s %127s", secret, &grant.id, &member, &generation, key, salt),
        6);
    from_hex(secret, grant.secret);
    from_hex(key, wanted);
    from_hex(salt, wanted + SEAL_KEY_BYTES);
    assert_int_equal(seal_derive(&grant, (uint16_t)member, generation, &made), 0);
    assert_memory_equal(&made, wanted, sizeof wanted);
}

static void check_sealed(const char *line)
{
    static char secret[128], plain[LINE_BYTES], sealed[LINE_BYTES];
    struct seal_grant grant = {0};
    struct sealing *seals, *unseals;
    struct box box, wanted;
    assert_int_equal(
        sscanf(line, "sealed %127s %hu %hu %8191s %8191s", secret, &grant.id, &grant.member, plain, sealed),
        5);
    from_hex(secret, grant.secret);
    box.length = from_hex(plain, box.bytes);
    wanted.length = from_hex(sealed, wanted.bytes);
    assert_int_equal(sealing_make(&seals, &grant, 1), 0);
    bool by_sender = grant.member == SEAL_SENDER;
    grant.member = by_sender ? 9 : SEAL_SENDER;
    assert_int_equal(sealing_make(&unseals, &grant, 1), 0);
    if (!by_sender)
        assert_int_equal(sealing_admit(unseals, 7), 0);
    size_t length = box.length;
    assert_int_equal(sealing_seal(seals, box.bytes, length), wanted.length);
    assert_memory_equal(box.bytes, wanted.bytes, wanted.length);
    assert_int_equal(sealing_id(wanted.bytes, wanted.length), grant.id);
    assert_int_equal(sealing_unseal(unseals, wanted.bytes, wanted.length), length);
    from_hex(plain, box.bytes);
    assert_memory_equal(wanted.bytes, box.bytes, length);
    sealing_free(seals);
    sealing_free(unseals);
}

static void vectors_are_made_and_taken(void **state)
{
    (void)state;
    static char line[LINE_BYTES];
    int keys = 0, sealed = 0;
    FILE *file = fopen(SOURCE_DIR "/tests/vectors/sealed.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        bool key = line[0] == 'k';
        (key ? check_key : check_sealed)(line);
        *(key ? &keys : &sealed) += 1;
    }
    fclose(file);
    assert_int_equal(keys, 5);
    assert_int_equal(sealed, 4);
}

/* ---- what opens ---- */

static void any_length_goes_there_and_back(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 1);
    uint64_t number = 0;
    for (uint32_t body = 0; body <= DATAGRAM_SLICE_MAX; body += body < 200 ? 1 : 61) {
        struct box plain = plain_of(DATAGRAM_DATA, ++number, body), box = plain;
        box.length = (size_t)sealing_seal(sender, box.bytes, box.length);
        assert_int_equal(box.length, plain.length + DATAGRAM_TAG_BYTES);
        assert_true(body < 8 ||
                    memcmp(box.bytes + DATAGRAM_HEAD_BYTES, plain.bytes + DATAGRAM_HEAD_BYTES, body) != 0);
        assert_int_equal(sealing_unseal(receiver, box.bytes, box.length), plain.length);
        assert_memory_equal(box.bytes, plain.bytes, plain.length);
    }
    sealing_free(sender);
    sealing_free(receiver);
}

/* And the window stays where it was: the genuine one opens after all of them. */
static void no_flipped_bit_opens(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 4);
    struct box before = sealed_by(sender, 1000), box = sealed_by(sender, 1001);
    assert_int_equal(opens(receiver, &before), opened);
    for (size_t bit = 0; bit < 8 * box.length; bit++) {
        box.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(opens(receiver, &box) < 0);
        box.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(opens(receiver, &box), opened);
    assert_int_equal(sealing_counters(receiver)->opened, 2);
    assert_true(sealing_counters(receiver)->forged > 8 * (BODY_BYTES + DATAGRAM_TAG_BYTES));
    sealing_free(sender);
    sealing_free(receiver);
}

static void nothing_shorter_or_longer_opens(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 1);
    struct box box = sealed_by(sender, 1);
    memset(box.bytes + box.length, 0, sizeof box.bytes - box.length);
    for (size_t length = 0; length <= sizeof box.bytes; length++) {
        struct box other = box;
        other.length = length;
        if (length != box.length)
            assert_true(opens(receiver, &other) < 0);
    }
    assert_int_equal(opens(receiver, &box), opened);
    sealing_free(sender);
    sealing_free(receiver);
}

static void what_has_only_a_checksum_does_not_open(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 1);
    struct box box = plain_of(DATAGRAM_DATA, 1, BODY_BYTES);
    (void)datagram_finish(box.bytes, DATAGRAM_DATA, 0, 1, 1, 1, 0, BODY_BYTES, DATAGRAM_GUARDED_BY_CRC);
    assert_int_equal(opens(receiver, &box), HERMES_EMALFORMED);
    assert_int_equal(sealing_id(box.bytes, box.length), 0);
    assert_int_equal(sealing_seal(sender, box.bytes, box.length), HERMES_EMALFORMED);
    box = plain_of(DATAGRAM_DATA, 1, BODY_BYTES);
    assert_int_equal(opens(receiver, &box), HERMES_EACCESS); /* under no secret */
    sealing_free(sender);
    sealing_free(receiver);
}

static void another_secret_or_member_does_not_open(void **state)
{
    (void)state;
    struct seal_grant other_secret = {.secret = {9}, .id = 1, .member = 1};
    struct sealing *sender = make(1, SEAL_SENDER, 2), *other_id = make(2, 1, 1), *one = make(1, 1, 1), *other;
    assert_int_equal(sealing_make(&other, &other_secret, 1), 0);
    assert_int_equal(sealing_admit(sender, 1), 0);
    struct box box = sealed_by(sender, 1), said = sealed_by(one, 1);
    assert_int_equal(opens(other_id, &box), HERMES_EACCESS);
    assert_int_equal(opens(other, &box), HERMES_ECHECKSUM);
    assert_int_equal(opens(sender, &box), HERMES_EACCESS); /* its own, sent back */
    assert_int_equal(opens(one, &said), HERMES_EACCESS);
    said.bytes[offsetof(hermes_header_t, crc) + 2] = SEAL_SENDER; /* in another's name */
    assert_int_equal(opens(one, &said), HERMES_ECHECKSUM);
    said.bytes[offsetof(hermes_header_t, crc) + 2] = 1;
    assert_int_equal(opens(sender, &said), opened);
    sealing_free(sender);
    sealing_free(other_id);
    sealing_free(one);
    sealing_free(other);
}

/* ---- numbers ---- */

static void no_number_is_sealed_twice(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1);
    (void)sealed_by(sender, 7);
    for (uint64_t number = 0; number <= 7; number++) {
        struct box box = plain_of(DATAGRAM_DATA, number, BODY_BYTES);
        assert_int_equal(sealing_seal(sender, box.bytes, box.length), HERMES_EINVALID);
    }
    (void)sealed_by(sender, 8);
    sealing_free(sender);
}

/* The same bytes: what encrypts them differs in every word, so with neighbours, generations, and members. */
static void no_two_datagrams_share_a_key_stream(void **state)
{
    (void)state;
    enum { MEMBERS = 3, NUMBERS = 200, ALL = MEMBERS * NUMBERS };
    static uint8_t bodies[ALL][BODY_BYTES];
    for (uint16_t m = 0, i = 0; m < MEMBERS; m++) {
        struct sealing *sealing = make(1, m, 1);
        for (uint64_t n = 1; n <= NUMBERS; n++, i++) {
            uint64_t number = n <= NUMBERS / 2 ? n : key_numbers * 3 + n - NUMBERS * 3 / 4;
            struct box box = sealed_by(sealing, number);
            memcpy(bodies[i], box.bytes + DATAGRAM_HEAD_BYTES, BODY_BYTES);
        }
        sealing_free(sealing);
    }
    for (int i = 0; i < ALL; i++)
        for (int k = 0; k < i; k++)
            for (int at = 0; at < BODY_BYTES; at += 16)
                assert_memory_not_equal(bodies[i] + at, bodies[k] + at, 16);
}

/* Against one that remembers everything. */
static void a_window_of_numbers_is_right_about_all_that_it_remembers(void **state)
{
    (void)state;
    enum { WORDS = 3, RANGE = 2000 };
    uint64_t random = 88172645463325252;
    for (int history = 0; history < 400; history++) {
        uint64_t bits[WORDS] = {0}, latest = 0;
        static bool there[RANGE * 2];
        struct replay replay = {.words = WORDS, .seen = bits};
        memset(there, 0, sizeof there);
        assert_false(replay_is_new(&replay, 0));
        for (int i = 0; i < 400; i++) {
            uint64_t leap = test_random(&random) % 16 == 0 ? 300 : 80;
            uint64_t number = 1 + (latest > 220 ? latest - 220 : 0) + test_random(&random) % (220 + leap);
            if (number >= RANGE * 2)
                break;
            bool is_new = replay_is_new(&replay, number);
            assert_false(is_new && there[number]);
            bool remembered = number + 64 * (WORDS - 1) > latest;
            assert_false(!is_new && remembered && !there[number]);
            if (is_new && test_random(&random) % 4 != 0) { /* else it was not genuine */
                replay_mark(&replay, number);
                there[number] = true;
                latest = number > latest ? number : latest;
                assert_false(replay_is_new(&replay, number));
            }
        }
    }
}

/* Each once, in any order, over the edge of what is remembered. */
static void nothing_opens_twice(void **state)
{
    (void)state;
    enum { COUNT = 12000, REMEMBERED = 8128 };
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 1);
    struct box *all = malloc(COUNT * sizeof *all);
    assert_non_null(all);
    for (uint64_t i = 0; i < COUNT; i++)
        all[i] = sealed_by(sender, i + 1);
    for (int i = COUNT - REMEMBERED; i < COUNT; i += 2)
        assert_int_equal(opens(receiver, &all[i]), opened);
    assert_int_equal(opens(receiver, &all[COUNT - 1]), opened);
    for (int i = COUNT - 2; i >= 0; i--) {
        bool late = i % 2 == 1, old = i < COUNT - REMEMBERED - 64;
        int64_t rc = opens(receiver, &all[i]);
        if (old || (!late && i >= COUNT - REMEMBERED))
            assert_int_equal(rc, HERMES_EEXISTS);
        else if (i >= COUNT - REMEMBERED)
            assert_int_equal(rc, opened);
        assert_int_equal(opens(receiver, &all[i]), HERMES_EEXISTS);
    }
    free(all);
    sealing_free(sender);
    sealing_free(receiver);
}

static void a_key_gives_way_to_the_next_and_what_is_late_still_opens(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 1), *receiver = make(1, 1, 1);
    struct box late = sealed_by(sender, key_numbers - 2), last = sealed_by(sender, key_numbers - 1);
    struct box first = sealed_by(sender, key_numbers), second = sealed_by(sender, key_numbers + 1);
    struct box far = sealed_by(sender, 1000 * key_numbers), forged = second;
    assert_int_equal(opens(receiver, &last), opened);
    forged.bytes[offsetof(struct datagram_head, number) + 6] = 9; /* a key of long after */
    assert_int_equal(opens(receiver, &forged), HERMES_ECHECKSUM);
    assert_int_equal(opens(receiver, &first), opened);
    assert_int_equal(opens(receiver, &forged), HERMES_ECHECKSUM);
    assert_int_equal(opens(receiver, &late), opened);
    assert_int_equal(opens(receiver, &second), opened);
    assert_int_equal(opens(receiver, &far), opened);
    assert_int_equal(opens(receiver, &second), HERMES_EEXISTS);
    sealing_free(sender);
    sealing_free(receiver);
}

/* ---- members ---- */

static void a_sender_listens_to_whom_it_admits(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 2), *one = make(1, 1, 1), *two = make(1, 2, 1);
    struct box first = sealed_by(one, 1), second = sealed_by(one, 2), others = sealed_by(two, 1);
    assert_int_equal(opens(sender, &first), HERMES_EACCESS);
    assert_int_equal(sealing_admit(sender, SEAL_SENDER), HERMES_EINVALID);
    assert_int_equal(sealing_admit(one, 2), HERMES_EINVALID);
    assert_int_equal(sealing_admit(sender, 1), 0);
    assert_int_equal(sealing_admit(sender, 1), HERMES_EEXISTS);
    assert_int_equal(opens(sender, &first), opened);
    assert_int_equal(sealing_admit(sender, 2), 0);
    assert_int_equal(sealing_admit(sender, 3), HERMES_ELIMIT);
    assert_int_equal(opens(sender, &others), opened);
    sealing_dismiss(sender, 1);
    sealing_dismiss(sender, 77);
    assert_int_equal(opens(sender, &second), HERMES_EACCESS);
    assert_int_equal(opens(sender, &others), HERMES_EEXISTS);
    assert_int_equal(sealing_admit(sender, 3), 0);
    sealing_free(sender);
    sealing_free(one);
    sealing_free(two);
}

static void a_receiver_hears_others_as_they_are_heard(void **state)
{
    (void)state;
    enum { OTHERS = 4 };
    struct sealing *receiver = make(1, 100, 1 + OTHERS), *sender = make(1, SEAL_SENDER, 1);
    struct box said[OTHERS + 1], more[OTHERS + 1];
    for (uint16_t i = 0; i <= OTHERS; i++) {
        struct sealing *other = make(1, (uint16_t)(i + 1), 1);
        said[i] = sealed_by(other, 5);
        more[i] = sealed_by(other, 6);
        sealing_free(other);
    }
    struct box forged = said[OTHERS];
    forged.bytes[SEALED_BYTES - 1] ^= 1;
    assert_int_equal(opens(receiver, &forged), HERMES_ECHECKSUM); /* takes no place */
    for (int i = 0; i < OTHERS; i++) {
        assert_int_equal(opens(receiver, &said[i]), opened);
        assert_int_equal(opens(receiver, &said[i]), HERMES_EEXISTS);
        assert_int_equal(opens(receiver, &forged), i + 1 < OTHERS ? HERMES_ECHECKSUM : HERMES_EACCESS);
    }
    assert_int_equal(opens(receiver, &said[OTHERS]), HERMES_EACCESS);
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(opens(receiver, &more[i]), opened);
    struct box senders = sealed_by(sender, 1);
    assert_int_equal(opens(receiver, &senders), opened);
    sealing_dismiss(receiver, SEAL_SENDER); /* not its to say */
    senders = sealed_by(sender, 2);
    assert_int_equal(opens(receiver, &senders), opened);
    sealing_free(receiver);
    sealing_free(sender);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct sealing *sealing;
    struct seal_grant grant = {.id = 0};
    assert_int_equal(sealing_make(&sealing, &grant, 1), HERMES_EINVALID);
    grant.id = 1;
    assert_int_equal(sealing_make(&sealing, &grant, 0), HERMES_EINVALID);
    assert_int_equal(sealing_make(&sealing, &grant, SEAL_MEMBERS_MAX + 1), HERMES_EINVALID);
    sealing = make(1, SEAL_SENDER, 1);
    struct box box = plain_of(DATAGRAM_DATA, 1, BODY_BYTES);
    assert_int_equal(sealing_seal(sealing, box.bytes, DATAGRAM_HEAD_BYTES - 1), HERMES_EMALFORMED);
    assert_int_equal(sealing_seal(sealing, box.bytes, DATAGRAM_BYTES_MAX + 1), HERMES_EMALFORMED);
    sealing_free(sealing);
    sealing_free(NULL);
}

static void nothing_is_allocated_for_a_datagram(void **state)
{
    (void)state;
    struct sealing *sender = make(1, SEAL_SENDER, 2), *receiver = make(1, 1, 2), *other = make(1, 2, 1);
    struct box box = sealed_by(sender, 1), others = sealed_by(other, 1);
    assert_int_equal(opens(receiver, &box), opened);
    assert_int_equal(opens(receiver, &others), opened);
    struct box forged = sealed_by(sender, 2);
    forged.bytes[offsetof(struct datagram_head, number) + 6] = 9;
    assert_int_equal(opens(receiver, &forged), HERMES_ECHECKSUM); /* costs a key, which is forgotten */
    assert_int_not_equal(allocations, 0);
    allocations = 0;
    for (uint64_t number = 3; number < 500; number++) {
        box = sealed_by(sender, number);
        assert_int_equal(opens(receiver, &box), opened);
        others = sealed_by(other, number);
        assert_int_equal(opens(receiver, &others), opened);
        box.bytes[SEALED_BYTES - 1] ^= 1;
        assert_true(opens(receiver, &box) < 0);
    }
    assert_int_equal(allocations, 0);
    sealing_free(sender);
    sealing_free(receiver);
    sealing_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_made_and_taken),
        cmocka_unit_test(any_length_goes_there_and_back),
        cmocka_unit_test(no_flipped_bit_opens),
        cmocka_unit_test(nothing_shorter_or_longer_opens),
        cmocka_unit_test(what_has_only_a_checksum_does_not_open),
        cmocka_unit_test(another_secret_or_member_does_not_open),
        cmocka_unit_test(no_number_is_sealed_twice),
        cmocka_unit_test(no_two_datagrams_share_a_key_stream),
        cmocka_unit_test(a_window_of_numbers_is_right_about_all_that_it_remembers),
        cmocka_unit_test(nothing_opens_twice),
        cmocka_unit_test(a_key_gives_way_to_the_next_and_what_is_late_still_opens),
        cmocka_unit_test(a_sender_listens_to_whom_it_admits),
        cmocka_unit_test(a_receiver_hears_others_as_they_are_heard),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(nothing_is_allocated_for_a_datagram),
    };
    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
