/* A group's page against a simple model, and under threads that stop, die and come back. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "group/group.h"
#include "group/record.h"

enum { SLOTS = GROUP_SLOTS_MIN, MASK = SLOTS - 1, SPAN = SLOTS * 64 };

static struct group_page *new_page(uint64_t position, unsigned most, const char *dead_letter)
{
    size_t bytes = group_page_bytes(SLOTS);
    struct group_page *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    group_page_init(page, SLOTS, 7, 1, position, dead_letter);
    atomic_store(&page->max_deliveries, most);
    return page;
}

static void drop_page(struct group_page *page)
{
    munmap(page, group_page_bytes(SLOTS));
}

static struct group_member new_member(struct group_page *page, unsigned index, bool at_most_once)
{
    struct group_member member;
    group_give_line(page, index, 100 + index);
    assert_int_equal(
        group_member_init(&member, page, group_page_bytes(SLOTS), index, 100 + index, at_most_once), 0);
    return member;
}

/* Under the claim that a member got first. */
static int ack(struct group_member *member, uint64_t position)
{
    return group_ack(member, position, group_first_claim(member));
}

static int nack(struct group_member *member, uint64_t position)
{
    return group_nack(member, position, group_first_claim(member));
}

static int renew(struct group_member *member, uint64_t position)
{
    return group_renew(member, position, group_first_claim(member));
}

static void test_checks(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member member;
    uint32_t slots;
    size_t bytes = group_page_bytes(SLOTS);
    assert_int_equal(group_page_check(page, bytes, &slots), 0);
    assert_int_equal(slots, SLOTS);
    assert_int_equal(group_page_check(page, bytes - 1, &slots), HERMES_EMALFORMED);
    assert_int_equal(group_page_check(page, 100, &slots), HERMES_EMALFORMED);
    assert_int_equal(group_member_init(&member, page, bytes, GROUP_MEMBERS, 1, false), HERMES_EMALFORMED);
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED); /* not given */
    atomic_store(&page->members[0].generation, GROUP_GENERATIONS + 1);
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED);
    page->version = 9;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EVERSION);
    page->version = GROUP_VERSION;
    page->slots = SLOTS * 2;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    page->slots = SLOTS + 64;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    page->slots = 0; /* a durable subscription has no members who claim */
    assert_int_equal(group_member_init(&member, page, bytes, 0, 1, false), HERMES_EMALFORMED);
    page->magic = 1;
    assert_int_equal(group_page_check(page, bytes, &slots), HERMES_EMALFORMED);
    drop_page(page);
}

static void test_one_message(void **state)
{
    (void)state;
    struct group_page *page = new_page(64, 2, "dead");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    uint64_t position;
    uint16_t claim;
    assert_false(group_again(&a, &position, &claim));
    assert_int_equal(group_claim(&a, 0), GROUP_TAKEN); /* below the floor */
    assert_int_equal(ack(&a, 64), HERMES_EINVALID);
    assert_int_equal(renew(&a, 64), HERMES_EINVALID);
    assert_int_equal(group_claim(&a, 64), GROUP_MINE);
    assert_int_equal(group_claim(&b, 64), GROUP_TAKEN);
    assert_int_equal(group_claim(&a, 64), GROUP_TAKEN);
    assert_int_equal(group_deliveries(&a, 64, group_first_claim(&a)), 1);
    group_passed(&a, 192, 1);
    assert_int_equal(group_start(&b), 192);
    assert_int_equal(ack(&b, 64), HERMES_EEXPIRED);
    assert_int_equal(nack(&b, 64), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 64), 0);
    assert_int_equal(nack(&a, 64), 0);
    assert_true(group_has_news(&b));
    assert_true(group_again(&b, &position, &claim));
    assert_int_equal(position, 64);
    uint64_t other;
    uint16_t none;
    assert_false(group_again(&a, &other, &none));
    assert_int_equal(group_deliveries(&b, 64, claim), 2);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(ack(&b, 64), HERMES_EEXPIRED); /* not under this claim */
    assert_int_equal(group_renew(&b, 64, claim), 0);
    assert_int_equal(group_nack(&b, 64, claim), 0); /* the second time: at the limit */
    assert_int_equal(atomic_load(&page->dead), 1);
    assert_false(group_again(&a, &other, &none)); /* dead letters are the broker's */
    assert_int_equal(group_ack(&b, 64, claim), HERMES_EEXPIRED);
    assert_int_equal(group_advance(page, MASK), 64);
    uint64_t word = atomic_load(&page->slot[1]);
    assert_int_equal(group_state_of(word), GROUP_DEAD);
    assert_int_equal(group_deliveries_of(word), 2);
    assert_true(group_put_away(page, MASK, 64, word));
    assert_false(group_put_away(page, MASK, 64, word));
    assert_int_equal(group_ack(&b, 64, claim), HERMES_EEXPIRED); /* done, but not by its claim */
    assert_int_equal(group_advance(page, MASK), 192);
    assert_int_equal(group_claim(&b, 192), GROUP_MINE);
    group_passed(&b, 256, 2);
    assert_int_equal(ack(&b, 192), 0);
    assert_int_equal(ack(&b, 192), 0); /* twice is once */
    assert_int_equal(group_advance(page, MASK), 256);
    assert_int_equal(ack(&b, 192), 0);
    assert_int_equal(renew(&b, 192), HERMES_EEXPIRED);
    assert_int_equal(nack(&b, 192), HERMES_EEXPIRED);
    drop_page(page);
}

