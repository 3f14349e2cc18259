/*
 * An exhaustive model of publish, poll, lap, park and seal (log/window.h, log/reader.c, log/status.h):
 * every interleaving of a writer, a reader and - in one scenario - an owner who replaces the writer, on a
 * machine whose processors have store buffers (x86-TSO: Sewell et al., "x86-TSO", CACM 2010).
 *
 * Each process is a list of steps; each step does at most one access to shared memory. A process's stores
 * go into its buffer, in order, and into memory at any later moment; its loads see its own buffer first.
 * membarrier() empties the buffer of the others. All states are visited, and in each the claims below are
 * checked:
 *
 *     nothing torn         a message that was delivered has the payload that its sequence says
 *     nothing ghostly      what stood uncommitted, or came after the seal, is never delivered
 *     no lost wake-up      nobody sleeps while a message waits and nobody is left to wake it
 *
 * Then each mutation leaves one rule out, and must be caught; a model that catches nothing shows nothing.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4, MESSAGES = 6, BUFFER = 6, PROCESSES = 3 };

/* Shared memory: per slot a commit word (0 or sequence) and a payload word; and the control words. */
enum {
    COMMIT = 0,
    PAYLOAD = SLOTS,
    LIMIT = 2 * SLOTS, /* first sequence index that is not overwritten */
    PARKED,
    BELL,
    SEAL,
    EPOCH_END, /* what the owner found, plus 1 */
    WORDS,
};

enum mutation {
    NONE,
    COMMIT_BEFORE_PAYLOAD,
    NO_ZERO_AHEAD,
    LIMIT_AFTER_OVERWRITE,
    NO_LIMIT_CHECK,
    LIMIT_CHECK_BEFORE_COPY,
    NO_LAST_LOOK,
    NO_BARRIER_BEFORE_PARK,
    PARKED_AFTER_LOOK,
    FLAG_LOWERED_AFTER_WAKE,
    NO_SEAL_CHECK_BY_READER,
    NO_SEAL_CHECK_BY_WRITER,
    NO_BARRIER_AFTER_SEAL,
    MUTATIONS,
};

static const char *const names[MUTATIONS] = {
    "none",
    "commit before payload",
    "no zeroing ahead",
    "overwrite limit raised after the overwrite",
    "reader does not check the limit",
    "reader checks the limit before it copies",
    "no last look before sleeping",
    "no membarrier before the last look",
    "flag raised after the last look",
    "flag lowered after the wake-up",
    "reader does not look at the seal",
    "writer does not look at the seal",
    "no membarrier after the seal",
};

struct store {
    uint8_t word, value;
};

struct state {
    uint8_t memory[WORDS];
    struct store buffer[PROCESSES][BUFFER];
    uint8_t buffered[PROCESSES];
    uint8_t pc[PROCESSES];
    /* writer */
    uint8_t next;      /* sequence to publish, from 1 */
    uint8_t confirmed; /* last sequence that publish returned success for */
    uint8_t fenced;
    /* reader */
    uint8_t want; /* next sequence */
    uint8_t seen; /* commit word as loaded */
    uint8_t copy; /* payload as copied */
    uint8_t limit;
    uint8_t bell;
    uint8_t delivered; /* last delivered */
    uint8_t asleep;
    uint8_t reader_fenced;
    /* owner */
    uint8_t walk;
    uint8_t end;
};

struct scenario {
    enum mutation mutation;
    bool laps;  /* more messages than slots, and no gate */
    bool parks; /* the reader sleeps when there is nothing */
    bool seals; /* the owner replaces the writer */
    uint8_t messages;
};

static struct scenario scenario;
static const char *violation;

enum { WRITER = 0, READER = 1, OWNER = 2 };

static uint8_t slot_of(uint8_t sequence)
{
    return (uint8_t)((sequence - 1) % SLOTS);
}

static uint8_t payload_of(uint8_t sequence)
{
    return (uint8_t)(sequence + 100);
}

static uint8_t load(const struct state *s, int who, int word)
{
    for (int i = s->buffered[who] - 1; i >= 0; i--)
        if (s->buffer[who][i].word == word)
            return s->buffer[who][i].value;
    return s->memory[word];
}

