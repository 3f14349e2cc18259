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

int recover(struct store *store, enum store_mode mode, struct error_text *text);

/* The index of the last segment, up to store->position. */
void recover_index(struct store *store);

#endif
