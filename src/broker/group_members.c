#include "broker/group_members.h"

#include <inttypes.h>

#include "base/clock.h"

static uint64_t member_of(const struct group *group, unsigned line)
{
    return atomic_load(&group->kept.page->members[line].id);
}

/* A line that nobody has, after the one that was given last: a line's old holder may be slow to notice. If
 * there is none, one whose member was silent for too long: it may live. */
static int find_line(const struct group *group)
{
    unsigned lines = group->kept.mask == 0 ? 1 : GROUP_MEMBERS;
    int forsaken = -1;
    for (unsigned i = 0; i < lines; i++) {
        unsigned line = (group->next_line + i) % lines;
        if (atomic_load(&group->kept.attended[line]))
            continue;
        if (member_of(group, line) == 0)
            return (int)line;
        if (forsaken < 0 && atomic_load(&group->kept.forsaken[line]))
            forsaken = (int)line;
    }
    return forsaken;
}

static bool resumes(struct group *group, const struct wire_subscriber_open *request)
{
    return request->resume_page == group->kept.settings.page_id && request->resume_member != 0 &&
           request->resume_line < GROUP_MEMBERS &&
           !atomic_load(&group->kept.attended[request->resume_line]) &&
           member_of(group, request->resume_line) == request->resume_member;
}

/* Returns the id of who has the line: known, if it resumes, with all its claims; else a new one. */
static uint64_t take_line(struct broker *broker, struct group *group, unsigned line, uint64_t known,
                          bool resumed)
{
    uint64_t id = resumed ? known : broker_next_id(broker);
    atomic_store(&group->kept.attended[line], true); /* before the other: see leases.c */
    atomic_store(&group->kept.forsaken[line], false);
    if (!resumed)
        group_give_line(group->kept.page, line, id, known);
    return id;
}

/* Who was away while its group was deleted and another made under that name is no member of this one. */
static bool is_of_another(const struct group *group, const struct wire_subscriber_open *request)
{
    uint32_t made = group->kept.settings.made;
    return request->resume_page != 0 && request->resume_made != 0 && made != 0 &&
           request->resume_made != made;
}

int group_join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
               struct handle *handle, struct wire_subscriber *opened, struct error_text *text)
{
    struct broker *broker = session->broker;
    int rc = group_check_name(request->group, text);
    if (rc < 0)
        return rc;
    struct group *group = group_in(topic, request->group);
    if (group == NULL)
        return HERMES_ENOTFOUND;
    if (is_of_another(group, request))
        return error_say(text, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", group->name, topic->name);
    if ((rc = group_check_owner(session, group, false, text)) == 0 &&
        (group->kept.mask == 0) != (request->durable != 0)) {
        rc = error_say(text, HERMES_EINVALID, "'%s' is a %s, no %s", group->name,
                       group->kept.mask == 0 ? "durable subscription" : "group",
                       group->kept.mask == 0 ? "group" : "durable subscription");
    }
    if (rc < 0)
        return rc;
    bool resumed = resumes(group, request);
    int line = resumed ? (int)request->resume_line : find_line(group);
    if (line < 0 && group->kept.mask == 0)
        return error_say(text, HERMES_EBUSY,
                         "durable subscription '%s' of topic '%s' has its subscriber already", group->name,
                         topic->name);
    if (line < 0)
        return error_set(text, HERMES_ELIMIT, "group '%s' has %d members", group->name, GROUP_MEMBERS);
    uint64_t id = take_line(broker, group, (unsigned)line, request->resume_member, resumed);
    group->next_line = (unsigned)line + 1;
    group->members++;
    keeper_ring(&broker->workers, &group->kept);
    handle->group = group;
    handle->line = (unsigned)line;
    handle->member = id;
    handle->resumed = resumed;
    opened->page = group->kept.settings.page_id;
    opened->member = id;
    opened->line = (uint32_t)line;
    return HERMES_OK;
}

void group_drop(struct broker *broker, struct handle *handle)
{
    struct group *group = handle->group;
    struct kept *kept = &group->kept;
    group->members--;
    if (!broker->stopping) {
        /* A reset gave the group a page without this member's line. */
        uint64_t id = handle->member;
        if (atomic_compare_exchange_strong(&kept->page->members[handle->line].id, &id, 0) && kept->mask != 0)
            group_leave(kept->page, kept->mask, handle->line);
    }
    atomic_store(&kept->attended[handle->line], false);
    keeper_ring(&broker->workers, kept);
}

void group_undo_join(struct broker *broker, struct handle *handle)
{
    struct kept *kept = &handle->group->kept;
    if (!handle->resumed) {
        group_drop(broker, handle);
        return;
    }
    handle->group->members--;
    atomic_store(&kept->attended[handle->line], false);
    atomic_store(&kept->since_ns, clock_monotonic_ns()); /* behind it: pairs with forsake_lines() */
    keeper_ring(&broker->workers, kept);
}
