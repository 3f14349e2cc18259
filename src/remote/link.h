/*
 * What a mirror without a broker stands on: a socket, and a seal where there is a key.
 *
 *     link_open(&link, &places, grant, members_max, &text);
 *     link_receive(&link, take, context);      up to a batch: take() gets what is genuine
 *     while ((packet = link_slot(&link)) != NULL && receiver_next(receiver, now_ns, packet) > 0)
 *         link_put(&link);
 *     link_flush(&link);
 */
#ifndef REMOTE_LINK_H
#define REMOTE_LINK_H

#include "base/error.h"
#include "mirror/seal.h"
#include "mirror/socket.h"

struct link_places {
    const char *peer;      /* "udp://HOST:PORT"; NULL: whoever comes */
    const char *local;     /* NULL: any of the peer's family */
    const char *group;     /* NULL: none */
    const char *interface; /* NULL: the kernel's choice */
    int hops;              /* 0: 1 */
    uint32_t receive_bytes;
};

struct link {
    struct mirror_socket *socket;
    struct sealing *sealing; /* NULL: a CRC is all */
    struct mirror_address peer;
};

/* grant NULL: without a seal. HERMES_EINVALID, HERMES_ENOTFOUND, HERMES_EBUSY, HERMES_EACCESS, HERMES_ENOMEM,
 * HERMES_EIO, with a sentence. */
int link_open(struct link *link, const struct link_places *places, const struct seal_grant *grant,
              uint32_t members_max, struct error_text *text);
void link_close(struct link *link);

/* Up to a batch of each socket. true: there may be more. */
bool link_receive(struct link *link, mirror_socket_take *take, void *context);

/* NULL: the batch is full, flush. */
static inline struct mirror_packet *link_slot(struct link *link)
{
    return mirror_socket_slot(link->socket);
}

void link_put(struct link *link);

static inline void link_flush(struct link *link)
{
    mirror_socket_flush(link->socket);
}

/* Where it is bound. */
struct sockaddr_storage link_address(const struct link *link);
/* Of an IPv4 or IPv6 address. */
uint16_t link_port(const struct sockaddr_storage *address);

enum { LINK_SPIN_MAX_US = 1000000 };

/* Until a datagram comes, or so long. HERMES_EINTERRUPTED; 0: look. */
int link_sleep(const struct link *link, uint64_t timeout_ns);

#endif
