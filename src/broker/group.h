/*
 * A consumer group or a durable subscription, as the event loop has it: the groups of a topic, whose they
 * are, what they cost their user, where they stand. What happens to messages happens in the page
 * (group/group.h), between the members. Leases and records are the keeper's (keeper.h), in its thread.
 *
 *     <data>/topics/<topic>/groups/<name>   the record
 *     <shm>/<topic>.<page>.group            the page (group_page.h)
 */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include "broker/keeper.h"
#include "broker/session.h"
#include "broker/topic.h"

enum { GROUPS_MAX = 256 /* of one topic */ };

struct group {
    struct group *next; /* of its topic, by name */
    char name[WIRE_GROUP_BYTES];
    struct kept kept;
    struct map map;
    int fd;
    char page_path[SHM_PATH_BYTES + 64]; /* "": a memfd */
    unsigned members;
    unsigned next_line;
    bool counted; /* in what its user holds */
    uint64_t id;  /* in counters */
};

/* Of the record of a group of that name; "": of the directory that they stand in. */
void group_path(const struct broker *broker, const struct topic *topic, const char *name,
                char path[PATH_BYTES]);

/* Not in the topic's list yet; NULL: no memory. Freed when its tasks are out and its page gone. */
struct group *group_new(struct broker *broker, struct topic *topic, const char *name);
void group_free(struct broker *broker, struct group *group);

/* In the turn of topic->affairs: the groups of a topic, by name. group_in(): NULL if there is none. */
struct group *group_in(const struct topic *topic, const char *name);
void group_link(struct topic *topic, struct group *group);
void group_unlink(struct topic *topic, struct group *group);
struct group *group_take_first(struct topic *topic);

/* Page and notes of a group count as its user's; group_free() gives them back. HERMES_ELIMIT.
 * group_count_share(): a group that is there is served, whatever the limit is now. HERMES_ENOMEM. */
int group_take_share(struct broker *broker, struct group *group, struct error_text *text);
int group_count_share(struct broker *broker, struct group *group);

/* Its entry in the counters, until group_free(): before its tasks are in. */
void group_begin_counting(struct broker *broker, struct group *group);

int group_check_name(const char *name, struct error_text *text);
/* May that session be a member? administers: may it alter and delete it? HERMES_EACCESS. */
int group_check_owner(const struct session *session, const struct group *group, bool administers,
                      struct error_text *text);
/* In the turn of topic->affairs, on the loop: by name, for who may administer it. HERMES_ENAME,
 * HERMES_ENOTFOUND, HERMES_EACCESS. */
int group_find(const struct session *session, const struct topic *topic, const char *name,
               struct group **group, struct error_text *text);

/* Looks at all that is in flight: on a worker where there may be much. */
void group_describe(const struct group *group, struct wire_group_info *info);

/* Is that file in the broker's shared memory the page of a group of this topic? */
bool group_owns_file(const struct topic *topic, const char *name);

#endif