/* The holder of a line before, whoever has it now, and whatever it says of whatever claim. */
static void test_a_former_holder_of_a_line_changes_nothing(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member before = new_member(page, 0, false), late = before;
    assert_int_equal(group_claim(&before, 0), GROUP_MINE);
    group_passed(&before, 64, 1);
    group_leave(page, MASK, 0);
    struct group_member now = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim;
    assert_true(group_again(&now, &position, &claim));
    assert_int_equal(nack(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(renew(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(ack(&late, 0), HERMES_EEXPIRED);
    assert_int_equal(group_claim(&now, 64), GROUP_MINE);
    group_passed(&now, 128, 2);
    assert_int_equal(nack(&late, 64), HERMES_EEXPIRED); /* the claim has the same number of deliveries */
    assert_int_equal(group_ack(&now, 0, claim), 0);
    assert_int_equal(ack(&now, 64), 0);
    /* The same client, under its new line: what it had before the line was taken from it. */
    assert_int_equal(group_advance(page, MASK), 128);
    assert_int_equal(group_ack(&now, 192, group_first_claim(&late)), HERMES_EEXPIRED);
    assert_int_equal(group_ack(&now, 192, group_first_claim(&now)), HERMES_EINVALID);
    assert_int_equal(group_ack(&now, 192, 0), HERMES_EINVALID);
    drop_page(page);
}

/* As long as there is a word of it, whose it is is known; of what was done with a span ago, nothing is. */
static void test_what_was_done_with_long_ago_is_done(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 1, ""); /* the first time is the last */
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at <= SPAN; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at / 64 + 1);
        assert_int_equal(at == 0 ? nack(&a, at) : ack(&a, at), 0);
        assert_int_equal(ack(&a, 0), at < SPAN ? HERMES_EEXPIRED : HERMES_OK);
        assert_int_equal(ack(&a, at), at == 0 ? HERMES_EEXPIRED : HERMES_OK);
    }
    assert_int_equal(nack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 0), HERMES_EEXPIRED);
    drop_page(page);
}

/* What was done by way of a page that is over may come again, and is told so. */
static void test_after_the_page_nothing_counts(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    for (uint64_t at = 0; at < 256; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at);
    }
    assert_int_equal(ack(&a, 0), 0);
    atomic_store(&page->state, GROUP_CLOSED);
    assert_int_equal(ack(&a, 0), HERMES_EEXPIRED);
    assert_int_equal(ack(&a, 64), HERMES_EEXPIRED);
    assert_int_equal(renew(&a, 128), HERMES_EEXPIRED);
    assert_int_equal(nack(&a, 192), HERMES_EEXPIRED);
    drop_page(page);
}

