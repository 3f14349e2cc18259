/*
 * What streams through a connection: topics' frames to it (outlets) and from it (intakes), and its turn to
 * send.
 *
 *     stream     a connection's streams, and who may send next
 *     stretch    frames copied out of a window      \ where an outlet's next
 *     history    frames of segments, on a worker    /  bytes come from
 *     party      the members of a group that are on other hosts: its page
 *     delegate   what one of them claims, is given, and acknowledges
 *     outlet     a subscriber on another host: a cursor in the log
 *     intake     a publisher on another host: it fills a ring
 *     flow       what of it goes out next, and what comes in
 *     streams    all of them: the loop's turns, and its sleep
 *
 * A connection that cannot send costs what it has been given to send: one run of frames. There is no queue.
 */
#ifndef BROKER_STREAM_STREAM_H
#define BROKER_STREAM_STREAM_H

#include "broker/session.h"
#include "broker/topic.h"

enum { STREAM_NOTICE_BYTES = 2048 };

struct stream {
    struct session *session; /* NULL: it is over, and this goes with its turn */
    struct round_entry place;
    bool queued;            /* it waits for its turn */
    struct outlet *outlets; /* the one whose turn it is first */
    struct intake *intakes;
    struct outlet *flying; /* whose frames are being sent */
    struct {
        hermes_header_t header;
        union {
            struct wire_log log;
            struct wire_given given;
        };
    } head;
    size_t noticed;   /* bytes of: */
    uint8_t *notices; /* STREAM_NOTICE_BYTES, while they are sent; else NULL */
};

/* The session's, made if it has none yet. NULL: no memory. */
struct stream *stream_of(struct session *session, const struct flow *flow);

/* It may have something to send: it gets its turn, unless it is sending; then it comes again by itself. NULL
 * is allowed. */
void stream_ready(struct stream *stream);

/* The session is over, and nothing of it is under way. */
void stream_free(struct stream *stream);

/* Puts a topic among those that are looked at, and takes it out if nothing streams there any more. */
void stream_list(struct topic *topic);
void stream_unlist(struct topic *topic);

#endif
