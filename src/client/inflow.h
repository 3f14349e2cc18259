/*
 * A subscriber whose messages come through the connection: the client's end of an outlet
 * (docs/reference/protocol.md, "Streams").
 *
 *     inflow       what comes, the place in the log, the next outlet when a connection broke
 *     far_member   who is a member of a group, or has a durable subscription: who it is to the broker
 *     gifts        a group's messages, of which each comes with its claim
 *     settling     what is said of them
 *
 * What comes is kept in a ring of this process, runs of frames as they stand in the log, and read from there
 * as what is stored is read. The broker sends no more than there is room for, so whoever reads the
 * connection, for whatever handle, can put it there. A connection that breaks takes nothing along: what was
 * received is read, and then the next outlet begins behind it.
 *
 * The subscriber's reader has no window here: it is the place, the counters, and what is skipped.
 */
#ifndef CLIENT_INFLOW_H
#define CLIENT_INFLOW_H

#include "client/asked.h"
#include "client/settling.h"

enum {
    INFLOW_CREDIT_BYTES = 1024 * 1024,
    /* The ring holds what was granted, what is being looked at, and what describes it. */
    INFLOW_RING_BYTES = 2 * INFLOW_CREDIT_BYTES,
    /* What describes a run, or a gift, takes as much room in the ring as the smallest frame. */
    INFLOW_NOTE_BYTES = HERMES_FRAME_ALIGNMENT,
    /* What each message counts of which a group's member is given: the largest frame. So credit counts
     * messages. */
    GIFT_CREDIT_BYTES = 65600,
};

/* Frames that follow each other. */
struct inflow_run {
    uint64_t end;      /* the position behind them */
    uint64_t position; /* of the first, where the run began */
    uint64_t sequence; /* of its first message */
};

/* A message that a group's member was given, in front of its frame. */
struct gift {
    uint64_t position;
    uint64_t arrived_ns;
    uint64_t since_ns; /* its lease began later than that */
    uint32_t bytes;    /* of its frame */
    uint16_t claim, deliveries;
    bool is_asked_for; /* its lease is being renewed */
    bool is_void;      /* it is another's by now */
};

/* What the caller was given, and how often somebody was. */
struct handed {
    uint64_t position;
    uint16_t claim, deliveries;
};

enum { HANDED_KNOWN = 256 };

/*
 * A member of a group, or who has a durable subscription.
 *
 * The broker is the member (docs/decisions/024), and a connection that breaks is its end: then nothing goes
 * to the caller before the broker was asked whose it is. A group's messages have leases from the moment on
 * when the broker sent them. So few are asked for at a time: one, and more for who is quick; and what waits
 * here is renewed, or asked for, before it goes to the caller late.
 */
struct far_member {
    const char *name;
    bool durable, at_most_once, acks_itself; /* enum hermes_ack_mode */
    uint32_t from;
    uint64_t page, id; /* who it is, or was; id 0: nobody yet */
    bool is_anothers;  /* the durable subscription, when it was last asked for */
    int refused;       /* when it joined again, and nobody was told yet; 0: not */
    struct error_text why;
    uint32_t line, made;
    /* Of a durable subscription: its messages' claim to the broker, and to the caller. That stays what it is
     * when the connection breaks and nobody else has the subscription meanwhile. */
    uint16_t claim, claim_here;
    struct settling settling;

    bool holds; /* acks_itself: the message handed out last is done when the next is asked for */
    struct wire_ack held;
    uint64_t given_to; /* of a durable subscription: behind the farthest message that went to the caller */

    uint64_t lease_ns;  /* 0: not known, or none */
    uint64_t window;    /* bytes of credit that may be out */
    unsigned unread;    /* gifts in the ring */
    bool awaits;        /* the broker has not said yet that there is nothing for it */
    uint64_t lost;      /* by the broker's word, of this handle */
    int untold;         /* why the latest are gone, and nobody was told yet; 0: none */
    uint64_t handed_ns; /* the last one */
    uint64_t looked_ns; /* when it was last looked what comes */
    uint64_t seen_ns;   /* what comes now was sent later than that */
    struct handed handed[HANDED_KNOWN];
};

