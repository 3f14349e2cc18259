/*
 * A publisher, as the files that make one up see it: opening.c opens and closes it, publisher.c publishes,
 * standing.c knows which of its messages are in the topic, reconnect.c settles what a change of brokers or
 * publishers left open, confirmation.c tells what the log and the disk have.
 *
 * A message that was taken is in one of three places, in this order: the topic; the window or ring, where it
 * is in the topic or will be, as long as that is open; the backlog, which goes out before anything else. It
 * moves from the second to the third when it is certain that it is not in the first.
 */
#ifndef CLIENT_PUBLISHER_H
#define CLIENT_PUBLISHER_H

#include "client/asked.h"
#include "client/outflow.h"
#include "log/publish.h"

/* What the broker shares with one publisher. */
struct attachment {
    struct map status, window, doorbell, bell, readers;
    int eventfd; /* of a ring; else -1 */
};

struct hermes_publisher {
    struct window_writer writer;
    hermes_clock_t clock;
    bool crc;
    bool membarrier;
    bool confirms;  /* publishing ends when what was published is durable */
    bool no_wait;   /* asked for the opposite */
    bool unsettled; /* a backlog goes before all other messages, or a claim is open: the slow way */
    enum wire_publisher_kind kind;
    uint8_t *claimed;
    uint32_t claimed_length;

    struct hermes_client *client;
    struct hermes_publisher *next;
    char topic[WIRE_TOPIC_BYTES];
    uint64_t topic_id;
    uint32_t handle;
    uint64_t connection; /* whose the handle is: channel.connected */
    uint32_t epoch;
    uint32_t durability;
    uint64_t wait_ns;
    size_t batch_step; /* messages of a batch between two looks at the seal */
    struct attachment attached;
    const struct status *status;
    struct outflow *outflow;        /* its messages go through the connection; NULL: through shared memory */
    const struct status_ring *ring; /* its line in the status page; NULL: it writes the window itself */
    uint64_t ring_id;
    struct asked asked;
    struct wire_publisher opened; /* what the broker gave us, not taken over yet; handle 0: nothing */
    uint64_t opened_connection;
    uint32_t
        resume_ring; /* 1 + the line of the last ring that we were given, installed or not: to be freed */
    uint64_t resume_ring_id;
    struct attachment fresh; /* and what came with it */

    uint64_t settled;        /* messages that stand in the topic through windows and rings of before */
    uint64_t first_sequence; /* of this window or ring */
    uint64_t end_sequence;   /* behind what the last one brought into the topic */
    uint64_t doubtful;       /* messages of the commit that found the epoch sealed */
    uint8_t *backlog;
    size_t backlog_bytes;
    size_t backlog_sent;
    uint64_t backlog_count; /* messages in it that are not sent */

    int over;          /* nothing can be published any more: enum hermes_error, or 0 */
    uint64_t missing;  /* messages that were taken, and are not in the topic for that */
    uint64_t untold;   /* of these, so many no call has told of yet */
    bool is_uncertain; /* perhaps some of them are in */

    struct map told_map;
    struct told tells; /* where it tells these: */
    uint64_t refused;  /* calls that found no room in time */
    uint64_t waits;    /* calls that waited for it */

    uint64_t confirmed[HERMES_DURABLE + 1]; /* of our own messages, as far as we know */
    uint64_t awaited_position;              /* a ring's: once this is durable, all up to that sequence are */
    uint64_t awaited_sequence;
    uint64_t told[HERMES_DURABLE + 1];
    hermes_confirmed_t handlers[HERMES_DURABLE + 1];
    void *handler_contexts[HERMES_DURABLE + 1];
};

/* ---- standing.c ---- */

enum standing_state {
    STANDING_OPEN,     /* what is committed is in the topic, or will be */
    STANDING_CHANGING, /* its end is being settled: by the broker, or by the next one */
    STANDING_FINAL,    /* what is behind the end is not in, and never will be */
    STANDING_FORGOTTEN /* the status page does not know any more */
};

/* Which of the messages in a publisher's window or ring are in the topic. */
struct standing {
    enum standing_state state;
    uint64_t position; /* in the window or ring: all below it */
    uint64_t sequence; /* behind the last of them; if that is not known, of those that are in for certain */
    uint64_t log_position; /* once the log is durable up to here, so are they */
};

