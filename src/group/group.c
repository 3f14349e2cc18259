#include "group/group.h"

#include <stdio.h>

#include "base/wait.h"

int group_page_check(const struct group_page *page, size_t bytes, uint32_t *slots)
{
    if (bytes < GROUP_HEADER_BYTES || page->magic != GROUP_MAGIC)
        return HERMES_EMALFORMED;
    if (page->version != GROUP_VERSION)
        return HERMES_EVERSION;
    uint32_t told = *(const volatile uint32_t *)&page->slots;
    if (!group_slots_are_legal(told) || bytes < group_page_bytes(told))
        return HERMES_EMALFORMED;
    *slots = told;
    return HERMES_OK;
}

void group_page_init(struct group_page *page, uint32_t slots, uint64_t topic_id, uint64_t id,
                     uint64_t position, const char *dead_letter)
{
    snprintf(page->dead_letter, sizeof page->dead_letter, "%s", dead_letter);
    page->version = GROUP_VERSION;
    page->topic_id = topic_id;
    page->id = id;
    page->slots = slots;
    atomic_store_explicit(&page->state, GROUP_OPEN, memory_order_relaxed);
    atomic_store_explicit(&page->cursor, position, memory_order_relaxed);
    atomic_store_explicit(&page->floor, position, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    page->magic = GROUP_MAGIC;
}

int group_member_init(struct group_member *member, struct group_page *page, size_t bytes, unsigned index,
                      uint64_t id, bool at_most_once)
{
    uint32_t slots = 0;
    int rc = group_page_check(page, bytes, &slots);
    if (rc < 0)
        return rc;
    if (slots == 0 || index >= GROUP_MEMBERS)
        return HERMES_EMALFORMED;
    *member = (struct group_member){
        .page = page,
        .mask = slots - 1,
        .index = index,
        .id = id,
        .at_most_once = at_most_once,
        /* Whatever the notice is, a newcomer looks once: something may have been available for long. */
        .seen = atomic_load_explicit(&page->notice, memory_order_relaxed) - 1,
        .scan = UINT64_MAX,
    };
    return HERMES_OK;
}

static _Atomic uint64_t *slot_of(struct group_page *page, uint64_t mask, uint64_t position)
{
    return &page->slot[position >> 6 & mask];
}

static bool swap(_Atomic uint64_t *slot, uint64_t *word, uint64_t to)
{
    /* Sequentially consistent for made_room(); who sees the new state sees what led to it, and we what led to
     * the old one. */
    return atomic_compare_exchange_strong(slot, word, to);
}

void group_tell(struct group_page *page)
{
    /* Release pairs with the acquire in group_again(): who sees the notice sees what it is about. */
    atomic_fetch_add_explicit(&page->notice, 1, memory_order_release);
    futex_wake_all(&page->notice);
}

/* ---- floor and cursor ---- */

/* Messages in flight are all below this. */
static uint64_t flight_end(uint64_t floor, uint64_t cursor, uint64_t mask)
{
    uint64_t most = (mask + 1) << 6;
    return cursor <= floor ? floor : cursor - floor > most ? floor + most : cursor;
}

/* One try: false, another raised the floor meanwhile. While it stands still, what was seen below `to` holds.
 */
static bool try_advance(struct group_page *page, uint64_t mask, uint64_t *now)
{
    uint64_t floor = atomic_load_explicit(&page->floor, memory_order_acquire);
    uint64_t cursor = atomic_load_explicit(&page->cursor, memory_order_acquire);
    uint64_t end = flight_end(floor, cursor, mask), to = floor;
    for (; to < end; to += 64) {
        uint64_t word = atomic_load_explicit(slot_of(page, mask, to), memory_order_acquire);
        if (group_is_of(word, to) && group_state_of(word) != GROUP_DONE)
            break;
    }
    if (to == end && cursor > end)
        to = cursor; /* nothing is in flight, and what lies between could not be read */
    *now = to;
    /* Release pairs with the acquire in group_claim(). */
    return to == floor || atomic_compare_exchange_strong(&page->floor, &floor, to);
}

uint64_t group_advance(struct group_page *page, uint64_t mask)
{
    uint64_t floor;
    /* Who loses a try lost it to progress; only in a page that somebody scribbles on there is no end to it.
     */
    for (int i = 0; i < 64 && !try_advance(page, mask, &floor); i++)
        ;
    return floor;
}

enum group_claim group_make_room(struct group_member *member, uint64_t position)
{
    uint64_t floor = group_advance(member->page, member->mask);
    if (position < floor)
        return GROUP_TAKEN;
    if (position - floor < (member->mask + 1) << 6)
        return GROUP_MINE;
    /* Who makes room sees this, or we see the room: pairs with swap() and made_room(). */
    atomic_store(&member->page->hungry, 1);
    atomic_thread_fence(memory_order_seq_cst);
    floor = group_advance(member->page, member->mask);
    return position - floor < (member->mask + 1) << 6 ? GROUP_MINE : GROUP_NO_ROOM;
}

void group_visit(struct group_page *page, uint64_t mask, group_visit_t visit, void *context)
{
    uint64_t floor = atomic_load_explicit(&page->floor, memory_order_acquire);
    /* Acquire pairs with the release in group_passed(): the claims below it are visible. */
    uint64_t cursor = atomic_load_explicit(&page->cursor, memory_order_acquire);
    uint64_t end = flight_end(floor, cursor, mask);
    for (uint64_t at = floor; at < end; at += 64) {
        uint64_t word = atomic_load_explicit(slot_of(page, mask, at), memory_order_acquire);
        if (group_is_of(word, at) && group_state_of(word) != GROUP_DONE)
            visit(context, at, word);
    }
}

/* ---- what becomes of a claim ---- */

/* Claims the message at position if it is to be had again. */
static bool claim_again(struct group_member *member, uint64_t at, bool *dead)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, at);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    enum group_state state = group_state_of(word);
    if (!group_is_of(word, at) || (state != GROUP_AVAILABLE && state != GROUP_DEAD))
        return false;
    *dead = state == GROUP_DEAD;
    unsigned deliveries = group_deliveries_of(word);
    enum group_state to = GROUP_CLAIMED;
    if (!*dead) {
        deliveries += deliveries < GROUP_DELIVERIES_MAX;
        to = member->at_most_once ? GROUP_DONE : GROUP_CLAIMED;
    }
    if (!swap(slot, &word, group_word(at, deliveries, member->index, to)))
        return false; /* another took it */
    if (!*dead)
        atomic_fetch_add_explicit(&member->page->redelivered, 1, memory_order_relaxed);
    return true;
}

