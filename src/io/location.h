/*
 * Where a broker and its clients meet. HERMES_HOME=DIR puts everything under DIR; else the socket is
 * in XDG_RUNTIME_DIR (or /run for root; /tmp/hermes-<uid> where there is none) and the store in
 * XDG_STATE_HOME (or /var/lib for root).
 */
#ifndef IO_LOCATION_H
#define IO_LOCATION_H

#include "base/path.h"

struct location {
    char socket[PATH_BYTES];
    char data[PATH_BYTES];
    char config[PATH_BYTES];
    char
        temporary[64]; /* the socket's directory, in /tmp: it must be its user's alone. "": it is elsewhere */
};

/* HERMES_EACCESS: /tmp/hermes-<uid>, which is needed as there is nothing better, is another user's. */
int location_find(struct location *location, struct error_text *text);

/* A file beside the configuration. HERMES_ETOOLARGE. */
int location_beside(const struct location *location, const char *name, char path[PATH_BYTES],
                    struct error_text *text);

#endif
