/*
 * An exhaustive model of who sleeps and who wakes in a group (group/group.h, The watch): a publisher of three
 * messages, three members that poll, sleep, take a message and work on it for as long as they like. One of
 * them (which one is all the same) may be killed or stopped at any step; then the broker, or the time after
 * which all look, stands in. Checked in each state:
 *
 *     no message lies      while a message waits and nobody is on the way to it, no member sleeps that could
 *                          take it - but for one that was killed, until the broker has told all, and for one
 *                          that was stopped with the watch, until another has it
 *     nobody is stuck      from each state, all messages can be taken
 *
 * Each step is one access to shared memory or one system call. Whom a call wakes of several is anybody's
 * choice. The publisher's commit and look at the flag are in order, as its fence or the sleeper's membarrier
 * makes them (model_window.c has that). Which message it is, and what becomes of it, is model_group.c's: to
 * take one is a step. Of what a member remembers of the watch and of the bell it is only asked whether they
 * are still what they were: the turn of the one and the count of the other make that known.
 */
#include <stdbool.h>
#include <stdint.h>

enum { MESSAGES = 3, MEMBERS = 3, TIMES_OVER = 1, FAILING = 0 };

/* Ways of each member: its next step (to wake one: each of whom it may wake); it looks by itself; the time it
 * would wait is over; it is killed, or stopped. Then the publisher's, and the broker's. */
enum { STEP, LOOK_BY_ITSELF = STEP + MEMBERS, TIME_OVER, DIE, STOP, MEMBER_WAYS };
enum { PUBLISHER = MEMBERS * MEMBER_WAYS, BROKER, WAYS };

enum mutation {
    NONE,
    NOTHING_HANDED_ON,
    HANDED_ON_AFTER_WORK,
    ONLY_WHO_WATCHES_HANDS_ON,
    ONLY_WITH_A_MESSAGE,
    NOBODY_IS_WOKEN,
    NO_SECOND_LOOK,
    BELL_READ_LATE,
    SLEEPS_WITHOUT_COMPARING,
    OTHERS_FORGOTTEN,
    OTHERS_FORGOTTEN_BY_STORE,
    OTHERS_DO_NOT_SAY,
    DEAD_KEEP_IT,
    DEATH_IS_NOT_TOLD,
    STOPPED_KEEP_IT,
    MUTATIONS,
};

static const char *const names[MUTATIONS] = {
    "none",
    "the watch is not handed on",
    "it is handed on after the work",
    "who slept, and did not watch, hands nothing on",
    "who goes back without a message hands nothing on",
    "it is handed on, and nobody is woken",
    "who watches does not look again before it sleeps",
    "who watches looks, and then reads the bell",
    "others sleep whatever the watch is by then",
    "that others sleep is forgotten when it is handed on",
    "that others sleep is forgotten by a store",
    "others do not say that they sleep",
    "the dead keep it",
    "a death is told to nobody",
    "it is not taken away from who slept through it",
};

enum pc {
    POLL,
    KEEP_WATCH,
    READ_BELL,
    RAISE_FLAG,
    LOOK_AGAIN,
    LIE_DOWN_ON_BELL,
    ON_BELL,
    LIE_DOWN_ON_WATCH,
    ON_WATCH,
    HAND_ON,
    WAKE,
    FORGET_OTHERS,
    WORK,
    DEAD,
    STOPPED,
};
enum publisher_pc { COMMIT, LOAD_FLAG, LOWER_FLAG, RING, WAKE_ALL };
enum broker_pc { NOTHING_TO_DO, LEAVE, TELL };

struct member {
    uint8_t pc;
    uint8_t told;  /* there is a notice that it has not seen */
    uint8_t rung;  /* the bell is another than it read */
    uint8_t moved; /* the watch is another than it left behind, going to sleep or handing on */
    uint8_t slept; /* since it began to wait */
    uint8_t found; /* a message, that it is to take along */
};

struct state {
    uint8_t committed, taken;
    uint8_t flag;
    uint8_t watched_by, others_sleep;
    uint8_t publisher, broker;
    uint8_t excused; /* somebody failed, and who sleeps does not know of it yet */
    uint8_t times_over;
    struct member member[MEMBERS];
};

static enum mutation mutation;
static const char *broken;

static bool is_waiting(const struct member *m)
{
    return m->pc >= KEEP_WATCH && m->pc <= ON_WATCH;
}

static void change_watch(struct state *s, uint8_t who, uint8_t others)
{
    s->watched_by = who;
    s->others_sleep = others;
    for (unsigned i = 0; i < MEMBERS; i++)
        s->member[i].moved = s->member[i].pc < DEAD;
}

