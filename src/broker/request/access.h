/*
 * Who a session is, and what it may do. access_check() stands before every request, and before nothing else:
 * a table says which right each of them needs.
 *
 * A topic of which one may do nothing does not exist for one: what is answered is, word for word, what is
 * answered of one that is not there. Root and the broker's own user, on this host, may do everything: they
 * could change rules and store anyway.
 */
#ifndef BROKER_REQUEST_ACCESS_H
#define BROKER_REQUEST_ACCESS_H

#include "broker/security.h"
#include "broker/session.h"

/* It says hello: names it by its uid or by its certificate. HERMES_ELIMIT: that one has enough sessions. */
int access_greet(struct session *session, struct error_text *text);

/* It shows a token. HERMES_EACCESS, the same for one that never was, is over, or was revoked. */
int access_present(struct session *session, const struct wire_authenticate *request, struct error_text *text);

/* May it ask for what session->request says? HERMES_EACCESS, or what is said of a topic that is not there. */
int access_check(struct session *session, struct error_text *text);

/* Which topics a session may see, for who looks at many. */
struct access_sight {
    bool all;
    const struct rule *of[RULES_MAX];
    unsigned count;
};
void access_look(const struct session *session, struct access_sight *sight);
bool access_sees(const struct access_sight *sight, const char *topic);

/* Certificates, tokens and rules are others now: who may not stay goes. Looks at some sessions; true: there
 * are more. */
bool access_review(struct broker *broker);
/* Time has passed: whose certificate or token is over goes. */
void access_expire(struct broker *broker);

/* The right that a request of this type needs: enum right, any of them; -1: the type is unknown here. */
int access_right_for(uint8_t type);

#endif
