#include "broker/request/subscriber_requests.h"

#include <inttypes.h>

#include "broker/group_make.h"
#include "broker/group_members.h"
#include "broker/later.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"
#include "broker/topics.h"

int subscriber_requests_add_reader(struct topic *topic, const struct wire_subscriber_open *request,
                                   struct handle *handle, struct wire_subscriber *opened,
                                   struct error_text *text)
{
    if (handle->group != NULL && handle->group->kept.mask != 0)
        return error_say(text, HERMES_EINVALID, "publishers do not wait for members of a group");
    int rc = topic_add_reader(topic, request->resume_reader_line, request->resume_reader,
                              &opened->reader_line, &opened->reader, text);
    if (rc == 0)
        handle->reader = opened->reader_line + 1;
    return rc;
}

/* Its line is in a page that all who are waited for may write: they could hold each other's publishers up. */
static int add_reader(struct session *session, struct topic *topic,
                      const struct wire_subscriber_open *request, struct handle *handle,
                      struct wire_subscriber *opened, struct error_text *text)
{
    if (!broker_trusts(session->broker, session->uid))
        return error_say(text, HERMES_EACCESS, "publishers of topic '%s' wait for the broker's user alone",
                         topic->name);
    int rc = subscriber_requests_add_reader(topic, request, handle, opened, text);
    if (rc == 0 && (rc = session_attach(session, topic->readers_fd, text)) < 0)
        readers_remove(topic->readers, opened->reader_line);
    return rc;
}

static int make_group_for(struct session *session, struct topic *topic, struct error_text *text)
{
    return group_create_for(session, topic, (const void *)session->request.payload, text);
}

int subscriber_requests_join(struct session *session, struct topic *topic,
                             const struct wire_subscriber_open *request, struct handle *handle,
                             struct wire_subscriber *opened, struct error_text *text)
{
    int rc;
    if (later_result(session, make_group_for, &rc, text) && rc < 0)
        return rc;
    rc = group_join(session, topic, request, handle, opened, text);
    return rc == HERMES_ENOTFOUND ? later_work(session, topic, &topic->affairs, make_group_for, NULL) : rc;
}

static int join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                struct handle *handle, struct wire_subscriber *opened, struct error_text *text)
{
    int rc = subscriber_requests_join(session, topic, request, handle, opened, text);
    if (rc == 0 && (rc = session_attach(session, handle->group->fd, text)) < 0)
        group_undo_join(session->broker, handle);
    return rc;
}

int subscriber_requests_open(struct session *session, const struct wire_subscriber_open *request,
                             struct error_text *text)
{
    struct topic *topic;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (request->group[0] != 0 && !later_may_use(session, &topic->affairs))
        return later_turn(session, topic, &topic->affairs);
    if (request->push_back != 0 && !later_may_use(session, &topic->turns))
        return later_turn(session, topic, &topic->turns); /* the window's end is to be known */
    struct handle *handle = handles_free(session, text);
    if (handle == NULL)
        return HERMES_ELIMIT;
    struct handle fresh = {.id = ++session->broker->next_handle,
                           .correlation = session->request.header.sequence,
                           .kind = HANDLE_SUBSCRIBER,
                           .topic = topic};
    struct wire_subscriber opened = {
        .handle = fresh.id, .durability = topic->durability, .topic_id = topic->id};
    if ((rc = session_attach(session, topic->log.status_fd, text)) < 0 ||
        (rc = session_attach(session, topic->log.doorbell_fd, text)) < 0)
        return rc;
    if (request->group[0] != 0 && (rc = join(session, topic, request, &fresh, &opened, text)) != 0) {
        session_release_fds(session);
        return rc;
    }
    if (request->push_back != 0 && (rc = add_reader(session, topic, request, &fresh, &opened, text)) < 0) {
        if (fresh.group != NULL)
            group_undo_join(session->broker, &fresh);
        return rc;
    }
    topic_hold(topic);
    *handle = fresh;
    topic->subscribers++;
    handles_count(session, handle, &opened.told_line, &opened.told_generation);
    answer(session, WIRE_SUBSCRIBER, &opened, sizeof opened);
    return HERMES_OK;
}

int subscriber_requests_window(struct session *session, const struct wire_window *request,
                               struct error_text *text)
{
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL || topic->deleting)
        return answer_deleted(text);
    int fd;
    int rc = log_window_reader_fd(&topic->log, request->epoch, &fd);
    if (rc == HERMES_EAGAIN)
        return error_set(text, rc, "epoch %" PRIu32 " is over", request->epoch);
    if (rc < 0)
        return error_set(text, rc, "window of topic '%s'", topic->name);
    session->fds[session->fd_count++] = fd;
    answer(session, WIRE_OK, NULL, 0);
    return HERMES_OK;
}

static int find_segment(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_segment *request = (const void *)session->request.payload;
    struct store_place place;
    int rc = store_find(&topic->log.store, (enum store_key)request->key, request->value, &place, text);
    if (rc < 0)
        return rc;
    session->fds[session->fd_count++] = place.fd;
    struct wire_place found = {
        .position = place.position, .sequence = place.sequence, .indexed = place.indexed};
    answer(session, WIRE_PLACE, &found, sizeof found);
    return HERMES_OK;
}

int subscriber_requests_segment(struct session *session, const struct wire_segment *request,
                                struct error_text *text)
{
    int rc;
    if (later_result(session, find_segment, &rc, text))
        return rc;
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL || topic->deleting)
        return answer_deleted(text);
    if (topic->durability == DURABILITY_MEMORY || request->key > STORE_BY_TIME)
        return error_say(text, HERMES_EINVALID, "topic '%s' has no store, or key %" PRIu32 " is unknown",
                         topic->name, request->key);
    return later_work(session, topic, &topic->reading, find_segment, NULL);
}
