#include "broker/request/member_requests.h"

#include <inttypes.h>

#include "broker/group_members.h"
#include "broker/later.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"
#include "broker/request/subscriber_requests.h"
#include "broker/stream/flow.h"
#include "broker/stream/outlet.h"
#include "broker/stream/stretch.h"

static int check(const struct topic *topic, const struct wire_member_open *request, struct error_text *text)
{
    if (request->topic_id != 0 && request->topic_id != topic->id)
        return error_say(text, HERMES_ECLOSED, "that topic '%s' was deleted, and there is another one",
                         topic->name);
    if (request->credit > INT64_MAX)
        return error_set(text, HERMES_EINVALID, "credit %" PRIu64, request->credit);
    if (request->subscriber.durable != 0 && request->at_most_once != 0)
        return error_say(text, HERMES_EINVALID, "only members of a group have messages at most once");
    return HERMES_OK;
}

/* Who waits for it, or what it may have been sent before, is found by the window's. */
static bool needs_log_end(const struct wire_subscriber_open *request)
{
    return request->push_back != 0 || (request->durable != 0 && request->resume_member != 0);
}

static bool has_member(const struct session *session, const struct topic *topic, const struct group *group,
                       uint64_t member)
{
    const struct group_line *lines = group->kept.page->members;
    for (unsigned i = 0; i < session->handle_count; i++) {
        const struct handle *handle = &session->handles[i];
        if (handle->id == 0 || handle->kind != HANDLE_OUTLET || handle->topic != topic ||
            handle->group != group)
            continue;
        /* It may have come again already, and not have heard the answer. */
        if (handle->member == member ||
            atomic_load_explicit(&lines[handle->line].known, memory_order_relaxed) == member)
            return true;
    }
    return false;
}

/* A member that comes again has left its former connection, which may be there still: perhaps without an end
 * that lives. It is ended, and what it had is for others; until then its member comes again. Ids can be
 * guessed: nobody ends another user's session. */
static int end_former(struct session *session, const struct topic *topic,
                      const struct wire_subscriber_open *request, struct error_text *text)
{
    const struct group *group = group_in(topic, request->group);
    if (group == NULL || request->resume_member == 0 || request->resume_page != group->kept.settings.page_id)
        return HERMES_OK;
    for (struct session *other = session->broker->sessions; other != NULL; other = other->next) {
        if (other == session || other->uid != session->uid ||
            !has_member(other, topic, group, request->resume_member))
            continue;
        session_end(other);
        return error_say(text, HERMES_EAGAIN,
                         "this member's former connection has not left group '%s' of topic '%s' yet",
                         group->name, topic->name);
    }
    return HERMES_OK;
}

/* The member, and the outlet that it reads by. */
static int open_outlet(struct stream *stream, const struct wire_member_open *request, struct handle *handle,
                       const struct wire_subscriber *joined, struct wire_outlet *opened)
{
    struct topic *topic = handle->topic;
    struct party *party;
    struct delegate *member;
    int rc = party_join(topic, handle->group, &party);
    if (rc < 0)
        return rc;
    rc = delegate_new(party, joined, request, &member);
    if (rc < 0) {
        party_leave(party);
        return rc;
    }
    opened->position = delegate_start(member);
    if (member->continues)
        member->had_to = stretch_log_end(topic);
    rc = outlet_open(stream, topic, opened, request->credit, member, &handle->outlet);
    if (rc < 0)
        delegate_free(member);
    return rc;
}

static void welcome(struct session *session, const struct handle *handle,
                    const struct wire_subscriber *joined, uint64_t position)
{
    const struct topic *topic = handle->topic;
    const struct delegate *member = handle->outlet->member;
    struct wire_member opened = {
        .handle = handle->id,
        .durability = topic->durability,
        .topic_id = topic->id,
        .position = position,
        .epoch = topic_epoch(topic),
        .shared = topic->shared,
        .page = joined->page,
        .member = joined->member,
        .line = joined->line,
        .made = member->party->page->made,
        .claim = delegate_is_durable(member) ? member->claim : 0,
        .continues = member->continues,
        .lease_ms =
            delegate_is_durable(member) ? 0 : (uint32_t)(handle->group->kept.settings.lease_ns / 1000000u),
    };
    answer(session, WIRE_MEMBER, &opened, sizeof opened);
}

int member_requests_open(struct session *session, const struct wire_member_open *request,
                         struct error_text *text)
{
    struct topic *topic;
    int rc = answer_find_topic(session, request->subscriber.topic, &topic, text);
    if (rc == 0)
        rc = check(topic, request, text);
    if (rc != 0)
        return rc;
    if (!later_may_use(session, &topic->affairs))
        return later_turn(session, topic, &topic->affairs);
    if (needs_log_end(&request->subscriber) && !later_may_use(session, &topic->turns))
        return later_turn(session, topic, &topic->turns);
    if ((rc = end_former(session, topic, &request->subscriber, text)) < 0)
        return rc;
    struct stream *stream = stream_of(session, &stream_flow);
    struct handle *handle = stream == NULL ? NULL : handles_free(session, text);
    if (handle == NULL)
        return stream == NULL ? error_set(text, HERMES_ENOMEM, "a stream") : HERMES_ELIMIT;
    struct handle fresh = {.id = ++session->broker->next_handle,
                           .correlation = session->request.header.sequence,
                           .kind = HANDLE_OUTLET,
                           .topic = topic};
    struct wire_subscriber joined = {.handle = fresh.id};
    rc = subscriber_requests_join(session, topic, &request->subscriber, &fresh, &joined, text);
    if (rc != 0)
        return rc;
    struct wire_outlet opened = {.handle = fresh.id};
    if (request->subscriber.push_back != 0)
        rc = subscriber_requests_add_reader(topic, &request->subscriber, &fresh, &joined, text);
    if (rc == 0 && (rc = open_outlet(stream, request, &fresh, &joined, &opened)) < 0) {
        error_set(text, rc, "a member of group '%s'", fresh.group->name);
        if (fresh.reader != 0)
            readers_remove(topic->readers, fresh.reader - 1);
    }
    if (rc < 0) {
        group_undo_join(session->broker, &fresh);
        return rc;
    }
    if (fresh.reader != 0)
        outlet_hold_back(fresh.outlet, fresh.reader - 1);
    uint32_t line;
    uint64_t generation; /* who is not on this host has no way to its line */
    topic_hold(topic);
    *handle = fresh;
    handles_count(session, handle, &line, &generation);
    topic->subscribers++;
    welcome(session, handle, &joined, opened.position);
    return HERMES_OK;
}
