/* Mirrors of topics: added, removed, listed. */
#ifndef BROKER_REQUEST_MIRROR_REQUESTS_H
#define BROKER_REQUEST_MIRROR_REQUESTS_H

#include "broker/session.h"

int mirror_requests_add(struct session *session, const struct wire_mirror_add *request,
                        struct error_text *text);
int mirror_requests_remove(struct session *session, const struct wire_mirror_remove *request,
                           struct error_text *text);
int mirror_requests_list(struct session *session);

#endif
