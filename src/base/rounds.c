#include "base/rounds.h"

void rounds_put(struct rounds *rounds, struct round_entry *entry, uint64_t whose, bool barrier)
{
    struct round_entry *same = NULL, **end = &rounds->first;
    for (; *end != NULL; end = &(*end)->next) {
        if ((*end)->barrier)
            same = NULL;
        else if ((*end)->whose == whose)
            same = *end;
    }
    *entry = (struct round_entry){.whose = whose, .barrier = barrier, .last = entry};
    if (same == NULL || barrier) {
        *end = entry;
        return;
    }
    same->last->behind = entry;
    same->last = entry;
}

/* Behind the others', but before what must not come sooner than it. */
static void put_last(struct rounds *rounds, struct round_entry *entry)
{
    struct round_entry **end = &rounds->first;
    while (*end != NULL && !(*end)->barrier)
        end = &(*end)->next;
    entry->next = *end;
    *end = entry;
}

struct round_entry *rounds_take(struct rounds *rounds)
{
    struct round_entry *entry = rounds->first;
    rounds->first = entry->next;
    if (entry->behind != NULL) {
        entry->behind->last = entry->last;
        put_last(rounds, entry->behind);
    }
    return entry;
}
