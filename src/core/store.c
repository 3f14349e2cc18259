#include "core/store.h"

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
#include "core/window.h"

static const uint64_t checkpoint_sync_ns = 1000000000;

static int add_entry(struct store *store, struct store_entry entry)
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

static int compare_bases(const void *a, const void *b)
{
    uint64_t x = ((const struct store_entry *)a)->base, y = ((const struct store_entry *)b)->base;
    return (x > y) - (x < y);
}

static int open_segment(const struct store *store, uint64_t base, int flags, int *fd, struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(base, name);
    *fd = openat(store->directory, name, flags | O_CLOEXEC | O_NOFOLLOW);
    return *fd < 0 ? error_set_errno(text, "open segment", name) : HERMES_OK;
}

/* Lists the segments, oldest first, and reads each one's header: they must follow one another. */
static int list_segments(struct store *store, struct error_text *text)
{
    int copy = openat(store->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL) {
        if (copy >= 0)
            close(copy);
        return error_set_errno(text, "list", "the store");
    }
    int rc = HERMES_OK;
    struct dirent *item;
    while (rc == 0 && (item = readdir(directory)) != NULL) {
        struct store_entry entry = {0};
        size_t length = strlen(item->d_name);
        if (segment_name_parse(item->d_name, &entry.base) == 0)
            rc = add_entry(store, entry);
        else if (length > 8 && strcmp(item->d_name + length - 8, ".log.new") == 0 && !store->read_only)
            unlinkat(store->directory, item->d_name, 0); /* a roll that did not finish */
    }
    closedir(directory);
    if (rc < 0)
        return error_set(text, rc, "listing segments");
    if (store->entry_count > 0)
        qsort(store->entries, store->entry_count, sizeof store->entries[0], compare_bases);

    for (size_t i = 0; i < store->entry_count; i++) {
        struct segment_header header;
        int fd;
        if ((rc = open_segment(store, store->entries[i].base, O_RDONLY, &fd, text)) < 0)
            return rc;
        ssize_t got = pread(fd, &header, sizeof header, 0);
        close(fd);
        rc = got == (ssize_t)sizeof header ? segment_header_check(&header) : HERMES_EMALFORMED;
        if (rc == 0 && i == 0 && store->read_only) {
            store->segment_bytes = header.size;
            store->topic_id = header.topic_id;
        }
        if (rc == 0 && (header.base != store->entries[i].base || header.topic_id != store->topic_id))
            rc = HERMES_ECORRUPT;
        if (rc == 0 && header.size != store->segment_bytes)
            rc = HERMES_EINVALID;
        if (rc == 0 && i > 0 && header.base != store->entries[i - 1].base + store->segment_bytes)
            rc = HERMES_ECORRUPT;
        if (rc < 0)
            return error_set(text, rc, "header of segment %020" PRIu64 ".log", store->entries[i].base);
        store->entries[i].first_sequence = header.first_sequence;
        store->entries[i].created = header.created;
    }
    return HERMES_OK;
}

/* Makes [position, end of segment) read as zeros and keep its room. */
static int zero_tail(const struct store *store, uint64_t offset)
{
    off_t from = (off_t)(SEGMENT_HEADER_BYTES + offset), length = (off_t)(store->segment_bytes - offset);
    if (length == 0 || fallocate(store->fd, FALLOC_FL_ZERO_RANGE, from, length) == 0)
        return HERMES_OK;
    if (fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, length) != 0)
        return error_from_errno(errno);
    return error_from_errno(posix_fallocate(store->fd, from, length));
}

static int write_all(int fd, const uint8_t *bytes, size_t count, uint64_t offset);

