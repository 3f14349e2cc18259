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
};

/*
 * The following are work, on a worker and in the turn of topic->affairs: they make shared memory and write
 * records. The group's task is out meanwhile (group_find(), job_removes()); group_go_on() brings it back.
 * Errors: HERMES_ENAME, HERMES_EINVALID, HERMES_EEXISTS, HERMES_ENOTFOUND, HERMES_EACCESS (it is another
 * user's), HERMES_EBUSY (it has members), HERMES_ELIMIT, HERMES_EFULL.
 */
int group_create(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);
int group_alter(struct session *session, struct topic *topic, const struct wire_group *request,
                struct error_text *text);
int group_delete(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);
/* The group that a subscriber wants and that is not there. */
int group_create_for(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                     struct error_text *text);
int group_go_on(struct session *session, struct topic *topic, const char *name);
/* Looks at all that is in flight: on a worker where there may be much. */
void group_describe(const struct group *group, struct wire_group_info *info);

/* In the turn of topic->affairs, on the loop: by name, for who may administer it. */
int group_find(const struct session *session, const struct topic *topic, const char *name,
               struct group **group, struct error_text *text);
/* The topic for messages that nobody could deal with must take messages from every member: it is shared. */
int group_check_dead_letter(const struct topic *topic, const char *name, const struct topic *letters,
                            struct error_text *text);
/* Makes handle a member's; the page is group->fd. HERMES_ENOTFOUND: it is to be created first. */
int group_join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
               struct handle *handle, struct wire_subscriber *opened, struct error_text *text);
void group_drop(struct broker *broker, struct handle *handle);

/* All groups of a topic that was loaded; what is damaged is told of and not served. */
void group_load_all(struct topic *topic);

/* Tells all members that the broker stops: nothing that they do from now on counts. */
void group_stop_all(struct topic *topic);

/* Of a topic that closes; of one that nobody could take up. Block until the tasks are out. */
void group_close_all(struct topic *topic);
void group_abandon_all(struct topic *topic);

/* Of one that is deleted: before the job, in it, after it. (Records go with the topic's directory.) */
void group_remove_tasks(struct topic *topic, struct job *job);
void group_discard_all(struct topic *topic);
void group_free_all(struct topic *topic);

/* Is that file in the broker's shared memory the page of a group of this topic? */
bool group_owns_file(const struct topic *topic, const char *name);

#endif
