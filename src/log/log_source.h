/*
 * A log, for who sends it in datagrams: what is new of it, as a reader sees it, and any bytes of it that
 * still exist, out of the window or the store.
 *
 * Only what a reader would take is sent: frames that were checked and count, whatever their publisher did
 * meanwhile. So a copy never has more than its source, as long as this machine runs.
 */
#ifndef LOG_LOG_SOURCE_H
#define LOG_LOG_SOURCE_H

#include "log/log.h"
#include "log/reader.h"

enum { LOG_SOURCE_STAGE_BYTES = 64 * 1024 };

struct log_source {
    struct log *log;
    struct reader tail;
    uint64_t first; /* of a frame: nothing before it is sent any more */
    /* What was last read of the store. */
    int fd; /* of a segment; -1: none */
    uint64_t base;
    uint64_t staged, staged_end;
    uint8_t *stage;
};

/* The log stays until log_source_close(). Stands at the log's end. May wait for a disk, as all of these. */
int log_source_open(struct log_source *source, struct log *log);
void log_source_close(struct log_source *source);

/* Moves on with the log, some messages at a time; true: there may be more. Where something is damaged, or was
 * overwritten before it was seen, source->first moves behind it. */
bool log_source_follow(struct log_source *source);

/* To the log's end, without looking at what is in between. */
void log_source_leap(struct log_source *source);

/* All below it is known, and counts. */
static inline uint64_t log_source_end(const struct log_source *source)
{
    return source->tail.position;
}

/* As mirror_source.bytes. */
bool log_source_bytes(struct log_source *source, uint64_t position, uint32_t length, uint8_t *to,
                      uint64_t *first);

/* What is known of an epoch. false: nothing. */
bool log_source_epoch(const struct log_source *source, uint32_t epoch, struct epoch_record *record);

/* Up to where what was written in an epoch is still what the log has; 0: not known. A later epoch may have
 * begun below its end: a log in memory begins anew, a power cut takes what was not stored. latest: the epoch
 * of the log's end. */
uint64_t log_source_epoch_end(const struct log_source *source, uint32_t epoch, uint32_t latest);

#endif
