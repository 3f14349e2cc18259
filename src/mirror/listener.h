/*
 * Who listens to a sender: what each has, how far it lets the sender go, what it asked for, what it may cost.
 */
#ifndef MIRROR_LISTENER_H
#define MIRROR_LISTENER_H

#include "mirror/congestion.h"
#include "mirror/pacer.h"
#include "mirror/packet.h"
#include "mirror/rtt.h"

enum { LISTENERS_MAX = 1024, ASKS_MAX = 128 /* ranges that one may have asked for and not got yet */ };

struct ask {
    uint64_t position, end;
    uint64_t heard; /* what was sent with a higher number was on its way when this was asked */
};

struct listener {
    uint32_t id; /* 0: this place is free */
    struct mirror_address address;
    uint64_t nonce, tag;
    uint64_t start_position;
    uint32_t session; /* of its last report; 0: it has not reported yet */
    bool setup_due, gone_due;
    uint64_t gone_asked;

    uint64_t position, window_bytes; /* it has all below; and takes so much more */
    bool catching_up;                /* it lives on repairs, and holds up nobody */
    uint64_t heard_ns;
    struct rtt rtt;
    uint64_t received_bytes, missed_bytes; /* as it says */

    struct arrival arrival;
    struct pacer budget; /* what it may have repaired */
    uint32_t asks_first, asks;
    struct ask ask[ASKS_MAX];
};

enum sender_flow {
    SENDER_ALL,      /* the slowest that is live holds the window: nobody falls behind. Unicast too */
    SENDER_MAX,      /* the fastest alone: who falls behind catches up from the log */
    SENDER_MIN_GROUP /* the slowest of those with the group's tag; others as with SENDER_MAX */
};

struct listeners {
    uint32_t max, count;
    uint32_t session;                      /* the current one */
    uint32_t generation;                   /* of names: none is given twice soon */
    uint32_t setups_due, gone_due, asking; /* how many */
    uint32_t turn;                         /* whose asks are next */
    struct listener *all;
};

/* NULL: nobody has that name, at that address. */
struct listener *listeners_find(struct listeners *listeners, uint32_t id,
                                const struct mirror_address *address);
struct listener *listeners_at(struct listeners *listeners, const struct mirror_address *address);

/* A place, and a name; else NULL. */
struct listener *listeners_add(struct listeners *listeners, const struct mirror_address *address);
void listeners_remove(struct listeners *listeners, struct listener *listener);

/* Up to where the sender may send, having sent up to next. Nobody there: next. Who has not reported yet does
 * not count: what is sent before it knows of the session is lost. Who has not reported since the session
 * began lets nothing pass. */
uint64_t listeners_limit(struct listeners *listeners, enum sender_flow flow, uint64_t tag,
                         uint32_t tagged_min, uint64_t next);

/* The lowest estimate of those that hold the window; 0: there is none. over: a cycle is, and estimates begin
 * anew. */
uint64_t listeners_arrival(const struct listeners *listeners);
void listeners_next_cycle(struct listeners *listeners);

/* The slowest round trip of all. mean_ns 0: none was measured. */
struct rtt listeners_rtt(const struct listeners *listeners);

/* false: it has asked for too much already. */
bool listener_asks(struct listeners *listeners, struct listener *listener, const struct ask *ask);
void listener_answered(struct listeners *listeners, struct listener *listener);

static inline struct ask *listener_ask(struct listener *listener)
{
    return &listener->ask[listener->asks_first];
}

void listener_setup(struct listeners *listeners, struct listener *listener, bool due);
void listener_gone(struct listeners *listeners, struct listener *listener, bool due);

#endif
