/* Tell the broker of this host that tokens, rules and certificates are to be read again. */
#ifndef AUTH_RELOAD_H
#define AUTH_RELOAD_H

#include "base/error.h"

/*
 * SIGHUP to the process that serves the Unix socket which HERMES_URL names, or this user's own. The kernel
 * says which process that is: what a broker says of itself may be the number of another one here, since it
 * may run on another host, in another container, or lie.
 * HERMES_ENOTSUP: the broker is reached over a network, or cannot be seen from here; HERMES_EDISCONNECTED:
 * nobody serves there; HERMES_EACCESS: it is another user's.
 */
int reload_signal(struct error_text *text);

#endif
