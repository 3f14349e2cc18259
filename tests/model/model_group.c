/*
 * An exhaustive model of a group's page (group/group.h): every interleaving of two members and the broker
 * over three messages and two slots, each step one access to shared memory. A member may die at any step,
 * once in all, say nack once, and once a lease runs out. Another member takes the line of who died; and all
 * over again with one slot, where each message but the first wants room, and nobody comes to help. Checked in
 * each state:
 *
 *     nothing lost        the floor is above no message that is not done
 *     nothing again       what is done is given to nobody
 *     nobody is stuck     from each state, all messages can be done
 *
 * Orders are x86's: each change of a word or of the floor is an exchange, which drains the store buffer; the
 * cursor, the one plain store, is a hint whose delay is an interleaving as well. Sleeping is not modelled
 * (window.h's model has it): a member that finds nothing looks again. What a claim lives through besides -
 * restarts, resets, leases, generations - is model_membership.c's. Then each mutation leaves one rule out,
 * and must be caught.
 */
#include <stdbool.h>
#include <stdint.h>

enum { MESSAGES = 3, SLOTS_MAX = 2, MEMBERS = 2, BROKER = MEMBERS };
/* Ways to go on: a step of each member, of the broker; the death and the nack of each member; the end of a
 * lease on the message in each slot. */
enum { DIE = BROKER + 1, NACK = DIE + MEMBERS, EXPIRE = NACK + MEMBERS, WAYS = EXPIRE + SLOTS_MAX };

enum mutation {
    NONE,
    NO_FLOOR_CHECK,
    FLOOR_BY_STORE,
    NO_AGE,
    CLAIM_BY_STORE,
    ACK_BY_STORE,
    LEAVE_TO_CURSOR,
    SCAN_TO_CURSOR,
    GIVEN_UP_LATE,
    JUMP_OVER_FLIGHT,
    ROOM_TO_CURSOR,
    SEEN_TOO_MUCH,
    NOBODY_TOLD,
    MUTATIONS,
};

static const char *const names[MUTATIONS] = {
    "none",
    "a claim does not look at the floor",
    "the floor is raised by a load and a store",
    "a slot is free for an earlier message than its word's",
    "a claim is a load and a store",
    "an ack is a load and a store",
    "a death is looked for below the cursor only",
    "what came back is looked for below the cursor only",
    "how far to look is said after the message has come back, and is told",
    "the floor jumps to the cursor over what is in flight",
    "room is made below the cursor only",
    "a scan counts as one for all that was told meanwhile",
    "a death is told to nobody",
};

enum word_state { FREE, CLAIMED, AVAILABLE, DONE };

struct word {
    uint8_t place; /* 1 + message; 0: none yet */
    uint8_t state;
    uint8_t member;
};

enum pc {
    POLL,
    SCAN_FLOOR,
    SCAN_END,
    SCAN_WORD,
    SCAN_TAKE,
    START_CURSOR,
    START_FLOOR,
    CLAIM_FLOOR,
    ROOM_FLOOR,
    ROOM_CURSOR,
    ROOM_WORD,
    ROOM_RAISE,
    CLAIM_WORD,
    CLAIM_TAKE,
    PASS_LOOK,
    PASS,
    WORK,
    ACK_TAKE,
    NACK_RAISE,
    NACK_TAKE,
    NACK_TELL,
    DEAD,
    GONE,
    LEAVE_FLOOR,
    LEAVE_WORD,
    LEAVE_RAISE,
    LEAVE_TAKE,
    LEAVE_TELL,
};

struct process {
    uint8_t pc;
    uint8_t position; /* the reader's */
    uint8_t at;       /* the message that is looked at, or held */
    uint8_t floor, end, cursor;
    uint8_t seen, scanning_for;
    uint8_t mine; /* what was just claimed is to be worked on after the cursor has passed */
    struct word word;
};

struct state {
    uint8_t floor, cursor, notice, given_up;
    uint8_t deaths, nacks, expired;
    uint8_t slots; /* 0: not known yet */
    struct word slot[SLOTS_MAX];
    uint8_t done[MESSAGES];
    struct process process[MEMBERS + 1];
};

static enum mutation mutation;
static const char *broken;

static bool same(struct word a, struct word b)
{
    return a.place == b.place && a.state == b.state && a.member == b.member;
}

static bool is_of(struct word w, uint8_t message)
{
    return w.place == message + 1;
}

static bool is_free_for(struct word w, uint8_t message)
{
    return mutation == NO_AGE ? w.place != message + 1 : w.place < message + 1;
}

/* Forgets what no longer matters, so that like states are the same. */
static void go(struct process *p, enum pc pc)
{
    p->pc = (uint8_t)pc;
    if (pc == POLL || pc == DEAD || pc == START_CURSOR) {
        p->at = p->floor = p->end = p->cursor = p->scanning_for = p->mine = 0;
        p->word = (struct word){0, 0, 0};
    }
}

static bool exchange(struct state *s, struct process *p, struct word to, bool compared)
{
    struct word *slot = &s->slot[p->at % s->slots];
    if (compared && !same(*slot, p->word))
        return false;
    *slot = to;
    return true;
}

