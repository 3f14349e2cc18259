/* A carrier that is a socket and nothing more. */
#ifndef IO_PLAIN_H
#define IO_PLAIN_H

#include "io/carrier.h"

/* fd is its own from here on, also on failure. NULL: no memory. */
struct carrier *plain_new(int fd);

#endif
