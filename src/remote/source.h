/*
 * An embedded log, for who sends it: how far it goes, as a reader sees it, and any bytes of it, out of the
 * window or the store. In the writer's process, by another thread if one likes.
 */
#ifndef REMOTE_SOURCE_H
#define REMOTE_SOURCE_H

#include "log/log.h"
#include "log/reader.h"

enum { SOURCE_STAGE_BYTES = 64 * 1024 };

struct source {
    struct log *log;
    struct reader tail;
    /* What was last read of the store. */
    int fd; /* of a segment; -1: none */
    uint64_t base, segment_bytes;
    uint64_t staged, staged_end;
    uint8_t *stage;
};

/* Knows the log to its end. The log stays until source_close(). HERMES_ENOMEM, or as reader_open(). */
int source_open(struct source *source, struct log *log);
void source_close(struct source *source);

/* Moves on with the log; true: there may be more. */
bool source_follow(struct source *source);

/* Of the first frame that exists; behind the last that is known. */
uint64_t source_first(const struct source *source);
static inline uint64_t source_end(const struct source *source)
{
    return source->tail.position;
}

/* As mirror_source.bytes and mirror_source.epoch_end; context: the source. */
bool source_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first);
uint64_t source_epoch_end(void *context, uint32_t epoch);

/* Where the current epoch begins. */
uint64_t source_epoch_position(const struct source *source);

#endif
