/*
 * What a store does when it is opened: finds its segments and where the log ends.
 *
 * Recovery begins at the checkpoint, or at the last segment but one if that is later: everything before it is
 * safe (store.h). It walks from frame to frame, over into the last segment, as long as they are whole, and in
 * order. Where they are not, something was lost that was never confirmed, and the log ends.
 */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/store.h"

enum store_mode {
    STORE_WRITE,
    STORE_RESUME, /* a window survived the last owner: what its store lacks will be written again */
    STORE_READ,
};

/*
 * Opens or makes <path>/. Recovers: walks the frames behind the checkpoint while CRC and sequence hold, ends
 * the log at the first that does not, and zeroes what stands behind it, so that nothing stale can ever follow
 * a new frame. What is zeroed was never confirmed, but is not thrown away either: it is put aside in
 * <position>.cut (store->cut_bytes), unless STORE_RESUME. HERMES_ECORRUPT: something below the checkpoint
 * that recovery needs is damaged; nothing was changed. Damage further back is found by who reads there, and
 * does not keep the rest from being read. STORE_READ changes nothing, finds the end in the same way, and
 * takes segment size and topic from what is there.
 */
int store_open(struct store *store, const char *path, uint64_t segment_bytes, uint64_t topic_id,
               enum store_mode mode, struct error_text *text);

/* The end that recovery found may lie before what a surviving window proves: go on there. */
int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text);

#endif
