/*
 * A party: the members of one group (or who has one durable subscription) that are at the other end of
 * connections. All of them have one mapping of the group's page, of the broker's own: that of struct group
 * goes with a reset, on a worker. The loop sleeps on the page's notice for all of them.
 *
 * Threads: the loop's.
 */
#ifndef BROKER_STREAM_PARTY_H
#define BROKER_STREAM_PARTY_H

#include "broker/group.h"

/* The loop's turn is short, however much a group has in flight. */
enum { PARTY_WORDS = 65536 };

struct party {
    struct party *next; /* of the topic */
    struct topic *topic;
    struct map map;
    struct group_page *page;
    uint64_t mask;
    uint64_t page_id;
    uint32_t heard;         /* the notice that its members were last told of */
    struct group_look look; /* they look together for what came again, */
    uint64_t words;         /* at no more than so many in this turn */
    unsigned members;
    struct job job; /* unmaps it */
};

/* In the turn of topic->affairs. To be left. HERMES_EMALFORMED, HERMES_EVERSION: somebody scribbled in the
 * page; HERMES_ENOMEM. */
int party_join(struct topic *topic, const struct group *group, struct party **party);
void party_leave(struct party *party);

/* Has something happened that its members must look at? */
static inline bool party_has_news(const struct party *party)
{
    /* Acquire pairs with the release in group_tell(). */
    return atomic_load_explicit(&party->page->notice, memory_order_acquire) != party->heard;
}

/* They are told of it. */
static inline void party_hear(struct party *party)
{
    party->heard = atomic_load_explicit(&party->page->notice, memory_order_acquire);
}

#endif
