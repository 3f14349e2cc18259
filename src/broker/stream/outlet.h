/*
 * An outlet: a subscriber at the other end of a connection. It is a cursor in the log and a credit, and
 * nothing is kept for it: its next frames are copied from the window (stretch.h), or sent from a segment
 * (history.h). That of a group's member gets those of them that the member claims (delegate.h).
 */
#ifndef BROKER_STREAM_OUTLET_H
#define BROKER_STREAM_OUTLET_H

#include "broker/stream/delegate.h"
#include "broker/stream/history.h"
#include "broker/stream/stream.h"

struct stretch;

struct outlet {
    struct outlet *next;          /* of the connection */
    struct outlet *next_of_topic; /* until it has ended */
    struct stream *stream;        /* NULL: it is closed, and goes when nothing is under way for it */
    struct topic *topic;
    uint64_t whose; /* of its jobs */
    uint32_t handle;
    uint64_t position, sequence;            /* of the next frame; 0: any */
    uint64_t credit;                        /* bytes of frames that may be sent */
    uint64_t too_little;                    /* the next frame is larger than that */
    bool awaits;                            /* all that was there is sent, and there is credit for more */
    bool flying;                            /* its frames are being sent */
    uint64_t flying_bytes, flying_sequence; /* what of it is, and the sequence behind that */
    struct stretch *stretch;                /* where from; NULL: from history's segment, or a copy */
    struct delegate *member;                /* NULL: of no group */
    unsigned reader; /* 1 + its line in the readers page; 0: publishers do not wait for it */
    bool cold;       /* it was last sent what is in the store */
    struct history history;
    bool ended;  /* nothing more comes, for this reason: */
    bool told;   /* and that was said */
    bool orphan; /* its handle is gone */
    struct wire_end end;
};

/* To be sent: frames, or a member's gifts. */
struct run {
    const uint8_t *bytes;
    uint64_t count;
    uint64_t position, sequence;
};

/* From there on. HERMES_ENOMEM. The member is the outlet's from then on. */
int outlet_open(struct stream *stream, struct topic *topic, const struct wire_outlet *opened, uint64_t credit,
                struct delegate *member, struct outlet **outlet);

/* Publishers wait for it, by that line of the readers page, until it is closed. The window is known. */
void outlet_hold_back(struct outlet *outlet, unsigned line);

/* A member of a group: its frames are not all that there are. */
bool outlet_claims(const struct outlet *outlet);

/* There is news of a member's group. */
void outlet_hear(struct outlet *outlet);

/* Of a member. HERMES_EAGAIN: not before it has been told of those before. */
int outlet_settle(struct outlet *outlet, enum wire_type type, const struct wire_ack *ack);

/* The handle is closed, or the session over: nothing more is sent. */
void outlet_close(struct outlet *outlet);

/* The topic goes, and the handle with it: the client is told. */
void outlet_orphan(struct outlet *outlet, int code, const char *text);

/* HERMES_EPROTOCOL: more than can be counted. */
int outlet_give_credit(struct outlet *outlet, uint64_t bytes);

/* What is to be sent next, until outlet_sent(). false: nothing now, and its stream is ready when there is. */
bool outlet_next(struct outlet *outlet, struct run *run);
void outlet_sent(struct outlet *outlet);

/* Its end was said. May free it. */
void outlet_told(struct outlet *outlet);

#endif
