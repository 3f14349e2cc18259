#include "broker/leases.h"

#include <stdlib.h>

/* However long a lease is: who gave up its line may have claimed something just then. */
static const uint64_t seldom_ns = 1000000000;
static const uint64_t soonest_ns = 1000000;
/* So many times as long as something took its processor, it rests. */
enum { PAUSE = 8 };

struct sighting {
    uint64_t position, word, since_ns;
};

struct look {
    struct kept *group;
    struct sighting *fresh;
    size_t count, room, before;
    uint64_t now;
    bool changed, dead;
};

/* Its member was there before a crash of ours, and has not greeted us yet. */
static bool is_awaited(struct kept *group, unsigned line)
{
    return atomic_load(&group->since_ns) != 0 && !atomic_load(&group->attended[line]) &&
           !atomic_load(&group->forsaken[line]) && atomic_load(&group->page->members[line].id) != 0;
}

unsigned leases_awaited(struct kept *group)
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
    if (!expired) {
        remember(look, position, word, since);
    } else if (group_give_up(group->page, group->mask, position, word)) {
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

/* What nobody has, and nobody may be given any more: the limit was another when it was given up. */
static void see_available(struct look *look, uint64_t position, uint64_t word)
{
    const struct kept *group = look->group;
    uint32_t most = group->settings.max_deliveries;
    if (most != 0 && group_deliveries_of(word) >= most)
        look->changed |= group_give_up(group->page, group->mask, position, word);
}

static void see(void *context, uint64_t position, uint64_t word)
{
    struct look *look = context;
    if (group_state_of(word) == GROUP_CLAIMED)
        see_claim(look, position, word);
    else if (group_state_of(word) == GROUP_AVAILABLE)
        see_available(look, position, word);
    look->dead |= group_state_of(word) == GROUP_DEAD;
}

static uint64_t patience_of(const struct kept *group)
{
    return group->mask == 0 ? group->grace_ns : group->settings.lease_ns;
}

/*
 * Members that did not come back after a crash of ours, and were not heard of, are awaited no longer: what
 * they hold goes by its leases, and their lines are given to others if there is no other left. Until then a
 * member that comes back after all has its line as before: nothing in the page says otherwise. One that comes
 * back at this moment is attended: forsaken means nothing then, and is forgotten when the line is next given.
 * true: some.
 */
static bool forsake_lines(struct kept *group, uint64_t now)
{
    bool awaits = false, forsakes = false;
    uint64_t since = atomic_load(&group->since_ns);
    for (unsigned i = 0; since != 0 && i < GROUP_MEMBERS; i++) {
        if (!is_awaited(group, i))
            continue;
        uint64_t heard = group->heard_ns[i] > since ? group->heard_ns[i] : since;
        bool over = now > heard && now - heard >= patience_of(group);
        if (over)
            atomic_store(&group->forsaken[i], true);
        forsakes |= over;
        awaits |= !over;
    }
    if (!awaits) /* unless another is awaited since: group_undo_join() */
        (void)atomic_compare_exchange_strong(&group->since_ns, &since, 0);
    return forsakes;
}

static void look_at_claims(struct look *look)
{
    struct kept *group = look->group;
    look->fresh = NULL;
    look->count = look->room = look->before = 0;
    group_visit(group->page, group->mask, see, look);
    date(look);
    free(group->sightings);
    group->sightings = look->fresh;
    group->sighting_count = look->count;
}

/* ---- the look ---- */

bool leases_has_members(struct kept *group)
{
    bool has = atomic_load(&group->since_ns) != 0;
    for (unsigned i = 0; !has && i < GROUP_MEMBERS; i++)
        has = atomic_load(&group->attended[i]);
    return has;
}

uint64_t leases_rested(const struct kept *group, uint64_t began, uint64_t spent_before)
{
    return began + (1 + PAUSE) * (group->spent(group) - spent_before);
}

uint64_t leases_interval(const struct kept *group)
{
    uint64_t look = patience_of(group) / 8;
    look = look < seldom_ns ? look : seldom_ns;
    return look > soonest_ns ? look : soonest_ns;
}

static struct leases_news look_at_all(struct kept *group, uint64_t now)
{
    struct look look = {.group = group, .now = now};
    if (group->mask != 0)
        look_at_claims(&look);
    /* Behind the claims: who made or renewed one since the last look was heard of. */
    if (forsake_lines(group, now) && group->mask != 0)
        look_at_claims(&look);
    if (look.changed)
        group_tell(group->page);
    return (struct leases_news){.given_up = look.changed, .dead = look.dead};
}

uint64_t leases_look(struct kept *group, uint64_t now, struct leases_news *news)
{
    *news = (struct leases_news){false, false};
    if (now < group->rests_until_ns) /* rung */
        return group->rests_until_ns;
    bool members = leases_has_members(group); /* before the rest: who leaves rings afterwards */
    uint64_t before = group->spent(group);
    *news = look_at_all(group, now);
    group->rests_until_ns = leases_rested(group, now, before);
    if (group->mask == 0 ? atomic_load(&group->since_ns) == 0 : !members && group->sighting_count == 0)
        return TASK_WHEN_RUNG;
    uint64_t due = now + leases_interval(group);
    return due > group->rests_until_ns ? due : group->rests_until_ns;
}

void leases_forget(struct kept *group)
{
    atomic_store(&group->since_ns, 0);
    group->sighting_count = 0;
}

void leases_release(struct kept *group)
{
    free(group->sightings);
    group->sightings = NULL;
    group->sighting_count = 0;
}
