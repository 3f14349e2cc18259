/* Where the counters are of the broker that programs started here would talk to. */
#ifndef COUNTERS_FIND_H
#define COUNTERS_FIND_H

#include "counters/view.h"

/*
 * data: the broker's data directory (NULL: not known). Without it the broker is meant whose socket clients
 * find (io/location.h): with its default data directory, or another one of this user's. Runs, or was killed.
 * HERMES_ENOTFOUND: there is none; HERMES_EACCESS: it is another user's.
 */
int find_counters(struct view *view, const char *data, struct error_text *text);

#endif
