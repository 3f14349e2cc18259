/*
 * A subscriber whose messages come through the connection: the client's end of an outlet
 * (docs/reference/protocol.md, "Streams").
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

/* Frames that follow each other. */
struct inflow_run {
    uint64_t end;      /* the position behind them */
    uint64_t position; /* of the first, where the run began */
    uint64_t sequence; /* of its first message */
};

struct inflow {
    struct hermes_client *client;
    struct reader *reader;
    const char *topic;
    uint64_t topic_id;
    uint32_t durability;

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
};

/* Opens topic, from its end or its first message, and waits for that. *inflow is there on failure, too, but
 * for HERMES_ENOMEM: to be closed. */
int inflow_open(struct hermes_client *client, const char *topic, uint32_t from, struct reader *reader,
                uint64_t until_ns, struct inflow **inflow);
void inflow_free(struct inflow *inflow);
/* Tells the broker, too; waits for nothing. */
void inflow_close(struct inflow *inflow);

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

/* As hermes_subscriber_fd() and hermes_subscriber_arm(). */
int inflow_fd(struct inflow *inflow);
int inflow_arm(struct inflow *inflow);

/* ---- for who reads the connection ---- */

/* Is the channel's last reply its? Then it is taken. */
bool inflow_take_reply(struct inflow *inflow, struct channel *channel);

static inline bool inflow_is_for(const struct inflow *inflow, const hermes_header_t *header)
{
    return inflow->handle != 0 && header->sequence == inflow->handle &&
           inflow->connection == inflow->client->channel.connected &&
           (header->type == WIRE_LOG || header->type == WIRE_END);
}

/* A LOG or an END. HERMES_EPROTOCOL, HERMES_EMALFORMED: it breaks the rules. */
int inflow_take(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload);

#endif
