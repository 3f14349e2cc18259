/*
 * What the threads of mirrors share: a socket, sleeping, and what they tell others of themselves.
 *
 *     engine->body = serve_body; engine_prepare(engine); engine_go(engine) ... engine_end(engine);
 *     engine_join(engine);
 */
#ifndef BROKER_MIRROR_ENGINE_H
#define BROKER_MIRROR_ENGINE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "broker/mirror/lookup.h"
#include "io/udp.h"
#include "mirror/socket.h"

struct counters_entry;
struct grants;
struct topic;

enum mirror_role { MIRROR_SERVES = 1, MIRROR_FOLLOWS = 2 };

/* As enum hermes_topic_mirror_state. */
enum mirror_state {
    MIRROR_STARTING = 0,
    MIRROR_WAITING = 1,  /* serves: nobody is there. follows: no answer, or no address yet */
    MIRROR_ACTIVE = 2,   /* somebody is there; the copy goes on */
    MIRROR_DIVERGED = 3, /* the copy has what its source does not, or is of another topic: it stops */
    MIRROR_FAILED = 4,   /* for another reason: engine->error */
};

enum mirror_figure {
    MIRROR_RECEIVERS,
    MIRROR_POSITION, /* serves: sent to all; follows: of the copy's end */
    MIRROR_LAG_BYTES,
    MIRROR_RTT_NS,
    MIRROR_DATAGRAMS, /* serves: sent for the first time; follows: received */
    MIRROR_BYTES,     /* of the log, likewise */
    MIRROR_LOST,      /* bytes that were noticed to be missing */
    MIRROR_REPAIRED,  /* bytes sent again; that came after they had been missing */
    MIRROR_GONE,      /* bytes that could not be repaired */
    MIRROR_DUPLICATES,
    MIRROR_NAKS,
    MIRROR_OVERRUNS, /* of the socket */
    MIRROR_REFUSED,  /* datagrams: malformed, or strangers' */
    MIRROR_FIGURES
};

struct engine {
    struct topic *topic;
    enum mirror_role role;
    char url[UDP_URL_BYTES];
    struct grants *grants;                  /* serves: whom it may be sent to */
    const struct lookup_identity *identity; /* follows: as whom the source's broker is asked */
    void *(*body)(void *engine);
    pthread_t thread;
    bool runs;
    int event_fd;
    sem_t go;
    _Atomic bool stop;
    /* Told by the thread, relaxed: each by itself. */
    _Atomic uint32_t state; /* enum mirror_state */
    _Atomic int32_t error;  /* of MIRROR_WAITING and MIRROR_FAILED: enum hermes_error, or 0 */
    _Atomic uint64_t figures[MIRROR_FIGURES];
    uint64_t busy_ns;                /* the thread's: when it had something to do */
    struct counters_entry *counters; /* the same, for who looks from outside */
    int noted;                       /* the thread's: the error that the operator was told of last */
};

/* The thread is there, and waits for engine_go(), which cannot fail. HERMES_ELIMIT: no thread, or no
 * descriptor, can be had. */
int engine_prepare(struct engine *engine, struct error_text *text);
void engine_go(struct engine *engine);
/* Asks the thread to end, whether it went or not; engine_join() waits for it. Any thread. */
void engine_end(struct engine *engine);
void engine_join(struct engine *engine);

/* ---- the thread's ---- */

static inline bool engine_stops(const struct engine *engine)
{
    return atomic_load_explicit(&engine->stop, memory_order_relaxed);
}

void engine_tell(struct engine *engine, enum mirror_state state, int error);
void engine_figures(struct engine *engine, const uint64_t figures[MIRROR_FIGURES]);

/* HERMES_EIO, HERMES_ELIMIT, ...: where the mirror's URL leads to is not looked up, and it has failed. */
int engine_look_up(struct engine *engine, struct lookup **lookup);

/* What is found there, however long it takes. false: the thread is to end. */
bool engine_await(struct engine *engine, struct lookup *lookup, struct lookup_answer *answer);

/* Is there another answer? It, too, is told where it is an error. */
bool engine_hear(struct engine *engine, struct lookup *lookup, struct lookup_answer *answer);

/* What a socket needs to be bound there, and to reach the group. HERMES_ENOTFOUND: no such interface. */
int engine_place(const struct sockaddr_storage *here, const struct udp_group *group,
                 struct mirror_socket_config *config);

/* Such a socket. Tells why not. */
int engine_bind(struct engine *engine, const struct sockaddr_storage *here, const struct udp_group *group,
                struct mirror_socket **socket);

/* The same at the URL's address, with its group. Tries again and again; false: the thread is to end. */
bool engine_socket(struct engine *engine, struct mirror_socket **socket, struct lookup_answer *here);

/* For a while, after something that failed. */
void engine_pause(struct engine *engine);

/* There was something to do just now; and: was there, so short ago that it looks again before it sleeps? */
void engine_was_busy(struct engine *engine, uint64_t now_ns);
bool engine_spins(const struct engine *engine, uint64_t now_ns);

/* Until a datagram comes, that time by the monotonic clock, another descriptor (-1: none) becomes readable,
 * or the thread is to end. */
void engine_sleep(struct engine *engine, const struct mirror_socket *socket, int other_fd, uint64_t until_ns);

/* Random, for seeds, keys and incarnations. */
void engine_random(void *bytes, size_t count);

#endif
