#include "broker/topics.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "broker/group_page.h"
#include "broker/group_start.h"
#include "broker/sequencer.h"

/* ---- changes, which take jobs of several queues ---- */

bool topics_is_changing(const struct topic *topic)
{
    return !topic->gone && (topic->opening || topic->deleting);
}

/* Until a job is submitted, its link is its submitter's. */
void topics_await_change(struct topic *topic, struct job *job)
{
    struct link **at = &topic->awaits_change;
    while (*at != NULL)
        at = &(*at)->next;
    job->link.next = NULL;
    *at = &job->link;
}

/* What came of it is known: the first who waited for it comes first. */
static void end_change(struct topic *topic)
{
    struct link *link = topic->awaits_change;
    topic->awaits_change = NULL;
    while (link != NULL) {
        struct job *job = (struct job *)(void *)((char *)link - offsetof(struct job, link));
        link = link->next;
        workers_submit(&topic->broker->workers, NULL, job);
    }
    topic_release(topic);
}

/* ---- creating ---- */

static struct topic *of_change_job(struct job *job)
{
    return (struct topic *)(void *)((char *)job - offsetof(struct topic, change_job));
}

static int take_options(struct topic *topic, const struct wire_topic_create *request, struct error_text *text)
{
    const struct config *config = &topic->broker->config;
    topic->durability = (enum log_durability)request->durability;
    topic->shared = request->shared != 0;
    topic->window_bytes = request->window_bytes != 0 ? request->window_bytes : config->window_bytes;
    topic->segment_bytes = request->segment_bytes != 0 ? request->segment_bytes : config->segment_bytes;
    topic->keep_bytes = request->keep_bytes;
    topic->keep_ns = request->keep_ns;
    topic->full_waits = request->full_waits != 0;
    topic->push_back = request->push_back != 0;
    if (request->segment_bytes == 0 && topic->segment_bytes < topic->window_bytes)
        topic->segment_bytes = topic->window_bytes;
    if (request->durability > DURABILITY_MEMORY)
        return error_say(text, HERMES_EINVALID, "durability %" PRIu32 " is not known to this broker",
                         request->durability);
    if (!window_capacity_is_legal(topic->window_bytes))
        return error_say(text, HERMES_EINVALID,
                         "window of %" PRIu64 " bytes: it must be a power of two from 256K to 1G",
                         topic->window_bytes);
    if (topic->segment_bytes < STORE_SEGMENT_MIN || topic->segment_bytes > STORE_SEGMENT_MAX ||
        topic->segment_bytes % topic->window_bytes != 0)
        return error_say(text, HERMES_EINVALID,
                         "segment of %" PRIu64
                         " bytes: it must be from 1M to 1024G and a multiple of the window's %" PRIu64,
                         topic->segment_bytes, topic->window_bytes);
    return HERMES_OK;
}

static void make(struct job *job)
{
    struct topic *topic = of_change_job(job);
    char path[PATH_BYTES];
    topic_path(topic->broker, topic->name, "topic.conf", path);
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        topic->change_result = error_say(
            &topic->change_text, HERMES_EEXISTS,
            "topic '%s' is on the disk, but is not served: the broker said why when it started", topic->name);
        return;
    }
    int rc = topic_write_definition(topic, &topic->change_text);
    if (rc == 0)
        rc = topic_open_log(topic, &topic->change_text);
    if (rc < 0) {
        unlink(path);
        topic_remove_remains(topic->broker, topic->name);
    }
    topic->change_result = rc;
}

/* Nobody has it yet, and it does not stay. */
static void unmake(struct topic *topic)
{
    char path[PATH_BYTES];
    topic_path(topic->broker, topic->name, "topic.conf", path);
    topic_close_readers(topic, false);
    (void)log_close(&topic->log, STATE_DELETED);
    unlink(path);
    topic_remove_remains(topic->broker, topic->name);
}

static void made(struct job *job)
{
    struct topic *topic = of_change_job(job);
    if (topic->change_result == 0 && (topic->change_result = topic_begin(topic, &topic->change_text)) < 0)
        unmake(topic);
    if (topic->change_result < 0)
        topic_unlink(topic);
    else
        topic->opening = false;
    end_change(topic);
}

