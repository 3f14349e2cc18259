/*
 * An exhaustive model of the MPMC ring (hermes/mpmc.h): every interleaving of two producers and two consumers
 * on a ring of two slots, each step one access to shared memory. Checked in each state:
 *
 *     nothing torn       what is popped is what was pushed at that place
 *     nothing twice      no element is popped by two consumers
 *     nothing lost       when all are done, each element was popped
 *     nobody is stuck    from each state, all can finish
 *
 * Then each mutation leaves one rule out, and must be caught; a model that catches nothing shows nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 2, SHIFT = 1, PRODUCERS = 2, CONSUMERS = 2, EACH = 3, ELEMENTS = PRODUCERS * EACH };
enum { PROCESSES = PRODUCERS + CONSUMERS, WAYS = PROCESSES };

enum mutation {
    NONE,
    MARK_BEFORE_ELEMENT,
    EMPTIED_BEFORE_READ,
    NO_FREE_CHECK,
    NO_MARK_CHECK,
    CLAIM_WITHOUT_EXCHANGE,
    CONSUMER_CLAIM_WITHOUT_EXCHANGE,
    NO_SECOND_LOOK,
    MUTATIONS,
};

static const char *const names[MUTATIONS] = {
    "none",
    "mark before the element",
    "slot given back before it is read",
    "producer does not look whether the slot is free",
    "consumer does not look at the mark",
    "producer claims by a load and a store",
    "consumer claims by a load and a store",
    "after a lost exchange, the slot of the new place is not looked at",
};

struct process {
    uint8_t pc;
    uint8_t place;
    uint8_t value;
    uint8_t done; /* elements pushed */
};

struct state {
    uint8_t head, tail;
    uint8_t mark[SLOTS], emptied[SLOTS], element[SLOTS];
    uint8_t popped[ELEMENTS];
    uint8_t finished; /* elements popped in all */
    struct process process[PROCESSES];
};

/* Producer: LOAD head, CHECK the slot, CLAIM, WRITE, MARK. Consumer: LOAD tail, CHECK the mark, CLAIM, READ,
 * EMPTY. */
enum { LOAD, CHECK, CLAIM, WORK, TELL, END };

static enum mutation mutation;
static const char *broken;

static bool claim(uint8_t *index, struct process *p, bool by_exchange)
{
    if (by_exchange && *index != p->place) {
        p->place = *index;
        p->pc = mutation == NO_SECOND_LOOK ? CLAIM : CHECK;
        return false;
    }
    *index = (uint8_t)(p->place + 1);
    p->pc = WORK;
    return true;
}

static void produce(struct state *s, unsigned id)
{
    struct process *p = &s->process[id];
    uint8_t slot = p->place % SLOTS;
    switch (p->pc) {
    case LOAD:
        p->value = (uint8_t)(id * EACH + p->done);
        p->place = s->head;
        p->pc = CHECK;
        break;
    case CHECK: /* full, or an old place: look again */
        p->pc = mutation == NO_FREE_CHECK || s->emptied[slot] == p->place >> SHIFT ? CLAIM : LOAD;
        break;
    case CLAIM:
        claim(&s->head, p, mutation != CLAIM_WITHOUT_EXCHANGE);
        break;
    case WORK:
        if (mutation == MARK_BEFORE_ELEMENT)
            s->mark[slot] = (uint8_t)(p->place + 1);
        else
            s->element[slot] = p->value;
        p->pc = TELL;
        break;
    case TELL:
        if (mutation == MARK_BEFORE_ELEMENT)
            s->element[slot] = p->value;
        else
            s->mark[slot] = (uint8_t)(p->place + 1);
        p->pc = ++p->done == EACH ? END : LOAD;
        break;
    default:
        break;
    }
}

static void take(struct state *s, uint8_t value)
{
    if (value >= ELEMENTS)
        broken = "an element that nobody pushed was popped";
    else if (s->popped[value]++ > 0)
        broken = "an element was popped twice";
    s->finished++;
}

static void consume(struct state *s, unsigned id)
{
    struct process *p = &s->process[id];
    uint8_t slot = p->place % SLOTS;
    switch (p->pc) {
    case LOAD:
        if (s->finished >= ELEMENTS)
            p->pc = END;
        else {
            p->place = s->tail;
            p->pc = CHECK;
        }
        break;
    case CHECK:
        p->pc = mutation == NO_MARK_CHECK || s->mark[slot] == p->place + 1 ? CLAIM : LOAD;
        break;
    case CLAIM:
        claim(&s->tail, p, mutation != CONSUMER_CLAIM_WITHOUT_EXCHANGE);
        break;
    case WORK:
        if (mutation == EMPTIED_BEFORE_READ)
            s->emptied[slot] = (uint8_t)((p->place >> SHIFT) + 1);
        else
            p->value = s->element[slot];
        p->pc = TELL;
        break;
    case TELL:
        if (mutation == EMPTIED_BEFORE_READ)
            p->value = s->element[slot];
        else
            s->emptied[slot] = (uint8_t)((p->place >> SHIFT) + 1);
        take(s, p->value);
        p->pc = LOAD;
        break;
    default:
        break;
    }
}

static void begin(struct state *s)
{
    memset(s->element, 0xff, sizeof s->element);
}

static bool step(struct state *s, int way)
{
    if (way < PRODUCERS)
        produce(s, (unsigned)way);
    else
        consume(s, (unsigned)way);
    return true;
}

static bool all_done(const struct state *s)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        if (s->process[i].pc != END)
            return false;
    return true;
}

static void check(const struct state *s)
{
    for (unsigned i = 0; i < ELEMENTS && all_done(s); i++)
        if (s->popped[i] != 1)
            broken = "an element was lost";
}

#include "explore.h"
