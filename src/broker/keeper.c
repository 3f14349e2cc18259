#include "broker/keeper.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/note.h"

/* While a group moves, its record is at most so old. */
static const uint64_t record_ns = 100000000;
/* While nothing moves, it is looked at this often. */
static const uint64_t quiet_ns = 1000000000;
static const uint64_t soonest_ns = 1000000;
/* A record that cannot be written is told of at once, and again this often. */
static const uint64_t tell_again_ns = 60000000000u;

struct sighting {
    uint64_t position, word, since_ns;
};

/* ---- records ---- */

/* What the page says now, into group->next. */
static int take(struct kept *group)
{
    struct group_record *next = &group->next;
    struct group_record_entry *entries = next->entries;
    uint32_t room = next->room;
    *next = group->settings;
    next->entries = entries;
    next->room = room;
    return group_record_take(next, group->page, group->mask);
}

static int write_record(struct kept *group, struct error_text *text)
{
    int rc = group_record_write(&group->next, group->path, text);
    group->failed = rc < 0;
    if (rc < 0)
        return rc;
    struct group_record written = group->next;
    group->next = group->record; /* its entries are written over next time */
    group->record = written;
    return HERMES_OK;
}

int kept_save(struct kept *group, struct error_text *text)
{
    int rc = take(group);
    return rc < 0 ? error_set(text, rc, "%s", group->path) : write_record(group, text);
}

/* ---- leases ---- */

struct look {
    struct kept *group;
    struct sighting *fresh;
    size_t count, room, before;
    uint64_t now;
    bool changed;
};

/* A line that nobody has: its member left, or did not come back after a crash of the broker. */
static bool is_nobodys(struct kept *group, unsigned line)
{
    return !atomic_load(&group->attended[line]) && atomic_load(&group->page->members[line].id) == 0;
}

/* Its member was there before a crash of ours, and has not greeted us yet. */
static bool is_awaited(struct kept *group, unsigned line)
{
    return atomic_load(&group->since_ns) != 0 && !atomic_load(&group->attended[line]) &&
           atomic_load(&group->page->members[line].id) != 0;
}

unsigned kept_awaited(struct kept *group)
{
    unsigned count = 0;
    for (unsigned i = 0; i < GROUP_MEMBERS; i++)
        count += is_awaited(group, i);
    return count;
}

/* That claim is there, as it was before or anew. */
static void remember(struct look *look, uint64_t position, uint64_t word, uint64_t since)
{
    if (look->count == look->room) {
        size_t room = look->room == 0 ? 64 : look->room * 2;
        struct sighting *grown = realloc(look->fresh, room * sizeof *grown);
        if (grown == NULL)
            return; /* its lease is a little longer */
        look->fresh = grown;
        look->room = room;
    }
    look->fresh[look->count++] = (struct sighting){position, word, since};
}

/* Since when the claim has been as it is; 0: not when it was last looked at. */
static uint64_t seen_since(struct look *look, uint64_t position, uint64_t word)
{
    const struct kept *group = look->group;
    while (look->before < group->sighting_count && group->sightings[look->before].position < position)
        look->before++;
    if (look->before == group->sighting_count)
        return 0;
    const struct sighting *before = &group->sightings[look->before];
    return before->position == position && before->word == word ? before->since_ns : 0;
}

static void see_claim(struct look *look, uint64_t position, uint64_t word)
{
    struct kept *group = look->group;
    unsigned line = group_line_of(word);
    uint64_t since = 0;
    if ((word & GROUP_RENEWED) == 0)
        since = seen_since(look, position, word);
    else if (!group_take_renewal(group->page, group->mask, position, &word))
        return; /* it is another by now */
    bool expired = since != 0 && look->now >= since + group->settings.lease_ns && !is_awaited(group, line);
    if (!expired && !is_nobodys(group, line)) {
        remember(look, position, word, since);
    } else if (group_give_up(group->page, group->mask, position, word)) {
        if (expired)
            atomic_fetch_add_explicit(&group->page->expired, 1, memory_order_relaxed);
        look->changed = true;
    }
}

/* What is new may have been done long after the look began: its time is when all has been seen. */
static void date(struct look *look)
{
    struct kept *group = look->group;
    uint64_t seen_ns = group->clock(group);
    for (size_t i = 0; i < look->count; i++) {
        struct sighting *fresh = &look->fresh[i];
        if (fresh->since_ns == 0)
            fresh->since_ns = group->heard_ns[group_line_of(fresh->word)] = seen_ns;
    }
}

static void see(void *context, uint64_t position, uint64_t word)
{
    struct look *look = context;
    if (group_state_of(word) == GROUP_CLAIMED)
        see_claim(look, position, word);
    else if (group_state_of(word) == GROUP_DEAD)
        letters_see(&look->group->letters, position, word);
}

static uint64_t patience_of(const struct kept *group)
{
    return group->mask == 0 ? group->grace_ns : group->settings.lease_ns;
}

