#include "broker/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"

static const uint64_t lease_default_ns = 30000000000u;
static const uint64_t lease_min_ns = 10000000;
static const uint64_t lease_max_ns = 86400000000000u;
enum { SPAN_DEFAULT = 4 * 1024 * 1024 };
enum { CLAIM_BYTES = 24 }; /* that the keeper notes of one claim */

static void groups_path(const struct broker *broker, const struct topic *topic, const char *file,
                        char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.3700s/%s/groups%s%s", broker->topics_path, topic->name,
             file[0] != 0 ? "/" : "", file);
}

static struct group *find(const struct topic *topic, const char *name)
{
    struct group *group = topic->groups;
    while (group != NULL && strcmp(group->name, name) != 0)
        group = group->next;
    return group;
}

static void link_group(struct topic *topic, struct group *group)
{
    struct group **at = &topic->groups;
    while (*at != NULL && strcmp((*at)->name, group->name) < 0)
        at = &(*at)->next;
    group->next = *at;
    *at = group;
    topic->group_count++;
}

static int check_name(const char *name, struct error_text *text)
{
    int rc = wire_topic_check(name);
    return rc < 0 ? error_set(text, rc, "name of a group") : HERMES_OK;
}

/* Members trust each other like threads, so they are one user's. */
static int check_owner(const struct session *session, const struct group *group, bool administers,
                       struct error_text *text)
{
    if (session->uid == group->kept.settings.uid || session->uid == 0 ||
        (administers && session->uid == session->broker->uid))
        return HERMES_OK;
    return error_set(text, HERMES_EACCESS, "'%s' belongs to user %" PRIu32, group->name,
                     group->kept.settings.uid);
}

int group_find(const struct session *session, const struct topic *topic, const char *name,
               struct group **group, struct error_text *text)
{
    int rc = check_name(name, text);
    if (rc < 0)
        return rc;
    *group = find(topic, name);
    if (*group == NULL)
        return error_set(text, HERMES_ENOTFOUND, "group '%s' of topic '%s'", name, topic->name);
    return check_owner(session, *group, true, text);
}

/* ---- pages ---- */

static uint64_t mask_of(uint32_t slots)
{
    return slots == 0 ? 0 : slots - 1;
}

static int make_page(const struct broker *broker, struct group *group, struct error_text *text)
{
    const struct group_record *record = &group->kept.settings;
    size_t bytes = group_page_bytes(record->slots);
    int rc;
    group->page_path[0] = 0;
    if (broker_trusts(broker, record->uid)) {
        snprintf(group->page_path, sizeof group->page_path, "%s/%016" PRIx64 ".%016" PRIx64 ".group",
                 broker->shm.path, record->topic_id, record->page_id);
        unlink(group->page_path); /* of a broker that died over it */
        rc = map_create(group->page_path, bytes, &group->map, &group->fd);
    } else {
        rc = map_create_memfd("hermes-group", bytes, &group->map, &group->fd);
    }
    if (rc < 0)
        return error_set(text, rc, "shared memory of %zu bytes for group '%s'", bytes, group->name);
    group_page_init(group->map.address, record->slots, record->topic_id, record->page_id, record->floor,
                    record->dead_letter);
    return HERMES_OK;
}

