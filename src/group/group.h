/*
 * A group's page: which message of a topic belongs to which member of a consumer group. In shared memory,
 * written by all members and by the broker, so that a message costs no word with the broker. The members of
 * one group are processes of one user, who count as one (docs/decisions/010).
 *
 *     0      identity   written once
 *     64     settings   the broker
 *     128    notice     grows whenever something happened that members must look at; sleepers sleep on it
 *            given_up   every message that was ever given up is below it
 *     192    cursor     every message below it has been claimed
 *     256    floor      every message below it is done
 *     320    counters
 *     384    dead letter
 *     512    watch      who sleeps for all; those for whom it does sleep on it
 *     4096   members    one line each, the broker's
 *     12288  slots      one word for each 64 bytes of log, of the messages between floor and floor + span
 *
 * The word of the message at position p stands in slot (p / 64) mod slots and says everything about it:
 *
 *     free ──claim──> CLAIMED ──ack──> DONE           free: a word of an earlier lap, or 0
 *                      │   ^
 *          nack, death, │   │ claim again; handed out: deliveries + 1
 *          lease run out v   │
 *                    AVAILABLE        at the limit of deliveries DEAD instead: the broker puts the message
 *                                     into the dead-letter topic, and then it is DONE
 *
 * What is gone before anybody had it goes from free to DONE, with no delivery: who finds that out counts it
 * as lost, and who read it in time and comes to claim it comes too late.
 *
 * Each change is one compare-and-swap of that word: a member that dies at any instruction leaves each
 * message in one of these states, and nothing locked. At-most-once members claim by going to DONE at once.
 *
 * What comes again is to be read yet, and the store may let one wait: it is CLAIMED, by whomever, and a
 * delivery more once it has been read and goes to the caller. So what came to nothing meanwhile - its member
 * left, its lease ran out, the broker stopped - is no delivery.
 *
 * Whose a claim is. Each giving of a line to a member has a generation, another for each in the life of the
 * group (8,191 of them, then again), over resets and starts of the broker. The word of a claim has line,
 * generation and deliveries; the message that was handed out carries generation and deliveries as its claim.
 * So what is said late, of another claim of the same message, by a former holder of the line or by way of a
 * former page, is known to be that, and changes nothing.
 *
 * The end of a page. Who acks, nacks or renews changes the word first and looks at the page's state then; the
 * broker sets the state first and looks at the words then, for its record or for the next page. All of it is
 * sequentially consistent: what was told to be done is in the record, or it was not told. A reset does so
 * before its record names another page: a broker that dies over it leaves no page in which members go on
 * while none runs, though the next one begins with the other.
 *
 * Why floor and cursor may be stale. Who stores cursor = c has seen claims of all messages below c, its own
 * or (acquire) others'; an older value, stored late, says less and nothing wrong to who looks for new
 * messages, and stays until somebody reads one. Others must not miss anything for it. Who wants room makes it
 * below its own position, whose way there says as much as a cursor. Who looks for messages that came back
 * looks below given_up, which only grows, is raised before a message comes back, and that before the notice.
 * Who looks at what is in flight looks behind the cursor too. A message may be claimed only below
 * floor + span, and what stood in its slot before was below the floor, so it is done. floor only grows: by
 * compare-and-swap, over slots that were seen DONE.
 *
 * The watch. The window's bell wakes all who sleep on it for each message. So one of a group's sleeping
 * members has the watch and sleeps there; the others sleep on the watch, while it is what it was. It says who
 * has it (line + 1; 0: nobody), whether others sleep, and a turn, another each time that it is handed on.
 * Who goes to sleep takes it if it is nobody's, and then looks for messages once more: what was there before
 * is found, and what comes later rings. Who was asleep hands on before it goes back to its caller, with a
 * message or without: makes the watch nobody's and wakes one other. That one finds a message, and hands on
 * likewise, or finds none, and has the watch. So while it is nobody's, somebody is awake who takes it or
 * hands on. Who is killed or stopped hands nothing on: for who dies the broker does, and tells all; and all
 * look by themselves from time to time, and who then finds a message takes the watch from who slept through
 * it. A member that waits by a descriptor (io/notifier.h) sleeps on the bell and nobody relies on it: its
 * event loop may be busy with other things for as long as it likes.
 *
 * The idea of one state for each message in flight, between two positions, is that of Kafka's share groups
 * (KIP-932); there the broker keeps it and each change is a request.
 */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hermes/error.h"

