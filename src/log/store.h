/*
 * The store: the directory with a topic's segments, their indexes, and its checkpoint. One thread at a time
 * of one process appends; others map segments read-only. Appends are pwrite, because syncing the same mapped
 * page again and again costs twice as much; reading is a mapping.
 *
 * What is safe. A roll syncs nothing: the new segment is made ahead of time, and gets its header and its name
 * when it is needed. The next sync is of both segments and the directory. A roll before that sync comes first
 * would make a third one, and waits for it: so only the last two segments can hold anything that a power cut
 * takes away, and recovery looks at these alone (log/recovery.c).
 */
#ifndef LOG_STORE_H
#define LOG_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/steady.h"
#include "log/checkpoint.h"
#include "log/index.h"
#include "log/segment.h"
#include "log/segments.h"

enum {
    STORE_SEGMENT_DEFAULT = 64 * 1024 * 1024,
    STORE_SEGMENT_MIN = 1024 * 1024,
    STORE_PATH_MAX = 4096,
    STORE_STAGE_BYTES = 512 * 1024,
};

#define STORE_SEGMENT_MAX ((uint64_t)1 << 40)

struct store {
    int directory;
    int checkpoint_fd;
    int fd;          /* of the last segment; -1: none yet */
    int previous_fd; /* of the one before it, if that is not safe yet; else -1 */
    int next_fd;     /* of the one that is made ahead; else -1 */
    bool rolled;     /* the last segment's name is not safe yet */
    bool dirty;      /* written, not yet synced */
    bool read_only;
    uint64_t segment_bytes;
    uint64_t topic_id;
    uint64_t position;        /* next byte to append */
    uint64_t sequence;        /* of the next DATA */
    uint64_t synced_position; /* of the last sync */
    uint64_t synced_sequence;
    struct checkpoint checkpoint;
    uint64_t checkpoint_synced_ns; /* monotonic */
    struct index_writer index;
    uint64_t cut_bytes; /* that recovery put aside */
    size_t holes;       /* places where segments are missing */
    bool cut_short;     /* so is part of the last segment but one */
    struct steady clock;
    uint8_t *stage; /* see store_stage() */

    struct store_entry *entries;
    size_t entry_count;
    size_t entry_room;

    /* For searches by other threads. */
    struct segments segments;
    _Atomic uint64_t searchable; /* position, as it was at the last append */
    _Atomic uint64_t floor;      /* what stands below it was purged: nobody finds it */
};

/* Appends whole frames that stand at store->position; next_sequence is that of the DATA behind them.
 * Rolls to a new segment at its boundary. Nothing is half done after an error but the position. */
int store_append(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                 uint32_t epoch, struct error_text *text);

/* Of a store that has nothing yet: what comes first stands at that position, and has that sequence. What is
 * before it in its segment is filled with PAD frames when that is made. */
void store_begin_at(struct store *store, uint64_t position, uint64_t sequence);

/* The same for who goes over the frames anyway, and marks them for the index: begun with store_begin_marks().
 */
int store_append_marked(struct store *store, const void *frames, size_t bytes, uint64_t next_sequence,
                        uint32_t epoch, struct index_marks *marks, struct error_text *text);
void store_begin_marks(const struct store *store, struct index_marks *marks);

/* Makes store->stage, STORE_STAGE_BYTES for what is to be appended, if it is not there yet. */
int store_stage(struct store *store, struct error_text *text);

/* Makes the next segment ahead, once the last one is half full. HERMES_EFULL: later, perhaps. */
int store_prepare(struct store *store, struct error_text *text);

/* fdatasync of all that was appended. A failure is final for it. */
int store_sync(struct store *store, struct error_text *text);

/* Notes in the checkpoint how far the last sync went: recovery begins there. It may be behind, never ahead.
 */
int store_checkpoint(struct store *store, uint32_t epoch, struct error_text *text);

/*
 * Takes back what stands behind position, which is that of a frame or of the end, and not below visible: what
 * nobody was shown, in no case what somebody was told is confirmed. Store, index and checkpoint go back, for
 * good when it returns; after a crash in the middle the log ends somewhere between position and where it
 * ended. Appending goes on there. HERMES_EINVALID, HERMES_ENOTFOUND: no such position; nothing was changed.
 * Any other error: as after a crash, and the store is to be opened anew.
 */
int store_cut(struct store *store, uint64_t position, uint64_t visible, struct error_text *text);

enum store_key { STORE_BY_POSITION = 0, STORE_BY_SEQUENCE = 1, STORE_BY_TIME = 2 };

/* Where a search begins: a segment, and in it a frame at or before what is searched for. */
struct store_place {
    int fd; /* opened read-only; the caller's */
    uint64_t position;
    uint64_t sequence; /* of the first DATA from there on; 0: not known */
    bool indexed;      /* it is at most INDEX_STRIDE and a frame behind position */
};

/*
 * Any thread, as long as the store is open; it opens and reads files, and waits for nothing else.
 *
 * Where to search for that position, for the message with that sequence, or for the first one with a time
 * stamp as late as value. A few dozen reads at most, however much is stored. HERMES_ENOTFOUND: there is no
 * such segment; HERMES_EGONE: a position before the first.
 */
int store_find(struct store *store, enum store_key key, uint64_t value, struct store_place *place,
               struct error_text *text);

uint64_t store_first(const struct store *store);

/*
 * Everything that was appended, and is synced, is to be found no more, for good when it returns: a floor in
 * the checkpoint. store_retires() then names the segments that lie below it. Positions and sequences go on.
 * An error: HERMES_EFULL, nothing was changed; another: it is not known whether that is so after a crash.
 * told is called in between: the floor is for good, and searches do not know of it yet.
 */
int store_purge(struct store *store, void (*told)(void *context, uint64_t floor), void *context,
                struct error_text *text);

/*
 * Retention: is the oldest segment to go, when at least keep_bytes (0: all) and all that is younger than
 * keep_ns (0: all) are kept, or when all of it was purged? Never the last one. Where the next segment begins;
 * 0: it stays. Steps of the wall clock do not make anything older (base/steady.h).
 */
uint64_t store_retires(struct store *store, uint64_t keep_bytes, uint64_t keep_ns);

/* Deletes the oldest segment, for good before anything else is. Who has it mapped keeps it. */
int store_retire(struct store *store, struct error_text *text);

/* A segment more, behind the others; and all of them, for searches. */
int store_add(struct store *store, struct store_entry entry);
int store_publish(struct store *store, struct error_text *text);

/* Reads the header of segment i, once. false: it cannot be read, or is of another store. */
bool store_know(struct store *store, size_t i);

/* Opens segment i. */
int store_open_segment(const struct store *store, size_t i, int flags, int *fd, struct error_text *text);

void store_close(struct store *store);

/* Deletes segments, indexes and checkpoint of a closed store; leaves other files alone. An error: of one that
 * stays; the others are gone. HERMES_ENOTFOUND: there is no such directory. */
int store_remove(const char *path);

#endif
