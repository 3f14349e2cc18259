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

/* May there be a page that says more than the record? A log in memory that began anew has none. */
static bool may_have_page(const struct topic *topic)
{
    return topic->log.taken_up || topic->durability != DURABILITY_MEMORY;
}

/* It is not to be gone on with: what it says goes into another one. */
static int take_what_holds(struct group *group, struct error_text *text)
{
    struct kept *kept = &group->kept;
    int rc = group_record_take(&kept->record, group->map.address, page_mask(kept->settings.slots));
    kept->failed = true; /* the file says less than this */
    if (rc == 0)
        page_drop(group, GROUP_MOVED);
    else
        page_forget(group);
    return rc < 0 ? error_set(text, rc, "page of group '%s'", group->name) : HERMES_ENOTFOUND;
}

static int find_page(const struct topic *topic, struct group *group, uint64_t end, struct error_text *text)
{
    const struct group_record *record = &group->kept.settings;
    if (!may_have_page(topic))
        return HERMES_ENOTFOUND;
    int rc = page_take_up(topic->broker, group);
    if (rc == HERMES_EMALFORMED || rc == HERMES_EVERSION)
        return HERMES_ENOTFOUND;
    if (rc < 0)
        return rc == HERMES_ENOTFOUND ? rc : error_set(text, rc, "page of group '%s'", group->name);
    /* While the log's shared memory was there all the time, the log has all that the page knows of. Another
     * user's is a copy. */
    if (broker_trusts(topic->broker, record->uid) &&
        (topic->log.taken_up || group_page_fits(group->map.address, page_mask(record->slots), end)))
        return HERMES_OK;
    return take_what_holds(group, text);
}

/* The page that a crash left, or a stop that could not write the record; or one that is made anew from the
 * record, if there is none, or none that holds. */
static int open_page(struct topic *topic, struct group *group, bool *taken_up, struct error_text *text)
{
    struct group_record *record = &group->kept.record;
    struct group_place end = place_of_end(topic);
    int rc = find_page(topic, group, end.position, text);
    *taken_up = rc == 0;
    if (rc != HERMES_ENOTFOUND)
        return rc;
    if (topic->durability == DURABILITY_MEMORY && !topic->log.taken_up)
        end = (struct group_place){0, 0}; /* it begins anew, and the group with it */
    rc = page_make(topic->broker, group, record->cursor_sequence, text);
    if (rc < 0)
        return rc;
    group_record_restore(record, group->map.address, page_mask(record->slots), end);
    /* As the file says by itself: it need not be written before somebody has come. */
    record->generation = atomic_load(&((struct group_page *)group->map.address)->generation);
    return HERMES_OK;
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
        rc = error_say(text, HERMES_EMALFORMED, "%s: of another topic", kept->path);
    kept->settings = *record;
    kept->settings.entries = NULL;
    kept->settings.count = kept->settings.room = 0;
    bool taken_up = false;
    if (rc == 0 && (rc = group_count_share(broker, group)) < 0)
        error_set(text, rc, "group '%s'", name);
    if (rc == 0)
        rc = open_page(topic, group, &taken_up, text);
    if (rc == 0) {
        page_use(group);
        group_begin_counting(broker, group);
        atomic_store(&kept->since_ns, taken_up ? clock_monotonic_ns() : 0);
        if (taken_up)
            group_tell(kept->page); /* members find another broker, and greet it */
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

/* Records that were not finished. Before any group is loaded, which may write its record from then on. */
static void remove_unfinished(DIR *directory)
{
    struct dirent *item;
    while ((item = readdir(directory)) != NULL)
        if (strchr(item->d_name, '~') != NULL)
            unlinkat(dirfd(directory), item->d_name, 0);
    rewinddir(directory);
}

void group_load_all(struct topic *topic)
{
    char path[PATH_BYTES];
    group_path(topic->broker, topic, "", path);
    DIR *directory = opendir(path);
    struct dirent *item;
    if (directory == NULL && errno != ENOENT) {
        topic->groups_unread = true;
        note("groups of topic '%s' are not served: cannot list %s: %s", topic->name, path, strerror(errno));
    }
    if (directory == NULL)
        return;
    remove_unfinished(directory);
    while ((item = readdir(directory)) != NULL) {
        struct error_text text;
        if (hermes_topic_name_check(item->d_name) == 0 && load_one(topic, item->d_name, &text) < 0) {
            topic->groups_unread = true;
            note("group '%s' of topic '%s' is not served: %s", item->d_name, topic->name, text.bytes);
        }
    }
    closedir(directory);
}

/* ---- stop ---- */

void group_stop_all(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        page_end(group->kept.page, GROUP_CLOSED);
    }
}

void group_end_tasks(struct topic *topic)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next)
        keeper_remove(&topic->broker->workers, &group->kept);
}

/* Letters that were put into a topic whose log is closed are in it for good. */
static void settle_letters(struct broker *broker, struct kept *kept)
{
    const struct topic *to = topic_by_id(broker, kept->letters.to);
    if (kept->letters.delivered > 0 && (to == NULL || to->close_result == HERMES_OK))
        letters_settle_last(&kept->letters, kept->page, kept->mask);
}

/* The record says less than the page: what that says stays for the next broker. A page that outlives us is
 * gone on with, as after a crash of ours. */
static void keep_page(struct topic *topic, struct group *group)
{
    if (topic->durability == DURABILITY_MEMORY) { /* all of it begins anew */
        page_drop(group, GROUP_CLOSED);
        return;
    }
    bool outlives = group->page_path[0] != 0;
    int rc = page_keep(topic->broker, group);
    if (rc < 0) {
        note("group '%s' of topic '%s': %s: what was acked since its record was written comes again",
             group->name, topic->name, hermes_strerror(rc));
        page_drop(group, GROUP_CLOSED);
        return;
    }
    note("group '%s' of topic '%s': its page stays in shared memory for the next start", group->name,
         topic->name);
    if (outlives)
        atomic_store(&group->kept.page->state, (uint32_t)GROUP_OPEN);
    page_forget(group);
}

int group_close_all(struct topic *topic)
{
    int first = HERMES_OK;
    while (topic->groups != NULL) {
        struct group *group = group_take_first(topic);
        struct error_text text;
        settle_letters(topic->broker, &group->kept);
        int rc = kept_save(&group->kept, &group->kept.settings, group->kept.page, &text);
        if (rc < 0) {
            note("group '%s' of topic '%s': %s", group->name, topic->name, text.bytes);
            keep_page(topic, group);
        } else {
            page_drop(group, GROUP_CLOSED);
        }
        first = first < 0 ? first : rc;
        group_free(topic->broker, group);
    }
    return first;
}

void group_abandon_all(struct topic *topic)
{
    while (topic->groups != NULL) {
        struct group *group = group_take_first(topic);
        keeper_remove(&topic->broker->workers, &group->kept);
        page_forget(group);
        group_free(topic->broker, group);
    }
}

/* ---- a topic that is deleted ---- */

void group_remove_tasks(struct topic *topic, struct job *job)
{
    for (struct group *group = topic->groups; group != NULL; group = group->next)
        keeper_leaves(job, &group->kept);
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
