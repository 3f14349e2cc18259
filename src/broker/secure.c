#include "broker/secure.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int secure_open(struct tls_context *context, struct secure **secure, struct error_text *text)
{
    struct secure *made = malloc(sizeof *made);
    if (made == NULL)
        return error_set(text, HERMES_ENOMEM, "TLS");
    memset(made, 0, offsetof(struct secure, received)); /* who is idle costs none of that */
    int rc = tls_open(context, NULL, &made->tls, text);
    if (rc == 0)
        *secure = made;
    else
        free(made);
    return rc;
}

void secure_close(struct secure *secure)
{
    if (secure == NULL)
        return;
    tls_close(secure->tls);
    free(secure);
}

/* So much at a time: a stranger's reading speed decides when the rest is encrypted. */
static int encrypt(struct secure *secure, const struct msghdr *message)
{
    int64_t said = tls_write_parts(secure->tls, message->msg_iov, message->msg_iovlen, SECURE_SEND_BYTES);
    secure->said = said > 0 ? (size_t)said : 0;
    return said < 0 ? (int)said : HERMES_OK;
}

int secure_wrap(struct secure *secure, struct msghdr *message)
{
    const void *bytes;
    int rc = HERMES_OK;
    if (secure->part.iov_len == 0) /* what was encrypted before is sent */
        rc = encrypt(secure, message);
    size_t count = tls_outgoing(secure->tls, &bytes);
    secure->part = (struct iovec){(void *)bytes, count};
    *message = (struct msghdr){.msg_iov = &secure->part, .msg_iovlen = 1};
    return rc;
}

bool secure_sent(struct secure *secure, size_t *bytes)
{
    const void *rest;
    tls_sent(secure->tls, *bytes);
    secure->part.iov_len -= *bytes;
    if (secure->part.iov_len > 0 && tls_outgoing(secure->tls, &rest) > 0)
        return false;
    *bytes = secure->said;
    secure->said = 0;
    return true;
}

void secure_take_leave(struct secure *secure, int fd)
{
    const void *bytes;
    size_t count;
    tls_end(secure->tls);
    while ((count = tls_outgoing(secure->tls, &bytes)) > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        tls_sent(secure->tls, (size_t)sent);
    }
}
