/*
 * Messages from one process to another through a topic: streaming, and there and back.
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include "bench/bench.h"

struct flow {
    uint64_t count, rounds; /* messages of a stream; round trips */
    uint32_t size;
    uint32_t flags; /* of the publisher; HERMES_PUBLISH_NO_CRC: and nobody verifies */
    bool batch;     /* of 32 */
    bool push_back; /* the publisher waits for the subscriber: the topic allows it */
    bool stamped;   /* round trips: with a time stamp that the publisher has already */
    const char *there, *back;
    const char *group; /* whose member the subscriber is; NULL: none */
    uint32_t ack;
    _Atomic uint32_t *ready; /* shared */
};

/* As the flow says, without push-back: options for it are the subscriber's. */
hermes_subscriber_t *flow_subscribe(hermes_client_t *client, const struct flow *flow);

/* For bench_latency(). */
void flow_round_trips(void *context, struct histogram *histogram);

/* Adds and prints the rate at which the subscriber received, and where it may be overtaken and so lose
 * messages (may_lose), how many. Ends the program if any are lost where none may be. */
void flow_stream(struct bench *bench, struct flow *flow, const char *name, bool may_lose);

#endif
