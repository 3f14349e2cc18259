#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t path_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text != 0; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

int path_shm_for(const char *directory, char shm[SHM_PATH_BYTES], struct error_text *text)
{
    char *real = realpath(directory, NULL);
    if (real == NULL)
        return error_set_errno(text, "find", directory);
    struct stat status;
    if (stat(real, &status) != 0) {
        free(real);
        return error_set_errno(text, "find", directory);
    }
    snprintf(shm, SHM_PATH_BYTES, "/dev/shm/hermes-%u-%016" PRIx64, (unsigned)status.st_uid, path_hash(real));
    free(real);
    return HERMES_OK;
}

int path_make_private(const char *directory, struct error_text *text)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return error_set_errno(text, "create directory", directory);
    struct stat status;
    if (lstat(directory, &status) != 0)
        return error_set_errno(text, "find", directory);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0077) != 0)
        return error_say(text, HERMES_EACCESS,
                         "%s is not a directory of ours that is closed to others; remove it", directory);
    return HERMES_OK;
}

int path_sync(const char *directory, struct error_text *text)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(text, "open directory", directory);
    int rc = fsync(fd) == 0 ? HERMES_OK : error_set_errno(text, "sync directory", directory);
    close(fd);
    return rc;
}

int path_sync_parent(const char *path, struct error_text *text)
{
    char parent[PATH_BYTES];
    int used = snprintf(parent, sizeof parent, "%s", path);
    if (used < 0 || (size_t)used >= sizeof parent)
        return error_set(text, HERMES_ETOOLARGE, "path of %d bytes", used);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        return path_sync(".", text);
    slash[slash == parent] = 0; /* of "/x" it is "/" */
    return path_sync(parent, text);
}

bool path_go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(path, "/") == 0)
        return false;
    slash[slash == path] = 0;
    return true;
}

int path_make_parents(const char *directory, struct error_text *text)
{
    char path[PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s", directory);
    if (used <= 0 || (size_t)used >= sizeof path)
        return error_set(text, HERMES_ETOOLARGE, "path of %d bytes", used);
    for (char *slash = path + 1; slash != NULL;) {
        slash = strchr(slash, '/');
        if (slash != NULL)
            *slash = 0;
        if (mkdir(path, 0700) == 0) {
            int rc = path_sync_parent(path, text);
            if (rc < 0)
                return rc;
        } else if (errno != EEXIST) {
            return error_set_errno(text, "create directory", path);
        }
        if (slash != NULL)
            *slash++ = '/';
    }
    return HERMES_OK;
}

void path_sweep(const char *directory, const char *prefix)
{
    DIR *opened = opendir(directory);
    if (opened == NULL)
        return;
    struct dirent *item;
    while ((item = readdir(opened)) != NULL)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 &&
            strncmp(item->d_name, prefix, strlen(prefix)) == 0)
            unlinkat(dirfd(opened), item->d_name, 0);
    closedir(opened);
    rmdir(directory);
}
