/* What each control request does. Everything in it comes from a stranger and is checked in this folder. */
#ifndef BROKER_REQUEST_REQUEST_H
#define BROKER_REQUEST_REQUEST_H

#include "broker/session.h"

/* Answers session->request, at once or later. */
void request_answer(struct session *session);

#endif
