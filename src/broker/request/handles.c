#include "broker/request/handles.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "broker/group.h"
#include "broker/group_members.h"
#include "broker/later.h"
#include "broker/mirror/grants.h"
#include "broker/sequencer.h"
#include "broker/stream/intake.h"
#include "broker/stream/outlet.h"

/* The first of those that are new. */
static struct handle *add_handles(struct session *session, struct error_text *text)
{
    unsigned before = session->handle_count, count = before == 0 ? 2 : before * 2;
    struct handle *handles = realloc(session->handles, count * sizeof *handles);
    if (handles == NULL) {
        error_set(text, HERMES_ENOMEM, "%u publishers and subscribers", count);
        return NULL;
    }
    memset(handles + before, 0, (count - before) * sizeof *handles);
    session->handles = handles;
    session->handle_count = count;
    return handles + before;
}

struct handle *handles_free(struct session *session, struct error_text *text)
{
    for (unsigned i = 0; i < session->handle_count; i++)
        if (session->handles[i].id == 0)
            return &session->handles[i];
    if (session->handle_count == SESSION_HANDLES_MAX) {
        error_set(text, HERMES_ELIMIT, "a session has %d publishers and subscribers", SESSION_HANDLES_MAX);
        return NULL;
    }
    return add_handles(session, text);
}

struct handle *handles_find(struct session *session, uint32_t id)
{
    for (unsigned i = 0; i < session->handle_count; i++)
        if (id != 0 && session->handles[i].id == id)
            return &session->handles[i];
    return NULL;
}

struct handle *handles_new(struct session *session, struct topic *topic, struct error_text *text)
{
    struct handle *handle = handles_free(session, text);
    if (handle == NULL)
        return NULL;
    *handle = (struct handle){.id = ++session->broker->next_handle,
                              .correlation = session->request.header.sequence,
                              .topic = topic};
    topic_hold(topic);
    return handle;
}

void handles_count(struct session *session, struct handle *handle, uint32_t *line, uint64_t *generation)
{
    struct broker *broker = session->broker;
    bool subscribes = handle->kind == HANDLE_SUBSCRIBER || handle->kind == HANDLE_OUTLET;
    const struct book_entry entry = {.kind = subscribes ? COUNTERS_SUBSCRIBER : COUNTERS_PUBLISHER,
                                     .label = session->name,
                                     .id = broker_next_id(broker),
                                     .topic = handle->topic->id,
                                     .session = session->id,
                                     .pid = (uint32_t)session->pid,
                                     .uid = (uint32_t)session->uid};
    handle->counters = book_take(&broker->book, &entry);
    if (handle->kind == HANDLE_RING)
        counters_set(handle->counters, PUBLISHER_RING_LINE, handle->ring->index + 1);
    if (subscribes && handle->group != NULL)
        counters_set(handle->counters, SUBSCRIBER_GROUP, handle->group->id);
    if (subscribes)
        counters_set(handle->counters, SUBSCRIBER_WAITED_FOR_LINE, handle->reader);
    *line = 0;
    if (broker_trusts(broker, session->uid)) /* others have no way to their line */
        *line = book_line(&broker->book, handle->counters, generation);
}

/* Nobody has it any more. */
static void let_go(struct handle *handle)
{
    book_give_back(&handle->topic->broker->book, handle->counters);
    handle->counters = NULL;
    handle->id = 0;
    topic_release(handle->topic);
}

/* Its receiver may be on its way back. */
static void end_grant(const struct session *session, const struct handle *handle, uint64_t lapses_ns)
{
    struct grants *grants = handle->topic->mirrored.grants;
    if (grants != NULL)
        grants_end(grants, session->id, clock_monotonic_ns() + lapses_ns);
}

void handles_revoke_grants(struct session *session)
{
    for (unsigned i = 0; i < session->handle_count; i++)
        if (session->handles[i].id != 0 && session->handles[i].kind == HANDLE_GRANT)
            end_grant(session, &session->handles[i], 0);
}

int handles_drop(struct session *session, struct handle *handle, enum handle_end end)
{
    struct topic *topic = handle->topic;
    switch (handle->kind) {
    case HANDLE_PUBLISHER:
        topic->publisher = NULL;
        if (!session->broker->stopping) /* then the log is closed, which ends its epoch */
            topic_end_epoch(topic, EPOCH_LEFT);
        break;
    case HANDLE_RING:
        if (handle->intake != NULL)
            intake_close(handle->intake);
        sequencer_leave_ring(handle->ring, end != HANDLE_SESSION_OVER);
        break;
    case HANDLE_GRANT:
        end_grant(session, handle, end == HANDLE_SESSION_OVER ? GRANT_LAPSES_NS : 0);
        break;
    case HANDLE_OUTLET:
    case HANDLE_SUBSCRIBER:
        if (handle->group != NULL && !later_may_use(session, &topic->affairs))
            return later_turn(session, topic, &topic->affairs);
        topic->subscribers--;
        if (handle->kind == HANDLE_OUTLET)
            outlet_close(handle->outlet);
        if (handle->group != NULL && end == HANDLE_FORGOTTEN)
            group_undo_join(session->broker, handle);
        else if (handle->group != NULL)
            group_drop(session->broker, handle);
        if (handle->reader != 0 && topic->readers != NULL && !session->broker->stopping)
            readers_remove(topic->readers, handle->reader - 1);
        break;
    }
    let_go(handle);
    return HERMES_OK;
}

/* What members of groups had in flight is looked through for each of them, which may take milliseconds: one
 * in a turn of the loop. */
static bool leaves_soon(struct session *session, struct handle *handle, unsigned *left)
{
    if (handle->group == NULL || session->broker->stopping || (*left)++ == 0)
        return false;
    (void)later_soon(session, handle->topic);
    return true;
}

void handles_leave(struct session *session)
{
    unsigned left = 0;
    if (session->later.waits)
        return; /* comes again */
    for (unsigned i = 0; i < session->handle_count; i++)
        if (session->handles[i].id != 0 &&
            (leaves_soon(session, &session->handles[i], &left) ||
             handles_drop(session, &session->handles[i], HANDLE_SESSION_OVER) == LATER))
            return;
    later_forget(session);
    session_free(session);
}

void handles_let_go(struct topic *topic)
{
    for (struct session *session = topic->broker->sessions; session != NULL; session = session->next)
        for (unsigned i = 0; i < session->handle_count; i++)
            if (session->handles[i].id != 0 && session->handles[i].topic == topic) {
                if (session->handles[i].kind == HANDLE_OUTLET)
                    outlet_orphan(session->handles[i].outlet, HERMES_ECLOSED, "the topic was deleted");
                let_go(&session->handles[i]);
            }
}
