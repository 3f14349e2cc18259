/*
 * Checking stored frames: header, CRC, sequence, one after the other. What is damaged is told as a range of
 * positions, and checking goes on at the next frame that is certainly one.
 *
 * It works on stretches that begin at a multiple of the window's capacity and are at most that long: no
 * frame crosses such a boundary, so damage never spreads beyond it. They are read, not mapped: a file that
 * somebody cuts short meanwhile is an error, not a signal.
 */
#ifndef LOG_VERIFY_H
#define LOG_VERIFY_H

#include "log/segment.h"

struct verify {
    uint64_t capacity;        /* of the window: the length of a stretch */
    uint64_t segment_bytes;   /* a segment begins at each multiple of them */
    uint64_t end;             /* of the log */
    uint64_t position;        /* of the next frame */
    uint64_t sequence;        /* of the next DATA; 0: not known */
    uint64_t messages, bytes; /* that were right */
    uint64_t damaged;         /* ranges */
    void (*damage)(void *context, uint64_t from, uint64_t to, int error);
    void *context;
};

/* Frames from verify->position on, which stand at data; bytes: up to the boundary or the end of the log. */
void verify_frames(struct verify *verify, const uint8_t *data, size_t bytes);

/*
 * The frames of the segment file fd from verify->position to until, or to the segment's end. buffer has room
 * for a stretch. Where frames are damaged that is told and counted, and HERMES_OK; where the file itself is
 * (fd -1: it is gone, HERMES_ENOTFOUND) it is an error, one damaged range, and verify->position is where the
 * next segment begins.
 */
int verify_segment(struct verify *verify, int fd, uint64_t until, uint8_t *buffer, struct error_text *text);

#endif
