/*
 * Groups are made, altered and deleted: work, on a worker and in the turn of topic->affairs, for it makes
 * shared memory and writes records. The group's tasks are out meanwhile (keeper_leaves()); group_go_on()
 * brings them back.
 * Errors: HERMES_ENAME, HERMES_EINVALID, HERMES_EEXISTS, HERMES_ENOTFOUND, HERMES_EACCESS (it is another
 * user's), HERMES_EBUSY (it has members), HERMES_ELIMIT, HERMES_EFULL.
 */
#ifndef BROKER_GROUP_CHANGE_H
#define BROKER_GROUP_CHANGE_H

#include "broker/group.h"

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

/* The topic for messages that nobody could deal with must take messages from every member: it is shared. Any
 * thread. */
int group_check_dead_letter(const struct topic *topic, const char *name, const struct topic *letters,
                            struct error_text *text);

#endif
