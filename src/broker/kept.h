/*
 * A group, as those that look after it know it: keeper.h, leases.h.
 */
#ifndef BROKER_KEPT_H
#define BROKER_KEPT_H

#include "base/path.h"
#include "broker/letters.h"
#include "group/record.h"

struct counters_entry;

/*
 * What the keeper knows of one group. While its tasks are in, the event loop reads page, mask and settings
 * and changes nothing; who wants to takes the tasks out, changes them, and adds them again. The rest is the
 * tasks'; of nobody else's business while they are in.
 */
struct kept {
    struct task looks, errands, records;
    struct workers *workers;         /* where they are in */
    struct counters_entry *counters; /* written where the record is; NULL: nobody counts */
    struct lane *lane;               /* of its topic: of all its groups one writes its record at a time */
    uint64_t (*clock)(const struct kept *group);
    uint64_t (*spent)(const struct kept *group); /* processor time of the calling thread */
    struct group_page *page;
    uint64_t mask;                        /* slots - 1; 0: a durable subscription */
    struct group_record settings;         /* whose, how, which page; where it stands says the page */
    _Atomic bool attended[GROUP_MEMBERS]; /* a session has that line. Anybody's */
    _Atomic bool forsaken[GROUP_MEMBERS]; /* its member was silent for too long: it is another's if need be */

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

#endif
