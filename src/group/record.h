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

enum { GROUP_RECORD_HEADER_BYTES = 320 };

struct group_record_entry {
    uint64_t position;
    uint32_t deliveries;
    uint32_t dead;
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
    char dead_letter[GROUP_DEAD_LETTER_BYTES]; /* "": none */
    struct group_record_entry *entries;        /* in the order of positions; malloc()ed */
    uint32_t room;
};

/* What the page says now, into *record: floor, cursor, counters and entries. Members may go on meanwhile:
 * what is neither an entry nor at or above the cursor is done. HERMES_ENOMEM. */
int group_record_take(struct group_record *record, struct group_page *page, uint64_t mask);

/* Into a fresh page. Nothing at or above end exists: the log may have lost more than the record knows. */
void group_record_restore(const struct group_record *record, struct group_page *page, uint64_t mask,
                          uint64_t end);

bool group_record_equal(const struct group_record *a, const struct group_record *b);

/* On disk when it returns. HERMES_EFULL and others: the file that was there before is as it was. */
int group_record_write(const struct group_record *record, const char *path, struct error_text *text);

/* Fills in *record; group_record_release() it. HERMES_EMALFORMED, HERMES_EVERSION, HERMES_ECHECKSUM. */
int group_record_read(struct group_record *record, const char *path, struct error_text *text);

/* The same of bytes in memory. */
int group_record_decode(struct group_record *record, const uint8_t *bytes, size_t size);

void group_record_release(struct group_record *record);

#endif