/* A keeper that looks now and then sees that somebody renewed, however often it was; and who acks or nacks
 * what is just looked at is not told that it expired. */
static void test_any_number_of_renewals_is_seen(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    uint64_t seen = atomic_load(&page->slot[0]);
    for (unsigned times = 1; times < 20; times++) {
        for (unsigned i = 0; i < times; i++)
            assert_int_equal(renew(&a, 0), 0);
        uint64_t word = atomic_load(&page->slot[0]);
        assert_true(word != seen && (word & GROUP_RENEWED) != 0);
        assert_true(group_take_renewal(page, MASK, 0, &word));
        assert_true(word == seen && atomic_load(&page->slot[0]) == seen);
        uint64_t old = word | GROUP_RENEWED;
        assert_false(group_take_renewal(page, MASK, 0, &old));
    }
    assert_int_equal(renew(&a, 0), 0);
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(ack(&a, 0), 0);
    drop_page(page);
}

static void test_without_dead_letter_the_limit_drops(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 1, "");
    struct group_member a = new_member(page, 0, false);
    uint64_t position;
    uint16_t claim;
    assert_int_equal(group_claim(&a, 0), GROUP_MINE);
    group_passed(&a, 64, 1);
    assert_int_equal(nack(&a, 0), 0);
    assert_false(group_again(&a, &position, &claim));
    assert_int_equal(group_advance(page, MASK), 64);
    assert_int_equal(atomic_load(&page->dead), 1);
    drop_page(page);
}

static void test_room(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    for (uint64_t at = 0; at < SPAN; at += 64) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 64, at / 64);
    }
    assert_int_equal(group_claim(&b, SPAN), GROUP_NO_ROOM);
    assert_int_equal(atomic_load(&page->hungry), 1);
    uint64_t position;
    uint16_t claim;
    while (group_again(&b, &position, &claim))
        fail_msg("nothing was given up");
    assert_false(group_has_news(&b));
    assert_int_equal(ack(&a, 64), 0); /* not the first: no room yet, but news */
    assert_true(group_has_news(&b));
    assert_int_equal(group_claim(&b, SPAN), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 0), 0);
    assert_int_equal(group_claim(&b, SPAN), GROUP_MINE); /* in the slot of position 0 */
    assert_int_equal(group_claim(&b, SPAN + 64), GROUP_MINE);
    assert_int_equal(group_claim(&b, SPAN + 128), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 0), 0); /* late, twice: touches nobody */
    assert_int_equal(group_deliveries(&b, SPAN, group_first_claim(&b)), 1);
    assert_int_equal(group_claim(&a, 0), GROUP_TAKEN); /* a member that is a lap behind */
    drop_page(page);
}

/* Who dies between a claim and the cursor leaves a message behind the cursor, and one that is slow may set
 * the cursor back: what was given up is found all the same. */
static void test_given_up_behind_the_cursor(void **state)
{
    (void)state;
    for (unsigned most = 0; most < 2; most++) {
        struct group_page *page = new_page(0, most, "dead");
        struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
        uint64_t position;
        uint16_t claim;
        assert_int_equal(group_claim(&a, 0), GROUP_MINE);
        group_passed(&a, 64, 1);
        assert_int_equal(ack(&a, 0), 0);
        assert_int_equal(group_claim(&a, 64), GROUP_MINE);
        if (most == 0)
            group_passed(&a, 128, 2);
        atomic_store(&page->cursor, 64);
        group_leave(page, MASK, 0);
        assert_int_equal(group_again(&b, &position, &claim), most == 0);
        assert_false(group_again(&b, &position, &claim));
        assert_int_equal(group_claim(&b, 64), GROUP_TAKEN);
        group_passed(&b, 128, 2);
        uint64_t word = atomic_load(&page->slot[1]);
        if (most == 0)
            assert_int_equal(group_ack(&b, position, claim), 0);
        else
            assert_true(group_put_away(page, MASK, 64, word));
        assert_int_equal(group_advance(page, MASK), 128);
        drop_page(page);
    }
}

