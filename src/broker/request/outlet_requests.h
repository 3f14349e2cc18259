/* Outlets: subscribers at the other end of a connection. */
#ifndef BROKER_REQUEST_OUTLET_REQUESTS_H
#define BROKER_REQUEST_OUTLET_REQUESTS_H

#include "broker/session.h"

int outlet_requests_open(struct session *session, const struct wire_outlet_open *request,
                         struct error_text *text);

#endif