/* false: the buffer is full, and has to drain first. */
static bool store(struct state *s, int who, int word, int value)
{
    if (s->buffered[who] == BUFFER)
        return false;
    s->buffer[who][s->buffered[who]++] = (struct store){(uint8_t)word, (uint8_t)value};
    return true;
}

static void drain_one(struct state *s, int who)
{
    s->memory[s->buffer[who][0].word] = s->buffer[who][0].value;
    s->buffered[who]--;
    memmove(&s->buffer[who][0], &s->buffer[who][1], s->buffered[who] * sizeof(struct store));
    s->buffer[who][s->buffered[who]] = (struct store){0, 0};
}

static void drain_all(struct state *s, int who)
{
    while (s->buffered[who] > 0)
        drain_one(s, who);
}

static void membarrier(struct state *s)
{
    for (int who = 0; who < PROCESSES; who++)
        drain_all(s, who);
}

/* ---- the writer: one message ---- */

static bool done_writing(const struct state *s)
{
    return s->next > scenario.messages || s->fenced;
}

/* Returns false if the process cannot move. */
static bool step_writer(struct state *s)
{
    const enum mutation m = scenario.mutation;
    uint8_t slot = slot_of(s->next), ahead = slot_of((uint8_t)(s->next + 1));
    switch (s->pc[WRITER]) {
    case 0: /* W1: raise the limit before anything of the next lap is touched */
        if (done_writing(s))
            return false;
        if (scenario.laps && s->next + 1 > SLOTS && m != LIMIT_AFTER_OVERWRITE &&
            !store(s, WRITER, LIMIT, s->next + 1 - SLOTS))
            return false;
        s->pc[WRITER] = 1;
        return true;
    case 1: /* W5 of the message before: the slot behind this one is zeroed before the commit */
        if (m != NO_ZERO_AHEAD && !store(s, WRITER, COMMIT + ahead, 0))
            return false;
        s->pc[WRITER] = 2;
        return true;
    case 2: /* W2 */
        if (m == COMMIT_BEFORE_PAYLOAD ? !store(s, WRITER, COMMIT + slot, s->next)
                                       : !store(s, WRITER, PAYLOAD + slot, payload_of(s->next)))
            return false;
        s->pc[WRITER] = 3;
        return true;
    case 3: /* W3 */
        if (m == COMMIT_BEFORE_PAYLOAD ? !store(s, WRITER, PAYLOAD + slot, payload_of(s->next))
                                       : !store(s, WRITER, COMMIT + slot, s->next))
            return false;
        s->pc[WRITER] = m == LIMIT_AFTER_OVERWRITE && s->next > SLOTS ? 4 : 5;
        return true;
    case 4: /* mutated: only now, what this message has overwritten */
        if (!store(s, WRITER, LIMIT, s->next - SLOTS))
            return false;
        s->pc[WRITER] = 5;
        return true;
    case 5: /* W4: somebody asleep? A plain load, no fence before it. */
        s->pc[WRITER] = load(s, WRITER, PARKED) != 0 ? (m == FLAG_LOWERED_AFTER_WAKE ? 7 : 6) : 9;
        return true;
    case 6: /* lower the flag */
        if (!store(s, WRITER, PARKED, 0))
            return false;
        s->pc[WRITER] = m == FLAG_LOWERED_AFTER_WAKE ? 9 : 7;
        return true;
    case 7: /* change the bell: an atomic read-modify-write, which drains */
        drain_all(s, WRITER);
        s->memory[BELL]++;
        s->pc[WRITER] = 8;
        return true;
    case 8: /* futex wake: a system call */
        s->asleep = 0;
        s->pc[WRITER] = m == FLAG_LOWERED_AFTER_WAKE ? 6 : 9;
        return true;
    default: /* W4: the seal */
        if (m != NO_SEAL_CHECK_BY_WRITER && load(s, WRITER, SEAL) != 0)
            s->fenced = 1;
        else
            s->confirmed = s->next;
        s->next++;
        s->pc[WRITER] = 0;
        return true;
    }
}

/* ---- the reader ---- */