/* Keeps what stands behind the end of the log, from offset on, in a file of its own. */
static int put_aside(struct store *store, const struct segment *segment, uint64_t position,
                     struct error_text *text)
{
    uint64_t offset = position - segment->header.base, end = segment->header.size;
    /* Unwritten room is a hole: nothing has to be read to know that it is empty. */
    off_t data = lseek(store->fd, (off_t)(SEGMENT_HEADER_BYTES + offset), SEEK_DATA);
    if (data < 0)
        return HERMES_OK;
    static const uint8_t zeros[4096];
    while (end - offset >= sizeof zeros &&
           memcmp(segment->data + end - sizeof zeros, zeros, sizeof zeros) == 0)
        end -= sizeof zeros;
    while (end > offset && segment->data[end - 1] == 0)
        end--;
    if (end == offset)
        return HERMES_OK;
    char name[SEGMENT_NAME_BYTES];
    snprintf(name, sizeof name, "%020" PRIu64 ".cut", position);
    int fd = openat(store->directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written =
        fd >= 0 && write_all(fd, segment->data + offset, (size_t)(end - offset), 0) == 0 && fsync(fd) == 0;
    int rc = written ? HERMES_OK : error_set_errno(text, "put aside what could not be confirmed in", name);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        store->cut_bytes = end - offset;
    return rc;
}

static int recover(struct store *store, enum store_mode mode, struct error_text *text)
{
    const struct store_entry *last = &store->entries[store->entry_count - 1];
    int rc = open_segment(store, last->base, store->read_only ? O_RDONLY : O_RDWR, &store->fd, text);
    if (rc < 0)
        return rc;
    struct segment segment;
    if ((rc = segment_map(store->fd, &segment, text)) < 0)
        return rc;

    uint64_t position = last->base, sequence = last->first_sequence;
    uint64_t end = last->base + store->segment_bytes;
    const struct checkpoint *mark = &store->checkpoint;
    if (mark->position > end) {
        segment_release(&segment);
        return error_set(text, HERMES_ECORRUPT,
                         "the checkpoint confirms position %" PRIu64 " but the last segment ends at %" PRIu64
                         ": segments are missing",
                         mark->position, end);
    }
    if (mark->generation > 0 && mark->position >= position) {
        position = mark->position;
        sequence = mark->sequence;
    }
    while (position < end) {
        const uint8_t *frame = segment.data + (position - last->base);
        hermes_header_t header;
        memcpy(&header, frame, sizeof header);
        size_t room = (size_t)(end - position);
        if (header.magic == 0 || hermes_message_verify(&header, frame + HERMES_HEADER_BYTES, room) < 0 ||
            header.sequence != sequence || hermes_frame_bytes(header.length) > room)
            break;
        position += hermes_frame_bytes(header.length);
        if (header.type == HERMES_TYPE_DATA)
            sequence++;
    }
    store->position = position;
    store->sequence = sequence;
    if (mode == STORE_WRITE)
        rc = put_aside(store, &segment, position, text);
    segment_release(&segment);
    if (rc < 0 || store->read_only)
        return rc;
    if ((rc = zero_tail(store, position - last->base)) < 0)
        return error_set(text, rc, "cannot clear what stands behind position %" PRIu64, position);
    store->dirty = true;
    return HERMES_OK;
}

int store_open(struct store *store, const char *path, uint64_t segment_bytes, uint64_t topic_id,
               enum store_mode mode, struct error_text *text)
{
    *store = (struct store){.directory = -1,
                            .checkpoint_fd = -1,
                            .fd = -1,
                            .segment_bytes = segment_bytes,
                            .topic_id = topic_id,
                            .sequence = 1,
                            .read_only = mode == STORE_READ};
    if (!store->read_only && mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set_errno(text, "create directory", path);
    store->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory < 0)
        return error_set_errno(text, "open directory", path);
    int flags = store->read_only ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC;
    store->checkpoint_fd = openat(store->directory, "checkpoint", flags, 0600);
    int rc = HERMES_OK;
    if (store->checkpoint_fd < 0 && !store->read_only)
        rc = error_set_errno(text, "open the checkpoint in", path);
    if (rc == 0) {
        if (store->checkpoint_fd >= 0)
            (void)checkpoint_read(store->checkpoint_fd, &store->checkpoint);
        rc = list_segments(store, text);
    }
    if (rc == 0 && store->entry_count > 0)
        rc = recover(store, mode, text);
    else if (rc == 0 && store->checkpoint.position > 0)
        rc = error_set(text, HERMES_ECORRUPT,
                       "the checkpoint in %s confirms position %" PRIu64 " but there is no segment", path,
                       store->checkpoint.position);
    if (rc < 0)
        store_close(store);
    return rc;
}

int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text)
{
    if (position > store->position)
        return error_set(text, HERMES_ECORRUPT,
                         "the store ends at %" PRIu64 ", the window says %" PRIu64 " was stored",
                         store->position, position);
    store->position = position;
    store->sequence = sequence;
    return HERMES_OK;
}

static int roll(struct store *store, uint32_t epoch, struct error_text *text)
{
    /* What the old segment holds must be safe before the new one exists: recovery reads the last only. */
    if (store->fd >= 0) {
        store->checkpoint_synced_ns = 0; /* the checkpoint too: below the new segment nothing is a tail */
        int rc = store_sync(store, epoch, text);
        if (rc < 0)
            return rc;
    }
    struct segment_header header = {
        .base = store->position,
        .first_sequence = store->sequence,
        .created = clock_realtime_ns(),
        .size = store->segment_bytes,
        .topic_id = store->topic_id,
        .epoch = epoch,
    };
    header.base -= header.base % store->segment_bytes;
    segment_header_finish(&header);
    int fd;
    int rc = add_entry(store, (struct store_entry){header.base, store->sequence, 0, header.created});
    if (rc < 0)
        return error_set(text, rc, "a new segment");
    if ((rc = segment_create(store->directory, &header, &fd, text)) < 0) {
        store->entry_count--;
        return rc;
    }
    if (store->fd >= 0)
        close(store->fd);
    store->fd = fd;
    return HERMES_OK;
}

