/*
 * The bytes of a feed: of a file, a pipe or standard input, plain or gzip-compressed (also of several
 * members). They are given as they come: a line that a pipe has delivered does not wait for the next one.
 *
 * A regular file is read as far as it went when it was opened: what is appended meanwhile is not read, and
 * one that becomes shorter is an error.
 */
#ifndef CLI_FEED_SOURCE_H
#define CLI_FEED_SOURCE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/error.h"

enum { SOURCE_READ_BYTES = 65536, SOURCE_ROOM_BYTES = 4 * 65536 };

struct source {
    int fd;
    const volatile sig_atomic_t *stop;
    bool is_file;
    bool has_begun;
    bool is_compressed;
    bool between_members; /* of the gzip file */
    uint64_t size;        /* of a regular file when it was opened; else UINT64_MAX */
    uint64_t read;        /* bytes of the file */
    uint64_t offset;      /* in the feed, decompressed, of the first byte that was not taken */
    size_t begin, end;    /* what is there, in bytes */
    z_stream inflater;
    size_t compressed_end; /* of the first bytes */
    uint8_t compressed[SOURCE_READ_BYTES];
    uint8_t bytes[SOURCE_ROOM_BYTES];
};

/* path: "-" is standard input. *stop: raised by a signal handler, it ends waits; NULL: they last as long as
 * they last. HERMES_ENOTFOUND, HERMES_EACCESS..., with a sentence. Nothing is read yet. */
int source_open(const char *path, const volatile sig_atomic_t *stop, struct source **source,
                struct error_text *text);
void source_close(struct source *source); /* NULL is allowed */

static inline const uint8_t *source_bytes(const struct source *source)
{
    return source->bytes + source->begin;
}

static inline size_t source_available(const struct source *source)
{
    return source->end - source->begin;
}

static inline void source_take(struct source *source, size_t bytes)
{
    source->begin += bytes;
    source->offset += bytes;
}

/*
 * Reads on behind what is there; pointers into it are void afterwards. 1: there is more; 0: that was the end.
 * HERMES_EINTERRUPTED: *stop was raised. HERMES_EIO, HERMES_EMALFORMED (damaged gzip data, a file that
 * became shorter): with a sentence. There must be room: fewer than SOURCE_ROOM_BYTES may be there.
 */
int source_more(struct source *source, struct error_text *text);

/* At the end: is the file longer now than it was when it was opened? */
bool source_has_grown(const struct source *source);

#endif
