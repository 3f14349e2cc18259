/*
 * An exhaustive model of what a member's claim lives through (group/group.h, broker/keeper.h,
 * client/claims.c, client/durable.c): a broker that is killed, that stops in order and starts again, resets,
 * lines that are given anew, leases and their renewal. One message, two members, one of whom may die; who
 * takes which message is model_group.c's. Each step is one access to shared memory, or one request, which the
 * broker's loop serves as a whole. Three kinds of members, each explored by itself: at least once, at most
 * once, and the holder of a durable subscription (of two messages). Checked in each state:
 *
 *     what was told is true
 *         what was acked with 0 is given to nobody again, unless a reset asked for it; what is told not to
 *         count does not, unless a record was written in that moment
 *     one's own
 *         whatever an ack, nack or renewal changes is the claim that it speaks of
 *     at most once
 *         is given out once, unless a reset asks for it
 *     the limit
 *         nothing is given out more often than it says
 *     leases
 *         no claim that was made or renewed within a lease ends by time
 *     durable
 *         the floor is above nothing that was not acked, and never goes back
 *     nobody is stuck
 *         from each state, the message can be done
 *
 * Time is the keeper's looks: a lease is what lies between two of them, and looks are as many as you like.
 * What comes again is claimed first, and handed out by a later poll: between the two all may happen that may
 * happen to a claim, and its member may say what it has to say of the time before.
 *
 * What a token says to the code is its generation and deliveries; its serial number is the model's own, to
 * know what is true.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MEMBERS = 2, LINES = 2, PAGES = 3, LIMIT = 2, LEASE = 1, SERIALS = 15 };
enum kind { NO_KIND, AT_LEAST_ONCE, AT_MOST_ONCE, DURABLE, KINDS };

/* Ways of each member: its next step, or what it begins, with the message that it was given last or the one
 * before that. The broker's ways follow. */
enum { STEP, POLL, ACK, NACK, RENEW, ACK_OLD, DIE, MEMBER_WAYS };
enum { CRASH = MEMBERS * MEMBER_WAYS, START, STOP, CUT, RESET, UNDO, LOOK, WAYS };

enum mutation {
    NONE,
    ACK_WITHOUT_GENERATION,
    ACK_WITHOUT_DELIVERIES,
    GENERATIONS_ANEW,
    RESTORE_WITHOUT_LIMIT,
    GREET_ONLY_IN_POLL,
    GREETS_NOBODY,
    STATE_BEFORE_SWAP,
    RECORD_BEFORE_STATE,
    CLAIM_WITHOUT_STATE,
    RENEWAL_TOGGLES,
    RENEWAL_CLEARED_BY_STORE,
    NOT_AWAITED,
    LINES_KEPT_FOR_EVER,
    FLOOR_BY_STORE,
    READS_ON_WHERE_IT_WAS,
    ACK_NOT_TAKEN_BACK,
    CLAIM_NOT_TAKEN_BACK,
    COUNTED_WHEN_CLAIMED,
    NOT_LOOKED_AT_AGAIN,
    HAD_AGAIN_IS_HELD,
    MOVES_WHILE_OPEN,
    LINE_BEFORE_FORGOTTEN,
    MUTATIONS,
};

static const char *const names[MUTATIONS] = {
    "none",
    "an ack, nack or renewal does not compare generations",
    "an ack, nack or renewal does not compare deliveries",
    "generations begin anew with each page",
    "what is restored knows no limit of deliveries",
    "a new broker is greeted in poll alone",
    "a new broker is greeted by nobody",
    "the page's state is looked at before the change",
    "the record is taken before the state says so",
    "a claim is handed out without a look at the state",
    "a renewal toggles a bit",
    "a renewal is taken note of by a store",
    "lines that a crash left are nobody's at once",
    "lines that a crash left are kept for ever",
    "a durable ack stores the floor",
    "who greets and finds another page reads on where it was",
    "an ack that does not count any more stays done",
    "a claim that is not handed out stays done",
    "what is claimed again counts before it is handed out",
    "what is handed out again is not looked at again",
    "what is claimed again may be spoken of as what was given before",
    "a page is open while the record of the next one is written",
    "a member that is given another line does not know what it had on the one before",
};

