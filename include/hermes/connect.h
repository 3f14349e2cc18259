/*
 * hermes/connect.h - a session with a broker: to make it, to end it, to ask who is at the other end.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors.
 */
#ifndef HERMES_CONNECT_H
#define HERMES_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HERMES_FOREVER UINT64_MAX

typedef struct hermes_client hermes_client_t;

/*
 * url: one of these, or several with commas, which are tried in turn, now and whenever the connection is
 * lost:
 *
 *     shm:                             the broker found through HERMES_HOME, or in the default place
 *     unix:PATH (unix://PATH, PATH, shm:PATH)  the broker with that socket
 *     tcp://HOST:PORT                  a name, an IPv4 address, or an IPv6 address in brackets
 *     tls://HOST:PORT                  the same, with TLS 1.3: the broker's certificate is checked
 *
 * Where the broker of tcp:// or tls:// is on this host and its Unix socket within reach, the client goes on
 * through shared memory by itself, and is there who it is over that connection, which stays open:
 * hermes_transport() tells. The broker at that socket must show that it is the same one, and be this user's,
 * root's, or that of the uid in HERMES_BROKER_USER. A URL that ends in ?shm=no stays on the connection, and
 * so do several URLs:
 *
 *     unix:PATH?shm=no, tcp://HOST:PORT?shm=no, tls://HOST:PORT?shm=no
 *
 * The same is done anew when the broker was away. Is its socket out of reach then, what was opened in shared
 * memory waits for it (HERMES_EDISCONNECTED); a client that has nothing open goes on over the connection.
 *
 * All of them share memory, or none; beside tls:// there is no tcp://. NULL: HERMES_URL in the environment,
 * else shm:. HERMES_EDISCONNECTED: nobody listens there, or nobody knows the name. HERMES_ELIMIT: it has no
 * place for another session, or more than 8 URLs. HERMES_EVERSION: another protocol. HERMES_EINVALID: no URL;
 * HERMES_ENOTSUP: one of another kind; the sentence says what is wrong with it. HERMES_ETOOLARGE: the path is
 * too long. And what hermes_connect_with() may return, for the environment may name files and a token, too.
 *
 * Over a connection a broker that is away is looked for every 10 ms at first, less and less often down to
 * once a second, by whatever is called; names are looked up by calls that wait for the broker's answer.
 */
HERMES_API int hermes_connect(const char *url, hermes_client_t **client);

/*
 * Whom to trust, and who one is. What is NULL is what the environment says, what is empty ("") nothing at
 * all. All of it is copied. Files are PEM; they are read when the client is made, and again for a new
 * connection if they were replaced.
 */
typedef struct hermes_connect_options {
    size_t size;          /* sizeof(hermes_connect_options_t) */
    const char *tls_ca;   /* HERMES_TLS_CA: file of the authorities that may vouch for the broker; none: the
                             system's */
    const char *tls_cert; /* HERMES_TLS_CERT: file of this client's certificate, and of what stands between
                             it and its authority */
    const char *tls_key;  /* HERMES_TLS_KEY: file of its key; none: it is in tls_cert */
    const char *tls_server_name; /* HERMES_TLS_SERVER_NAME: the name or address that the broker's certificate
                                    must have; none: HOST of the URL */
    const char *token; /* HERMES_TOKEN: the secret ('hermes auth token create'), of up to 63 characters */
    const char *token_file; /* HERMES_TOKEN_FILE: a file whose first line it is, read again for each
                               connection; instead of token */
} hermes_connect_options_t;

/*
 * The same as hermes_connect(), which leaves all of it to the environment. What TLS needs is looked at for
 * tls:// alone; the token goes to brokers at Unix sockets, too, and decides there who one is. It is sent over
 * tcp:// to this host, never in the clear to another: HERMES_EACCESS.
 *
 *     hermes_connect_options_t options = {.size = sizeof options, .tls_ca = "ca.crt", .token_file = "token"};
 *     hermes_connect_with("tls://broker.example:7000", &options, &client);
 *
 * HERMES_EACCESS: one end does not trust the other, and the sentence says why and what to do: the broker's
 * certificate is over, has another name, or is nobody's who is trusted here; the broker wants a certificate,
 * does not accept it, or does not know the token (any more); a key or token_file can be read by everybody.
 * HERMES_EPROTOCOL: no TLS 1.3 is spoken there. HERMES_ENOTFOUND, HERMES_EINVALID: a file is not there, or is
 * not what it should be. HERMES_ENOTSUP: there is no OpenSSL 3 here, which is loaded for the first tls://.
 *
 * All this is checked for each connection. A client that was put out while it was connected, or meets another
 * certificate when it comes back, tries again and again as with a broker that is away, at most once a second:
 * calls that wait for the broker's answer say HERMES_EACCESS then, those that wait for as long as you say
 * HERMES_EDISCONNECTED, with the same sentence.
 */
