#include "broker/group_change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/note.h"
#include "broker/group_page.h"
#include "broker/group_place.h"
#include "broker/leases.h"

static const uint64_t lease_default_ns = 30000000000u;
static const uint64_t lease_min_ns = 10000000;
static const uint64_t lease_max_ns = 86400000000000u;
enum { SPAN_DEFAULT = 4 * 1024 * 1024 };

/* ---- making ---- */

static int check_settings(const struct wire_group *request, struct error_text *text)
{
    if (request->lease_ns < lease_min_ns || request->lease_ns > lease_max_ns)
        return error_set(text, HERMES_EINVALID, "lease of %" PRIu64 " ns: it must be from 10 ms to 24 hours",
                         request->lease_ns);
    if (request->max_deliveries > GROUP_DELIVERIES_MAX)
        return error_set(text, HERMES_EINVALID, "%" PRIu32 " deliveries: at most %d can be counted",
                         request->max_deliveries, GROUP_DELIVERIES_MAX);
    return HERMES_OK;
}

int group_check_dead_letter(const struct topic *topic, const char *name, const struct topic *letters,
                            struct error_text *text)
{
    int rc = wire_topic_check(name);
    if (rc < 0)
        return error_set(text, rc, "name of the dead-letter topic");
    if (strcmp(name, topic->name) == 0)
        return error_set(text, HERMES_EINVALID, "topic '%s' cannot take its own dead letters", name);
    if (letters != NULL && !letters->shared)
        return error_set(text, HERMES_EINVALID, "dead-letter topic '%s' is exclusive: it must be shared",
                         name);
    return HERMES_OK;
}

static int make_directory(const struct broker *broker, const struct topic *topic, struct error_text *text)
{
    char path[PATH_BYTES];
    group_path(broker, topic, "", path);
    if (mkdir(path, 0700) == 0)
        return path_sync_parent(path, text);
    return errno == EEXIST ? HERMES_OK : error_set_errno(text, "create directory", path);
}

static uint32_t slots_for(uint64_t span_bytes)
{
    uint64_t slots = GROUP_SLOTS_MIN;
    while (slots < span_bytes / 64 && slots < GROUP_SLOTS_MAX)
        slots *= 2;
    return (uint32_t)slots;
}

