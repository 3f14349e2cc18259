#include "io/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

static bool is_named(uid_t uid)
{
    const char *named = getenv("HERMES_BROKER_USER");
    char *end;
    if (named == NULL || named[0] < '0' || named[0] > '9')
        return false;
    errno = 0;
    unsigned long number = strtoul(named, &end, 10);
    return errno == 0 && *end == 0 && number == uid;
}

/* Does the directory belong to uid, and are those above it closed to whoever is neither uid nor root? The
 * sticky bit of /tmp does not help: it keeps others from taking a directory away, not from making it first.
 */
static bool owns_directory(uid_t uid, const char *socket)
{
    char directory[PATH_BYTES];
    struct stat status;
    snprintf(directory, sizeof directory, "%s", socket);
    char *path = path_go_up(directory) ? realpath(directory, NULL) : NULL;
    bool owns = path != NULL && stat(path, &status) == 0 && status.st_uid == uid;
    while (owns && path_go_up(path))
        owns = stat(path, &status) == 0 && (status.st_uid == uid || status.st_uid == 0) &&
               (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    free(path);
    return owns;
}

static bool is_trusted(uid_t uid)
{
    return uid == geteuid() || uid == 0 || is_named(uid);
}

bool peer_is_trusted_anywhere(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && is_trusted(peer.uid);
}

int peer_check_server(int fd, const char *path, struct error_text *text)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return error_set_errno(text, "find out who serves", path);
    if (is_trusted(peer.uid) || owns_directory(peer.uid, path))
        return HERMES_OK;
    return error_set(text, HERMES_EACCESS,
                     "user %u serves %s, who is neither root nor this user (HERMES_BROKER_USER=%u trusts it)",
                     (unsigned)peer.uid, path, (unsigned)peer.uid);
}