static bool sleeps(const struct member *m)
{
    return m->pc == ON_BELL || m->pc == ON_WATCH;
}

/* Forgets what no longer matters, so that like states are the same. */
static void go(struct member *m, enum pc pc)
{
    m->pc = (uint8_t)pc;
    if (pc != RAISE_FLAG && pc != LOOK_AGAIN && pc != LIE_DOWN_ON_BELL)
        m->rung = 1;
    if (!m->slept && pc != WAKE && pc != FORGET_OTHERS)
        m->moved = 1;
    if (pc == POLL)
        m->found = 0;
    if (!is_waiting(m))
        m->told = 0; /* a poll looks at the notice first */
}

/* Back to its caller, or to what it does before. */
static void go_back(struct member *m, bool found)
{
    bool hands_on = m->slept && mutation != NOTHING_HANDED_ON && mutation != HANDED_ON_AFTER_WORK &&
                    (found || mutation != ONLY_WITH_A_MESSAGE);
    m->found = found && hands_on;
    m->slept = m->slept && (hands_on || mutation == HANDED_ON_AFTER_WORK);
    go(m, hands_on ? HAND_ON : WORK);
}

static void keep_watch(struct state *s, struct member *m, uint8_t me)
{
    if (s->watched_by == 0)
        change_watch(s, me, s->others_sleep);
    else if (s->watched_by != me && !s->others_sleep && mutation != OTHERS_DO_NOT_SAY)
        change_watch(s, s->watched_by, 1);
    m->slept = 1;
    m->moved = 0;
    if (s->watched_by == me)
        s->excused = 0;
    go(m, s->watched_by != me ? LIE_DOWN_ON_WATCH : mutation == BELL_READ_LATE ? RAISE_FLAG : READ_BELL);
}

static void lie_down(struct member *m, bool as_expected, enum pc asleep)
{
    go(m, as_expected && !m->told ? asleep : POLL);
}

/* false: nothing to hand on. */
static bool pass(struct state *s, uint8_t me, bool slept_through)
{
    if (slept_through)
        s->excused = 0;
    if (mutation == STOPPED_KEEP_IT)
        slept_through = false;
    if (s->watched_by != me && !slept_through &&
        (s->watched_by != 0 || mutation == ONLY_WHO_WATCHES_HANDS_ON))
        return false;
    change_watch(s, 0, mutation == OTHERS_FORGOTTEN ? 0 : s->others_sleep);
    return true;
}

static void hand_on(struct state *s, struct member *m, uint8_t me)
{
    bool others = s->others_sleep, passed = pass(s, me, m->found && !m->moved);
    m->slept = m->found = m->moved = 0;
    bool wakes = passed && others && mutation != NOBODY_IS_WOKEN;
    go(m, wakes ? WAKE : mutation == HANDED_ON_AFTER_WORK ? POLL : WORK);
}

static bool wake_one(struct state *s, struct member *m, int whom)
{
    bool any = false;
    for (unsigned i = 0; i < MEMBERS; i++)
        any |= s->member[i].pc == ON_WATCH;
    if (any ? s->member[whom].pc != ON_WATCH : whom != 0)
        return false;
    if (any)
        go(&s->member[whom], POLL);
    go(m, !any ? FORGET_OTHERS : mutation == HANDED_ON_AFTER_WORK ? POLL : WORK);
    return true;
}

static bool step_member(struct state *s, struct member *m, int way)
{
    uint8_t me = (uint8_t)(m - s->member + 1);
    if (m->pc == WAKE)
        return wake_one(s, m, way);
    if (way != STEP)
        return false;
    switch (m->pc) {
    case POLL:
        m->told = 0;
        if (s->taken < s->committed) {
            s->taken++;
            go_back(m, true);
        } else {
            go(m, KEEP_WATCH);
        }
        return true;
    case KEEP_WATCH:
        keep_watch(s, m, me);
        return true;
    case READ_BELL:
        m->rung = 0;
        go(m, mutation == BELL_READ_LATE ? LIE_DOWN_ON_BELL : RAISE_FLAG);
        return true;
    case RAISE_FLAG:
        s->flag = 1;
        go(m, mutation == NO_SECOND_LOOK ? LIE_DOWN_ON_BELL : LOOK_AGAIN);
        return true;
    case LOOK_AGAIN:
        go(m, s->taken < s->committed ? POLL : mutation == BELL_READ_LATE ? READ_BELL : LIE_DOWN_ON_BELL);
        return true;
    case LIE_DOWN_ON_BELL:
        lie_down(m, !m->rung, ON_BELL);
        return true;
    case LIE_DOWN_ON_WATCH:
        lie_down(m, !m->moved || mutation == SLEEPS_WITHOUT_COMPARING, ON_WATCH);
        return true;
    case HAND_ON:
        hand_on(s, m, me);
        return true;
    case FORGET_OTHERS:
        if (!m->moved || mutation == OTHERS_FORGOTTEN_BY_STORE)
            change_watch(s, s->watched_by, 0);
        go(m, mutation == HANDED_ON_AFTER_WORK ? POLL : WORK);
        return true;
    case WORK:
        if (mutation == HANDED_ON_AFTER_WORK && m->slept) {
            m->found = 1;
            go(m, HAND_ON);
        } else {
            go(m, POLL);
        }
        return true;
    default:
        return false;
    }
}