static void test_words_of_other_laps(void **state)
{
    (void)state;
    uint64_t positions[] = {0, 64, SPAN, (uint64_t)1 << 45, ((uint64_t)1 << 46) - 64};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        uint64_t at = positions[i], word = group_word(at, 1, 255, GROUP_GENERATIONS, GROUP_CLAIMED);
        assert_true(group_is_of(word, at));
        assert_int_equal(group_line_of(word), 255);
        assert_int_equal(group_generation_of(word), GROUP_GENERATIONS);
        assert_int_equal(group_deliveries_of(word), 1);
        assert_false(group_is_free_for(word, at));
        assert_false(group_is_of(word, at + SPAN));
        assert_true(group_is_free_for(word, at + SPAN)); /* the next lap */
        assert_false(
            group_is_free_for(group_word(at + SPAN, 1, 0, 1, GROUP_DONE), at)); /* a member a lap behind */
        assert_true(group_is_free_for(0, at));
    }
}

/* What lies between could not be read: the floor follows the cursor, but not over what is in flight. */
static void test_jump(void **state)
{
    (void)state;
    struct group_page *page = new_page(0, 0, "");
    struct group_member a = new_member(page, 0, false);
    assert_int_equal(group_claim(&a, 64), GROUP_MINE);
    group_passed(&a, 10 * SPAN, 1);
    assert_int_equal(group_claim(&a, 10 * SPAN), GROUP_NO_ROOM);
    assert_int_equal(ack(&a, 64), 0);
    assert_int_equal(group_claim(&a, 10 * SPAN), GROUP_MINE);
    drop_page(page);
}

/* ---- against a model ---- */

enum { MESSAGES = 40000, MEMBERS = 5 };

struct model {
    enum { NEW, CLAIMED, AVAILABLE, DEAD, DONE } state;
    unsigned member, deliveries;
    uint16_t claim; /* the latest; 0: it is nobody's any more */
};

static void check_word(const struct model *model, struct group_page *page, uint64_t at)
{
    uint64_t word = atomic_load(&page->slot[at / 64 & MASK]);
    switch (model->state) {
    case NEW:
        assert_false(group_is_of(word, at));
        break;
    case CLAIMED:
        assert_true(group_is_of(word, at));
        assert_int_equal(group_state_of(word), GROUP_CLAIMED);
        assert_int_equal(group_line_of(word), model->member);
        assert_int_equal(group_deliveries_of(word), model->deliveries);
        break;
    case AVAILABLE:
    case DEAD:
        assert_true(group_is_of(word, at));
        assert_int_equal(group_state_of(word), model->state == DEAD ? GROUP_DEAD : GROUP_AVAILABLE);
        assert_int_equal(group_deliveries_of(word), model->deliveries);
        break;
    case DONE:
        if (group_is_of(word, at))
            assert_int_equal(group_state_of(word), GROUP_DONE);
        else
            assert_true(at < atomic_load(&page->floor));
        break;
    }
}

static void give_up(struct model *model, unsigned most, bool letter)
{
    model->state = AVAILABLE;
    if (most == 0 || model->deliveries < most)
        return;
    model->state = letter ? DEAD : DONE;
    model->claim = 0;
}

/* Frames of 64 to 320 bytes: position of the i-th message. */
static uint64_t *lay_out(uint64_t *random)
{
    uint64_t *at = calloc(MESSAGES + 1, sizeof *at);
    for (unsigned i = 0; i < MESSAGES; i++)
        at[i + 1] = at[i] + 64 * (1 + test_random(random) % 5);
    return at;
}

static unsigned index_of(const uint64_t *at, uint64_t position)
{
    unsigned low = 0, high = MESSAGES;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        *(at[middle] <= position ? &low : &high) = middle;
    }
    return low;
}