enum {
    GROUP_MAGIC = 0x50524748, /* "HGRP" */
    GROUP_VERSION = 4,
    GROUP_MEMBERS = 256,
    GROUP_HEADER_BYTES = 12288,
    GROUP_SLOTS_MIN = 4096,    /* a span of 256 KiB, more than the largest message; see words */
    GROUP_SLOTS_MAX = 1 << 22, /* 256 MiB */
    GROUP_DELIVERIES_MAX = 2047,
    GROUP_DELIVERIES_ROUND = 2040, /* behind it: the last eight go round, so that each claim is another */
    GROUP_GENERATIONS = 8191,      /* 1 to 8191; 0: nobody's */
    GROUP_DEAD_LETTER_BYTES = 128,
};

/* MOVED: its position was set anew; there is another page. MOVING: that is being written down, and may fail:
 * until then nobody is given anything, and nothing that is said counts. */
enum group_page_state {
    GROUP_OPEN = 1,
    GROUP_MOVED = 2,
    GROUP_DELETED = 3,
    GROUP_CLOSED = 4,
    GROUP_MOVING = 5
};

struct group_line {
    _Atomic uint64_t id;         /* 0: free. A member that finds another's here was given up */
    _Atomic uint32_t generation; /* of who has it, or had it last */
    uint32_t reserved;
    _Atomic uint64_t last;  /* the id of who has it, or had it last */
    _Atomic uint64_t known; /* and what that was known by before: its own id, if another had it in between */
};

struct group_page {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint64_t topic_id;
    uint64_t id;    /* another for each page */
    uint32_t slots; /* power of two; 0: a durable subscription, which has floor and nothing more */
    uint32_t made;  /* which of the groups that had the name, one after the other; 0: not known */

    _Alignas(64) _Atomic uint32_t state; /* enum group_page_state */
    _Atomic uint32_t max_deliveries;     /* 0: no limit */
    _Atomic uint32_t hungry;             /* a member waits for room between floor and floor + span */
    _Atomic uint32_t generation;         /* the latest that was given; the broker's */

    _Alignas(64) _Atomic uint32_t notice;
    _Atomic uint64_t given_up;
    uint64_t reserved3;

    _Alignas(64) _Atomic uint64_t cursor;
    _Atomic uint64_t cursor_sequence; /* of the last message below it; for a moment, of a neighbour */
    _Atomic uint64_t edge;            /* a cursor and its sequence: the low halves, which change together */

    _Alignas(64) _Atomic uint64_t floor;

    _Alignas(64) _Atomic uint64_t redelivered; /* handed out, and not for the first time */
    _Atomic uint64_t expired;                  /* leases that ran out */
    _Atomic uint64_t dead;                     /* messages that reached the limit */
    _Atomic uint64_t lost;                     /* gone before they were done: overwritten, removed, damaged */
    _Atomic uint64_t lost_through; /* the sequence up to which gaps are in it; late for a moment */
    _Atomic uint64_t counted;      /* that and where it ends, / 64: the low halves, which change together */

    _Alignas(64) char dead_letter[GROUP_DEAD_LETTER_BYTES]; /* a topic's name, written once; "": none */

    _Alignas(64) _Atomic uint32_t watch; /* in no line that others look at: it changes with each sleep */

    _Alignas(4096) struct group_line members[GROUP_MEMBERS];
    _Alignas(4096) _Atomic uint64_t slot[];
};

_Static_assert(offsetof(struct group_page, state) == 64, "settings");
_Static_assert(offsetof(struct group_page, notice) == 128, "notice");
_Static_assert(offsetof(struct group_page, cursor) == 192, "cursor");
_Static_assert(offsetof(struct group_page, floor) == 256, "floor");
_Static_assert(offsetof(struct group_page, redelivered) == 320, "counters");
_Static_assert(offsetof(struct group_page, dead_letter) == 384, "dead letter");
_Static_assert(offsetof(struct group_page, watch) == 512, "watch");
_Static_assert(offsetof(struct group_page, members) == 4096, "members");
_Static_assert(offsetof(struct group_page, slot) == GROUP_HEADER_BYTES, "slots");

