/* Mirrors of topics: added, removed, listed; and keys to those that are sent. */
#ifndef BROKER_REQUEST_MIRROR_REQUESTS_H
#define BROKER_REQUEST_MIRROR_REQUESTS_H

#include "broker/session.h"

int mirror_requests_add(struct session *session, const struct wire_mirror_add *request,
                        struct error_text *text);
int mirror_requests_remove(struct session *session, const struct wire_mirror_remove *request,
                           struct error_text *text);
int mirror_requests_list(struct session *session);
int mirror_requests_key(struct session *session, const struct wire_topic *request, struct error_text *text);

#endif
