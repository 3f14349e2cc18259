/* Topics: made, listed, altered, deleted. */
#ifndef BROKER_REQUEST_TOPIC_REQUESTS_H
#define BROKER_REQUEST_TOPIC_REQUESTS_H

#include "broker/session.h"

int topic_requests_create(struct session *session, const struct wire_topic_create *request,
                          struct error_text *text);
int topic_requests_alter(struct session *session, const struct wire_topic_alter *request,
                         struct error_text *text);
int topic_requests_delete(struct session *session, const struct wire_topic *request, struct error_text *text);
int topic_requests_purge(struct session *session, const struct wire_topic *request, struct error_text *text);
int topic_requests_list(struct session *session, const struct wire_list *request);
int topic_requests_list_unserved(struct session *session, const struct wire_list *request);
int topic_requests_describe(struct session *session, const struct wire_topic *request,
                            struct error_text *text);

#endif
