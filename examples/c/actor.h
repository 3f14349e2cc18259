/*
 * What the four actors of the demo have in common: a subscription that keeps count, and the lines that
 * an actor prints on standard output for whoever started it:
 *
 *     ready
 *     progress received=N sequence=S sent=M         about ten times a second
 *     report topic=T received=N lost=N repeated=N reordered=N p50=NS p99=NS p999=NS max=NS
 *     info TEXT
 *
 * An actor runs until SIGTERM or SIGINT, then prints its report.
 */
#ifndef EXAMPLES_ACTOR_H
#define EXAMPLES_ACTOR_H

#include "hermes/hermes.h"
#include "market.h"

enum { LATENCY_BUCKETS = 40 * 32 };

typedef struct {
    hermes_client_t *client;
    hermes_subscriber_t *subscriber;
    hermes_publisher_t *publisher; /* NULL: does not publish */
    hermes_clock_t clock;
    const char *topic;
    uint64_t received, lost, repeated, reordered, sent;
    uint64_t last_sequence;
    uint64_t last_progress_ns;
    uint64_t latency_max;
    uint64_t latency[LATENCY_BUCKETS]; /* log-linear: 32 steps each time it doubles */
} actor_t;

/* Called for each message. */
typedef void (*actor_handler_t)(actor_t *actor, const hermes_message_t *message, void *context);

/* Connects, opens topic from its first message, and publish_to (NULL: nothing). Exits on failure. */
void actor_open(actor_t *actor, const char *topic, const char *publish_to);

/* Runs handler until a signal; prints progress and at the end the report. */
void actor_run(actor_t *actor, actor_handler_t handler, void *context);

void actor_send_order(actor_t *actor, const order_t *order);
void actor_close(actor_t *actor);

#endif
