/*
 * What the four actors of the demo have in common: a subscription that keeps count, and what an actor says on
 * standard output: when it is ready, and at the end, after SIGTERM or SIGINT, a report in plain words. With
 * the argument --progress it says the same to a program that started it, as hermes demo does, in these lines:
 *
 *     ready
 *     progress received=N sequence=S sent=M         about ten times a second
 *     report topic=T received=N lost=N repeated=N reordered=N p50=NS p99=NS p999=NS max=NS
 *     info TEXT
 */
#ifndef EXAMPLES_ACTOR_H
#define EXAMPLES_ACTOR_H

#include <stdbool.h>

#include "hermes/hermes.h"
#include "market.h"

enum { LATENCY_BUCKETS = 40 * 32 };

typedef struct {
    hermes_client_t *client;
    hermes_subscriber_t *subscriber;
    hermes_publisher_t *publisher; /* NULL: does not publish */
    hermes_clock_t clock;
    const char *name; /* of the program */
    const char *topic;
    bool tells_progress;
    uint64_t received, lost, repeated, reordered, sent;
    uint64_t last_sequence;
    uint64_t last_progress_ns;
    uint64_t latency_max;
    uint64_t latency[LATENCY_BUCKETS]; /* log-linear: 32 steps each time it doubles */
} actor_t;

/* Called for each message. */
typedef void (*actor_handler_t)(actor_t *actor, const hermes_message_t *message, void *context);

/* Looks at the program's arguments, connects, opens topic from its first message, and publish_to (NULL:
 * nothing). Exits on failure. */
void actor_open(actor_t *actor, int argc, char **argv, const char *topic, const char *publish_to);

/* Runs handler until a signal; then prints the report. */
void actor_run(actor_t *actor, actor_handler_t handler, void *context);

/* A line of the actor's own beside the report. */
__attribute__((format(printf, 2, 3))) void actor_tell(const actor_t *actor, const char *format, ...);

void actor_send_order(actor_t *actor, const order_t *order);
void actor_close(actor_t *actor);

#endif
