#include "broker/stream/flow.h"

#include <inttypes.h>
#include <stdlib.h>

#include "broker/stream/intake.h"
#include "broker/stream/outlet.h"

/* ---- what comes in ---- */

/* NULL: it was closed meanwhile. */
static struct outlet *find_outlet(const struct stream *stream, uint64_t handle)
{
    struct outlet *outlet = stream->outlets;
    while (outlet != NULL && outlet->handle != handle)
        outlet = outlet->next;
    return outlet;
}

static int64_t take_credit(struct stream *stream, uint64_t handle, const uint8_t *bytes, size_t count,
                           struct error_text *text)
{
    struct wire_credit credit;
    if (count < sizeof credit)
        return 0;
    memcpy(&credit, bytes, sizeof credit);
    struct outlet *outlet = find_outlet(stream, handle);
    if (outlet != NULL && outlet_give_credit(outlet, credit.bytes) < 0)
        return error_set(text, HERMES_EPROTOCOL, "credit of %" PRIu64 " bytes more", credit.bytes);
    return sizeof credit;
}

static int64_t take_acks(struct stream *stream, const hermes_header_t *header, const uint8_t *bytes,
                         size_t count, struct error_text *text)
{
    struct outlet *outlet = find_outlet(stream, header->sequence);
    struct wire_ack ack;
    size_t taken = 0;
    int rc = 0;
    if (outlet == NULL)
        return (int64_t)count;
    if (outlet->member == NULL)
        return error_set(text, HERMES_EPROTOCOL, "handle %" PRIu64 " is no member's", header->sequence);
    while (count - taken >= sizeof ack) {
        memcpy(&ack, bytes + taken, sizeof ack);
        if ((rc = outlet_settle(outlet, header->type, &ack)) < 0)
            break;
        taken += sizeof ack;
    }
    stream_ready(stream); /* it is told what came of them */
    return taken == 0 ? rc : (int64_t)taken;
}

static struct intake *find_intake(const struct stream *stream, uint64_t handle)
{
    struct intake *intake = stream->intakes;
    while (intake != NULL && intake->handle != handle)
        intake = intake->next;
    return intake;
}

static int64_t take(struct session *session, const hermes_header_t *header, const uint8_t *bytes,
                    size_t count, size_t left, struct error_text *text)
{
    struct stream *stream = session->stream;
    if (header->type == WIRE_PUBLISH) {
        struct intake *intake = find_intake(stream, header->sequence);
        return intake != NULL ? intake_take(intake, bytes, count, left, text)
                              : error_set(text, HERMES_EPROTOCOL, "handle %" PRIu64 " takes no messages",
                                          header->sequence);
    }
    return header->type == WIRE_CREDIT ? take_credit(stream, header->sequence, bytes, count, text)
                                       : take_acks(stream, header, bytes, count, text);
}

/* ---- what goes out ---- */

/* false: no memory; what is to be said comes again. */
static bool begin_notices(struct stream *stream)
{
    if (stream->notices == NULL)
        stream->notices = malloc(STREAM_NOTICE_BYTES);
    return stream->notices != NULL;
}

static bool add_notice(struct stream *stream, enum wire_type type, uint32_t handle, const void *payload,
                       uint32_t length)
{
    hermes_header_t header;
    if (!begin_notices(stream) || stream->noticed + sizeof header + length > STREAM_NOTICE_BYTES)
        return false;
    wire_header(&header, type, handle, length);
    memcpy(stream->notices + stream->noticed, &header, sizeof header);
    memcpy(stream->notices + stream->noticed + sizeof header, payload, length);
    stream->noticed += sizeof header + length;
    return true;
}

static bool has_room(const struct stream *stream)
{
    return STREAM_NOTICE_BYTES - stream->noticed >= HERMES_HEADER_BYTES + sizeof(struct wire_end);
}

static void tell_intake(struct stream *stream, struct intake *intake)
{
    if (!intake_look(intake) || !begin_notices(stream)) /* what is confirmed is said now */
        return;
    if (intake->code != 0 && !intake->told) {
        struct wire_end end = {.code = intake->code,
                               .text = "the topic's store failed: nothing more is taken"};
        intake->told = add_notice(stream, WIRE_END, intake->handle, &end, sizeof end);
        return;
    }
    struct wire_confirm confirm = intake_confirm(intake);
    (void)add_notice(stream, WIRE_CONFIRM, intake->handle, &confirm, sizeof confirm);
}

