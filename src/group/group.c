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
    atomic_store_explicit(&page->generation, (uint32_t)(id % GROUP_GENERATIONS), memory_order_relaxed);
    atomic_store_explicit(&page->state, GROUP_OPEN, memory_order_relaxed);
    group_set_edge(page, position, 0);
    atomic_store_explicit(&page->floor, position, memory_order_relaxed);
    group_set_counted(page, 0, position);
    atomic_thread_fence(memory_order_release);
    page->magic = GROUP_MAGIC;
}

int group_member_init(struct group_member *member, struct group_page *page, size_t bytes, unsigned line,
                      uint64_t id, bool at_most_once)
{
    uint32_t slots = 0;
    int rc = group_page_check(page, bytes, &slots);
    if (rc < 0)
        return rc;
    if (slots == 0 || line >= GROUP_MEMBERS)
        return HERMES_EMALFORMED;
    /* The broker has written it before it told us of the line. */
    unsigned generation = atomic_load_explicit(&page->members[line].generation, memory_order_relaxed);
    if (generation == 0 || generation > GROUP_GENERATIONS)
        return HERMES_EMALFORMED;
    *member = (struct group_member){
        .page = page,
        .mask = slots - 1,
        .line = line,
        .id = id,
        .claims = group_word(0, 1, line, generation, at_most_once ? GROUP_DONE : GROUP_CLAIMED),
        .at_most_once = at_most_once,
        .look = group_look_begin(page),
    };
    return HERMES_OK;
}