static void deliver(struct state *s)
{
    if (s->copy != payload_of(s->seen))
        violation = "a torn message was delivered";
    else if (s->seen != s->want)
        violation = "a message of another lap was delivered";
    if (s->memory[EPOCH_END] != 0 && s->seen > s->end)
        violation = "a message was delivered that came after the end of its epoch";
    s->delivered = s->seen;
    s->want++;
}

static bool step_reader(struct state *s)
{
    const enum mutation m = scenario.mutation;
    uint8_t slot = slot_of(s->want);
    if (s->asleep || s->reader_fenced || s->want > scenario.messages)
        return false;
    switch (s->pc[READER]) {
    case 0: /* R1 */
        s->seen = load(s, READER, COMMIT + slot);
        if (m == LIMIT_CHECK_BEFORE_COPY)
            s->limit = load(s, READER, LIMIT);
        s->pc[READER] = s->seen != 0 ? 1 : 4;
        return true;
    case 1: /* R2 */
        s->copy = load(s, READER, PAYLOAD + slot);
        s->pc[READER] = 2;
        return true;
    case 2: /* R3: TSO keeps loads in order, so the fence is one for the compiler */
        if (m == NO_LIMIT_CHECK)
            s->limit = 0;
        else if (m != LIMIT_CHECK_BEFORE_COPY)
            s->limit = load(s, READER, LIMIT);
        s->pc[READER] = 3;
        if (s->limit > s->want - 1) { /* overtaken: go on at the limit */
            s->want = (uint8_t)(s->limit + 1);
            s->pc[READER] = 0;
        }
        return true;
    case 3: /* R4 */
        s->pc[READER] = 0;
        if (m != NO_SEAL_CHECK_BY_READER && load(s, READER, SEAL) != 0) {
            /* Wait for the owner's word; the frame counts if it stands before the end. */
            if (load(s, READER, EPOCH_END) == 0) {
                s->pc[READER] = 3;
                return false;
            }
            if (s->seen > load(s, READER, EPOCH_END) - 1) {
                s->reader_fenced = 1;
                return true;
            }
        }
        deliver(s);
        return true;
    case 4: /* nothing there: overtaken perhaps, else sleep perhaps */
        s->limit = load(s, READER, LIMIT);
        s->pc[READER] = scenario.parks ? 5 : 0;
        if (s->limit > s->want - 1) {
            s->want = (uint8_t)(s->limit + 1);
            s->pc[READER] = 0;
        }
        return true;
    case 5: /* the bell before the flag */
        s->bell = load(s, READER, BELL);
        s->pc[READER] = m == PARKED_AFTER_LOOK ? 8 : 6;
        return true;
    case 6:
        if (!store(s, READER, PARKED, 1))
            return false;
        s->pc[READER] = m == NO_BARRIER_BEFORE_PARK ? 8 : 7;
        return true;
    case 7:
        membarrier(s);
        s->pc[READER] = m == PARKED_AFTER_LOOK ? 9 : 8;
        return true;
    case 8: /* the last look */
        if (m != NO_LAST_LOOK && load(s, READER, COMMIT + slot) != 0) {
            s->pc[READER] = 0;
            return true;
        }
        s->pc[READER] = m == PARKED_AFTER_LOOK ? 10 : 9;
        return true;
    case 10: /* mutated order: flag, barrier, sleep */
        if (!store(s, READER, PARKED, 1))
            return false;
        s->pc[READER] = 7;
        return true;
    default: /* futex wait: compares and sleeps in one step; a system call */
        drain_all(s, READER);
        s->asleep = s->memory[BELL] == s->bell;
        s->pc[READER] = 0;
        return true;
    }
}

/* ---- the owner ---- */

static bool step_owner(struct state *s)
{
    if (!scenario.seals)
        return false;
    switch (s->pc[OWNER]) {
    case 0:
        if (!store(s, OWNER, SEAL, 1))
            return false;
        s->pc[OWNER] = 1;
        return true;
    case 1:
        if (scenario.mutation == NO_BARRIER_AFTER_SEAL)
            drain_all(s, OWNER); /* its own store is out; the writer's may not be */
        else
            membarrier(s);
        s->pc[OWNER] = 2;
        return true;
    case 2: /* walk the committed frames */
        if (s->walk < scenario.messages && load(s, OWNER, COMMIT + slot_of((uint8_t)(s->walk + 1))) != 0) {
            s->walk++;
            return true;
        }
        s->end = s->walk;
        s->pc[OWNER] = 3;
        return true;
    case 3:
        if (!store(s, OWNER, EPOCH_END, s->end + 1))
            return false;
        s->pc[OWNER] = 4;
        return true;
    default:
        return false;
    }
}