static void tell_member(struct stream *stream, const struct outlet *outlet)
{
    struct settled settled;
    if (outlet->member == NULL || !delegate_news(outlet->member, &settled))
        return;
    size_t bytes = sizeof settled.head + settled.head.refused * sizeof settled.refused[0];
    if (add_notice(stream, WIRE_SETTLED, outlet->handle, &settled, (uint32_t)bytes))
        delegate_told(outlet->member);
}

static void gather_notices(struct stream *stream)
{
    stream->noticed = 0;
    for (struct intake *intake = stream->intakes; intake != NULL && has_room(stream); intake = intake->next)
        tell_intake(stream, intake);
    for (struct outlet *outlet = stream->outlets, *next; outlet != NULL && has_room(stream); outlet = next) {
        next = outlet->next;
        tell_member(stream, outlet);
        if (!outlet->ended || outlet->told || outlet->flying)
            continue;
        if (add_notice(stream, WIRE_END, outlet->handle, &outlet->end, sizeof outlet->end))
            outlet_told(outlet);
    }
}

/* Who has had its turn comes last. */
static void rotate(struct stream *stream, struct outlet *outlet)
{
    struct outlet **at = &stream->outlets;
    while (*at != outlet)
        at = &(*at)->next;
    *at = outlet->next;
    while (*at != NULL)
        at = &(*at)->next;
    *at = outlet;
    outlet->next = NULL;
}

static bool find_run(struct stream *stream, struct run *run)
{
    for (struct outlet *outlet = stream->outlets; outlet != NULL; outlet = outlet->next)
        if (outlet_next(outlet, run)) {
            rotate(stream, outlet);
            stream->flying = outlet;
            return true;
        }
    return false;
}

static void write_given(struct stream *stream, const struct run *run)
{
    const struct outlet *outlet = stream->flying;
    const struct topic *topic = outlet->topic;
    const struct delegate *member = outlet->member;
    wire_header(&stream->head.header, WIRE_GIVEN, outlet->handle,
                (uint32_t)(sizeof stream->head.given + run->count));
    stream->head.given = (struct wire_given){
        .epoch = atomic_load_explicit(&topic->log.status->epoch, memory_order_relaxed),
        .count = run->count == 0 ? 0 : member->gifts->count,
        .end = topic->streamed.seen > outlet->position ? topic->streamed.seen : outlet->position,
        .lost = member->lost,
        .why = member->why,
    };
}

static void write_head(struct stream *stream, const struct run *run)
{
    const struct outlet *outlet = stream->flying;
    const struct topic *topic = outlet->topic;
    uint64_t end = run->position + run->count;
    wire_header(&stream->head.header, WIRE_LOG, outlet->handle,
                (uint32_t)(sizeof stream->head.log + run->count));
    stream->head.log = (struct wire_log){
        .epoch = atomic_load_explicit(&topic->log.status->epoch, memory_order_relaxed),
        .position = run->position,
        .sequence = run->sequence,
        .end = topic->streamed.seen > end ? topic->streamed.seen : end,
    };
}

static unsigned fill(struct session *session, struct iovec *parts)
{
    struct stream *stream = session->stream;
    struct run run;
    unsigned count = 0;
    gather_notices(stream);
    if (stream->noticed > 0)
        parts[count++] = (struct iovec){stream->notices, stream->noticed};
    if (!find_run(stream, &run))
        return count;
    if (outlet_claims(stream->flying))
        write_given(stream, &run);
    else
        write_head(stream, &run);
    parts[count++] = (struct iovec){&stream->head, sizeof stream->head};
    if (run.count > 0)
        parts[count++] = (struct iovec){(void *)run.bytes, run.count};
    return count;
}

static void land(struct stream *stream)
{
    struct outlet *outlet = stream->flying;
    stream->flying = NULL;
    free(stream->notices);
    stream->notices = NULL;
    if (outlet != NULL)
        outlet_sent(outlet);
}

static void sent(struct session *session)
{
    land(session->stream);
    stream_ready(session->stream);
}

static void gone(struct session *session)
{
    struct stream *stream = session->stream;
    while (stream->outlets != NULL) /* whose handles went with their topics */
        outlet_close(stream->outlets);
    land(stream);
    stream_free(stream);
}

const struct flow stream_flow = {take, fill, sent, gone};
