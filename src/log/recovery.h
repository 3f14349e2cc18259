/*
 * What a store does when it is opened: finds its segments and where the log ends.
 *
 * Without a window recovery begins at the checkpoint, or at the last segment but one if that is later:
 * everything before it is safe (store.h). It walks from frame to frame, over into the last segment. The log
 * ends
 *   - where nothing was ever written. A sector that a power cut took reads as nothing, and what was confirmed
 * has no such sector: so whatever stands behind was not confirmed;
 *   - where something is wrong and nothing good stands behind.
 * Something wrong with good frames behind it may have been confirmed (a publisher changed a message while it
 * published it, a disk's error): it stays, as damage that readers are told of. So all that was confirmed
 * since the checkpoint, which is synced once a second only, is kept.
 *
 * With a window nothing is guessed: the status page says how far was stored, and that is what there is, right
 * or wrong; the window has the rest.
 *
 * Either way what the last owner had not synced is synced by the first store_sync() at the latest.
 */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/store.h"

enum store_mode {
    STORE_WRITE,  /* there is no window: recovers */
    STORE_RESUME, /* there may be one: store_resume() or store_recover() must follow */
    STORE_READ,   /* changes nothing, finds the end in the same way; size and topic are those of what is there
                   */
};

/*
 * Opens or makes <path>/. HERMES_ECORRUPT: something below the checkpoint that recovery needs is damaged;
 * nothing was changed. Damage further back is found by who reads there, and does not keep the rest from being
 * read.
 */
int store_open(struct store *store, const char *path, uint64_t segment_bytes, uint64_t topic_id,
               enum store_mode mode, struct error_text *text);

/*
 * Finds where the log ends by what is stored, and clears what stands behind it, so that nothing stale can
 * ever follow a new frame. What is cleared was never confirmed, but is not thrown away either: it is put
 * aside in <position>.cut (store->cut_bytes). All that is left is durable then.
 */
int store_recover(struct store *store, struct error_text *text);

/*
 * Goes on where the status page says that the last owner had stored up to, which is in the page cache: the
 * machine did not fail, or the page would be gone. HERMES_ECORRUPT: the store does not reach that far.
 */
int store_resume(struct store *store, uint64_t position, uint64_t sequence, struct error_text *text);

#endif