/* An eighth is for root and the broker's user: nobody else locks them out. */
static unsigned most_topics(const struct broker *broker, uid_t uid)
{
    unsigned most = broker->config.topics_max;
    return broker_trusts(broker, uid) ? most : most - most / 8;
}

int topics_create(struct broker *broker, uid_t uid, const struct wire_topic_create *request,
                  struct topic **out, struct error_text *text)
{
    if (broker->topic_count >= most_topics(broker, uid))
        return error_set(text, HERMES_ELIMIT, "%u topics%s ([broker] topics_max)", broker->topic_count,
                         broker_trusts(broker, uid) ? ""
                                                    : ", and the others are for root and the broker's user");
    struct topic *topic = topic_new(broker, request->topic);
    if (topic == NULL)
        return error_set(text, HERMES_ENOMEM, "topic '%s'", request->topic);
    int rc = take_options(topic, request, text);
    if (rc < 0) {
        free(topic);
        return rc;
    }
    do
        topic->id = path_hash(topic->name) ^ (clock_realtime_ns() * 0x9E3779B97F4A7C15u);
    while (topic->id == 0 || topic_by_id(broker, topic->id) != NULL);
    topic->opening = true;
    topic_link(topic);
    topic_hold(topic);
    topic_hold(topic);
    topic->change_job = (struct job){.work = make, .done = made};
    workers_submit(&broker->workers, &topic->turns, &topic->change_job);
    *out = topic;
    return HERMES_OK;
}

/* ---- deleting: behind all that is under way for the topic, in three steps ---- */

static void remove_log(struct job *job)
{
    struct topic *topic = of_change_job(job);
    if (topic->durability != DURABILITY_MEMORY)
        persister_release(&topic->persisting);
    group_discard_all(topic);
    topic_close_readers(topic, false);
    (void)log_close(&topic->log, STATE_DELETED);
    topic_remove_remains(topic->broker, topic->name);
}

static void deleted(struct job *job)
{
    struct topic *topic = of_change_job(job);
    group_free_all(topic);
    topic_unlink(topic);
    end_change(topic);
}

static void remove_definition(struct job *job)
{
    struct topic *topic = of_change_job(job);
    char path[PATH_BYTES];
    topic_path(topic->broker, topic->name, "topic.conf", path);
    if (unlink(path) != 0)
        topic->change_result = error_set_errno(&topic->change_text, "delete", path);
    else if (path_sync_parent(path, &topic->change_text) < 0) /* there is no way back */
        note("topic '%s' is deleted, but may be back after a power cut: %s", topic->name,
             topic->change_text.bytes);
}

static void definition_removed(struct job *job)
{
    struct topic *topic = of_change_job(job);
    if (topic->change_result < 0) {
        topic->deleting = false;
        end_change(topic);
        return;
    }
    topic->broker->let_go(topic);
    poller_cancel(topic->broker->poller, &topic->grace_op);
    topic->change_job = (struct job){.work = remove_log, .done = deleted};
    if (topic->durability != DURABILITY_MEMORY)
        job_removes(&topic->change_job, &topic->persisting.task);
    if (topic->durability != DURABILITY_MEMORY && scrubber_has(&topic->scrubbing))
        job_removes(&topic->change_job, &topic->scrubbing.task);
    group_remove_tasks(topic, &topic->change_job);
    workers_submit(&topic->broker->workers, &topic->turns, &topic->change_job);
}

static void readers_are_through(struct job *job)
{
    struct topic *topic = of_change_job(job);
    topic->change_job = (struct job){.work = remove_definition, .done = definition_removed};
    workers_submit(&topic->broker->workers, &topic->affairs, &topic->change_job);
}

int topics_delete(struct topic *topic, struct error_text *text)
{
    if (topic->mirrored.count > 0)
        return error_say(text, HERMES_EBUSY, "topic '%s' has a mirror (hermes mirror remove %s)", topic->name,
                         topic->name);
    int rc = topic_check_free(topic, text);
    if (rc < 0)
        return rc;
    topic->deleting = true;
    topic->change_result = HERMES_OK;
    topic_hold(topic);
    topic->change_job = (struct job){.done = readers_are_through};
    workers_submit(&topic->broker->workers, &topic->reading, &topic->change_job);
    return HERMES_OK;
}

