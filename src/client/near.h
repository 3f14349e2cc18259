/*
 * From TCP to shared memory, where the broker is on this host and its Unix socket within reach.
 *
 * The session over TCP, the guide, says who we are and is invited: three keys and a path. At that socket the
 * broker shows itself by a descriptor, an anonymous file that nobody can change and that holds the first of
 * two secrets: no other host could pass it, and no other broker knows what must be in it. Only then the
 * second secret is said, and the session there is the guide's: the same one, with the same rights, as long as
 * the guide is there. The guide stays, and says nothing any more.
 *
 * Whatever stands in the way - a path of another mount namespace, another broker there, permissions, a limit
 * - leaves all as it was: over TCP.
 */
#ifndef CLIENT_NEAR_H
#define CLIENT_NEAR_H

#include "client/client.h"

struct near {
    struct hermes_client *guide;
    struct channel channel; /* to the Unix socket, until it is the client's */
    struct wire_invitation invitation;
    uint64_t number;                                              /* of the request that is under way */
    uint64_t began_ns;                                            /* with the guide's welcome */
    int (*next)(struct hermes_client *client, uint64_t until_ns); /* what is awaited; NULL: nothing yet */
};

/* A client that has just connected; what it returns is to be used in its place: another one in shared memory,
 * or the same. Waits for its broker, a quarter of what a request may take; for nobody else. */
struct hermes_client *near_upgrade(struct hermes_client *client);

/*
 * A session for a client that had one in shared memory, as far as it gets there by the deadline; client->near
 * goes on where it stood. HERMES_OK: it is there, or the client, which has nothing open, has one over TCP and
 * client->near is NULL. HERMES_ETIMEOUT, HERMES_EINTERRUPTED: not yet. HERMES_EDISCONNECTED: there is no
 * broker, or it is out of reach for what is open. And what the guide is told.
 */
int near_connect(struct hermes_client *client, uint64_t until_ns);

void near_free(struct near *near); /* NULL is allowed */

#endif
