#include "broker/group_start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "broker/group_page.h"
#include "broker/group_place.h"

/* ---- start ---- */

/* The page that a crash left; or one that is made anew from the record, if there is none, or none that holds.
 */
static int open_page(const struct broker *broker, struct topic *topic, struct group *group, bool *taken_up,
                     struct error_text *text)
{
    struct group_record *record = &group->kept.record;
    if (topic->log.taken_up && broker_trusts(broker, record->uid)) {
        int rc = page_take_up(broker, group);
        *taken_up = rc == 0;
        if (rc != HERMES_ENOTFOUND && rc != HERMES_EMALFORMED && rc != HERMES_EVERSION)
            return rc < 0 ? error_set(text, rc, "page of group '%s'", group->name) : HERMES_OK;
    }
    bool begins_anew = topic->durability == DURABILITY_MEMORY && !topic->log.taken_up;
    uint64_t oldest, end;
    place_ends(topic, &oldest, &end);
    int rc = page_make(broker, group, text);
    if (rc == 0)
        group_record_restore(record, group->map.address, page_mask(record->slots), begins_anew ? 0 : end);
    return rc;
}

static int load_one(struct topic *topic, const char *name, struct error_text *text)
{
    struct broker *broker = topic->broker;
    struct group *group = group_new(broker, topic, name);
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
    if (rc == 0 && (rc = group_count_share(broker, group)) < 0)
        error_set(text, rc, "group '%s'", name);
    if (rc == 0)
        rc = open_page(broker, topic, group, &taken_up, text);
    if (rc == 0) {
        page_use(group);
        kept->since_ns = taken_up ? clock_monotonic_ns() : 0;
        rc = keeper_add(&broker->workers, kept);
        if (rc < 0 && taken_up)
            page_forget(group);
        else if (rc < 0)
            page_drop(group, GROUP_CLOSED);
    }
    if (rc < 0)
        group_free(broker, group);
    else
        group_link(topic, group);
    return rc;
}

void group_load_all(struct topic *topic)
{
    struct broker *broker = topic->broker;
    char path[PATH_BYTES];
    group_path(broker, topic, "", path);
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

/* ---- stop ---- */

void group_stop_all(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        atomic_store(&group->kept.page->state, (uint32_t)GROUP_CLOSED);
        group_tell(group->kept.page);
    }
}

void group_close_all(struct topic *topic)
{
    while (topic->groups != NULL) {
        struct group *group = group_take_first(topic);
        struct error_text text;
        workers_remove(&topic->broker->workers, &group->kept.task);
        if (kept_save(&group->kept, &text) < 0)
            note("group '%s' of topic '%s': %s", group->name, topic->name, text.bytes);
        page_drop(group, GROUP_CLOSED);
        group_free(topic->broker, group);
    }
}

void group_abandon_all(struct topic *topic)
{
    while (topic->groups != NULL) {
        struct group *group = group_take_first(topic);
        workers_remove(&topic->broker->workers, &group->kept.task);
        page_forget(group);
        group_free(topic->broker, group);
    }
}

/* ---- a topic that is deleted ---- */

void group_remove_tasks(struct topic *topic, struct job *job)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next)
        job_removes(job, &group->kept.task);
}

void group_discard_all(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        page_drop(group, GROUP_DELETED);
        kept_release(&group->kept); /* it may be large: not on the loop's thread */
    }
}

void group_free_all(struct topic *topic)
{
    while (topic->groups != NULL)
        group_free(topic->broker, group_take_first(topic));
}