bool group_again(struct group_member *member, uint64_t *position, bool *dead)
{
    struct group_page *page = member->page;
    for (;;) {
        /* Acquire pairs with the release in group_tell(). */
        uint32_t notice = atomic_load_explicit(&page->notice, memory_order_acquire);
        if (member->scan == UINT64_MAX) {
            if (notice == member->seen)
                return false;
            member->scanning_for = notice;
            member->scan = 0;
        }
        uint64_t floor = atomic_load_explicit(&page->floor, memory_order_acquire);
        /* After the notice, and raised before it: relaxed is enough. Not the cursor, which may be older. */
        uint64_t given_up = atomic_load_explicit(&page->given_up, memory_order_relaxed);
        uint64_t end = flight_end(floor, given_up, member->mask);
        for (uint64_t at = member->scan > floor ? member->scan : floor; at < end; at += 64)
            if (claim_again(member, at, dead)) {
                member->scan = at + 64;
                *position = at;
                return true;
            }
        member->seen = member->scanning_for;
        member->scan = UINT64_MAX;
    }
}

/* Somebody may wait for room that this made. */
static void made_room(struct group_page *page)
{
    if (__builtin_expect(atomic_load(&page->hungry) != 0, 0)) {
        atomic_store(&page->hungry, 0);
        group_tell(page);
    }
}

/* Why a word is not a claim of this member's on position. */
static int not_mine(const struct group_member *member, uint64_t position, uint64_t word)
{
    if (group_is_of(word, position))
        return HERMES_EEXPIRED;
    return position < atomic_load_explicit(&member->page->floor, memory_order_acquire) ? HERMES_EEXPIRED
                                                                                       : HERMES_EINVALID;
}

