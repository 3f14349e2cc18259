#include "broker/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIM_BYTES = 24 }; /* that the keeper notes of one claim */

void group_path(const struct broker *broker, const struct topic *topic, const char *file,
                char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.3700s/%s/groups%s%s", broker->topics_path, topic->name,
             file[0] != 0 ? "/" : "", file);
}

/* ---- what it costs its user ---- */

/* What a group may cost: its page, and what the keeper notes of each claim. */
static uint64_t memory_of(const struct group *group)
{
    uint32_t slots = group->kept.settings.slots;
    return group_page_bytes(slots) + (uint64_t)slots * CLAIM_BYTES;
}

int group_take_share(struct broker *broker, struct group *group, struct error_text *text)
{
    uid_t uid = group->kept.settings.uid;
    int rc = principal_take(&broker->principals, uid, HOLDS_GROUPS, 1, text);
    if (rc < 0)
        return rc;
    rc = principal_take(&broker->principals, uid, HOLDS_MEMORY, memory_of(group), text);
    if (rc < 0)
        principal_give_back(&broker->principals, uid, HOLDS_GROUPS, 1);
    else
        group->counted = true;
    return rc;
}

/* A group that is there is served, whatever the limit is now. */
int group_count_share(struct broker *broker, struct group *group)
{
    uid_t uid = group->kept.settings.uid;
    int rc = principal_add(&broker->principals, uid, HOLDS_GROUPS, 1);
    if (rc == 0 && (rc = principal_add(&broker->principals, uid, HOLDS_MEMORY, memory_of(group))) < 0)
        principal_give_back(&broker->principals, uid, HOLDS_GROUPS, 1);
    group->counted = rc == 0;
    return rc;
}

static void give_back_share(struct broker *broker, const struct group *group)
{
    if (!group->counted)
        return;
    principal_give_back(&broker->principals, group->kept.settings.uid, HOLDS_GROUPS, 1);
    principal_give_back(&broker->principals, group->kept.settings.uid, HOLDS_MEMORY, memory_of(group));
}

/* ---- the groups of a topic ---- */

struct group *group_new(struct broker *broker, struct topic *topic, const char *name)
{
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    snprintf(group->name, sizeof group->name, "%.*s", WIRE_GROUP_BYTES - 1, name);
    group_path(broker, topic, name, group->kept.path);
    group->kept.lane = &topic->records;
    group->kept.grace_ns = broker->config.grace_ms * 1000000ull;
    group->kept.letters = (struct letters){.post = &broker->post,
                                           .workers = &broker->workers,
                                           .task = &group->kept.errands,
                                           .log = &topic->log,
                                           .topic = topic->name,
                                           .group = group->name,
                                           .settings = &group->kept.settings};
    return group;
}

void group_free(struct broker *broker, struct group *group)
{
    give_back_share(broker, group);
    book_give_back(&broker->book, group->kept.counters);
    kept_release(&group->kept);
    free(group);
}

void group_begin_counting(struct broker *broker, struct group *group)
{
    group->id = broker_next_id(broker);
    const struct book_entry entry = {.kind = COUNTERS_GROUP,
                                     .label = group->name,
                                     .id = group->id,
                                     .topic = group->kept.settings.topic_id,
                                     .uid = group->kept.settings.uid};
    group->kept.counters = book_take(&broker->book, &entry);
    counters_set(group->kept.counters, GROUP_DURABLE, group->kept.settings.slots == 0);
}

struct group *group_in(const struct topic *topic, const char *name)
{
    struct group *group = topic->groups;
    while (group != NULL && strcmp(group->name, name) != 0)
        group = group->next;
    return group;
}

void group_link(struct topic *topic, struct group *group)
{
    struct group **at = &topic->groups;
    while (*at != NULL && strcmp((*at)->name, group->name) < 0)
        at = &(*at)->next;
    group->next = *at;
    *at = group;
    topic->group_count++;
}

void group_unlink(struct topic *topic, struct group *group)
{
    struct group **at = &topic->groups;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    topic->group_count--;
}

struct group *group_take_first(struct topic *topic)
{
    struct group *group = topic->groups;
    topic->groups = group->next;
    topic->group_count--;
    return group;
}

/* ---- who may ---- */

int group_check_name(const char *name, struct error_text *text)
{
    int rc = wire_topic_check(name);
    return rc < 0 ? error_set(text, rc, "name of a group") : HERMES_OK;
}

/* Members trust each other like threads, so they are one user's. */
int group_check_owner(const struct session *session, const struct group *group, bool administers,
                      struct error_text *text)
{
    if (session->uid == group->kept.settings.uid || session->uid == 0 ||
        (administers && session->uid == session->broker->uid))
        return HERMES_OK;
    return error_say(text, HERMES_EACCESS,
                     "group '%s' belongs to user %" PRIu32 ", and is for that user and root", group->name,
                     group->kept.settings.uid);
}

int group_find(const struct session *session, const struct topic *topic, const char *name,
               struct group **group, struct error_text *text)
{
    int rc = group_check_name(name, text);
    if (rc < 0)
        return rc;
    *group = group_in(topic, name);
    if (*group == NULL)
        return error_say(text, HERMES_ENOTFOUND, "no group '%s' of topic '%s'", name, topic->name);
    return group_check_owner(session, *group, true, text);
}

/* ---- describing ---- */

static void count(void *context, uint64_t position, uint64_t word)
{
    (void)position, (void)word;
    ++*(uint64_t *)context;
}

void group_describe(const struct group *group, struct wire_group_info *info)
{
    const struct kept *kept = &group->kept;
    struct group_page *page = kept->page;
    *info = (struct wire_group_info){
        .durable = kept->mask == 0,
        .uid = kept->settings.uid,
        .members = group->members,
        .max_deliveries = kept->settings.max_deliveries,
        .lease_ns = kept->settings.lease_ns,
        .span_bytes = (uint64_t)kept->settings.slots * 64,
        .last_sequence = atomic_load(&page->cursor_sequence),
        .redelivered = atomic_load(&page->redelivered),
        .expired = atomic_load(&page->expired),
        .dead = atomic_load(&page->dead),
        .lost = atomic_load(&page->lost),
    };
    snprintf(info->group, sizeof info->group, "%s", group->name);
    snprintf(info->dead_letter, sizeof info->dead_letter, "%s", kept->settings.dead_letter);
    info->done_position = info->position = group_sane(atomic_load(&page->floor));
    if (kept->mask != 0) {
        info->done_position = group_advance(page, kept->mask);
        info->position = group_sane(atomic_load(&page->cursor));
        if (info->position < info->done_position)
            info->position = info->done_position;
        group_visit(page, kept->mask, count, &info->in_flight);
    }
}

bool group_owns_file(const struct topic *topic, const char *name)
{
    const char *kind = strrchr(name, '.');
    if (topic->groups_unread && kind != NULL && strcmp(kind, ".group") == 0)
        return true; /* perhaps: it is left alone */
    for (const struct group *group = topic->groups; group != NULL; group = group->next) {
        const char *slash = strrchr(group->page_path, '/');
        if (slash != NULL && strcmp(slash + 1, name) == 0)
            return true;
    }
    return false;
}
