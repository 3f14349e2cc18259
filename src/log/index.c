#include "log/index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/standard.h"
#include "log/frames.h"

void index_name(uint64_t base, char name[INDEX_NAME_BYTES])
{
    snprintf(name, INDEX_NAME_BYTES, "%020" PRIu64 ".idx", base);
}

static uint32_t entry_crc(const struct index_entry *entry)
{
    return crc32_update(0, entry, offsetof(struct index_entry, crc));
}

void index_begin(struct index_writer *writer, int directory, uint64_t base, uint64_t segment_bytes,
                 uint64_t created)
{
    char name[INDEX_NAME_BYTES];
    index_name(base, name);
    index_end(writer);
    writer->fd = standard_move_above(
        openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    writer->created = (uint32_t)created;
    writer->base = base;
    writer->next = 0;
    off_t size = (off_t)(segment_bytes / INDEX_STRIDE * sizeof(struct index_entry));
    if (writer->fd >= 0 && posix_fallocate(writer->fd, 0, size) != 0)
        index_end(writer); /* no room: then without */
}

void index_end(struct index_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = -1;
}

static void write_entries(struct index_writer *writer, const struct index_entry *entries, size_t count)
{
    size_t bytes = count * sizeof *entries;
    off_t offset = (off_t)(writer->next * sizeof *entries);
    writer->next += count;
    if (writer->fd >= 0 && bytes > 0 && pwrite(writer->fd, entries, bytes, offset) != (ssize_t)bytes)
        index_end(writer);
}

/* The next frame that is right, by its header. false: there is none. */
static bool next_frame(struct frames *frames, struct frame *frame)
{
    int rc;
    while ((rc = frames_next(frames, frame)) < 0)
        frames_skip_damage(frames);
    return rc > 0;
}

static uint64_t later_of(const hermes_header_t *header, uint64_t timestamp)
{
    return header->type == HERMES_TYPE_DATA && header->timestamp > timestamp ? header->timestamp : timestamp;
}

void index_marks_begin(struct index_marks *marks, const struct index_writer *writer)
{
    marks->due = writer->base + writer->next * INDEX_STRIDE;
    marks->latest = writer->timestamp;
    marks->count = 0;
}

void index_mark_due(struct index_marks *marks, const struct frame *frame)
{
    for (; frame->position >= marks->due && marks->count < INDEX_MARKS_MOST; marks->due += INDEX_STRIDE)
        marks->entries[marks->count++] = (struct index_entry){
            .position = frame->position, .sequence = frame->header.sequence, .timestamp = marks->latest};
}

void index_add(struct index_writer *writer, struct index_marks *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        marks->entries[i].created = writer->created;
        marks->entries[i].crc = entry_crc(&marks->entries[i]);
    }
    write_entries(writer, marks->entries, marks->count);
    writer->timestamp = marks->latest;
    marks->count = 0;
}

void index_add_frames(struct index_writer *writer, const uint8_t *data, size_t bytes, uint64_t position)
{
    struct frames frames = {.data = data, .base = position, .end = position + bytes, .position = position};
    struct frame frame;
    struct index_marks marks;
    index_marks_begin(&marks, writer);
    while (next_frame(&frames, &frame)) {
        for (; frame.position >= marks.due;
             index_add(writer, &marks)) /* damage may be larger than the marks */
            index_mark_due(&marks, &frame);
        index_mark(&marks, &frame);
    }
    index_add(writer, &marks);
}

uint64_t index_latest(const uint8_t *data, size_t bytes, uint64_t timestamp)
{
    struct frames frames = {.data = data, .end = bytes};
    struct frame frame;
    while (next_frame(&frames, &frame))
        timestamp = later_of(&frame.header, timestamp);
    return timestamp;
}

