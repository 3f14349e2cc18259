/*
 * A publisher whose messages go through the connection: the client's end of an intake
 * (docs/reference/protocol.md, "Streams").
 *
 * The publisher writes to a ring, as one of a shared topic does; but it is this process that empties it, into
 * the connection, and what the broker confirmed makes room. So what is not confirmed is still there when a
 * connection breaks, and goes once more, from the message on that the broker names. The ring's line stands in
 * a status page that nobody else sees, so that the publisher finds there what it looks for; positions of the
 * log are not known here, and in their place stand numbers of messages.
 */
#ifndef CLIENT_OUTFLOW_H
#define CLIENT_OUTFLOW_H

#include "client/asked.h"

/* What was sent at once. */
struct outflow_run {
    uint64_t end;      /* of the ring: the position behind it */
    uint64_t sequence; /* of the message behind it */
};

enum { OUTFLOW_RUNS = 64 };

/* Of a message in the ring, or before it. */
struct outflow_place {
    uint64_t position, sequence;
};

struct outflow {
    struct hermes_client *client;
    const char *topic;
    const struct window_writer *writer; /* of the ring; NULL: it has none yet */
    struct map status_map, window_map;  /* until they are the publisher's */
    struct status *status;

    uint32_t handle; /* of the intake; 0: there is none */
    uint64_t connection;
    struct asked opening;
    uint64_t ask_ns; /* not before */
    uint64_t ask_pause_ns;
    struct wire_intake opened; /* what the broker said last: to go on from */
    uint64_t counts_from;      /* the first message under the id that it gave */
    uint32_t counts_in;        /* in that epoch */

    uint64_t sent, sent_sequence; /* of the ring, over this connection: position and sequence of the next */
    uint64_t sent_most;           /* the first message that was never sent, over whatever connection */
    struct outflow_run runs[OUTFLOW_RUNS]; /* that are not confirmed, so that no frame is looked at again */
    unsigned run_first, run_count;
    struct outflow_place durable, awaited; /* all before it is durable; the next such place */
    uint64_t credit;
    bool has_news; /* of the broker, for who waits */
    int over;      /* nothing goes any more: enum hermes_error */
    bool is_uncertain;
};

/* Opens topic and waits for that. Then the maps and `opened` are the publisher's to take. */
int outflow_open(struct hermes_client *client, const char *topic, uint64_t until_ns,
                 struct outflow **outflow);
void outflow_free(struct outflow *outflow);

/* The broker closes its end. HERMES_ETIMEOUT: it does not say so by then. */
int outflow_close(struct outflow *outflow, uint64_t until_ns);

/*
 * What has come in is taken, and what can go goes; another intake is waited for until then. HERMES_OK: all
 * that stands in the ring has gone. HERMES_EAGAIN: the broker takes no more for now; HERMES_EDISCONNECTED: it
 * is not there. outflow->over: it never will.
 */
int outflow_settle(struct outflow *outflow, uint64_t until_ns);

/* Did the broker say something since this was asked? */
bool outflow_take_news(struct outflow *outflow);

/* Until there may be something to settle, at most so long. */
void outflow_sleep(struct outflow *outflow, uint64_t timeout_ns);

bool outflow_is_attached(const struct outflow *outflow);

/* Has something in the ring still to go, for the first time or once more? */
bool outflow_is_behind(const struct outflow *outflow);

/* For who looks after the connection while nobody calls the publisher: what was handed over and did not
 * arrive goes once more. Waits for nothing. */
void outflow_tend(struct outflow *outflow);

/* ---- for who reads the connection ---- */

/* Is the channel's last reply its? Then it is taken. */
bool outflow_take_reply(struct outflow *outflow, struct channel *channel);

static inline bool outflow_is_for(const struct outflow *outflow, const hermes_header_t *header)
{
    return outflow->handle != 0 && header->sequence == outflow->handle &&
           outflow->connection == outflow->client->channel.connected &&
           (header->type == WIRE_CONFIRM || header->type == WIRE_END);
}

/* A CONFIRM or an END. HERMES_EPROTOCOL, HERMES_EMALFORMED: it breaks the rules. */
int outflow_take(struct outflow *outflow, const hermes_header_t *header, const uint8_t *payload);

#endif