/* ---- words ---- */

enum group_state { GROUP_FREE = 0, GROUP_CLAIMED = 1, GROUP_AVAILABLE = 2, GROUP_DONE = 3, GROUP_DEAD = 4 };

/*
 * state 3 bits, renewed 1, line 8, generation 13, deliveries 11, place 28: position / 256 KiB. The slot's
 * index has the bits between (at least 12), so both together say the position. A claim, as the message
 * carries it, is generation and the low 3 bits of deliveries.
 */
enum { GROUP_LINE_AT = 4, GROUP_CLAIM_AT = 12, GROUP_DELIVERIES_AT = 25, GROUP_PLACE_AT = 36 };
enum { GROUP_CLAIM_DELIVERIES_AT = GROUP_DELIVERIES_AT - GROUP_CLAIM_AT };
#define GROUP_RENEWED ((uint64_t)1 << 3)
#define GROUP_PLACE_MASK (((uint64_t)1 << 28) - 1)
#define GROUP_WHOSE_MASK ((uint64_t)0xffffff << GROUP_LINE_AT) /* line and claim */

static inline uint64_t group_place(uint64_t position)
{
    return position >> 18 << GROUP_PLACE_AT;
}

static inline uint64_t group_word(uint64_t position, unsigned deliveries, unsigned line, unsigned generation,
                                  enum group_state state)
{
    return group_place(position) | (uint64_t)deliveries << GROUP_DELIVERIES_AT |
           (uint64_t)generation << GROUP_CLAIM_AT | (uint64_t)line << GROUP_LINE_AT | (uint64_t)state;
}

static inline enum group_state group_state_of(uint64_t word)
{
    return (enum group_state)(word & 7);
}

static inline unsigned group_line_of(uint64_t word)
{
    return word >> GROUP_LINE_AT & 0xFF;
}

static inline unsigned group_generation_of(uint64_t word)
{
    return word >> GROUP_CLAIM_AT & GROUP_GENERATIONS;
}

static inline uint16_t group_claim_of(uint64_t word)
{
    return (uint16_t)(word >> GROUP_CLAIM_AT);
}

static inline unsigned group_deliveries_of(uint64_t word)
{
    return word >> GROUP_DELIVERIES_AT & GROUP_DELIVERIES_MAX;
}

/* What nobody had before it was gone, and nobody gets. (Any 64 bytes of it: where a message began that is
 * gone, nobody knows.) */
static inline bool group_is_nobodys(uint64_t word)
{
    return group_state_of(word) == GROUP_DONE && group_deliveries_of(word) == 0;
}

/* Does the word speak of the message at position, in whose slot it stands? (Positions 64 TiB apart look
 * alike; slots are reused much earlier.) */
static inline bool group_is_of(uint64_t word, uint64_t position)
{
    return word >> GROUP_PLACE_AT == (position >> 18 & GROUP_PLACE_MASK) &&
           group_state_of(word) != GROUP_FREE;
}

/* Is the slot free for the message at position: does its word speak of an earlier one, or of none? */
static inline bool group_is_free_for(uint64_t word, uint64_t position)
{
    uint64_t ahead = ((position >> 18) - (word >> GROUP_PLACE_AT)) & GROUP_PLACE_MASK;
    return word == 0 || (ahead != 0 && ahead <= GROUP_PLACE_MASK / 2);
}

/* A position that a page says, which a stranger may have written: a frame's, and a span may be added to it.
 */
static inline uint64_t group_sane(uint64_t position)
{
    const uint64_t most = (uint64_t)1 << 62;
    return (position < most ? position : most) & ~(uint64_t)63;
}

/* ---- a member's side; one thread at a time ---- */

/* How far somebody has looked for what became available again: a member, or several that look together. */
struct group_look {
    uint32_t seen; /* the notice up to which all that became available was looked at */
    uint32_t scanning_for;
    uint64_t scan; /* while another notice is: how far that has come; UINT64_MAX: not begun */
};

