/*
 * Mirrors over UDP on this host: senders of embedded logs and receivers, without a broker, in two processes
 * that spin. What is lost, a receiver's filter takes away before the protocol sees it: the same datagrams in
 * each run.
 */
#ifndef BENCH_UDP_H
#define BENCH_UDP_H

#include "bench/bench.h"
#include "hermes/log.h"
#include "hermes/mirror.h"

enum { UDP_PPM = 1000000 };

enum udp_step { UDP_MEETING = 0, UDP_MET, UDP_GOES, UDP_DONE };

struct udp_shared {
    _Alignas(64) _Atomic uint32_t step; /* enum udp_step */
    _Atomic uint32_t port[2];           /* of each side's sender; 0: not open yet */
    /* Of the sender that streams, when it has ended. */
    uint64_t bytes, repair_bytes, naks;
};

struct udp_flow {
    uint32_t size;
    uint64_t count;     /* messages; or round trips */
    uint32_t lost_ppm;  /* of a million datagrams with data, by chance */
    uint64_t pace_ns;   /* between messages that are due one after the other */
    const char *group;  /* of a multicast stream; NULL: to one receiver */
    uint32_t receivers; /* that a sender waits for */
    struct udp_shared *shared;
    struct bench_directory directories[2]; /* of each side's log */
};

/* Both sides' directories, in shared memory where there is enough: what a disk takes is not measured here. */
void udp_begin(struct udp_flow *flow);
void udp_end(struct udp_flow *flow);

/* ---- one side: udp_side.c ---- */

/* What a filter knows: which are lost is a matter of the seed alone. And which are, and were not delivered
 * yet: by position, in turn. */
enum { UDP_LOSSES = 1024 };

struct udp_loss {
    uint32_t ppm;
    bool noted; /* when each was lost, too */
    uint64_t random;
    uint32_t first, count;
    struct {
        uint64_t position, lost_ns;
    } pending[UDP_LOSSES];
};

struct udp_side {
    struct udp_flow *flow;
    hermes_log_t *log; /* NULL: it only receives */
    hermes_mirror_sender_t *sender;
    hermes_mirror_receiver_t *receiver; /* NULL: it only sends */
    struct udp_loss loss;
    uint32_t turns;
};

/* A log and a sender of it, whose port the other side is told. which: 0 or 1. */
void udp_open_sender(struct udp_side *side, int which);
/* Of the sender that the other side has, or will have. */
void udp_open_receiver(struct udp_side *side, int which);
void udp_close(struct udp_side *side);

/* What is to be received and sent; until both of its ends have met the others'. */
void udp_meet(struct udp_side *side);

/* What was appended goes at once; and what receivers ask for. */
void udp_send(struct udp_side *side);

/* 1: *message is the next one; 0: none yet. */
int udp_receive(struct udp_side *side, hermes_message_t *message);

/* The same; every now and then a look at what receivers ask for, too. */
int udp_turn(struct udp_side *side, hermes_message_t *message);

/* When the message at that position, which was delivered now, was lost; 0: it was not. */
uint64_t udp_was_lost(struct udp_loss *loss, uint64_t position);

/* timestamp_ns 0: now. */
void udp_append(struct udp_side *side, uint64_t timestamp_ns, const void *payload, uint32_t size);

/* Before sides are opened: no step was reached, no port is known. */
void udp_prepare(const struct udp_flow *flow);
void udp_reach(const struct udp_flow *flow, enum udp_step step);
bool udp_has_reached(const struct udp_flow *flow, enum udp_step step);

/* ---- what is measured ---- */

/* For bench_latency(). bare: by sockets alone. */
void udp_round_trips(void *context, struct histogram *histogram);
void udp_bare_round_trips(void *context, struct histogram *histogram);

/* For bench_beside_the_line(): one way, in batches, until the last message was read. */
void udp_stream(struct bench_result *result, void *context);

/* The same. Messages are due one by one. How long after it would have come what was lost was delivered; and
 * how late all of them are, at three receivers of a group. */
void udp_repairs(struct bench_result *result, void *context);
void udp_to_many(struct bench_result *result, void *context);

#define UDP_GROUP "239.255.77.3"
bool udp_has_groups(void);

/* Each adds and prints a row. */
void udp_idle(struct bench *bench);
void udp_memory(struct bench *bench);

#endif