void group_member_was(struct group_member *member, const struct group_member *before)
{
    bool same = before->line == member->line && before->claims == member->claims;
    member->line_before = same ? before->line_before : before->line;
    member->generation_before = same ? before->generation_before : group_generation_of(before->claims);
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

/* ---- who sleeps ---- */

/* Each change takes what it finds for its own: acquire and release pair with those of the change before. What
 * there is to read is looked for afterwards, and what comes then rings. */
static bool change_watch(struct group_page *page, uint32_t *watch, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&page->watch, watch, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

bool group_keep_watch(struct group_member *member)
{
    struct group_page *page = member->page;
    uint32_t me = member->line + 1, watch = atomic_load_explicit(&page->watch, memory_order_acquire), mine;
    do {
        mine = group_watched_by(watch) == 0    ? watch | me
               : group_watched_by(watch) == me ? watch
                                               : watch | GROUP_WATCH_OTHERS_SLEEP;
    } while (mine != watch && !change_watch(page, &watch, mine));
    member->slept_by = mine;
    return group_watched_by(mine) == me;
}

static void wake_one(struct group_page *page, uint32_t watch)
{
    if ((watch & GROUP_WATCH_OTHERS_SLEEP) == 0 || futex_wake_one(&page->watch))
        return;
    /* Nobody was there. Who is on the way to sleep there finds another turn, or that the watch is nobody's.
     */
    (void)change_watch(page, &watch, watch & ~(uint32_t)GROUP_WATCH_OTHERS_SLEEP);
}

/* The watch is nobody's if it was so, or that member's, or if somebody slept through it. */
static void hand_on(struct group_page *page, uint32_t me, uint32_t slept_through)
{
    uint32_t watch = atomic_load_explicit(&page->watch, memory_order_acquire), next;
    do {
        if (group_watched_by(watch) != 0 && group_watched_by(watch) != me && watch != slept_through)
            return;
        next = (watch & ~(uint32_t)GROUP_WATCH_WHO) + GROUP_WATCH_TURN;
    } while (!change_watch(page, &watch, next));
    wake_one(page, next);
}

void group_hand_on(struct group_member *member, bool found)
{
    uint32_t slept_by = member->slept_by;
    if (slept_by == 0)
        return;
    member->slept_by = 0;
    hand_on(member->page, member->line + 1, found ? slept_by : 0);
}

/* ---- floor and cursor ---- */

/* Messages in flight are all below this. */
static uint64_t flight_end(uint64_t floor, uint64_t cursor, uint64_t mask)
{
    uint64_t most = (mask + 1) << 6;
    return cursor <= floor ? floor : cursor - floor > most ? floor + most : cursor;
}

/* One try: false, another raised the floor meanwhile. While it stands still, what was seen below `to` holds.
 * All below passed was claimed, or cannot be read. */
static bool try_advance(struct group_page *page, uint64_t mask, uint64_t passed, uint64_t *now)
{
    uint64_t floor = group_sane(atomic_load_explicit(&page->floor, memory_order_acquire));
    uint64_t end = flight_end(floor, passed, mask), to = floor;
    for (; to < end; to += 64) {
        uint64_t word = atomic_load_explicit(slot_of(page, mask, to), memory_order_acquire);
        if (group_is_of(word, to) && group_state_of(word) != GROUP_DONE)
            break;
    }
    if (to == end && passed > end)
        to = passed; /* nothing is in flight, and what lies between could not be read */
    *now = to;
    /* Release pairs with the acquire in group_claim(). */
    return to == floor || atomic_compare_exchange_strong(&page->floor, &floor, to);
}

static uint64_t advance_to(struct group_page *page, uint64_t mask, uint64_t passed)
{
    uint64_t floor;
    /* Who loses a try lost it to progress; only in a page that somebody scribbles on there is no end to it.
     */
    for (int i = 0; i < 64 && !try_advance(page, mask, passed, &floor); i++)
        ;
    return floor;
}

uint64_t group_advance(struct group_page *page, uint64_t mask)
{
    return advance_to(page, mask, group_sane(atomic_load_explicit(&page->cursor, memory_order_acquire)));
}

enum group_claim group_make_room(struct group_member *member, uint64_t position)
{
    /* The member has come to position over all that is below. Not the cursor, which may be older, and stays
     * so as long as all members wait for room. */
    uint64_t floor = advance_to(member->page, member->mask, position);
    if (position < floor)
        return GROUP_TAKEN;
    if (position - floor < (member->mask + 1) << 6)
        return GROUP_MINE;
    /* Who makes room sees this, or we see the room: pairs with swap() and made_room(). */
    atomic_store(&member->page->hungry, 1);
    atomic_thread_fence(memory_order_seq_cst);
    floor = advance_to(member->page, member->mask, position);
    return position - floor < (member->mask + 1) << 6 ? GROUP_MINE : GROUP_NO_ROOM;
}

void group_visit(struct group_page *page, uint64_t mask, group_visit_t visit, void *context)
{
    const uint64_t reach = (uint64_t)GROUP_SLOTS_MIN << 6; /* more than the largest message */
    uint64_t floor = group_sane(atomic_load_explicit(&page->floor, memory_order_acquire));
    /* Acquire pairs with the release in group_passed(): the claims below it are visible. Those behind an
     * older one stand a message apart. */
    uint64_t cursor = group_sane(atomic_load_explicit(&page->cursor, memory_order_acquire));
    uint64_t passed = cursor > floor ? cursor : floor;
    for (uint64_t at = floor; at < flight_end(floor, passed + reach, mask); at += 64) {
        uint64_t word = atomic_load_explicit(slot_of(page, mask, at), memory_order_acquire);
        if (!group_is_of(word, at))
            continue;
        passed = at > passed ? at : passed;
        if (group_state_of(word) != GROUP_DONE)
            visit(context, at, word);
    }
}

/* ---- what becomes of a claim ---- */

/* Claims the message at position if it is to be had again. */
static bool claim_again(struct group_member *member, uint64_t at, uint16_t *claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, at);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    if (!group_is_of(word, at) || group_state_of(word) != GROUP_AVAILABLE)
        return false;
    unsigned deliveries = group_deliveries_of(word);
    unsigned most = atomic_load_explicit(&member->page->max_deliveries, memory_order_relaxed);
    if (most != 0 && deliveries >= most) { /* there was another limit when it was given up */
        (void)group_give_up(member->page, member->mask, at, word);
        return false;
    }
    uint64_t mine =
        group_word(at, deliveries, member->line, group_generation_of(member->claims), GROUP_CLAIMED);
    if (!swap(slot, &word, mine))
        return false; /* another took it */
    *claim = group_claim_of(mine);
    return true;
}

int group_again_within(struct group_member *member, struct group_look *look, uint64_t *words,
                       uint64_t *position, uint16_t *claim)
{
    struct group_page *page = member->page;
    /* Acquire pairs with the release in group_tell(). */
    uint32_t notice = atomic_load_explicit(&page->notice, memory_order_acquire);
    if (look->scan == UINT64_MAX) {
        if (notice == look->seen)
            return 0;
        look->scanning_for = notice;
        look->scan = 0;
    }
    uint64_t floor = group_sane(atomic_load_explicit(&page->floor, memory_order_acquire));
    /* After the notice, and raised before it: relaxed is enough. Not the cursor, which may be older. */
    uint64_t given_up = group_sane(atomic_load_explicit(&page->given_up, memory_order_relaxed));
    uint64_t end = flight_end(floor, given_up, member->mask), at = look->scan > floor ? look->scan : floor;
    for (; at<end && * words> 0; at += 64, --*words)
        if (claim_again(member, at, claim)) {
            look->scan = at + 64;
            *position = at;
            return 1;
        }
    look->scan = at < end ? at : UINT64_MAX;
    if (at < end)
        return HERMES_EAGAIN;
    look->seen = look->scanning_for;
    return 0;
}

bool group_again(struct group_member *member, uint64_t *position, uint16_t *claim)
{
    uint64_t words = UINT64_MAX;
    int rc;
    do
        rc = group_again_within(member, &member->look, &words, position, claim);
    while (rc == 0 && group_has_news(member));
    return rc > 0;
}

/* Somebody may wait for room that this made. */
static void made_room(struct group_page *page)
{
    if (__builtin_expect(atomic_load(&page->hungry) != 0, 0)) {
        atomic_store(&page->hungry, 0);
        group_tell(page);
    }
}

static bool is_of_line_before(const struct group_member *member, uint16_t claim)
{
    return member->generation_before != 0 && (claim & GROUP_GENERATIONS) == member->generation_before;
}

static uint64_t whose(const struct group_member *member, uint16_t claim)
{
    unsigned line = is_of_line_before(member, claim) ? member->line_before : member->line;
    return (uint64_t)claim << GROUP_CLAIM_AT | (uint64_t)line << GROUP_LINE_AT;
}

/* Was it claimed since this member has its line, or had one in this page before? Only then may a word be
 * missing for another reason than that all has begun anew. */
static bool is_of_this_membership(const struct group_member *member, uint16_t claim)
{
    return ((claim ^ group_claim_of(member->claims)) & GROUP_GENERATIONS) == 0 ||
           is_of_line_before(member, claim);
}

/* Why there is no word of position. below_floor: what that means for a claim of this membership. */
static int no_word(const struct group_member *member, uint64_t position, uint16_t claim, int below_floor)
{
    if ((claim & GROUP_GENERATIONS) == 0)
        return HERMES_EINVALID;
    if (!is_of_this_membership(member, claim))
        return HERMES_EEXPIRED;
    return position < atomic_load_explicit(&member->page->floor, memory_order_acquire) ? below_floor
                                                                                       : HERMES_EINVALID;
}

_Static_assert((GROUP_CLAIMED | GROUP_DONE) == GROUP_DONE, "an ack sets bits alone");

static int told(const struct group_page *page)
{
    return group_is_open(page) ? HERMES_OK : HERMES_EEXPIRED;
}

/*
 * An exchange has made it done, and that does not count: it is taken back, for the page of a broker that died
 * while it stopped, or could not write its record, is the next one's, words and all. Only who wrote a record
 * or raised the floor between the two exchanges has seen it done.
 */
__attribute__((noinline, cold)) static int take_back(struct group_member *member, uint64_t position,
                                                     uint64_t claimed, uint64_t done)
{
    if (swap(slot_of(member->page, member->mask, position), &done, claimed))
        group_tell(member->page); /* it may have been available, and looked for meanwhile */
    return HERMES_EEXPIRED;
}

/* Any claim, whatever has become of it, and of the page. HERMES_OK: it was done under it, now or before; the
 * word of before is *claimed, if this did it. */
static int finish(struct group_member *member, uint64_t position, uint16_t claim, uint64_t *claimed)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t done;
    do {
        if (!group_is_of(word, position))
            return no_word(member, position, claim, HERMES_OK);
        if ((word & GROUP_WHOSE_MASK) != whose(member, claim) || group_generation_of(word) == 0)
            return HERMES_EEXPIRED;
        if (group_state_of(word) == GROUP_DONE)
            return HERMES_OK;
        done = (word & ~(GROUP_RENEWED | 7)) | GROUP_DONE;
    } while (!swap(slot, &word, done)); /* renewed, looked at, or another's by now */
    made_room(member->page);
    *claimed = word;
    return HERMES_OK;
}

