/*
 * A segment: one file of a topic's store. A 64-byte header, then the log byte for byte from the base
 * position on. docs/reference/storage.md has the layout; it is written once, when the file is made.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map.h"

enum { SEGMENT_HEADER_BYTES = 64, SEGMENT_VERSION = 1, SEGMENT_NAME_BYTES = 32 };

struct segment_header {
    uint8_t magic[4]; /* "HSEG" */
    uint16_t version;
    uint16_t header_bytes;
    uint64_t base;           /* position of the first byte of the data region */
    uint64_t first_sequence; /* of the first DATA at or after the base */
    uint64_t created;        /* nanoseconds since the epoch */
    uint64_t size;           /* S: bytes of the data region */
    uint64_t topic_id;
    uint32_t epoch;
    uint8_t reserved[8];
    uint32_t crc; /* CRC-32 of bytes 0 to 59 */
} __attribute__((packed));

_Static_assert(sizeof(struct segment_header) == SEGMENT_HEADER_BYTES, "segment header is 64 bytes");

/* Fills in magic, version, header size and CRC; the rest is the caller's. */
void segment_header_finish(struct segment_header *header);

/* HERMES_EMALFORMED, HERMES_EVERSION, HERMES_ECHECKSUM. */
int segment_header_check(const struct segment_header *header);

/* "00000000000000000000.log" */
void segment_name(uint64_t base, char name[SEGMENT_NAME_BYTES]);

/* The base position in a file name, or HERMES_ENAME if it is not a segment's. */
int segment_name_parse(const char *name, uint64_t *base);

/* A segment mapped for reading. data[0] stands at position header.base. */
struct segment {
    struct map map;
    struct segment_header header;
    const uint8_t *data;
};

/* Checks header and size, maps read-only. The descriptor stays the caller's. */
int segment_map(int fd, struct segment *segment, struct error_text *text);
void segment_release(struct segment *segment);

/* Reads and checks the header of a segment file. HERMES_EMALFORMED: it has none. */
int segment_read_header(int fd, struct segment_header *header);

/* Makes and preallocates <directory>/<base>.log.new; *fd is open for writing. HERMES_EFULL before a byte of
 * the log is written, never later. */
int segment_prepare(int directory, uint64_t base, uint64_t size, int *fd, struct error_text *text);

/* Gives a prepared segment its header and its name. Unless it has to be safe at once nothing is synced, and
 * neither is safe before file and directory are. */
int segment_begin(int directory, const struct segment_header *header, int fd, bool safe,
                  struct error_text *text);

/* Writes all of it; -1 and errno if that cannot be. */
int segment_write(int fd, const uint8_t *bytes, size_t count, uint64_t offset);

/* PAD frames from the base of a prepared segment, which is all zeros, up to that position. -1 and errno. */
int segment_pad(int fd, uint64_t base, uint64_t end, uint64_t sequence);

/* Deletes a prepared segment. */
void segment_discard(int directory, uint64_t base);

#endif
