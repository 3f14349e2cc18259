#include "broker/later.h"

#include "broker/sequencer.h"
#include "broker/topics.h"

bool later_may_use(const struct session *session, const struct job_queue *queue)
{
    return !queue_is_busy(queue) || session->later.turn == queue;
}

static struct session *of(struct job *job)
{
    return (struct session *)(void *)((char *)job - offsetof(struct session, later.job));
}

static void work(struct job *job)
{
    struct session *session = of(job);
    struct later *later = &session->later;
    later->result = later->work(session, later->topic, &later->text);
}

/* A client that went away meanwhile gets no answer; its session is dropped further. */
static void done(struct job *job)
{
    struct session *session = of(job);
    struct later *later = &session->later;
    struct topic *topic = later->topic;
    later->waits = false;
    later->worked = later->work != NULL && !job->refused;
    later->turn = job->queue;
    if (session->over)
        session->broker->leave(session); /* may free it */
    else if (!session->closing)
        session->broker->answer(session);
    topic_release(topic);
}

static bool begins(struct job *job)
{
    struct session *session = of(job);
    return session->later.begins(session);
}

static void prepare(struct session *session, struct topic *topic, later_work_t what,
                    bool (*asked)(struct session *session))
{
    struct later *later = &session->later;
    later->waits = true;
    later->worked = false;
    later->turn = NULL;
    later->topic = topic;
    later->work = what;
    later->begins = asked;
    later->job = (struct job){.begin = asked == NULL ? NULL : begins,
                              .work = what == NULL ? NULL : work,
                              .done = done,
                              .whose = broker_whose(session->uid)};
    topic_hold(topic);
}

static int submit(struct session *session, struct topic *topic, struct job_queue *queue, later_work_t what,
                  bool (*asked)(struct session *session))
{
    prepare(session, topic, what, asked);
    topic_look(topic);
    workers_submit(&session->broker->workers, queue, &session->later.job);
    return LATER;
}

int later_changed(struct session *session, struct topic *topic)
{
    prepare(session, topic, NULL, NULL);
    topics_await_change(topic, &session->later.job);
    return LATER;
}

int later_turn(struct session *session, struct topic *topic, struct job_queue *queue)
{
    return submit(session, topic, queue, NULL, NULL);
}

static bool never(struct session *session)
{
    (void)session;
    return false;
}

int later_soon(struct session *session, struct topic *topic)
{
    return submit(session, topic, NULL, NULL, never);
}

int later_work(struct session *session, struct topic *topic, struct job_queue *queue, later_work_t what,
               bool (*asked)(struct session *session))
{
    return submit(session, topic, queue, what, asked);
}

bool later_result(struct session *session, later_work_t what, int *rc, struct error_text *text)
{
    struct later *later = &session->later;
    if (!later->worked || later->work != what)
        return false;
    later->worked = false;
    *rc = later->result;
    if (*rc < 0)
        *text = later->text;
    return true;
}

void later_change(struct session *session, struct topic *topic)
{
    topic_hold(topic);
    session->later.changes = topic;
}

void later_forget(struct session *session)
{
    struct later *later = &session->later;
    later->turn = NULL;
    later->worked = false;
    if (later->ring != NULL)
        ring_free(later->ring);
    later->ring = NULL;
    struct topic *topic = later->changes;
    later->changes = NULL;
    if (topic != NULL)
        topic_release(topic);
}
