/*
 * Requests whose answer has to wait: for their turn, because a job has what they are about, or for work on a
 * worker. Then they are handled again from the beginning, by the same function, which finds its turn come or
 * its work done:
 *
 *     if (later_result(session, make_window, &rc, text)) return rc ...
 *     if (!later_may_use(session, &topic->turns)) return later_turn(session, topic, &topic->turns);
 *     if (a window is needed) return later_work(session, topic, &topic->turns, make_window);
 *
 * What a session still holds is dropped in the same way when it is over. Belongs to the event loop's thread,
 * but for the work.
 */
#ifndef BROKER_LATER_H
#define BROKER_LATER_H

#include "broker/session.h"
#include "broker/topic.h"

enum { LATER = 1 };

/* Is no job of that queue under way or waiting, or is it this session's turn? */
bool later_may_use(const struct session *session, const struct job_queue *queue);

/* LATER: handled again when the change of the topic that is under way is through. */
int later_changed(struct session *session, struct topic *topic);

/* LATER: handled again when all that are before it in the queue are done. */
int later_turn(struct session *session, struct topic *topic, struct job_queue *queue);

/* LATER: handled again in another turn of the loop, when others had theirs. Needs no worker. */
int later_soon(struct session *session, struct topic *topic);

typedef int (*later_work_t)(struct session *session, struct topic *topic, struct error_text *text);

/*
 * LATER: in its turn, work() runs on a worker. It may fill in session->reply and session->fds. begins (NULL:
 * it does) is asked on the loop when the turn has come, for what may have changed since: false: no work, and
 * the request is handled again. It may name tasks that are to be out (job_removes(&session->later.job, ...)).
 */
int later_work(struct session *session, struct topic *topic, struct job_queue *queue, later_work_t work,
               bool (*begins)(struct session *session));

/* Was that work done for this request? *rc is what it returned, text its sentence. Once. */
bool later_result(struct session *session, later_work_t work, int *rc, struct error_text *text);

/* The request is answered, or the session over: what it held for that is let go. */
void later_forget(struct session *session);

/* The topic that the request makes or deletes. */
void later_change(struct session *session, struct topic *topic);

#endif
