#include "log/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/standard.h"
#include "hermes/message.h"
#include "log/frames.h"

enum { CUTS_MAX = 999, CUT_NAME_BYTES = 40 };

int tail_damage(int error)
{
    return error == HERMES_EMALFORMED || error == HERMES_ECHECKSUM ? HERMES_ECORRUPT : error;
}

int tail_map(struct store *store, size_t i, int *fd, struct segment *segment, struct error_text *text)
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
    return error_set(text, tail_damage(rc), "header of segment %020" PRIu64 ".log", base);
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
static int choose_cut_name(const struct store *store, uint64_t position, char name[CUT_NAME_BYTES],
                           struct error_text *text)
{
    snprintf(name, CUT_NAME_BYTES, "%020" PRIu64 ".cut", position);
    for (int n = 1; n <= CUTS_MAX; n++) {
        if (faccessat(store->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            return HERMES_OK;
        snprintf(name, CUT_NAME_BYTES, "%020" PRIu64 ".%d.cut", position, n);
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
    char name[CUT_NAME_BYTES];
    int rc = choose_cut_name(store, store->position, name, text);
    if (rc < 0)
        return rc;
    int fd = standard_move_above(
        openat(store->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
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
    char name[SEGMENT_NAME_BYTES], cut[CUT_NAME_BYTES];
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

int tail_end(struct store *store, size_t i, const struct segment *segment, bool keep, struct error_text *text)
{
    uint64_t remains = find_remains(store, segment);
    int rc = HERMES_OK;
    if (keep && remains > store->position)
        rc = put_aside(store, segment, remains, text);
    while (rc == 0 && store->entry_count > i + 1) {
        rc = put_segment_aside(store, store->entry_count - 1, text);
        store->entry_count -= rc == 0;
        if (rc == 0 && fsync(store->directory) != 0) /* one after the other: never a hole */
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

/* What is missing of it is damage. What is there is safe from here on, and nothing waits for the rest. */
static int settle_short(struct store *store, struct error_text *text)
{
    struct stat status;
    if (fstat(store->previous_fd, &status) == 0 &&
        (uint64_t)status.st_size >= SEGMENT_HEADER_BYTES + store->segment_bytes)
        return HERMES_OK;
    store->cut_short = true;
    int rc = fdatasync(store->previous_fd) == 0 ? HERMES_OK : error_set_errno(text, "sync", "the store");
    close(store->previous_fd);
    store->previous_fd = -1;
    return rc;
}

int tail_distrust(struct store *store, struct error_text *text)
{
    size_t last = store->entry_count - 1;
    store->dirty = store->rolled = true;
    store->checkpoint_synced_ns = 0;
    if (last == 0 || store->entries[last - 1].base + store->segment_bytes != store->entries[last].base)
        return HERMES_OK;
    int rc = store_open_segment(store, last - 1, O_RDWR, &store->previous_fd, text);
    return rc < 0 ? rc : settle_short(store, text);
}

/* Bytes [from, to) of a file over themselves. */
static int write_over(int fd, uint64_t from, uint64_t to, struct error_text *text)
{
    uint8_t bytes[65536];
    while (from < to) {
        size_t length = to - from < sizeof bytes ? (size_t)(to - from) : sizeof bytes;
        ssize_t got = pread(fd, bytes, length, (off_t)from);
        if (got == 0) /* cut short: what is missing is damage */
            return HERMES_OK;
        if (got < 0 || segment_write(fd, bytes, (size_t)got, from) != 0)
            return error_set_errno(text, "write again", "what was not synced");
        from += (uint64_t)got;
    }
    return HERMES_OK;
}

int tail_write_again(struct store *store, uint64_t from, struct error_text *text)
{
    int rc = HERMES_OK;
    for (size_t i = 0; i < store->entry_count && rc == 0; i++) {
        uint64_t base = store->entries[i].base, end = base + store->segment_bytes;
        int fd;
        if (end <= from || base >= store->position)
            continue;
        rc = store_open_segment(store, i, O_RDWR, &fd, text);
        if (rc < 0)
            return rc;
        uint64_t begin = from > base ? SEGMENT_HEADER_BYTES + (from - base) : 0;
        end = store->position < end ? store->position : end;
        rc = write_over(fd, begin, SEGMENT_HEADER_BYTES + (end - base), text);
        close(fd);
    }
    return rc;
}

/* Raises *latest to the greatest time stamp of segment i. Whether its index knows of those in front of it; if
 * not, the segment is read, and *budget is what may still be. */
static bool look_back(struct store *store, size_t i, uint64_t *budget, uint64_t *latest)
{
    struct segment segment;
    struct error_text ignored;
    int fd;
    if (tail_map(store, i, &fd, &segment, &ignored) < 0)
        return false; /* nobody reads a message in it */
    /* Those between it and the next one that is there may be missing. */
    uint64_t base = segment.header.base, end = base + segment.header.size, from = base;
    end = store->entries[i + 1].base < end ? store->entries[i + 1].base : end;
    struct index_entry entry;
    bool known = index_last(store->directory, base, end, segment.header.created, &entry);
    if (known) {
        from = entry.position;
        *latest = entry.timestamp > *latest ? entry.timestamp : *latest;
    } else if (end - base > *budget) {
        *latest = UINT64_MAX;
        from = end;
    } else {
        *budget -= end - base;
    }
    *latest = index_latest(segment.data + (from - base), (size_t)(end - from), *latest);
    segment_release(&segment);
    close(fd);
    return known;
}

/*
 * The greatest time stamp in front of the last segment, though the indexes of some before it be lost. Of more
 * it is left open: as if there were one that is later than any, which makes searches slow, and never wrong.
 */
static uint64_t latest_before(struct store *store)
{
    const uint64_t most = 256u << 20; /* a start shall not wait for more */
    uint64_t latest = 0, budget = 8 * store->segment_bytes;
    budget = budget < most ? budget : most;
    for (size_t i = store->entry_count - 1; i > 0 && latest != UINT64_MAX; i--)
        if (look_back(store, i - 1, &budget, &latest))
            break;
    return latest;
}

void tail_index(struct store *store)
{
    struct segment segment;
    struct error_text ignored;
    if (segment_map(store->fd, &segment, &ignored) < 0)
        return;
    index_resume(&store->index, store->directory, segment.data, segment.header.base, store->position,
                 segment.header.created, latest_before(store));
    segment_release(&segment);
}

int tail_find(const struct store *store, uint64_t position, size_t *i, struct error_text *text)
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
