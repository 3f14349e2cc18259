/* Where tokens, rules and certificates are, unless somebody names another place: beside hermes.conf. */
#ifndef AUTH_PLACE_H
#define AUTH_PLACE_H

#include "base/path.h"

/* HERMES_ENOTFOUND: there is no home directory to put it in. */
int place_of(const char *name, char path[PATH_BYTES], struct error_text *text);

/* A path as it was typed, from the root on. */
int place_absolute(const char *typed, char path[PATH_BYTES], struct error_text *text);

#endif
