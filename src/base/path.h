/* Where things live: the directory in shared memory that belongs to a directory on disk. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { PATH_BYTES = 4096, SHM_PATH_BYTES = 128 };

/* FNV-1a, 64 bits (Fowler, Noll, Vo): names, not security. */
uint64_t path_hash(const char *text);

/* "/dev/shm/hermes-<uid>-<hash of the real path of directory>", which must exist. */
int path_shm_for(const char *directory, char shm[SHM_PATH_BYTES], struct error_text *text);

/* Makes a directory that only its owner may enter; one that exists must be a real directory, ours, and
 * closed to others: /dev/shm is everybody's, and somebody may have been there first. */
int path_make_private(const char *directory, struct error_text *text);

/* What was made, renamed or deleted in a directory is safe: fsync(2) of it. */
int path_sync(const char *directory, struct error_text *text);
/* The same for the directory that a file is in. */
int path_sync_parent(const char *path, struct error_text *text);

/* "/a/b" to "/a" to "/"; false: path was "/", or is not absolute. */
bool path_go_up(char *path);

/* mkdir -p, mode 0700; what it makes is safe. */
int path_make_parents(const char *directory, struct error_text *text);

/* Removes the files whose names begin with prefix; the directory itself if it is empty then. */
void path_sweep(const char *directory, const char *prefix);

#endif
