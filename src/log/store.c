#include "log/store.h"

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
#include "hermes/message.h"

static const uint64_t checkpoint_sync_ns = 1000000000;

int store_add(struct store *store, struct store_entry entry)
{
    if (store->entry_count == store->entry_room) {
        size_t room = store->entry_room == 0 ? 64 : store->entry_room * 2;
        struct store_entry *grown = realloc(store->entries, room * sizeof *grown);
        if (grown == NULL)
            return HERMES_ENOMEM;
        store->entries = grown;
        store->entry_room = room;
    }
    store->entries[store->entry_count++] = entry;
    return HERMES_OK;
}

int store_publish(struct store *store, struct error_text *text)
{
    struct segment_list *list = segment_list_make(store->entries, store->entry_count);
    if (list == NULL)
        return error_set(text, HERMES_ENOMEM, "a list of %zu segments", store->entry_count);
    /* Relaxed: whoever finds less than there is by now searches from an earlier place. */
    atomic_store_explicit(&store->searchable, store->position, memory_order_relaxed);
    segments_publish(&store->segments, list);
    return HERMES_OK;
}

int store_stage(struct store *store, struct error_text *text)
{
    if (store->stage == NULL)
        store->stage = aligned_alloc(HERMES_FRAME_ALIGNMENT, STORE_STAGE_BYTES);
    return store->stage != NULL ? HERMES_OK : error_set(text, HERMES_ENOMEM, "a store's buffer");
}

/* ---- appending ---- */

static int prepare(struct store *store, uint64_t base, struct error_text *text)
{
    return store->next_fd >= 0
               ? HERMES_OK
               : segment_prepare(store->directory, base, store->segment_bytes, &store->next_fd, text);
}

static uint64_t last_end(const struct store *store)
{
    return store->entry_count > 0 ? store->entries[store->entry_count - 1].base + store->segment_bytes : 0;
}

int store_prepare(struct store *store, struct error_text *text)
{
    return store->fd < 0 || last_end(store) - store->position > store->segment_bytes / 2
               ? HERMES_OK
               : prepare(store, last_end(store), text);
}

/* Now, for what must never be taken for older than it is; and for what must never be taken for newer. */
static uint64_t latest_ns(struct store *store)
{
    uint64_t wall = clock_realtime_ns(), steady = steady_look(&store->clock, wall, clock_boot_ns());
    return wall > steady ? wall : steady;
}

static uint64_t earliest_ns(struct store *store)
{
    uint64_t wall = clock_realtime_ns(), steady = steady_look(&store->clock, wall, clock_boot_ns());
    return wall < steady ? wall : steady;
}

/* A directory that was just made must not go with the next power cut. Where the one above it cannot be
 * opened, it was made by somebody else. */