/* ---- loading ---- */

/* Those that have a definition which can be read. */
struct definitions {
    struct topic **topics;
    size_t count, room;
};

static bool make_room(struct definitions *all)
{
    if (all->count < all->room)
        return true;
    size_t room = all->room == 0 ? 64 : all->room * 2;
    struct topic **grown = realloc(all->topics, room * sizeof(struct topic *));
    if (grown == NULL)
        return false;
    all->topics = grown;
    all->room = room;
    return true;
}

/* It keeps what it has, whatever that is: so nothing that may be its is swept. Who asks for it is told. */
static void leave_unserved(struct topic *topic, const struct error_text *text)
{
    struct topic **at = &topic->broker->unserved;
    while (*at != NULL && strcmp((*at)->name, topic->name) < 0)
        at = &(*at)->next;
    topic->next = *at;
    *at = topic;
    note("topic '%s' is not served, and what it has is left as it is: %s", topic->name, text->bytes);
}

static int read_one(struct broker *broker, const char *name, struct definitions *all, struct error_text *text)
{
    struct topic *topic = make_room(all) ? topic_new(broker, name) : NULL;
    if (topic == NULL)
        return error_set(text, HERMES_ENOMEM, "topic '%s'", name);
    int rc = topic_read_definition(topic, text);
    if (rc == HERMES_ENOTFOUND) { /* a creation or a deletion that a crash cut short */
        free(topic);
        topic_remove_remains(broker, name);
    } else if (rc < 0) { /* it must not keep the others from being served */
        leave_unserved(topic, text);
    } else {
        all->topics[all->count++] = topic;
    }
    return HERMES_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const struct topic *x = *(struct topic *const *)a, *y = *(struct topic *const *)b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : strcmp(x->name, y->name);
}

static int read_all(struct broker *broker, struct definitions *all, struct error_text *text)
{
    DIR *directory = opendir(broker->topics_path);
    if (directory == NULL)
        return error_set_errno(text, "list", broker->topics_path);
    int rc = HERMES_OK;
    struct dirent *item;
    while (rc == 0 && (item = readdir(directory)) != NULL)
        if (hermes_topic_name_check(item->d_name) == 0)
            rc = read_one(broker, item->d_name, all, text);
    closedir(directory);
    if (all->count > 0)
        qsort(all->topics, all->count, sizeof(struct topic *), compare_ids);
    return rc;
}

/* Status page and window have the name of the id: two topics with one would write over each other. Which of
 * them is the original nobody knows. */
static int check_id(const struct definitions *all, size_t i, struct error_text *text)
{
    const struct topic *topic = all->topics[i], *other = NULL;
    if (i > 0 && all->topics[i - 1]->id == topic->id)
        other = all->topics[i - 1];
    else if (i + 1 < all->count && all->topics[i + 1]->id == topic->id)
        other = all->topics[i + 1];
    return other == NULL ? HERMES_OK
                         : error_say(text, HERMES_EBUSY,
                                     "it and topic '%s' have one id: if one is a copy, move its directory "
                                     "out of %s, and start again",
                                     other->name, topic->broker->topics_path);
}

static int serve(struct topic *topic, struct error_text *text)
{
    int rc = topic_open_log(topic, text);
    if (rc == 0 && (rc = topic_begin(topic, text)) < 0) {
        topic_close_readers(topic, true);
        log_abandon(&topic->log);
    }
    if (rc < 0)
        return rc;
    topic_link(topic);
    group_load_all(topic);
    return HERMES_OK;
}

bool topics_is_unserved(const struct broker *broker, const char *name)
{
    for (const struct topic *topic = broker->unserved; topic != NULL; topic = topic->next)
        if (strcmp(topic->name, name) == 0)
            return true;
    return false;
}

void topics_forget_unserved(struct broker *broker)
{
    while (broker->unserved != NULL) {
        struct topic *topic = broker->unserved;
        broker->unserved = topic->next;
        free(topic);
    }
}

/* The window that is its log's, the status page, the readers, groups' pages: what a topic that is served has.
 */