enum word_state { FREE, CLAIMED, AVAILABLE, DONE };
enum page_state { OPEN, MOVED, CLOSED, MOVING };

struct word {
    uint8_t state, line, generation, deliveries, renewed;
    uint8_t serial; /* of the latest claim; 0: claimed again, and not handed out yet */
};

struct page {
    uint8_t state;
    uint8_t life;       /* the same over starts; a reset begins another */
    uint8_t generation; /* the latest that was given */
    uint8_t id[LINES], line_generation[LINES];
    uint8_t floor; /* durable: so many messages are done */
    struct word word;
};

struct token { /* what the member was handed out, and says again when it acks */
    uint8_t held, generation, deliveries;
    uint8_t serial, life, age; /* looks since it was claimed or renewed, at most LEASE */
};

struct member {
    uint8_t dead;
    uint8_t joined, page, line, id, generation; /* as it was told */
    uint8_t line_before, generation_before;     /* in the same page */
    uint8_t instance;                           /* of the broker that it greeted */
    uint8_t awaited, acted;                     /* by the one that runs, and since it does */
    uint8_t session, session_line, session_id;  /* as the broker has it */
    uint8_t action, pc;
    uint8_t was_open; /* STATE_BEFORE_SWAP */
    uint8_t position; /* durable: its reader's */
    struct word seen;
    uint8_t pending;       /* claimed again, to be read; 1 + how often it was given out before */
    uint8_t again;         /* its action hands that out */
    uint8_t late;          /* what it claims was done */
    uint8_t age;           /* looks since its action began: who stands still in it for a lease is late */
    uint8_t old;           /* the action is about the token before */
    struct token token[2]; /* the latest, and the one before */
};

struct state {
    uint8_t kind, up, stopping, instance, page, pages;
    uint8_t crashes, stops, resets, deaths; /* each once */
    uint8_t ids, serials;
    uint8_t resetting;       /* 1: the old page is to move; 2: the record names the new one */
    uint8_t since;           /* 1 + looks since a page was taken up; 0: nobody is awaited */
    uint8_t forsaken[LINES]; /* their members were silent for too long */
    uint8_t looking, look_renewed, age;
    struct word sighting, look;
    struct page record;        /* what an orderly stop writes down */
    uint8_t acked, acked_life; /* durable: how many; told 0 */
    uint8_t given;             /* in this life, how often: at most LIMIT + 1; durable: how many */
    uint8_t unheard;           /* counted in words, and not given: on the way, or what ended on it */
    struct page shm[PAGES];
    struct member member[MEMBERS];
};

static enum mutation mutation;
static enum kind kind;
static const char *broken;

static bool same(struct word a, struct word b)
{
    return a.state == b.state && a.line == b.line && a.generation == b.generation &&
           a.deliveries == b.deliveries && a.renewed == b.renewed;
}

static struct page *page_of(struct state *s, const struct member *m)
{
    return &s->shm[m->page];
}

/* ---- what is true ---- */

/* Of a page, though open, that the next start knows nothing of. */
static void counts(struct state *s, const struct member *m)
{
    if (page_of(s, m)->life != s->shm[s->page].life)
        broken = "what is told of a page that no record names";
}

static void gave(struct state *s, struct member *m, struct word w)
{
    uint8_t life = page_of(s, m)->life;
    if (mutation != CLAIM_WITHOUT_STATE)
        counts(s, m);
    if (m->late)
        broken = "what was told to be done is given out again";
    if (s->given >= (kind == AT_MOST_ONCE ? 1 : LIMIT))
        broken = kind == AT_MOST_ONCE ? "at most once, and twice" : "given out more often than the limit";
    if (s->given <= LIMIT && life == s->shm[s->page].life) {
        s->given++;
        s->unheard = (uint8_t)(s->unheard - (s->unheard > 0));
    }
    if (m == &s->member[0]) /* the other speaks of its latest alone */
        m->token[1] = m->token[0];
    m->token[1].age = 0;
    m->token[0] = (struct token){1, w.generation, w.deliveries, w.serial, life, m->age};
}

