#include "io/location.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int put(char to[PATH_BYTES], const char *directory, const char *rest, struct error_text *text)
{
    int used = snprintf(to, PATH_BYTES, "%s/%s", directory, rest);
    return used < 0 || used >= PATH_BYTES ? error_set(text, HERMES_ETOOLARGE, "path %.64s...", directory)
                                          : HERMES_OK;
}

int location_find(struct location *location, struct error_text *text)
{
    const char *home = getenv("HERMES_HOME");
    if (home != NULL && home[0] != 0) {
        int rc = put(location->socket, home, "broker.sock", text);
        rc = rc < 0 ? rc : put(location->data, home, "data", text);
        return rc < 0 ? rc : put(location->config, home, "hermes.conf", text);
    }
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME");
    const char *settings = getenv("XDG_CONFIG_HOME"), *user = getenv("HOME");
    bool root = geteuid() == 0;
    char directory[PATH_BYTES], fallback[64];
    if (runtime == NULL || runtime[0] == 0 || root) {
        snprintf(fallback, sizeof fallback, root ? "/run" : "/tmp/hermes-%u", (unsigned)geteuid());
        runtime = fallback;
    }
    int rc = put(location->socket, runtime, "hermes/broker.sock", text);
    if (rc == 0 && root) {
        rc = put(location->data, "/var/lib", "hermes", text);
        return rc < 0 ? rc : put(location->config, "/etc", "hermes/hermes.conf", text);
    }
    if (user == NULL || user[0] == 0)
        user = "/tmp";
    if (rc == 0)
        rc = state != NULL && state[0] != 0 ? put(directory, state, "hermes", text)
                                            : put(directory, user, ".local/state/hermes", text);
    if (rc == 0)
        snprintf(location->data, sizeof location->data, "%s", directory);
    if (rc == 0)
        rc = settings != NULL && settings[0] != 0 ? put(directory, settings, "hermes/hermes.conf", text)
                                                  : put(directory, user, ".config/hermes/hermes.conf", text);
    if (rc == 0)
        snprintf(location->config, sizeof location->config, "%s", directory);
    return rc;
}