static int make_group(struct session *session, struct topic *topic, const struct wire_group *request,
                      struct group **out, struct error_text *text)
{
    struct broker *broker = session->broker;
    struct group_place place;
    if (topic->group_count >= GROUPS_MAX)
        return error_set(text, HERMES_ELIMIT, "topic '%s' has %d groups", topic->name, GROUPS_MAX);
    if (request->durable > 1)
        return error_set(text, HERMES_EINVALID, "group of kind %" PRIu32, request->durable);
    int rc = check_settings(request, text);
    if (rc == 0)
        rc = place_find(topic, request->from, request->position, &place, text);
    if (rc == 0)
        rc = make_directory(broker, topic, text);
    if (rc < 0)
        return rc;
    struct group *group = group_new(broker, topic, request->group);
    if (group == NULL)
        return error_set(text, HERMES_ENOMEM, "group '%s'", request->group);
    if (faccessat(AT_FDCWD, group->kept.path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        group_free(broker, group);
        return error_set(text, HERMES_EEXISTS,
                         "group '%s' is on the disk, but is not served: the broker said why when it started "
                         "(hermes group delete)",
                         request->group);
    }
    group->kept.settings = (struct group_record){
        .topic_id = topic->id,
        .page_id = broker_next_id(broker),
        .floor = place.position,
        .cursor = place.position,
        .lease_ns = request->lease_ns,
        .slots = request->durable ? 0 : slots_for(request->span_bytes),
        .max_deliveries = request->max_deliveries,
        .uid = session->uid,
    };
    snprintf(group->kept.settings.dead_letter, sizeof group->kept.settings.dead_letter, "%s",
             request->dead_letter);
    rc = group_take_share(broker, group, text);
    if (rc == 0)
        rc = page_make(broker, group, place.sequence, text);
    if (rc < 0) {
        group_free(broker, group);
        return rc;
    }
    page_use(group);
    rc = kept_save(&group->kept, text);
    if (rc == 0 && (rc = keeper_add(&broker->workers, &group->kept)) < 0)
        error_set(text, rc, "group '%s'", group->name);
    if (rc < 0) {
        unlink(group->kept.path);
        page_drop(group, GROUP_DELETED);
        group_free(broker, group);
        return rc;
    }
    group_link(topic, group);
    *out = group;
    return HERMES_OK;
}

int group_create(struct session *session, struct topic *topic, const struct wire_group *given,
                 struct error_text *text)
{
    struct wire_group request = *given;
    int rc = group_check_name(request.group, text);
    if (rc < 0)
        return rc;
    if (group_in(topic, request.group) != NULL)
        return error_set(text, HERMES_EEXISTS, "group '%s' of topic '%s'", request.group, topic->name);
    if (memchr(request.dead_letter, 0, sizeof request.dead_letter) == NULL)
        return error_set(text, HERMES_ENAME, "name of the dead-letter topic");
    if (request.lease_ns == 0)
        request.lease_ns = lease_default_ns;
    if (request.span_bytes == 0)
        request.span_bytes = SPAN_DEFAULT;
    struct group *group;
    return make_group(session, topic, &request, &group, text);
}

/* To who was a member of it. One that is not served now is still there. */
static int tell_gone(const struct broker *broker, const struct topic *topic, const char *name,
                     struct error_text *text)
{
    char path[PATH_BYTES];
    group_path(broker, topic, name, path);
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return error_set(text, HERMES_EIO, "group '%s' of topic '%s' is not served", name, topic->name);
    return error_set(text, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", name, topic->name);
}

int group_create_for(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                     struct error_text *text)
{
    struct group *group = group_in(topic, request->group);
    if (group != NULL) /* somebody was faster */
        return HERMES_OK;
    if (request->resume_page != 0 && group_check_name(request->group, text) == 0)
        return tell_gone(session->broker, topic, request->group, text);
    struct wire_group wanted = {.durable = request->durable,
                                .from = request->from,
                                .lease_ns = lease_default_ns,
                                .span_bytes = SPAN_DEFAULT};
    memcpy(wanted.group, request->group, sizeof wanted.group);
    if (request->from > WIRE_FROM_FIRST)
        return error_set(text, HERMES_EINVALID, "beginning of kind %" PRIu32, request->from);
    int rc = make_group(session, topic, &wanted, &group, text);
    return rc == HERMES_EEXISTS ? HERMES_EIO : rc; /* as of a topic that is not served: the next start may */
}

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
                     : error_set(text, HERMES_EBUSY,
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

/*
 * Another position means another page: what members hold of the old one counts no more. Counters go on. The
 * old page ends when the record of the new one is on disk: should that fail, nobody notices anything. What is
 * dead behind the new position comes again; what is before it is put away first.
 */
static int reset(struct broker *broker, struct topic *topic, struct group *group,
                 const struct wire_group *request, struct error_text *text)
{
    struct group_place place;
    int rc = place_find(topic, request->from, request->position, &place, text);
    if (rc == 0)
        rc = finish_letters(group, place.position, text);
    if (rc < 0)
        return rc;
    struct group fresh = {.kept.settings = group->kept.settings};
    memcpy(fresh.name, group->name, sizeof fresh.name);
    fresh.kept.settings.page_id = broker_next_id(broker);
    fresh.kept.settings.floor = place.position;
    rc = page_make(broker, &fresh, place.sequence, text);
    if (rc < 0)
        return rc;
    letters_withdraw(&group->kept.letters); /* they are the old page's */
    hand_on(fresh.map.address, group->kept.page);
    pages_swap(group, &fresh);
    rc = kept_save(&group->kept, text);
    if (rc < 0) {
        pages_swap(group, &fresh); /* all is as it was */
    } else {
        page_end(fresh.map.address, GROUP_MOVED);
        finish_late_letters(group, fresh.map.address, place.position);
        hand_on(group->kept.page, fresh.map.address); /* what was counted until then */
        leases_forget(&group->kept);
    }
    page_drop(&fresh, GROUP_MOVED);
    return rc;
}

int group_alter(struct session *session, struct topic *topic, const struct wire_group *request,
                struct error_text *text)
{
    struct group *group;
    int rc = group_find(session, topic, request->group, &group, text);
    if (rc < 0)
        return rc;
    const uint32_t known = WIRE_GROUP_LEASE | WIRE_GROUP_DELIVERIES | WIRE_GROUP_POSITION;
    if (request->fields == 0 || (request->fields & ~known) != 0)
        return error_set(text, HERMES_EINVALID, "nothing that can be altered in group '%s'", group->name);
    struct group_record *record = &group->kept.settings;
    struct wire_group wanted = *request;
    if ((request->fields & WIRE_GROUP_LEASE) == 0)
        wanted.lease_ns = record->lease_ns;
    if ((request->fields & WIRE_GROUP_DELIVERIES) == 0)
        wanted.max_deliveries = record->max_deliveries;
    if ((rc = check_settings(&wanted, text)) < 0)
        return rc;
    uint64_t lease_ns = record->lease_ns;
    uint32_t max_deliveries = record->max_deliveries;
    record->lease_ns = wanted.lease_ns;
    record->max_deliveries = wanted.max_deliveries;
    rc = (request->fields & WIRE_GROUP_POSITION) != 0 ? reset(session->broker, topic, group, request, text)
                                                      : kept_save(&group->kept, text);
    if (rc < 0) {
        record->lease_ns = lease_ns; /* as the file still has it */
        record->max_deliveries = max_deliveries;
    }
    atomic_store(&group->kept.page->max_deliveries, record->max_deliveries);
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
        return error_set(text, HERMES_EBUSY, "group '%s' has %u members", group->name, group->members);
    unsigned awaited = leases_awaited(&group->kept);
    if (awaited > 0)
        return error_set(text, HERMES_EBUSY,
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
    page_drop(group, GROUP_DELETED);
    group_free(session->broker, group);
    return HERMES_OK;
}

int group_go_on(struct session *session, struct topic *topic, const char *name)
{
    struct group *group = group_in(topic, name);
    return group == NULL ? HERMES_OK : keeper_add(&session->broker->workers, &group->kept);
}
