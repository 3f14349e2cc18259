/*
 * The store: the directory with a topic's segments and its checkpoint. One process appends; others
 * map segments read-only. Appends are pwrite, because syncing the same mapped page again and again
 * costs twice as much; reading is a mapping.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/checkpoint.h"
#include "core/segment.h"

enum {
    STORE_SEGMENT_DEFAULT = 64 * 1024 * 1024,
    STORE_SEGMENT_MIN = 1024 * 1024,
    STORE_PATH_MAX = 4096,
};

struct store_entry {
    uint64_t base;
    uint64_t first_sequence;
    uint64_t first_timestamp; /* of the first DATA; 0: not looked at yet */
    uint64_t created;         /* when it was opened, which is when the one before it was full */
};

struct store {
    int directory;
    int checkpoint_fd;
    int fd; /* of the last segment; -1: none yet */
    uint64_t segment_bytes;
    uint64_t topic_id;
    uint64_t position; /* next byte to append */
    uint64_t sequence; /* of the next DATA */
    struct checkpoint checkpoint;
    bool read_only;
    bool dirty;                    /* written, not yet synced */
    uint64_t cut_bytes;            /* that recovery put aside */
    uint64_t checkpoint_synced_ns; /* monotonic */
    struct store_entry *entries;
    size_t entry_count;
    size_t entry_room;
};

enum store_mode {
    STORE_WRITE,
    STORE_RESUME, /* a window survived the last owner: what its store lacks will be written again */
    STORE_READ,
};

/*
 * Opens or makes <path>/. Recovers: walks the frames behind the checkpoint while CRC and sequence
 * hold, ends the log at the first that does not, and zeroes what stands behind it, so that nothing
 * stale can ever follow a new frame. What is zeroed was never confirmed, but is not thrown away either:
 * it is put aside in <position>.cut (store->cut_bytes), unless STORE_RESUME. HERMES_ECORRUPT: something below
 * the checkpoint is damaged; nothing was changed. STORE_READ changes nothing, finds the end in the same way,
 * and takes segment size and topic from what is there.
 */
int store_open(struct store *store, const char *path, uint64_t segment_bytes, uint64_t topic_id,
               enum store_mode mode, struct error_text *text);

/* The end that recovery found may lie before what a surviving window proves: go on there. */
int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text);

/* Appends whole frames that stand at store->position; next_sequence is that of the DATA behind them.
 * Rolls to a new segment at its boundary. Nothing is half done after an error but the position. */
int store_append(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                 uint32_t epoch, struct error_text *text);

/* fdatasync, then the checkpoint. A failure is final for what was written before it. */
int store_sync(struct store *store, uint32_t epoch, struct error_text *text);

enum store_key { STORE_BY_POSITION = 0, STORE_BY_SEQUENCE = 1, STORE_BY_TIME = 2 };

/* The segment in which a search for that position, sequence or time must begin: its descriptor, opened
 * read-only. HERMES_ENOTFOUND: no segment; HERMES_EGONE: a position before the first. */
int store_find(struct store *store, enum store_key key, uint64_t value, int *fd, struct error_text *text);

uint64_t store_first(const struct store *store);

/*
 * Retention: is the oldest segment to go, when at least keep_bytes (0: all) and all that is younger than
 * the time oldest_ns (0: all) are kept? Never the last one. Where the next segment begins; 0: it stays.
 */
uint64_t store_retires(const struct store *store, uint64_t keep_bytes, uint64_t oldest_ns);

/* Deletes the oldest segment, for good before anything else is. Who has it mapped keeps it. */
int store_retire(struct store *store, struct error_text *text);

void store_close(struct store *store);

/* Deletes segments and checkpoint of a closed store; leaves other files alone. */
int store_remove(const char *path);

#endif
