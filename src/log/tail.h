/*
 * The last segments of a store, where it is opened or cut back: to make it end where it was found out, or
 * decided, that it ends. For recovery and for store_cut(); nothing here decides.
 */
#ifndef LOG_TAIL_H
#define LOG_TAIL_H

#include "log/store.h"

/* A segment whose header says that it is none: of a store, HERMES_ECORRUPT. */
int tail_damage(int error);

/* Opens and maps segment i, which must be ours. */
int tail_map(struct store *store, size_t i, int *fd, struct segment *segment, struct error_text *text);

/*
 * The segment in which the log goes on at position: the last one that begins at or before it, which may be
 * full. HERMES_ECORRUPT: the store does not reach that far.
 */
int tail_find(const struct store *store, uint64_t position, size_t *i, struct error_text *text);

/*
 * Segment i, mapped and open as store->fd, is where the log ends at store->position: nothing may stand behind
 * that. For good, when it returns, before anything is appended. Segments behind it are put aside; so is, if
 * keep, what stands behind in it.
 */
int tail_end(struct store *store, size_t i, const struct segment *segment, bool keep,
             struct error_text *text);

/* The index of the last segment, up to store->position. */
void tail_index(struct store *store);

/*
 * What a process wrote and did not sync it alone knew. So all that can be unsynced (store.h) counts as that:
 * the last two segments, their names, the checkpoint.
 */
int tail_distrust(struct store *store, struct error_text *text);

/*
 * The same for what a sync failed to write: the kernel marks such pages as clean, and tells of it once,
 * perhaps a process that is dead by now (Rebello et al., "Can Applications Recover from fsync Failures?",
 * USENIX ATC 2020). So what stands from there to the end of the log is written once more, as the page cache
 * has it, before the next sync.
 */
int tail_write_again(struct store *store, uint64_t from, struct error_text *text);

#endif
