#include "io/location.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int put(char to[PATH_BYTES], const char *directory, const char *rest, struct error_text *text)
{
    int used = snprintf(to, PATH_BYTES, "%s/%s", directory, rest);
    return used < 0 || used >= PATH_BYTES ? error_set(text, HERMES_ETOOLARGE, "path %.64s...", directory)
                                          : HERMES_OK;
}

/* Anybody may have made it first, to serve in the broker's place or to hold it up. */
static int check_temporary(const char *directory, struct error_text *text)
{
    struct stat status;
    if (lstat(directory, &status) != 0 && errno == ENOENT)
        return HERMES_OK;
    if (S_ISDIR(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & 0077) == 0)
        return HERMES_OK;
    return error_say(text, HERMES_EACCESS,
                     "%s is not a directory of this user's that is closed to others, and cannot be used; "
                     "set XDG_RUNTIME_DIR or HERMES_HOME",
                     directory);
}

/* NULL: there is none. A relative path would be another for each who looks: the XDG Base Directory
 * Specification has it ignored. */
static const char *absolute(const char *variable)
{
    const char *path = getenv(variable);
    return path != NULL && path[0] == '/' ? path : NULL;
}

int location_find(struct location *location, struct error_text *text)
{
    const char *home = getenv("HERMES_HOME");
    location->temporary[0] = 0;
    if (home != NULL && home[0] != 0) {
        if (home[0] != '/')
            return error_say(text, HERMES_EINVALID, "HERMES_HOME is '%.200s': it must be an absolute path",
                             home);
        int rc = put(location->socket, home, "broker.sock", text);
        rc = rc < 0 ? rc : put(location->data, home, "data", text);
        return rc < 0 ? rc : put(location->config, home, "hermes.conf", text);
    }
    const char *runtime = absolute("XDG_RUNTIME_DIR"), *state = absolute("XDG_STATE_HOME");
    const char *settings = absolute("XDG_CONFIG_HOME"), *user = absolute("HOME");
    bool root = geteuid() == 0;
    char directory[PATH_BYTES];
    if (root) {
        runtime = "/run";
    } else if (runtime == NULL) {
        snprintf(location->temporary, sizeof location->temporary, "/tmp/hermes-%u", (unsigned)geteuid());
        runtime = location->temporary;
        int rc = check_temporary(runtime, text);
        if (rc < 0)
            return rc;
    }
    int rc = put(location->socket, runtime, "hermes/broker.sock", text);
    if (rc == 0 && root) {
        rc = put(location->data, "/var/lib", "hermes", text);
        return rc < 0 ? rc : put(location->config, "/etc", "hermes/hermes.conf", text);
    }
    if (user == NULL) { /* not in /tmp, where anybody could have put a configuration */
        const struct passwd *entry = getpwuid(geteuid());
        if (entry == NULL || entry->pw_dir == NULL || entry->pw_dir[0] != '/')
            return error_say(text, HERMES_ENOTFOUND, "no home directory: set HOME, or HERMES_HOME");
        user = entry->pw_dir;
    }
    if (rc == 0)
        rc = state != NULL ? put(directory, state, "hermes", text)
                           : put(directory, user, ".local/state/hermes", text);
    if (rc == 0)
        snprintf(location->data, sizeof location->data, "%s", directory);
    if (rc == 0)
        rc = settings != NULL ? put(directory, settings, "hermes/hermes.conf", text)
                              : put(directory, user, ".config/hermes/hermes.conf", text);
    if (rc == 0)
        snprintf(location->config, sizeof location->config, "%s", directory);
    return rc;
}

int location_beside(const struct location *location, const char *name, char path[PATH_BYTES],
                    struct error_text *text)
{
    char directory[PATH_BYTES];
    snprintf(directory, sizeof directory, "%s", location->config);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = 0;
    return put(path, directory, name, text);
}
