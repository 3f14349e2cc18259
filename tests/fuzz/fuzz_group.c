/* Records from the disk, and pages that a member scribbled on: whatever stands there, nothing leaves its
 * memory, and everything ends. */
#include <stdlib.h>
#include <string.h>

#include "group/group.h"
#include "group/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { SLOTS = GROUP_SLOTS_MIN, MASK = SLOTS - 1 };

static struct group_page *new_page(uint32_t slots)
{
    size_t bytes = (group_page_bytes(slots) + 4095) & ~(size_t)4095;
    struct group_page *page = aligned_alloc(4096, bytes);
    if (page == NULL)
        abort();
    return memset(page, 0, bytes);
}

static void visit(void *context, uint64_t position, uint64_t word)
{
    struct group_page *page = context;
    if (word % 5 == 0)
        (void)group_give_up(page, MASK, position, word);
}

static void restore(const struct group_record *record)
{
    if (record->slots == 0 || record->slots > SLOTS)
        return;
    struct group_page *page = new_page(record->slots);
    group_page_init(page, record->slots, record->topic_id, record->page_id, record->floor,
                    record->dead_letter);
    group_record_restore(record, page, record->slots - 1,
                         (struct group_place){record->cursor, record->cursor_sequence});
    (void)group_advance(page, record->slots - 1);
    free(page);
}

static void scribble(const uint8_t *bytes, size_t size)
{
    size_t room = group_page_bytes(SLOTS);
    struct group_page *page = new_page(SLOTS);
    struct group_member member;
    uint32_t slots;
    uint64_t position = 0;
    uint16_t claim = 0;
    group_page_init(page, SLOTS, 1, 1, 64, "dead");
    group_give_line(page, 3, 5, 0);
    bool good = group_member_init(&member, page, room, 3, 5, false) == 0;
    /* Each ten bytes: a word, and where it goes: settings, positions, lines or slots. */
    for (; size >= 10; bytes += 10, size -= 10) {
        static const size_t starts[] = {64, 128, 192, 256, 320, 4096, GROUP_HEADER_BYTES};
        size_t at = starts[bytes[8] % 7] + 8 * (size_t)bytes[9];
        memcpy((uint8_t *)page + at, bytes, 8);
        if (bytes[9] % 4 != 0)
            continue;
        (void)group_advance(page, MASK);
        group_visit(page, MASK, visit, page);
        if (!good)
            continue;
        if (group_claim(&member, group_start(&member)) == GROUP_MINE)
            group_passed(&member, group_start(&member) + 64, 1);
        if (group_again(&member, &position, &claim) && group_hand_out(&member, position, &claim) == 0)
            (void)group_ack(&member, position, claim);
        (void)group_nack(&member, position + 64, group_first_claim(&member));
        (void)group_renew(&member, position, claim);
        group_leave(page, MASK, bytes[8]);
    }
    struct group_record record = {.slots = SLOTS};
    (void)group_record_take(&record, page, MASK);
    group_record_release(&record);
    (void)group_page_check(page, room, &slots);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct group_record record;
    if (group_record_decode(&record, bytes, size) == 0) {
        restore(&record);
        group_record_release(&record);
    }
    scribble(bytes, size);
    return 0;
}
