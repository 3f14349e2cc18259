/* A group's page in memory of the test's own, and members of it. */
#ifndef TESTS_UNIT_GROUP_PAGE_H
#define TESTS_UNIT_GROUP_PAGE_H

#include "test.h"

#include <sys/mman.h>

#include "group/group.h"
#include "group/record.h"

enum { SLOTS = GROUP_SLOTS_MIN, MASK = SLOTS - 1, SPAN = SLOTS * 64 };

static inline struct group_page *new_page(uint64_t position, unsigned most, const char *dead_letter)
{
    size_t bytes = group_page_bytes(SLOTS);
    struct group_page *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    group_page_init(page, SLOTS, 7, 1, position, dead_letter);
    atomic_store(&page->max_deliveries, most);
    return page;
}

static inline void drop_page(struct group_page *page)
{
    munmap(page, group_page_bytes(SLOTS));
}

static inline struct group_member new_member(struct group_page *page, unsigned index, bool at_most_once)
{
    struct group_member member;
    group_give_line(page, index, 100 + index, 0);
    assert_int_equal(
        group_member_init(&member, page, group_page_bytes(SLOTS), index, 100 + index, at_most_once), 0);
    return member;
}

/* A message that became available again is handed out. */
static inline bool given_again(struct group_member *member, uint64_t *position, uint16_t *claim)
{
    if (!group_again(member, position, claim))
        return false;
    assert_int_equal(group_hand_out(member, *position, claim), 0);
    return true;
}

/* Under the claim that a member got first. */
static inline int ack(struct group_member *member, uint64_t position)
{
    return group_ack(member, position, group_first_claim(member));
}

static inline int nack(struct group_member *member, uint64_t position)
{
    return group_nack(member, position, group_first_claim(member));
}

static inline int renew(struct group_member *member, uint64_t position)
{
    return group_renew(member, position, group_first_claim(member));
}

#endif
