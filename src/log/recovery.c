#include "log/recovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hermes/message.h"

static int compare_bases(const void *a, const void *b)
{
    uint64_t x = ((const struct store_entry *)a)->base, y = ((const struct store_entry *)b)->base;
    return (x > y) - (x < y);
}

/* Lists the segments, oldest first, by their names. */
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
            rc = store_add(store, entry);
        else if (length > 8 && strcmp(item->d_name + length - 8, ".log.new") == 0 && !store->read_only)
            unlinkat(store->directory, item->d_name, 0); /* one that was made ahead */
    }
    closedir(directory);
    if (rc < 0)
        return error_set(text, rc, "listing segments");
    if (store->entry_count > 0)
        qsort(store->entries, store->entry_count, sizeof store->entries[0], compare_bases);
    return HERMES_OK;
}

/* A reader takes size and topic from the newest header that can be read. */
static int learn(struct store *store, struct error_text *text)
{
    int rc = HERMES_ECORRUPT;
    for (size_t i = store->entry_count; rc < 0 && i-- > 0;) {
        struct segment_header header;
        int fd;
        if ((rc = store_open_segment(store, i, O_RDONLY, &fd, text)) < 0)
            continue;
        rc = segment_read_header(fd, &header);
        close(fd);
        store->segment_bytes = header.size;
        store->topic_id = header.topic_id;
    }
    return rc < 0 ? error_set(text, rc, "no segment has a header") : HERMES_OK;
}

/* Opens and maps segment i, which must be ours. */
static int map_segment(struct store *store, size_t i, int *fd, struct segment *segment,
                       struct error_text *text)
{
    uint64_t base = store->entries[i].base;
    int rc = store_open_segment(store, i, store->read_only ? O_RDONLY : O_RDWR, fd, text);
    if (rc < 0)
        return rc;
    if ((rc = segment_map(*fd, segment, text)) == 0) {
        if (segment->header.base != base || segment->header.topic_id != store->topic_id)
            rc = HERMES_ECORRUPT;
        else if (segment->header.size != store->segment_bytes)
            rc = HERMES_EINVALID;
        if (rc == 0) {
            store->entries[i].first_sequence = segment->header.first_sequence;
            store->entries[i].created = segment->header.created;
            return HERMES_OK;
        }
        segment_release(segment);
    }
    close(*fd);
    *fd = -1;
    return error_set(text, rc, "header of segment %020" PRIu64 ".log", base);
}

