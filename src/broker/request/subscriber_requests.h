/* Subscribers, and what they read: windows and segments. */
#ifndef BROKER_REQUEST_SUBSCRIBER_REQUESTS_H
#define BROKER_REQUEST_SUBSCRIBER_REQUESTS_H

#include "broker/session.h"

int subscriber_requests_open(struct session *session, const struct wire_subscriber_open *request,
                             struct error_text *text);
int subscriber_requests_window(struct session *session, const struct wire_window *request,
                               struct error_text *text);
int subscriber_requests_segment(struct session *session, const struct wire_segment *request,
                                struct error_text *text);

#endif
