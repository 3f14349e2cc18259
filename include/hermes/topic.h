/*
 * hermes/topic.h - topics: to make, alter, list, verify, purge and delete them.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors.
 */
#ifndef HERMES_TOPIC_H
#define HERMES_TOPIC_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/connect.h"

#ifdef __cplusplus
extern "C" {
#endif

enum hermes_durability {
    HERMES_DURABILITY_ASYNC = 0,  /* stored, and synced within the broker's sync interval (10 ms) */
    HERMES_DURABILITY_SYNC = 1,   /* publish returns when fdatasync has: one for all that wait */
    HERMES_DURABILITY_MEMORY = 2, /* kept in shared memory alone; survives any process, not a stop */
};

/* What is 0 is the default. */
typedef struct hermes_topic_options {
    size_t size;            /* sizeof(hermes_topic_options_t) */
    uint32_t durability;    /* enum hermes_durability */
    uint32_t shared;        /* 0: one publisher at a time, the fastest; 1: up to 256, in one order */
    uint64_t window_bytes;  /* power of two, 256 KiB to 1 GiB; 0: the broker's default (4 MiB) */
    uint64_t segment_bytes; /* a multiple of window_bytes, 1 MiB to 1 TiB; 0: the broker's default (64 MiB) */
    uint64_t keep_bytes;    /* retention: at least so much is kept, in whole segments; 0: all */
    uint64_t keep_ns;       /* and all that is younger than this; 0: whatever its age. Either is enough to
                               remove a segment */
    uint32_t full_waits;    /* on a full disk publishers 1: wait for room; 0: get HERMES_EFULL at once */
    uint32_t push_back;     /* 1: publishers wait for those subscribers that ask for it
                               (HERMES_SUBSCRIBE_PUSH_BACK); 0: for none */
} hermes_topic_options_t;

typedef struct hermes_topic_info {
    size_t size; /* sizeof(hermes_topic_info_t), set by the caller */
    char name[128];
    uint64_t topic_id;
    uint32_t durability;
    uint32_t shared;
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint64_t first_position;     /* the oldest that exists */
    uint64_t committed_position; /* behind the last message */
    uint64_t persisted_position; /* in files, perhaps still in the page cache */
    uint64_t durable_position;   /* on disk */
    uint64_t last_sequence;      /* 0: no message yet */
    uint32_t epoch;
    uint32_t publishers;
    uint32_t subscribers;
    uint32_t failed;  /* 1: the store refused a write; the topic takes no publisher */
    uint64_t refused; /* malformed frames */
    uint64_t corrupt; /* damaged frames that were found in the store */
    uint64_t keep_bytes;
    uint64_t keep_ns;
    uint32_t full_waits;
    uint32_t full; /* 1: there is no room for the store at the moment */
    uint32_t push_back;
    uint32_t waited_for; /* subscribers that publishers wait for */
} hermes_topic_info_t;

/* options NULL, or all 0: async, exclusive, the broker's sizes. HERMES_EEXISTS, HERMES_ENAME,
 * HERMES_EINVALID, HERMES_ELIMIT, HERMES_EFULL. */
HERMES_API int hermes_topic_create(hermes_client_t *client, const char *topic,
                                   const hermes_topic_options_t *options);

/* What hermes_topic_alter() is to change: enum hermes_alter bits, and the values of those fields. */
enum hermes_alter { HERMES_ALTER_KEEP_BYTES = 1, HERMES_ALTER_KEEP_NS = 2, HERMES_ALTER_FULL_WAITS = 4 };

/* Takes effect at once, whoever publishes or reads, and stays. fields: which of options' fields are meant. */
HERMES_API int hermes_topic_alter(hermes_client_t *client, const char *topic, uint32_t fields,
                                  const hermes_topic_options_t *options);

/* What hermes_topic_verify() found. */
typedef struct hermes_verification {
    size_t size;                           /* sizeof(hermes_verification_t), set by the caller */
    uint64_t first_position, end_position; /* what was looked at: from the oldest to what was stored */
    uint64_t messages;                     /* that are right */
    uint64_t damaged;                      /* ranges that are not */
} hermes_verification_t;

/* Positions from `from` up to `to` are damaged; error: HERMES_ECHECKSUM, HERMES_EMALFORMED, HERMES_ECORRUPT
 * (a sequence that does not follow), HERMES_EIO. */
typedef void (*hermes_damage_t)(void *context, uint64_t from, uint64_t to, int error);

/*
 * Reads everything that is stored of a topic and checks header, checksum and sequence of each frame, whoever
 * publishes and reads meanwhile. damage (may be NULL) is called for each damaged range. HERMES_OK also when
 * there was damage: see result. HERMES_ENOTSUP: a memory topic. Cost: the reading, and some 15 GB/s of CPU.
 */
HERMES_API int hermes_topic_verify(hermes_client_t *client, const char *topic, hermes_damage_t damage,
                                   void *context, hermes_verification_t *result);

/* HERMES_EBUSY: it has a publisher, or one that may come back after a restart of the broker, or the broker
 * has not yet taken in what a former one of a shared topic left; HERMES_EIO: it is not served, or cannot be
 * deleted. HERMES_ENOTFOUND, HERMES_ENAME. Subscribers get HERMES_ECLOSED once they have read what there is.
 */
HERMES_API int hermes_topic_delete(hermes_client_t *client, const char *topic);

/*
 * Drops all messages of the topic that are in it when the broker comes to it, whoever publishes and reads;
 * positions and sequences go on. Who was to read one of them is told HERMES_EGONE, counts it as lost, and
 * goes on with the first that came later; so do, once there is one, members of groups and durable
 * subscriptions, which stay as they are: what was in flight is lost to them, and can be acked still. It is
 * for good when this returns: after a crash or a power cut in the middle of it all are gone, or none. Disk
 * space comes back in whole segments; the latest stays until retention takes it. On a full disk what is
 * stored goes first, and makes room for what stands in memory, which goes then. HERMES_ENOTFOUND,
 * HERMES_ENAME; HERMES_EFULL: there is no room all the same, and what stands in memory stays, or nothing has
 * gone: not even a note of it could be written; HERMES_EIO: the topic's store failed. HERMES_ETIMEOUT: the
 * disk takes its time, and it is not known yet.
 */
HERMES_API int hermes_topic_purge(hermes_client_t *client, const char *topic);
HERMES_API int hermes_topic_describe(hermes_client_t *client, const char *topic, hermes_topic_info_t *info);
/* Up to count topics whose names come after `after` ("": from the first), by name; returns how many. The size
 * of infos[0] is that of all. */
HERMES_API int hermes_topic_list(hermes_client_t *client, const char *after, hermes_topic_info_t *infos,
                                 size_t count);
/* The same of the topics that are on the disk, but that the broker could not load when it started, and does
 * not serve: it said why. Of each its name, and its id if that could be read (else 0); all else is 0. */
HERMES_API int hermes_topic_list_unserved(hermes_client_t *client, const char *after,
                                          hermes_topic_info_t *infos, size_t count);

#ifdef __cplusplus
}
#endif
#endif
