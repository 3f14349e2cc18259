/* What requests share: the topic that one names, and the reply. */
#ifndef BROKER_REQUEST_ANSWER_H
#define BROKER_REQUEST_ANSWER_H

#include "broker/session.h"

/* Into session->reply, where payload may stand already; request_answer() sends it. */
void answer(struct session *session, enum wire_type type, const void *payload, uint32_t length);

/* Passes rc on; 0: with WIRE_OK, which says nothing more. */
int answer_done(struct session *session, int rc);

int answer_check_name(const char name[WIRE_TOPIC_BYTES], struct error_text *text);

/* What is said of a topic that is not there, or that one may not see: HERMES_ENOTFOUND, by its name;
 * HERMES_ECLOSED, by an id. */
int answer_no_topic(const char *name, struct error_text *text);
int answer_deleted(struct error_text *text);

/* HERMES_ENAME, HERMES_ENOTFOUND, HERMES_EIO: on the disk and not served; LATER: it is being made. */
int answer_find_topic(struct session *session, const char name[WIRE_TOPIC_BYTES], struct topic **topic,
                      struct error_text *text);

#endif
