/*
 * All topics: loaded at the start, created, deleted, closed or abandoned at the end; and what a crash left
 * behind.
 */
#ifndef BROKER_TOPICS_H
#define BROKER_TOPICS_H

#include "broker/topic.h"

/* Opens all topics under the data directory; sweeps from shared memory what belongs to none. */
int topics_load(struct broker *broker, struct error_text *text);

/*
 * Begins to make a topic, whose name is taken from here on, and to delete one, which takes nobody in from
 * here on; *topic is held for the caller. HERMES_EEXISTS, HERMES_ELIMIT, HERMES_EINVALID, HERMES_EBUSY:
 * nothing was begun.
 */
int topics_create(struct broker *broker, uid_t uid, const struct wire_topic_create *request,
                  struct topic **topic, struct error_text *text);
int topics_delete(struct topic *topic, struct error_text *text);

/* Is that under way? Then the job, which waits for nothing else, is submitted when it is through. It finds
 * topic->change_result, and change_text; the topic is gone, if it was deleted or could not be made. */
bool topics_is_changing(const struct topic *topic);
void topics_await_change(struct topic *topic, struct job *job);

/* Is it on the disk, but could not be loaded? */
bool topics_is_unserved(const struct broker *broker, const char *name);
void topics_forget_unserved(struct broker *broker);

/* An orderly stop: everything is stored. Blocks. */
int topics_close(struct broker *broker, struct error_text *text);

/* Lets go of all topics and leaves what they have in shared memory, as a crash does: after a start that
 * failed. */
void topics_abandon(struct broker *broker);

#endif
