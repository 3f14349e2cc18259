/*
 * Consumer groups and durable subscriptions, as the event loop sees them: made, joined, left, listed,
 * deleted. What happens to messages happens in the page (group/group.h), between the members. Leases and
 * records are the keeper's (keeper.h), in its thread.
 *
 *     <data>/topics/<topic>/groups/<name>   the record
 *     <shm>/<topic>.<page>.group            the page, if its owner is who could harm us anyway: it outlives
 *                                           a crash of ours. Another's is a sealed memfd, which cannot be
 *                                           cut short under us, and is made anew from the record
 */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include <sys/types.h>

#include "base/map.h"
#include "base/path.h"
#include "broker/keeper.h"
#include "wire/wire.h"

enum { GROUPS_MAX = 256 /* of one topic */ };

struct broker;
struct session;
struct topic;
struct handle;

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
};

/* Errors of these: HERMES_ENAME, HERMES_EINVALID, HERMES_EEXISTS, HERMES_ENOTFOUND, HERMES_EACCESS (it is
 * another user's), HERMES_EBUSY (it has members), HERMES_ELIMIT, HERMES_EFULL. */
int group_create(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);
int group_alter(struct session *session, struct topic *topic, const struct wire_group *request,
                struct error_text *text);
int group_delete(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);

/* Makes handle a member's; the group is made if it is not there. The page is group->fd. */
int group_join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
               struct handle *handle, struct wire_subscriber *opened, struct error_text *text);
void group_drop(struct broker *broker, struct handle *handle);

void group_describe(const struct group *group, struct wire_group_info *info);

/* All groups of a topic that was loaded; what is damaged is told of and not served. */
void group_load_all(struct broker *broker, struct topic *topic);

/* Tells all members that the broker stops: nothing that they do from now on counts. */
void group_stop_all(struct broker *broker);

/* Of a topic that closes, or is deleted: lets go of all its groups. (Records go with the topic's directory.)
 */
void group_close_all(struct broker *broker, struct topic *topic, bool deleted);

/* The same, and leaves its pages where they are, and its members as they are: after a start that failed. */
void group_abandon_all(struct broker *broker, struct topic *topic);

/* Is that file in the broker's shared memory the page of a group of this topic? */
bool group_owns_file(const struct topic *topic, const char *name);

#endif