/* Whatever the notice is, a newcomer looks once: something may have been available for long. */
static inline struct group_look group_look_begin(const struct group_page *page)
{
    return (struct group_look){.seen = atomic_load_explicit(&page->notice, memory_order_relaxed) - 1,
                               .scan = UINT64_MAX};
}

/* Has something happened since? */
static inline bool group_look_has_news(const struct group_look *look, const struct group_page *page)
{
    return atomic_load_explicit(&page->notice, memory_order_relaxed) != look->seen;
}

struct group_member {
    struct group_page *page;
    uint64_t mask;   /* slots - 1, read once and checked */
    uint64_t id;     /* what its line must say */
    uint64_t claims; /* the word of a first claim, but for the place */
    unsigned line;
    unsigned line_before, generation_before; /* that it had in this page, if there was one; else 0, 0 */
    bool at_most_once;
    struct group_look look;
    uint32_t slept_by; /* the watch as it was when this member went to sleep; 0: it hands nothing on */
};

/* Takes up a page of so many mapped bytes, and the line that the broker gave. HERMES_EMALFORMED,
 * HERMES_EVERSION. */
int group_member_init(struct group_member *member, struct group_page *page, size_t bytes, unsigned line,
                      uint64_t id, bool at_most_once);

/* It had another line of the same page, which is somebody else's by now: what it claimed there is its own all
 * the same, for as long as nobody takes it. One line is remembered. */
void group_member_was(struct group_member *member, const struct group_member *before);

enum group_claim { GROUP_MINE, GROUP_TAKEN, GROUP_NO_ROOM };

/* Slow path of group_claim(): floor and position are far apart. */
enum group_claim group_make_room(struct group_member *member, uint64_t position);

/* The message at position, which stands committed in the log, for the first time. GROUP_TAKEN: it is, or was,
 * another's. GROUP_NO_ROOM: too much is in flight. */
static inline enum group_claim group_claim(struct group_member *member, uint64_t position)
{
    struct group_page *page = member->page;
    /* Acquire pairs with the release in group_advance(): what was below the floor is done for us too. */
    uint64_t floor = atomic_load_explicit(&page->floor, memory_order_acquire);
    if (__builtin_expect(position - floor >= (member->mask + 1) << 6, 0)) {
        enum group_claim room = group_make_room(member, position);
        if (room != GROUP_MINE)
            return room;
    }
    _Atomic uint64_t *slot = &page->slot[position >> 6 & member->mask];
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t mine = group_place(position) | member->claims;
    do { /* again where a gap of the lap before was closed meanwhile: group_note_gap() */
        if (!group_is_free_for(word, position))
            return GROUP_TAKEN;
        /* Release pairs with the acquire of the cursor, through group_passed(): who walks on has seen it.
         * Sequentially consistent for who looks at the page's state then: group_is_open(). */
    } while (!atomic_compare_exchange_strong_explicit(slot, &word, mine, memory_order_seq_cst,
                                                      memory_order_relaxed));
    return GROUP_MINE;
}

/* Of a first claim: what the message carries. */
static inline uint16_t group_first_claim(const struct group_member *member)
{
    return group_claim_of(member->claims);
}

/*
 * After a change of a word: does the page count? Pairs with who closes it, who sets the state before looking
 * at the words, all of it sequentially consistent: a change that is missing there finds the state here.
 */
static inline bool group_is_open(const struct group_page *page)
{
    return atomic_load(&page->state) == GROUP_OPEN;
}

/* What page->edge and page->counted say: a sequence, and the position behind it / 64. */
static inline uint64_t group_pair(uint64_t sequence, uint64_t position)
{
    return position >> 6 << 32 | (sequence & UINT32_MAX);
}

/* What group_edge() finds. Whoever is held up between these stores and that of the cursor has said so much.
 */
static inline void group_say_edge(struct group_page *page, uint64_t position, uint64_t sequence)
{
    atomic_store_explicit(&page->edge, group_pair(sequence, position), memory_order_relaxed);
    atomic_store_explicit(&page->cursor_sequence, sequence, memory_order_relaxed);
}