/* Who has it again, and was not given it yet, may ack it as what it had before: nobody else has it. So it is
 * of what it had again until it lost its line. */
static void changed(struct word w, const struct token *token, bool is_nobodys)
{
    if (w.serial != token->serial && !(is_nobodys && w.serial == 0))
        broken = "another's claim is changed";
}

static bool all_done(const struct state *s)
{
    const struct page *page = &s->shm[s->page];
    return s->kind == NO_KIND || (s->kind == DURABLE ? page->floor == 2 : page->word.state == DONE);
}

static bool may_happen(const struct state *s, uint8_t before)
{
    /* Claims have many states: one of these; else two. A death while no broker is there comes on top. */
    return before == 0 && s->crashes + s->stops + s->resets < (s->kind == AT_LEAST_ONCE ? 1 : 2);
}

/* ---- requests ---- */

static bool serves(const struct state *s)
{
    return s->up && s->stopping == 0;
}

/* Who wants to join waits for a reset that is under way. */
static bool answers(const struct state *s)
{
    return serves(s) && s->resetting == 0;
}

static bool has_session(const struct state *s, uint8_t line)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        if (s->member[i].session && s->member[i].session_line == line)
            return true;
    return false;
}

static struct word given_up(struct word w)
{
    w.renewed = 0;
    w.state = AVAILABLE;
    if (w.deliveries >= LIMIT) { /* dropped, or put away: it is done, by nobody */
        w.state = DONE;
        w.line = w.generation = 0;
    }
    return w;
}

/* A session's line is free, and what was claimed by it is others'. */
static void drop(struct state *s, struct member *m)
{
    struct page *page = &s->shm[s->page];
    if (m->session && page->id[m->session_line] == m->session_id) {
        page->id[m->session_line] = 0;
        if (page->word.state == CLAIMED && page->word.line == m->session_line &&
            page->word.generation == page->line_generation[m->session_line])
            page->word = given_up(page->word);
    }
    m->session = m->session_line = m->session_id = 0;
}

static void begin_session(struct state *s, struct member *m, uint8_t line)
{
    struct page *page = &s->shm[s->page];
    bool same_page = m->joined && m->page == s->page, same_line = same_page && m->id == page->id[line];
    if (!same_line && kind == AT_LEAST_ONCE && mutation != LINE_BEFORE_FORGOTTEN) {
        m->line_before = same_page ? m->line : 0;
        m->generation_before = same_page ? m->generation : 0;
    }
    m->session = m->joined = 1;
    m->session_line = m->line = line;
    m->session_id = m->id = page->id[line];
    m->generation = page->line_generation[line];
    m->page = s->page;
    m->instance = s->instance;
    m->awaited = s->forsaken[line] = 0;
    if (!same_line)
        m->pending = 0;
    if (!same_line && mutation != READS_ON_WHERE_IT_WAS)
        m->position = page->floor;
}

/* The broker resumes a line, or gives one: also one whose member may live, for there might be no other.
 * false: none is free. */
static bool join(struct state *s, struct member *m)
{
    struct page *page = &s->shm[s->page];
    if (m->joined && m->page == s->page && page->id[m->line] == m->id && !has_session(s, m->line)) {
        begin_session(s, m, m->line);
        return true;
    }
    for (uint8_t line = 0; line < (kind == DURABLE ? 1 : LINES); line++)
        if ((page->id[line] == 0 || s->forsaken[line]) && !has_session(s, line)) {
            page->id[line] = ++s->ids;
            page->line_generation[line] = ++page->generation;
            begin_session(s, m, line);
            return true;
        }
    return false;
}

