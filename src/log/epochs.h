/*
 * The epochs of a topic, for good: a file with one 64-byte record for each of the latest EPOCHS_KEPT. Its
 * size never changes and its room is taken when it is made, so a full disk does not keep a publisher out.
 *
 *     offset  size
 *     0       4     magic "HEPO"
 *     4       2     version 1
 *     6       2     0
 *     8       4     epoch; its record is number epoch mod EPOCHS_KEPT
 *     12      4     why it ended: enum epoch_end; 0: it is not over
 *     16      32    first position and sequence, end position and sequence
 *     48      8     when this was written, ns since the Unix epoch
 *     56      4     0
 *     60      4     CRC-32 of bytes 0 to 59
 *
 * A number is never used twice in a topic's life: the record of an epoch is on disk before anybody may
 * publish in it. Where records are not synced one by one (a memory topic, which must not wait for a disk),
 * each start takes numbers that none before it can have used.
 */
#ifndef LOG_EPOCHS_H
#define LOG_EPOCHS_H

#include "base/error.h"
#include "log/status.h"

enum { EPOCHS_KEPT = 4096, EPOCHS_A_START = 65536 };

struct epochs {
    int fd;
    bool durable;  /* each record is synced */
    uint32_t last; /* the highest number that may have been used */
};

/* Makes the file, or takes it up. after: a number known to have been used, from elsewhere. On failure
 * epochs->fd is -1. */
int epochs_open(struct epochs *epochs, const char *path, bool durable, uint32_t after,
                struct error_text *text);

/* Writes (and syncs) a record in the place of the one EPOCHS_KEPT before it. */
int epochs_write(struct epochs *epochs, const struct epoch_record *record, struct error_text *text);

/* HERMES_ENOTFOUND: it is older than all that are kept, or damaged. Any thread. */
int epochs_find(const struct epochs *epochs, uint32_t epoch, struct epoch_record *record);

/* The first number of a start: behind the last one, or where records may not all have reached the disk, far
 * enough behind. HERMES_ELIMIT: there is none left; the topic is to be made anew. */
int epochs_next_start(const struct epochs *epochs, uint32_t *epoch, struct error_text *text);

void epochs_close(struct epochs *epochs);

#endif
