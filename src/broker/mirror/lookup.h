/*
 * What a mirror has to ask others for, and may wait long for: an address by its name, of whoever answers for
 * names; and a key, of the broker that sends a topic, over TLS.
 *
 *     udp://HOST:PORT   that address
 *     tls://HOST:PORT   the broker there is asked where the topic's datagrams come from, and for a grant
 *                       (mirror/seal_keys.h); again and again, for as long as that is wanted: a grant is good
 *                       while its connection stands, and another follows in time
 *
 *     lookup_open(&lookup, &wish);
 *     poll lookup_fd(lookup); lookup_take(lookup, &answer);     each time there is another answer
 *     lookup_close(lookup);
 *
 * Behind "?" stands what io/udp.h says: of tls:// the interface alone.
 *
 * It is a thread of its own that nobody waits for: getaddrinfo(3) cannot be interrupted, and a broker that is
 * to stop does not wait for a name server. What the thread works on is its own, and goes with the last of
 * both.
 */
#ifndef BROKER_MIRROR_LOOKUP_H
#define BROKER_MIRROR_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/path.h"
#include "io/udp.h"
#include "mirror/seal_keys.h"

/* Files that a broker shows to others, and by which it trusts them, as a client's (hermes/client.h). "": as
 * the environment says. */
struct lookup_identity {
    char authority[PATH_BYTES], certificate[PATH_BYTES], key[PATH_BYTES], token_file[PATH_BYTES];
};

struct lookup_wish {
    const char *url, *topic;
    const struct lookup_identity *identity; /* of tls://; all of it is copied */
};

struct lookup_answer {
    int error; /* HERMES_OK: the rest is there. Else why not: it is tried again */
    struct error_text text;
    struct sockaddr_storage there;
    struct udp_group group; /* to which it is sent, if to one */
    bool sealed;
    struct seal_grant key;
};

struct lookup;

/* HERMES_ELIMIT: no thread, or no descriptor, can be had; HERMES_ENOMEM. */
int lookup_open(struct lookup **lookup, const struct lookup_wish *wish, struct error_text *text);

/* Readable while there is an answer that was not taken. */
int lookup_fd(const struct lookup *lookup);

/* The latest; false: it was taken. Whoever has it wipes it. */
bool lookup_take(struct lookup *lookup, struct lookup_answer *answer);

/* Does not wait. NULL is allowed. */
void lookup_close(struct lookup *lookup);

/* Before anything of OpenSSL is used: threads of this kind may be at work when the process ends. */
void lookup_prepare(void);

#endif
