/* What a session has open: taken and let go. */
#ifndef BROKER_REQUEST_HANDLES_H
#define BROKER_REQUEST_HANDLES_H

#include "broker/session.h"
#include "broker/topic.h"

/* One that can be filled in; NULL: the session has as many as it may, and text says so. */
struct handle *handles_free(struct session *session, struct error_text *text);

/* One that is filled in, and holds the topic. */
struct handle *handles_new(struct session *session, struct topic *topic, struct error_text *text);

/* It is filled in: from here on it is counted, until it is dropped. *line, *generation: where its client may
 * tell what it alone knows (log/told.h). */
void handles_count(struct session *session, struct handle *handle, uint32_t *line, uint64_t *generation);

/* NULL: it is not open. */
struct handle *handles_find(struct session *session, uint32_t id);

/* Why: its client closed it, its session is over, or its client did not wait for the answer that it is open.
 */
enum handle_end { HANDLE_CLOSED, HANDLE_SESSION_OVER, HANDLE_FORGOTTEN };

/* LATER: the groups are busy. */
int handles_drop(struct session *session, struct handle *handle, enum handle_end end);

/* Its keys to mirrors are good for nothing from now on, though the session may still be there for a moment.
 */
void handles_revoke_grants(struct session *session);

/* The session is over: drops what it holds, and frees it, at once or later. */
void handles_leave(struct session *session);

/* The topic is deleted: whoever has it reads what is mapped, and is then told. */
void handles_let_go(struct topic *topic);

#endif
