/*
 * Datagrams of a mirror over UDP, many at a time: sendmmsg(2) and recvmmsg(2). IPv4 and IPv6, to one or to a
 * group. For one thread; nothing blocks; whoever has it polls its descriptors.
 *
 *     struct mirror_packet *packet;
 *     while ((packet = mirror_socket_slot(socket)) != NULL && sender_next(sender, now_ns, packet) > 0)
 *         mirror_socket_put(socket);
 *     mirror_socket_flush(socket);
 *     ...
 *     mirror_socket_receive(socket, take, context);          // calls take() for each datagram that is there
 *
 * Own and group are two sockets: what is sent comes from the own address, to which answers go, and what goes
 * to the group, data or NAKs, comes in at the other one. A group socket is bound to the group's address, so
 * it gets nothing else.
 *
 * Those to one place that are equally long go to the kernel, and come from it, in one piece (segments.h),
 * where it can: a system call and one way through its layers for many. Where it cannot, or the MTU is smaller
 * than they are, each goes by itself.
 *
 * What the kernel does not take is gone, as it would be on the way. Memory: 32 datagrams to be sent, 135 KiB,
 * and 512 KiB for what comes, of which only what did come is touched.
 */
#ifndef MIRROR_SOCKET_H
#define MIRROR_SOCKET_H

#include <sys/socket.h>

#include "mirror/packet.h"

enum {
    MIRROR_SOCKET_BATCH = 32,
    MIRROR_SOCKET_ARRIVALS = 1024,          /* datagrams that one look at one socket brings at most, */
    MIRROR_SOCKET_ARRIVALS_BYTES = 1 << 19, /* and their bytes */
};

struct mirror_socket_config {
    struct sockaddr_storage local; /* where it is bound; port 0: any */
    struct sockaddr_storage group; /* and port; family 0: there is none */
    unsigned interface;            /* index, of the group; 0: the kernel's choice */
    int hops;                      /* of what goes to the group; 0: 1, which stays on the link */
    int receive_bytes;             /* of the kernel's buffer, as far as it allows; 0: 4 MiB */
};

struct mirror_socket;

/* HERMES_EINVALID, HERMES_ENOMEM, HERMES_EACCESS, HERMES_EBUSY (the address is in use), HERMES_EIO. */
int mirror_socket_open(struct mirror_socket **socket, const struct mirror_socket_config *config);
void mirror_socket_close(struct mirror_socket *socket);

/* To be polled for POLLIN; how many: 1 or 2. */
int mirror_socket_descriptors(const struct mirror_socket *socket, int descriptors[2]);

/* Where it is bound, as others see it in what they receive. */
struct mirror_address mirror_socket_address(const struct mirror_socket *socket);

/* For a datagram to be sent; NULL: the batch is full, flush. What was put is sent by mirror_socket_flush().
 */
struct mirror_packet *mirror_socket_slot(struct mirror_socket *socket);
void mirror_socket_put(struct mirror_socket *socket);
void mirror_socket_flush(struct mirror_socket *socket);

typedef void mirror_socket_take(void *context, const struct mirror_address *from, const void *bytes,
                                size_t length);

/* Up to a batch of each socket. true: there may be more. */
bool mirror_socket_receive(struct mirror_socket *socket, mirror_socket_take *take, void *context);

/* For tests and benchmarks: shown each datagram that comes; true: as if it had not. NULL: all of them came.
 */
typedef bool mirror_socket_loses(void *context, const void *bytes, size_t length);
void mirror_socket_filter(struct mirror_socket *socket, mirror_socket_loses *loses, void *context);

/* How many the kernel dropped at its receive buffers since it was asked last (SO_RXQ_OVFL). */
uint32_t mirror_socket_overflows(struct mirror_socket *socket);

/* Of a socket's address, filled up with zeros; and back. */
struct mirror_address mirror_address_of(const struct sockaddr_storage *address);

#endif
