#include "broker/request/answer.h"

#include <string.h>

#include "broker/later.h"
#include "broker/topics.h"

void answer(struct session *session, enum wire_type type, const void *payload, uint32_t length)
{
    wire_header(&session->reply->header, type, session->request.header.sequence, length);
    if (length > 0 && payload != session->reply->payload)
        memcpy(session->reply->payload, payload, length);
}

int answer_done(struct session *session, int rc)
{
    if (rc == 0)
        answer(session, WIRE_OK, NULL, 0);
    return rc;
}

int answer_check_name(const char name[WIRE_TOPIC_BYTES], struct error_text *text)
{
    int rc = wire_topic_check(name);
    return rc < 0 ? error_set(text, rc, "topic name") : HERMES_OK;
}

int answer_no_topic(const char *name, struct error_text *text)
{
    return error_say(text, HERMES_ENOTFOUND, "no topic '%s' (hermes topic create %s)", name, name);
}

int answer_deleted(struct error_text *text)
{
    return error_say(text, HERMES_ECLOSED, "that topic was deleted");
}

int answer_find_topic(struct session *session, const char name[WIRE_TOPIC_BYTES], struct topic **topic,
                      struct error_text *text)
{
    int rc = answer_check_name(name, text);
    if (rc < 0)
        return rc;
    *topic = topic_find(session->broker, name);
    if (*topic != NULL && (*topic)->opening) /* known once its creation is through */
        return later_changed(session, *topic);
    if (*topic == NULL && topics_is_unserved(session->broker, name))
        return error_say(text, HERMES_EIO,
                         "topic '%s' is on the disk, but is not served: see the broker's notes", name);
    return *topic == NULL || (*topic)->deleting ? answer_no_topic(name, text) : HERMES_OK;
}
