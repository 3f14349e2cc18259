/* A group's page against a simple model of it. */
#include "group_page.h"

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
            if (group_has_news(m) && count[who] < 512 && given_again(m, &position, &claim)) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
