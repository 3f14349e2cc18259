/*
 * The broker's directory in shared memory, /dev/shm/hermes-<uid>-<hash of the data directory>. What is in it
 * outlives a broker that is killed, for the next one; so somebody must know whose it is, and that it is still
 * there:
 *
 *     .home    the data directory that it belongs to, and the file system that this is on
 *
 * A broker holds a lock on the directory as long as it runs; systemd-tmpfiles, too, leaves alone what is
 * locked so (tmpfiles.d(5)). Other cleaners remove it all the same: the broker notices, says so, and makes it
 * anew.
 */
#ifndef BROKER_SHM_H
#define BROKER_SHM_H

#include <stdbool.h>

#include "base/path.h"

struct shm {
    char path[SHM_PATH_BYTES];
    char home[PATH_BYTES]; /* the data directory's real path */
    int fd;                /* of the directory, locked; -1: none */
};

/* Makes the directory, or takes up the one that a former broker left. HERMES_EACCESS: it is not ours alone;
 * HERMES_EBUSY: another process holds it. */
int shm_open_directory(struct shm *shm, const char *data, struct error_text *text);

/* Is it still there? Else it is made anew, and what was in it will not survive a crash of ours: *lost. Costs
 * one system call. */
int shm_check(struct shm *shm, bool *lost, struct error_text *text);

/* The same, and tells the operator. */
void shm_look(struct shm *shm);

/* Removes the directory if nothing is in it but what is ours. */
void shm_close_directory(struct shm *shm);

/*
 * Removes what brokers of this user left that were killed, and whose data directories are gone for good: no
 * lock, and the file system that the data directory was on is there, without it. (Another one in its place:
 * it may be mounted later.) Looks at a bounded number of directories; tells of each that it removes. Returns
 * how many.
 */
unsigned shm_sweep_homeless(const char *root);

#endif