/* The page that a broker that was killed left, with all that members did since. */
static int take_up_page(const struct broker *broker, struct group *group)
{
    const struct group_record *record = &group->kept.settings;
    uint64_t size = 0;
    uint32_t slots = 0;
    snprintf(group->page_path, sizeof group->page_path, "%s/%016" PRIx64 ".%016" PRIx64 ".group",
             broker->shm.path, record->topic_id, record->page_id);
    group->fd = open(group->page_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (group->fd < 0) /* only what is not there is made anew */
        return errno == ENOENT ? HERMES_ENOTFOUND : error_from_errno(errno);
    int rc = map_file_size(group->fd, &size);
    if (rc == 0 && size < group_page_bytes(record->slots))
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(group->fd, group_page_bytes(record->slots), MAP_READ_WRITE, MAP_PREFAULT, &group->map);
    if (rc == 0) {
        const struct group_page *page = group->map.address;
        rc = group_page_check(page, group->map.size, &slots);
        if (rc == 0 && (slots != record->slots || page->id != record->page_id))
            rc = HERMES_EMALFORMED;
        if (rc < 0)
            map_release(&group->map);
    }
    if (rc < 0)
        close(group->fd);
    return rc;
}

/* What a group may cost: its page, and what the keeper notes of each claim. */
static uint64_t memory_of(const struct group *group)
{
    uint32_t slots = group->kept.settings.slots;
    return group_page_bytes(slots) + (uint64_t)slots * CLAIM_BYTES;
}

static int take_share(struct broker *broker, struct group *group, struct error_text *text)
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
static int count_share(struct broker *broker, struct group *group)
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

static void forget_page(struct group *group)
{
    map_release(&group->map);
    close(group->fd);
}

static void drop_page(struct group *group, enum group_page_state state)
{
    struct group_page *page = group->map.address;
    if (page == NULL)
        return;
    atomic_store(&page->state, (uint32_t)state);
    group_tell(page);
    if (group->page_path[0] != 0)
        unlink(group->page_path);
    forget_page(group);
}

static void use_page(struct group *group)
{
    struct kept *kept = &group->kept;
    kept->page = group->map.address;
    kept->mask = mask_of(kept->settings.slots);
    atomic_store(&kept->page->max_deliveries, kept->settings.max_deliveries);
    atomic_store(&kept->page->state, (uint32_t)GROUP_OPEN); /* of a broker that died while it stopped */
}

/* Two groups change pages, and what belongs to them. */
static void swap_pages(struct group *a, struct group *b)
{
    struct group was = {.map = a->map, .fd = a->fd, .kept.settings = a->kept.settings};
    memcpy(was.page_path, a->page_path, sizeof was.page_path);
    a->map = b->map;
    a->fd = b->fd;
    memcpy(a->page_path, b->page_path, sizeof a->page_path);
    a->kept.settings = b->kept.settings;
    b->map = was.map;
    b->fd = was.fd;
    memcpy(b->page_path, was.page_path, sizeof b->page_path);
    b->kept.settings = was.kept.settings;
    use_page(a);
}

/* ---- positions ---- */

/* Where a reader of the oldest message begins, and behind the last one. Beside a change of the log's writer.
 */
static void ends_of(struct topic *topic, uint64_t *oldest, uint64_t *end)
{
    log_lock(&topic->log);
    const struct window *window = topic->log.window;
    *end = log_committed(&topic->log).position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    *oldest = topic->durability == DURABILITY_MEMORY ? window_oldest(window, *end)
                                                     : atomic_load(&topic->log.status->first);
    log_unlock(&topic->log);
}

static int find_position(struct topic *topic, uint32_t from, uint64_t wanted, uint64_t *position,
                         struct error_text *text)
{
    uint64_t oldest, end;
    ends_of(topic, &oldest, &end);
    switch (from) {
    case WIRE_FROM_END:
        *position = end;
        return HERMES_OK;
    case WIRE_FROM_FIRST:
        *position = oldest;
        return HERMES_OK;
    case WIRE_FROM_POSITION:
        *position = wanted;
        if (wanted % HERMES_FRAME_ALIGNMENT == 0 && wanted <= end)
            return HERMES_OK;
        return error_set(text, HERMES_EINVALID, "position %" PRIu64 " is not one of topic '%s'", wanted,
                         topic->name);
    default:
        return error_set(text, HERMES_EINVALID, "beginning of kind %" PRIu32, from);
    }
}

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
    groups_path(broker, topic, "", path);
    if (mkdir(path, 0700) == 0)
        return path_sync_parent(path, text);
    return errno == EEXIST ? HERMES_OK : error_set_errno(text, "create directory", path);
}

static struct group *new_group(const struct broker *broker, const struct topic *topic, const char *name)
{
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    snprintf(group->name, sizeof group->name, "%.*s", WIRE_GROUP_BYTES - 1, name);
    groups_path(broker, topic, name, group->kept.path);
    return group;
}