static void given(const struct state *s, uint8_t message)
{
    if (s->done[message])
        broken = "what was done is given again";
}

static void raise_floor(struct state *s, uint8_t to)
{
    s->floor = to;
    for (uint8_t i = 0; i < to && i < MESSAGES; i++)
        if (!s->done[i])
            broken = "the floor is above a message that is not done";
}

static void raise_given_up(struct state *s, uint8_t message)
{
    if (s->given_up <= message)
        s->given_up = (uint8_t)(message + 1);
}

static bool all_done(const struct state *s)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        if (!s->done[i])
            return false;
    return true;
}

/* All below passed was claimed by somebody. */
static void look_for_room(const struct state *s, struct process *p, uint8_t passed)
{
    p->cursor = passed;
    p->end = passed > p->floor + s->slots ? (uint8_t)(p->floor + s->slots) : passed;
    p->scanning_for = p->floor; /* how far it may be raised */
    p->pc = ROOM_WORD;
}

static void step_member(struct state *s, uint8_t id)
{
    struct process *p = &s->process[id];
    const struct word claimed = {(uint8_t)(p->at + 1), CLAIMED, id};
    switch (p->pc) {
    case POLL:
        if (s->notice == p->seen)
            go(p, START_CURSOR);
        else {
            p->scanning_for = s->notice;
            p->pc = SCAN_FLOOR;
        }
        break;
    case SCAN_FLOOR:
        p->floor = s->floor;
        p->pc = SCAN_END;
        break;
    case SCAN_END: {
        uint8_t most = mutation == SCAN_TO_CURSOR ? s->cursor : s->given_up;
        p->end = most > p->floor + s->slots ? (uint8_t)(p->floor + s->slots) : most;
        p->at = p->floor;
        p->pc = SCAN_WORD;
        break;
    }
    case SCAN_WORD:
        if (p->at >= p->end) {
            p->seen = mutation == SEEN_TOO_MUCH ? s->notice : p->scanning_for;
            go(p, START_CURSOR);
            break;
        }
        p->word = s->slot[p->at % s->slots];
        if (is_of(p->word, p->at) && p->word.state == AVAILABLE)
            p->pc = SCAN_TAKE;
        else
            p->at++;
        break;
    case SCAN_TAKE:
        if (exchange(s, p, claimed, true)) {
            given(s, p->at);
            p->pc = WORK;
        } else {
            p->at++;
            p->pc = SCAN_WORD;
        }
        break;
    case START_CURSOR:
        p->cursor = s->cursor;
        p->pc = START_FLOOR;
        break;
    case START_FLOOR: {
        uint8_t start = p->cursor > s->floor ? p->cursor : s->floor;
        if (p->position < start)
            p->position = start;
        p->at = p->position;
        p->cursor = 0;
        if (p->at >= MESSAGES)
            go(p, POLL);
        else
            p->pc = CLAIM_FLOOR;
        break;
    }
    case CLAIM_FLOOR:
        p->floor = s->floor;
        if (mutation == NO_FLOOR_CHECK || (p->at >= p->floor && p->at - p->floor < s->slots))
            p->pc = CLAIM_WORD;
        else
            p->pc = ROOM_FLOOR;
        break;
    case ROOM_FLOOR:
        p->floor = s->floor;
        if (mutation == ROOM_TO_CURSOR)
            p->pc = ROOM_CURSOR;
        else
            look_for_room(s, p, p->at);
        break;
    case ROOM_CURSOR:
        look_for_room(s, p, s->cursor);
        break;
    case ROOM_WORD: {
        uint8_t to = p->scanning_for;
        struct word w = s->slot[to % s->slots];
        if (to < p->end && !(is_of(w, to) && w.state != DONE)) {
            p->scanning_for++;
            break;
        }
        if ((to >= p->end && p->cursor > p->end) || (mutation == JUMP_OVER_FLIGHT && p->cursor > to))
            p->scanning_for = p->cursor;
        p->pc = ROOM_RAISE;
        break;
    }
    case ROOM_RAISE: {
        uint8_t to = p->scanning_for;
        if (to > p->floor && mutation != FLOOR_BY_STORE && s->floor != p->floor) {
            p->pc = ROOM_FLOOR;
            break;
        }
        if (to > p->floor)
            raise_floor(s, to);
        p->scanning_for = 0;
        if (p->at < to)
            p->pc = PASS_LOOK; /* taken */
        else if (p->at - to < s->slots)
            p->pc = CLAIM_WORD;
        else
            go(p, POLL); /* no room */
        break;
    }
    case CLAIM_WORD:
        p->word = s->slot[p->at % s->slots];
        p->floor = p->end = p->cursor = 0;
        p->pc = CLAIM_TAKE;
        if (!is_free_for(p->word, p->at))
            p->pc = PASS_LOOK;
        break;
    case CLAIM_TAKE:
        p->mine = exchange(s, p, claimed, mutation != CLAIM_BY_STORE);
        if (p->mine)
            given(s, p->at);
        p->pc = PASS_LOOK;
        break;
    case PASS_LOOK:
        p->word = (struct word){0, 0, 0};
        p->position = (uint8_t)(p->at + 1);
        p->pc = s->cursor < p->position ? PASS : p->mine ? WORK : START_CURSOR;
        break;
    case PASS:
        s->cursor = p->position;
        if (p->mine)
            p->pc = WORK;
        else
            go(p, START_CURSOR);
        break;
    case WORK: /* and ack */
        p->mine = 0;
        p->word = s->slot[p->at % s->slots];
        if (is_of(p->word, p->at) && p->word.member == id &&
            (p->word.state == AVAILABLE || p->word.state == CLAIMED))
            p->pc = ACK_TAKE;
        else
            go(p, POLL);
        break;
    case ACK_TAKE:
        if (exchange(s, p, (struct word){(uint8_t)(p->at + 1), DONE, 0}, mutation != ACK_BY_STORE)) {
            s->done[p->at] = 1;
            go(p, POLL);
        } else {
            p->pc = WORK;
        }
        break;
    case NACK_RAISE:
        raise_given_up(s, p->at);
        p->pc = mutation == GIVEN_UP_LATE ? POLL : NACK_TAKE;
        if (p->pc == POLL)
            go(p, POLL);
        break;
    case NACK_TAKE:
        if (exchange(s, p, (struct word){(uint8_t)(p->at + 1), AVAILABLE, id}, true))
            p->pc = NACK_TELL;
        else
            go(p, POLL);
        break;
    case NACK_TELL:
        s->notice++;
        if (mutation == GIVEN_UP_LATE)
            p->pc = NACK_RAISE;
        else
            go(p, POLL);
        break;
    default:
        break;
    }
}