static bool is_current(struct state *s, const struct member *m)
{
    return m->joined && page_of(s, m)->state == OPEN && page_of(s, m)->id[m->line] == m->id;
}

/* ---- members ---- */

enum pc { IDLE, STATE_FIRST, SWAP, STATE_LAST, TAKE_BACK };

static bool greets(enum mutation m, uint8_t action)
{
    return m != GREETS_NOBODY && (m != GREET_ONLY_IN_POLL || action == POLL);
}

static void greet(struct state *s, struct member *m)
{
    bool in_time = m->awaited && m->page == s->page && s->since != 0 && s->since <= LEASE;
    uint8_t before = m->id;
    (void)join(s, m);
    if (in_time && m->id != before)
        broken = "who comes back within a lease has lost its line";
}

/* Before anything else, each call greets a broker that is another. false: nothing came of it. */
static bool begin_action(struct state *s, struct member *m, uint8_t action)
{
    if (answers(s) && kind != AT_LEAST_ONCE) /* which has states enough */
        m->acted = 1;
    if (m->joined && m->instance != s->instance && answers(s) && greets(mutation, action))
        greet(s, m);
    if (action == POLL && !is_current(s, m)) {
        if (!answers(s))
            return false;
        drop(s, m);
        if (!join(s, m))
            return false;
    }
    m->action = action;
    m->pc = mutation == STATE_BEFORE_SWAP ? STATE_FIRST : SWAP;
    return true;
}

static void end_action(struct member *m)
{
    m->action = m->pc = IDLE;
    m->was_open = m->old = m->age = m->late = m->again = 0;
    m->seen = (struct word){0, 0, 0, 0, 0, 0};
}

static void let_go(struct member *m)
{
    if (m->old == 0)
        m->token[0] = m->token[1];
    m->token[1] = (struct token){0, 0, 0, 0, 0, 0};
}

/* What came again is to be read yet, by whatever poll that comes to something. */
static void claim_again(struct state *s, struct member *m)
{
    struct word *w = &page_of(s, m)->word;
    m->pending = (uint8_t)(1 + w->deliveries);
    *w = (struct word){CLAIMED, m->line, m->generation, w->deliveries, 0, 0};
    if (mutation == COUNTED_WHEN_CLAIMED)
        w->deliveries++;
    if (m == &s->member[0] && kind == AT_LEAST_ONCE) /* others read it in the same poll */
        end_action(m);
}

static bool is_still_its_own(const struct member *m, struct word w)
{
    if (mutation == NOT_LOOKED_AT_AGAIN)
        return true;
    return w.state == CLAIMED && w.line == m->line && w.generation == m->generation &&
           w.deliveries + (mutation != COUNTED_WHEN_CLAIMED) == m->pending;
}

static void take(struct state *s, struct member *m)
{
    struct page *page = page_of(s, m);
    uint8_t deliveries = 1;
    if (m->pending != 0) {
        deliveries = m->pending;
        bool is_its_own = is_still_its_own(m, page->word);
        m->again = 1;
        m->pending = 0;
        if (!is_its_own) {
            end_action(m);
            return;
        }
    } else if (page->word.state == AVAILABLE) {
        claim_again(s, m);
        return;
    } else if (page->word.state != FREE) {
        end_action(m);
        return;
    }
    s->serials = (uint8_t)(s->serials + (s->serials < SERIALS));
    s->unheard = (uint8_t)(s->unheard + (kind == AT_LEAST_ONCE && s->unheard < LIMIT));
    page->word = (struct word){kind == AT_MOST_ONCE ? DONE : CLAIMED, m->line,   m->generation, deliveries,
                               m->again && kind != AT_MOST_ONCE,      s->serials};
    m->seen = page->word;
    m->late = s->acked && s->acked_life == page->life; /* it is given from now on, however long that takes */
    if (mutation != CLAIM_WITHOUT_STATE) {
        m->pc = STATE_LAST;
        return;
    }
    gave(s, m, page->word);
    end_action(m);
}