/* By itself, so that it costs an ack of a first claim no registers. */
__attribute__((noinline)) static int ack_any(struct group_member *member, uint64_t position, uint16_t claim)
{
    uint64_t claimed = 0;
    int rc = finish(member, position, claim, &claimed);
    if (rc < 0 || claimed == 0)
        return rc < 0 ? rc : told(member->page);
    uint64_t done = (claimed & ~(GROUP_RENEWED | 7)) | GROUP_DONE;
    return group_is_open(member->page) ? HERMES_OK : take_back(member, position, claimed, done);
}

int group_ack(struct group_member *member, uint64_t position, uint16_t claim)
{
    /* Most are first claims that nothing happened to: their words are known without a look. */
    uint64_t word = group_place(position) | member->claims;
    if (__builtin_expect(claim != group_first_claim(member) ||
                             !swap(slot_of(member->page, member->mask, position), &word, word | GROUP_DONE),
                         0))
        return ack_any(member, position, claim);
    made_room(member->page);
    return __builtin_expect(group_is_open(member->page), 1)
               ? HERMES_OK
               : take_back(member, position, word, word | GROUP_DONE);
}

/* To nobody's: an ack that comes late, under the same claim, is not told that it is done by that. */
static bool finish_by_nobody(struct group_member *member, uint64_t position, uint16_t claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    do {
        if (!group_is_of(word, position) || (word & GROUP_WHOSE_MASK) != whose(member, claim) ||
            group_generation_of(word) == 0 || group_state_of(word) == GROUP_DONE)
            return false;
    } while (!swap(slot, &word, group_word(position, group_deliveries_of(word), 0, 0, GROUP_DONE)));
    made_room(member->page);
    return true;
}

