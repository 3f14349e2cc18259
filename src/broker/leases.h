/*
 * Leases: who holds what, and for how long. A look at a group's page gives up claims whose lease ran out,
 * those of lines that nobody has, and lines of members that did not come back after a crash of ours; what may
 * not be given out again, since the limit of deliveries was lowered, becomes a dead letter. A look waits for
 * nothing: no disk, and nobody who has a lock.
 *
 * A lease costs members nothing: the page is looked at eight times a lease, and what is seen unchanged for a
 * whole one has run out. So a lease ends after 1 to 1.25 times its length. Somebody may fill a page with
 * claims of short leases: a look that took long is followed by a pause that is as much longer.
 *
 * After a crash of ours members come back one by one, each when it next has to do with its group. Until a
 * member has greeted us, nothing is taken from it; a line from which nothing was heard for a whole lease (of
 * a durable subscription: for grace_ns) is nobody's. A greeting is heard, and so is a renewal or a claim.
 * Who greets after all has its line again, if no other has had it since. Until then it may not know, and take
 * messages: these have their leases like all others.
 */
#ifndef BROKER_LEASES_H
#define BROKER_LEASES_H

#include "broker/kept.h"

/* What a look found that is others' business: the record's, the letters'. */
struct leases_news {
    bool given_up, dead;
};

/* On a worker, in a quick task. Returns when the next one is due, or TASK_WHEN_RUNG. */
uint64_t leases_look(struct kept *group, uint64_t now_ns, struct leases_news *news);

/* Has anybody a line, or may come back to one? */
bool leases_has_members(struct kept *group);

/* So often it is looked whether something has happened. */
uint64_t leases_interval(const struct kept *group);

/* What began at that time, and has cost so much of the processor since it stood at spent_before, is to rest
 * until then. On a worker. */
uint64_t leases_rested(const struct kept *group, uint64_t began_ns, uint64_t spent_before);

/* How many members were there before a crash of ours, and may still come back. */
unsigned leases_awaited(struct kept *group);

/* The group has another page: nothing is known of it. */
void leases_forget(struct kept *group);

void leases_release(struct kept *group);

#endif
