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
#include "base/standard.h"
#include "hermes/message.h"
#include "log/frames.h"
#include "log/tail.h"

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

/* The newest header that can be read. */
static int newest_header(struct store *store, struct segment_header *header, struct error_text *text)
{
    int rc = HERMES_ECORRUPT;
    for (size_t i = store->entry_count; rc < 0 && i-- > 0;) {
        int fd;
        if ((rc = store_open_segment(store, i, O_RDONLY, &fd, text)) < 0)
            continue;
        rc = segment_read_header(fd, header);
        close(fd);
    }
    return rc < 0 ? error_set(text, tail_damage(rc), "no segment has a header") : HERMES_OK;
}

/* A reader takes size and topic from there. */
static int learn(struct store *store, struct error_text *text)
{
    struct segment_header header;
    int rc = newest_header(store, &header, text);
    if (rc < 0)
        return rc;
    store->segment_bytes = header.size;
    store->topic_id = header.topic_id;
    return HERMES_OK;
}

/* All that follows counts in segments of one size: another must not look like damage. */
static int check_size(struct store *store, struct error_text *text)
{
    struct segment_header header;
    struct error_text ignored;
    if (store->read_only || store->entry_count == 0 || newest_header(store, &header, &ignored) < 0 ||
        header.size == store->segment_bytes)
        return HERMES_OK;
    return error_say(text, HERMES_EINVALID,
                     "segments of %" PRIu64 " bytes: those of this log are of %" PRIu64, store->segment_bytes,
                     header.size);
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
        rc = tail_map(store, i, &store->fd, &segment, text);
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
            tail_map(store, i + 1, &fd, &next, text) < 0)
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
        rc = tail_end(store, i, &segment, true, text);
    segment_release(&segment);
    return rc;
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
    tail_index(store);
    rc = tail_distrust(store, text);
    return rc < 0 ? rc : make_durable(store, text);
}

int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text)
{
    struct segment segment;
    size_t i = 0;
    store->position = position;
    store->sequence = sequence;
    /* Nothing, or nothing yet of a copy that begins there (log_jump()). */
    if (store->entry_count == 0 && store->checkpoint.position == 0)
        return store_publish(store, text);
    int rc = tail_find(store, position, &i, text);
    if (rc == 0)
        rc = tail_map(store, i, &store->fd, &segment, text);
    if (rc < 0)
        return rc;
    if (segment.header.base == position && segment.header.first_sequence != sequence)
        rc = error_set(text, HERMES_ECORRUPT, "segment %020" PRIu64 ".log is not of this log", position);
    if (rc == 0)
        rc = tail_end(store, i, &segment, false, text); /* the window has it */
    segment_release(&segment);
    if (rc < 0)
        return rc;
    count_holes(store);
    tail_index(store);
    rc = tail_distrust(store, text);
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
    store->directory = standard_move_above(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (store->directory < 0)
        return error_set_errno(text, "open directory", path);
    int flags = store->read_only ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC;
    store->checkpoint_fd = standard_move_above(openat(store->directory, "checkpoint", flags, 0600));
    int rc = HERMES_OK;
    if (store->checkpoint_fd < 0 && !store->read_only)
        rc = error_set_errno(text, "open the checkpoint in", path);
    if (rc == 0 && store->checkpoint_fd >= 0)
        (void)checkpoint_read(store->checkpoint_fd, &store->checkpoint);
    atomic_store_explicit(&store->floor, store->checkpoint.floor, memory_order_relaxed);
    uint64_t seen = store->checkpoint.generation > 0 ? store->checkpoint.time : clock_realtime_ns();
    steady_start(&store->clock, seen, clock_boot_ns());
    if (rc == 0)
        rc = list_segments(store, text);
    if (rc == 0)
        rc = check_size(store, text);
    if (rc == 0 && mode != STORE_RESUME)
        rc = store_recover(store, text);
    if (rc < 0)
        store_close(store);
    return rc;
}