bool group_write_off(struct group_member *member, uint64_t position, uint16_t claim)
{
    struct group_page *page = member->page;
    /* Before the word: a record that has it as done (its words are read first) has it counted. */
    atomic_fetch_add_explicit(&page->lost, 1, memory_order_relaxed);
    if (finish_by_nobody(member, position, claim))
        return true;
    atomic_fetch_sub_explicit(&page->lost, 1, memory_order_relaxed);
    return false;
}

/*
 * The word of a claim that its member cannot or will not keep. What is available still says whose it was, who
 * may ack it until another has it; what is dead, or done by nobody, is nobody's.
 */
static uint64_t given_up(struct group_page *page, uint64_t position, uint64_t word)
{
    unsigned most = atomic_load_explicit(&page->max_deliveries, memory_order_relaxed);
    unsigned deliveries = group_deliveries_of(word);
    if (most == 0 || deliveries < most)
        return (word & ~(GROUP_RENEWED | 7)) | GROUP_AVAILABLE;
    return group_word(position, deliveries, 0, 0, page->dead_letter[0] != 0 ? GROUP_DEAD : GROUP_DONE);
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

void group_unclaim(struct group_member *member, uint64_t position, uint16_t claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word;
    do {
        word = atomic_load_explicit(slot, memory_order_acquire);
        enum group_state state = group_state_of(word);
        if (!group_is_of(word, position) || (word & GROUP_WHOSE_MASK) != whose(member, claim) ||
            (state != GROUP_CLAIMED && state != GROUP_DONE))
            return; /* it is another's by now */
    } while (!group_give_up(member->page, member->mask, position, word));
    group_tell(member->page);
}

static bool is_claim_of(const struct group_member *member, uint64_t position, uint16_t claim, uint64_t word)
{
    return group_is_of(word, position) && group_state_of(word) == GROUP_CLAIMED &&
           (word & GROUP_WHOSE_MASK) == whose(member, claim);
}

int group_nack(struct group_member *member, uint64_t position, uint16_t claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word;
    do {
        word = atomic_load_explicit(slot, memory_order_acquire);
        if (!is_claim_of(member, position, claim, word))
            return group_is_of(word, position) ? HERMES_EEXPIRED
                                               : no_word(member, position, claim, HERMES_EEXPIRED);
    } while (!group_give_up(member->page, member->mask, position, word));
    group_tell(member->page);
    return told(member->page);
}

void group_put_back(struct group_member *member, struct group_look *look, uint64_t position, uint16_t claim)
{
    look->scan = position < look->scan ? position : look->scan;
    (void)group_nack(member, position, claim);
}

int group_renew(struct group_member *member, uint64_t position, uint16_t claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    do {
        if (!is_claim_of(member, position, claim, word))
            return group_is_of(word, position) ? HERMES_EEXPIRED
                                               : no_word(member, position, claim, HERMES_EEXPIRED);
    } while (!swap(slot, &word, word | GROUP_RENEWED)); /* pairs with group_take_renewal() */
    return told(member->page);
}

/* The word of what was claimed again, and is read. Renewed: pairs with group_take_renewal(). */
static uint64_t handed_out(const struct group_member *member, uint64_t word)
{
    uint64_t deliveries = group_deliveries_of(word);
    uint64_t next = deliveries < GROUP_DELIVERIES_MAX ? deliveries + 1 : GROUP_DELIVERIES_ROUND;
    word += (next - deliveries) << GROUP_DELIVERIES_AT;
    return member->at_most_once ? (word & ~(GROUP_RENEWED | 7)) | GROUP_DONE : word | GROUP_RENEWED;
}

int group_hand_out(struct group_member *member, uint64_t position, uint16_t *claim)
{
    _Atomic uint64_t *slot = slot_of(member->page, member->mask, position);
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire), given;
    do {
        if (!is_claim_of(member, position, *claim, word))
            return HERMES_EEXPIRED;
        given = handed_out(member, word);
    } while (!swap(slot, &word, given));
    if (!group_is_open(member->page)) {
        (void)swap(slot, &given, word); /* only a record that was taken in between has it */
        return HERMES_EEXPIRED;
    }
    *claim = group_claim_of(given);
    return HERMES_OK;
}

