/* Topics: made, found, loaded, described, deleted; and what a crash left behind. */
#include <dirent.h>
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
#include "broker/broker.h"

static const char *const durability_names[] = {"memory", "async", "sync"};

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

static void topic_path(const struct broker *broker, const char *name, const char *file, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.3800s/%s%s%s", broker->topics_path, name, file[0] != 0 ? "/" : "", file);
}

/* ---- definition files ---- */

/* So much has every definition, filled up with empty lines. */
#define DEFINITION_BYTES 512

static int write_whole(const char *path, const char *bytes, size_t length, struct error_text *text)
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
static int write_definition(struct broker *broker, const struct topic *topic, struct error_text *text)
{
    char path[PATH_BYTES], spare[PATH_BYTES], directory[PATH_BYTES];
    topic_path(broker, topic->name, "", directory);
    topic_path(broker, topic->name, "topic.conf", path);
    topic_path(broker, topic->name, "topic.conf.spare", spare);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return error_set_errno(text, "create directory", directory);
    char bytes[DEFINITION_BYTES + 1];
    int length = snprintf(
        bytes, sizeof bytes,
        "[topic]\nid = %" PRIu64 "\nshared = %d\ndurability = %s\nwindow = %" PRIu64 "\nsegment = %" PRIu64
        "\nkeep_bytes = %" PRIu64 "\nkeep_ns = %" PRIu64 "\nfull_waits = %d\npush_back = %d\n",
        topic->id, topic->shared, durability_names[topic->durability], topic->window_bytes,
        topic->segment_bytes, topic->keep_bytes, topic->keep_ns, topic->full_waits, topic->push_back);
    memset(bytes + length, '\n', DEFINITION_BYTES - (size_t)length);
    int rc = write_whole(spare, bytes, DEFINITION_BYTES, text);
    if (rc < 0)
        return rc;
    if (renameat2(AT_FDCWD, spare, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        /* The first definition, or a file system that cannot exchange. */
        if (rename(spare, path) != 0)
            return error_set_errno(text, "rename to", path);
        struct error_text ignored;
        (void)write_whole(spare, bytes, DEFINITION_BYTES, &ignored);
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return HERMES_OK;
}

/* Without a definition, a directory is the remains of a topic. */
static void remove_remains(const struct broker *broker, const char *name)
{
    char path[PATH_BYTES];
    topic_path(broker, name, "topic.conf.spare", path);
    unlink(path);
    topic_path(broker, name, "epochs", path);
    unlink(path);
    topic_path(broker, name, "groups", path);
    path_sweep(path, "");
    topic_path(broker, name, "", path);
    store_remove(path);
    rmdir(path);
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

/* ---- opening ---- */

static void prefix_of(const struct broker *broker, uint64_t id, char prefix[SHM_PATH_BYTES + 32])
{
    snprintf(prefix, SHM_PATH_BYTES + 32, "%s/%016" PRIx64, broker->shm, id);
}

/* What may change while a topic is served. */
static void apply(struct topic *topic)
{
    atomic_store(&topic->log.keep_bytes, topic->keep_bytes);
    atomic_store(&topic->log.keep_ns, topic->keep_ns);
    atomic_store(&topic->log.status->full_waits, topic->full_waits);
}

/* ---- readers that are waited for ---- */

static void readers_path(const struct broker *broker, const struct topic *topic,
                         char path[SHM_PATH_BYTES + 32])
{
    snprintf(path, SHM_PATH_BYTES + 32, "%s/%016" PRIx64 ".readers", broker->shm, topic->id);
}

/* keep: the log stays in shared memory, and who reads it with it. */
static void close_readers(const struct broker *broker, struct topic *topic, bool keep)
{
    char path[SHM_PATH_BYTES + 32];
    if (topic->readers == NULL)
        return;
    readers_path(broker, topic, path);
    if (!keep)
        unlink(path);
    map_release(&topic->readers_map);
    close(topic->readers_fd);
    topic->readers = NULL;
}

/* Made, or taken up with the log: publisher and subscribers may have lived through a crash of ours. */
static int open_readers(struct broker *broker, struct topic *topic, struct error_text *text)
{
    char path[SHM_PATH_BYTES + 32];
    readers_path(broker, topic, path);
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
            if (topic->awaited != 0)
                broker->grace_until_ns = clock_monotonic_ns() + (uint64_t)broker->config.grace_ms * 1000000u;
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

int topic_add_reader(struct broker *broker, struct topic *topic, uint32_t resume_line, uint64_t resume_id,
                     uint32_t *line, uint64_t *id, struct error_text *text)
{
    if (topic->readers == NULL)
        return error_set(text, HERMES_EINVALID,
                         "topic '%s' does not wait for subscribers (hermes topic create --push-back)",
                         topic->name);
    if (resume_line < READERS_LINES && (topic->awaited >> resume_line & 1) != 0 &&
        atomic_load(&topic->readers->line[resume_line].id) == resume_id) {
        topic->awaited &= ~((uint64_t)1 << resume_line);
        *line = resume_line;
        *id = resume_id;
        return HERMES_OK;
    }
    *id = ++broker->next_ring_id;
    int found = readers_add(topic->readers, *id, atomic_load(&topic->log.window->position));
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

/* What goes on with a stored log all the time. */
static int begin_tasks(struct broker *broker, struct topic *topic)
{
    int rc = persister_add(&broker->persister, &topic->persisting, &topic->log);
    if (rc < 0)
        return rc;
    rc = scrubber_add(&broker->scrubber, &topic->scrubbing, &topic->log);
    if (rc < 0) {
        workers_remove(&broker->workers, &topic->persisting.task);
        persister_release(&topic->persisting);
    }
    return rc;
}

static void end_tasks(struct broker *broker, struct topic *topic)
{
    if (topic->durability == DURABILITY_MEMORY)
        return;
    if (scrubber_has(&topic->scrubbing))
        workers_remove(&broker->workers, &topic->scrubbing.task);
    workers_remove(&broker->workers, &topic->persisting.task);
    persister_release(&topic->persisting);
}

static int open_log(struct broker *broker, struct topic *topic, struct error_text *text)
{
    char prefix[SHM_PATH_BYTES + 32], directory[PATH_BYTES];
    prefix_of(broker, topic->id, prefix);
    topic_path(broker, topic->name, "", directory);
    struct log_options options = {
        .prefix = prefix,
        .directory = directory,
        .topic_id = topic->id,
        .window_bytes = topic->window_bytes,
        .segment_bytes = topic->segment_bytes,
        .durability = topic->durability,
        .shared = topic->shared,
        .instance = broker->instance,
    };
    int rc = log_open(&topic->log, &options, text);
    if (rc < 0)
        return rc;
    if (log_has_writer(&topic->log)) {
        /* Its publisher may be alive, and still publish: it gets time to come back. */
        topic->grace_until_ns = clock_monotonic_ns() + (uint64_t)broker->config.grace_ms * 1000000u;
    }
    if (topic->log.store.cut_bytes > 0)
        note("topic '%s': %" PRIu64 " bytes behind position %" PRIu64
             " were never confirmed and cannot be told from remains of a crash: put aside in .cut files",
             topic->name, topic->log.store.cut_bytes, topic->log.store.position);
    if (topic->log.store.holes > 0)
        note("topic '%s': segments are missing in %zu places of its store (hermes verify %s)", topic->name,
             topic->log.store.holes, topic->name);
    apply(topic);
    rc = topic->push_back ? open_readers(broker, topic, text) : HERMES_OK;
    if (rc == 0 && topic->durability != DURABILITY_MEMORY)
        rc = begin_tasks(broker, topic);
    if (rc < 0) {
        close_readers(broker, topic, topic->log.taken_up);
        log_abandon(&topic->log);
    }
    return rc;
}

static void link_topic(struct broker *broker, struct topic *topic)
{
    struct topic **at = &broker->topics;
    while (*at != NULL && strcmp((*at)->name, topic->name) < 0)
        at = &(*at)->next;
    topic->next = *at;
    *at = topic;
    broker->topic_count++;
}

static struct topic *new_topic(const char *name)
{
    struct topic *topic = calloc(1, sizeof *topic);
    if (topic != NULL)
        snprintf(topic->name, sizeof topic->name, "%s", name);
    return topic;
}

int topic_create(struct broker *broker, const struct wire_topic_create *request, struct error_text *text)
{
    if (topic_find(broker, request->topic) != NULL)
        return error_set(text, HERMES_EEXISTS, "topic '%s'", request->topic);
    if (broker->topic_count >= broker->config.topics_max)
        return error_set(text, HERMES_ELIMIT, "%u topics ([broker] topics_max)", broker->topic_count);
    if (request->durability > DURABILITY_SYNC)
        return error_set(text, HERMES_EINVALID, "durability %" PRIu32 " is not known to this broker",
                         request->durability);
    struct topic *topic = new_topic(request->topic);
    if (topic == NULL)
        return error_set(text, HERMES_ENOMEM, "topic '%s'", request->topic);
    topic->durability = (enum log_durability)request->durability;
    topic->shared = request->shared != 0;
    topic->window_bytes = request->window_bytes != 0 ? request->window_bytes : broker->config.window_bytes;
    topic->segment_bytes =
        request->segment_bytes != 0 ? request->segment_bytes : broker->config.segment_bytes;
    topic->keep_bytes = request->keep_bytes;
    topic->keep_ns = request->keep_ns;
    topic->full_waits = request->full_waits != 0;
    topic->push_back = request->push_back != 0;
    if (request->segment_bytes == 0 && topic->segment_bytes < topic->window_bytes)
        topic->segment_bytes = topic->window_bytes;
    do
        topic->id = path_hash(topic->name) ^ (clock_realtime_ns() * 0x9E3779B97F4A7C15u);
    while (topic->id == 0 || topic_by_id(broker, topic->id) != NULL);

    int rc = HERMES_OK;
    if (!window_capacity_is_legal(topic->window_bytes))
        rc = error_set(text, HERMES_EINVALID,
                       "window of %" PRIu64 " bytes: it must be a power of two from 256K to 1G",
                       topic->window_bytes);
    else if (topic->segment_bytes < STORE_SEGMENT_MIN || topic->segment_bytes % topic->window_bytes != 0)
        rc = error_set(text, HERMES_EINVALID,
                       "segment of %" PRIu64
                       " bytes: it must be at least 1M and a multiple of the window's %" PRIu64,
                       topic->segment_bytes, topic->window_bytes);
    char path[PATH_BYTES];
    topic_path(broker, topic->name, "topic.conf", path);
    if (rc == 0 && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = error_set(text, HERMES_EEXISTS,
                       "topic '%s' is on the disk, but is not served: the broker said why when it started",
                       topic->name);
    if (rc < 0) {
        free(topic);
        return rc;
    }
    if ((rc = write_definition(broker, topic, text)) < 0 || (rc = open_log(broker, topic, text)) < 0) {
        unlink(path);
        remove_remains(broker, topic->name);
        free(topic);
        return rc;
    }
    link_topic(broker, topic);
    return HERMES_OK;
}

int topic_alter(struct broker *broker, const struct wire_topic_alter *request, struct error_text *text)
{
    struct topic *topic = topic_find(broker, request->topic);
    if (topic == NULL)
        return error_set(text, HERMES_ENOTFOUND, "topic '%s'", request->topic);
    if (request->fields == 0 || (request->fields & ~(uint32_t)(WIRE_ALTER_KEEP_BYTES | WIRE_ALTER_KEEP_NS |
                                                               WIRE_ALTER_FULL_WAITS)) != 0)
        return error_set(text, HERMES_EINVALID, "nothing that can be altered in topic '%s'", topic->name);
    uint64_t keep_bytes = topic->keep_bytes, keep_ns = topic->keep_ns;
    bool full_waits = topic->full_waits;
    if (request->fields & WIRE_ALTER_KEEP_BYTES)
        topic->keep_bytes = request->keep_bytes;
    if (request->fields & WIRE_ALTER_KEEP_NS)
        topic->keep_ns = request->keep_ns;
    if (request->fields & WIRE_ALTER_FULL_WAITS)
        topic->full_waits = request->full_waits != 0;
    int rc = write_definition(broker, topic, text);
    if (rc < 0) {
        topic->keep_bytes = keep_bytes; /* as the file still has it */
        topic->keep_ns = keep_ns;
        topic->full_waits = full_waits;
        return rc;
    }
    apply(topic);
    if (topic->durability != DURABILITY_MEMORY)
        persister_ring(&topic->persisting);
    return HERMES_OK;
}

static void free_topic(struct broker *broker, struct topic *topic)
{
    struct topic **at = &broker->topics;
    while (*at != topic)
        at = &(*at)->next;
    *at = topic->next;
    broker->topic_count--;
    free(topic);
}

int topic_delete(struct broker *broker, const char *name, struct error_text *text)
{
    struct topic *topic = topic_find(broker, name);
    if (topic == NULL)
        return error_set(text, HERMES_ENOTFOUND, "topic '%s'", name);
    if (topic->publisher != NULL || topic->ring_count > 0)
        return error_set(text, HERMES_EBUSY, "topic '%s' has a publisher", name);
    /* Subscribers read what they have mapped and are then told that it is closed. */
    for (struct session *session = broker->sessions; session != NULL; session = session->next)
        for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
            if (session->handles[i].id != 0 && session->handles[i].topic == topic)
                session->handles[i].id = 0;
    char path[PATH_BYTES];
    topic_path(broker, name, "topic.conf", path);
    if (unlink(path) != 0)
        return error_set_errno(text, "delete", path);
    end_tasks(broker, topic);
    group_close_all(broker, topic, true);
    close_readers(broker, topic, false);
    (void)log_close(&topic->log, STATE_DELETED);
    remove_remains(broker, name);
    free_topic(broker, topic);
    return HERMES_OK;
}

void topic_describe(struct topic *topic, struct wire_topic_info *info)
{
    *info = (struct wire_topic_info){0};
    const struct status *status = topic->log.status;
    snprintf(info->topic, sizeof info->topic, "%s", topic->name);
    info->topic_id = topic->id;
    info->durability = topic->durability;
    info->shared = topic->shared;
    info->window_bytes = topic->window_bytes;
    info->segment_bytes = topic->segment_bytes;
    info->first_position = atomic_load(&status->first);
    /* The writer's own word; a hostile one deceives only who asks about its topic. */
    info->committed_position = atomic_load(&topic->log.window->position);
    info->last_sequence = atomic_load(&topic->log.window->sequence) - 1;
    info->persisted_position = atomic_load(&status->persisted);
    info->durable_position = atomic_load(&status->durable);
    info->epoch = topic->log.epoch;
    info->publishers = topic->ring_count + (topic->publisher != NULL);
    info->subscribers = topic->subscribers;
    info->state = atomic_load(&status->state);
    info->refused = topic->refused;
    info->corrupt = atomic_load(&status->corrupt);
    info->keep_bytes = topic->keep_bytes;
    info->keep_ns = topic->keep_ns;
    info->full_waits = topic->full_waits;
    info->full = atomic_load(&status->full);
    info->push_back = topic->push_back;
    info->waited_for =
        topic->readers == NULL ? 0 : (uint32_t)__builtin_popcountll(atomic_load(&topic->readers->active));
}

/* ---- start and stop ---- */

static int load_one(struct broker *broker, const char *name, struct error_text *text)
{
    char path[PATH_BYTES];
    topic_path(broker, name, "topic.conf", path);
    FILE *file = fopen(path, "re");
    if (file == NULL && errno != ENOENT) {
        broker->unread = true;
        return error_set_errno(text, "open", path);
    }
    if (file == NULL) {
        /* A directory without a definition is a creation or a deletion that a crash cut short. */
        remove_remains(broker, name);
        return HERMES_OK;
    }
    struct topic *topic = new_topic(name);
    int line = topic == NULL ? -1 : ini_parse_file(file, definition_line, topic);
    fclose(file);
    broker->unread |= topic == NULL || line != 0 || topic->id == 0;
    if (topic == NULL)
        return error_set(text, HERMES_ENOMEM, "topic '%s'", name);
    if (line != 0 || topic->id == 0) {
        free(topic);
        return error_set(text, HERMES_EMALFORMED, "%s: line %d", path, line);
    }
    int rc = open_log(broker, topic, text);
    if (rc < 0) {
        topic->next = broker->unserved;
        broker->unserved = topic;
        return rc;
    }
    link_topic(broker, topic);
    group_load_all(broker, topic);
    return HERMES_OK;
}

static bool is_unserved(const struct broker *broker, uint64_t id)
{
    for (const struct topic *topic = broker->unserved; topic != NULL; topic = topic->next)
        if (topic->id == id)
            return true;
    return false;
}

static void forget_unserved(struct broker *broker)
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

/* Does nobody need that file? Of a topic whose definition cannot be read not even the id is known, so what is
 * unknown may be its: a start that could not do its work must not cost what a crash left. */
static bool is_left_over(struct broker *broker, const char *name)
{
    char *kind;
    uint64_t id = strtoull(name, &kind, 16);
    if (kind != name + 16 || *kind != '.')
        return true;
    const struct topic *topic = topic_by_id(broker, id);
    return topic != NULL ? !owns_file(topic, name, kind) : !is_unserved(broker, id) && !broker->unread;
}

/* Windows and status pages of topics that are no more. */
static void sweep(struct broker *broker)
{
    DIR *directory = opendir(broker->shm);
    struct dirent *item;
    while (directory != NULL && (item = readdir(directory)) != NULL)
        if (item->d_name[0] != '.' && is_left_over(broker, item->d_name))
            unlinkat(dirfd(directory), item->d_name, 0);
    if (directory != NULL)
        closedir(directory);
}

int topic_load_all(struct broker *broker, struct error_text *text)
{
    DIR *directory = opendir(broker->topics_path);
    if (directory == NULL)
        return error_set_errno(text, "list", broker->topics_path);
    struct dirent *item;
    while ((item = readdir(directory)) != NULL) {
        if (hermes_topic_name_check(item->d_name) < 0)
            continue;
        /* One damaged topic must not keep the others from being served. */
        if (load_one(broker, item->d_name, text) < 0)
            note("topic '%s' is not served, and what it has is left as it is: %s", item->d_name, text->bytes);
    }
    closedir(directory);
    sweep(broker);
    forget_unserved(broker);
    return HERMES_OK;
}

void topic_abandon_all(struct broker *broker)
{
    while (broker->topics != NULL) {
        struct topic *topic = broker->topics;
        end_tasks(broker, topic);
        group_abandon_all(broker, topic);
        close_readers(broker, topic, true);
        log_abandon(&topic->log);
        free_topic(broker, topic);
    }
}

int topic_close_all(struct broker *broker, struct error_text *text)
{
    int first = HERMES_OK;
    while (broker->topics != NULL) {
        struct topic *topic = broker->topics;
        end_tasks(broker, topic);
        group_close_all(broker, topic, false);
        int rc = log_close(&topic->log, STATE_CLOSED);
        close_readers(broker, topic, rc < 0);
        if (rc < 0) {
            note("topic '%s': %s; its window stays in shared memory for the next start", topic->name,
                 hermes_strerror(rc));
            if (first == 0)
                first = error_set(text, rc, "topic '%s'", topic->name);
        }
        free_topic(broker, topic);
    }
    return first;
}
