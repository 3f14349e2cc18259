/*
 * A session over TCP whose client is on this host goes on in shared memory: it is invited to the Unix socket,
 * the broker shows itself there by a descriptor, and who says the rest of the invitation is who was invited,
 * no more and no less, as long as the session that was invited is there.
 */
#ifndef BROKER_REQUEST_NEAR_REQUESTS_H
#define BROKER_REQUEST_NEAR_REQUESTS_H

#include "broker/session.h"

/* Would it be invited? Its address says so, which proves nothing. */
bool near_requests_invites(const struct session *session);

/* HERMES_ENOTSUP: it would not. */
int near_requests_invite(struct session *session, struct error_text *text);

/* HERMES_EACCESS: there is no such invitation. Who guesses ends the session with each guess. */
int near_requests_show(struct session *session, const struct wire_show *request, struct error_text *text);
int near_requests_enter(struct session *session, const struct wire_enter *request, struct error_text *text);

#endif