static bool owns_file(const struct topic *topic, const char *name, const char *kind)
{
    char window[64];
    snprintf(window, sizeof window, "%016" PRIx64 ".%" PRIu32 ".window", topic->id, topic->log.epoch);
    return strcmp(kind, ".status") == 0 || strcmp(name, window) == 0 ||
           (strcmp(kind, ".readers") == 0 && topic->readers != NULL) || group_owns_file(topic, name);
}

/* Does nobody need that file? What is unknown may belong to a topic that is not served: a start that could
 * not do its work must not cost what a crash left. */
static bool is_left_over(struct broker *broker, const char *name)
{
    char *kind;
    if (shm_is_counters(name)) /* of the broker before this: ours take their place once it serves */
        return false;
    uint64_t id = strtoull(name, &kind, 16);
    if (kind != name + 16 || *kind != '.')
        return true;
    const struct topic *topic = topic_by_id(broker, id);
    return topic != NULL ? !owns_file(topic, name, kind) : broker->unserved == NULL;
}

static void remove_left_over(const struct broker *broker, const char *name)
{
    char path[PATH_BYTES];
    const char *kind = strrchr(name, '.');
    if (snprintf(path, sizeof path, "%s/%s", broker->shm.path, name) >= (int)sizeof path)
        return; /* none of ours has such a name */
    if (kind != NULL && strcmp(kind, ".group") == 0)
        page_remove(path);
    else
        unlink(path);
}

/* Windows and status pages of topics that are no more, and pages of groups. */
static void sweep(struct broker *broker)
{
    DIR *directory = opendir(broker->shm.path);
    struct dirent *item;
    while (directory != NULL && (item = readdir(directory)) != NULL)
        if (item->d_name[0] != '.' && is_left_over(broker, item->d_name))
            remove_left_over(broker, item->d_name);
    if (directory != NULL)
        closedir(directory);
}

int topics_load(struct broker *broker, struct error_text *text)
{
    struct definitions all = {0};
    int rc = read_all(broker, &all, text);
    for (size_t i = 0; i < all.count; i++) {
        /* One damaged topic must not keep the others from being served. */
        if (rc < 0)
            free(all.topics[i]);
        else if (check_id(&all, i, text) < 0 || serve(all.topics[i], text) < 0)
            leave_unserved(all.topics[i], text);
    }
    free(all.topics);
    if (rc == 0)
        sweep(broker);
    return rc;
}

/* ---- the end ---- */

/* What is in its rings goes in first: their producers were told that it would. */
static void close_log(struct topic *topic)
{
    topic_end_tasks(topic);
    group_end_tasks(topic);
    if (sequencer_end(topic))
        note("topic '%s' has no room for all that publishers had handed over: who has stopped since has lost "
             "it",
             topic->name);
    int rc = topic->close_result = log_close(&topic->log, STATE_CLOSED);
    topic_close_readers(topic, rc < 0);
    if (rc < 0)
        note("topic '%s': %s; %s", topic->name, hermes_strerror(rc),
             rc == HERMES_EMALFORMED && topic->log.cut
                 ? "what was behind its end is lost"
                 : "its window stays in shared memory for the next start");
}

/* Groups come after all logs: a dead letter that is safe in one is none any more in the group's record. */
int topics_close(struct broker *broker, struct error_text *text)
{
    int first = HERMES_OK;
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        close_log(topic);
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next) {
        int groups = group_close_all(topic);
        int rc = topic->close_result < 0 ? topic->close_result : groups;
        if (rc < 0 && first == 0)
            first = error_set(text, rc, "topic '%s'", topic->name);
    }
    while (broker->topics != NULL) {
        struct topic *topic = broker->topics;
        poller_cancel(broker->poller, &topic->grace_op);
        poller_cancel(broker->poller, &topic->renew_op);
        topic_unlink(topic); /* it goes when these have ended */
    }
    return first;
}

void topics_abandon(struct broker *broker)
{
    while (broker->topics != NULL) {
        struct topic *topic = broker->topics;
        topic_end_tasks(topic);
        group_abandon_all(topic);
        topic_close_readers(topic, true);
        log_abandon(&topic->log);
        poller_cancel(broker->poller, &topic->grace_op);
        topic_unlink(topic);
    }
}
