#include "auth/place.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/location.h"

int place_of(const char *name, char path[PATH_BYTES], struct error_text *text)
{
    static struct location location;
    int rc = location_find(&location, text);
    return rc < 0 ? rc : location_beside(&location, name, path, text);
}

bool place_broker_user(uid_t *uid)
{
    static struct location location;
    struct error_text ignored;
    struct stat status;
    if (location_find(&location, &ignored) < 0 || stat(location.socket, &status) != 0)
        return false;
    *uid = status.st_uid;
    return true;
}

int place_absolute(const char *typed, char path[PATH_BYTES], struct error_text *text)
{
    char here[PATH_BYTES] = "";
    if (typed[0] != '/' && getcwd(here, sizeof here - 1) == NULL)
        return error_set_errno(text, "find", "the current directory");
    int used = snprintf(path, PATH_BYTES, "%.2000s%s%s", here, typed[0] == '/' ? "" : "/", typed);
    return used >= PATH_BYTES - 200
               ? error_say(text, HERMES_ETOOLARGE, "the path %.100s... is too long", typed)
               : HERMES_OK;
}