/* ---- exploring ---- */

static struct state *table;
static size_t table_room, table_count;

static uint64_t hash_of(const struct state *s)
{
    const uint8_t *p = (const uint8_t *)s;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

/* true: not seen before. The all-zero state never occurs (want is at least 1). */
static bool insert(const struct state *s)
{
    static const struct state empty;
    size_t at = hash_of(s) & (table_room - 1);
    while (memcmp(&table[at], &empty, sizeof empty) != 0) {
        if (memcmp(&table[at], s, sizeof *s) == 0)
            return false;
        at = (at + 1) & (table_room - 1);
    }
    table[at] = *s;
    table_count++;
    assert(table_count < table_room / 2);
    return true;
}

/* Nobody can move: is that all right? */
static void check_rest(const struct state *s)
{
    if (s->asleep && s->memory[COMMIT + slot_of(s->want)] == s->want)
        violation = "the reader sleeps although its message is there";
    if (scenario.seals && s->memory[EPOCH_END] != 0 && s->confirmed > s->end)
        violation = "a confirmed message is not in the log";
}

static bool explore(void)
{
    static struct state stack[1 << 16];
    size_t depth = 0;
    memset(table, 0, table_room * sizeof *table);
    table_count = 0;
    violation = NULL;
    struct state start = {.next = 1, .want = 1};
    if (scenario.mutation == NO_ZERO_AHEAD || scenario.laps)
        for (int i = 1; i < SLOTS; i++)
            start.memory[COMMIT + i] = 0;
    insert(&start);
    stack[depth++] = start;
    while (depth > 0 && violation == NULL) {
        struct state s = stack[--depth];
        bool moved = false;
        for (int what = 0; what < 2 * PROCESSES && violation == NULL; what++) {
            struct state next = s;
            bool can = false;
            if (what >= PROCESSES) {
                int who = what - PROCESSES;
                can = next.buffered[who] > 0;
                if (can)
                    drain_one(&next, who);
            } else {
                can = what == WRITER   ? step_writer(&next)
                      : what == READER ? step_reader(&next)
                                       : step_owner(&next);
            }
            if (!can)
                continue;
            moved |= memcmp(&next, &s, sizeof s) != 0;
            if (insert(&next)) {
                assert(depth < sizeof stack / sizeof stack[0]);
                stack[depth++] = next;
            }
        }
        if (!moved)
            check_rest(&s);
        /* Confirmed and sealed can be judged as soon as the owner has found the end. */
        if (violation == NULL && scenario.seals && s.memory[EPOCH_END] != 0 && s.confirmed > s.end)
            violation = "a confirmed message is not in the log";
    }
    return violation == NULL;
}

int main(void)
{
    /* Laps: no parking; parking: no laps (each look would be at another slot); seals: a short log. */
    static const struct scenario scenarios[] = {
        {NONE, true, false, false, MESSAGES},
        {NONE, false, true, false, 3},
        {NONE, false, false, true, 3},
    };
    static const char *const titles[] = {"laps", "parks", "seals"};
    unsigned failed = 0, passed = 0;
    table_room = 1u << 23;
    table = calloc(table_room, sizeof *table);
    assert(table != NULL);
    for (int m = NONE; m < MUTATIONS; m++) {
        bool caught = false;
        for (int i = 0; i < 3; i++) {
            scenario = scenarios[i];
            scenario.mutation = (enum mutation)m;
            bool good = explore();
            if (m == NONE || !good)
                printf("%-45s %-6s %9zu states: %s\n", names[m], titles[i], table_count,
                       good ? "all claims hold" : violation);
            caught |= !good;
        }
        bool right = m == NONE ? !caught : caught;
        if (!right)
            printf("%-45s %s\n", names[m], m == NONE ? "THE ALGORITHM IS WRONG" : "NOT CAUGHT");
        *(right ? &passed : &failed) += 1;
    }
    free(table);
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
