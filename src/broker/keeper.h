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

#include "base/path.h"
#include "broker/letters.h"
#include "group/record.h"

/*
 * What the keeper knows of one group. While its tasks are in, the event loop reads page, mask and settings
 * and changes nothing; who wants to takes the tasks out, changes them, and adds them again. The rest is the
 * tasks'; of nobody else's business while they are in.
 */
struct kept {
    struct task looks, errands, records;
    struct workers *workers; /* where they are in */
    struct lane *lane;       /* of its topic: of all its groups one writes its record at a time */
    uint64_t (*clock)(const struct kept *group);
    uint64_t (*spent)(const struct kept *group); /* processor time of the calling thread */
    struct group_page *page;
    uint64_t mask;                        /* slots - 1; 0: a durable subscription */
    struct group_record settings;         /* whose, how, which page; where it stands says the page */
    _Atomic bool attended[GROUP_MEMBERS]; /* a session has that line. Anybody's */

    /* When the page was taken up, or a member's coming back was undone: it may still come. 0: nobody */
    _Atomic uint64_t since_ns;
    uint64_t grace_ns;
    uint64_t heard_ns[GROUP_MEMBERS]; /* when a claim of that line was last renewed, or new */
    uint64_t rests_until_ns;          /* no look before */
    struct sighting *sightings;       /* claims, in the order of positions */
    size_t sighting_count;

    struct group_record record; /* as it is on disk */
    struct group_record next;   /* as it will be */
    char path[PATH_BYTES];      /* of the record */
    bool failed;                /* the record could not be written */
    uint64_t record_rests_until_ns;
    uint64_t told_ns;

    struct letters letters;
};

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
