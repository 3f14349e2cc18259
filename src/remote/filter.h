/*
 * For benchmarks and tests, which are linked statically: a network that loses what they choose, the same each
 * time, without root and whatever the kernel joins on the way.
 *
 *     remote_filter(receiver, is_lost, &context);
 */
#ifndef REMOTE_FILTER_H
#define REMOTE_FILTER_H

#include "hermes/mirror.h"
#include "mirror/socket.h"

/* Shown each datagram that comes, as it came; true: as if it had not. */
void remote_filter(hermes_mirror_receiver_t *receiver, mirror_socket_loses *loses, void *context);

#endif
