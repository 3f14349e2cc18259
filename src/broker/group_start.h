/*
 * The groups of a topic that is loaded, that closes, that is deleted.
 */
#ifndef BROKER_GROUP_START_H
#define BROKER_GROUP_START_H

#include "broker/group.h"

/* All groups of a topic that was loaded; what is damaged is told of and not served. */
void group_load_all(struct topic *topic);

/* Tells all members that the broker stops: nothing that they do from now on counts. */
void group_stop_all(struct topic *topic);

/* Blocks until the tasks of all groups of the topic are out. */
void group_end_tasks(struct topic *topic);
/* Of a topic that closes, when the logs of all topics are closed. An error: a record could not be written,
 * and its page stays in shared memory where that is possible. */
int group_close_all(struct topic *topic);
/* Of a topic that nobody could take up. Blocks until the tasks are out. */
void group_abandon_all(struct topic *topic);

/* Of one that is deleted: before the job, in it, after it. (Records go with the topic's directory.) */
void group_remove_tasks(struct topic *topic, struct job *job);
void group_discard_all(struct topic *topic);
void group_free_all(struct topic *topic);

#endif
