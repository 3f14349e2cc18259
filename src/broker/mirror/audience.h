/*
 * Whom a topic is sent to: to each receiver a sender of its own (mirror/sender.h), behind one socket; or to a
 * group one for all, which has the first seat.
 *
 *     who                       is told by                  datagrams are
 *     a receiver with a grant   the id that is on them      sealed with its secret (grants.h)
 *     anybody, where `open`     its address                 in the clear
 *
 * What goes to a group is either sealed or, where it is open, in the clear.
 *
 * Nothing of who has neither is answered, not even by a challenge.
 *
 * For the thread that serves. A sender is 350 KiB, made when somebody is there for the first time.
 */
#ifndef BROKER_MIRROR_AUDIENCE_H
#define BROKER_MIRROR_AUDIENCE_H

#include "broker/mirror/circle.h"
#include "mirror/seal.h"
#include "mirror/sender.h"

enum {
    AUDIENCE_GROUP = 64,     /* receivers in a group in the clear; sealed: GRANTS_MAX, with their next keys */
    AUDIENCE_RECEIVERS = 16, /* in the clear at a time; who comes after them gets no answer, and asks again */
    AUDIENCE_SEATS = AUDIENCE_RECEIVERS + GRANTS_MAX,
};

struct seat {
    struct sender *sender;   /* NULL: nobody was here yet */
    struct sealing *sealing; /* NULL: in the clear */
    struct grant *grant;
};

struct audience {
    struct grants *grants;
    bool open; /* who has no grant is answered, too */
    bool group;
    struct mirror_address here;    /* what comes from there came back from the group */
    struct circle circle;          /* of a sealed group */
    struct sender_counters former; /* of those who left, and of nobody: what was refused */
    struct sender_config config;   /* of the next sender */
    struct mirror_source source;
    struct seat seats[AUDIENCE_SEATS]; /* the first ones in the clear; then one for each grant */
};

/* The next seat that has a sender, after that one (NULL: from the first on). NULL: there is none. */
struct seat *audience_next(struct audience *audience, struct seat *after);

/* Whom a datagram is of: opened in place, and *length that of the plain one. NULL: of nobody. */
struct seat *audience_hear(struct audience *audience, uint64_t now_ns, const struct mirror_address *from,
                           void *bytes, size_t *length);

/* It has a sender from here on, as config says now. HERMES_ENOMEM, HERMES_EINVALID: there is no epoch yet. */
int audience_seat(struct audience *audience, struct seat *seat);

/* What the sender wants sent, as it goes out. false: it cannot be sealed, and must not go. */
bool audience_seal(struct audience *audience, struct seat *seat, struct mirror_packet *packet);

/* Who may receive no more leaves. */
void audience_look(struct audience *audience, uint64_t now_ns);

uint32_t audience_count(const struct audience *audience);

/* Of all, who were there ever. All that was not taken is `refused`. */
struct sender_counters audience_counters(const struct audience *audience);

void audience_leave(struct audience *audience);

static inline const struct listener *seat_listener(const struct seat *seat)
{
    return &sender_listeners(seat->sender)->all[0];
}

/* How far all have it whom that is known of, of that seat: no further than position. */
uint64_t seat_slowest(const struct seat *seat, uint64_t position);
/* Round trip of the slowest of them; and bytes that they missed. */
uint64_t seat_rtt_ns(const struct seat *seat);
uint64_t seat_missed(const struct seat *seat);

#endif
