/*
 * hermes/topic_mirror.h - mirrors: topics of one broker on others.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors.
 */
#ifndef HERMES_TOPIC_MIRROR_H
#define HERMES_TOPIC_MIRROR_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/connect.h"

#ifdef __cplusplus
extern "C" {
#endif

enum hermes_mirror_role {
    HERMES_MIRROR_SERVES = 1,  /* this broker sends the topic to others, from that address */
    HERMES_MIRROR_FOLLOWS = 2, /* the topic here is the copy of what is sent from there */
};

enum hermes_topic_mirror_state {
    HERMES_TOPIC_MIRROR_STARTING = 0,
    HERMES_TOPIC_MIRROR_WAITING = 1,  /* serves: for others; follows: for an answer */
    HERMES_TOPIC_MIRROR_ACTIVE = 2,   /* somebody is there; the copy goes on */
    HERMES_TOPIC_MIRROR_DIVERGED = 3, /* the copy has messages that its source does not have, or is of another
                                   topic: it stays as it is */
    HERMES_TOPIC_MIRROR_FAILED = 4,   /* it stays as it is, for the reason that `error` names */
};

typedef struct hermes_mirror_info {
    size_t size; /* sizeof(hermes_mirror_info_t), set by the caller */
    char topic[128];
    char url[128];
    uint32_t role;       /* enum hermes_mirror_role */
    uint32_t state;      /* enum hermes_topic_mirror_state */
    int32_t error;       /* why it waits or failed; 0: for no error */
    uint32_t receivers;  /* serves: that are there */
    uint64_t position;   /* serves: all of them have what is below; follows: so far it is copied */
    uint64_t lag_bytes;  /* from there to the end of the topic, as far as it is known */
    uint64_t rtt_ns;     /* of the slowest; 0: not measured yet */
    uint64_t datagrams;  /* with messages: serves: sent for the first time; follows: received */
    uint64_t bytes;      /* likewise */
    uint64_t lost;       /* bytes that were noticed to be missing, and asked for */
    uint64_t repaired;   /* serves: bytes that were sent again */
    uint64_t gone;       /* asked for, and not there any more: serves: how often; follows: bytes */
    uint64_t duplicates; /* follows: datagrams with what was there */
    uint64_t naks;       /* serves: received; follows: sent */
    uint64_t overruns;   /* follows: how often its socket was full */
    uint64_t refused;    /* datagrams: damaged, or strangers' */
} hermes_mirror_info_t;

/*
 * A topic of another broker, here: the same messages, at the same positions and with the same sequences, read
 * as those of any topic. The topic must be there.
 *
 *   - HERMES_MIRROR_SERVES: that broker sends it, from that address of its host, "udp://HOST:PORT", to up to
 *     16 others; or to a group by multicast, "udp://HOST:PORT?group=ADDRESS:PORT&interface=NAME&ttl=N", where
 *     interface and ttl (1) may be left out;
 *   - HERMES_MIRROR_FOLLOWS: this broker copies it from there. url: "tls://HOST:PORT", where the other broker
 *     listens: it is asked where the datagrams come from, and for a key to them (hermes_mirror_key()); or
 *     "udp://HOST:PORT", where they come from, without a key. Behind "tls://HOST:PORT" may stand
 *     "?interface=NAME", behind the other the group as above. It copies from the first message that still
 *     exists, and goes on where it was after a restart of either. The topic is exclusive, has no message yet,
 * and a window not smaller than its source's. Nobody publishes to it, purges or deletes it as long as it is
 *     a mirror: HERMES_EBUSY. What the source has no more when it is asked for is lost, as HERMES_EGONE
 *     says to who reads; a topic that is stored takes no such hole, and its mirror fails.
 *
 * It is for good: restarts of the broker begin it again. What is sent without a key is neither encrypted nor
 * authenticated: HERMES_EACCESS, and no answer to who has none, unless the broker's configuration has [net]
 * insecure = true. HERMES_EEXISTS: the topic has
 * one of that role; HERMES_EINVALID: no such URL, or topic as above; HERMES_EBUSY: it has a publisher, or
 * somebody has the address; HERMES_ENOTFOUND: no such topic, or host; HERMES_ELIMIT: 64 mirrors.
 */
HERMES_API int hermes_mirror_add(hermes_client_t *client, const char *topic, enum hermes_mirror_role role,
                                 const char *url);
/* Ends it. What is copied stays, and the topic takes publishers, who go on where the copy ends. url NULL: the
 * topic has but one. HERMES_ENOTFOUND, HERMES_EINVALID. */
HERMES_API int hermes_mirror_remove(hermes_client_t *client, const char *topic, const char *url);
/* Up to count of the broker's mirrors; returns how many. The size of infos[0] is that of all. */
HERMES_API int hermes_mirror_list(hermes_client_t *client, hermes_mirror_info_t *infos, size_t count);
enum { HERMES_MIRRORS_MAX = 64 };

/* What a receiver needs of a topic that is sent sealed: where the datagrams come from, and its key to them.
 */
typedef struct hermes_mirror_grant {
    size_t size;        /* sizeof(hermes_mirror_grant_t), set by the caller */
    uint64_t topic_id;  /* of the topic there */
    uint64_t lasts_ns;  /* so long from now on; then there is another */
    char url[128];      /* udp://HOST:PORT, of a multicast stream with ?group=ADDRESS:PORT behind it */
    uint8_t secret[32]; /* secret, id and member are those of hermes_mirror_key_t (hermes/mirror.h) */
    uint16_t id;
    uint16_t member;
    uint32_t reserved; /* 0 */
} hermes_mirror_grant_t;

/*
 * Asks the broker that serves the topic for such a grant: over tls://, or on its host. It is this client's,
 * and good for as long as the client is connected and may subscribe to the topic: it lapses 10 s after the
 * connection ended, and at once when the right is taken away. Asking again gives the same one, or the one
 * after it where its time is over or the connection was another one: so ask once in a while, and begin anew
 * with what is another secret. For one receiver: numbers of datagrams under one secret are used once.
 * HERMES_EACCESS: the right is missing, or the connection is not encrypted; HERMES_ENOTFOUND: there is no
 * such topic, or it is not sent; HERMES_ELIMIT: it has 32 grants; HERMES_EPROTOCOL: what the broker says is
 * none.
 */
HERMES_API int hermes_mirror_key(hermes_client_t *client, const char *topic, hermes_mirror_grant_t *grant);

#ifdef __cplusplus
}
#endif
#endif
