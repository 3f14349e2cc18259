/*
 * The keeper: a thread that looks after the pages of groups. It writes their records to disk, gives up claims
 * whose lease ran out, and those of lines that nobody has. Members never wait for it, and where no group has
 * members, it sleeps for good.
 *
 * A lease costs members nothing: the keeper looks at all claims eight times a lease, and what it sees
 * unchanged for a whole one has run out. So a lease ends after 1 to 1.25 times its length.
 */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include <pthread.h>

#include "base/path.h"
#include "group/record.h"

/*
 * What the keeper knows of one group. The event loop alone changes page, mask and settings, under
 * keeper->lock; so it may read them without. The rest is under the lock.
 */
struct kept {
    struct group_page *page;
    uint64_t mask;                        /* slots - 1; 0: a durable subscription */
    struct group_record settings;         /* whose, how, which page; where it stands says the page */
    _Atomic bool attended[GROUP_MEMBERS]; /* a session has that line. Anybody's */
    struct group_record record;           /* as it is on disk */
    struct group_record next;             /* as it will be */
    char path[PATH_BYTES];                /* of the record */
    uint64_t since_ns; /* when the page was taken up: members of before may still come back */
    uint64_t look_ns;  /* when it is due again */
    uint64_t told_ns;
    struct sighting *sightings; /* claims, in the order of positions */
    size_t sighting_count;
    bool failed; /* the record could not be written */
};

struct keeper {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    struct kept **groups;
    unsigned count, room;
    _Atomic uint32_t bell;
    _Atomic uint32_t members; /* in all groups: 0: nothing will change */
    _Atomic bool stop;
};

int keeper_start(struct keeper *keeper);
int keeper_add(struct keeper *keeper, struct kept *group);
/* The group is not touched any more when this returns. */
void keeper_remove(struct keeper *keeper, struct kept *group);
/* Something happened: a member came or went. */
void keeper_ring(struct keeper *keeper);
void keeper_stop(struct keeper *keeper);

/* Writes the record of the group as it stands now. Under the lock, or of a group the keeper does not have. */
int kept_save(struct kept *group, struct error_text *text);

/* Frees what hangs on a group that the keeper does not have. */
void kept_release(struct kept *group);

#endif
