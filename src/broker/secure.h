/* What a session over TLS has beside its socket: what it sends is encrypted, what comes is decrypted. */
#ifndef BROKER_SECURE_H
#define BROKER_SECURE_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "io/tls.h"

enum { SECURE_RECEIVE_BYTES = 64 * 1024, SECURE_SEND_BYTES = 64 * 1024 };

struct secure {
    struct tls *tls;
    size_t said;       /* bytes of what the session says that go with what is being sent */
    struct iovec part; /* that */
    uint8_t received[SECURE_RECEIVE_BYTES];
};

/* HERMES_ENOMEM. */
int secure_open(struct tls_context *context, struct secure **secure, struct error_text *text);
void secure_close(struct secure *secure); /* NULL is allowed */

/* message is what the session has to say: it becomes what is to be sent for it, or for a part of it. Where
 * there is nothing to say: what TLS itself has to. HERMES_ENOMEM, HERMES_EPROTOCOL. */
int secure_wrap(struct secure *secure, struct msghdr *message);

/* So many bytes were sent: *bytes becomes how many that were of what the session says. false: there are more
 * of them to be sent first, and secure_wrap() has them. */
bool secure_sent(struct secure *secure, size_t *bytes);

/* What is still to be told, and goodbye, if the socket takes it now. Nothing is being sent. */
void secure_take_leave(struct secure *secure, int fd);

#endif