/* The look and the exchange are one step: an exchange that fails looks again. */
static bool is_of_token(const struct member *m, struct word w)
{
    const struct token *token = &m->token[m->old];
    bool is_of_before = m->generation_before != 0 && token->generation == m->generation_before;
    return w.state != FREE && w.line == (is_of_before ? m->line_before : m->line) && w.generation != 0 &&
           (mutation == ACK_WITHOUT_GENERATION || w.generation == token->generation) &&
           (mutation == ACK_WITHOUT_DELIVERIES || w.deliveries == token->deliveries);
}

static void change(struct state *s, struct member *m)
{
    struct word *w = &page_of(s, m)->word, before = *w;
    bool mine = is_of_token(m, *w);
    if (m->action != ACK && m->pending != 0 && mutation != HAD_AGAIN_IS_HELD)
        mine = false;
    if (!mine && w->state == CLAIMED && w->serial != 0 && w->serial == m->token[m->old].serial &&
        mutation != ACK_WITHOUT_GENERATION && mutation != ACK_WITHOUT_DELIVERIES)
        broken = "who holds it is told that it does not";
    if (!mine || (m->action != ACK && w->state != CLAIMED)) {
        if (m->action != RENEW)
            let_go(m);
        end_action(m);
        return;
    }
    if (w->state != DONE || m->action != ACK)
        changed(*w, &m->token[m->old], m->action == ACK || m->pending == 0);
    if (m->action == ACK) {
        w->state = DONE;
        w->renewed = 0;
    } else if (m->action == NACK) {
        *w = given_up(*w);
    } else {
        w->renewed = mutation == RENEWAL_TOGGLES ? !w->renewed : 1;
        m->token[m->old].age = m->age;
    }
    if (m->action == ACK) {
        m->seen = before;
        m->pc = STATE_LAST; /* what is told of the others claims nothing for later */
        return;
    }
    if (m->action == NACK)
        let_go(m);
    end_action(m);
}

/* Durable: the next message, or all that was given out is done. */
static void read_on(struct state *s, struct member *m)
{
    if (m->position < 2 && (mutation == CLAIM_WITHOUT_STATE || is_current(s, m))) {
        if (mutation != CLAIM_WITHOUT_STATE)
            counts(s, m);
        if (s->acked_life == page_of(s, m)->life && m->position < s->acked)
            broken = "what was told to be done is given out again";
        if (page_of(s, m)->life == s->shm[s->page].life) {
            if (m->position > s->given)
                broken = "a message is skipped";
            if (m->position == s->given)
                s->given++;
        }
        m->position++;
        if (m->token[0].generation != m->generation)
            m->token[1] = m->token[0];
        m->token[0] = (struct token){1, m->generation, m->position, 0, page_of(s, m)->life, 0};
    }
    end_action(m);
}

/* Of the latest (ACK) or of the first (NACK, which there is not): an older ack changes nothing. */
static void raise_floor(struct state *s, struct member *m)
{
    struct page *page = page_of(s, m);
    const struct token *token = &m->token[m->old];
    uint8_t to = m->action == ACK ? token->deliveries : 1;
    bool mine = mutation == ACK_WITHOUT_GENERATION || token->generation == m->generation;
    if (!mine || !is_current(s, m)) {
        end_action(m);
        return;
    }
    if (token->life != page->life && to > page->floor)
        broken = "an ack of before a reset skips what comes after it";
    if (to < page->floor && mutation == FLOOR_BY_STORE)
        broken = "the floor goes back";
    if (to > page->floor || mutation == FLOOR_BY_STORE)
        page->floor = to;
    m->seen.deliveries = to;
    m->pc = STATE_LAST;
}

