/* Groups and durable subscriptions: made, listed, altered, deleted. */
#ifndef BROKER_REQUEST_GROUP_REQUESTS_H
#define BROKER_REQUEST_GROUP_REQUESTS_H

#include "broker/session.h"

int group_requests_create(struct session *session, const struct wire_group *request, struct error_text *text);
int group_requests_alter(struct session *session, const struct wire_group *request, struct error_text *text);
int group_requests_delete(struct session *session, const struct wire_group *request, struct error_text *text);
int group_requests_list(struct session *session, const struct wire_group_list *request,
                        struct error_text *text);

#endif