/* A session has ended: gives up what its member had, and lets another one take its line. */
static void step_broker(struct state *s)
{
    struct process *p = &s->process[BROKER];
    uint8_t dead = 0;
    while (dead < MEMBERS && s->process[dead].pc != DEAD)
        dead++;
    if (dead == MEMBERS)
        return;
    switch (p->pc) {
    case POLL:
    case LEAVE_FLOOR:
        p->at = s->floor;
        p->end = (uint8_t)(p->at + s->slots);
        if (mutation == LEAVE_TO_CURSOR && s->cursor < p->end)
            p->end = s->cursor;
        p->pc = LEAVE_WORD;
        break;
    case LEAVE_WORD:
        if (p->at >= p->end) {
            p->pc = LEAVE_TELL;
            break;
        }
        p->word = s->slot[p->at % s->slots];
        if (is_of(p->word, p->at) && p->word.state == CLAIMED && p->word.member == dead)
            p->pc = LEAVE_RAISE;
        else
            p->at++;
        break;
    case LEAVE_RAISE:
        raise_given_up(s, p->at);
        p->pc = LEAVE_TAKE;
        break;
    case LEAVE_TAKE:
        (void)exchange(s, p, (struct word){(uint8_t)(p->at + 1), AVAILABLE, dead}, true);
        p->at++;
        p->pc = LEAVE_WORD;
        break;
    default:
        if (mutation != NOBODY_TOLD)
            s->notice++;
        go(p, POLL);
        if (s->slots == 1) { /* nobody comes in its stead */
            s->process[dead] = (struct process){.pc = GONE};
            break;
        }
        go(&s->process[dead], POLL); /* another member, who may look at nothing but what is told */
        s->process[dead].position = 0;
        s->process[dead].seen = s->notice;
        break;
    }
}

/* false: that cannot happen here. */
static bool step(struct state *s, int way)
{
    if (all_done(s))
        return false;
    if (s->slots == 0) { /* the first step chooses */
        s->slots = (uint8_t)(way + 1);
        return way < SLOTS_MAX;
    }
    if (way < BROKER) {
        if (s->process[way].pc == DEAD)
            return false;
        step_member(s, (uint8_t)way);
    } else if (way == BROKER) {
        step_broker(s);
    } else if (way < NACK) {
        struct process *p = &s->process[way - DIE];
        if (s->deaths > 0 || p->pc == DEAD)
            return false;
        s->deaths++;
        go(p, DEAD);
    } else if (way >= EXPIRE) { /* the broker's steps are as in a death: here they are one */
        struct word *slot = &s->slot[way - EXPIRE];
        if (s->expired > 0 || slot->state != CLAIMED || s->process[slot->member].pc == DEAD)
            return false;
        s->expired++;
        raise_given_up(s, (uint8_t)(slot->place - 1));
        *slot = (struct word){slot->place, AVAILABLE, slot->member};
        s->notice++;
    } else {
        struct process *p = &s->process[way - NACK];
        if (s->nacks > 0 || p->pc != ACK_TAKE || p->word.state != CLAIMED)
            return false;
        s->nacks++;
        p->pc = mutation == GIVEN_UP_LATE ? NACK_TAKE : NACK_RAISE;
    }
    return true;
}

static void begin(struct state *s)
{
    (void)s;
}

static void check(const struct state *s)
{
    (void)s; /* each step has said what it broke */
}

#include "explore.h"
