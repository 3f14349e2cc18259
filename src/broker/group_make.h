/*
 * Groups are made: work, on a worker and in the turn of topic->affairs, for it makes shared memory and writes
 * records.
 * Errors: HERMES_ENAME, HERMES_EINVALID, HERMES_EEXISTS, HERMES_ELIMIT, HERMES_EFULL.
 */
#ifndef BROKER_GROUP_MAKE_H
#define BROKER_GROUP_MAKE_H

#include "broker/group.h"

/* Nothing is left behind of one that is refused. */
int group_create(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);
/* Would it be refused, as things are? For who has to do something else first. (Whether there is room for it
 * is not known before.) */
int group_check_create(struct session *session, struct topic *topic, const struct wire_group *request,
                       struct error_text *text);
/* The group that a subscriber wants and that is not there. */
int group_create_for(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                     struct error_text *text);

/* Any thread, as the next one. */
int group_check_settings(const struct wire_group *request, struct error_text *text);
/* The topic for messages that nobody could deal with must take messages from every member: it is shared. */
int group_check_dead_letter(const struct topic *topic, const char *name, const struct topic *letters,
                            struct error_text *text);

#endif
