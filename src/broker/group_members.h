/*
 * Members of a group: who has which line of its page. On the loop, in the turn of topic->affairs.
 */
#ifndef BROKER_GROUP_MEMBERS_H
#define BROKER_GROUP_MEMBERS_H

#include "broker/group.h"

/* Makes handle a member's; the page is group->fd. HERMES_ENOTFOUND: it is to be created first;
 * HERMES_ENAME, HERMES_EACCESS, HERMES_EINVALID, HERMES_EBUSY, HERMES_ELIMIT. */
int group_join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
               struct handle *handle, struct wire_subscriber *opened, struct error_text *text);
void group_drop(struct broker *broker, struct handle *handle);

/* As if it had not been asked for: a member that came back is awaited again, with all that it has; a new one
 * leaves. */
void group_undo_join(struct broker *broker, struct handle *handle);

#endif