static int write_all(int fd, const uint8_t *bytes, size_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t written = pwrite(fd, bytes, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int store_append(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                 uint32_t epoch, struct error_text *text)
{
    const struct store_entry *last = store->entry_count > 0 ? &store->entries[store->entry_count - 1] : NULL;
    if (last == NULL || store->position >= last->base + store->segment_bytes) {
        int rc = roll(store, epoch, text);
        if (rc < 0)
            return rc;
        last = &store->entries[store->entry_count - 1];
    }
    uint64_t offset = store->position - last->base;
    if (offset + bytes > store->segment_bytes)
        return error_set(text, HERMES_EINVALID, "frames cross a segment boundary");
    if (write_all(store->fd, frames, bytes, SEGMENT_HEADER_BYTES + offset) != 0)
        return error_set_errno(text, "write to", "the store");
    store->position += bytes;
    store->sequence = next_sequence;
    store->dirty = true;
    return HERMES_OK;
}

int store_sync(struct store *store, uint32_t epoch, struct error_text *text)
{
    if (store->dirty && store->fd >= 0 && fdatasync(store->fd) != 0)
        return error_set_errno(text, "sync", "the store");
    /* What goes to a file that has no name any more, or was cut short under us, is not stored. */
    struct stat status;
    if (store->fd >= 0 && (fstat(store->fd, &status) != 0 || status.st_nlink == 0 ||
                           (uint64_t)status.st_size < SEGMENT_HEADER_BYTES + store->segment_bytes))
        return error_set(text, HERMES_ECORRUPT,
                         "segment %020" PRIu64 ".log was deleted or cut short by somebody else",
                         store->entries[store->entry_count - 1].base);
    store->dirty = false;
    store->checkpoint.position = store->position;
    store->checkpoint.sequence = store->sequence;
    store->checkpoint.time = clock_realtime_ns();
    if (epoch > store->checkpoint.epoch)
        store->checkpoint.epoch = epoch;
    if (checkpoint_write(store->checkpoint_fd, &store->checkpoint) < 0)
        return error_set_errno(text, "write", "the checkpoint");
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

/* The time stamp of the first message of a segment; 0 where it has none yet. */
static uint64_t first_timestamp(struct store *store, struct store_entry *entry)
{
    int fd;
    struct error_text ignored;
    if (entry->first_timestamp != 0 || open_segment(store, entry->base, O_RDONLY, &fd, &ignored) < 0)
        return entry->first_timestamp;
    hermes_header_t header;
    uint64_t offset = SEGMENT_HEADER_BYTES;
    /* Frames other than DATA may come first; one page of them is more than any writer leaves. */
    for (int i = 0; i < 64; i++) {
        if (pread(fd, &header, sizeof header, (off_t)offset) != (ssize_t)sizeof header ||
            header.magic != HERMES_MAGIC || header.length > HERMES_PAYLOAD_MAX)
            break;
        if (header.type == HERMES_TYPE_DATA) {
            entry->first_timestamp = header.timestamp;
            break;
        }
        offset += hermes_frame_bytes(header.length);
    }
    close(fd);
    return entry->first_timestamp;
}

int store_find(struct store *store, enum store_key key, uint64_t value, int *fd, struct error_text *text)
{
    if (store->entry_count == 0)
        return error_set(text, HERMES_ENOTFOUND, "the store is empty");
    if (key == STORE_BY_POSITION && value < store->entries[0].base)
        return error_set(text, HERMES_EGONE, "position %" PRIu64 " is gone; the first is %" PRIu64, value,
                         store->entries[0].base);
    /* The last segment that begins at or before the value; the first where none does. */
    size_t low = 0, high = store->entry_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        struct store_entry *entry = &store->entries[middle];
        uint64_t begins = key == STORE_BY_POSITION   ? entry->base
                          : key == STORE_BY_SEQUENCE ? entry->first_sequence
                                                     : first_timestamp(store, entry);
        /* Equal times may span a boundary: the first of them is wanted, so begin before it. */
        if (key == STORE_BY_TIME ? begins != 0 && begins < value : begins <= value)
            low = middle;
        else
            high = middle;
    }
    return open_segment(store, store->entries[low].base, O_RDONLY, fd, text);
}

uint64_t store_first(const struct store *store)
{
    return store->entry_count > 0 ? store->entries[0].base : store->position;
}

uint64_t store_retires(const struct store *store, uint64_t keep_bytes, uint64_t oldest_ns)
{
    if (store->entry_count < 2)
        return 0;
    const struct store_entry *next = &store->entries[1];
    bool by_bytes = keep_bytes != 0 && store->position - next->base >= keep_bytes;
    bool by_age = oldest_ns != 0 && next->created < oldest_ns;
    return by_bytes || by_age ? next->base : 0;
}

int store_retire(struct store *store, struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES];
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
    if (store->fd >= 0)
        close(store->fd);
    if (store->checkpoint_fd >= 0)
        close(store->checkpoint_fd);
    if (store->directory >= 0)
        close(store->directory);
    free(store->entries);
    *store = (struct store){.directory = -1, .checkpoint_fd = -1, .fd = -1};
}

int store_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return error_from_errno(errno);
    struct dirent *item;
    uint64_t base;
    while ((item = readdir(directory)) != NULL) {
        bool cut = strspn(item->d_name, "0123456789") == 20 && strcmp(item->d_name + 20, ".cut") == 0;
        if (cut || segment_name_parse(item->d_name, &base) == 0 || strcmp(item->d_name, "checkpoint") == 0)
            unlinkat(dirfd(directory), item->d_name, 0);
    }
    closedir(directory);
    return HERMES_OK;
}
