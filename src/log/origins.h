/*
 * Who published what: how far each publisher that is not on this host has come, in its own count.
 *
 * The sequencer writes an ORIGIN frame before each batch of such a publisher (broker/sequencer.c), so the
 * table is a function of the log. It is brought forward by what is stored, and kept in a file from time to
 * time, so that a start has little to read (D/origins, docs/reference/storage.md):
 *
 *     two slots of ORIGINS_SLOT_BYTES, written in turn; of those with the right CRC the newer one counts
 *     0     4   magic "HORI"
 *     4     2   version 1
 *     6     2   0
 *     8     8   generation
 *     16    8   position of the log up to which this is known
 *     24    4   publishers of epochs up to this one may have been forgotten
 *     28    4   the log's epoch
 *     32    4   publishers that follow, the latest first
 *     36    24  0
 *     60    4   CRC-32 of the publishers, then of bytes 0 to 59
 *     64    32  each: id, its last message, sequence of the log behind that, user, 0
 *
 * What is not known for sure is forgotten: damage where the log is read, a hole in it, a publisher too many.
 *
 * Threads: one that notes and saves, that which stores the log; any that finds.
 */
#ifndef LOG_ORIGINS_H
#define LOG_ORIGINS_H

#include <pthread.h>

#include "log/frames.h"
#include "log/store.h"

enum {
    ORIGINS_KEPT = 1022, /* publishers of a topic; of more those are forgotten that published longest ago */
    ORIGINS_SLOT_BYTES = 32768,
    ORIGINS_STRIDE = 16 * 1024 * 1024, /* of the log, from one saving to the next */
    ORIGIN_FRAME_BYTES = 64,
};

/* The payload of an ORIGIN frame: of the messages behind it, `count` are that publisher's. */
struct origin_mark {
    uint64_t id;    /* of the publisher: never used twice */
    uint64_t first; /* the first one's number, in the publisher's own count */
    uint32_t count;
    uint32_t uid; /* whose publisher it is */
    uint64_t reserved;
};

_Static_assert(sizeof(struct origin_mark) + HERMES_HEADER_BYTES == ORIGIN_FRAME_BYTES, "frame is 64 bytes");

struct origin {
    uint64_t id;
    uint64_t last;   /* its messages up to this one are in the log */
    uint64_t behind; /* that one is the log's message before this; 0: not of this log */
    uint32_t uid;
    uint32_t reserved;
};

_Static_assert(sizeof(struct origin) == 32, "entry is 32 bytes");

struct origins {
    int fd; /* -1: nothing is kept */
    pthread_mutex_t lock;
    struct origin *known; /* the latest first */
    unsigned count, room;
    uint64_t position; /* of the log, up to which the file has it */
    uint64_t generation;
    uint32_t forgotten;
    uint32_t epoch; /* of who saved it */
};

/* What an ORIGIN frame looks like, but for its commit word, which it returns. */
uint64_t origin_fill(uint8_t frame[ORIGIN_FRAME_BYTES], uint64_t sequence, const struct origin_mark *mark);

/* Is that frame one, and as it was written? */
bool origin_read(const struct frame *frame, struct origin_mark *mark);

/* Of a log that keeps none. */
void origins_init(struct origins *origins);

/* Takes up the file, or makes it: HERMES_ENOTFOUND: it says nothing. Another error: nothing is kept. */
int origins_open(struct origins *origins, const char *path);
void origins_close(struct origins *origins);

/* Nobody is known any more, of who published in epochs up to that one, up to position. */
void origins_forget(struct origins *origins, uint64_t position, uint32_t epoch);

/* Goes over frames that are stored by now. What is wrong among them: all is forgotten, of epochs up to that
 * one. */
void origins_note(struct origins *origins, struct frames frames, uint32_t epoch);

/* The same from where the file has it to the end of the store. */
void origins_follow(struct origins *origins, const struct store *store, uint32_t epoch);

/* The log ends before the message of that sequence, though it be in the middle of a batch. true: so it was.
 */
bool origins_end(struct origins *origins, uint64_t sequence);

/* Says it of one publisher, in whatever log. */
void origins_set(struct origins *origins, const struct origin *origin, uint32_t epoch);

/* Of one publisher nothing is said any more. */
void origins_drop(struct origins *origins, uint64_t id);

/* Into the file: what is known, up to position. An error: it is as it was. */
int origins_save(struct origins *origins, uint64_t position, uint32_t epoch);

/* HERMES_ENOTFOUND: nothing of it is in the log. HERMES_EGONE: it is not known, or not any more, of a
 * publisher that came in that epoch (0: nobody knows when). */
int origins_find(struct origins *origins, uint64_t id, uint32_t epoch, struct origin *origin);

#endif
