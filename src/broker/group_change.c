#include "broker/group_change.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/note.h"
#include "broker/group_make.h"
#include "broker/group_page.h"
#include "broker/group_place.h"
#include "broker/leases.h"

/* ---- altering ---- */

static void hand_on(struct group_page *page, const struct group_page *before)
{
    atomic_store(&page->generation, atomic_load(&before->generation));
    atomic_store(&page->redelivered, atomic_load(&before->redelivered));
    atomic_store(&page->expired, atomic_load(&before->expired));
    atomic_store(&page->dead, atomic_load(&before->dead));
    atomic_store(&page->lost, atomic_load(&before->lost));
}

/* A page with messages below that position whose letters are not where they belong is not given up. */
static int finish_letters(struct group *group, uint64_t below, struct error_text *text)
{
    struct kept *kept = &group->kept;
    uint64_t wait = letters_finish(&kept->letters, kept->page, kept->mask, below);
    return wait == 0 ? HERMES_OK
                     : error_say(text, HERMES_EBUSY,
                                 "group '%s' has %" PRIu64 " dead letters that are not in topic '%s' yet",
                                 group->name, wait, kept->settings.dead_letter);
}

/* Of members that were quick enough to give something up while the group got another page. */
static void finish_late_letters(struct group *group, struct group_page *before, uint64_t below)
{
    struct kept *kept = &group->kept;
    uint64_t wait = letters_finish(&kept->letters, before, kept->mask, below);
    if (wait > 0)
        note("group '%s' was set to another position: %" PRIu64 " dead letters are lost", group->name, wait);
    letters_withdraw(&kept->letters);
}

static void use_settings(struct broker *broker, struct group *group, const struct group_record *settings)
{
    struct kept *kept = &group->kept;
    keeper_look_away(&broker->workers, kept);
    kept->settings.lease_ns = settings->lease_ns;
    kept->settings.max_deliveries = settings->max_deliveries;
    atomic_store(&kept->page->max_deliveries, settings->max_deliveries);
    keeper_look_again(&broker->workers, kept);
}

/* Nobody holds anything of the fresh page yet, and the old one counts no more: there is nothing to look at.
 */
static void use_page(struct broker *broker, struct group *group, struct group *fresh, uint64_t position)
{
    keeper_look_away(&broker->workers, &group->kept);
    letters_withdraw(&group->kept.letters); /* they are the old page's */
    pages_swap(group, fresh);
    struct group_page *before = fresh->map.address;
    page_end(before, GROUP_MOVED);
    finish_late_letters(group, before, position);
    hand_on(group->kept.page, before); /* what was counted until then */
    leases_forget(&group->kept);
    keeper_look_again(&broker->workers, &group->kept);
}

/* The group goes on at that place, in another page; nobody is in the old one meanwhile. */
static int move_to(struct broker *broker, struct group *group, const struct group_record *settings,
                   const struct group_place *place, struct error_text *text)
{
    struct group fresh = {.kept.settings = *settings};
    memcpy(fresh.name, group->name, sizeof fresh.name);
    fresh.kept.settings.page_id = broker_next_id(broker);
    fresh.kept.settings.floor = place->position;
    int rc = page_make(broker, &fresh, place->sequence, text);
    if (rc < 0)
        return rc;
    hand_on(fresh.map.address, group->kept.page);
    rc = kept_save(&group->kept, &fresh.kept.settings, fresh.map.address, text);
    if (rc == 0)
        use_page(broker, group, &fresh, place->position);
    page_drop(&fresh, GROUP_MOVED);
    return rc;
}

/*
 * Another position means another page: what members hold of the old one counts no more. Counters go on. While
 * the record of the new one is written nobody is given anything: should we die over it, nobody does anything
 * in the old one that the next start knows nothing of. Should it fail, the old one stays, with all that
 * members hold. What is dead behind the new position comes again; what is before it is put away first.
 */
