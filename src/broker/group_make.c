#include "broker/group_make.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/group_page.h"
#include "broker/group_place.h"

static const uint64_t lease_default_ns = 30000000000u;
static const uint64_t lease_min_ns = 10000000;
static const uint64_t lease_max_ns = 86400000000000u;
enum { SPAN_DEFAULT = 4 * 1024 * 1024 };

int group_check_settings(const struct wire_group *request, struct error_text *text)
{
    if (request->lease_ns < lease_min_ns || request->lease_ns > lease_max_ns)
        return error_say(text, HERMES_EINVALID, "lease of %g s: it must be from 10 ms to 24 hours",
                         (double)request->lease_ns / 1e9);
    if (request->max_deliveries > GROUP_DELIVERIES_MAX)
        return error_say(text, HERMES_EINVALID, "%" PRIu32 " deliveries: at most %d can be counted",
                         request->max_deliveries, GROUP_DELIVERIES_MAX);
    return HERMES_OK;
}

/* It has one holder, who keeps what it was given for as long as it likes, and gives nothing up. */
static int check_durable(const struct wire_group *request, struct error_text *text)
{
    const char *what = request->lease_ns != 0         ? "lease"
                       : request->max_deliveries != 0 ? "limit of deliveries"
                       : request->dead_letter[0] != 0 ? "dead-letter topic"
                       : request->span_bytes != 0     ? "span"
                                                      : NULL;
    return what == NULL ? HERMES_OK
                        : error_set(text, HERMES_EINVALID, "a durable subscription has no %s", what);
}

