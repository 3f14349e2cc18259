/* Subscribers, and what they read: windows and segments. */
#ifndef BROKER_REQUEST_SUBSCRIBER_REQUESTS_H
#define BROKER_REQUEST_SUBSCRIBER_REQUESTS_H

#include "broker/session.h"
#include "broker/topic.h"

int subscriber_requests_open(struct session *session, const struct wire_subscriber_open *request,
                             struct error_text *text);
/* Makes handle a member's, of a group that is made if it is not there. In the turn of topic->affairs. LATER.
 */
int subscriber_requests_join(struct session *session, struct topic *topic,
                             const struct wire_subscriber_open *request, struct handle *handle,
                             struct wire_subscriber *opened, struct error_text *text);
/* Publishers are to wait for that handle. In the turn of topic->turns. HERMES_EINVALID, HERMES_ELIMIT. */
int subscriber_requests_add_reader(struct topic *topic, const struct wire_subscriber_open *request,
                                   struct handle *handle, struct wire_subscriber *opened,
                                   struct error_text *text);
int subscriber_requests_window(struct session *session, const struct wire_window *request,
                               struct error_text *text);
int subscriber_requests_segment(struct session *session, const struct wire_segment *request,
                                struct error_text *text);

#endif
