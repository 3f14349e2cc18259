#include "broker/request/topic_requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/later.h"
#include "broker/request/access.h"
#include "broker/request/answer.h"
#include "broker/topics.h"

enum { TOPICS_A_REPLY = 124 };
_Static_assert(sizeof(struct wire_topics) + TOPICS_A_REPLY * sizeof(struct wire_topic_info) <= WIRE_REPLY_MAX,
               "a full list fits a reply");

/* What can be said of a topic that could not be loaded. */
static void describe_unserved(struct topic *topic, struct wire_topic_info *info)
{
    *info = (struct wire_topic_info){.topic_id = topic->id};
    snprintf(info->topic, sizeof info->topic, "%s", topic->name);
}

static int list(struct session *session, const struct wire_list *request, struct topic *first,
                void (*describe)(struct topic *topic, struct wire_topic_info *info))
{
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply->payload;
    char after[WIRE_TOPIC_BYTES];
    struct access_sight sight;
    access_look(session, &sight);
    snprintf(after, sizeof after, "%.*s", WIRE_TOPIC_BYTES - 1, request->after);
    *topics = (struct wire_topics){0};
    for (struct topic *topic = first; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, after) <= 0 || topic->opening || topic->deleting ||
            !access_sees(&sight, topic->name))
            continue;
        if (topics->head.count == TOPICS_A_REPLY) {
            topics->head.more = 1;
            break;
        }
        describe(topic, &topics->topics[topics->head.count++]);
    }
    answer(session, WIRE_TOPICS, topics,
           (uint32_t)(sizeof *topics + topics->head.count * sizeof(struct wire_topic_info)));
    return HERMES_OK;
}

int topic_requests_list(struct session *session, const struct wire_list *request)
{
    return list(session, request, session->broker->topics, topic_describe);
}

int topic_requests_list_unserved(struct session *session, const struct wire_list *request)
{
    return list(session, request, session->broker->unserved, describe_unserved);
}

int topic_requests_describe(struct session *session, const struct wire_topic *request,
                            struct error_text *text)
{
    struct topic *topic;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply->payload;
    *topics = (struct wire_topics){.head.count = 1};
    topic_describe(topic, &topics->topics[0]);
    answer(session, WIRE_TOPICS, topics, sizeof *topics + sizeof(struct wire_topic_info));
    return HERMES_OK;
}

/* What came of the creation or deletion that this request began; false: it did not begin one, or that is not
 * through. */
static bool is_changed(const struct session *session, int *rc, struct error_text *text)
{
    const struct topic *topic = session->later.changes;
    if (topic == NULL || topics_is_changing(topic))
        return false;
    *rc = topic->change_result;
    if (*rc < 0)
        *text = topic->change_text;
    return true;
}

int topic_requests_create(struct session *session, const struct wire_topic_create *request,
                          struct error_text *text)
{
    int rc;
    if (is_changed(session, &rc, text))
        return answer_done(session, rc);
    if ((rc = answer_check_name(request->topic, text)) < 0)
        return rc;
    struct topic *topic = topic_find(session->broker, request->topic);
    if (topic != NULL && topics_is_changing(topic)) /* let us see what comes of it */
        return later_changed(session, topic);
    if (topic != NULL)
        return error_set(text, HERMES_EEXISTS, "topic '%s'", request->topic);
    if ((rc = topics_create(session->broker, session->uid, request, &topic, text)) < 0)
        return rc;
    later_change(session, topic);
    topic_release(topic);
    return later_changed(session, topic);
}

static int alter_topic(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_topic_alter *request = (const void *)session->request.payload;
    uint64_t keep_bytes = topic->keep_bytes, keep_ns = topic->keep_ns;
    bool full_waits = topic->full_waits;
    if (request->fields & WIRE_ALTER_KEEP_BYTES)
        topic->keep_bytes = request->keep_bytes;
    if (request->fields & WIRE_ALTER_KEEP_NS)
        topic->keep_ns = request->keep_ns;
    if (request->fields & WIRE_ALTER_FULL_WAITS)
        topic->full_waits = request->full_waits != 0;
    int rc = topic_write_definition(topic, text);
    if (rc < 0) {
        topic->keep_bytes = keep_bytes; /* as the file still has it */
        topic->keep_ns = keep_ns;
        topic->full_waits = full_waits;
    }
    return rc;
}

int topic_requests_alter(struct session *session, const struct wire_topic_alter *request,
                         struct error_text *text)
{
    struct topic *topic;
    int rc, altered;
    bool through = later_result(session, alter_topic, &altered, text);
    rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (request->fields == 0 || (request->fields & ~(uint32_t)(WIRE_ALTER_KEEP_BYTES | WIRE_ALTER_KEEP_NS |
                                                               WIRE_ALTER_FULL_WAITS)) != 0)
        return error_say(text, HERMES_EINVALID, "nothing that can be altered in topic '%s'", topic->name);
    if (!through)
        return later_work(session, topic, &topic->affairs, alter_topic, NULL);
    if (altered == 0) {
        topic_apply(topic);
        if (topic->durability != DURABILITY_MEMORY)
            persister_ring(&topic->persisting);
    }
    return answer_done(session, altered);
}

int topic_requests_delete(struct session *session, const struct wire_topic *request, struct error_text *text)
{
    struct topic *topic;
    int rc;
    if (is_changed(session, &rc, text))
        return answer_done(session, rc);
    rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc == 0)
        rc = topics_delete(topic, text);
    if (rc != 0)
        return rc;
    later_change(session, topic);
    return later_changed(session, topic);
}

/* On a worker. The persister is out until then, and back when this returns: should the session be over by
 * now, nobody else would see to that. */
static int purge_topic(struct session *session, struct topic *topic, struct error_text *text)
{
    int rc = log_purge(&topic->log);
    if (rc < 0)
        *text = topic->log.error;
    if (topic->durability == DURABILITY_MEMORY)
        return rc;
    int added = persister_add(&session->broker->persister, &topic->persisting, &topic->log);
    return rc < 0 ? rc : added;
}

/* Stored by one thread at a time: by ours then. */
static bool purge_begins(struct session *session)
{
    struct topic *topic = session->later.topic;
    if (topic->deleting)
        return false;
    if (topic->durability != DURABILITY_MEMORY)
        job_removes(&session->later.job, &topic->persisting.task);
    return true;
}

int topic_requests_purge(struct session *session, const struct wire_topic *request, struct error_text *text)
{
    struct topic *topic;
    int rc, purged;
    bool through = later_result(session, purge_topic, &purged, text);
    rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (topic->mirrored.follows)
        return error_say(text, HERMES_EBUSY, "topic '%s' is a mirror, and has what its source has",
                         topic->name);
    if (!through)
        return later_work(session, topic, &topic->turns, purge_topic, purge_begins);
    return answer_done(session, purged);
}
