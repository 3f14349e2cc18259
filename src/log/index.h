/*
 * The index: beside a segment <base>.log stands <base>.idx with an entry for each 64 KiB of it. Entry n is
 * about the first frame that begins at or behind base + n * 64 KiB, so entries need no keys, and a search
 * among them is a binary one.
 *
 * It is a hint, and not synced; an entry that a power cut tore is told by its checksum, and then the search
 * goes without. What is indexed of the last segment is put right whenever the store is opened.
 *
 *     0   8   position of that frame
 *     8   8   sequence of the first message at or behind it
 *     16  8   the greatest time stamp of all messages before it, in this segment and those before
 *     24  4   when the segment was made (its header), the lower half
 *     28  4   CRC-32 of the 28 bytes above
 *
 * What is left of another segment that had this name, and was lost, is not mistaken for its own: it was made
 * at another time.
 *
 * The time stamp is a greatest one because clocks step back: the first message that is as late as T stands
 * behind the last entry whose stamp is earlier than T, whatever clocks did.
 */
#ifndef LOG_INDEX_H
#define LOG_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/frames.h"

enum {
    INDEX_STRIDE = 65536,
    INDEX_NAME_BYTES = 32,
    INDEX_MARKS_BYTES = 512 * 1024,
    INDEX_MARKS_MOST = INDEX_MARKS_BYTES / INDEX_STRIDE + 1
};

struct index_entry {
    uint64_t position;
    uint64_t sequence;
    uint64_t timestamp;
    uint32_t created;
    uint32_t crc;
};

_Static_assert(sizeof(struct index_entry) == 32, "index entry is 32 bytes");

struct index_writer {
    int fd; /* -1: there is none; nothing is lost but speed */
    uint32_t created;
    uint64_t base;
    uint64_t next;      /* number of the next entry */
    uint64_t timestamp; /* the greatest of all messages so far */
};

/* "00000000000000000000.idx" */
void index_name(uint64_t base, char name[INDEX_NAME_BYTES]);

/* Begins the index of a new segment; writer->timestamp goes on. */
void index_begin(struct index_writer *writer, int directory, uint64_t base, uint64_t segment_bytes,
                 uint64_t created);

/*
 * What goes into the index about a run of frames, noted by whoever goes over them anyway:
 * index_marks_begin(), index_mark() for each frame in turn, and index_add() once they are stored.
 */
struct index_marks {
    uint64_t due;    /* the first frame from here on is the next to be marked */
    uint64_t latest; /* the greatest time stamp of all messages so far */
    size_t count;
    struct index_entry entries[INDEX_MARKS_MOST];
};

/* For frames that go on where those end that are in the index. */
void index_marks_begin(struct index_marks *marks, const struct index_writer *writer);

/* Out of line: once in 64 KiB. */
void index_mark_due(struct index_marks *marks, const struct frame *frame);

/* INDEX_MARKS_BYTES of frames at most. */
static inline void index_mark(struct index_marks *marks, const struct frame *frame)
{
    if (__builtin_expect(frame->position >= marks->due, 0))
        index_mark_due(marks, frame);
    if (frame->header.timestamp > marks->latest && frame->header.type == HERMES_TYPE_DATA)
        marks->latest = frame->header.timestamp;
}

void index_add(struct index_writer *writer, struct index_marks *marks);

/* All of it, for whole frames that stand from position on, as many as there are; what is damaged among them
 * is passed over. About 2 ns a frame. */
void index_add_frames(struct index_writer *writer, const uint8_t *data, size_t bytes, uint64_t position);

/*
 * Takes up the index of a segment, whose data is mapped, that goes on at position: what is missing or wrong
 * in it is made again. before: the greatest time stamp in front of the segment, should it have to begin anew.
 */
void index_resume(struct index_writer *writer, int directory, const uint8_t *data, uint64_t base,
                  uint64_t position, uint64_t created, uint64_t before);

void index_end(struct index_writer *writer);

/* The greatest of a time stamp and those of all messages among whole frames. */
uint64_t index_latest(const uint8_t *data, size_t bytes, uint64_t timestamp);

/* The last good entry at or before position; false: there is none. */
bool index_last(int directory, uint64_t base, uint64_t position, uint64_t created, struct index_entry *entry);

/*
 * The last entry before the first message with that sequence (by_time: with a time stamp as late as value)
 * among the frames of the segment that end at position. false: no index, or none that can be trusted.
 * About 10 reads of 32 bytes.
 */
bool index_find(int directory, uint64_t base, uint64_t position, uint64_t created, bool by_time,
                uint64_t value, struct index_entry *entry);

#endif