/* What was done and is not told is as it was; a claim that nobody is given is given up. */
static void take_back(struct state *s, struct member *m)
{
    struct page *page = page_of(s, m);
    bool claimed = m->action == POLL,
         stays = mutation == (claimed ? CLAIM_NOT_TAKEN_BACK : ACK_NOT_TAKEN_BACK);
    struct word now = page->word;
    bool is_ours = now.serial == m->seen.serial && now.state == (claimed ? m->seen.state : DONE) &&
                   now.line == m->seen.line && now.generation == m->seen.generation;
    if (m->again && is_ours && !stays) { /* as it was claimed; and then it is given up */
        m->seen = (struct word){CLAIMED, m->line, m->generation, (uint8_t)(m->seen.deliveries - 1), 0, 0};
        page->word = m->seen;
        m->again = 0;
        return;
    }
    if (is_ours && !stays)
        page->word = claimed ? given_up(page->word) : m->seen;
    bool done = page->word.serial == m->seen.serial && page->word.state == DONE &&
                page->word.generation != 0 && page->word.generation == m->seen.generation;
    if (done && page == &s->shm[s->page] && s->stopping < 2)
        broken = claimed ? "what nobody is given is done" : "what is told not to be done is";
    if (!claimed)
        let_go(m);
    end_action(m);
}

/* The state is looked at after the change. What is told 0 is true from now on. */
static void tell(struct state *s, struct member *m)
{
    bool open = kind == DURABLE ? is_current(s, m) : page_of(s, m)->state == OPEN;
    if (mutation == STATE_BEFORE_SWAP)
        open = m->was_open;
    if (!open && kind != DURABLE && (m->action == POLL || m->seen.state != DONE)) {
        m->pc = TAKE_BACK;
        return;
    }
    if (open && mutation != STATE_BEFORE_SWAP)
        counts(s, m);
    if (m->action == POLL) {
        if (open)
            gave(s, m, m->seen);
    } else if (kind == DURABLE) {
        if (open && s->shm[s->page].life == page_of(s, m)->life && m->seen.deliveries > s->acked) {
            s->acked = m->seen.deliveries;
            s->acked_life = page_of(s, m)->life;
        }
    } else if (m->action == ACK) {
        if (open && s->shm[s->page].life == page_of(s, m)->life) {
            s->acked = 1;
            s->acked_life = page_of(s, m)->life;
        }
        let_go(m);
    }
    end_action(m);
}

static bool step_member(struct state *s, struct member *m, int way)
{
    if (m->dead)
        return false;
    if (way == DIE) {
        if (m == &s->member[0] || s->deaths > 0 || s->up)
            return false;
        s->deaths++;
        *m = (struct member){.dead = 1};
        return true;
    }
    if (way != STEP) {
        bool old = way == ACK_OLD;
        if (m->pc != IDLE || (way != POLL && !m->token[old].held) || (way == RENEW && kind == DURABLE))
            return false;
        if (m == &s->member[1] && way != POLL && way != ACK) /* one of the two does all there is, but dies */
            return false;
        m->old = old;
        if (begin_action(s, m, old ? ACK : (uint8_t)way))
            return true;
        m->old = 0;
        return true;
    }
    switch (m->pc) {
    case STATE_FIRST:
        m->was_open = page_of(s, m)->state == OPEN;
        m->pc = SWAP;
        return true;
    case SWAP:
        if (kind == DURABLE)
            m->action == POLL ? read_on(s, m) : raise_floor(s, m);
        else
            m->action == POLL ? take(s, m) : change(s, m);
        return true;
    case STATE_LAST:
        tell(s, m);
        return true;
    case TAKE_BACK:
        take_back(s, m);
        return true;
    default:
        return false;
    }
}

/* ---- the broker ---- */

static void end_sessions(struct state *s)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &s->member[i];
        m->awaited = m->session;
        m->session = m->session_line = m->session_id = 0;
    }
    s->sighting = s->look = (struct word){0, 0, 0, 0, 0, 0};
    s->looking = s->look_renewed = s->age = s->since = 0;
    memset(s->forsaken, 0, sizeof s->forsaken);
}

