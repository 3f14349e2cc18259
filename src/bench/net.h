/*
 * Topics over TCP on this host: three processes, publisher, broker and subscriber, and what they take of the
 * processors. Clients sleep while there is nothing to do, but where it says that they spin.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include "bench/bench.h"

struct net_shared {
    _Alignas(64) _Atomic uint32_t step; /* counts up: what the other side may begin */
    uint64_t publisher_cpu_ns, relay_cpu_ns;
};

struct net_flow {
    const char *topic, *back; /* back: of answers */
    uint32_t size;
    uint64_t count;       /* messages; or round trips */
    unsigned subscribers; /* each with a connection of its own */
    pid_t broker;
    struct net_shared *shared;
    struct crowd *crowd; /* from net_gather() to net_disperse() */
};

/* The other side has come to that step. */
void net_reach(const struct net_flow *flow, uint32_t step);
void net_await(const struct net_flow *flow, uint32_t step);

/* Publishes flow->count messages in batches as soon as step 2 is reached; it reaches step 1 itself. For
 * bench_child(). */
void net_publish_all(void *context);

/* For bench_beside_the_line(): from one publisher to one subscriber. */
void net_one_way(struct bench_result *result, void *context);

/* For bench_latency(). spinning: one thread here is both that ask and answer, by turns, and the broker spins
 * on the other core. asleep: three processes. */
void net_spinning_round_trips(void *context, struct histogram *histogram);
void net_sleeping_round_trips(void *context, struct histogram *histogram);

/* Two round trips over a bare TCP connection between two processes that spin: what a question and its answer
 * take at least that go through a third. */
void net_bare_round_trips(void *context, struct histogram *histogram);

/* A connection over loopback; both ends are the caller's. */
void net_connect_both(int ends[2]);

/* For bench_beside_the_line(): the frames of as many messages, by as many bytes at a time as a client of ours
 * and a broker send and receive, from a process through one that sends on what it receives to this one. */
void net_bare_relay(struct bench_result *result, void *context);

/* Connects flow->subscribers, all in one process, and lets them go. */
void net_gather(struct net_flow *flow);
void net_disperse(struct net_flow *flow);

/* For bench_beside_the_line(): from one publisher to the crowd. */
void net_to_all(struct bench_result *result, void *context);

/* The same, but the next message is published when all have the one before. How many that the broker brings
 * for each second of a core that it takes. */
void net_lone_to_all(struct bench_result *result, void *context);

#endif
