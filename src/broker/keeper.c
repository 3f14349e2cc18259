#include "broker/keeper.h"

#include "base/clock.h"
#include "base/note.h"
#include "broker/leases.h"
#include "counters/page.h"

/* While a group moves, its record is at most so old. */
static const uint64_t record_ns = 100000000;
/* A record that cannot be written is told of at once, and again this often. */
static const uint64_t tell_again_ns = 60000000000u;

/* ---- records ---- */

/* What a page with these settings says now, into group->next. */
static int take(struct kept *group, const struct group_record *settings, struct group_page *page)
{
    struct group_record *next = &group->next;
    struct group_record_entry *entries = next->entries;
    uint32_t room = next->room;
    *next = *settings;
    next->entries = entries;
    next->room = room;
    return group_record_take(next, page, settings->slots == 0 ? 0 : settings->slots - 1);
}

/* What the next record says is what counts: the page may be one that nobody else can see. */
static void tell_counters(const struct kept *group)
{
    const struct group_record *next = &group->next;
    struct counters_entry *counters = group->counters;
    if (counters == NULL)
        return;
    counters_set(counters, GROUP_DONE_POSITION, next->floor);
    counters_set(counters, GROUP_CLAIMED_POSITION, next->cursor > next->floor ? next->cursor : next->floor);
    counters_set(counters, GROUP_CLAIMED_SEQUENCE, next->cursor_sequence);
    counters_set(counters, GROUP_IN_FLIGHT, next->count);
    counters_set(counters, GROUP_REDELIVERED, next->redelivered);
    counters_set(counters, GROUP_EXPIRED, next->expired);
    counters_set(counters, GROUP_DEAD_MESSAGES, next->dead);
    counters_set(counters, GROUP_LOST, next->lost);
    counters_set(counters, GROUP_LOOKED_NS, clock_monotonic_ns());
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

int kept_save(struct kept *group, const struct group_record *settings, struct group_page *page,
              struct error_text *text)
{
    int rc = take(group, settings, page);
    if (rc < 0)
        return error_set(text, rc, "%s", group->path);
    tell_counters(group);
    return write_record(group, text);
}

static void tell(struct kept *group, const struct error_text *text, uint64_t now)
{
    if (group->told_ns == 0 || now - group->told_ns > tell_again_ns) {
        group->told_ns = now;
        note("record of a group: %s", text->bytes);
    }
}

static bool has_letters(const struct kept *group)
{
    return group->mask != 0 && group->settings.dead_letter[0] != 0;
}

/* true: the page says something else than the record. */
static bool keep_record(struct kept *group, uint64_t now)
{
    struct error_text text;
    int rc = take(group, &group->settings, group->page);
    if (rc == 0)
        tell_counters(group);
    else
        error_set(&text, rc, "%s", group->path);
    bool moved = rc == 0 && !group_record_equal(&group->next, &group->record);
    if (moved && has_letters(group)) /* members bury, too */
        workers_ring(group->workers, &group->errands);
    if (rc == 0 && (moved || group->failed) && lane_enter(group->workers, group->lane, &group->records)) {
        rc = write_record(group, &text);
        lane_leave(group->workers, group->lane);
    }
    if (rc < 0)
        tell(group, &text, now);
    return moved || rc < 0;
}

/* ---- the tasks ---- */

#define GROUP_OF(task, name) ((struct kept *)(void *)((char *)(task)-offsetof(struct kept, name)))

static uint64_t look(struct task *task, uint64_t now)
{
    struct kept *group = GROUP_OF(task, looks);
    struct leases_news news;
    uint64_t due = leases_look(group, now, &news);
    if (news.given_up)
        workers_ring(group->workers, &group->records);
    if (has_letters(group) && (news.given_up || news.dead))
        workers_ring(group->workers, &group->errands);
    return due;
}

static uint64_t run_errands(struct task *task, uint64_t now)
{
    struct kept *group = GROUP_OF(task, errands);
    if (!has_letters(group))
        return TASK_WHEN_RUNG;
    bool moved;
    uint64_t due = letters_run(&group->letters, group->page, group->mask, now, &moved);
    if (moved)
        workers_ring(group->workers, &group->records);
    return due;
}

static void errands_left(struct task *task)
{
    letters_quieten(&GROUP_OF(task, errands)->letters, true);
}

static uint64_t record(struct task *task, uint64_t now)
{
    struct kept *group = GROUP_OF(task, records);
    if (now < group->record_rests_until_ns) /* rung */
        return group->record_rests_until_ns;
    bool members = leases_has_members(group); /* before the rest: who leaves rings afterwards */
    uint64_t before = group->spent(group);
    bool moved = keep_record(group, now);
    group->record_rests_until_ns = leases_rested(group, now, before);
    if (!moved && !members)
        return TASK_WHEN_RUNG;
    uint64_t due = now + (moved ? record_ns : leases_interval(group));
    return due > group->record_rests_until_ns ? due : group->record_rests_until_ns;
}

static uint64_t real_clock(const struct kept *group)
{
    (void)group;
    return clock_monotonic_ns();
}

static uint64_t real_spent(const struct kept *group)
{
    (void)group;
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

int keeper_add(struct workers *workers, struct kept *group)
{
    group->looks.run = look;
    group->looks.quick = true;
    group->errands.run = run_errands;
    group->errands.left = errands_left;
    group->records.run = record;
    group->clock = real_clock;
    group->spent = real_spent;
    group->workers = workers;
    keeper_look_again(workers, group);
    keeper_go_on(workers, group);
    return HERMES_OK;
}

void keeper_ring(struct workers *workers, struct kept *group)
{
    workers_ring(workers, &group->looks);
    workers_ring(workers, &group->records);
}

void keeper_pauses(struct job *job, struct kept *group)
{
    job_removes(job, &group->errands);
    job_removes(job, &group->records);
}

void keeper_go_on(struct workers *workers, struct kept *group)
{
    letters_quieten(&group->letters, false);
    workers_add(workers, &group->errands);
    workers_add(workers, &group->records);
}

void keeper_look_away(struct workers *workers, struct kept *group)
{
    workers_remove(workers, &group->looks);
}

void keeper_look_again(struct workers *workers, struct kept *group)
{
    workers_add(workers, &group->looks);
}

void keeper_leaves(struct job *job, struct kept *group)
{
    job_removes(job, &group->looks);
    keeper_pauses(job, group);
}

void keeper_remove(struct workers *workers, struct kept *group)
{
    workers_remove(workers, &group->looks);
    workers_remove(workers, &group->errands);
    workers_remove(workers, &group->records);
}

void kept_release(struct kept *group)
{
    letters_withdraw(&group->letters);
    group_record_release(&group->record);
    group_record_release(&group->next);
    leases_release(group);
}
