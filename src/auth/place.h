/* Where tokens, rules and certificates are, unless somebody names another place: beside hermes.conf. */
#ifndef AUTH_PLACE_H
#define AUTH_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/path.h"

/* HERMES_ENOTFOUND: there is no home directory to put it in. */
int place_of(const char *name, char path[PATH_BYTES], struct error_text *text);

/* Who runs the broker of this place: whose its socket is. false: there is none. */
bool place_broker_user(uid_t *uid);

/* A path as it was typed, from the root on. */
int place_absolute(const char *typed, char path[PATH_BYTES], struct error_text *text);

#endif
