/*
 * Who is at the other end of a Unix socket. Its name says nothing: where others may make files, anybody can
 * make one of that name.
 */
#ifndef IO_PEER_H
#define IO_PEER_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Is who serves fd somebody whom a client may trust with its messages? That is our own user, root, whom
 * HERMES_BROKER_USER names (a uid), or the owner of the directory of path, where nobody else could have made
 * that directory. HERMES_EACCESS: it is none of them.
 */
int peer_check_server(int fd, const char *path, struct error_text *text);

/* The same where somebody else has named the path, so that its owner says nothing: our own user, root, or
 * whom HERMES_BROKER_USER names. */
bool peer_is_trusted_anywhere(int fd);

#endif
