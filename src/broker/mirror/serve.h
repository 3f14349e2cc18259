/* The thread that sends a topic: to each receiver that joins a stream of its own, from one socket. */
#ifndef BROKER_MIRROR_SERVE_H
#define BROKER_MIRROR_SERVE_H

#include "broker/mirror/engine.h"

/* The body of a struct engine. */
void *serve_body(void *engine);

#endif