static struct page restored(const struct page *record)
{
    struct page page = {.life = record->life, .floor = record->floor, .generation = record->generation};
    struct word w = record->word;
    if (mutation == GENERATIONS_ANEW)
        page.generation = 0;
    if (w.state == CLAIMED || w.state == AVAILABLE) {
        w = mutation == RESTORE_WITHOUT_LIMIT ? w : given_up(w);
        w.state = mutation == RESTORE_WITHOUT_LIMIT ? AVAILABLE : w.state;
    }
    w.line = w.generation = w.renewed = 0;
    page.word = w;
    return page;
}

static bool start(struct state *s)
{
    if (s->up)
        return false;
    s->up = 1;
    s->instance++;
    for (unsigned i = 0; i < MEMBERS; i++)
        s->member[i].acted = 0;
    if (s->resetting == 2)
        s->shm[s->page - 1].state = MOVED;
    s->resetting = 0;
    if (s->stopping) {
        s->shm[s->pages] = restored(&s->record);
        s->page = s->pages++;
        s->record = (struct page){0};
        s->stopping = 0;
        return true;
    }
    s->since = 1;
    s->shm[s->page].state = OPEN; /* of a broker that died while it stopped, or amid a reset */
    for (unsigned line = 0; line < LINES && mutation == NOT_AWAITED; line++)
        s->shm[s->page].id[line] = 0;
    return true;
}

/* First the state, then the record. The next start makes another page from it. */
static bool stop(struct state *s)
{
    struct page *page = &s->shm[s->page];
    if (!s->up || s->resetting != 0 || (s->stopping == 0 && !may_happen(s, s->stops)))
        return false;
    s->stops = 1;
    if ((s->stopping == 0) == (mutation != RECORD_BEFORE_STATE))
        page->state = CLOSED;
    else
        s->record = *page;
    if (++s->stopping == 2) {
        s->up = 0;
        end_sessions(s);
    }
    return true;
}

/* It dies over it: the next start finds the page. */
static bool cut(struct state *s)
{
    if (!s->up || s->stopping != 1)
        return false;
    s->up = s->stopping = 0;
    s->record = (struct page){0};
    end_sessions(s);
    return true;
}

/* The record names another page. */
static void move(struct state *s)
{
    const struct page *before = &s->shm[s->page];
    s->shm[s->pages] = (struct page){.life = (uint8_t)(before->life + 1),
                                     .generation = mutation == GENERATIONS_ANEW ? 0 : before->generation};
    s->page = s->pages++;
    s->given = s->unheard = s->acked = s->acked_life = s->since = 0;
    s->sighting = (struct word){0, 0, 0, 0, 0, 0};
    s->age = 0;
    memset(s->forsaken, 0, sizeof s->forsaken);
}

/* Its three steps: nobody is given anything, the record, the end of the old page. */
static bool reset(struct state *s)
{
    if (!serves(s) || (s->resetting == 0 && !may_happen(s, s->resets)))
        return false;
    switch (s->resetting++) {
    case 0:
        s->resets++;
        s->shm[s->page].state = mutation == MOVES_WHILE_OPEN ? OPEN : MOVING;
        break;
    case 1:
        move(s);
        break;
    default:
        s->shm[s->page - 1].state = MOVED;
        s->resetting = 0;
    }
    return true;
}

/* The record could not be written. */
static bool undo(struct state *s)
{
    if (!serves(s) || s->resetting != 1)
        return false;
    s->shm[s->page].state = OPEN;
    s->resetting = 0;
    return true;
}

static bool is_awaited(const struct state *s, uint8_t line)
{
    return s->since != 0 && !s->forsaken[line] && s->shm[s->page].id[line] != 0 && !has_session(s, line);
}

static void forsake(struct state *s, uint8_t line)
{
    s->forsaken[line] = 1;
    for (unsigned i = 0; i < MEMBERS; i++) {
        const struct member *m = &s->member[i];
        if (!m->dead && m->acted && m->page == s->page && m->id == s->shm[s->page].id[line])
            broken = "who did something since the broker runs is not heard of";
    }
}