/* Everything below end was claimed, by this member or as it saw by others, or cannot be read. */
static inline void group_passed(struct group_member *member, uint64_t end, uint64_t sequence)
{
    struct group_page *page = member->page;
    if (atomic_load_explicit(&page->cursor, memory_order_relaxed) < end) {
        group_say_edge(page, end, sequence);
        /* Release pairs with the acquire in group_start() and in scans. */
        atomic_store_explicit(&page->cursor, end, memory_order_release);
    }
}

/* Where to look for the next message that nobody had. */
static inline uint64_t group_start(const struct group_member *member)
{
    uint64_t cursor = atomic_load_explicit(&member->page->cursor, memory_order_acquire);
    uint64_t floor = atomic_load_explicit(&member->page->floor, memory_order_relaxed);
    return cursor > floor ? cursor : floor;
}

/* Has something happened that group_again() or the page's state will tell? */
static inline bool group_has_news(const struct group_member *member)
{
    return group_look_has_news(&member->look, member->page);
}

/*
 * Claims a message that became available again. false: there is none now. It is to be read yet, which may
 * take long, or come to nothing: it counts as delivered, or at most once as done, once group_hand_out() says
 * so. Until then it is under *claim, which may be that of the time before, of the same member: should its
 * lease be thought to go on from then, the message is another's the sooner.
 */
bool group_again(struct group_member *member, uint64_t *position, uint16_t *claim);

/* The same, in steps, for who must not be held up and may look for several members: at no more than *words,
 * which it takes from. 1: claimed; 0: there was none since the look began; HERMES_EAGAIN: it is not through.
 */
int group_again_within(struct group_member *member, struct group_look *look, uint64_t *words,
                       uint64_t *position, uint16_t *claim);

/* One that was claimed again goes to the caller: a delivery more, and its lease begins now. *claim: what it
 * carries from now on. HERMES_EEXPIRED: it is not this member's any more, or the page is over; nobody was
 * given it. */
int group_hand_out(struct group_member *member, uint64_t position, uint16_t *claim);

/* What that claimed is for others, as if it had not been claimed, and who looks comes to it again in its
 * turn. Or it is another's already. */
void group_put_back(struct group_member *member, struct group_look *look, uint64_t position, uint16_t claim);

/* A claim of a page that is over, which nobody was told of: the message is for others, done by its claim or
 * not. A first claim counts as delivered all the same: it was in its turn. */
void group_unclaim(struct group_member *member, uint64_t position, uint16_t claim);

/*
 * The message is done. HERMES_OK as well for what was done under this claim already, for a claim whose lease
 * ran out and that nobody took yet, and for what is below the floor by now, if the claim is one of this
 * membership: whether it was done under it, or how else, is not known any more. HERMES_EEXPIRED: another has
 * it or had it, it is a dead letter, or the page is over: it may come again. HERMES_EINVALID: it was never
 * claimed.
 */
int group_ack(struct group_member *member, uint64_t position, uint16_t claim);

/* The message cannot be read any more: done, and counted as lost, though the page be over by then. false: it
 * was another's, or is done already. Who acks it late is told HERMES_EEXPIRED. */
bool group_write_off(struct group_member *member, uint64_t position, uint16_t claim);

/* The message is for another, at once. Errors as group_ack(), and HERMES_EEXPIRED for what is done. */
int group_nack(struct group_member *member, uint64_t position, uint16_t claim);

/* The lease begins anew. Errors as group_nack(). */
int group_renew(struct group_member *member, uint64_t position, uint16_t claim);

/* How often the message had been given to somebody when it was under that claim, up to seven times before the
 * latest; 0: not known. Beyond the highest, one of the last. */
unsigned group_deliveries(const struct group_member *member, uint64_t position, uint16_t claim);

/* page->watch: line + 1 of who has it, or 0; do others sleep on it; turn. */
enum { GROUP_WATCH_WHO = 511, GROUP_WATCH_OTHERS_SLEEP = 512, GROUP_WATCH_TURN = 1024 };

static inline uint32_t group_watched_by(uint32_t watch)
{
    return watch & GROUP_WATCH_WHO;
}

/*
 * Before sleeping: who watches? true: this member: it looks once more, and sleeps on the window's bell and
 * the notice. false: another: sleep on the notice and on the watch, while it is member->slept_by. Then
 * group_hand_on(), before anything else is done than looking and sleeping again.
 */
