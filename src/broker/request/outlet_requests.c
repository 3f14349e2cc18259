#include "broker/request/outlet_requests.h"

#include <inttypes.h>

#include "broker/later.h"
#include "broker/own_reader.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"
#include "broker/request/subscriber_requests.h"
#include "broker/stream/flow.h"
#include "broker/stream/outlet.h"
#include "broker/stream/stretch.h"

static int seek(struct reader *reader, const struct wire_outlet_open *request)
{
    switch (request->from) {
    case WIRE_OUTLET_FIRST:
        return reader_seek_first(reader);
    case WIRE_OUTLET_POSITION:
        return reader_seek_position(reader, request->value);
    case WIRE_OUTLET_SEQUENCE:
        return reader_seek_sequence(reader, request->value);
    default:
        return reader_seek_time(reader, request->value);
    }
}

/* Where a reader on this host would begin. On a worker: it maps the window, and may walk through a segment.
 */
static int find_place(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_outlet_open *request = (const void *)session->request.payload;
    struct wire_outlet *found = (void *)session->reply->payload;
    struct reader reader;
    hermes_message_t message;
    int rc = own_reader_open(&reader, &topic->log);
    if (rc < 0)
        return error_set(text, rc, "reading topic '%s'", topic->name);
    rc = seek(&reader, request);
    *found = (struct wire_outlet){.position = reader.position, .sequence = reader.sequence};
    if (rc == 0 && reader.skipping &&
        (rc = own_reader_poll(&reader, &message)) >= 0) /* to the message itself */
        *found = rc == 0 ? (struct wire_outlet){.position = reader.position, .sequence = reader.sequence}
                         : (struct wire_outlet){.position = message.position, .sequence = message.sequence};
    if (rc < 0)
        *text = reader.error;
    reader_close(&reader);
    return rc < 0 ? rc : HERMES_OK;
}

static int place(struct session *session, struct topic *topic, const struct wire_outlet_open *request,
                 struct wire_outlet *found, struct error_text *text)
{
    int rc;
    if (request->from != WIRE_OUTLET_END) {
        if (!later_result(session, find_place, &rc, text))
            return later_work(session, topic, &topic->reading, find_place, NULL);
        *found = *(const struct wire_outlet *)(const void *)session->reply->payload;
        return rc;
    }
    if (!later_may_use(session, &topic->turns)) /* the window's end is to be known */
        return later_turn(session, topic, &topic->turns);
    *found = (struct wire_outlet){.position = stretch_log_end(topic)};
    return HERMES_OK;
}

static int check(const struct topic *topic, const struct wire_outlet_open *request, struct error_text *text)
{
    if (request->topic_id != 0 && request->topic_id != topic->id)
        return error_say(text, HERMES_ECLOSED, "that topic '%s' was deleted, and there is another one",
                         topic->name);
    if (request->from > WIRE_OUTLET_TIME || request->credit > INT64_MAX)
        return error_set(text, HERMES_EINVALID, "from %" PRIu32 ", credit %" PRIu64, request->from,
                         request->credit);
    return HERMES_OK;
}

/* What comes from here on is not overwritten before it was sent. */
static int hold_back(struct topic *topic, const struct wire_outlet_open *request, struct handle *handle,
                     struct wire_outlet *opened, struct error_text *text)
{
    const struct wire_subscriber_open nothing_to_resume = {.resume_reader_line = UINT32_MAX};
    struct wire_subscriber waited_for;
    int rc = subscriber_requests_add_reader(topic, &nothing_to_resume, handle, &waited_for, text);
    if (rc == 0 && request->from == WIRE_OUTLET_END) /* publishers are fast */
        opened->position = stretch_log_end(topic);
    return rc;
}

static int begin(struct session *session, struct topic *topic, const struct wire_outlet_open *request,
                 struct wire_outlet *opened, struct error_text *text)
{
    struct stream *stream = stream_of(session, &stream_flow);
    struct handle *handle = stream == NULL ? NULL : handles_new(session, topic, text);
    if (handle == NULL)
        return stream == NULL ? error_set(text, HERMES_ENOMEM, "a stream") : HERMES_ELIMIT;
    opened->handle = handle->id;
    int rc = request->push_back == 0 ? HERMES_OK : hold_back(topic, request, handle, opened, text);
    if (rc == 0 && (rc = outlet_open(stream, topic, opened, request->credit, NULL, &handle->outlet)) < 0) {
        error_set(text, rc, "an outlet");
        if (handle->reader != 0)
            readers_remove(topic->readers, handle->reader - 1);
    }
    if (rc < 0) {
        handle->id = 0;
        topic_release(topic);
        return rc;
    }
    if (handle->reader != 0)
        outlet_hold_back(handle->outlet, handle->reader - 1);
    uint32_t line;
    uint64_t generation; /* who is not on this host has no way to its line */
    handle->kind = HANDLE_OUTLET;
    handles_count(session, handle, &line, &generation);
    topic->subscribers++;
    return HERMES_OK;
}

int outlet_requests_open(struct session *session, const struct wire_outlet_open *request,
                         struct error_text *text)
{
    struct topic *topic;
    struct wire_outlet opened;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc == 0)
        rc = check(topic, request, text);
    if (rc == 0)
        rc = place(session, topic, request, &opened, text);
    if (rc == 0 && request->push_back != 0 && !later_may_use(session, &topic->turns))
        rc = later_turn(session, topic, &topic->turns); /* the window is to be known */
    if (rc == 0)
        rc = begin(session, topic, request, &opened, text);
    if (rc != 0)
        return rc;
    opened.durability = topic->durability;
    opened.topic_id = topic->id;
    opened.epoch = topic_epoch(topic);
    opened.shared = topic->shared;
    answer(session, WIRE_OUTLET, &opened, sizeof opened);
    return HERMES_OK;
}