HERMES_API int hermes_connect_with(const char *url, const hermes_connect_options_t *options,
                                   hermes_client_t **client);

/*
 * Closes what was opened through the client, and frees it. Returns how many messages of its publishers are
 * not in their topics, as hermes_publisher_close() says of each, and hermes_last_error(NULL) the last
 * sentence; 0: all are in. It waits as long as the publisher that waits longest, and for a broker that does
 * not run at the moment up to 10 s more, for all members of groups, durable subscriptions, subscribers that
 * publishers wait for, and publishers together. If it answers, what the members held is for others, their
 * places are free, and nobody waits for who was slow, when this returns; else once it runs again. NULL is
 * allowed.
 */
HERMES_API int64_t hermes_disconnect(hermes_client_t *client);

/*
 * For a child after fork(2): lets go of the parent's client and of everything opened through it, and tells
 * the broker nothing. Without it the child keeps the parent's session open after the parent's death: what the
 * parent's members hold stays theirs until its lease runs out, and the place of a durable subscription is
 * busy as long as the child lives.
 */
HERMES_API void hermes_forget(hermes_client_t *client);

/*
 * For who must not be held up by a broker that does not answer - a language's runtime with signal handlers of
 * its own, a program that a user ends: where this thread has to wait for the broker's answer, in any function
 * that waits for it or for both in the list above, `ask` is asked before it sleeps, after each signal and at
 * least every 20 ms. What waits for as long as you say asks nobody: say less, and call it again.
 *
 *     0   wait on
 *     1   wait no more: HERMES_EINTERRUPTED, which leaves what HERMES_ETIMEOUT does: the session goes on, and
 *         whether a topic or group was made, altered or deleted is not known. What closes does close, and
 *         counts what is not in its topic by then; the broker hears of it when it runs again
 *     -1  the same, and say nothing to the broker: for the child, where `ask` forked
 *
 * Once it has ended a call it is asked by the rest of that call, and must say so again. It must not use what
 * the call was made for. Of this thread alone; ask NULL, as at the beginning: nobody is asked. Returns what
 * was set before.
 */
typedef struct hermes_interrupt {
    int (*ask)(void *context);
    void *context;
} hermes_interrupt_t;
HERMES_API hermes_interrupt_t hermes_set_interrupt(hermes_interrupt_t interrupt);

/* Asks the broker, and waits for its answer; connects again if need be. */
HERMES_API int hermes_ping(hermes_client_t *client);
/* 1: the session with the broker is up; 0: the broker went away, and none has been found since. What goes on
 * without it, and looks for it by itself, is said above. Never waits; costs a system call. */
HERMES_API int hermes_is_connected(hermes_client_t *client);
/* The way that messages go, or went last: "shm" (through shared memory), "unix", "tcp", "tls". Not to be
 * freed. Never waits. */
HERMES_API const char *hermes_transport(const hermes_client_t *client);
HERMES_API const char *hermes_last_error(const hermes_client_t *client);

/* ---- the broker itself ---- */

typedef struct hermes_broker_info {
    size_t size;     /* sizeof(hermes_broker_info_t), set by the caller */
    char engine[16]; /* what its event loop stands on: "io_uring" or "epoll" */
    uint32_t pid;
    uint32_t uid;
    uint32_t sessions;
    uint32_t topics;
    uint64_t uptime_ns;
    uint64_t longest_turn_ns; /* of its event loop: so long everybody else had to wait for one thing */
    uint64_t notes_lost;      /* notes to the operator that standard error did not take */
    uint32_t membarrier;      /* 0: membarrier(2) is refused to it, and publishers fence for themselves */
    uint32_t instance;        /* another at each start */
    uint64_t longest_own_ns;  /* of what one thing took the loop itself, less what other processes took */
    uint64_t blocked_turns;   /* how often it slept over one thing: 0, or something is wrong */
    char version[16];         /* of hermesd, as "0.1.0" */
    char memory[128];         /* its directory in shared memory: /dev/shm/hermes-... */
} hermes_broker_info_t;

/* HERMES_EDISCONNECTED, HERMES_EPROTOCOL. */
HERMES_API int hermes_broker_describe(hermes_client_t *client, hermes_broker_info_t *info);

#ifdef __cplusplus
}
#endif
#endif