static void run_model(uint64_t seed, unsigned most, bool letter)
{
    uint64_t random = seed * 0x9E3779B97F4A7C15u + 1;
    uint64_t *at = lay_out(&random);
    struct model *model = calloc(MESSAGES, sizeof *model);
    struct group_page *page = new_page(0, most, letter ? "dead" : "");
    struct group_member member[MEMBERS];
    struct {
        uint64_t position;
        uint16_t claim;
    } held[MEMBERS][512];
    unsigned count[MEMBERS] = {0}, next = 0, oldest = 0, refused = 0;
    for (unsigned i = 0; i < MEMBERS; i++)
        member[i] = new_member(page, i, i == MEMBERS - 1 && seed % 2 == 0);
    while (oldest < MESSAGES) {
        unsigned who = (unsigned)(test_random(&random) % MEMBERS);
        struct group_member *m = &member[who];
        uint64_t choice = test_random(&random) % 100, position;
        uint16_t claim;
        if (choice < 45) { /* the next, as a client polls */
            if (group_has_news(m) && count[who] < 512 && group_again(m, &position, &claim)) {
                struct model *it = &model[index_of(at, position)];
                assert_int_equal(at[it - model], position);
                assert_int_equal(it->state, AVAILABLE);
                it->deliveries++;
                it->member = who;
                it->claim = claim;
                it->state = m->at_most_once ? DONE : CLAIMED;
                if (it->state == CLAIMED) {
                    held[who][count[who]].position = position;
                    held[who][count[who]++].claim = claim;
                }
            } else if (next < MESSAGES && count[who] < 512) {
                assert_true(group_start(m) <= at[next]);
                enum group_claim outcome = group_claim(m, at[next]);
                refused += outcome == GROUP_NO_ROOM;
                assert_int_not_equal(outcome, GROUP_TAKEN);
                if (outcome == GROUP_MINE) {
                    claim = group_first_claim(m);
                    model[next] = (struct model){m->at_most_once ? DONE : CLAIMED, who, 1, claim};
                    if (!m->at_most_once) {
                        held[who][count[who]].position = at[next];
                        held[who][count[who]++].claim = claim;
                    }
                    next++;
                    if (choice < 43) /* else it dies here: the next one finds the message taken */
                        group_passed(m, at[next], next);
                    else
                        assert_int_equal(group_claim(&member[(who + 1) % MEMBERS], at[next - 1]),
                                         GROUP_TAKEN),
                            group_passed(&member[(who + 1) % MEMBERS], at[next], next);
                }
            }
        } else if (choice < 94 && count[who] > 0) { /* ack, nack, renew, give up one that is held */
            unsigned i = (unsigned)(test_random(&random) % count[who]);
            position = held[who][i].position;
            claim = held[who][i].claim;
            struct model *it = &model[index_of(at, position)];
            bool was = it->member == who && it->claim == claim, mine = was && it->state == CLAIMED;
            if (choice < 80) {
                int rc = group_ack(m, position, claim);
                /* Below the floor it may be forgotten whose it was. */
                if (was || rc != HERMES_OK)
                    assert_int_equal(rc, was ? HERMES_OK : HERMES_EEXPIRED);
                else
                    assert_true(position < atomic_load(&page->floor));
                if (was)
                    it->state = DONE;
            } else if (choice < 84) {
                assert_int_equal(group_renew(m, position, claim), mine ? HERMES_OK : HERMES_EEXPIRED);
                continue;
            } else if (choice < 89) {
                assert_int_equal(group_nack(m, position, claim), mine ? HERMES_OK : HERMES_EEXPIRED);
                if (mine)
                    give_up(it, most, letter);
            } else if (mine) { /* its lease runs out */
                uint64_t word = atomic_load(&page->slot[position / 64 & MASK]);
                if ((word & GROUP_RENEWED) != 0) { /* not yet: it was renewed */
                    assert_true(group_take_renewal(page, MASK, position, &word));
                    continue;
                }
                assert_true(group_give_up(page, MASK, position, word));
                assert_false(group_give_up(page, MASK, position, word));
                group_tell(page);
                give_up(it, most, letter);
                continue; /* and finds out later */
            }
            held[who][i] = held[who][--count[who]];
        } else if (choice < 96 && test_random(&random) % 50 == 0) { /* it dies */
            group_leave(page, MASK, who);
            for (unsigned i = 0; i < MESSAGES; i++)
                if (model[i].state == CLAIMED && model[i].member == who)
                    give_up(&model[i], most, letter);
            count[who] = 0;
            *m = new_member(page, who, m->at_most_once);
        } else if (choice < 97) {
            (void)group_advance(page, MASK);
        } else if (choice < 99 && oldest < next && model[oldest].state == DEAD) { /* put away */
            uint64_t word = atomic_load(&page->slot[at[oldest] / 64 & MASK]);
            assert_true(group_put_away(page, MASK, at[oldest], word));
            model[oldest].state = DONE;
        }
        while (oldest < MESSAGES && model[oldest].state == DONE)
            oldest++;
        if (choice == 99) {
            uint64_t floor = group_advance(page, MASK);
            assert_int_equal(floor, at[oldest < next ? oldest : next]);
            for (unsigned i = oldest < 600 ? 0 : oldest - 600; i < next; i++)
                check_word(&model[i], page, at[i]);
        }
    }
    assert_int_equal(group_advance(page, MASK), at[MESSAGES]);
    if (seed == 1)
        assert_true(refused > 0); /* the span was full at times */
    drop_page(page);
    free(model);
    free(at);
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        run_model(seed, (unsigned)(seed % 3) * 2, seed % 4 < 2);
}