struct inflow {
    struct hermes_client *client;
    struct reader *reader;
    const char *topic;
    uint64_t topic_id;
    uint32_t durability;

    struct far_member *member; /* NULL: of no group, and without a durable subscription */
    bool push_back;            /* publishers wait for it */

    uint32_t handle; /* of the outlet; 0: there is none */
    uint64_t connection;
    struct asked opening;
    uint32_t asks_from; /* enum wire_outlet_from, of the next one */
    uint64_t ask_ns;    /* not before */
    uint64_t ask_pause_ns;

    struct map ring; /* twice in a row, so that nothing in it is in two pieces */
    /* Bytes ever: that came, that were read, and those from where on nothing may be overwritten, for the
     * caller may still look at it, or credit was not given for it. */
    uint64_t put, taken, released;
    struct inflow_run run; /* that is being read */
    uint64_t last;         /* where the description of the last run stands in the ring; NO_RUN: it is `run` */
    uint64_t granted;      /* bytes of frames that may still come */
    uint64_t log_end;      /* where the log ended when the broker last said so */

    bool ended; /* nothing more comes of this outlet, for: */
    struct wire_end end;
    bool deleted;      /* the topic, for good */
    bool gone;         /* messages before where the reader stands, and the next poll tells */
    uint32_t unwanted; /* an outlet of the same connection that is to be closed; 0: none */

    int events, timer; /* for event loops: an epoll with the connection and the timer in it; -1 */
    bool armed;
    bool has_looked;         /* the last poll found nothing: to arm needs no look of its own */
    uint64_t timer_due_ns;   /* 0: not known */
    uint64_t watched;        /* the connection (channel->begun) that is in `events`, */
    uint32_t watched_events; /* with these */
};

/* Who is more than a plain reader. name: of the group, or of the durable subscription; NULL: neither. */
struct inflow_kind {
    const char *name;
    bool durable, push_back;
    uint32_t from, ack;
};

/* Opens topic, from its end or its first message, and waits for that. *inflow is there on failure, too, but
 * for HERMES_ENOMEM: to be closed. Topic and name are the caller's, and stay. */
int inflow_open(struct hermes_client *client, const char *topic, const struct inflow_kind *kind,
                struct reader *reader, uint64_t until_ns, struct inflow **inflow);
void inflow_free(struct inflow *inflow);
/* Tells the broker, too; a member, and who is waited for, waits until then for its answer. A member that the
 * broker does not know tries until known_ns to be known, and to say what it has to say. */
void inflow_close(struct inflow *inflow, uint64_t known_ns, uint64_t until_ns);

/* As hermes_poll(). What has come in is taken, and what is due is asked for; nothing is waited for. */
int inflow_poll(struct inflow *inflow, hermes_message_t *message);

/* As hermes_seek_...(): waits until then. */
int inflow_seek(struct inflow *inflow, enum wire_outlet_from from, uint64_t value, uint64_t until_ns);

/* Is the next message on its way, as soon as there is one? */
bool inflow_is_attached(const struct inflow *inflow);

/* Is something to come, of what the broker had when it last said so, or is the broker itself? */
bool inflow_awaits_broker(const struct inflow *inflow);

/* Until there may be something, at most so long. HERMES_EINTERRUPTED. */
int inflow_sleep(struct inflow *inflow, uint64_t timeout_ns);

/* As hermes_subscriber_fd() and hermes_subscriber_arm(). *late: what came out meanwhile, for the next poll to
 * tell, or 0. */
int inflow_fd(struct inflow *inflow);
int inflow_arm(struct inflow *inflow, int *late);

/* ---- for who reads the connection ---- */

/* Is the channel's last reply its? Then it is taken. */
bool inflow_take_reply(struct inflow *inflow, struct channel *channel);

static inline bool inflow_is_for(const struct inflow *inflow, const hermes_header_t *header)
{
    return inflow->handle != 0 && header->sequence == inflow->handle &&
           inflow->connection == inflow->client->channel.connected &&
           (header->type == WIRE_LOG || header->type == WIRE_GIVEN || header->type == WIRE_SETTLED ||
            header->type == WIRE_END);
}

