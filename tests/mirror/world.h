/*
 * One history: a log that grows, a sender, receivers and a network, in virtual time. Every byte that a
 * receiver delivers is compared, and everything that is sent is looked at.
 */
#ifndef TESTS_MIRROR_WORLD_H
#define TESTS_MIRROR_WORLD_H

#include "mirror/receiver.h"
#include "mirror/scenario.h"
#include "mirror/seal.h"
#include "mirror/sender.h"

enum { SLOT_NOTHING = 0, SLOT_LOST = 255, TAPE_MAX = 64 };

/* Of 64-bit words, none of them 0. */
struct numbers {
    uint64_t *slots;
    uint64_t count, room;
};

/* What somebody on the way wrote down. */
struct recorded {
    struct mirror_address from;
    struct mirror_packet packet;
};

struct host {
    struct world *world;
    uint32_t index;
    struct receiver *receiver;
    struct mirror_address address;
    struct link down, up;
    uint64_t begins_ns;    /* when it is started */
    uint64_t cut_until_ns; /* partitioned */
    uint64_t wakes_ns;
    uint32_t starts;
    uint64_t number; /* of its last datagram, since it was started */
    struct sealing *sealing;
    uint16_t member;
    /* What its sink has. */
    bool has_begun;
    uint64_t begin, position;
    uint32_t epoch;
    uint8_t *slots; /* of which epoch each 64 bytes are */
    uint64_t delivered_ns;
    bool overflowed;
    uint64_t naks, duplicates;
};

struct world {
    const struct scenario *scenario;
    struct network network;
    struct mirror_packet packet;
    uint64_t events;
    const char *broken; /* what does not hold; NULL: all does */
    uint64_t ended_ns;  /* when everybody had everything */

    uint64_t first, end; /* of the log */
    bool complete;
    uint32_t epochs;
    uint64_t epoch_begin[EPOCHS_MAX + 1]; /* of epoch i */

    struct sender *sender;
    struct link shared;
    uint32_t sender_starts;
    uint64_t sender_wakes_ns, sender_number;
    uint64_t furthest;
    uint64_t stranger_received, stranger_sent; /* by the sender, at addresses that answer nothing */
    bool proven[RECEIVERS_MAX];
    uint64_t received[RECEIVERS_MAX],
        sent[RECEIVERS_MAX]; /* by the sender, at and to each, before it was proven */

    /* Sealed histories. */
    struct sealing *sealing;            /* the sender's */
    struct seal_grant grant;            /* of this start of the sender; members so far */
    struct numbers key_streams, opened; /* that were used; by whom what was */
    uint32_t taped;
    struct recorded tape[TAPE_MAX];

    uint64_t lost_bytes, lost; /* of the log, by the network: at each receiver, and datagrams */
    uint64_t shared_lost;      /* datagrams that no receiver got */
    uint64_t asked_bytes, repair_bytes, repairs, naks;

    /* For reports: when each slot was written; how late it was delivered by the latest. */
    void (*delivered)(struct world *world, struct host *host, uint64_t position, uint64_t bytes);
    void *context;
    struct host host[RECEIVERS_MAX];
};

/* Runs it to its end. false: world->broken. */
bool world_run(struct world *world, const struct scenario *scenario);
void world_free(struct world *world);

#endif