/* Goes on while frames are whole and in order. */
static void walk(const struct segment *segment, uint64_t *position, uint64_t *sequence)
{
    uint64_t end = segment->header.base + segment->header.size;
    while (*position < end) {
        const uint8_t *frame = segment->data + (*position - segment->header.base);
        hermes_header_t header;
        memcpy(&header, frame, sizeof header);
        size_t room = (size_t)(end - *position);
        if (header.magic == 0 || hermes_message_verify(&header, frame + HERMES_HEADER_BYTES, room) < 0 ||
            header.sequence != *sequence || hermes_frame_bytes(header.length) > room)
            break;
        *position += hermes_frame_bytes(header.length);
        if (header.type == HERMES_TYPE_DATA)
            ++*sequence;
    }
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

/* Where what stands behind the end of the log ends; that end itself if there is nothing. */
static uint64_t find_remains(const struct store *store, const struct segment *segment)
{
    uint64_t offset = store->position - segment->header.base, end = segment->header.size;
    /* Unwritten room is a hole: nothing has to be read to know that it is empty. */
    if (lseek(store->fd, (off_t)(SEGMENT_HEADER_BYTES + offset), SEEK_DATA) < 0)
        return store->position;
    static const uint8_t zeros[4096];
    while (end - offset >= sizeof zeros &&
           memcmp(segment->data + end - sizeof zeros, zeros, sizeof zeros) == 0)
        end -= sizeof zeros;
    while (end > offset && segment->data[end - 1] == 0)
        end--;
    return segment->header.base + end;
}

/* Keeps them in a file of its own. */
static int put_aside(struct store *store, const struct segment *segment, uint64_t end,
                     struct error_text *text)
{
    const uint8_t *remains = segment->data + (store->position - segment->header.base);
    size_t bytes = (size_t)(end - store->position);
    char name[SEGMENT_NAME_BYTES];
    snprintf(name, sizeof name, "%020" PRIu64 ".cut", store->position);
    int fd = openat(store->directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && segment_write(fd, remains, bytes, 0) == 0 && fsync(fd) == 0;
    int rc = written ? HERMES_OK : error_set_errno(text, "put aside what could not be confirmed in", name);
    if (fd >= 0)
        close(fd);
    store->cut_bytes += rc == 0 ? bytes : 0;
    return rc;
}

/* A later segment that never became part of the log: kept under another name if there is anything in it. */
static int put_segment_aside(struct store *store, size_t i, struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES], cut[SEGMENT_NAME_BYTES];
    int fd;
    uint64_t word = 0;
    segment_name(store->entries[i].base, name);
    snprintf(cut, sizeof cut, "%020" PRIu64 ".cut", store->entries[i].base);
    if (store_open_segment(store, i, O_RDONLY, &fd, text) == 0) {
        if (pread(fd, &word, sizeof word, SEGMENT_HEADER_BYTES) != (ssize_t)sizeof word)
            word = 0;
        close(fd);
    }
    if (word == 0 ? unlinkat(store->directory, name, 0) != 0
                  : renameat(store->directory, name, store->directory, cut) != 0)
        return error_set_errno(text, "put aside segment", name);
    store->cut_bytes += word == 0 ? 0 : store->segment_bytes;
    index_name(store->entries[i].base, name);
    unlinkat(store->directory, name, 0);
    return HERMES_OK;
}

/* Segment i, mapped, is where the log ends now: nothing may stand behind that. */
static int end_log(struct store *store, enum store_mode mode, size_t i, const struct segment *segment,
                   struct error_text *text)
{
    if (mode == STORE_RESUME && i + 1 < store->entry_count)
        return error_set(text, HERMES_ECORRUPT,
                         "position %" PRIu64 " is damaged, and there is more behind it", store->position);
    uint64_t remains = find_remains(store, segment);
    int rc = HERMES_OK;
    if (mode == STORE_WRITE && remains > store->position)
        rc = put_aside(store, segment, remains, text);
    while (rc == 0 && store->entry_count > i + 1) {
        rc = put_segment_aside(store, store->entry_count - 1, text);
        if (rc == 0 && --store->entry_count == i + 1 && fsync(store->directory) != 0)
            rc = error_set_errno(text, "sync", "the directory of the store");
    }
    if (rc < 0)
        return rc;
    if ((rc = zero_tail(store, store->position - segment->header.base)) < 0)
        return error_set(text, rc, "cannot clear what stands behind position %" PRIu64, store->position);
    /* Safe before anything is appended: else the next power cut could bring remains back behind new frames.
     */
    if (remains > store->position && fdatasync(store->fd) != 0)
        return error_set_errno(text, "sync", "the store");
    store->dirty = true;
    return HERMES_OK;
}

static int find_end(struct store *store, enum store_mode mode, struct error_text *text)
{
    const struct checkpoint *mark = &store->checkpoint;
    size_t last = store->entry_count - 1, first = last, i;
    const struct store_entry *entries = store->entries;
    if (last > 0 && entries[last - 1].base + store->segment_bytes == entries[last].base &&
        (mark->generation == 0 || mark->position <= entries[last].base))
        first = last - 1;
    if (mark->position > entries[last].base + store->segment_bytes)
        return error_set(text, HERMES_ECORRUPT,
                         "the checkpoint confirms position %" PRIu64 " but the last segment ends at %" PRIu64
                         ": segments are missing",
                         mark->position, entries[last].base + store->segment_bytes);
    bool marked = mark->generation > 0 && mark->position >= entries[first].base;
    uint64_t position = marked ? mark->position : entries[first].base;
    uint64_t sequence = marked ? mark->sequence : 0;
    struct segment segment;
    for (i = first; i <= last; i++) {
        struct segment next;
        int fd, rc = map_segment(store, i, &fd, &next, text);
        if (rc == 0 && position == next.header.base && sequence != 0 &&
            next.header.first_sequence != sequence) {
            segment_release(&next);
            close(fd);
            rc = error_set(text, HERMES_ECORRUPT, "segment %020" PRIu64 ".log is not of this log", position);
        }
        if (rc < 0 && (i == first || mark->position > entries[i].base)) {
            if (i > first)
                segment_release(&segment);
            return rc;
        }
        if (rc < 0)
            break; /* a roll that a power cut undid */
        if (i > first) {
            segment_release(&segment);
            close(store->fd);
        }
        segment = next;
        store->fd = fd;
        sequence = sequence == 0 ? next.header.first_sequence : sequence;
        walk(&segment, &position, &sequence);
        if (position < segment.header.base + segment.header.size) {
            i++;
            break;
        }
    }
    store->position = position;
    store->sequence = sequence;
    int rc = HERMES_OK;
    if (store->read_only)
        store->entry_count = i;
    else
        rc = end_log(store, mode, i - 1, &segment, text);
    segment_release(&segment);
    return rc;
}

static void recover_index(struct store *store)
{
    if (store->entry_count == 0 || store->read_only)
        return;
    size_t last = store->entry_count - 1;
    struct segment segment, previous;
    struct error_text ignored;
    struct index_entry entry;
    int fd;
    uint64_t before = 0;
    if (last > 0 && map_segment(store, last - 1, &fd, &previous, &ignored) == 0) {
        uint64_t end = store->entries[last].base;
        if (index_last(store->directory, previous.header.base, end, previous.header.created, &entry))
            before = index_latest(previous.data + (entry.position - previous.header.base),
                                  (size_t)(end - entry.position), entry.timestamp);
        segment_release(&previous);
        close(fd);
    }
    if (segment_map(store->fd, &segment, &ignored) < 0)
        return;
    index_resume(&store->index, store->directory, segment.data, segment.header.base, store->position,
                 segment.header.first_sequence, segment.header.created, before);
    segment_release(&segment);
}

static int recover(struct store *store, enum store_mode mode, struct error_text *text)
{
    int rc = list_segments(store, text);
    if (rc == 0 && store->entry_count == 0 && store->checkpoint.position > 0)
        rc = error_set(text, HERMES_ECORRUPT,
                       "the checkpoint confirms position %" PRIu64 " but there is no segment",
                       store->checkpoint.position);
    if (rc < 0 || store->entry_count == 0)
        return rc;
    if (store->read_only && (rc = learn(store, text)) < 0)
        return rc;
    if ((rc = find_end(store, mode, text)) < 0)
        return rc;
    for (size_t i = 1; i < store->entry_count; i++)
        store->holes += store->entries[i].base != store->entries[i - 1].base + store->segment_bytes;
    if (mode == STORE_WRITE)
        recover_index(store); /* STORE_RESUME: once its position is known */
    return HERMES_OK;
}

int store_open(struct store *store, const char *path, uint64_t segment_bytes, uint64_t topic_id,
               enum store_mode mode, struct error_text *text)
{
    *store = (struct store){.directory = -1,
                            .checkpoint_fd = -1,
                            .fd = -1,
                            .previous_fd = -1,
                            .next_fd = -1,
                            .index = {.fd = -1},
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
        rc = recover(store, mode, text);
    }
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
    recover_index(store);
    return HERMES_OK;
}