int group_check_dead_letter(const struct topic *topic, const char *name, const struct topic *letters,
                            struct error_text *text)
{
    int rc = wire_topic_check(name);
    if (rc < 0)
        return error_set(text, rc, "name of the dead-letter topic");
    if (strcmp(name, topic->name) == 0)
        return error_say(text, HERMES_EINVALID, "topic '%s' cannot take its own dead letters", name);
    if (letters != NULL && !letters->shared)
        return error_say(text, HERMES_EINVALID, "dead-letter topic '%s' is exclusive: it must be shared",
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
    while (slots * 64 < span_bytes && slots < GROUP_SLOTS_MAX)
        slots *= 2;
    return (uint32_t)slots;
}

/* A page's id does not tell a group that was made anew from one that was reset. */
static uint32_t next_made(struct broker *broker)
{
    uint64_t id = broker_next_id(broker);
    uint32_t made = (uint32_t)(id ^ id >> 32);
    return made != 0 ? made : 1;
}

static struct group_record settings_of(const struct session *session, const struct topic *topic,
                                       const struct wire_group *request, const struct group_place *place)
{
    struct group_record settings = {
        .topic_id = topic->id,
        .page_id = broker_next_id(session->broker),
        .floor = place->position,
        .cursor = place->position,
        .lease_ns = request->lease_ns,
        .slots = request->durable ? 0 : slots_for(request->span_bytes),
        .max_deliveries = request->max_deliveries,
        .uid = session->uid,
        .made = next_made(session->broker),
    };
    snprintf(settings.dead_letter, sizeof settings.dead_letter, "%s", request->dead_letter);
    return settings;
}

static int check_request(const struct topic *topic, const struct wire_group *request, struct error_text *text)
{
    if (topic->group_count >= GROUPS_MAX)
        return error_set(text, HERMES_ELIMIT, "topic '%s' has %d groups", topic->name, GROUPS_MAX);
    if (request->durable > 1)
        return error_set(text, HERMES_EINVALID, "group of kind %" PRIu32, request->durable);
    return group_check_settings(request, text);
}

/* All that it may be refused for, and nothing of it is anywhere yet but its share. */
static int plan_group(struct session *session, struct topic *topic, const struct wire_group *request,
                      struct group **out, struct group_place *place, struct error_text *text)
{
    struct broker *broker = session->broker;
    int rc = check_request(topic, request, text);
    if (rc == 0)
        rc = place_find(topic, request->from, request->position, place, text);
    if (rc < 0)
        return rc;
    struct group *group = group_new(broker, topic, request->group);
    if (group == NULL)
        return error_set(text, HERMES_ENOMEM, "group '%s'", request->group);
    if (faccessat(AT_FDCWD, group->kept.path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = error_say(text, HERMES_EEXISTS,
                       "group '%s' is on the disk, but is not served: the broker said why when it started "
                       "(hermes group delete)",
                       request->group);
    group->kept.settings = settings_of(session, topic, request, place);
    if (rc == 0)
        rc = group_take_share(broker, group, text);
    if (rc < 0)
        group_free(broker, group);
    else
        *out = group;
    return rc;
}

/* Page and record. */
static int set_up(struct broker *broker, struct group *group, uint64_t sequence, struct error_text *text)
{
    int rc = page_make(broker, group, sequence, text);
    if (rc < 0)
        return rc;
    page_use(group);
    group_begin_counting(broker, group);
    rc = kept_save(&group->kept, &group->kept.settings, group->kept.page, text);
    if (rc == 0 && (rc = keeper_add(&broker->workers, &group->kept)) < 0)
        error_set(text, rc, "group '%s'", group->name);
    if (rc < 0) {
        unlink(group->kept.path);
        page_drop(group, GROUP_DELETED);
    }
    return rc;
}

static int make_group(struct session *session, struct topic *topic, const struct wire_group *request,
                      struct error_text *text)
{
    struct broker *broker = session->broker;
    struct group *group = NULL;
    struct group_place place;
    int rc = plan_group(session, topic, request, &group, &place, text);
    if (rc < 0)
        return rc;
    rc = make_directory(broker, topic, text);
    if (rc == 0)
        rc = set_up(broker, group, place.sequence, text);
    if (rc < 0)
        group_free(broker, group);
    else
        group_link(topic, group);
    return rc;
}

/* With what a request leaves to us. */
static int complete(const struct topic *topic, struct wire_group *request, struct error_text *text)
{
    int rc = group_check_name(request->group, text);
    if (rc < 0)
        return rc;
    if (group_in(topic, request->group) != NULL)
        return error_set(text, HERMES_EEXISTS, "group '%s' of topic '%s'", request->group, topic->name);
    if (memchr(request->dead_letter, 0, sizeof request->dead_letter) == NULL)
        return error_set(text, HERMES_ENAME, "name of the dead-letter topic");
    if (request->durable != 0 && (rc = check_durable(request, text)) < 0)
        return rc;
    if (request->lease_ns == 0)
        request->lease_ns = lease_default_ns;
    if (request->span_bytes == 0)
        request->span_bytes = SPAN_DEFAULT;
    return HERMES_OK;
}

int group_check_create(struct session *session, struct topic *topic, const struct wire_group *given,
                       struct error_text *text)
{
    struct wire_group request = *given;
    struct group *group = NULL;
    struct group_place place;
    int rc = complete(topic, &request, text);
    if (rc == 0)
        rc = plan_group(session, topic, &request, &group, &place, text);
    if (rc == 0)
        group_free(session->broker, group);
    return rc;
}

int group_create(struct session *session, struct topic *topic, const struct wire_group *given,
                 struct error_text *text)
{
    struct wire_group request = *given;
    int rc = complete(topic, &request, text);
    return rc < 0 ? rc : make_group(session, topic, &request, text);
}

/* To who was a member of it. One that is not served now is still there. */
static int tell_gone(const struct broker *broker, const struct topic *topic, const char *name,
                     struct error_text *text)
{
    char path[PATH_BYTES];
    group_path(broker, topic, name, path);
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return error_say(text, HERMES_EIO, "group '%s' of topic '%s' is not served", name, topic->name);
    return error_say(text, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", name, topic->name);
}

int group_create_for(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                     struct error_text *text)
{
    if (group_in(topic, request->group) != NULL) /* somebody was faster */
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
    int rc = make_group(session, topic, &wanted, text);
    return rc == HERMES_EEXISTS ? HERMES_EIO : rc; /* as of a topic that is not served: the next start may */
}
