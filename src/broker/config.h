/* The broker's configuration: hermes.conf (INI, read with libinih); everything has a default. */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include <sys/types.h>

#include "broker/mirror/lookup.h"
#include "broker/principal.h"
#include "io/location.h"
#include "io/poller.h"
#include "io/tcp.h"
#include "io/tls.h"
#include "io/udp.h"

enum { CONFIG_SPIN_US = 50 /* the default */, CONFIG_TOPIC_BYTES = 128, CONFIG_MIRRORS_MAX = 64 };

/* A mirror that is begun at the start: [mirror] serve, add. */
struct config_mirror {
    char topic[CONFIG_TOPIC_BYTES];
    char url[UDP_URL_BYTES];
    bool follows;
};

struct config {
    struct location location;
    enum poller_backend backend;
    mode_t socket_mode;
    uint32_t sync_interval_ms;
    uint32_t scrub_mb_s;
    uint32_t scrub_hours;
    uint32_t spin_us;  /* before the loop sleeps; UINT32_MAX: never sleeps */
    uint32_t grace_ms; /* how long after a crash a former publisher may claim its topic before others */
    uint32_t sessions_max;
    uint32_t sessions_reserved; /* of those, for root and the broker's own user */
    uint32_t greet_ms;          /* so long a connection may take to say hello */
    uint64_t most[HOLDINGS];    /* for each user; see principal.h */
    uint32_t topics_max;
    uint32_t workers; /* threads for what may wait for a disk */
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint64_t ring_bytes;
    char listen[TCP_LISTEN_MAX][TCP_URL_BYTES]; /* beside the Unix socket */
    unsigned listen_count;
    bool insecure; /* also where others than this host reach it */
    char certificate[PATH_BYTES], key[PATH_BYTES];
    char client_ca[PATH_BYTES]; /* "": clients are not asked for certificates */
    enum tls_clients clients;   /* else: */
    char tokens[PATH_BYTES], rules[PATH_BYTES];
    bool tokens_named, rules_named; /* and so they must be there */
    bool must_authenticate;         /* who is not on this host, or comes by TCP all the same */
    struct config_mirror mirrors[CONFIG_MIRRORS_MAX];
    unsigned mirror_count;
    struct lookup_identity mirror_identity; /* shown to brokers whose topics are copied */
    uint32_t mirror_spin_us;                /* before the thread of a mirror sleeps */
    uint64_t mirror_rate;                   /* bytes a second, to each receiver; 0: as fast as it lets us */
    uint32_t silent_per_address;            /* TCP connections that have not said hello */
};

/* path NULL: the default file, which may be missing; a file that was named must exist. */
int config_load(struct config *config, const char *path, struct error_text *text);

/* Does such an address begin with tls://? */
bool config_is_secure(const char *url);

/* Is it where a topic can be sent from, or copied from? HERMES_EINVALID. */
int config_check_mirror(const char *url, bool follows, struct error_text *text);

/* "64K", "4MiB", "1G", "65536": bytes. HERMES_EINVALID. */
int config_parse_size(const char *value, uint64_t *bytes);

/* enum poller_backend. HERMES_EINVALID. */
int config_parse_backend(const char *value);

#endif
