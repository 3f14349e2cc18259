#include "counters/find.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/location.h"

static const char root[] = "/dev/shm";

/* /dev/shm is everybody's: a directory counts if it is closed, and of the user whose name it bears. */
static int check_directory(const char *directory, struct error_text *text)
{
    struct stat status;
    unsigned uid;
    if (lstat(directory, &status) != 0)
        return error_set_errno(text, "find", directory);
    if (S_ISDIR(status.st_mode) && (status.st_mode & 0077) == 0 &&
        sscanf(directory, "/dev/shm/hermes-%u-", &uid) == 1 && uid == status.st_uid)
        return HERMES_OK;
    return error_set(text, HERMES_EACCESS, "%s is not the user's whose name it bears", directory);
}

static int find_by_data(struct view *view, const char *data, struct error_text *text)
{
    char directory[SHM_PATH_BYTES];
    int rc = path_shm_for(data, directory, text);
    if (rc == 0 && (rc = check_directory(directory, text)) < 0)
        return rc;
    if (rc == 0)
        rc = view_open(view, directory, text);
    if (rc == HERMES_EACCESS)
        return error_set(text, rc, "the counters of a broker are for its user and root; %s", directory);
    return rc;
}

static bool serves(const struct view *view, const char *socket)
{
    return strncmp(view->header->socket, socket, sizeof view->header->socket) == 0;
}

/* Among the directories of this user, the one whose broker began last: who stopped left nothing. */
static int find_by_socket(struct view *found, const char *socket, struct error_text *text)
{
    char prefix[32], path[SHM_PATH_BYTES];
    DIR *directory = opendir(root);
    struct dirent *item;
    struct view view;
    struct error_text ignored;
    bool any = false;
    snprintf(prefix, sizeof prefix, "hermes-%u-", (unsigned)geteuid());
    while (directory != NULL && (item = readdir(directory)) != NULL) {
        if (strncmp(item->d_name, prefix, strlen(prefix)) != 0 ||
            snprintf(path, sizeof path, "%s/%s", root, item->d_name) >= (int)sizeof path ||
            check_directory(path, &ignored) < 0 || view_open(&view, path, &ignored) < 0)
            continue;
        if (serves(&view, socket) && (!any || view.header->began_at_ns > found->header->began_at_ns)) {
            if (any)
                view_close(found);
            *found = view;
            any = true;
        } else {
            view_close(&view);
        }
    }
    if (directory != NULL)
        closedir(directory);
    return any ? HERMES_OK
               : error_say(
                     text, HERMES_ENOTFOUND,
                     "no broker at %s keeps counters here (is hermesd running, as this user? --data DIR "
                     "names another's data directory)",
                     socket);
}

int find_counters(struct view *view, const char *data, struct error_text *text)
{
    struct location location;
    if (data != NULL)
        return find_by_data(view, data, text);
    int rc = location_find(&location, text);
    if (rc < 0)
        return rc;
    rc = find_by_data(view, location.data, text);
    if (rc == 0 && serves(view, location.socket))
        return HERMES_OK;
    if (rc == 0)
        view_close(view);
    if (rc == HERMES_EACCESS)
        return rc;
    return find_by_socket(view, location.socket, text);
}
