/*
 * The keeper: looks after the pages of groups. Three tasks of the worker pool for each group, none of which
 * waits for another, and members wait for none:
 *
 *     looks     gives up what nobody may hold any longer (leases.h): never waits, so what members were
 *               promised does not depend on a disk
 *     errands   sends dead messages where they belong (letters.h): may wait for the topic's store
 *     records   writes the group's record: waits for its disk. Those of a topic are written one after the
 *               other, lest a disk that hangs for one topic takes all workers
 *
 * Of a group that has no members all sleep for good.
 */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include "broker/kept.h"

/* It is looked at at once. HERMES_OK. */
int keeper_add(struct workers *workers, struct kept *group);
/* Something happened: a member came or went. */
void keeper_ring(struct workers *workers, struct kept *group);

/* Before the job is submitted: what may wait for a disk is out before it begins (job_removes()), until
 * keeper_go_on(). */
void keeper_pauses(struct job *job, struct kept *group);
void keeper_go_on(struct workers *workers, struct kept *group);
/* On a worker, for a job of which the former is true: so is the rest, for a moment. No disk meanwhile: what
 * runs out then is not seen. */
void keeper_look_away(struct workers *workers, struct kept *group);
void keeper_look_again(struct workers *workers, struct kept *group);

/* Before the job is submitted: all of them are out before it begins. */
void keeper_leaves(struct job *job, struct kept *group);
/* Any but a worker. Blocks until they are out. */
void keeper_remove(struct workers *workers, struct kept *group);

/* Writes a record: how a page of the group stands now, with settings that it has, or is to have; a sync or
 * two. Of a group whose tasks but for looks are out. */
int kept_save(struct kept *group, const struct group_record *settings, struct group_page *page,
              struct error_text *text);

/* Frees what hangs on a group whose tasks are out. */
void kept_release(struct kept *group);

#endif
