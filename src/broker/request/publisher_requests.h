/* Publishers: the window of an exclusive topic, or a ring of a shared one. */
#ifndef BROKER_REQUEST_PUBLISHER_REQUESTS_H
#define BROKER_REQUEST_PUBLISHER_REQUESTS_H

#include "broker/session.h"

int publisher_requests_open(struct session *session, const struct wire_publisher_open *request,
                            struct error_text *text);
/* The same through the connection itself: broker/stream/intake.h. */
int publisher_requests_open_intake(struct session *session, const struct wire_publisher_open *request,
                                   struct error_text *text);
/* It has mapped its ring: that is sealed against others. */
int publisher_requests_mapped(struct session *session, const struct wire_handle *request,
                              struct error_text *text);
/* What became of an epoch that the status page does not have any more. */
int publisher_requests_find_epoch(struct session *session, const struct wire_epoch_find *request,
                                  struct error_text *text);

#endif
