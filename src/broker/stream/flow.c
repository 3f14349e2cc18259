#include "broker/stream/flow.h"

#include <inttypes.h>

#include "broker/stream/intake.h"
#include "broker/stream/outlet.h"

/* ---- what comes in ---- */

static int take_credit(struct stream *stream, uint64_t handle, uint64_t bytes, struct error_text *text)
{
    for (struct outlet *outlet = stream->outlets; outlet != NULL; outlet = outlet->next)
        if (outlet->handle == handle)
            return outlet_give_credit(outlet, bytes) < 0
                       ? error_set(text, HERMES_EPROTOCOL, "credit of %" PRIu64 " bytes more", bytes)
                       : HERMES_OK;
    return HERMES_OK; /* of an outlet that was closed meanwhile */
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
    struct wire_credit credit;
    if (count < sizeof credit)
        return 0;
    memcpy(&credit, bytes, sizeof credit);
    int rc = take_credit(stream, header->sequence, credit.bytes, text);
    return rc < 0 ? rc : (int64_t)sizeof credit;
}

/* ---- what goes out ---- */

static bool add_notice(struct stream *stream, enum wire_type type, uint32_t handle, const void *payload,
                       uint32_t length)
{
    hermes_header_t header;
    if (stream->noticed + sizeof header + length > sizeof stream->notices)
        return false;
    wire_header(&header, type, handle, length);
    memcpy(stream->notices + stream->noticed, &header, sizeof header);
    memcpy(stream->notices + stream->noticed + sizeof header, payload, length);
    stream->noticed += sizeof header + length;
    return true;
}

static bool has_room(const struct stream *stream)
{
    return sizeof stream->notices - stream->noticed >= HERMES_HEADER_BYTES + sizeof(struct wire_end);
}

static void tell_intake(struct stream *stream, struct intake *intake)
{
    if (!intake_look(intake))
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

static void gather_notices(struct stream *stream)
{
    stream->noticed = 0;
    for (struct intake *intake = stream->intakes; intake != NULL && has_room(stream); intake = intake->next)
        tell_intake(stream, intake);
    for (struct outlet *outlet = stream->outlets, *next; outlet != NULL && has_room(stream); outlet = next) {
        next = outlet->next;
        if (!outlet->ended || outlet->told || outlet->flying)
            continue;
        (void)add_notice(stream, WIRE_END, outlet->handle, &outlet->end, sizeof outlet->end);
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
    write_head(stream, &run);
    parts[count++] = (struct iovec){&stream->head, sizeof stream->head};
    parts[count++] = (struct iovec){(void *)run.bytes, run.count};
    return count;
}

static void land(struct stream *stream)
{
    struct outlet *outlet = stream->flying;
    stream->flying = NULL;
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
