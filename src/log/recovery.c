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

#include "base/clock.h"
#include "hermes/message.h"
#include "log/frames.h"

enum { CUTS_MAX = 999 };

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

/* How far a walk has come. */
struct walk {
    uint64_t position, sequence; /* behind the last good frame */
    bool damaged;                /* from there to the end of the segment is damage, not room */
};

/*
 * From frame to frame to where those of a segment end. What is wrong is passed over if there is something
 * good behind it: that is damage, and readers are told. Where nothing was ever written the log ends, whatever
 * stands behind: a sync that is confirmed has left nothing out.
 */
static void walk_segment(const struct segment *segment, struct walk *walk)
{
    struct frames frames = {.data = segment->data,
                            .base = segment->header.base,
                            .end = segment->header.base + segment->header.size,
                            .position = walk->position,
                            .sequence = walk->sequence,
                            .check = FRAME_CHECKSUMS};
    struct frame frame;
    int rc;
    while ((rc = frames_next(&frames, &frame)) != 0 && rc != HERMES_ENOTFOUND) {
        if (rc < 0)
            frames_skip_damage(&frames);
        else
            *walk = (struct walk){.position = frames.position, .sequence = frames.sequence};
    }
    walk->damaged = rc == 0 && walk->position < frames.end;
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

/* "<position>.cut", or "<position>.<n>.cut" where an earlier recovery had to cut at the same place. */
static int choose_cut_name(const struct store *store, uint64_t position, char name[SEGMENT_NAME_BYTES],
                           struct error_text *text)
{
    snprintf(name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".cut", position);
    for (int n = 1; n <= CUTS_MAX; n++) {
        if (faccessat(store->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            return HERMES_OK;
        snprintf(name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".%d.cut", position, n);
    }
    return error_set(text, HERMES_EEXISTS, "%d files with what was cut at position %" PRIu64, CUTS_MAX,
                     position);
}

/* Keeps them in a file of its own, which is safe before they go. */
static int put_aside(struct store *store, const struct segment *segment, uint64_t end,
                     struct error_text *text)
{
    const uint8_t *remains = segment->data + (store->position - segment->header.base);
    size_t bytes = (size_t)(end - store->position);
    char name[SEGMENT_NAME_BYTES];
    int rc = choose_cut_name(store, store->position, name, text);
    if (rc < 0)
        return rc;
    int fd = openat(store->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && segment_write(fd, remains, bytes, 0) == 0 && fsync(fd) == 0 &&
                   fsync(store->directory) == 0;
    if (!written)
        rc = error_set_errno(text, "put aside what could not be confirmed in", name);
    if (fd >= 0)
        close(fd);
    store->cut_bytes += rc == 0 ? bytes : 0;
    return rc;
}

/* A later segment that never became part of the log: kept under another name if there is anything in it. */
static int put_segment_aside(struct store *store, size_t i, struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES], cut[SEGMENT_NAME_BYTES];
    int fd, rc = choose_cut_name(store, store->entries[i].base, cut, text);
    uint64_t word = 0;
    if (rc < 0)
        return rc;
    segment_name(store->entries[i].base, name);
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

/* Segment i, mapped, is where the log ends now: nothing may stand behind that. keep: what does, and nobody
 * else has it. */
static int end_log(struct store *store, size_t i, const struct segment *segment, bool keep,
                   struct error_text *text)
{
    uint64_t remains = find_remains(store, segment);
    int rc = HERMES_OK;
    if (keep && remains > store->position)
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
    return HERMES_OK;
}

/*
 * What a process wrote and did not sync it alone knew. So all that can be unsynced (store.h) counts as that:
 * the last two segments, their names, the checkpoint.
 */
static int distrust(struct store *store, struct error_text *text)
{
    size_t last = store->entry_count - 1;
    store->dirty = store->rolled = true;
    store->checkpoint_synced_ns = 0;
    return last > 0 && store->entries[last - 1].base + store->segment_bytes == store->entries[last].base
               ? store_open_segment(store, last - 1, O_RDWR, &store->previous_fd, text)
               : HERMES_OK;
}

/* Where a walk has to begin: everything before that is safe. */
static int choose_start(const struct store *store, size_t *first, struct walk *walk, struct error_text *text)
{
    const struct checkpoint *mark = &store->checkpoint;
    const struct store_entry *last = &store->entries[store->entry_count - 1];
    uint64_t end = last->base + store->segment_bytes;
    if (mark->position > end)
        return error_set(text, HERMES_ECORRUPT,
                         "the checkpoint confirms position %" PRIu64 " but the last segment ends at %" PRIu64
                         ": segments are missing",
                         mark->position, end);
    *first = store->entry_count - 1;
    if (*first > 0 && last[-1].base + store->segment_bytes == last->base &&
        (mark->generation == 0 || mark->position <= last->base))
        --*first;
    bool marked = mark->generation > 0 && mark->position >= store->entries[*first].base;
    *walk = (struct walk){.position = marked ? mark->position : store->entries[*first].base,
                          .sequence = marked ? mark->sequence : 0};
    return HERMES_OK;
}

/* Does the walk go on in that segment? Behind damage only if there is a good frame. */
static bool walk_over(const struct segment *next, struct walk *walk)
{
    uint64_t sequence = next->header.first_sequence;
    struct walk ahead = {.position = next->header.base, .sequence = sequence};
    if (walk->damaged ? sequence < walk->sequence : sequence != walk->sequence)
        return false;
    walk_segment(next, &ahead);
    if (walk->damaged && ahead.position == next->header.base)
        return false;
    *walk = ahead;
    return true;
}

static int find_end(struct store *store, struct error_text *text)
{
    size_t i = 0;
    struct walk walk;
    struct segment segment, next;
    int fd, rc = choose_start(store, &i, &walk, text);
    if (rc == 0)
        rc = map_segment(store, i, &store->fd, &segment, text);
    if (rc < 0)
        return rc;
    uint64_t first_sequence = segment.header.first_sequence;
    if (walk.sequence == 0)
        walk.sequence = first_sequence;
    if (walk.position == segment.header.base && walk.sequence != first_sequence)
        rc = error_set(text, HERMES_ECORRUPT, "segment %020" PRIu64 ".log is not of this log", walk.position);
    if (rc == 0)
        walk_segment(&segment, &walk);
    for (; rc == 0 && i + 1 < store->entry_count; i++) {
        if ((!walk.damaged && walk.position < segment.header.base + segment.header.size) ||
            map_segment(store, i + 1, &fd, &next, text) < 0)
            break; /* the end, or a roll that a power cut undid */
        bool over = walk_over(&next, &walk);
        segment_release(over ? &segment : &next);
        close(over ? store->fd : fd);
        if (!over)
            break;
        segment = next;
        store->fd = fd;
    }
    store->position = walk.position;
    store->sequence = walk.sequence;
    if (rc == 0 && store->read_only)
        store->entry_count = i + 1;
    else if (rc == 0)
        rc = end_log(store, i, &segment, true, text);
    segment_release(&segment);
    return rc;
}

/* The index of the last segment, up to store->position. */
static void resume_index(struct store *store)
{
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
                 segment.header.created, before);
    segment_release(&segment);
}

static void count_holes(struct store *store)
{
    store->holes = 0;
    for (size_t i = 1; i < store->entry_count; i++)
        store->holes += store->entries[i].base != store->entries[i - 1].base + store->segment_bytes;
}

/* What was found is what the log says is durable, so it must be. */
static int make_durable(struct store *store, struct error_text *text)
{
    if (store->checkpoint.generation > 0 && store->checkpoint.position == store->position)
        return HERMES_OK;
    int rc = store_sync(store, text);
    if (rc == 0)
        rc = store_checkpoint(store, 0, text);
    return rc == HERMES_EFULL ? HERMES_OK : rc;
}

int store_recover(struct store *store, struct error_text *text)
{
    int rc = HERMES_OK;
    if (store->entry_count == 0 && store->checkpoint.position > 0)
        rc = error_set(text, HERMES_ECORRUPT,
                       "the checkpoint confirms position %" PRIu64 " but there is no segment",
                       store->checkpoint.position);
    if (rc < 0)
        return rc;
    if (store->entry_count == 0)
        return store_publish(store, text);
    if (store->read_only && (rc = learn(store, text)) < 0)
        return rc;
    if ((rc = find_end(store, text)) < 0)
        return rc;
    count_holes(store);
    if ((rc = store_publish(store, text)) < 0 || store->read_only)
        return rc;
    resume_index(store);
    rc = distrust(store, text);
    return rc < 0 ? rc : make_durable(store, text);
}

/* The segment in which the log goes on at position: the last one that begins at or before it, unless that is
 * full and there is none behind it. */
static int find_tail(const struct store *store, uint64_t position, size_t *i, struct error_text *text)
{
    size_t n = store->entry_count;
    while (n > 0 && store->entries[n - 1].base > position)
        n--;
    uint64_t end = n == 0 ? 0 : store->entries[n - 1].base + store->segment_bytes;
    if (n == 0 || position > end || position % HERMES_FRAME_ALIGNMENT != 0)
        return error_set(text, HERMES_ECORRUPT,
                         "the store ends at %" PRIu64 ", the window says %" PRIu64 " was stored", end,
                         position);
    *i = n - 1;
    return HERMES_OK;
}

int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text)
{
    struct segment segment;
    size_t i = 0;
    store->position = position;
    store->sequence = sequence;
    if (store->entry_count == 0 && position == 0)
        return store_publish(store, text);
    int rc = find_tail(store, position, &i, text);
    if (rc == 0)
        rc = map_segment(store, i, &store->fd, &segment, text);
    if (rc < 0)
        return rc;
    if (segment.header.base == position && segment.header.first_sequence != sequence)
        rc = error_set(text, HERMES_ECORRUPT, "segment %020" PRIu64 ".log is not of this log", position);
    if (rc == 0)
        rc = end_log(store, i, &segment, false, text); /* the window has it */
    segment_release(&segment);
    if (rc < 0)
        return rc;
    count_holes(store);
    resume_index(store);
    rc = distrust(store, text);
    return rc < 0 ? rc : store_publish(store, text);
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
                            .segments = {.lock = PTHREAD_MUTEX_INITIALIZER},
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
    if (rc == 0 && store->checkpoint_fd >= 0)
        (void)checkpoint_read(store->checkpoint_fd, &store->checkpoint);
    uint64_t seen = store->checkpoint.generation > 0 ? store->checkpoint.time : clock_realtime_ns();
    steady_start(&store->clock, seen, clock_boot_ns());
    if (rc == 0)
        rc = list_segments(store, text);
    if (rc == 0 && mode != STORE_RESUME)
        rc = store_recover(store, text);
    if (rc < 0)
        store_close(store);
    return rc;
}
