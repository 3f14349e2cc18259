/*
 * Where a client finds its broker: URLs, several with commas, tried in turn.
 *
 *     shm:, shm:PATH, unix:PATH, PATH   the broker's Unix socket; messages go through shared memory
 *     tcp://HOST:PORT                   a broker that listens there ([net] listen)
 *     tls://HOST:PORT                   the same, with TLS
 *
 * With ?shm=no behind it, messages go through the connection, as over a network, wherever the broker is.
 *
 * All of a list share memory, or none does: what is open goes on with whichever is there. Beside tls:// there
 * is no tcp://: nobody falls back to what can be read on the way.
 */
#ifndef IO_PLACES_H
#define IO_PLACES_H

#include <stdbool.h>

#include "base/error.h"
#include "io/carrier.h"
#include "io/tcp.h"

enum { PLACES_MAX = 8, PLACE_ADDRESSES_MAX = 4, PLACES_BYTES = 8192 };

struct place {
    const char *url;  /* without what stands behind a question mark */
    const char *path; /* of a Unix socket; else NULL */
    bool encrypted;   /* tls:// */
    bool stays;       /* ?shm=no */
    struct tcp_address addresses[PLACE_ADDRESSES_MAX];
    unsigned count; /* of addresses; 0: not looked up yet */
};

struct places {
    char bytes[PLACES_BYTES]; /* what they point into */
    struct place at[PLACES_MAX];
    unsigned count;
    bool streams;   /* messages go through the connection */
    bool encrypted; /* some of them */
};

/* url NULL: HERMES_URL, or where this user's broker is (io/location.h). Nothing is looked up.
 * HERMES_EINVALID: it is none; HERMES_ENOTSUP: of a kind that is not there; HERMES_ETOOLARGE;
 * HERMES_ELIMIT: more than PLACES_MAX. */
int places_parse(const char *url, struct places *places, struct error_text *text);

/* The addresses of its name, again: that may take long. On failure those that were known stay. */
int place_look_up(struct place *place, struct error_text *text);

/* Can what is sent there be read on the way? Not on this host, and not with TLS. */
bool place_is_exposed(const struct place *place, unsigned turn);

/* A socket on its way there, to the address of that number (modulo their count). HERMES_EDISCONNECTED. */
int place_connect(const struct place *place, unsigned turn, int *fd, struct error_text *text);

#endif
