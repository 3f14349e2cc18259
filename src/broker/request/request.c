#include "broker/request/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "broker/later.h"
#include "broker/request/access.h"
#include "broker/request/answer.h"
#include "broker/request/group_requests.h"
#include "broker/request/handles.h"
#include "broker/request/member_requests.h"
#include "broker/request/mirror_requests.h"
#include "broker/request/near_requests.h"
#include "broker/request/outlet_requests.h"
#include "broker/request/publisher_requests.h"
#include "broker/request/subscriber_requests.h"
#include "broker/request/topic_requests.h"

static void begin_counting(struct session *session)
{
    session->id = broker_next_id(session->broker);
    const struct book_entry entry = {.kind = COUNTERS_SESSION,
                                     .label = session->name,
                                     .id = session->id,
                                     .pid = (uint32_t)session->pid,
                                     .uid = (uint32_t)session->uid};
    session->counters = book_take(&session->broker->book, &entry);
    counters_set(session->counters, SESSION_REQUESTS, 1);
}

static int hello(struct session *session, const struct wire_hello *request, struct error_text *text)
{
    if (request->protocol != WIRE_PROTOCOL)
        return error_say(text, HERMES_EVERSION, "this program speaks protocol %d, this broker %d",
                         request->protocol, WIRE_PROTOCOL);
    int rc = access_greet(session, text);
    if (rc < 0)
        return rc;
    snprintf(session->name, sizeof session->name, "%.*s", (int)sizeof request->name - 1, request->name);
    if (!session->greeted)
        begin_counting(session);
    session->greeted = true;
    struct wire_welcome welcome = {
        .protocol = WIRE_PROTOCOL,
        .capabilities = (uint16_t)((session->remote ? 0 : WIRE_PASSES_DESCRIPTORS) |
                                   (session_is_awaited(session) ? WIRE_AWAITS_TOKEN : 0) |
                                   (near_requests_invites(session) ? WIRE_INVITES : 0)),
        .instance = session->broker->instance,
        .payload_max = HERMES_PAYLOAD_MAX,
        .topics_max = session->broker->config.topics_max,
        .publishers_max = STATUS_RINGS,
        .pid = (uint32_t)getpid(),
    };
    if (broker_trusts(session->broker, session->uid) && session->broker->book.told_fd >= 0)
        rc = session_attach(session, session->broker->book.told_fd, text);
    if (rc == 0)
        answer(session, WIRE_WELCOME, &welcome, sizeof welcome);
    return rc;
}

/* Who guesses ends the session with each guess. */
static int authenticate(struct session *session, const struct wire_authenticate *request,
                        struct error_text *text)
{
    int rc = access_present(session, request, text);
    if (rc < 0)
        session_refuse(session, session->request.header.sequence, rc, text);
    return answer_done(session, rc);
}

static int describe_broker(struct session *session)
{
    const struct broker *broker = session->broker;
    struct access_sight sight;
    access_look(session, &sight);
    struct turn_figures turns = poller_turns(broker->poller);
    struct wire_broker info = {
        .instance = broker->instance,
        .pid = (uint32_t)getpid(),
        .uid = (uint32_t)broker->uid,
        .membarrier = broker->membarrier,
        .sessions = broker->session_count,
        .topics = sight.all ? broker->topic_count : 0,
        .uptime_ns = clock_monotonic_ns() - broker->began_ns,
        .longest_turn_ns = turns.longest_ns,
        .longest_own_ns = turns.longest_own_ns,
        .blocked_turns = turns.blocked,
        .notes_lost = note_dropped(),
    };
    snprintf(info.engine, sizeof info.engine, "%s", poller_name(broker->poller));
    snprintf(info.version, sizeof info.version, "%s", PROGRAM_VERSION);
    snprintf(info.memory, sizeof info.memory, "%s", broker->shm.path);
    answer(session, WIRE_BROKER, &info, sizeof info);
    return HERMES_OK;
}

static int close_handle(struct session *session, const struct wire_handle *request, struct error_text *text)
{
    struct handle *handle = handles_find(session, request->handle);
    if (handle == NULL)
        return error_set(text, HERMES_EINVALID, "handle %" PRIu32 " is not open", request->handle);
    return answer_done(session, handles_drop(session, handle, HANDLE_CLOSED));
}

/* Requests are answered in their order: what that one was to open is open by now, or never will be. */
static int forget(struct session *session, const struct wire_forget *request)
{
    for (unsigned i = 0; i < session->handle_count; i++) {
        struct handle *handle = &session->handles[i];
        if (handle->id != 0 && handle->correlation == request->correlation)
            return answer_done(session, handles_drop(session, handle, HANDLE_FORGOTTEN));
    }
    return answer_done(session, HERMES_OK);
}