static int sync_parent(const struct store *store, struct error_text *text)
{
    int parent = openat(store->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parent >= 0 && fsync(parent) != 0
                 ? error_set_errno(text, "sync", "the directory above the store")
                 : HERMES_OK;
    if (parent >= 0)
        close(parent);
    return rc;
}

/* Where the segment begins that position is in, or will be once it is made. */
static uint64_t segment_base(const struct store *store)
{
    return store->position - store->position % store->segment_bytes;
}

void store_begin_at(struct store *store, uint64_t position, uint64_t sequence)
{
    store->position = store->synced_position = position;
    store->sequence = store->synced_sequence = sequence;
    atomic_store_explicit(&store->searchable, position, memory_order_relaxed);
}

/* A segment that is made, and whose first frame does not stand at its base. */
static int fill_up(struct store *store, const struct segment_header *header, struct error_text *text)
{
    return segment_pad(store->next_fd, header->base, store->position, header->first_sequence) == 0
               ? HERMES_OK
               : error_set_errno(text, "write to", "the store");
}

static int roll(struct store *store, uint32_t epoch, struct error_text *text)
{
    int rc;
    if (store->previous_fd >= 0 && (rc = store_sync(store, text)) < 0)
        return rc;
    struct segment_header header = {
        .base = segment_base(store),
        .first_sequence = store->sequence,
        .created = latest_ns(store),
        .size = store->segment_bytes,
        .topic_id = store->topic_id,
        .epoch = epoch,
    };
    segment_header_finish(&header);
    if ((rc = prepare(store, header.base, text)) < 0)
        return rc;
    if (store->position > header.base && (rc = fill_up(store, &header, text)) < 0) {
        close(store->next_fd);
        store->next_fd = -1;
        segment_discard(store->directory, header.base);
        return rc;
    }
    rc = store_add(store, (struct store_entry){.base = header.base,
                                               .first_sequence = store->sequence,
                                               .created = header.created,
                                               .before = store->index.timestamp,
                                               .timed = true});
    if (rc < 0)
        return error_set(text, rc, "a new segment");
    struct segment_list *list = segment_list_make(store->entries, store->entry_count);
    /* The first one is safe at once: there is none before it that recovery could begin with. */
    rc = list == NULL ? error_set(text, HERMES_ENOMEM, "a new segment")
                      : segment_begin(store->directory, &header, store->next_fd, store->fd < 0, text);
    if (rc == 0 && store->fd < 0)
        rc = sync_parent(store, text);
    if (rc < 0) {
        free(list);
        store->entry_count--;
        close(store->next_fd);
        store->next_fd = -1;
        segment_discard(store->directory, header.base);
        return rc;
    }
    store->previous_fd = store->fd;
    store->fd = store->next_fd;
    store->next_fd = -1;
    store->rolled = true;
    segments_publish(&store->segments, list);
    index_begin(&store->index, store->directory, header.base, store->segment_bytes, header.created);
    return HERMES_OK;
}

/* What was written counts. */
static void advance(struct store *store, size_t bytes, uint64_t next_sequence)
{
    store->position += bytes;
    store->sequence = next_sequence;
    store->dirty = true;
    atomic_store_explicit(&store->searchable, store->position, memory_order_relaxed);
}

static int write_frames(struct store *store, const void *frames, size_t bytes, uint32_t epoch,
                        struct error_text *text)
{
    if (store->position >= last_end(store)) {
        int rc = roll(store, epoch, text);
        if (rc < 0)
            return rc;
    }
    uint64_t offset = store->position - store->entries[store->entry_count - 1].base;
    if (offset + bytes > store->segment_bytes)
        return error_set(text, HERMES_EINVALID, "frames cross a segment boundary");
    if (segment_write(store->fd, frames, bytes, SEGMENT_HEADER_BYTES + offset) != 0)
        return error_set_errno(text, "write to", "the store");
    return HERMES_OK;
}

int store_append(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                 uint32_t epoch, struct error_text *text)
{
    int rc = write_frames(store, frames, bytes, epoch, text);
    if (rc < 0)
        return rc;
    index_add_frames(&store->index, frames, bytes, store->position);
    advance(store, bytes, next_sequence);
    return HERMES_OK;
}

void store_begin_marks(const struct store *store, struct index_marks *marks)
{
    index_marks_begin(marks, &store->index);
    if (store->position >= last_end(store)) /* those will be the first of another segment's */
        marks->due = segment_base(store);
}

int store_append_marked(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                        uint32_t epoch, struct index_marks *marks, struct error_text *text)
{
    int rc = write_frames(store, frames, bytes, epoch, text);
    if (rc < 0)
        return rc;
    index_add(&store->index, marks);
    advance(store, bytes, next_sequence);
    return HERMES_OK;
}

static int sync_segment(const struct store *store, int fd, bool dirty, size_t i, struct error_text *text)
{
    if (dirty && fdatasync(fd) != 0)
        return error_set_errno(text, "sync", "the store");
    /* What goes to a file that has no name any more, or was cut short under us, is not stored. */
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_nlink == 0 ||
        (uint64_t)status.st_size < SEGMENT_HEADER_BYTES + store->segment_bytes)
        return error_set(text, HERMES_ECORRUPT,
                         "segment %020" PRIu64 ".log was deleted or cut short by somebody else",
                         store->entries[i].base);
    return HERMES_OK;
}

int store_sync(struct store *store, struct error_text *text)
{
    int rc = HERMES_OK;
    if (store->previous_fd >= 0)
        rc = sync_segment(store, store->previous_fd, true, store->entry_count - 2, text);
    if (rc == 0 && store->fd >= 0)
        rc = sync_segment(store, store->fd, store->dirty || store->rolled, store->entry_count - 1, text);
    if (rc == 0 && store->rolled && fsync(store->directory) != 0)
        rc = error_set_errno(text, "sync", "the directory of the store");
    if (rc < 0)
        return rc;
    if (store->previous_fd >= 0)
        close(store->previous_fd);
    store->previous_fd = -1;
    store->rolled = false;
    store->dirty = false;
    store->synced_position = store->position;
    store->synced_sequence = store->sequence;
    return HERMES_OK;
}

int store_checkpoint(struct store *store, uint32_t epoch, struct error_text *text)
{
    store->checkpoint.position = store->synced_position;
    store->checkpoint.sequence = store->synced_sequence;
    /* What a start may believe: not what a clock says that has only just been set. */
    store->checkpoint.time = steady_look(&store->clock, clock_realtime_ns(), clock_boot_ns());
    if (epoch > store->checkpoint.epoch)
        store->checkpoint.epoch = epoch;
    int rc = checkpoint_write(store->checkpoint_fd, &store->checkpoint);
    if (rc < 0)
        return error_set(text, rc, "cannot write the checkpoint");
    /* It may be behind, never ahead. How far behind it may be after a power cut is how much of what is
     * durable could be taken for an unconfirmed tail, should it be damaged too. */
    uint64_t now = clock_monotonic_ns();
    if (now - store->checkpoint_synced_ns >= checkpoint_sync_ns) {
        if (fdatasync(store->checkpoint_fd) != 0)
            return error_set_errno(text, "sync", "the checkpoint");
        store->checkpoint_synced_ns = now;
    }
    return HERMES_OK;
}

