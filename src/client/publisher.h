/*
 * A publisher, as the files that make one up see it: publisher.c opens and publishes, reconnect.c settles
 * what a change of brokers or publishers left open, confirmation.c tells what the log and the disk have.
 */
#ifndef CLIENT_PUBLISHER_H
#define CLIENT_PUBLISHER_H

#include "client/client.h"
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
    uint32_t epoch;
    uint32_t durability;
    uint64_t wait_ns;
    struct attachment attached;
    const struct status *status;
    const struct status_ring *ring; /* its line in the status page; NULL: it writes the window itself */
    uint64_t ring_id;
    uint8_t *backlog;
    size_t backlog_bytes;
    size_t backlog_sent;

    uint64_t confirmed[HERMES_DURABLE + 1]; /* of our own messages, as far as we know */
    uint64_t awaited_position;              /* a ring's: once this is durable, all up to that sequence are */
    uint64_t awaited_sequence;
    uint64_t told[HERMES_DURABLE + 1];
    hermes_confirmed_t handlers[HERMES_DURABLE + 1];
    void *handler_contexts[HERMES_DURABLE + 1];
};

/* Of publisher.c: asks the broker for a writer; takes over what the reply brought, in place of what there
 * was. If that cannot be, all stays as it was. */
int publisher_request_open(struct hermes_publisher *p, const struct wire_publisher_open *request,
                           struct wire_publisher *opened);
int publisher_adopt(struct hermes_publisher *p, const struct wire_publisher *opened);
int publisher_claim_is_open(struct hermes_publisher *p);

/* Of reconnect.c: greets a broker that came back. HERMES_EDISCONNECTED: none did yet. */
int publisher_reconnect(struct hermes_publisher *p);

/* A seal seen behind a commit. HERMES_OK: everything committed is in the log, or in the next one's. */
int publisher_resolve_seal(struct hermes_publisher *p, uint64_t start);

/* Whether a failure of the two above may pass by itself. */
static inline bool worth_a_retry(int rc)
{
    return rc == HERMES_EDISCONNECTED || rc == HERMES_EBUSY;
}

#endif