/* Who works, or sleeps while another watches, is missed by nobody. */
static bool fail(struct state *s, struct member *m, bool dies)
{
    if (m != &s->member[FAILING])
        return false;
    s->excused = m->pc != WORK && m->pc != ON_WATCH;
    s->broker = dies ? LEAVE : NOTHING_TO_DO;
    *m = (struct member){.pc = dies ? DEAD : STOPPED};
    return true;
}

static bool happen_to(struct state *s, struct member *m, int way)
{
    if (m->pc == DEAD || m->pc == STOPPED)
        return false;
    switch (way) {
    case LOOK_BY_ITSELF:
        if (!sleeps(m))
            return false;
        go(m, POLL);
        return true;
    case TIME_OVER: /* a last poll had nothing */
        if (m->pc != KEEP_WATCH || !m->slept || s->times_over == TIMES_OVER)
            return false;
        s->times_over++;
        go_back(m, false);
        return true;
    default:
        return fail(s, m, way == DIE);
    }
}

static bool step_publisher(struct state *s)
{
    switch (s->publisher) {
    case COMMIT:
        if (s->committed == MESSAGES)
            return false;
        s->committed++;
        s->publisher = LOAD_FLAG;
        return true;
    case LOAD_FLAG:
        s->publisher = s->flag ? LOWER_FLAG : COMMIT;
        return true;
    case LOWER_FLAG:
        s->flag = 0;
        s->publisher = RING;
        return true;
    case RING:
        for (unsigned i = 0; i < MEMBERS; i++)
            s->member[i].rung = s->member[i].pc < DEAD;
        s->publisher = WAKE_ALL;
        return true;
    default:
        for (unsigned i = 0; i < MEMBERS; i++)
            if (s->member[i].pc == ON_BELL)
                go(&s->member[i], POLL);
        s->publisher = COMMIT;
        return true;
    }
}

/* The connection of who died ends. */
static bool step_broker(struct state *s)
{
    if (s->broker == LEAVE) {
        if (mutation != DEAD_KEEP_IT)
            (void)pass(s, FAILING + 1, false);
        s->broker = TELL;
        return true;
    }
    if (s->broker != TELL)
        return false;
    for (unsigned i = 0; i < MEMBERS && mutation != DEATH_IS_NOT_TOLD; i++) {
        s->member[i].told = is_waiting(&s->member[i]);
        if (sleeps(&s->member[i]))
            go(&s->member[i], POLL);
    }
    s->excused = 0;
    s->broker = NOTHING_TO_DO;
    return true;
}

static bool step(struct state *s, int way)
{
    if (way == PUBLISHER)
        return step_publisher(s);
    if (way == BROKER)
        return step_broker(s);
    struct member *m = &s->member[way / MEMBER_WAYS];
    way %= MEMBER_WAYS;
    return way < LOOK_BY_ITSELF ? step_member(s, m, way) : happen_to(s, m, way);
}

static void begin(struct state *s)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        s->member[i].rung = s->member[i].moved = 1; /* it remembers neither */
}

static void check(const struct state *s)
{
    bool anybody_sleeps = false;
    if (s->taken == s->committed || s->publisher != COMMIT || s->excused)
        return;
    for (unsigned i = 0; i < MEMBERS; i++) {
        const struct member *m = &s->member[i];
        if (!sleeps(m) && m->pc != WORK && m->pc != DEAD && m->pc != STOPPED)
            return; /* on the way */
        anybody_sleeps |= sleeps(m);
    }
    if (anybody_sleeps)
        broken = "a message lies while a member sleeps";
}

static bool all_done(const struct state *s)
{
    return s->taken == MESSAGES;
}

#include "explore.h"
