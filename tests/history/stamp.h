/* What each message carries: who sent it, which one it is, and the proof that it is whole. */
#ifndef HISTORY_STAMP_H
#define HISTORY_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stamp {
    char magic[4]; /* "HIST" */
    uint32_t publisher;
    uint32_t run; /* of its programs, which is this? */
    uint32_t length;
    uint64_t number; /* 1, 2, 3 ... in its run; one that was not published has a number too */
    uint32_t crc;    /* of the whole payload, with 0 here */
    uint32_t reserved;
};

/* Fills a payload of at least sizeof(struct stamp) bytes. */
void stamp_write(void *payload, size_t length, uint32_t publisher, uint32_t run, uint64_t number);

/* false: torn, or nobody's of ours. */
bool stamp_read(const void *payload, size_t length, struct stamp *stamp);

#endif
