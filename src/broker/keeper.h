/*
 * The keeper: looks after the pages of groups. It writes their records to disk, gives up claims whose lease
 * ran out, and those of lines that nobody has, and sends dead messages where they belong (letters.h). A task
 * of the worker pool for each group: members never wait for it. Groups do not wait for each other, but to
 * write their records: those of a topic are written one after the other, lest a disk that hangs for one topic
 * takes all workers. Of a group that has no members it sleeps for good.
 *
 * A lease costs members nothing: the keeper looks at all claims eight times a lease, and what it sees
 * unchanged for a whole one has run out. So a lease ends after 1 to 1.25 times its length.
 *
 * After a crash of ours members come back one by one, each when it next has to do with its group. Until a
 * member has greeted us, nothing is taken from it; a line from which nothing was heard for a whole lease (of
 * a durable subscription: for grace_ns) is nobody's. A greeting is heard, and so is a renewal or a claim.
 */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include "base/path.h"
#include "broker/letters.h"
#include "group/record.h"

/*
 * What the keeper knows of one group. While its task is in, the event loop reads page, mask and settings and
 * changes nothing; who wants to takes the task out (job_removes(), or workers_remove()), changes them, and
 * adds it again. The rest is the task's; of nobody else's business while it is in.
 */
struct kept {
    struct task task;
    struct workers *workers; /* where it is in */
    struct lane *records;    /* of its topic: of all its groups one writes its record at a time */
    uint64_t (*clock)(const struct kept *group);
    struct group_page *page;
    uint64_t mask;                        /* slots - 1; 0: a durable subscription */
    struct group_record settings;         /* whose, how, which page; where it stands says the page */
    _Atomic bool attended[GROUP_MEMBERS]; /* a session has that line. Anybody's */
    struct group_record record;           /* as it is on disk */
    struct group_record next;             /* as it will be */
    char path[PATH_BYTES];                /* of the record */
    /* When the page was taken up, or a member's coming back was undone: it may still come. 0: nobody */
    _Atomic uint64_t since_ns;
    uint64_t grace_ns;
    uint64_t heard_ns[GROUP_MEMBERS]; /* when a claim of that line was last renewed, or new */
    uint64_t told_ns;
    struct sighting *sightings; /* claims, in the order of positions */
    size_t sighting_count;
    bool failed; /* the record could not be written */
    struct letters letters;
};

/* It is looked at at once. HERMES_OK. */
int keeper_add(struct workers *workers, struct kept *group);
/* Something happened: a member came or went. */
void keeper_ring(struct workers *workers, struct kept *group);

/* Writes the record of the group as it stands now; a sync or two. Of a group whose task is out. */
int kept_save(struct kept *group, struct error_text *text);

/* How many members were there before a crash of ours, and may still come back. */
unsigned kept_awaited(struct kept *group);

/* It has another page: nothing is known of it. Of a group whose task is out. */
void kept_forget_claims(struct kept *group);

/* What the task does, for tests that have a clock of their own; returns when it is due again. */
uint64_t kept_look(struct kept *group, uint64_t now_ns);

/* Frees what hangs on a group whose task is out. */
void kept_release(struct kept *group);

#endif