unsigned group_deliveries(const struct group_member *member, uint64_t position, uint16_t claim)
{
    uint64_t word = atomic_load_explicit(slot_of(member->page, member->mask, position), memory_order_relaxed);
    if (!group_is_of(word, position) || (claim & GROUP_GENERATIONS) == 0)
        return 0;
    /* It may have been given to others since; the claim has the low bits of its own. */
    unsigned latest = group_deliveries_of(word), since = (latest - (claim >> GROUP_CLAIM_DELIVERIES_AT)) & 7;
    return since < latest ? latest - since : 0;
}

struct leaver {
    struct group_page *page;
    uint64_t mask, whose; /* line and generation, as in a word */
};

#define GROUP_LEAVER_MASK ((uint64_t)(GROUP_GENERATIONS << 8 | 0xff) << GROUP_LINE_AT)

static void give_up_its(void *context, uint64_t position, uint64_t word)
{
    const struct leaver *leaver = context;
    const _Atomic uint64_t *slot = slot_of(leaver->page, leaver->mask, position);
    while (group_is_of(word, position) && group_state_of(word) == GROUP_CLAIMED &&
           (word & GROUP_LEAVER_MASK) == leaver->whose &&
           !group_give_up(leaver->page, leaver->mask, position, word))
        word = atomic_load_explicit(slot, memory_order_acquire); /* its renewal was taken note of */
}

