#include "io/encrypted.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/tcp.h"

enum {
    RECEIVE_BYTES = 64 * 1024,
    SEND_BYTES = 64 * 1024,
    RECORD_BYTES = 16 * 1024 + 256, /* RFC 8446, 5.2; part of one may be within OpenSSL */
};

struct encrypted {
    struct carrier carrier;
    struct tls *tls;
    int64_t said;                /* bytes of what is written that go with what is being sent */
    int failure;                 /* how it ended */
    struct error_text why;       /* the sentence; empty: it just ended */
    char url[2 * TCP_URL_BYTES]; /* a connection outlives who made it, and may go to another client */
    uint8_t received[RECEIVE_BYTES];
};

static struct encrypted *of(struct carrier *carrier)
{
    return (struct encrypted *)(void *)carrier;
}

/* What TLS has to send goes, as far as the socket takes it. HERMES_EAGAIN: not all. */
static int send_out(struct encrypted *e)
{
    const void *bytes;
    size_t count;
    while ((count = tls_outgoing(e->tls, &bytes)) > 0) {
        ssize_t sent = send(e->carrier.fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? HERMES_EAGAIN : HERMES_EDISCONNECTED;
        tls_sent(e->tls, (size_t)sent);
    }
    return HERMES_OK;
}

/* ---- in ---- */

static int64_t end(struct encrypted *e, int code)
{
    bool says_why = code != HERMES_ECLOSED && code != HERMES_EDISCONNECTED;
    e->failure = code == HERMES_ECLOSED ? HERMES_EDISCONNECTED : code; /* a goodbye */
    if (says_why)
        (void)error_say(&e->why, code, "%s: %s", e->url, tls_error(e->tls));
    return e->failure;
}

/* All that is decrypted fits into `bytes`: none of it waits where poll(2) sees nothing. */
static ssize_t receive(struct encrypted *e, size_t bytes)
{
    size_t most = bytes > RECORD_BYTES ? bytes - RECORD_BYTES : 1;
    most = most < RECEIVE_BYTES ? most : RECEIVE_BYTES;
    ssize_t count = recv(e->carrier.fd, e->received, most, 0);
    e->carrier.is_dry = count < (ssize_t)most && bytes > RECORD_BYTES;
    return count;
}

static int64_t encrypted_read(struct carrier *carrier, void *to, size_t bytes)
{
    struct encrypted *e = of(carrier);
    if (e->failure != 0)
        return e->failure;
    (void)send_out(e); /* what fails is told by what follows */
    carrier->is_dry = false;
    int64_t got = tls_read(e->tls, to, bytes);
    if (got == 0) {
        ssize_t count = receive(e, bytes);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return HERMES_EAGAIN;
        if (count <= 0)
            return end(e, HERMES_EDISCONNECTED);
        tls_feed(e->tls, e->received, (size_t)count);
        got = tls_read(e->tls, to, bytes);
    }
    (void)send_out(e); /* its part of the handshake, or why there will be none */
    if (got < 0)
        return end(e, (int)got);
    return got > 0 ? got : HERMES_EAGAIN;
}

/* ---- out ---- */

static int encrypt(struct encrypted *e, const struct iovec *parts, int count)
{
    int64_t said = tls_write_parts(e->tls, parts, (size_t)count, SEND_BYTES);
    e->said = said > 0 ? said : 0;
    return said < 0 ? (int)said : HERMES_OK;
}

/* Taken is what the socket has taken: whoever has nothing more to write has sent all. */
static int64_t encrypted_write(struct carrier *carrier, const struct iovec *parts, int count)
{
    struct encrypted *e = of(carrier);
    if (e->failure != 0)
        return HERMES_EDISCONNECTED; /* who reads is told more */
    int rc = send_out(e);
    if (rc == 0 && e->said == 0) {
        if (tls_state(e->tls) == TLS_SHAKES)
            return HERMES_EAGAIN;
        rc = encrypt(e, parts, count) < 0 ? HERMES_EDISCONNECTED : send_out(e);
    }
    if (rc < 0)
        return rc;
    int64_t said = e->said;
    e->said = 0;
    return said;
}

/* ---- the rest ---- */

static short encrypted_wants(const struct carrier *carrier, short events)
{
    const struct encrypted *e = (const struct encrypted *)(const void *)carrier;
    if (tls_has_outgoing(e->tls))
        return (short)(events | POLLOUT);
    return tls_state(e->tls) == TLS_SHAKES ? POLLIN : events; /* it is the other end's turn */
}

static const char *encrypted_why(const struct carrier *carrier)
{
    const struct encrypted *e = (const struct encrypted *)(const void *)carrier;
    return e->why.bytes[0] != 0 ? e->why.bytes : NULL;
}

static void encrypted_take_leave(struct carrier *carrier)
{
    struct encrypted *e = of(carrier);
    tls_end(e->tls);
    (void)send_out(e);
}

static void encrypted_close(struct carrier *carrier)
{
    struct encrypted *e = of(carrier);
    tls_close(e->tls);
    close(carrier->fd);
    free(e);
}

static const struct carrier_kind encrypted = {encrypted_read, encrypted_write,      encrypted_wants,
                                              encrypted_why,  encrypted_take_leave, encrypted_close};

struct carrier *encrypted_new(int fd, struct tls_context *context, const char *host, const char *url)
{
    struct error_text ignored;
    uint8_t none[1];
    struct encrypted *e = malloc(sizeof *e);
    if (e == NULL || tls_open(context, host, &e->tls, &ignored) < 0) {
        close(fd);
        free(e);
        return NULL;
    }
    e->carrier = (struct carrier){.kind = &encrypted, .fd = fd};
    e->said = e->failure = 0;
    e->why.bytes[0] = 0;
    snprintf(e->url, sizeof e->url, "%s", url);
    tls_feed(e->tls, NULL, 0);
    (void)tls_read(e->tls, none, sizeof none); /* a client begins */
    return &e->carrier;
}
