#include "io/peer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
    char parent[4096];
    snprintf(parent, sizeof parent, "%s", socket);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return false;
    *slash = 0;
    char *path = realpath(parent, NULL);
    struct stat status;
    bool owns = path != NULL && stat(path, &status) == 0 && status.st_uid == uid;
    for (slash = path; owns && slash != NULL && (slash = strrchr(path, '/')) != NULL;) {
        slash[slash == path] = 0; /* "/" itself is the last */
        owns = stat(path, &status) == 0 && (status.st_uid == uid || status.st_uid == 0) &&
               (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
        if (slash == path)
            break;
    }
    free(path);
    return owns;
}

int peer_check_server(int fd, const char *path, struct error_text *text)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return error_set_errno(text, "find out who serves", path);
    if (peer.uid == geteuid() || peer.uid == 0 || is_named(peer.uid) || owns_directory(peer.uid, path))
        return HERMES_OK;
    return error_set(text, HERMES_EACCESS,
                     "user %u serves %s, who is neither root nor this user (HERMES_BROKER_USER=%u trusts it)",
                     (unsigned)peer.uid, path, (unsigned)peer.uid);
}