/* The payload's size was checked against its type (wire_request_bytes) when it was read. */
static int dispatch(struct session *session, struct error_text *text)
{
    const void *payload = session->request.payload;
    uint8_t type = session->request.header.type;
    if (!session->greeted && type != WIRE_HELLO)
        return error_set(text, HERMES_EPROTOCOL, "the first request must be a hello");
    if (session->remote && wire_passes_descriptors(type))
        return error_say(
            text, HERMES_ENOTSUP,
            "request of type %d: over TCP no descriptors are passed, but OUTLET_OPEN and INTAKE_OPEN "
            "carry messages",
            type);
    int rc = access_check(session, text);
    if (rc < 0)
        return rc;
    switch (type) {
    case WIRE_HELLO:
        return hello(session, payload, text);
    case WIRE_AUTHENTICATE:
        return authenticate(session, payload, text);
    case WIRE_TOPIC_CREATE:
        return topic_requests_create(session, payload, text);
    case WIRE_TOPIC_ALTER:
        return topic_requests_alter(session, payload, text);
    case WIRE_TOPIC_DELETE:
        return topic_requests_delete(session, payload, text);
    case WIRE_TOPIC_PURGE:
        return topic_requests_purge(session, payload, text);
    case WIRE_TOPIC_LIST:
        return topic_requests_list(session, payload);
    case WIRE_UNSERVED_LIST:
        return topic_requests_list_unserved(session, payload);
    case WIRE_TOPIC_DESCRIBE:
        return topic_requests_describe(session, payload, text);
    case WIRE_PUBLISHER_OPEN:
        return publisher_requests_open(session, payload, text);
    case WIRE_PUBLISHER_MAPPED:
        return publisher_requests_mapped(session, payload, text);
    case WIRE_INTAKE_OPEN:
        return publisher_requests_open_intake(session, payload, text);
    case WIRE_OUTLET_OPEN:
        return outlet_requests_open(session, payload, text);
    case WIRE_MEMBER_OPEN:
        return member_requests_open(session, payload, text);
    case WIRE_SUBSCRIBER_OPEN:
        return subscriber_requests_open(session, payload, text);
    case WIRE_WINDOW_OPEN:
        return subscriber_requests_window(session, payload, text);
    case WIRE_SEGMENT_OPEN:
        return subscriber_requests_segment(session, payload, text);
    case WIRE_GROUP_CREATE:
        return group_requests_create(session, payload, text);
    case WIRE_GROUP_ALTER:
        return group_requests_alter(session, payload, text);
    case WIRE_GROUP_DELETE:
        return group_requests_delete(session, payload, text);
    case WIRE_GROUP_LIST:
        return group_requests_list(session, payload, text);
    case WIRE_MIRROR_ADD:
        return mirror_requests_add(session, payload, text);
    case WIRE_MIRROR_REMOVE:
        return mirror_requests_remove(session, payload, text);
    case WIRE_MIRROR_LIST:
        return mirror_requests_list(session);
    case WIRE_MIRROR_KEY:
        return mirror_requests_key(session, payload, text);
    case WIRE_INVITE:
        return near_requests_invite(session, text);
    case WIRE_SHOW:
        return near_requests_show(session, payload, text);
    case WIRE_ENTER:
        return near_requests_enter(session, payload, text);
    case WIRE_EPOCH_FIND:
        return publisher_requests_find_epoch(session, payload, text);
    case WIRE_CLOSE:
        return close_handle(session, payload, text);
    case WIRE_FORGET:
        return forget(session, payload);
    case WIRE_BROKER_DESCRIBE:
        return describe_broker(session);
    case WIRE_PING:
        answer(session, WIRE_OK, NULL, 0);
        return HERMES_OK;
    default:
        return error_set(text, HERMES_EPROTOCOL, "request of type %d", type);
    }
}

void request_answer(struct session *session)
{
    struct error_text text = {{0}};
    int rc = dispatch(session, &text);
    if (rc == LATER)
        return;
    later_forget(session);
    if (session->refused) /* which is the answer */
        return;
    if (rc < 0) {
        session_release_fds(session);
        struct wire_error error = {.code = rc};
        snprintf(error.text, sizeof error.text, "%.*s", (int)sizeof error.text - 1, text.bytes);
        answer(session, WIRE_ERROR, &error, sizeof error);
    }
    session_reply(session);
}
