/*
 * A network that a seed makes: events in virtual time, and links that lose, delay, reorder, repeat, damage
 * and throttle. Nothing in it knows of the protocol.
 */
#ifndef TESTS_MIRROR_NETWORK_H
#define TESTS_MIRROR_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

/* What may happen to a datagram, in millionths, and how long it takes. */
struct link {
    uint32_t loss, burst_begins, burst_ends; /* within a burst all are lost */
    uint32_t duplicate, corrupt;
    uint64_t delay_ns, jitter_ns; /* jitter reorders */
    uint64_t bytes_per_s;         /* 0: no limit */
    uint64_t queue_ns;            /* what would wait longer is dropped */

    bool in_burst; /* state */
    uint64_t free_ns;
};

struct flight {
    uint32_t to; /* who gets it */
    uint32_t length;
    uint8_t from[28]; /* address */
    uint8_t address[28];
    uint8_t bytes[];
};

enum event_kind { EVENT_ARRIVES, EVENT_WAKES, EVENT_HAPPENS };

struct event {
    uint64_t at_ns, order; /* those of one time come in the order in which they were put */
    enum event_kind kind;
    uint32_t whom; /* who wakes; what happens */
    struct flight *flight;
};

struct network {
    uint64_t now_ns, random, order;
    struct event *heap;
    uint32_t count, room;
};

void network_put(struct network *network, struct event event);
bool network_take(struct network *network, struct event *event);
void network_free(struct network *network);

/* True in so many of a million cases. */
bool network_chance(struct network *network, uint32_t millionths);

/* One datagram more on that link: is it lost? */
bool network_loses(struct network *network, struct link *link);

enum fate { FATE_ARRIVES, FATE_LOST, FATE_DROPPED /* the queue was full */ };

/* Puts a copy of the datagram (flight, but for its bytes) on the link, from start_ns on: two, if it is
 * repeated. */
enum fate network_send(struct network *network, struct link *link, uint64_t start_ns,
                       const struct flight *head, const uint8_t *bytes);

#endif
