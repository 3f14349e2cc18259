/* What client, publisher and subscriber know of each other. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/path.h"
#include "client/identity.h"
#include "hermes/client.h"
#include "io/channel.h"
#include "io/places.h"
#include "log/reader.h"

/* near.c: the way from TCP to shared memory. */
struct near {
    struct hermes_client *guide;
    struct channel channel; /* to the Unix socket, until it is the client's */
    struct wire_invitation invitation;
    uint64_t number;                                              /* of the request that is under way */
    uint64_t began_ns;                                            /* with the guide's welcome */
    bool has_led;                                                 /* the guide, to a session */
    int (*next)(struct hermes_client *client, uint64_t until_ns); /* what is awaited; NULL: nothing yet */
};

struct hermes_client {
    struct channel channel;
    struct places places;
    struct identity identity;
    unsigned turn; /* which of them is tried, and which of its addresses */
    struct hermes_publisher *publishers;
    struct hermes_subscriber *subscribers;
    uint64_t last_attempt_ns;
    uint64_t pause_ns;           /* longer with each attempt that finds nobody; 0: the last one did */
    uint64_t attempt_pause_ns;   /* from the last attempt to the next one */
    uint64_t request_timeout_ns; /* how long the broker may take to answer */
    uint64_t hello;              /* the number of the request that greeted it */
    uint64_t proof;              /* of the one that says by a token who we are; 0: none does */
    uint64_t unanswered;         /* that of a goodbye that was waited for in vain; 0: of none */
    int told_fd;                 /* what it lets us tell in, log/told.h; -1: nothing */
    uint32_t instance;           /* of the broker at the other end, once it has let us in: before that 0 */
    uint32_t welcome;            /* the same, from its welcome on */
    int refused;               /* HERMES_EACCESS, HERMES_EPROTOCOL: one end does not want the other; else 0 */
    uint64_t refused_ns;       /* which attempt told: its time */
    struct error_text refusal; /* the sentence */
    struct near *near;         /* by which a session over TCP goes on in shared memory; NULL: it does not */
    bool is_invited;           /* its broker seems to be on this host, and would have it do so */
    void (*tend)(struct hermes_client *client); /* what is due for handles that nobody calls */
    struct error_text error;
};

/*
 * A request, over a new connection if the old one is gone. Publishers and subscribers are opened again
 * by themselves, when they next need the broker. HERMES_ETIMEOUT: no answer within request_timeout_ns, and
 * whatever it still opens is closed; HERMES_EINTERRUPTED: it is not wanted any more, and the same.
 */
int client_request(struct hermes_client *client, enum wire_type type, const void *payload, uint32_t length,
                   enum wire_type expected, uint32_t expected_bytes);

/* The same with a deadline of the caller's, if that is earlier. */
int client_request_until(struct hermes_client *client, enum wire_type type, const void *payload,
                         uint32_t length, enum wire_type expected, uint32_t expected_bytes,
                         uint64_t until_ns);

/* Connects and waits for the welcome: to one place after the other, each of which has its part of the time.
 */
int client_dial(struct hermes_client *client, uint64_t until_ns);

/* The same, unless there is a session: asked for outright, not at most every so often. */
int client_ensure_now(struct hermes_client *client, uint64_t until_ns);

/* The first request of a connection, alone. */
int client_say_hello(struct channel *channel, uint64_t until_ns, struct error_text *text);

/* Connects and says hello; whoever asks for something next need not wait for the welcome. */
int client_greet(struct hermes_client *client, uint64_t until_ns);
int client_await_welcome(struct hermes_client *client, uint64_t until_ns);
/* The channel's last reply, to no request that somebody waits for: does it answer hello or token? On failure
 * there is no session. */
bool client_take_greeting(struct hermes_client *client);

/* No broker came back, or it does not let us in: HERMES_EDISCONNECTED, and a sentence about the topic. */
int client_say_away(struct hermes_client *client, const char *topic);

/* Tells the broker that a handle is not needed any more, and waits for its answer as long as that - not at
 * all while an earlier one that was waited for in vain has none: the broker answers in order. */
int client_close_handle(struct hermes_client *client, uint32_t handle, uint64_t until_ns);

/* Does that request give the session something that another may want? */
bool client_opens(enum wire_type type);

/* Nobody waits for the answer to that request any more: what it opened, or still will, is closed. Waits for
 * nothing. */
void client_forget(struct hermes_client *client, uint64_t correlation);

/* Its connection and all that is its own. Nobody is told. */
void client_free(struct hermes_client *client);

/* Do messages go through the connection? Else through shared memory. */
static inline bool client_streams(const struct hermes_client *client)
{
    return client->places.streams;
}

/* What needs shared memory cannot be had: HERMES_ENOTSUP, and why. */
int client_miss_memory(struct hermes_client *client, const char *what);

/*
 * ---- near.c ----
 *
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

/* Before the first handle is opened, which binds the client to where it is: to shared memory again, or over
 * TCP. What stands in the way is told by whatever is asked next. */
void near_settle(struct hermes_client *client, uint64_t until_ns);

void near_free(struct near *near); /* NULL is allowed */

/* ---- client.c ---- */

/* When client_ensure() will try again, or see to one that hangs: how long until then. */
uint64_t client_next_attempt(const struct hermes_client *client);

/* Is there a session? Connects again if the broker went away, without waiting. HERMES_EDISCONNECTED: nobody
 * is there (tried at most every 10 ms; over a network less and less often, down to once a second). */
int client_ensure(struct hermes_client *client);

/* A topic name into a wire field. HERMES_ENAME. */
int client_put_topic(struct hermes_client *client, char to[WIRE_TOPIC_BYTES], const char *topic);

/* A descriptor that should have come with a reply is not there. HERMES_ELIMIT: this process has no room for
 * it; HERMES_EPROTOCOL: the broker sent none. */
int client_miss_fd(struct hermes_client *client);

/* Maps a descriptor from the broker, and closes it; checks that the file is as large as it must be. bytes 0:
 * all of it. */
int client_map_fd(struct hermes_client *client, int fd, size_t bytes, enum map_access access,
                  struct map *map);

/* Where a handle tells, by the broker's word in its answer; *map is that line's page, and is released first.
 * It has none, or has none here: nothing is told. */
void client_map_told(struct hermes_client *client, uint32_t line, uint64_t generation, struct map *map,
                     struct told *told);

/* A list that the broker gives in parts: each part begins with a wire_list_head, each item with its name. */
struct client_listing {
    enum wire_type type, reply;
    void *request;
    uint32_t request_bytes;
    char *after; /* in the request: names greater than this; moves on with each part */
    size_t item_bytes;
    int (*read)(const uint8_t *item, void *info); /* into the caller's struct, whose size is set */
};

/* Up to count items into infos, an array of structs as large as the first says; returns how many. */
int client_list(struct hermes_client *client, const struct client_listing *list, void *infos, size_t count);

/* store_find() by the broker. */
int client_open_segment(struct hermes_client *client, uint64_t topic_id, enum store_key key, uint64_t value,
                        struct store_place *place);

#endif