static void forsake_lines(struct state *s)
{
    bool awaits = false;
    for (uint8_t line = 0; line < LINES; line++)
        if (is_awaited(s, line)) {
            if (s->since > LEASE && mutation != LINES_KEPT_FOR_EVER)
                forsake(s, line);
            else
                awaits = true;
        }
    s->since = !awaits ? 0 : s->since > LEASE ? s->since : (uint8_t)(s->since + 1);
}

/* Time has run out for a claim. */
static void expire(struct state *s)
{
    struct page *page = &s->shm[s->page];
    if (!same(page->word, s->look))
        return;
    for (unsigned i = 0; i < MEMBERS; i++) {
        const struct member *m = &s->member[i];
        if (!m->dead && m->token[0].held && m->token[0].serial == page->word.serial &&
            m->token[0].age < LEASE)
            broken = "a lease ends early";
    }
    page->word = given_up(page->word);
}

static void end_look(struct state *s)
{
    s->look = (struct word){0, 0, 0, 0, 0, 0};
    s->looking = s->look_renewed = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &s->member[i];
        if (m->pc != IDLE && m->age < LEASE)
            m->age++;
        if (m->token[0].held && m->token[0].age < LEASE)
            m->token[0].age++;
    }
}

/* A claim that is as it was for a lease. */
static void judge(struct state *s)
{
    if (s->age >= LEASE && !is_awaited(s, s->look.line)) {
        expire(s);
        s->sighting = (struct word){0, 0, 0, 0, 0, 0};
        s->age = 0;
    }
    if (s->age > LEASE)
        s->age = LEASE;
}

/* The load of the word, and what follows from it. */
static bool look(struct state *s)
{
    struct page *page = &s->shm[s->page];
    if (!serves(s))
        return false;
    if (!s->looking) {
        forsake_lines(s);
        s->look = page->word;
        s->looking = 1;
        if (kind == DURABLE || s->look.state != CLAIMED) {
            s->sighting = (struct word){0, 0, 0, 0, 0, 0};
            s->age = 0;
            end_look(s);
        }
        return true;
    }
    bool renewed = mutation != RENEWAL_TOGGLES && s->look.renewed, taken = same(page->word, s->look);
    if (renewed && (taken || mutation == RENEWAL_CLEARED_BY_STORE)) {
        s->look.renewed = 0;
        s->look.serial = taken ? page->word.serial : s->look.serial; /* which is not in the word */
        page->word = s->look;
    }
    s->age = !renewed && same(s->look, s->sighting) ? (uint8_t)(s->age + 1) : 0;
    s->sighting = s->look;
    s->sighting.serial = 0;
    if (taken || !renewed)
        judge(s);
    end_look(s);
    return true;
}

static bool step(struct state *s, int way)
{
    kind = (enum kind)s->kind;
    if (kind == NO_KIND) {
        s->kind = (uint8_t)(way + 1);
        return s->kind < KINDS;
    }
    if (way < CRASH)
        return step_member(s, &s->member[way / MEMBER_WAYS], way % MEMBER_WAYS);
    switch (way) {
    case CRASH:
        if (!serves(s) || !may_happen(s, s->crashes))
            return false;
        s->crashes++;
        s->up = 0;
        end_sessions(s);
        return true;
    case START:
        return start(s);
    case STOP:
        return stop(s);
    case CUT:
        return cut(s);
    case RESET:
        return reset(s);
    case UNDO:
        return undo(s);
    default:
        return look(s);
    }
}

static void begin(struct state *s)
{
    s->up = s->instance = s->pages = 1;
}

static void check(const struct state *s)
{
    const struct word *w = &s->shm[s->page].word;
    if (s->kind == AT_LEAST_ONCE && w->state == DONE && w->deliveries >= LIMIT &&
        s->given + s->unheard < LIMIT)
        broken = "it is dead, and was not given out that often";
    if (s->kind == DURABLE && s->acked_life == s->shm[s->page].life && s->up && s->stopping == 0 &&
        s->shm[s->page].floor < s->acked)
        broken = "what was told to be done is forgotten";
}

#include "explore.h"
