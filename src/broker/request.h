/* What each control request does. Everything in it comes from a stranger and is checked here. */
#ifndef BROKER_REQUEST_H
#define BROKER_REQUEST_H

#include "broker/session.h"

/* Answers session->request, at once or later. */
void request_answer(struct session *session);

/* The session is over: drops what it holds, and frees it, at once or later. */
void request_leave(struct session *session);

/* The topic is deleted: whoever has it reads what is mapped, and is then told. */
void request_let_go(struct topic *topic);

#endif