/* The one place that answers. A window must be attached. */
struct standing publisher_standing(const struct hermes_publisher *p);

/* Messages that were taken, all in all; and those of them that are not known to be in the topic. */
uint64_t publisher_accepted(const struct hermes_publisher *p);
uint64_t publisher_outstanding(const struct hermes_publisher *p);

static inline bool publisher_has_window(const struct hermes_publisher *p)
{
    return p->attached.window.address != NULL;
}

/* ---- opening.c ---- */

/*
 * Opens the topic (again): asks, and takes what is answered, as far as it is there by the deadline.
 * HERMES_OK: p->opened and p->fresh are there, to be installed or declined. HERMES_EDISCONNECTED: not yet, or
 * nobody is there; to be called again.
 */
int publisher_request_open(struct hermes_publisher *p, const struct wire_publisher_open *request,
                           uint64_t until_ns);

/* What is known of our epoch for good; as above. HERMES_ENOTFOUND: nothing any more. */
int publisher_request_epoch(struct hermes_publisher *p, struct wire_epoch *found, uint64_t until_ns);

/* Takes over what was opened, in place of what there was, which was given up before. */
void publisher_install(struct hermes_publisher *p);

/* The same window as before (opened.resumed): only the session and the doorbell are new. */
void publisher_install_resumed(struct hermes_publisher *p);

/* What was opened is not wanted. */
void publisher_decline(struct hermes_publisher *p);

/* What was installed is not wanted any more. */
int publisher_close_handle(struct hermes_publisher *p, uint64_t until_ns);

/* hermes_publisher_close(), for a wait that began at start_ns. */
int64_t publisher_close(struct hermes_publisher *p, uint64_t start_ns);

/* ---- publisher.c ---- */

/* How often it found no room, to whom it may concern. */
void publisher_tell(const struct hermes_publisher *p);

int publisher_claim_is_open(struct hermes_publisher *p);

/* ---- confirmation.c ---- */

/* Waits until the message that this publisher counts as `sequence` (UINT64_MAX: all that were taken) is that.
 */
int publisher_await(struct hermes_publisher *p, uint64_t sequence, enum hermes_confirmation confirmation,
                    uint64_t until_ns);

/* ---- outgoing.c ----
 *
 * What is done otherwise where messages go through the connection.
 */

/* Opens the topic, and installs what the publisher writes to. */
int publisher_open_outflow(struct hermes_publisher *p);

/* After a commit: it has gone, or is kept and goes with the next call (*sequence is its number either way).
 * HERMES_EDISCONNECTED: no broker came back by then; HERMES_EFENCED, HERMES_ECLOSED, HERMES_EMALFORMED. */
int publisher_hand_over(struct hermes_publisher *p, uint64_t until_ns, uint64_t *sequence);

/* publisher_settle(), without sentences. */
int publisher_settle_outflow(struct hermes_publisher *p, uint64_t until_ns);

/* What becomes of messages that the broker has not confirmed when the publisher is closed. */
void publisher_say_unconfirmed(struct hermes_publisher *p, uint64_t missing);

/* ---- reconnect.c ---- */

/* Nothing goes out any more. What is not in is counted, and told by this call or by the next. */
int publisher_end(struct hermes_publisher *p, int code, bool is_uncertain);

/*
 * Goes as far towards a window that takes messages, and an empty backlog, as it can; waits for the broker's
 * answers alone, up to the deadline. HERMES_OK: it is there. HERMES_EDISCONNECTED: not yet; the sentence says
 * why. HERMES_EFENCED, HERMES_ECLOSED: it never will be, and what is not in stays out.
 */
int publisher_settle(struct hermes_publisher *p, uint64_t until_ns);

/* Is there anything to settle, as far as the window's mark tells? */
static inline bool publisher_is_settled(const struct hermes_publisher *p)
{
    return !p->unsettled && !p->writer.owner_changed &&
           p->writer.seal == atomic_load_explicit(p->writer.mark, memory_order_relaxed);
}

/* The sentence of p->over, which the caller is told now. */
int publisher_tell_over(struct hermes_publisher *p);

/* ---- opening.c ---- */

/* Out of the client's list, and gone. The broker is not told. */
void publisher_free(struct hermes_publisher *p);

#endif