/* Entry n of that index, if it is one, and about a frame not behind position. */
static bool read_entry(int fd, uint64_t base, uint64_t position, uint64_t created, uint64_t n,
                       struct index_entry *entry)
{
    return pread(fd, entry, sizeof *entry, (off_t)(n * sizeof *entry)) == (ssize_t)sizeof *entry &&
           entry->crc == entry_crc(entry) && entry->created == (uint32_t)created &&
           entry->position >= base + n * INDEX_STRIDE && entry->position <= position &&
           entry->position % HERMES_FRAME_ALIGNMENT == 0 && (n > 0 || entry->position == base);
}

static int open_index(int directory, uint64_t base, int flags)
{
    char name[INDEX_NAME_BYTES];
    index_name(base, name);
    return standard_move_above(openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/* How many entries there are where the log ends at position: the last may be missing if a frame crosses it.
 */
static uint64_t entry_count(uint64_t base, uint64_t position)
{
    return (position - base) / INDEX_STRIDE + (position > base && (position - base) % INDEX_STRIDE != 0);
}

static bool last_entry(int fd, uint64_t base, uint64_t position, uint64_t created, struct index_entry *entry,
                       uint64_t *number)
{
    uint64_t n = entry_count(base, position);
    for (int attempts = 4; n > 0 && attempts > 0; n--, attempts--)
        if (read_entry(fd, base, position, created, n - 1, entry)) {
            *number = n - 1;
            return true;
        }
    return false;
}

/* Does something stand behind the last entry? It is about messages that a crash took: it must not come back,
 * with the next one, among entries about those that take their place. */
static bool has_more(const struct index_writer *writer)
{
    struct index_entry entry, none = {0};
    for (uint64_t n = writer->next; pread(writer->fd, &entry, sizeof entry, (off_t)(n * sizeof entry)) > 0;
         n++)
        if (memcmp(&entry, &none, sizeof entry) != 0)
            return true;
    return false;
}

void index_resume(struct index_writer *writer, int directory, const uint8_t *data, uint64_t base,
                  uint64_t position, uint64_t created, uint64_t before)
{
    struct index_entry entry;
    uint64_t number;
    index_end(writer);
    writer->fd = open_index(directory, base, O_RDWR | O_CREAT);
    writer->created = (uint32_t)created;
    writer->base = base;
    if (writer->fd < 0 || !last_entry(writer->fd, base, position, created, &entry, &number)) {
        entry = (struct index_entry){.position = base, .timestamp = before};
        number = 0;
    }
    writer->next = number;
    writer->timestamp = entry.timestamp;
    index_add_frames(writer, data + (entry.position - base), (size_t)(position - entry.position),
                     entry.position);
    if (writer->fd >= 0 && has_more(writer) &&
        (ftruncate(writer->fd, (off_t)(writer->next * sizeof entry)) != 0 || fdatasync(writer->fd) != 0))
        index_end(writer);
}

bool index_last(int directory, uint64_t base, uint64_t position, uint64_t created, struct index_entry *entry)
{
    uint64_t number;
    int fd = open_index(directory, base, O_RDONLY);
    bool found = fd >= 0 && last_entry(fd, base, position, created, entry, &number);
    if (fd >= 0)
        close(fd);
    return found;
}

bool index_find(int directory, uint64_t base, uint64_t position, uint64_t created, bool by_time,
                uint64_t value, struct index_entry *entry)
{
    int fd = open_index(directory, base, O_RDONLY);
    if (fd < 0)
        return false;
    struct index_entry middle;
    uint64_t low = 0, high = entry_count(base, position);
    bool good = read_entry(fd, base, position, created, 0, entry);
    while (good && high - low > 1) {
        uint64_t n = low + (high - low) / 2;
        if (!read_entry(fd, base, position, created, n, &middle)) {
            good = n + 1 == entry_count(base, position); /* a frame crosses it: there is none yet */
            high = n;
        } else if (by_time ? middle.timestamp < value : middle.sequence <= value) {
            low = n;
            *entry = middle;
        } else {
            high = n;
        }
    }
    close(fd);
    return good;
}
