/* Members of groups, and durable subscriptions, through the connection itself. */
#ifndef BROKER_REQUEST_MEMBER_REQUESTS_H
#define BROKER_REQUEST_MEMBER_REQUESTS_H

#include "broker/session.h"

int member_requests_open(struct session *session, const struct wire_member_open *request,
                         struct error_text *text);

#endif
