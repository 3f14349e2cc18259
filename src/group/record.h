/*
 * A group's record on disk: where it stands, and what was in flight. Enough to go on after a power cut with
 * nothing lost and nothing repeated but what was done since the record was written.
 *
 * File, little-endian: a header of 320 bytes, then 16 bytes for each message that was claimed or available.
 * docs/reference/storage.md has the offsets. Written beside the old record and renamed over it, so that one
 * of the two is always whole. (Its name ends in '~', which no group's name does.)
 */
#ifndef GROUP_RECORD_H
#define GROUP_RECORD_H

#include "base/error.h"
#include "group/group.h"

enum { GROUP_RECORD_HEADER_BYTES = 320, GROUP_RECORD_VERSION = 2 };

/* ENTRY_DONE: at or above the cursor, which may be an older one than claims are. */
enum group_entry_state { ENTRY_AVAILABLE = 0, ENTRY_DEAD = 1, ENTRY_DONE = 2 };

struct group_record_entry {
    uint64_t position;
    uint32_t deliveries;
    uint32_t state; /* enum group_entry_state: what was claimed is available again */
};

struct group_record {
    uint64_t topic_id;
    uint64_t page_id;
    uint64_t floor, cursor, cursor_sequence;
    uint64_t lease_ns;
    uint32_t slots; /* 0: a durable subscription */
    uint32_t max_deliveries;
    uint32_t uid; /* whose it is */
    uint32_t count;
    uint64_t redelivered, expired, dead, lost;
    uint64_t lost_through; /* the sequence up to which losses are in `lost` */
    uint32_t generation;   /* the latest that a line of the page was given */
    uint32_t made;         /* which of the groups that had the name, one after the other; 0: not known */
    uint64_t last, known;  /* of a durable subscription: of its line (group.h) */
    char dead_letter[GROUP_DEAD_LETTER_BYTES]; /* "": none */
    struct group_record_entry *entries;        /* in the order of positions; malloc()ed */
    uint32_t room;
};

/* What the page says now, into *record: floor, cursor, counters and entries. Members may go on meanwhile:
 * what is neither an entry nor at or above the cursor is done. After the page's state was stored (seq_cst) as
 * another than GROUP_OPEN, whatever a member was told is done is so in the record, too: its swap, after which
 * it loads the state, came before (group.h). HERMES_ENOMEM. */
int group_record_take(struct group_record *record, struct group_page *page, uint64_t mask);

/* Does the page speak of nothing at or above that position? Of a log that nobody writes. */
bool group_page_fits(struct group_page *page, uint64_t mask, uint64_t end);

/*
 * Into a fresh page. Nothing at or above the end exists, whatever the record says: the log may have lost more
 * than the record knows. What was given out as often as the settings allow is not given out again: it counts
 * as dead, for the dead-letter topic, or done without one.
 */
void group_record_restore(const struct group_record *record, struct group_page *page, uint64_t mask,
                          struct group_place end);

bool group_record_equal(const struct group_record *a, const struct group_record *b);

/* On disk when it returns. HERMES_EFULL and others: the file that was there before is as it was. */
int group_record_write(const struct group_record *record, const char *path, struct error_text *text);

/* Fills in *record; group_record_release() it. HERMES_EMALFORMED, HERMES_EVERSION, HERMES_ECHECKSUM. */
int group_record_read(struct group_record *record, const char *path, struct error_text *text);

/* The same of bytes in memory. */
int group_record_decode(struct group_record *record, const uint8_t *bytes, size_t size);

void group_record_release(struct group_record *record);

#endif