/* ---- records ---- */

static void test_record(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char path[64];
    snprintf(path, sizeof path, "%s/risk", directory);
    struct group_page *page = new_page(128, 3, "dead");
    struct group_member a = new_member(page, 0, false), b = new_member(page, 1, false);
    for (uint64_t at = 128; at < 1280; at += 128) {
        assert_int_equal(group_claim(&a, at), GROUP_MINE);
        group_passed(&a, at + 128, at);
    }
    assert_int_equal(ack(&a, 128), 0);
    assert_int_equal(ack(&a, 640), 0);
    uint64_t position;
    uint16_t claim = group_first_claim(&a);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(group_nack(i == 0 ? &a : &b, 256, claim), 0);
        if (i < 2)
            assert_true(group_again(&b, &position, &claim));
    }
    struct group_record record = {.topic_id = 7,
                                  .page_id = 9,
                                  .lease_ns = 5,
                                  .slots = SLOTS,
                                  .max_deliveries = 3,
                                  .uid = 4,
                                  .dead_letter = "dead"},
                        read;
    struct error_text text;
    assert_int_equal(group_record_take(&record, page, MASK), 0);
    assert_int_equal(record.floor, 256);
    assert_int_equal(record.cursor, 1280);
    assert_int_equal(record.count, 7); /* 256 dead, 384, 512, 768 to 1152 */
    assert_int_equal(group_record_write(&record, path, &text), 0);
    assert_int_equal(group_record_read(&read, path, &text), 0);
    assert_true(group_record_equal(&record, &read));
    assert_int_equal(read.topic_id, 7);
    assert_int_equal(read.uid, 4);
    assert_int_equal(read.page_id, 9);

    struct group_page *other = new_page(0, 3, "dead");
    group_record_restore(&read, other, MASK, (struct group_place){960, 15}); /* the log lost its end */
    assert_int_equal(atomic_load(&other->floor), 256);
    assert_int_equal(group_start(&a), 1280);
    struct group_member c = new_member(other, 0, false);
    assert_int_equal(group_start(&c), 960);
    unsigned again = 0;
    while (group_again(&c, &position, &claim)) {
        assert_true(position > 256 && position < 960 && position != 640);
        again++;
        assert_int_equal(group_deliveries(&c, position, claim), 2);
        assert_int_equal(group_ack(&c, position, claim), 0);
    }
    assert_int_equal(again, 4);
    assert_int_equal(group_advance(other, MASK), 256);
    assert_true(group_put_away(other, MASK, 256, group_word(256, 3, 0, 0, GROUP_DEAD)));
    assert_int_equal(group_advance(other, MASK), 960);
    drop_page(other);
    group_record_release(&read);

    /* Every byte flipped, every length of truncation: an error, never another record. */
    FILE *file = fopen(path, "rb");
    uint8_t bytes[1024];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(size, GROUP_RECORD_HEADER_BYTES + 7 * 16);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        assert_true(group_record_decode(&read, bytes, size) < 0);
        bytes[i] ^= 0x10;
        assert_true(group_record_decode(&read, bytes, i) < 0);
    }
    assert_int_equal(group_record_decode(&read, bytes, size), 0);
    group_record_release(&read);
    assert_int_equal(group_record_read(&read, directory, &text), HERMES_EMALFORMED);
    assert_int_equal(group_record_read(&read, "/nonexistent", &text), HERMES_ENOTFOUND);
    assert_int_equal(group_record_write(&record, "/nonexistent/a", &text), HERMES_ENOTFOUND);
    group_record_release(&record);
    drop_page(page);
    test_remove(directory);
}

