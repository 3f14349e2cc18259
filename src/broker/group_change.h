/*
 * Groups are altered and deleted: work, on a worker and in the turn of topic->affairs, for it makes shared
 * memory and writes records. The group's tasks that wait for disks are out meanwhile
 * (keeper_pauses()), until group_go_on(). Leases end as ever.
 * Errors: HERMES_ENAME, HERMES_EINVALID, HERMES_ENOTFOUND, HERMES_EACCESS (it is another user's),
 * HERMES_EBUSY (it has members), HERMES_EFULL.
 */
#ifndef BROKER_GROUP_CHANGE_H
#define BROKER_GROUP_CHANGE_H

#include "broker/group.h"

int group_alter(struct session *session, struct topic *topic, const struct wire_group *request,
                struct error_text *text);
int group_delete(struct session *session, struct topic *topic, const struct wire_group *request,
                 struct error_text *text);
void group_go_on(struct session *session, struct topic *topic, const char *name);

#endif