/* Who comes back at this moment keeps it: pairs with take_line() in group_members.c. */
static void free_line(struct kept *group, unsigned line)
{
    uint64_t id = atomic_load(&group->page->members[line].id), nobody = 0;
    if (atomic_compare_exchange_strong(&group->page->members[line].id, &id, 0) &&
        atomic_load(&group->attended[line]))
        (void)atomic_compare_exchange_strong(&group->page->members[line].id, &nobody, id);
}

/* Members that did not come back after a crash of ours, and were not heard of, give up their lines. true:
 * some. */
static bool free_lines(struct kept *group, uint64_t now)
{
    bool awaits = false, freed = false;
    uint64_t since = atomic_load(&group->since_ns);
    for (unsigned i = 0; since != 0 && i < GROUP_MEMBERS; i++) {
        if (!is_awaited(group, i))
            continue;
        uint64_t heard = group->heard_ns[i] > since ? group->heard_ns[i] : since;
        bool over = now > heard && now - heard >= patience_of(group);
        if (over)
            free_line(group, i);
        freed |= over;
        awaits |= !over;
    }
    if (!awaits) /* unless another is awaited since: group_undo_join() */
        (void)atomic_compare_exchange_strong(&group->since_ns, &since, 0);
    return freed;
}

/* true: claims were given up. */
static bool look_at_claims(struct kept *group, uint64_t now)
{
    struct look look = {.group = group, .now = now};
    group_visit(group->page, group->mask, see, &look);
    date(&look);
    free(group->sightings);
    group->sightings = look.fresh;
    group->sighting_count = look.count;
    if (look.changed)
        group_tell(group->page);
    return look.changed;
}

/* ---- the task ---- */

static void tell(struct kept *group, const struct error_text *text, uint64_t now)
{
    if (group->told_ns == 0 || now - group->told_ns > tell_again_ns) {
        group->told_ns = now;
        note("record of a group: %s", text->bytes);
    }
}

static bool has_members(struct kept *group)
{
    for (unsigned i = 0; i < GROUP_MEMBERS; i++)
        if (atomic_load(&group->attended[i]))
            return true;
    return false;
}

/* When leases, and lines that are awaited, are to be looked at again. */
static uint64_t next_look(const struct kept *group, uint64_t due)
{
    uint64_t look = due;
    if (group->mask != 0 || atomic_load(&group->since_ns) != 0)
        look = patience_of(group) / 8;
    due = look < due ? look : due;
    return due < soonest_ns ? soonest_ns : due;
}

static uint64_t real_clock(const struct kept *group)
{
    (void)group;
    return clock_monotonic_ns();
}

uint64_t kept_look(struct kept *group, uint64_t now)
{
    struct error_text text;
    bool members = has_members(group); /* before the rest: who leaves rings afterwards */
    uint64_t letters_due = UINT64_MAX;
    bool moved = false;
    if (group->mask != 0) {
        moved = letters_settle(&group->letters, group->page, group->mask, now);
        moved |= look_at_claims(group, now);
        letters_due = letters_send(&group->letters, group->page, group->mask, now);
    }
    /* Behind the claims: who made or renewed one since the last look was heard of. */
    if (free_lines(group, now) && group->mask != 0)
        moved |= look_at_claims(group, now);
    int rc = take(group);
    if (rc < 0)
        error_set(&text, rc, "%s", group->path);
    moved |= !group_record_equal(&group->next, &group->record);
    if (rc == 0 && (moved || group->failed) && lane_enter(group->workers, group->records, &group->task)) {
        rc = write_record(group, &text);
        lane_leave(group->workers, group->records);
    }
    if (rc < 0)
        tell(group, &text, now);
    bool restless = moved || rc < 0;
    if (!restless && !members && group->sighting_count == 0 && atomic_load(&group->since_ns) == 0)
        return letters_due;
    uint64_t due = now + next_look(group, restless ? record_ns : quiet_ns);
    return letters_due < due ? letters_due : due;
}

static struct kept *kept_of(struct task *task)
{
    return (struct kept *)(void *)((char *)task - offsetof(struct kept, task));
}

static uint64_t look(struct task *task, uint64_t now)
{
    return kept_look(kept_of(task), now);
}

static void left(struct task *task)
{
    letters_quieten(&kept_of(task)->letters, true);
}

int keeper_add(struct workers *workers, struct kept *group)
{
    group->task.run = look;
    group->task.left = left;
    group->clock = real_clock;
    group->workers = workers;
    letters_quieten(&group->letters, false);
    workers_add(workers, &group->task);
    return HERMES_OK;
}

void keeper_ring(struct workers *workers, struct kept *group)
{
    workers_ring(workers, &group->task);
}

void kept_forget_claims(struct kept *group)
{
    atomic_store(&group->since_ns, 0);
    group->sighting_count = 0;
}

void kept_release(struct kept *group)
{
    letters_withdraw(&group->letters);
    group_record_release(&group->record);
    group_record_release(&group->next);
    free(group->sightings);
    group->sightings = NULL;
}
