#include "broker/topic.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"

static const char *const durability_names[] = {"async", "sync", "memory"};

struct topic *topic_find(struct broker *broker, const char *name)
{
    struct topic *topic = broker->topics;
    while (topic != NULL && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic;
}

struct topic *topic_by_id(struct broker *broker, uint64_t id)
{
    struct topic *topic = broker->topics;
    while (topic != NULL && topic->id != id)
        topic = topic->next;
    return topic;
}

struct topic *topic_new(struct broker *broker, const char *name)
{
    struct topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return NULL;
    topic->broker = broker;
    snprintf(topic->name, sizeof topic->name, "%s", name);
    return topic;
}

void topic_link(struct topic *topic)
{
    struct topic **at = &topic->broker->topics;
    while (*at != NULL && strcmp((*at)->name, topic->name) < 0)
        at = &(*at)->next;
    topic->next = *at;
    *at = topic;
    topic->broker->topic_count++;
    topic_hold(topic);
}

static void end_counting(struct topic *topic)
{
    book_give_back(&topic->broker->book, topic->counters);
    book_give_back(&topic->broker->book, topic->store_counters);
    topic->counters = topic->store_counters = NULL;
}

void topic_unlink(struct topic *topic)
{
    struct topic **at = &topic->broker->topics;
    while (*at != topic)
        at = &(*at)->next;
    *at = topic->next;
    if (topic->broker->sequenced == topic)
        topic->broker->sequenced = topic->next;
    topic->broker->topic_count--;
    end_counting(topic);
    topic->gone = true;
    topic_release(topic);
}

void topic_hold(struct topic *topic)
{
    topic->holds++;
}

void topic_release(struct topic *topic)
{
    if (--topic->holds > 0 || !topic->gone)
        return;
    struct job_queue *const queues[] = {&topic->turns, &topic->affairs, &topic->reading};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        if (queue_is_busy(queues[i])) /* by the job whose done() calls this */
            job_queue_end(&topic->broker->workers, queues[i]);
    free(topic);
}

void topic_path(const struct broker *broker, const char *name, const char *file, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.3800s/%s%s%s", broker->topics_path, name, file[0] != 0 ? "/" : "", file);
}

/* ---- definition files ---- */

/* So much has every definition, filled up with empty lines. */
#define DEFINITION_BYTES 512

int topic_write_whole(const char *path, const char *bytes, size_t length, struct error_text *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(text, "create", path);
    errno = EIO; /* for a write that is short */
    int rc = HERMES_OK;
    if (pwrite(fd, bytes, length, 0) != (ssize_t)length || fdatasync(fd) != 0)
        rc = error_set_errno(text, "write", path);
    close(fd);
    return rc;
}

/*
 * Each topic keeps a spare file of its definition's size. A new definition is written over the spare, which
 * takes no room, and the two change names: so a topic on a full disk can be told to keep less.
 */
int topic_write_definition(const struct topic *topic, struct error_text *text)
{
    const struct broker *broker = topic->broker;
    char path[PATH_BYTES], spare[PATH_BYTES], directory[PATH_BYTES];
    topic_path(broker, topic->name, "", directory);
    topic_path(broker, topic->name, "topic.conf", path);
    topic_path(broker, topic->name, "topic.conf.spare", spare);
    bool is_new = mkdir(directory, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return error_set_errno(text, "create directory", directory);
    char bytes[DEFINITION_BYTES + 1];
    int length = snprintf(
        bytes, sizeof bytes,
        "[topic]\nid = %" PRIu64 "\nshared = %d\ndurability = %s\nwindow = %" PRIu64 "\nsegment = %" PRIu64
        "\nkeep_bytes = %" PRIu64 "\nkeep_ns = %" PRIu64 "\nfull_waits = %d\npush_back = %d\n",
        topic->id, topic->shared, durability_names[topic->durability], topic->window_bytes,
        topic->segment_bytes, topic->keep_bytes, topic->keep_ns, topic->full_waits, topic->push_back);
    memset(bytes + length, '\n', DEFINITION_BYTES - (size_t)length);
    int rc = topic_write_whole(spare, bytes, DEFINITION_BYTES, text);
    if (rc < 0)
        return rc;
    if (renameat2(AT_FDCWD, spare, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        /* The first definition, or a file system that cannot exchange. */
        if (rename(spare, path) != 0)
            return error_set_errno(text, "rename to", path);
        struct error_text ignored;
        (void)topic_write_whole(spare, bytes, DEFINITION_BYTES, &ignored);
    }
    rc = path_sync(directory, text);
    return rc == 0 && is_new ? path_sync(broker->topics_path, text) : rc;
}

static int gone(int result)
{
    return result == 0 || errno == ENOENT || errno == ENOTDIR ? HERMES_OK : error_from_errno(errno);
}

/* Without a definition, a directory is the remains of a topic. What is somebody else's in it stays. */
void topic_remove_remains(const struct broker *broker, const char *name)
{
    char path[PATH_BYTES];
    topic_path(broker, name, "topic.conf.spare", path);
    int rc = gone(unlink(path));
    static const char *const files[] = {"epochs", "origins", "mirror.conf", "mirror.conf.new",
                                        "mirror.epoch"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        topic_path(broker, name, files[i], path);
        rc = rc < 0 ? rc : gone(unlink(path));
    }
    topic_path(broker, name, "groups", path);
    path_sweep(path, "");
    topic_path(broker, name, "", path);
    int removed = store_remove(path);
    rc = rc < 0 || removed == HERMES_ENOTFOUND ? rc : removed;
    if (rmdir(path) != 0 && errno != ENOTEMPTY && errno != EEXIST && rc == 0)
        rc = gone(-1);
    if (rc < 0)
        note("topic '%s' is no more, but not all that it had can be removed from %s: %s; the next start "
             "tries again",
             name, path, hermes_strerror(rc));
}

static int definition_line(void *user, const char *section, const char *name, const char *value)
{
    struct topic *topic = user;
    uint64_t number = 0;
    bool is_number = config_parse_size(value, &number) == 0;
    if (strcmp(section, "topic") != 0)
        return 0;
    if (strcmp(name, "id") == 0)
        topic->id = number;
    else if (strcmp(name, "shared") == 0)
        topic->shared = number != 0;
    else if (strcmp(name, "window") == 0)
        topic->window_bytes = number;
    else if (strcmp(name, "segment") == 0)
        topic->segment_bytes = number;
    else if (strcmp(name, "keep_bytes") == 0)
        topic->keep_bytes = number;
    else if (strcmp(name, "keep_ns") == 0)
        topic->keep_ns = number;
    else if (strcmp(name, "full_waits") == 0)
        topic->full_waits = number != 0;
    else if (strcmp(name, "push_back") == 0)
        topic->push_back = number != 0;
    else if (strcmp(name, "durability") == 0 && strcmp(value, "memory") == 0)
        topic->durability = DURABILITY_MEMORY;
    else if (strcmp(name, "durability") == 0 && strcmp(value, "async") == 0)
        topic->durability = DURABILITY_ASYNC;
    else if (strcmp(name, "durability") == 0 && strcmp(value, "sync") == 0)
        topic->durability = DURABILITY_SYNC;
    else
        return 0;
    return is_number || strcmp(name, "durability") == 0;
}

int topic_read_definition(struct topic *topic, struct error_text *text)
{
    char path[PATH_BYTES];
    topic_path(topic->broker, topic->name, "topic.conf", path);
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT)
        return HERMES_ENOTFOUND;
    if (file == NULL)
        return error_set_errno(text, "open", path);
    int line = ini_parse_file(file, definition_line, topic);
    fclose(file);
    if (line != 0)
        return error_set(text, HERMES_EMALFORMED, "%s: line %d", path, line);
    return topic->id != 0 ? HERMES_OK : error_set(text, HERMES_EMALFORMED, "%s: no id, or 0", path);
}

/* ---- opening ---- */

static void prefix_of(const struct broker *broker, uint64_t id, char prefix[SHM_PATH_BYTES + 32])
{
    snprintf(prefix, SHM_PATH_BYTES + 32, "%s/%016" PRIx64, broker->shm.path, id);
}

void topic_apply(struct topic *topic)
{
    atomic_store(&topic->log.keep_bytes, topic->keep_bytes);
    atomic_store(&topic->log.keep_ns, topic->keep_ns);
    atomic_store(&topic->log.status->full_waits, topic->full_waits);
}

/* ---- readers that are waited for ---- */

static void readers_path(const struct topic *topic, char path[SHM_PATH_BYTES + 32])
{
    snprintf(path, SHM_PATH_BYTES + 32, "%s/%016" PRIx64 ".readers", topic->broker->shm.path, topic->id);
}

void topic_close_readers(struct topic *topic, bool keep)
{
    char path[SHM_PATH_BYTES + 32];
    if (topic->readers == NULL)
        return;
    readers_path(topic, path);
    if (!keep)
        unlink(path);
    map_release(&topic->readers_map);
    close(topic->readers_fd);
    topic->readers = topic->log.readers = NULL;
}

/* Made, or taken up with the log: publisher and subscribers may have lived through a crash of ours. */
static int open_readers(struct topic *topic, struct error_text *text)
{
    char path[SHM_PATH_BYTES + 32];
    readers_path(topic, path);
    uint64_t size = 0;
    if (topic->log.taken_up) {
        topic->readers_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (topic->readers_fd < 0 && errno != ENOENT)
            return error_set_errno(text, "open", path);
        if (topic->readers_fd >= 0 && map_file_size(topic->readers_fd, &size) == 0 && size == READERS_BYTES &&
            map_fd(topic->readers_fd, READERS_BYTES, MAP_READ_WRITE, MAP_PREFAULT, &topic->readers_map) ==
                0 &&
            readers_check(topic->readers_map.address, READERS_BYTES) == 0) {
            topic->readers = topic->readers_map.address;
            topic->awaited = atomic_load(&topic->readers->active);
            return HERMES_OK;
        }
        map_release(&topic->readers_map);
        if (topic->readers_fd >= 0)
            close(topic->readers_fd);
    }
    unlink(path);
    int rc = map_create(path, READERS_BYTES, &topic->readers_map, &topic->readers_fd);
    if (rc < 0)
        return error_set(text, rc, "readers of topic '%s'", topic->name);
    topic->readers = topic->readers_map.address;
    readers_init(topic->readers, topic->id);
    return HERMES_OK;
}

int topic_add_reader(struct topic *topic, uint32_t resume_line, uint64_t resume_id, uint32_t *line,
                     uint64_t *id, struct error_text *text)
{
    if (topic->readers == NULL)
        return error_say(text, HERMES_EINVALID,
                         "topic '%s' does not wait for subscribers (hermes topic create --push-back)",
                         topic->name);
    if (resume_line < READERS_LINES && (topic->awaited >> resume_line & 1) != 0 &&
        atomic_load(&topic->readers->line[resume_line].id) == resume_id) {
        topic->awaited &= ~((uint64_t)1 << resume_line);
        *line = resume_line;
        *id = resume_id;
        return HERMES_OK;
    }
    *id = broker_next_id(topic->broker);
    int found = readers_add(topic->readers, *id, log_committed(&topic->log).position);
    if (found < 0)
        return error_set(text, HERMES_ELIMIT, "topic '%s' waits for %d subscribers", topic->name,
                         READERS_LINES);
    *line = (uint32_t)found;
    return HERMES_OK;
}

void topic_end_grace(struct broker *broker)
{
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        for (; topic->awaited != 0; topic->awaited &= topic->awaited - 1)
            readers_remove(topic->readers, (unsigned)__builtin_ctzll(topic->awaited));
}

/* What is counted of it in other pages is found by its id. */
static void begin_counting(struct topic *topic)
{
    struct counters_book *book = &topic->broker->book;
    struct book_entry entry = {
        .kind = COUNTERS_TOPIC, .label = topic->name, .id = topic->id, .topic = topic->id};
    topic->counters = book_take(book, &entry);
    counters_set(topic->counters, TOPIC_SHARED, topic->shared);
    counters_set(topic->counters, TOPIC_DURABILITY, (uint64_t)topic->durability);
    counters_set(topic->counters, TOPIC_PUSH_BACK, topic->push_back);
    if (topic->durability == DURABILITY_MEMORY)
        return;
    entry.kind = COUNTERS_STORE;
    topic->store_counters = book_take(book, &entry);
    topic->persisting.counters = topic->store_counters;
}

void topic_count_refused(struct topic *topic)
{
    topic->refused++;
    counters_set(topic->counters, TOPIC_REFUSED, topic->refused);
}

/* What goes on with a stored log all the time. */
static int begin_tasks(struct topic *topic)
{
    struct broker *broker = topic->broker;
    int rc = persister_add(&broker->persister, &topic->persisting, &topic->log);
    if (rc == 0)
        scrubber_add(&broker->scrubber, &topic->scrubbing, &topic->log);
    return rc;
}

void topic_end_tasks(struct topic *topic)
{
    struct broker *broker = topic->broker;
    if (topic->durability == DURABILITY_MEMORY)
        return;
    if (scrubber_has(&topic->scrubbing))
        workers_remove(&broker->workers, &topic->scrubbing.task);
    workers_remove(&broker->workers, &topic->persisting.task);
    persister_release(&topic->persisting);
}

int topic_open_log(struct topic *topic, struct error_text *text)
{
    char prefix[SHM_PATH_BYTES + 32], directory[PATH_BYTES];
    prefix_of(topic->broker, topic->id, prefix);
    topic_path(topic->broker, topic->name, "", directory);
    struct log_options options = {
        .prefix = prefix,
        .directory = directory,
        .topic_id = topic->id,
        .window_bytes = topic->window_bytes,
        .segment_bytes = topic->segment_bytes,
        .durability = topic->durability,
        .shared = topic->shared,
        .has_origins = true,
        .instance = topic->broker->instance,
    };
    int rc = log_open(&topic->log, &options, text);
    if (rc < 0)
        return rc;
    rc = topic->push_back ? open_readers(topic, text) : HERMES_OK;
    if (rc < 0 && topic->log.taken_up)
        log_abandon(&topic->log);
    else if (rc < 0)
        (void)log_close(&topic->log, STATE_CLOSED); /* nobody has it: nothing stays in shared memory */
    return rc;
}

static void note_recovery(const struct topic *topic)
{
    const struct store *store = &topic->log.store;
    if (store->cut_bytes > 0)
        note("topic '%s': %" PRIu64 " bytes behind position %" PRIu64
             " were never confirmed and cannot be told from remains of a crash: put aside in .cut files",
             topic->name, store->cut_bytes, store->position);
    if (store->holes > 0)
        note("topic '%s': segments are missing in %zu places of its store (hermes verify %s)", topic->name,
             store->holes, topic->name);
    if (store->cut_short)
        note("topic '%s' is cut short in its segment %020" PRIu64 ".log (hermes verify %s)", topic->name,
             store->entries[store->entry_count - 2].base, topic->name);
}

/* Its publisher did not come back: nobody is waited for, and what it may still commit counts no more. */
static void grace_is_over(struct poller_op *op, int result)
{
    struct topic *topic = (struct topic *)(void *)((char *)op - offsetof(struct topic, grace_op));
    if (result >= 0 && topic->grace_until_ns != 0) {
        topic->grace_until_ns = 0;
        topic_end_epoch(topic, EPOCH_LEFT);
    }
    topic_release(topic);
}

void topic_forgo_grace(struct topic *topic)
{
    topic->grace_until_ns = 0;
    poller_cancel(topic->broker->poller, &topic->grace_op);
}

int topic_begin(struct topic *topic, struct error_text *text)
{
    struct broker *broker = topic->broker;
    uint64_t grace_ns = broker->config.grace_ms * 1000000ull;
    begin_counting(topic);
    int rc = topic->durability == DURABILITY_MEMORY ? HERMES_OK : begin_tasks(topic);
    if (rc < 0) {
        end_counting(topic);
        return error_set(text, rc, "topic '%s'", topic->name);
    }
    topic->log.readers = topic->readers;
    if (topic->readers != NULL && !log_has_writer(&topic->log))
        readers_forget_wait(topic->readers); /* a broker's that was killed */
    topic->log.persister_bell = topic->persisting.bell;
    topic_apply(topic);
    note_recovery(topic);
    topic->unlisted = log_committed(&topic->log).position;
    if (topic->awaited != 0)
        broker->grace_until_ns = clock_monotonic_ns() + grace_ns;
    if (log_has_writer(&topic->log)) {
        /* Its publisher may be alive, and still publish: it gets time to come back. */
        topic->grace_until_ns = clock_monotonic_ns() + grace_ns;
        topic->grace_op.done = grace_is_over;
        if (poller_timer(broker->poller, &topic->grace_op, grace_ns) == 0)
            topic_hold(topic); /* until it is over */
        else
            topic_end_epoch(topic, EPOCH_LEFT);
    }
    return HERMES_OK;
}

/* ---- who writes ---- */

int topic_check_free(const struct topic *topic, struct error_text *text)
{
    if (topic->mirrored.follows)
        return error_say(
            text, HERMES_EBUSY,
            "topic '%s' is a mirror of another broker's, and takes no publisher of its own (hermes "
            "mirror list)",
            topic->name);
    bool has_publisher = topic->publisher != NULL || topic->ring_count > topic->rings_left;
    if (has_publisher)
        return error_say(text, HERMES_EBUSY, "topic '%s' has a publisher%s", topic->name,
                         topic->shared ? "" : ", and is not shared");
    if (topic->ring_count > 0)
        return error_say(text, HERMES_EBUSY,
                         "topic '%s' has no publisher, but not all that former ones handed over is in it yet",
                         topic->name);
    /* The place of a publisher who may be back from a crash of ours is kept for a moment. */
    if (topic->grace_until_ns != 0 && clock_monotonic_ns() < topic->grace_until_ns)
        return error_say(
            text, HERMES_EBUSY,
            "topic '%s' had a publisher before the broker restarted; it may claim its place for a moment",
            topic->name);
    return HERMES_OK;
}

static struct topic *of_end_job(struct job *job)
{
    return (struct topic *)(void *)((char *)job - offsetof(struct topic, end_job));
}

/* The epoch that was meant may have ended otherwise by now. */
static bool end_begins(struct job *job)
{
    struct topic *topic = of_end_job(job);
    return !topic->opening && topic->log.epoch == topic->end_epoch;
}

static void end_epoch(struct job *job)
{
    struct topic *topic = of_end_job(job);
    log_end(&topic->log, topic->end_why);
}

static void epoch_ended(struct job *job)
{
    struct topic *topic = of_end_job(job);
    topic->ends = false;
    if (topic->ring_count > 0 && !topic->deleting)
        topic_renew(topic);
    topic_release(topic);
}

void topic_end_epoch(struct topic *topic, enum epoch_end why)
{
    if (topic->ends)
        return;
    topic->ends = true;
    topic->end_why = why;
    topic->end_epoch = atomic_load(&topic->log.status->epoch);
    topic->end_job = (struct job){.begin = end_begins, .work = end_epoch, .done = epoch_ended};
    topic_hold(topic);
    topic_look(topic);
    workers_submit(&topic->broker->workers, &topic->turns, &topic->end_job);
}

static const uint64_t renew_again_ns = 100000000;

static struct topic *of_renew_job(struct job *job)
{
    return (struct topic *)(void *)((char *)job - offsetof(struct topic, renew_job));
}

static void renew(struct job *job)
{
    struct topic *topic = of_renew_job(job);
    struct error_text text;
    topic->renew_result = log_renew(&topic->log, &text);
    if (topic->renew_result < 0)
        note("topic '%s' has no window for its publishers: %s", topic->name, text.bytes);
}

static void renew_again(struct poller_op *op, int result)
{
    struct topic *topic = (struct topic *)(void *)((char *)op - offsetof(struct topic, renew_op));
    topic->renews = false;
    if (result >= 0 && topic->ring_count > 0 && !topic->deleting)
        topic_renew(topic);
    topic_release(topic);
}

static void renewed(struct job *job)
{
    struct topic *topic = of_renew_job(job);
    struct broker *broker = topic->broker;
    topic->renews = false;
    if (topic->renew_result == 0 && log_is_fresh(&topic->log)) {
        log_take(&topic->log, WRITER_OWNER);
    } else if (topic->renew_result < 0 && topic->ring_count > 0 && !broker->stopping) {
        topic->renew_op.done = renew_again;
        if (poller_timer(broker->poller, &topic->renew_op, renew_again_ns) == 0) {
            topic->renews = true;
            return; /* held until then */
        }
    }
    topic_release(topic);
}

void topic_renew(struct topic *topic)
{
    if (topic->renews)
        return;
    topic->renews = true;
    topic->renew_job = (struct job){.work = renew, .done = renewed};
    topic_hold(topic);
    topic_look(topic);
    workers_submit(&topic->broker->workers, &topic->turns, &topic->renew_job);
}

/* ---- describing ---- */

void topic_look(struct topic *topic)
{
    if (topic->opening || queue_is_busy(&topic->turns))
        return;
    /* The writer's own word; a hostile one deceives only who asks about its topic. */
    struct window_end end = log_committed(&topic->log);
    topic->told_position = end.position;
    topic->told_sequence = end.sequence - 1;
    topic->told_first = window_oldest(topic->log.window, end.position);
}

void topic_describe(struct topic *topic, struct wire_topic_info *info)
{
    const struct status *status = topic->log.status;
    topic_look(topic);
    *info = (struct wire_topic_info){
        .topic_id = topic->id,
        .durability = topic->durability,
        .shared = topic->shared,
        .window_bytes = topic->log.capacity,
        .segment_bytes = topic->segment_bytes,
        .first_position =
            topic->durability == DURABILITY_MEMORY ? topic->told_first : atomic_load(&status->first),
        .committed_position = topic->told_position,
        .last_sequence = topic->told_sequence,
        .persisted_position = atomic_load(&status->persisted),
        .durable_position = atomic_load(&status->durable),
        .epoch = atomic_load(&status->epoch),
        .publishers = topic->ring_count - topic->rings_left + (topic->publisher != NULL),
        .subscribers = topic->subscribers,
        .state = atomic_load(&status->state),
        .refused = topic->refused,
        .corrupt = atomic_load(&status->corrupt),
        .keep_bytes = topic->keep_bytes,
        .keep_ns = topic->keep_ns,
        .full_waits = topic->full_waits,
        .full = atomic_load(&status->full),
        .push_back = topic->push_back,
        .waited_for =
            topic->readers == NULL ? 0 : (uint32_t)__builtin_popcountll(atomic_load(&topic->readers->active)),
    };
    snprintf(info->topic, sizeof info->topic, "%s", topic->name);
}
