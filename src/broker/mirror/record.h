/*
 * What a copy must not forget: whose log it is, and the latest of its source's epochs that it was told of,
 * before it has a byte of it. A file of 64 bytes.
 *
 *     offset  size
 *     0       4     magic "HMIR"
 *     4       2     version 1
 *     6       2     0
 *     8       8     id of the source's topic
 *     16      4     epoch
 *     20      40    0
 *     60      4     CRC-32 of bytes 0 to 59
 */
#ifndef BROKER_MIRROR_RECORD_H
#define BROKER_MIRROR_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct mirror_record {
    uint64_t topic_id; /* 0: none was heard of yet */
    uint32_t epoch;
};

/* Makes the file, or reads it. May wait for a disk, as the next. */
int mirror_record_open(const char *path, int *fd, struct mirror_record *record, struct error_text *text);

/* safe: on the disk when this returns. */
int mirror_record_write(int fd, const struct mirror_record *record, bool safe, struct error_text *text);

#endif