void group_leave(struct group_page *page, uint64_t mask, unsigned line)
{
    unsigned generation = atomic_load_explicit(&page->members[line].generation, memory_order_relaxed);
    struct leaver leaver = {page, mask, group_word(0, 0, line, generation, GROUP_FREE)};
    /* Not to the cursor: who dies between a claim and group_passed() leaves one behind it. */
    group_visit(page, mask, give_up_its, &leaver);
    hand_on(page, line + 1, 0);
    group_tell(page);
}

/* ---- what is gone ---- */

/* Whether somebody had the message at position. If not, nobody gets it from now on: whoever read it before it
 * was gone, and comes to claim it, finds it taken. */
static bool somebody_had(_Atomic uint64_t *slot, uint64_t position)
{
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    while (group_is_free_for(word, position))
        if (swap(slot, &word, group_word(position, 0, 0, 0, GROUP_DONE)))
            return false;
    return group_is_of(word, position) && !group_is_nobodys(word);
}

/* How many of the messages between two positions somebody had, once and for all. Words stay below the floor
 * until the next lap: it may have moved since from was somebody's cursor. */
static uint64_t close_words(struct group_page *page, uint64_t mask, uint64_t from, uint64_t to)
{
    uint64_t floor = group_sane(atomic_load_explicit(&page->floor, memory_order_acquire)), had = 0;
    uint64_t span = (mask + 1) << 6, begin = floor > span ? floor - span : 0, end = floor + span;
    for (uint64_t at = from > begin ? from : begin; at < to && at < end; at += 64)
        had += somebody_had(slot_of(page, mask, at), at);
    return had;
}

/* What page->counted says. */
struct counted {
    uint64_t word;
    uint64_t through; /* the sequence */
    uint64_t to;      /* the position behind it */
};

/* near: a position behind what is counted, within 256 GiB where that matters. */
static struct counted load_counted(struct group_page *page, uint64_t near)
{
    /* Acquire pairs with the release in group_note_gap(): the word is not an older one. */
    uint64_t late = atomic_load_explicit(&page->lost_through, memory_order_acquire);
    uint64_t word = atomic_load_explicit(&page->counted, memory_order_acquire);
    return (struct counted){.word = word,
                            .through = late + (uint32_t)(word - late),
                            .to = near - ((uint64_t)(uint32_t)((near >> 6) - (word >> 32)) << 6)};
}

void group_set_counted(struct group_page *page, uint64_t through, uint64_t to)
{
    atomic_store(&page->counted, group_pair(through, to));
    atomic_store(&page->lost_through, through);
}

/* Of messages that nobody had, behind what is counted. */
static uint64_t count_gone(struct group_page *page, uint64_t mask, const struct group_gap *gap,
                           const struct counted *counted)
{
    uint64_t from = gap->from, after = gap->after;
    if (counted->through > after) { /* what others had before that is in the earlier count */
        from = counted->to > from ? counted->to : from;
        after = counted->through;
    }
    uint64_t gone = gap->last - after, had = mask == 0 ? 0 : close_words(page, mask, from, gap->to);
    return had < gone ? gone - had : 0;
}