bool group_keep_watch(struct group_member *member);

/* This member sleeps no longer; found: it takes a message along. Nothing if it did not sleep. Cost: one
 * compare-and-swap; and a system call, if others sleep. */
void group_hand_on(struct group_member *member, bool found);

/* ---- everybody's ---- */

/* Asks members to look: a notice, and a wake-up for those who sleep. */
void group_tell(struct group_page *page);

/* Raises the floor over what is done; returns it. */
uint64_t group_advance(struct group_page *page, uint64_t mask);

/* Visits the words of the messages in flight, those that are not done, in order: also behind the cursor, as
 * far as they stand no further apart than the smallest span. */
typedef void (*group_visit_t)(void *context, uint64_t position, uint64_t word);
void group_visit(struct group_page *page, uint64_t mask, group_visit_t visit, void *context);

/* A claim becomes available, or dead, provided that its word still is this one; true if it was. Then tell.
 * Without a dead-letter topic what is dead is done. */
bool group_give_up(struct group_page *page, uint64_t mask, uint64_t position, uint64_t word);

/* A place in the log, and the sequence of the last message before it. */
struct group_place {
    uint64_t position, sequence;
};

/* Where the group stands: what lies before that was somebody's. Position and sequence are of one message, be
 * it for a moment one before the latest or behind it. Of a durable subscription, the sequence is that of the
 * latest ack. */
struct group_place group_edge(const struct group_page *page);

/* Of a page that begins, or is restored: there it stands. */
void group_set_edge(struct group_page *page, uint64_t position, uint64_t sequence);

/* Messages that are gone: those behind sequence `after`, which ends at position from, up to sequence last,
 * which ends at position to. What lies before that was somebody's. */
struct group_gap {
    uint64_t from, after;
    uint64_t to, last;
};

/* Of the messages in a gap, those that nobody had are lost, and nobody gets them any more. Each is counted
 * once, whoever finds out, and how often. Returns how many are new. Cost: 8 ns a word of the gap, of a span
 * at most: 0.5 ms of one of 4 MiB. */
uint64_t group_note_gap(struct group_page *page, uint64_t mask, const struct group_gap *gap);

/* Of a page that begins, or is restored: gaps up to that sequence, which ends at position to, are counted. */
void group_set_counted(struct group_page *page, uint64_t through, uint64_t to);

/* A member is gone: gives up all that was claimed by who had that line last. */
void group_leave(struct group_page *page, uint64_t mask, unsigned line);

/* A dead message is in the dead-letter topic, or gone: done, provided that its word still is this one. */
bool group_put_away(struct group_page *page, uint64_t mask, uint64_t position, uint64_t word);

/* The broker gives a line to a member: another generation. Before the member is told. known: the id that it
 * had before; 0: none. */
void group_give_line(struct group_page *page, unsigned line, uint64_t id, uint64_t known);

/* The broker's look at a claim that was renewed: takes note. false: the word is another by now. */
bool group_take_renewal(struct group_page *page, uint64_t mask, uint64_t position, uint64_t *word);

/* ---- making and checking ---- */

static inline size_t group_page_bytes(uint32_t slots)
{
    return GROUP_HEADER_BYTES + (size_t)slots * sizeof(uint64_t);
}

static inline bool group_slots_are_legal(uint32_t slots)
{
    return slots == 0 || (slots >= GROUP_SLOTS_MIN && slots <= GROUP_SLOTS_MAX && (slots & (slots - 1)) == 0);
}

/* Fills in the header of fresh zero bytes; all messages below position are done. */
void group_page_init(struct group_page *page, uint32_t slots, uint64_t topic_id, uint64_t id,
                     uint64_t position, const char *dead_letter);

/* Is this a page of which bytes are mapped? *slots is read once. */
int group_page_check(const struct group_page *page, size_t bytes, uint32_t *slots);

/* For a fresh page whose limit of deliveries is set: a message that was in flight when its record was
 * written. One at the limit becomes a dead letter, as if it had been given up. */
void group_restore(struct group_page *page, uint64_t mask, uint64_t position, unsigned deliveries, bool dead);

#endif