static int reset(struct broker *broker, struct topic *topic, struct group *group,
                 const struct wire_group *request, const struct group_record *settings,
                 struct error_text *text)
{
    struct group_place place;
    int rc = place_find(topic, request->from, request->position, &place, text);
    if (rc == 0)
        rc = finish_letters(group, place.position, text);
    if (rc < 0)
        return rc;
    struct group_page *before = group->kept.page;
    page_end(before, GROUP_MOVING);
    if (request->from == WIRE_FROM_END) /* behind all that was given out since it was found */
        place = place_of_end(topic);
    rc = move_to(broker, group, settings, &place, text);
    if (rc < 0)
        page_stays(before);
    return rc;
}

static int take_settings(const struct wire_group *request, struct group_record *settings,
                         struct error_text *text)
{
    struct wire_group wanted = *request;
    if ((request->fields & WIRE_GROUP_LEASE) == 0)
        wanted.lease_ns = settings->lease_ns;
    if ((request->fields & WIRE_GROUP_DELIVERIES) == 0)
        wanted.max_deliveries = settings->max_deliveries;
    settings->lease_ns = wanted.lease_ns;
    settings->max_deliveries = wanted.max_deliveries;
    return group_check_settings(&wanted, text);
}

int group_alter(struct session *session, struct topic *topic, const struct wire_group *request,
                struct error_text *text)
{
    struct broker *broker = session->broker;
    struct group *group;
    int rc = group_find(session, topic, request->group, &group, text);
    if (rc < 0)
        return rc;
    const uint32_t known = WIRE_GROUP_LEASE | WIRE_GROUP_DELIVERIES | WIRE_GROUP_POSITION;
    if (request->fields == 0 || (request->fields & ~known) != 0)
        return error_say(text, HERMES_EINVALID, "nothing that can be altered in group '%s'", group->name);
    if (group->kept.mask == 0 && request->fields != WIRE_GROUP_POSITION)
        return error_say(text, HERMES_EINVALID,
                         "durable subscription '%s' has no lease and counts no deliveries", group->name);
    struct group_record settings = group->kept.settings;
    rc = take_settings(request, &settings, text);
    if (rc < 0)
        return rc;
    if ((request->fields & WIRE_GROUP_POSITION) != 0)
        return reset(broker, topic, group, request, &settings, text);
    rc = kept_save(&group->kept, &settings, group->kept.page, text);
    if (rc == 0)
        use_settings(broker, group, &settings);
    return rc;
}

/* ---- deleting ---- */

/* A record that could not be read when the broker started: nobody knows whose it is. rc: what to say if there
 * is none. */
static int delete_remains(const struct broker *broker, const struct topic *topic, const char *name, int rc)
{
    char path[PATH_BYTES];
    group_path(broker, topic, name, path);
    return unlink(path) == 0 ? HERMES_OK : rc;
}

int group_delete(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text)
{
    struct group *group;
    int rc = group_find(session, topic, request->group, &group, text);
    if (rc == HERMES_ENOTFOUND && broker_trusts(session->broker, session->uid))
        return delete_remains(session->broker, topic, request->group, rc);
    if (rc < 0)
        return rc;
    if (group->members > 0)
        return error_say(text, HERMES_EBUSY, "group '%s' has %u members", group->name, group->members);
    unsigned awaited = leases_awaited(&group->kept);
    if (awaited > 0)
        return error_say(text, HERMES_EBUSY,
                         "group '%s' has %u members of before the broker's start, who may come back",
                         group->name, awaited);
    if ((rc = finish_letters(group, UINT64_MAX, text)) < 0)
        return rc;
    if (unlink(group->kept.path) != 0 && errno != ENOENT)
        return error_set_errno(text, "delete", group->kept.path);
    struct error_text
        ignored; /* it is gone; a power cut that brings it back brings a group back that is whole */
    (void)path_sync_parent(group->kept.path, &ignored);
    group_unlink(topic, group);
    keeper_look_away(&session->broker->workers, &group->kept);
    page_drop(group, GROUP_DELETED);
    group_free(session->broker, group);
    return HERMES_OK;
}

void group_go_on(struct session *session, struct topic *topic, const char *name)
{
    struct group *group = group_in(topic, name);
    if (group != NULL)
        keeper_go_on(&session->broker->workers, &group->kept);
}
