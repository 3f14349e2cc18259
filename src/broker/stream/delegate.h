/*
 * A member of a group at the other end of a connection, or who has a durable subscription there: the broker
 * does for it in the group's page what a member on this host does for itself (group/group.h). What it claims
 * out of frames that somebody else found (outlet.h) is put together here until it is sent; what it
 * acknowledges is done at once, and what came of that is told.
 *
 * Nothing here waits, or looks at more than it was given.
 */
#ifndef BROKER_STREAM_DELEGATE_H
#define BROKER_STREAM_DELEGATE_H

#include "broker/stream/party.h"
#include "log/frames.h"

enum { DELEGATE_GIFTS = 64, DELEGATE_GIFT_BYTES = 65600 /* the largest frame */, DELEGATE_REFUSALS = 16 };

/* What is being sent. */
struct gifts {
    unsigned count;
    uint64_t bytes;  /* of frames */
    uint64_t credit; /* that they count */
    struct wire_gift list[DELEGATE_GIFTS];
    uint8_t frames[DELEGATE_GIFT_BYTES];
};

struct delegate {
    struct party *party;
    unsigned line;
    uint64_t id;
    uint16_t claim;            /* of a durable subscription: what all its messages carry */
    bool continues;            /* and who has it is who had it */
    uint64_t had_to;           /* then: what it may have been sent before is below; else 0 */
    struct group_member group; /* not of one */
    uint32_t least;            /* each message counts so many bytes of credit, or more */
    bool has_all;              /* and it was told that there is nothing for it */
    struct gifts *gifts;       /* NULL: nothing */
    bool pending;              /* a message was claimed again that is not read yet */
    uint64_t pending_at;
    uint16_t pending_claim;
    uint64_t short_of;             /* so much credit there was not for what came again: it waits for that */
    bool in_gap;                   /* messages are gone, and it is not known yet how many */
    struct group_place before_gap; /* where that began; sequence UINT64_MAX: not known */
    uint64_t lost;                 /* messages that it found to be gone */
    int why;                       /* the latest */
    uint64_t came, told;           /* acks and the like: all; of how many it was told what came of them */
    unsigned refusals;
    struct wire_refusal refused[DELEGATE_REFUSALS];
};

/* opened: what it was given, in the group of that party, which it leaves when it is freed. former: what its
 * client says that it was; resumed: and is again. HERMES_ENOMEM, HERMES_EMALFORMED. */
int delegate_new(struct party *party, const struct wire_subscriber *opened,
                 const struct wire_member_open *former, struct delegate **member);
void delegate_free(struct delegate *member); /* NULL is allowed */

static inline bool delegate_is_durable(const struct delegate *member)
{
    return member->party->mask == 0;
}

/* 0: it is one. HERMES_EAGAIN: nothing counts at the moment; HERMES_EEXPIRED, HERMES_ECLOSED: it is over. */
int delegate_state(const struct delegate *member);

/* Where its group stands, and its messages begin. */
uint64_t delegate_start(const struct delegate *member);

/* ---- what it is given ---- */

/* Before the others. HERMES_ENOMEM. */
int delegate_begin(struct delegate *member);

/* Is there a message that came again? 1: it is claimed, and stands at pending_at until it is taken; 0: none
 * that it could be sent; HERMES_EAGAIN: not found yet. *looks_on: there is more to be looked at in the next
 * turn. */
int delegate_wants_again(struct delegate *member, uint64_t credit, bool *looks_on);

/* It was found: the frames begin with its, if it is at pending_at. HERMES_EBUSY: there is no room for it, but
 * credit. Without that it is passed on. */
int delegate_take_again(struct delegate *member, const struct frames *frames, uint64_t credit);
/* It takes so much credit, at least, as there is not: nobody keeps a message that he cannot be sent. */
void delegate_pass_on(struct delegate *member, uint64_t bytes);
/* It cannot be read any more, and is done. */
void delegate_write_off(struct delegate *member, int why);

/* Those of the frames that nobody had yet, which go on behind those that were looked at. HERMES_EBUSY: no
 * room for the next one, or no credit; HERMES_EAGAIN: too much is in flight; HERMES_E...: that is no frame.
 */
int delegate_take_new(struct delegate *member, struct frames *frames, uint64_t credit);

/* What lies from here on cannot be read, for that reason; sequence 0: not known. */
void delegate_begin_gap(struct delegate *member, uint64_t position, uint64_t sequence, int why);
/* The next message that can be. */
void delegate_end_gap(struct delegate *member, uint64_t position, uint64_t sequence);

/* What was taken goes out, or nothing, if the page is over: how many bytes from *bytes on, the list first. */
size_t delegate_give(struct delegate *member, const uint8_t **bytes);
void delegate_given(struct delegate *member);

/* ---- what it says ---- */

/* HERMES_EAGAIN: it has not been told yet of those before. end: what it was sent is below; who continues was
 * sent more over former connections. */
int delegate_settle(struct delegate *member, enum wire_type type, const struct wire_ack *ack, uint64_t end);

/* What it is to be told; false: nothing new. */
struct settled {
    struct wire_settled head;
    struct wire_refusal refused[DELEGATE_REFUSALS];
};
bool delegate_news(const struct delegate *member, struct settled *settled);
void delegate_told(struct delegate *member);

#endif