int group_ack(struct group_member *member, uint64_t position)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    for (;;) {
        enum group_state state = group_state_of(word);
        if (!group_is_of(word, position))
            return position < atomic_load_explicit(&member->page->floor, memory_order_acquire)
                       ? HERMES_OK
                       : HERMES_EINVALID;
        if (state == GROUP_DONE)
            return HERMES_OK;
        if (state != GROUP_AVAILABLE && !(state == GROUP_CLAIMED && group_member_of(word) == member->index))
            return HERMES_EEXPIRED;
        if (swap(slot, &word, group_word(position, group_deliveries_of(word), member->index, GROUP_DONE)))
            break;
    }
    made_room(member->page);
    return HERMES_OK;
}

/* The word of a claim that its member cannot or will not keep. */
static uint64_t given_up(struct group_page *page, uint64_t position, uint64_t word)
{
    unsigned most = atomic_load_explicit(&page->max_deliveries, memory_order_relaxed);
    unsigned deliveries = group_deliveries_of(word);
    enum group_state state = GROUP_AVAILABLE;
    if (most != 0 && deliveries >= most)
        state = page->dead_letter[0] != 0 ? GROUP_DEAD : GROUP_DONE;
    return group_word(position, deliveries, 0, state);
}

/* Before a message comes back. */
static void raise_given_up(struct group_page *page, uint64_t end)
{
    uint64_t before = atomic_load_explicit(&page->given_up, memory_order_relaxed);
    while (before < end && !atomic_compare_exchange_weak_explicit(&page->given_up, &before, end,
                                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

bool group_give_up(struct group_page *page, uint64_t mask, uint64_t position, uint64_t word)
{
    raise_given_up(page, position + 64);
    uint64_t to = given_up(page, position, word);
    if (!swap(slot_of(page, mask, position), &word, to))
        return false;
    if (group_state_of(to) != GROUP_AVAILABLE)
        atomic_fetch_add_explicit(&page->dead, 1, memory_order_relaxed);
    if (group_state_of(to) == GROUP_DONE)
        made_room(page);
    return true;
}

static bool is_claim_of(const struct group_member *member, uint64_t position, uint64_t word)
{
    return group_is_of(word, position) && group_state_of(word) == GROUP_CLAIMED &&
           group_member_of(word) == member->index;
}

int group_nack(struct group_member *member, uint64_t position)
{
    uint64_t word = atomic_load_explicit(slot_of(member->page, member->mask, position), memory_order_acquire);
    if (!is_claim_of(member, position, word) || !group_give_up(member->page, member->mask, position, word))
        return not_mine(member, position, word);
    group_tell(member->page);
    return HERMES_OK;
}

int group_renew(struct group_member *member, uint64_t position)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    /* Two bits count renewals: the broker, who looks for words that stay as they are, sees another one. */
    uint64_t renewed = (word & ~(uint64_t)0x18) | ((word + 8) & 0x18);
    if (!is_claim_of(member, position, word) || !swap(slot, &word, renewed))
        return not_mine(member, position, word);
    return HERMES_OK;
}

void group_put_back(struct group_member *member, uint64_t position)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    if (is_claim_of(member, position, word))
        (void)swap(slot, &word, group_word(position, group_deliveries_of(word), 0, GROUP_DEAD));
}

unsigned group_deliveries(const struct group_member *member, uint64_t position)
{
    uint64_t word = atomic_load_explicit(slot_of(member->page, member->mask, position), memory_order_relaxed);
    return group_is_of(word, position) ? group_deliveries_of(word) : 0;
}

void group_leave(struct group_page *page, uint64_t mask, unsigned index)
{
    uint64_t floor = atomic_load_explicit(&page->floor, memory_order_acquire);
    /* Not to the cursor: who dies between a claim and group_passed() leaves one behind it. */
    for (uint64_t at = floor; at < floor + ((mask + 1) << 6); at += 64) {
        uint64_t word = atomic_load_explicit(slot_of(page, mask, at), memory_order_acquire);
        if (group_is_of(word, at) && group_state_of(word) == GROUP_CLAIMED && group_member_of(word) == index)
            (void)group_give_up(page, mask, at, word);
    }
    group_tell(page);
}

void group_restore(struct group_page *page, uint64_t mask, uint64_t position, unsigned deliveries, bool dead)
{
    atomic_store_explicit(slot_of(page, mask, position),
                          group_word(position, deliveries, 0, dead ? GROUP_DEAD : GROUP_AVAILABLE),
                          memory_order_relaxed);
    raise_given_up(page, position + 64);
}
