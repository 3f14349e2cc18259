#include "broker/stream/stream.h"

#include <stdlib.h>

#include "broker/stream/stretch.h"

struct stream *stream_of(struct session *session, const struct flow *flow)
{
    if (session->stream != NULL)
        return session->stream;
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->session = session;
    session->stream = stream;
    session->flow = flow;
    return stream;
}

void stream_ready(struct stream *stream)
{
    if (stream == NULL || stream->session == NULL || stream->queued || stream->session->sending ||
        stream->session->closing)
        return;
    stream->queued = true;
    rounds_put(&stream->session->broker->streams, &stream->place, broker_whose(stream->session->uid), false);
}

void stream_free(struct stream *stream)
{
    stream->session = NULL;
    if (!stream->queued)
        free(stream);
}

static struct topic **find(struct topic *topic)
{
    struct topic **at = &topic->broker->streamed;
    while (*at != NULL && *at != topic)
        at = &(*at)->streamed.next;
    return at;
}

void stream_list(struct topic *topic)
{
    struct topic **at = find(topic);
    if (*at != NULL)
        return;
    topic->streamed.next = NULL;
    *at = topic;
}

void stream_unlist(struct topic *topic)
{
    if (topic->streamed.outlets != NULL || topic->streamed.intakes != NULL)
        return;
    struct topic **at = find(topic);
    if (*at != NULL)
        *at = topic->streamed.next;
    stretch_give_back(topic->streamed.latest);
    topic->streamed.latest = NULL;
}
