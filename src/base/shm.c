#include "base/shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/standard.h"

static const char home_file[] = ".home";
enum { TRIES = 10, SWEPT_MOST = 64, DEVICE_DIGITS = 20 };

bool shm_is_counters(const char *name)
{
    return strcmp(name, SHM_COUNTERS) == 0 || strcmp(name, SHM_TOLD) == 0 ||
           strcmp(name, SHM_NEW_COUNTERS) == 0 || strcmp(name, SHM_NEW_TOLD) == 0;
}

/* ---- whose it is ---- */

/* "<device> <path>": the path may hold anything but a zero. */
static int write_home(const struct shm *shm, struct error_text *text)
{
    struct stat status;
    char bytes[DEVICE_DIGITS + 1 + PATH_BYTES];
    if (stat(shm->home, &status) != 0)
        return error_set_errno(text, "find", shm->home);
    int used = snprintf(bytes, sizeof bytes, "%" PRIu64 " %s", (uint64_t)status.st_dev, shm->home);
    int fd = openat(shm->fd, home_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(text, "create a file in", shm->path);
    errno = ENOSPC; /* for a write that is short */
    int rc = write(fd, bytes, (size_t)used) == used ? HERMES_OK
                                                    : error_set_errno(text, "write a file in", shm->path);
    close(fd);
    return rc;
}

static bool read_home(int directory, uint64_t *device, char home[PATH_BYTES])
{
    char bytes[DEVICE_DIGITS + 1 + PATH_BYTES], *end;
    int fd = openat(directory, home_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof bytes - 1);
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return false;
    bytes[got] = 0;
    *device = strtoull(bytes, &end, 10);
    if (end == bytes || end[0] != ' ' || end[1] != '/' || strlen(end + 1) >= PATH_BYTES)
        return false;
    strcpy(home, end + 1);
    return true;
}

int shm_tell_home(const struct shm *shm, struct error_text *text)
{
    char home[PATH_BYTES];
    uint64_t device;
    if (read_home(shm->fd, &device, home) && strcmp(home, shm->home) == 0)
        return HERMES_OK;
    return write_home(shm, text);
}

/* ---- one's own ---- */

/* A directory of that name, locked. One that is removed between its opening and its locking is not the one.
 */
static int open_locked(struct shm *shm, struct error_text *text)
{
    for (int i = 0; i < TRIES; i++) {
        int rc = path_make_private(shm->path, text);
        if (rc < 0)
            return rc;
        struct stat ours;
        int fd = standard_move_above(open(shm->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return error_set_errno(text, "open", shm->path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && ours.st_nlink > 0) {
            shm->fd = fd;
            return HERMES_OK;
        }
        close(fd);
    }
    return error_say(text, HERMES_EBUSY, "another process holds %s", shm->path);
}

int shm_open_directory(struct shm *shm, const char *data, struct error_text *text)
{
    shm->fd = -1;
    char *real = realpath(data, NULL);
    if (real == NULL)
        return error_set_errno(text, "find", data);
    int used = snprintf(shm->home, sizeof shm->home, "%s", real);
    free(real);
    if (used >= (int)sizeof shm->home)
        return error_set(text, HERMES_ETOOLARGE, "path %.64s...", data);
    int rc = path_shm_for(data, shm->path, text);
    return rc < 0 ? rc : open_locked(shm, text);
}

int shm_check(struct shm *shm, bool *lost, struct error_text *text)
{
    struct stat status;
    *lost = fstat(shm->fd, &status) != 0 || status.st_nlink == 0;
    if (!*lost)
        return HERMES_OK;
    struct shm fresh = *shm;
    int rc = open_locked(&fresh, text);
    if (rc < 0)
        return rc;
    close(shm->fd);
    shm->fd = fresh.fd; /* the rest is read by workers, and stays as it is */
    return HERMES_OK;
}

/* What is in the directory; the descriptor stays the caller's. */
static DIR *open_entries(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL && copy >= 0)
        close(copy);
    return directory;
}

/* True also where nobody can tell. */
static bool has_more_than_its_home(int fd)
{
    bool more = false;
    DIR *directory = open_entries(fd);
    struct dirent *item;
    if (directory == NULL)
        return true;
    while (!more && (item = readdir(directory)) != NULL)
        more = strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 &&
               strcmp(item->d_name, home_file) != 0;
    closedir(directory);
    return more;
}

void shm_close_directory(struct shm *shm)
{
    if (shm->fd < 0)
        return;
    /* What is left is for who comes next, or for a sweep: either goes by whose it is. */
    if (!has_more_than_its_home(shm->fd)) {
        unlinkat(shm->fd, home_file, 0);
        (void)rmdir(shm->path);
    }
    close(shm->fd);
    shm->fd = -1;
}

/* ---- others' ---- */

/* Gone for good: not there, while the file system that it was on is. */
static bool is_gone(const char *home, uint64_t device)
{
    char path[PATH_BYTES];
    struct stat status;
    snprintf(path, sizeof path, "%s", home);
    if (lstat(path, &status) == 0 || errno != ENOENT)
        return false;
    while (path_go_up(path)) {
        if (lstat(path, &status) == 0)
            return (uint64_t)status.st_dev == device;
        if (errno != ENOENT)
            return false;
    }
    return false;
}

/* What a broker makes, "<16 hexadecimal digits>.<something>" and its counters, and an embedded log,
 * "log.<something>". */
static bool is_ours(const char *name)
{
    return (strspn(name, "0123456789abcdef") == 16 && name[16] == '.') || strncmp(name, "log.", 4) == 0 ||
           shm_is_counters(name);
}

static bool is_left_by_us(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 0077) == 0 &&
           status.st_nlink > 0;
}

/* False: there is something in it that is not Hermes's. */
static bool remove_files(int fd)
{
    bool all = true;
    DIR *directory = open_entries(fd);
    struct dirent *item;
    if (directory == NULL)
        return false;
    while ((item = readdir(directory)) != NULL) {
        const char *name = item->d_name;
        if (is_ours(name))
            all &= unlinkat(fd, name, 0) == 0;
        else
            all &= strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, home_file) == 0;
    }
    closedir(directory);
    return all && unlinkat(fd, home_file, 0) == 0;
}

static bool is_homeless(int fd, char home[PATH_BYTES])
{
    uint64_t device;
    return is_left_by_us(fd) && read_home(fd, &device, home) && is_gone(home, device);
}

/* Under the directory's lock: who opens it meanwhile waits, or finds that it is not the one. One that has a
 * home is not locked at all: its broker may start at this moment. */
static bool sweep_one(int root, const char *name, shm_swept_t swept_one)
{
    char home[PATH_BYTES];
    int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool swept = is_homeless(fd, home) && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_homeless(fd, home);
    swept = swept && remove_files(fd) && unlinkat(root, name, AT_REMOVEDIR) == 0;
    if (swept && swept_one != NULL)
        swept_one(name, home);
    close(fd);
    return swept;
}

unsigned shm_sweep_homeless(const char *root, shm_swept_t swept_one)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "hermes-%u-", (unsigned)geteuid());
    DIR *directory = opendir(root);
    struct dirent *item;
    unsigned looked = 0, swept = 0;
    while (directory != NULL && looked < SWEPT_MOST && (item = readdir(directory)) != NULL)
        if (strncmp(item->d_name, prefix, strlen(prefix)) == 0) {
            looked++;
            swept += sweep_one(dirfd(directory), item->d_name, swept_one);
        }
    if (directory != NULL)
        closedir(directory);
    return swept;
}