/* One of these. HERMES_EPROTOCOL, HERMES_EMALFORMED: it breaks the rules. */
int inflow_take(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload);

/* ---- far_member.c: for who calls ---- */

/* As hermes_ack(), hermes_nack(), hermes_renew(): waits until then for what came of it. HERMES_EDISCONNECTED:
 * the broker has not said by then, and is told when it is there. */
int far_member_say(struct inflow *inflow, enum wire_type type, const hermes_message_t *message,
                   uint64_t until_ns);
/* As hermes_deliveries(). */
unsigned far_member_deliveries(const struct inflow *inflow, const hermes_message_t *message);
/* What was said and has not gone goes; waits for nothing. */
void far_member_tend(struct inflow *inflow);

/* ---- for inflow.c, far_member.c and gifts.c ---- */

static inline uint8_t *inflow_at(const struct inflow *inflow, uint64_t offset)
{
    return (uint8_t *)inflow->ring.address + (offset & (INFLOW_RING_BYTES - 1));
}

static inline void inflow_put(struct inflow *inflow, const void *bytes, size_t count)
{
    memcpy(inflow_at(inflow, inflow->put), bytes, count);
    inflow->put += count;
}

static inline bool inflow_is_empty(const struct inflow *inflow)
{
    return inflow->put == inflow->taken;
}

static inline bool inflow_has_room(const struct inflow *inflow, uint64_t bytes)
{
    return inflow->put + bytes - inflow->released <= INFLOW_RING_BYTES;
}

/* Members of a group are given messages one by one. */
static inline bool inflow_is_given(const struct inflow *inflow)
{
    return inflow->member != NULL && !inflow->member->durable;
}

/* What was received before is read, or not wanted; the next frame stands at position. */
void inflow_begin_at(struct inflow *inflow, uint64_t position);
/* A broker that does not serve the topic now is asked again, less and less often. HERMES_OK. */
int inflow_ask_later(struct inflow *inflow);
/* Of an outlet that nothing is wanted from any more. */
void inflow_close_handle(struct inflow *inflow, uint32_t handle, uint64_t until_ns);
/* It goes on through that handle of this connection. */
void inflow_take_up(struct inflow *inflow, uint32_t handle, uint64_t topic_id, uint32_t durability,
                    uint64_t credit);
int inflow_tell_deleted(struct inflow *inflow);
/* As far as the broker takes it now. */
void inflow_give_credit(struct inflow *inflow, uint64_t bytes);
/* When it is worth looking though nothing comes. */
uint64_t inflow_next_look(const struct inflow *inflow);
/* As inflow_poll(), of who has no member's duties, or has done them. */
int inflow_read(struct inflow *inflow, hermes_message_t *message);

int far_member_new(struct inflow *inflow, const struct inflow_kind *kind);
int far_member_open(struct inflow *inflow, uint64_t until_ns);
void far_member_close(struct inflow *inflow, uint64_t known_ns, uint64_t until_ns);
int far_member_poll(struct inflow *inflow, hermes_message_t *message);
/* What has come in, and what is due. */
int far_member_look(struct inflow *inflow);
/* The answer is there. */
void far_member_go_on(struct inflow *inflow);
int far_member_take(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload);
/* Is there a message, or something to be told? */
bool far_member_ready(const struct inflow *inflow);

/* A GIVEN. */
int gifts_take(struct inflow *inflow, const uint8_t *payload, uint32_t length);
/* Room for more. */
void gifts_ask_for_more(struct inflow *inflow, uint64_t now_ns);
/* The next one: 1; 0: there is none, or it is not known whether it still is this member's. */
int gifts_next(struct inflow *inflow, hermes_message_t *message, uint64_t now_ns);
bool gifts_has_next(const struct inflow *inflow, uint64_t now_ns);
/* Those that were not read are others' by now. */
void gifts_drop(struct inflow *inflow);
/* What came of a renewal. */
void gifts_renewed(void *inflow, const struct saying *saying, int code);

#endif