uint64_t group_note_gap(struct group_page *page, uint64_t mask, const struct group_gap *gap)
{
    struct counted counted;
    uint64_t gone;
    do {
        counted = load_counted(page, gap->to);
        if (gap->last <= counted.through || gap->last <= gap->after)
            return 0;
        gone = count_gone(page, mask, gap, &counted);
        /* Who raises it counts what lies between, all of it closed by now. */
    } while (!swap(&page->counted, &counted.word, group_pair(gap->last, gap->to)));
    /* Release pairs with the acquire in load_counted(). Who comes late does not set it back. */
    uint64_t through = counted.through;
    while (through < gap->last && !swap(&page->lost_through, &through, gap->last))
        ;
    atomic_fetch_add_explicit(&page->lost, gone, memory_order_relaxed);
    return gone;
}

/* Of those that are like one another in the low half, the one next to `near`. */
static uint64_t next_to(uint64_t near, uint64_t low)
{
    return near + (uint64_t)(int64_t)(int32_t)(uint32_t)(low - near);
}

struct group_place group_edge(const struct group_page *page)
{
    /* Acquire pairs with the release in group_passed(): the pair is not of before this cursor. */
    uint64_t cursor = atomic_load_explicit(&page->cursor, memory_order_acquire);
    uint64_t sequence = atomic_load_explicit(&page->cursor_sequence, memory_order_relaxed);
    uint64_t edge = atomic_load_explicit(&page->edge, memory_order_relaxed);
    if (page->slots == 0)
        return (struct group_place){group_sane(cursor), sequence};
    /* The two beside it say which lap, of 256 GiB and of 4 billion messages, it is. */
    return (struct group_place){group_sane(next_to(cursor >> 6, edge >> 32) << 6), next_to(sequence, edge)};
}

void group_set_edge(struct group_page *page, uint64_t position, uint64_t sequence)
{
    group_say_edge(page, position, sequence);
    atomic_store_explicit(&page->cursor, position, memory_order_relaxed);
}

bool group_put_away(struct group_page *page, uint64_t mask, uint64_t position, uint64_t word)
{
    uint64_t done = (word & ~(uint64_t)7) | GROUP_DONE;
    if (group_state_of(word) != GROUP_DEAD || !swap(slot_of(page, mask, position), &word, done))
        return false;
    made_room(page);
    return true;
}

bool group_take_renewal(struct group_page *page, uint64_t mask, uint64_t position, uint64_t *word)
{
    /* Who renews between two looks finds the bit as we left it, and sets it: none is overlooked, however many
     * there are. */
    uint64_t before = *word;
    *word &= ~GROUP_RENEWED;
    return swap(slot_of(page, mask, position), &before, *word);
}

/* Who never hears of what it was given asks by its former id again. */
static bool had_it_last(struct group_line *line, uint64_t known)
{
    return known != 0 && (atomic_load_explicit(&line->last, memory_order_relaxed) == known ||
                          atomic_load_explicit(&line->known, memory_order_relaxed) == known);
}

void group_give_line(struct group_page *page, unsigned line, uint64_t id, uint64_t known)
{
    struct group_line *given = &page->members[line];
    known = had_it_last(given, known) ? known : id;
    atomic_store_explicit(&given->last, id, memory_order_relaxed);
    atomic_store_explicit(&given->known, known, memory_order_relaxed);
    uint32_t generation = atomic_load_explicit(&page->generation, memory_order_relaxed);
    generation = generation % GROUP_GENERATIONS + 1;
    atomic_store_explicit(&page->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&page->members[line].generation, generation, memory_order_relaxed);
    atomic_store(&page->members[line].id, id);
}

void group_restore(struct group_page *page, uint64_t mask, uint64_t position, unsigned deliveries, bool dead)
{
    uint64_t word = given_up(page, position, group_word(position, deliveries, 0, 0, GROUP_CLAIMED));
    if (dead)
        word = group_word(position, deliveries, 0, 0, GROUP_DEAD);
    else if (group_state_of(word) != GROUP_AVAILABLE)
        atomic_fetch_add_explicit(&page->dead, 1, memory_order_relaxed);
    atomic_store_explicit(slot_of(page, mask, position), word, memory_order_relaxed);
    raise_given_up(page, position + 64);
}