/* ---- threads ---- */

enum { CROWD = 4, RUN = 200000 };

static struct {
    struct group_page *page;
    _Atomic uint32_t acked[RUN];
    _Atomic uint32_t delivered[RUN];
    _Atomic unsigned buried; /* by the keeper */
    _Atomic bool stop;
    const char *_Atomic wrong; /* cmocka's assertions are for the main thread alone */
} crowd;

#define EXPECT(condition)                                                                                    \
    do                                                                                                       \
        if (!(condition))                                                                                    \
            atomic_store(&crowd.wrong, #condition);                                                          \
    while (0)

/* Takes its messages, dies in every state, comes back; positions are 64 i. */
static void *live(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    uint64_t random = index + 77;
    struct group_member m = new_member(crowd.page, index, false);
    uint64_t at = 0, floor = 0;
    for (;;) {
        uint64_t now = atomic_load(&crowd.page->floor); /* before anybody raises it again */
        EXPECT(now >= floor);
        floor = group_advance(crowd.page, MASK);
        if (floor >= (uint64_t)RUN * 64)
            return NULL;
        uint64_t position = 0;
        uint16_t token = group_first_claim(&m);
        bool mine = group_has_news(&m) && group_again(&m, &position, &token);
        if (!mine) {
            uint64_t start = group_start(&m);
            at = at > start ? at : start;
            if (at >= (uint64_t)RUN * 64) {
                sched_yield();
                continue;
            }
            position = at;
            enum group_claim claim = group_claim(&m, position);
            if (claim == GROUP_NO_ROOM) {
                sched_yield();
                continue;
            }
            mine = claim == GROUP_MINE;
            at += 64;
            uint64_t end = at;
            if (mine && test_random(&random) % 1000 == 0) { /* dies between claim and cursor */
                group_leave(crowd.page, MASK, index);
                m = new_member(crowd.page, index, false);
                continue;
            }
            group_passed(&m, end, end / 64);
        }
        if (!mine)
            continue;
        atomic_fetch_add(&crowd.delivered[position / 64], 1);
        uint64_t fate = test_random(&random) % 64;
        if (fate == 0) {
            (void)group_nack(&m, position, token);
        } else if (fate == 1) {
            group_leave(crowd.page, MASK, index);
            m = new_member(crowd.page, index, false);
        } else {
            if (fate == 2)
                sched_yield();
            else if (fate == 3)
                (void)group_renew(&m, position, token);
            int rc = group_ack(&m, position, token);
            EXPECT(rc == 0 || rc == HERMES_EEXPIRED);
            if (rc == 0)
                atomic_fetch_add(&crowd.acked[position / 64], 1);
        }
    }
}

static void expire(void *context, uint64_t position, uint64_t word)
{
    uint64_t *random = context;
    if ((word & GROUP_RENEWED) != 0)
        (void)group_take_renewal(crowd.page, MASK, position, &word);
    else if (group_state_of(word) == GROUP_CLAIMED && test_random(random) % 256 == 0 &&
             group_give_up(crowd.page, MASK, position, word))
        group_tell(crowd.page);
    else if (group_state_of(word) == GROUP_DEAD && group_put_away(crowd.page, MASK, position, word)) {
        atomic_fetch_add(&crowd.buried, 1);
        atomic_fetch_add(&crowd.acked[position / 64], 1);
    }
}

static void *keep(void *unused)
{
    (void)unused;
    uint64_t random = 99;
    struct group_record record = {.slots = SLOTS};
    uint64_t floor = 0;
    while (!atomic_load(&crowd.stop)) {
        group_visit(crowd.page, MASK, expire, &random);
        EXPECT(group_record_take(&record, crowd.page, MASK) == 0);
        EXPECT(record.floor >= floor && record.cursor >= record.floor);
        floor = record.floor;
        sched_yield();
    }
    group_record_release(&record);
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    crowd.page = new_page(0, 4, "dead");
    pthread_t threads[CROWD], keeper;
    assert_int_equal(pthread_create(&keeper, NULL, keep, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, live, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&crowd.stop, true);
    pthread_join(keeper, NULL);
    if (atomic_load(&crowd.wrong) != NULL)
        fail_msg("%s", atomic_load(&crowd.wrong));
    uint64_t again = 0;
    for (unsigned i = 0; i < RUN; i++) {
        if (atomic_load(&crowd.acked[i]) < 1)
            fail_msg("message %u was never acknowledged", i);
        if (atomic_load(&crowd.delivered[i]) > 4)
            fail_msg("message %u was delivered %u times", i, atomic_load(&crowd.delivered[i]));
        again += atomic_load(&crowd.delivered[i]) - (atomic_load(&crowd.delivered[i]) > 0);
    }
    assert_true(again > 0);
    assert_int_equal(atomic_load(&crowd.page->dead), atomic_load(&crowd.buried));
    drop_page(crowd.page);
}

static void count_visits(void *context, uint64_t position, uint64_t word)
{
    (void)position, (void)word;
    ++*(uint64_t *)context;
}

/* Whoever maps the page may write anything into it: the broker, who reads it, comes to an end all the same.
 */
static void test_a_page_that_is_scribbled_on_ends_every_loop(void **state)
{
    (void)state;
    static const uint64_t wild[] = {0,
                                    1,
                                    63,
                                    4096 * 64,
                                    (uint64_t)1 << 46,
                                    (uint64_t)1 << 62,
                                    UINT64_MAX / 2,
                                    UINT64_MAX - ((uint64_t)4096 << 6),
                                    UINT64_MAX - 1000,
                                    UINT64_MAX - 5,
                                    UINT64_MAX};
    enum { WILD = sizeof wild / sizeof wild[0] };
    for (int i = 0; i < WILD * WILD; i++) {
        struct group_page *page = new_page(0, 2, "dead");
        uint64_t mask = page->slots - 1, visits = 0;
        atomic_store(&page->floor, wild[i / WILD]);
        atomic_store(&page->cursor, wild[i % WILD]);
        atomic_store(&page->given_up, wild[i % WILD]);
        for (uint64_t slot = 0; i % 3 != 0 && slot <= mask; slot++)
            atomic_store(&page->slot[slot], i % 3 == 1 ? UINT64_MAX : (wild[i / WILD] >> 18) << 36 | 1);
        group_visit(page, mask, count_visits, &visits);
        assert_true(visits <= mask + 1);
        (void)group_advance(page, mask);
        group_leave(page, mask, 0);
        struct group_record record = {.slots = page->slots};
        assert_int_equal(group_record_take(&record, page, mask), 0);
        group_record_release(&record);
        (void)group_page_fits(page, mask, 640);
        struct group_member member = new_member(page, 1, false);
        uint64_t position;
        uint16_t claim;
        for (uint64_t again = 0; group_again(&member, &position, &claim); again++)
            assert_true(again <= 2 * (mask + 1));
        drop_page(page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_one_message),
        cmocka_unit_test(test_a_former_holder_of_a_line_changes_nothing),
        cmocka_unit_test(test_what_was_done_with_long_ago_is_done),
        cmocka_unit_test(test_after_the_page_nothing_counts),
        cmocka_unit_test(test_any_number_of_renewals_is_seen),
        cmocka_unit_test(test_without_dead_letter_the_limit_drops),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_given_up_behind_the_cursor),
        cmocka_unit_test(test_words_of_other_laps),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_a_page_that_is_scribbled_on_ends_every_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