static void free_group(struct broker *broker, struct group *group)
{
    give_back_share(broker, group);
    kept_release(&group->kept);
    free(group);
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
    uint64_t position = 0;
    if (topic->group_count >= GROUPS_MAX)
        return error_set(text, HERMES_ELIMIT, "topic '%s' has %d groups", topic->name, GROUPS_MAX);
    if (request->durable > 1)
        return error_set(text, HERMES_EINVALID, "group of kind %" PRIu32, request->durable);
    int rc = check_settings(request, text);
    if (rc == 0)
        rc = find_position(topic, request->from, request->position, &position, text);
    if (rc == 0)
        rc = make_directory(broker, topic, text);
    if (rc < 0)
        return rc;
    struct group *group = new_group(broker, topic, request->group);
    if (group == NULL)
        return error_set(text, HERMES_ENOMEM, "group '%s'", request->group);
    if (faccessat(AT_FDCWD, group->kept.path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        free_group(broker, group);
        return error_set(text, HERMES_EEXISTS,
                         "group '%s' is on the disk, but is not served: the broker said why when it started "
                         "(hermes group delete)",
                         request->group);
    }
    group->kept.settings = (struct group_record){
        .topic_id = topic->id,
        .page_id = broker_next_id(broker),
        .floor = position,
        .cursor = position,
        .lease_ns = request->lease_ns,
        .slots = request->durable ? 0 : slots_for(request->span_bytes),
        .max_deliveries = request->max_deliveries,
        .uid = session->uid,
    };
    snprintf(group->kept.settings.dead_letter, sizeof group->kept.settings.dead_letter, "%s",
             request->dead_letter);
    rc = take_share(broker, group, text);
    if (rc == 0)
        rc = make_page(broker, group, text);
    if (rc < 0) {
        free_group(broker, group);
        return rc;
    }
    use_page(group);
    rc = kept_save(&group->kept, text);
    if (rc == 0 && (rc = keeper_add(&broker->workers, &group->kept)) < 0)
        error_set(text, rc, "group '%s'", group->name);
    if (rc < 0) {
        unlink(group->kept.path);
        drop_page(group, GROUP_DELETED);
        free_group(broker, group);
        return rc;
    }
    link_group(topic, group);
    *out = group;
    return HERMES_OK;
}

int group_create(struct session *session, struct topic *topic, const struct wire_group *given,
                 struct error_text *text)
{
    struct wire_group request = *given;
    int rc = check_name(request.group, text);
    if (rc < 0)
        return rc;
    if (find(topic, request.group) != NULL)
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

/* ---- altering ---- */

/* Another position means another page: what members hold of the old one counts no more. Counters go on. */
static int reset(struct broker *broker, struct topic *topic, struct group *group,
                 const struct wire_group *request, struct error_text *text)
{
    uint64_t position = 0;
    int rc = find_position(topic, request->from, request->position, &position, text);
    if (rc < 0)
        return rc;
    struct group fresh = {.kept.settings = group->kept.settings};
    memcpy(fresh.name, group->name, sizeof fresh.name);
    fresh.kept.settings.page_id = broker_next_id(broker);
    fresh.kept.settings.floor = position;
    rc = make_page(broker, &fresh, text);
    if (rc < 0)
        return rc;
    struct group_page *page = fresh.map.address;
    const struct group_page *before = group->kept.page;
    atomic_store(&page->redelivered, atomic_load(&before->redelivered));
    atomic_store(&page->expired, atomic_load(&before->expired));
    atomic_store(&page->dead, atomic_load(&before->dead));
    atomic_store(&page->lost, atomic_load(&before->lost));
    swap_pages(group, &fresh);
    rc = kept_save(&group->kept, text);
    if (rc < 0)
        swap_pages(group, &fresh); /* all is as it was */
    else
        group->kept.since_ns = group->kept.sighting_count = 0;
    drop_page(&fresh, GROUP_MOVED);
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

/* A record that could not be read when the broker started: nobody knows whose it is. rc: what to say if there
 * is none. */
static int delete_remains(const struct broker *broker, const struct topic *topic, const char *name, int rc)
{
    char path[PATH_BYTES];
    groups_path(broker, topic, name, path);
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
    if (unlink(group->kept.path) != 0 && errno != ENOENT)
        return error_set_errno(text, "delete", group->kept.path);
    struct error_text
        ignored; /* it is gone; a power cut that brings it back brings a group back that is whole */
    (void)path_sync_parent(group->kept.path, &ignored);
    struct group **at = &topic->groups;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    topic->group_count--;
    drop_page(group, GROUP_DELETED);
    free_group(session->broker, group);
    return HERMES_OK;
}

int group_go_on(struct session *session, struct topic *topic, const char *name)
{
    struct group *group = find(topic, name);
    return group == NULL ? HERMES_OK : keeper_add(&session->broker->workers, &group->kept);
}

/* ---- members ---- */

/* A line that nobody has, after the one that was given last: a line's old holder may be slow to notice. */
static int find_line(struct group *group)
{
    unsigned lines = group->kept.mask == 0 ? 1 : GROUP_MEMBERS;
    for (unsigned i = 0; i < lines; i++) {
        unsigned line = (group->next_line + i) % lines;
        if (!atomic_load(&group->kept.attended[line]) &&
            atomic_load(&group->kept.page->members[line].id) == 0)
            return (int)line;
    }
    return -1;
}

static bool resumes(struct group *group, const struct wire_subscriber_open *request)
{
    return request->resume_page == group->kept.settings.page_id && request->resume_member != 0 &&
           request->resume_line < GROUP_MEMBERS &&
           !atomic_load(&group->kept.attended[request->resume_line]) &&
           atomic_load(&group->kept.page->members[request->resume_line].id) == request->resume_member;
}

int group_create_for(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                     struct error_text *text)
{
    struct group *group = find(topic, request->group);
    if (group != NULL) /* somebody was faster */
        return HERMES_OK;
    struct wire_group wanted = {.durable = request->durable,
                                .from = request->from,
                                .lease_ns = lease_default_ns,
                                .span_bytes = SPAN_DEFAULT};
    memcpy(wanted.group, request->group, sizeof wanted.group);
    if (request->from > WIRE_FROM_FIRST)
        return error_set(text, HERMES_EINVALID, "beginning of kind %" PRIu32, request->from);
    return make_group(session, topic, &wanted, &group, text);
}

int group_join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
               struct handle *handle, struct wire_subscriber *opened, struct error_text *text)
{
    struct broker *broker = session->broker;
    int rc = check_name(request->group, text);
    if (rc < 0)
        return rc;
    struct group *group = find(topic, request->group);
    if (group == NULL)
        return HERMES_ENOTFOUND;
    if ((rc = check_owner(session, group, false, text)) == 0 &&
        (group->kept.mask == 0) != (request->durable != 0)) {
        rc = error_set(text, HERMES_EINVALID, "'%s' is a %s", group->name,
                       group->kept.mask == 0 ? "durable subscription" : "group");
    }
    if (rc < 0)
        return rc;
    int line = (int)request->resume_line;
    uint64_t id = request->resume_member;
    if (!resumes(group, request)) {
        line = find_line(group);
        id = broker_next_id(broker);
    }
    if (line < 0 && group->kept.mask == 0)
        return error_set(text, HERMES_EBUSY, "durable subscription '%s' of topic '%s'", group->name,
                         topic->name);
    if (line < 0)
        return error_set(text, HERMES_ELIMIT, "group '%s' has %d members", group->name, GROUP_MEMBERS);
    atomic_store(&group->kept.attended[line], true);
    atomic_store(&group->kept.page->members[line].id, id);
    group->next_line = (unsigned)line + 1;
    group->members++;
    keeper_ring(&broker->workers, &group->kept);
    handle->group = group;
    handle->line = (unsigned)line;
    handle->member = id;
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
    info->done_position = info->position = atomic_load(&page->floor);
    if (kept->mask != 0) {
        info->done_position = group_advance(page, kept->mask);
        info->position = atomic_load(&page->cursor);
        if (info->position < info->done_position)
            info->position = info->done_position;
        group_visit(page, kept->mask, count, &info->in_flight);
    }
}

/* ---- start and stop ---- */

/* The page that a crash left; or one that is made anew from the record, if there is none, or none that holds.
 */
static int open_page(const struct broker *broker, struct topic *topic, struct group *group, bool *taken_up,
                     struct error_text *text)
{
    struct group_record *record = &group->kept.record;
    if (topic->log.taken_up && broker_trusts(broker, record->uid)) {
        int rc = take_up_page(broker, group);
        *taken_up = rc == 0;
        if (rc != HERMES_ENOTFOUND && rc != HERMES_EMALFORMED && rc != HERMES_EVERSION)
            return rc < 0 ? error_set(text, rc, "page of group '%s'", group->name) : HERMES_OK;
    }
    bool begins_anew = topic->durability == DURABILITY_MEMORY && !topic->log.taken_up;
    uint64_t oldest, end;
    ends_of(topic, &oldest, &end);
    int rc = make_page(broker, group, text);
    if (rc == 0)
        group_record_restore(record, group->map.address, mask_of(record->slots), begins_anew ? 0 : end);
    return rc;
}

static int load_one(struct topic *topic, const char *name, struct error_text *text)
{
    struct broker *broker = topic->broker;
    struct group *group = new_group(broker, topic, name);
    if (group == NULL)
        return error_set(text, HERMES_ENOMEM, "group '%s'", name);
    struct kept *kept = &group->kept;
    struct group_record *record = &kept->record;
    int rc = group_record_read(record, kept->path, text);
    if (rc == 0 && record->topic_id != topic->id)
        rc = error_set(text, HERMES_EMALFORMED, "%s: of another topic", kept->path);
    kept->settings = *record;
    kept->settings.entries = NULL;
    kept->settings.count = kept->settings.room = 0;
    bool taken_up = false;
    if (rc == 0 && (rc = count_share(broker, group)) < 0)
        error_set(text, rc, "group '%s'", name);
    if (rc == 0)
        rc = open_page(broker, topic, group, &taken_up, text);
    if (rc == 0) {
        use_page(group);
        kept->since_ns = taken_up ? clock_monotonic_ns() : 0;
        rc = keeper_add(&broker->workers, kept);
        if (rc < 0 && taken_up)
            forget_page(group);
        else if (rc < 0)
            drop_page(group, GROUP_CLOSED);
    }
    if (rc < 0)
        free_group(broker, group);
    else
        link_group(topic, group);
    return rc;
}

void group_load_all(struct topic *topic)
{
    struct broker *broker = topic->broker;
    char path[PATH_BYTES];
    groups_path(broker, topic, "", path);
    DIR *directory = opendir(path);
    struct dirent *item;
    if (directory == NULL && errno != ENOENT) {
        topic->groups_unread = true;
        note("groups of topic '%s' are not served: cannot list %s: %s", topic->name, path, strerror(errno));
    }
    while (directory != NULL && (item = readdir(directory)) != NULL) {
        struct error_text text;
        if (strchr(item->d_name, '~') != NULL)
            unlinkat(dirfd(directory), item->d_name, 0); /* a record that was not finished */
        else if (hermes_topic_name_check(item->d_name) == 0 && load_one(topic, item->d_name, &text) < 0) {
            topic->groups_unread = true;
            note("group '%s' of topic '%s' is not served: %s", item->d_name, topic->name, text.bytes);
        }
    }
    if (directory != NULL)
        closedir(directory);
}

void group_stop_all(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        atomic_store(&group->kept.page->state, (uint32_t)GROUP_CLOSED);
        group_tell(group->kept.page);
    }
}

static struct group *take_first(struct topic *topic)
{
    struct group *group = topic->groups;
    topic->groups = group->next;
    topic->group_count--;
    return group;
}

void group_close_all(struct topic *topic)
{
    while (topic->groups != NULL) {
        struct group *group = take_first(topic);
        struct error_text text;
        workers_remove(&topic->broker->workers, &group->kept.task);
        if (kept_save(&group->kept, &text) < 0)
            note("group '%s' of topic '%s': %s", group->name, topic->name, text.bytes);
        drop_page(group, GROUP_CLOSED);
        free_group(topic->broker, group);
    }
}

void group_remove_tasks(struct topic *topic, struct job *job)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next)
        job_removes(job, &group->kept.task);
}

void group_discard_all(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        drop_page(group, GROUP_DELETED);
        kept_release(&group->kept); /* it may be large: not on the loop's thread */
    }
}

void group_free_all(struct topic *topic)
{
    while (topic->groups != NULL)
        free_group(topic->broker, take_first(topic));
}

void group_abandon_all(struct topic *topic)
{
    while (topic->groups != NULL) {
        struct group *group = take_first(topic);
        workers_remove(&topic->broker->workers, &group->kept.task);
        forget_page(group);
        free_group(topic->broker, group);
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