uint64_t store_first(const struct store *store)
{
    uint64_t floor = atomic_load_explicit(&store->floor, memory_order_relaxed);
    uint64_t first = store->entry_count > 0 ? store->entries[0].base : store->position;
    return first > floor ? first : floor;
}

int store_purge(struct store *store, void (*told)(void *context, uint64_t floor), void *context,
                struct error_text *text)
{
    struct checkpoint next = store->checkpoint;
    next.floor = store->position;
    int rc = checkpoint_write(store->checkpoint_fd, &next);
    if (rc < 0)
        return error_set(text, rc, "cannot write the checkpoint");
    store->checkpoint = next;
    if (fdatasync(store->checkpoint_fd) != 0)
        return error_set_errno(text, "sync", "the checkpoint");
    told(context, next.floor);
    /* Release pairs with the acquire of who searches. */
    atomic_store_explicit(&store->floor, next.floor, memory_order_release);
    return HERMES_OK;
}

/* ---- retention ---- */

static uint64_t created_of(const struct store_entry *entry)
{
    return atomic_load_explicit(&entry->created, memory_order_relaxed);
}

/*
 * When the oldest segment was full, or later: that is when the next one was begun. One that says it was begun
 * in the future was begun before those behind it, and after the one in front of it. UINT64_MAX: not known.
 */
static uint64_t full_since(struct store *store, uint64_t now)
{
    uint64_t begun = store_know(store, 0) ? created_of(&store->entries[0]) : 0;
    for (size_t i = 1; i < store->entry_count; i++) {
        uint64_t next = store_know(store, i) ? created_of(&store->entries[i]) : UINT64_MAX;
        if (next <= now)
            return begun <= now && begun > next ? begun : next;
    }
    return UINT64_MAX;
}

uint64_t store_retires(struct store *store, uint64_t keep_bytes, uint64_t keep_ns)
{
    if (store->entry_count < 2 || (store->entry_count == 2 && store->rolled))
        return 0; /* recovery needs a header that is safe */
    uint64_t next = store->entries[1].base, now = earliest_ns(store);
    if (next <= atomic_load_explicit(&store->floor, memory_order_relaxed))
        return next;
    if (keep_bytes != 0 && store->position - next >= keep_bytes)
        return next;
    if (keep_ns == 0)
        return 0;
    uint64_t since = full_since(store, now);
    return since <= now && now - since > keep_ns ? next : 0;
}

int store_retire(struct store *store, struct error_text *text)
{
    /* Nobody shall look for it once it is gone. */
    struct segment_list *list = segment_list_make(store->entries + 1, store->entry_count - 1);
    if (list == NULL)
        return error_set(text, HERMES_ENOMEM, "a list of %zu segments", store->entry_count - 1);
    segments_publish(&store->segments, list);
    char name[SEGMENT_NAME_BYTES];
    index_name(store->entries[0].base, name);
    unlinkat(store->directory, name, 0);
    segment_name(store->entries[0].base, name);
    if (unlinkat(store->directory, name, 0) != 0 && errno != ENOENT)
        return error_set_errno(text, "delete segment", name);
    /* A power cut must not undo this and keep a later one: that would be a hole. */
    if (fsync(store->directory) != 0)
        return error_set_errno(text, "sync the directory of segment", name);
    store->entry_count--;
    memmove(&store->entries[0], &store->entries[1], store->entry_count * sizeof store->entries[0]);
    return HERMES_OK;
}

void store_close(struct store *store)
{
    if (store->next_fd >= 0)
        segment_discard(store->directory, last_end(store));
    index_end(&store->index);
    int *const descriptors[] = {&store->next_fd, &store->previous_fd, &store->fd, &store->checkpoint_fd,
                                &store->directory};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
    segments_publish(&store->segments, NULL);
    free(store->stage);
    free(store->entries);
    store->stage = NULL;
    store->entries = NULL;
    store->entry_count = store->entry_room = 0;
}

/* "<20 digits>.<something>", as the store names its files. */
static bool is_ours(const char *name)
{
    static const char *const endings[] = {".log", ".idx", ".log.new"};
    if (strcmp(name, "checkpoint") == 0)
        return true;
    if (strspn(name, "0123456789") != 20)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (strcmp(name + 20, endings[i]) == 0)
            return true;
    size_t length = strlen(name);
    return name[20] == '.' && strspn(name, "0123456789.") + 3 == length &&
           strcmp(name + length - 4, ".cut") == 0;
}

int store_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return error_from_errno(errno);
    struct dirent *item;
    int rc = HERMES_OK;
    while ((item = readdir(directory)) != NULL)
        if (is_ours(item->d_name) && unlinkat(dirfd(directory), item->d_name, 0) != 0 && errno != ENOENT)
            rc = error_from_errno(errno);
    closedir(directory);
    return rc;
}
