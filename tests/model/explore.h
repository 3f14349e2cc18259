/*
 * All states of a model, and whether from each of them everything can still end well. A model includes this
 * after it has defined
 *
 *     struct state            no padding: states are compared byte by byte
 *     WAYS                    how many ways there are to go on from a state
 *     enum mutation           NONE, ..., MUTATIONS: rules that can be left out; names[MUTATIONS] says which
 *     mutation, broken        the rule that is left out now; what went wrong
 *     begin(state)            the first state, of zeros
 *     step(state, way)        one step; false: that way leads nowhere. Sets broken
 *     check(state)            looks at a state; sets broken
 *     all_done(state)         it is the end
 *
 * main() explores the model without a mutation, which must hold, and with each, which must not: a model that
 * catches nothing shows nothing.
 */
#ifndef TESTS_MODEL_EXPLORE_H
#define TESTS_MODEL_EXPLORE_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE = 1 << 25 };

static struct state *states;
static uint32_t (*next_states)[WAYS]; /* of each state: where each way leads; itself: nowhere */
static uint32_t *table;               /* 1 + index into states */
static uint32_t count, room;

/* Its index, new or old. */
static uint32_t add(const struct state *s)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ ((const uint8_t *)s)[i]) * 1099511628211u;
    uint32_t at = (uint32_t)(hash >> 20) & (TABLE - 1);
    for (; table[at] != 0; at = (at + 1) & (TABLE - 1))
        if (memcmp(&states[table[at] - 1], s, sizeof *s) == 0)
            return table[at] - 1;
    assert(count < TABLE / 2);
    if (count == room) {
        room = room == 0 ? 1 << 16 : room * 2;
        states = realloc(states, room * sizeof *states);
        next_states = realloc(next_states, room * sizeof *next_states);
        assert(states != NULL && next_states != NULL);
    }
    states[count] = *s;
    table[at] = ++count;
    return count - 1;
}

/* From each state, is there a way to the end? Backwards from the ends. */
static bool all_can_finish(void)
{
    bool *can = calloc(count, sizeof *can);
    assert(can != NULL);
    uint32_t found = 0, before;
    do {
        before = found;
        for (uint32_t i = count; i-- > 0;) {
            if (can[i])
                continue;
            can[i] = all_done(&states[i]);
            for (int way = 0; way < WAYS; way++)
                can[i] |= can[next_states[i][way]];
            found += can[i];
        }
    } while (found != before);
    free(can);
    return found == count;
}

/* NULL: all claims hold in all states. */
static const char *explore(enum mutation m)
{
    struct state first;
    memset(&first, 0, sizeof first);
    mutation = m;
    broken = NULL;
    count = 0;
    memset(table, 0, (size_t)TABLE * sizeof *table);
    begin(&first);
    add(&first);
    for (uint32_t next = 0; next < count && broken == NULL; next++) {
        check(&states[next]);
        for (int way = 0; way < WAYS && broken == NULL; way++) {
            struct state s = states[next];
            uint32_t to = step(&s, way) ? add(&s) : next;
            next_states[next][way] = to;
        }
    }
    if (broken == NULL && !all_can_finish())
        broken = "somebody waits for ever";
    return broken;
}

int main(void)
{
    int failures = 0;
    table = calloc(TABLE, sizeof *table);
    assert(table != NULL);
    for (enum mutation m = NONE; m < MUTATIONS; m++) {
        const char *found = explore(m);
        bool good = (found == NULL) == (m == NONE);
        printf("%-68s %8u states  %s\n", names[m], count, found == NULL ? "all claims hold" : found);
        failures += !good;
    }
    free(table);
    free(states);
    free(next_states);
    return failures > 0;
}

#endif
