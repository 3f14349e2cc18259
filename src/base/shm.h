/*
 * A directory in shared memory, /dev/shm/hermes-<uid>-<hash of the data directory>: a broker's, or an
 * embedded log's. What is in it outlives who was killed, for who comes next; so somebody must know whose it
 * is:
 *
 *     .home    the data directory that it belongs to, and the file system that this is on
 *
 * Its owner holds a lock on the directory as long as it runs; systemd-tmpfiles, too, leaves alone what is
 * locked so (tmpfiles.d(5)). Other cleaners remove it all the same: shm_check() notices.
 */
#ifndef BASE_SHM_H
#define BASE_SHM_H

#include <stdbool.h>

#include "base/path.h"

/* What a broker keeps there to be read from outside (counters/page.h), and under which names it is made. */
#define SHM_COUNTERS "broker.counters"
#define SHM_TOLD "clients.told"
#define SHM_NEW_COUNTERS "." SHM_COUNTERS
#define SHM_NEW_TOLD "." SHM_TOLD

struct shm {
    char path[SHM_PATH_BYTES];
    char home[PATH_BYTES]; /* the data directory's real path */
    int fd;                /* of the directory, locked; -1: none */
};

/* Makes the directory, or takes up the one that was left. HERMES_EACCESS: it is not ours alone; HERMES_EBUSY:
 * another process holds it. */
int shm_open_directory(struct shm *shm, const char *data, struct error_text *text);

/* Writes down whose it is. A full /dev/shm is no reason not to serve: should the data directory go, somebody
 * must clean up by hand. */
int shm_tell_home(const struct shm *shm, struct error_text *text);

/* Is it still there? Else it is made anew, and what was in it will not survive a crash of ours: *lost; tell
 * its home again. Costs one system call. */
int shm_check(struct shm *shm, bool *lost, struct error_text *text);

/* Removes the directory if nothing is in it but what is ours. */
void shm_close_directory(struct shm *shm);

/* Is a file of that name there for counters? */
bool shm_is_counters(const char *name);

/* Directory `name` of root was removed; it belonged to home. */
typedef void (*shm_swept_t)(const char *name, const char *home);

/*
 * Removes what processes of this user left that were killed, and whose data directories are gone for good: no
 * lock, and the file system that the data directory was on is there, without it. (Another one in its place:
 * it may be mounted later.) Looks at a bounded number of directories; returns how many it removed, and tells
 * of each (NULL: does not).
 */
unsigned shm_sweep_homeless(const char *root, shm_swept_t swept_one);

#endif
