/* What a group's record says of its page, and a page that is made anew from it. */
#include "test.h"

#include <sys/mman.h>

#include "base/crc32.h"
#include "group/record.h"

enum { SLOTS = GROUP_SLOTS_MIN, MASK = SLOTS - 1 };
static const struct group_place far = {1 << 20, 1 << 14};

static struct group_page *new_page(const char *dead_letter)
{
    size_t bytes = group_page_bytes(SLOTS);
    struct group_page *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    group_page_init(page, SLOTS, 7, 1, 0, dead_letter);
    return page;
}

static void drop_page(struct group_page *page)
{
    munmap(page, group_page_bytes(SLOTS));
}

static struct group_member new_member(struct group_page *page, unsigned line)
{
    struct group_member member;
    group_give_line(page, line, 100 + line, 0);
    assert_int_equal(group_member_init(&member, page, group_page_bytes(SLOTS), line, 100 + line, false), 0);
    return member;
}

/* Messages of 64 bytes, the first of them at 0 with sequence 1. */
static void claim(struct group_member *member, uint64_t first, uint64_t count)
{
    for (uint64_t at = first * 64; at < (first + count) * 64; at += 64) {
        assert_int_equal(group_claim(member, at), GROUP_MINE);
        group_passed(member, at + 64, at / 64 + 1);
    }
}

static struct group_record take(struct group_page *page)
{
    struct group_record record = {.slots = SLOTS};
    assert_int_equal(group_record_take(&record, page, MASK), 0);
    return record;
}

/* A member that was slow stored an old cursor. What was done behind it was told to be done. */
static void test_what_stands_behind_an_old_cursor_is_not_forgotten(void **state)
{
    (void)state;
    struct group_page *page = new_page("");
    struct group_member a = new_member(page, 0);
    claim(&a, 0, 10);
    assert_int_equal(group_ack(&a, 8 * 64, group_first_claim(&a)), 0);
    assert_int_equal(group_ack(&a, 2 * 64, group_first_claim(&a)), 0);
    group_set_edge(page, 5 * 64, 5);
    struct group_record record = take(page);
    assert_int_equal(record.cursor, 5 * 64);
    struct group_page *fresh = new_page("");
    group_record_restore(&record, fresh, MASK, far);
    struct group_member b = new_member(fresh, 0);
    for (uint64_t at = 5 * 64; at < 10 * 64; at += 64)
        assert_int_equal(group_claim(&b, at), GROUP_TAKEN);
    unsigned again = 0;
    uint64_t position;
    uint16_t taken;
    group_passed(&b, 10 * 64, 10);
    for (; group_again(&b, &position, &taken); again++)
        assert_true(position != 8 * 64 && position != 2 * 64);
    assert_int_equal(again, 8);
    group_record_release(&record);
    drop_page(fresh);
    drop_page(page);
}

/* A log that lost its end: nothing there exists, and what comes there is new. */
static void test_what_the_log_has_lost_is_cut(void **state)
{
    (void)state;
    struct group_page *page = new_page("");
    struct group_member a = new_member(page, 0);
    claim(&a, 0, 10);
    atomic_store(&page->lost, 3);
    atomic_store(&page->lost_through, 9);
    assert_true(group_page_fits(page, MASK, 10 * 64));
    assert_false(group_page_fits(page, MASK, 9 * 64));
    atomic_store(&page->cursor, 2 * 64); /* nor does an old cursor make it fit */
    assert_false(group_page_fits(page, MASK, 9 * 64));
    atomic_store(&page->cursor, 10 * 64);
    struct group_record record = take(page);
    struct group_page *fresh = new_page("");
    group_record_restore(&record, fresh, MASK, (struct group_place){4 * 64, 4});
    assert_true(group_page_fits(fresh, MASK, 4 * 64));
    assert_int_equal(atomic_load(&fresh->cursor), 4 * 64);
    assert_int_equal(atomic_load(&fresh->cursor_sequence), 4);
    assert_int_equal(atomic_load(&fresh->lost_through), 4);
    assert_int_equal(atomic_load(&fresh->lost), 3);
    struct group_member b = new_member(fresh, 1);
    claim(&b, 4, 6);
    group_record_release(&record);
    drop_page(fresh);
    drop_page(page);
}

/* Claims of before are known to be that. */
static void test_generations_go_on(void **state)
{
    (void)state;
    struct group_page *page = new_page("");
    uint32_t former = 0;
    for (unsigned i = 0; i < 5; i++) {
        (void)new_member(page, i);
        former = atomic_load(&page->members[i].generation);
    }
    struct group_record record = take(page);
    struct group_page *fresh = new_page("");
    group_record_restore(&record, fresh, MASK, far);
    (void)new_member(fresh, 0);
    uint32_t ahead =
        (atomic_load(&fresh->members[0].generation) + GROUP_GENERATIONS - former) % GROUP_GENERATIONS;
    assert_true(ahead > 1 && ahead < GROUP_GENERATIONS / 2); /* more may have come than the record knows */
    group_record_release(&record);
    drop_page(fresh);
    drop_page(page);
}

static void test_what_was_given_out_often_enough_is_dead(void **state)
{
    (void)state;
    struct group_record_entry entries[] = {
        {0, 1, ENTRY_AVAILABLE}, {64, 2, ENTRY_AVAILABLE}, {128, 2, ENTRY_DEAD}};
    struct group_record record = {.slots = SLOTS,
                                  .cursor = 192,
                                  .cursor_sequence = 3,
                                  .max_deliveries = 2,
                                  .dead = 1,
                                  .count = 3,
                                  .dead_letter = "letters",
                                  .entries = entries};
    struct group_page *page = new_page("letters");
    group_record_restore(&record, page, MASK, far);
    assert_int_equal(group_state_of(atomic_load(&page->slot[0])), GROUP_AVAILABLE);
    assert_int_equal(group_state_of(atomic_load(&page->slot[1])), GROUP_DEAD);
    assert_int_equal(group_state_of(atomic_load(&page->slot[2])), GROUP_DEAD);
    assert_int_equal(atomic_load(&page->dead), 2);
    drop_page(page);
}

/* The record of a former version: what it does not know is nothing. */
static void test_a_record_of_version_1(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char path[128];
    struct error_text text;
    snprintf(path, sizeof path, "%s/record", directory);
    struct group_record record = {.topic_id = 3, .slots = SLOTS, .floor = 64, .cursor = 128}, read;
    assert_int_equal(group_record_write(&record, path, &text), 0);
    uint8_t bytes[GROUP_RECORD_HEADER_BYTES];
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    assert_int_equal(bytes[4], 2);
    bytes[4] = 1;
    uint32_t crc = crc32_update(0, bytes, 316);
    memcpy(bytes + 316, &crc, sizeof crc);
    assert_int_equal(group_record_decode(&read, bytes, sizeof bytes), 0);
    assert_int_equal(read.floor, 64);
    assert_int_equal(read.lost_through, 0);
    group_record_release(&read);
    bytes[4] = 3;
    crc = crc32_update(0, bytes, 316);
    memcpy(bytes + 316, &crc, sizeof crc);
    assert_int_equal(group_record_decode(&read, bytes, sizeof bytes), HERMES_EVERSION);
    test_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_stands_behind_an_old_cursor_is_not_forgotten),
        cmocka_unit_test(test_what_the_log_has_lost_is_cut),
        cmocka_unit_test(test_generations_go_on),
        cmocka_unit_test(test_what_was_given_out_often_enough_is_dead),
        cmocka_unit_test(test_a_record_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
