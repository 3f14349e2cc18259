#include "broker/request/publisher_requests.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "broker/later.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"
#include "broker/sequencer.h"
#include "broker/stream/flow.h"
#include "broker/stream/intake.h"
#include "broker/topics.h"

/* What became of what a connection of before handed over. */
struct former {
    bool is_known;
    uint64_t id;       /* with which its publisher goes on; 0: with another */
    uint64_t sequence; /* of its first message that is not in the topic */
    uint64_t end;      /* where those before it end there; 0: there are none */
};

/* Nobody persists a topic in memory alone: its publisher maps a page that nobody sleeps on. */
static int bell_of(const struct topic *topic)
{
    return topic->durability != DURABILITY_MEMORY ? topic->persisting.bell_fd : topic->log.doorbell_fd;
}

/* Another who asked for the same may have been faster, and have the window by now: that is left alone. */
static int renew(struct session *session, struct topic *topic, struct error_text *text)
{
    return topic->log.epoch == session->later.epoch ? log_renew(&topic->log, text) : HERMES_OK;
}

/* A window that nobody has. */
static int freshen(struct session *session, struct topic *topic, struct error_text *text)
{
    int rc;
    if (log_is_fresh(&topic->log))
        return HERMES_OK;
    if (later_result(session, renew, &rc, text) && rc < 0)
        return rc;
    session->later.epoch = topic->log.epoch;
    return later_work(session, topic, &topic->turns, renew, NULL);
}

static int attach_direct(struct session *session, const struct topic *topic, struct error_text *text)
{
    int rc = session_attach(session, topic->log.status_fd, text);
    if (rc == 0)
        rc = session_attach(session, topic->log.window_fd, text);
    if (rc == 0)
        rc = session_attach(session, topic->log.doorbell_fd, text);
    if (rc == 0)
        rc = session_attach(session, bell_of(topic), text);
    if (rc == 0 && topic->readers != NULL)
        rc = session_attach(session, topic->readers_fd, text);
    return rc;
}

static int open_direct(struct session *session, struct topic *topic,
                       const struct wire_publisher_open *request, struct wire_publisher *opened,
                       struct error_text *text)
{
    bool resumes = atomic_load(&topic->log.status->writer) == WRITER_CLIENT && topic->publisher == NULL &&
                   request->resume_topic_id == topic->id && request->resume_epoch == topic->log.epoch;
    int rc = resumes ? HERMES_OK : topic_check_free(topic, text);
    if (rc == 0 && !resumes)
        rc = freshen(session, topic, text);
    struct handle *handle = NULL;
    if (rc == 0 && (handle = handles_new(session, topic, text)) == NULL)
        rc = HERMES_ELIMIT;
    if (rc != 0)
        return rc;
    if ((rc = attach_direct(session, topic, text)) < 0) {
        handle->id = 0;
        topic_release(topic);
        return rc;
    }
    topic_forgo_grace(topic);
    if (!resumes)
        log_take(&topic->log, WRITER_CLIENT);
    topic->publisher = session;
    handle->kind = HANDLE_PUBLISHER;
    handles_count(session, handle, &opened->told_line, &opened->told_generation);
    const struct window *window = topic->log.window;
    opened->handle = handle->id;
    opened->push_back = topic->readers != NULL;
    opened->kind = WIRE_DIRECT;
    opened->resumed = resumes;
    opened->position = atomic_load(&window->position);
    opened->sequence = atomic_load(&window->sequence);
    return HERMES_OK;
}

static int make_ring(struct session *session, struct topic *topic, struct error_text *text)
{
    (void)topic;
    return ring_make(session->later.ring, text);
}

/* session->later.ring, with its memory. Nobody has to wait for that but who asks: in no queue of the topic.
 */
static int want_ring(struct session *session, struct topic *topic, struct error_text *text)
{
    int rc;
    if (later_result(session, make_ring, &rc, text) && rc < 0)
        return rc;
    if (session->later.ring != NULL)
        return HERMES_OK;
    rc = ring_new(session, &session->later.ring, text);
    return rc < 0 ? rc : later_work(session, topic, NULL, make_ring, NULL);
}

static int attach_ring(struct session *session, const struct topic *topic, const struct ring *ring,
                       struct error_text *text)
{
    int rc = session_attach(session, topic->log.status_fd, text);
    if (rc == 0)
        rc = session_attach(session, ring->fd, text);
    if (rc == 0)
        rc = session_attach(session, ring->eventfd, text);
    return rc;
}

/* Gives the ring that the request wanted its line, and the session a handle. */
static int place_ring(struct session *session, struct topic *topic, const struct wire_publisher_open *request,
                      int (*attach)(struct session *session, const struct topic *topic,
                                    const struct ring *ring, struct error_text *text),
                      struct handle **placed, struct error_text *text)
{
    int rc = topic->shared ? HERMES_OK : topic_check_free(topic, text);
    bool sequenced = atomic_load(&topic->log.status->writer) == WRITER_OWNER;
    if (rc == 0 && !sequenced)
        rc = freshen(session, topic, text);
    struct handle *handle = NULL;
    if (rc == 0 && (handle = handles_new(session, topic, text)) == NULL)
        rc = HERMES_ELIMIT;
    if (rc != 0)
        return rc;
    struct ring *ring = session->later.ring;
    if (!sequenced) {
        log_take(&topic->log, WRITER_OWNER);
        atomic_store(&topic->log.status->journal_ring, 0);
    }
    if (request->resume_ring > 0)
        sequencer_free_line(topic, request->resume_ring - 1, request->resume_ring_id);
    if (attach == NULL || (rc = attach(session, topic, ring, text)) == 0)
        rc = sequencer_add_ring(topic, ring, session, request->sequence == 0 ? 1 : request->sequence, text);
    if (rc < 0) {
        handle->id = 0;
        topic_release(topic);
        return rc;
    }
    session->later.ring = NULL;
    topic_forgo_grace(topic);
    handle->kind = HANDLE_RING;
    handle->ring = ring;
    *placed = handle;
    return HERMES_OK;
}

static int open_ring(struct session *session, struct topic *topic, const struct wire_publisher_open *request,
                     struct wire_publisher *opened, struct error_text *text)
{
    struct handle *handle;
    int rc = place_ring(session, topic, request, attach_ring, &handle, text);
    if (rc != 0)
        return rc;
    handles_count(session, handle, &opened->told_line, &opened->told_generation);
    opened->handle = handle->id;
    opened->kind = WIRE_RING;
    opened->ring = handle->ring->index;
    opened->ring_id = handle->ring->id;
    opened->sequence = handle->ring->sequence;
    return HERMES_OK;
}

static int check_store(const struct topic *topic, struct error_text *text)
{
    return atomic_load(&topic->log.status->state) == STATE_FAILED
               ? error_say(text, HERMES_EIO, "the store of topic '%s' failed: %s", topic->name,
                           topic->log.error.bytes)
               : HERMES_OK;
}

/* Ids can be guessed, and stand in the log: of another user nobody ends a session, nor counts on under its
 * id. */
static bool is_of(const struct session *session, uint64_t uid)
{
    return uid == session->uid || broker_trusts(session->broker, session->uid);
}

/* Its ring's line knows, once that is empty. A connection that is still there, perhaps without an end that
 * lives, is ended. */
static int ask_line(struct session *session, struct topic *topic, int line, struct former *former,
                    struct error_text *text)
{
    const struct status_ring *known = &topic->log.status->rings[line];
    const struct ring *ring = topic->rings[line];
    uint64_t origin = atomic_load(&known->origin);
    bool is_same = origin != 0 && is_of(session, origin - 1);
    if (ring != NULL && ring->session == session)
        return error_say(text, HERMES_EBUSY, "this session has that publisher of topic '%s' open",
                         topic->name);
    if (ring != NULL && ring->session != NULL && is_same)
        session_end(ring->session);
    if (ring != NULL)
        return error_say(text, HERMES_EAGAIN,
                         "what this publisher's former connection left is not in topic '%s' yet",
                         topic->name);
    *former = (struct former){.is_known = true,
                              .id = is_same ? atomic_load(&known->id) : 0,
                              .sequence = atomic_load(&known->consumed_sequence) + 1,
                              .end = atomic_load(&known->log_position)};
    return HERMES_OK;
}

/* The log knows, once that is stored which those who have no line may have in it. */
static int ask_log(struct session *session, struct topic *topic, const struct wire_publisher_open *request,
                   struct former *former, struct error_text *text)
{
    uint64_t stored = atomic_load(&topic->log.status->persisted);
    struct origin known;
    if (topic->durability != DURABILITY_MEMORY && stored < topic->unlisted)
        return error_say(text, HERMES_EAGAIN, "topic '%s' does not know yet what this publisher has in it",
                         topic->name);
    int rc = origins_find(&topic->log.origins, request->resume_ring_id, request->resume_epoch, &known);
    if (rc == 0)
        *former = (struct former){.is_known = true,
                                  .id = is_of(session, known.uid) ? known.id : 0,
                                  .sequence = known.last + 1,
                                  .end = stored};
    else if (rc == HERMES_ENOTFOUND) /* it never came to anything: as if it had only now been opened */
        *former = (struct former){.is_known = true, .sequence = 1};
    return HERMES_OK;
}

static int find_former(struct session *session, struct topic *topic,
                       const struct wire_publisher_open *request, struct former *former,
                       struct error_text *text)
{
    *former = (struct former){.sequence = request->sequence};
    if (request->resume_ring == 0 || request->resume_ring_id == 0 || request->resume_topic_id != topic->id)
        return HERMES_OK;
    int line = sequencer_find_line(topic, request->resume_ring_id);
    return line >= 0 ? ask_line(session, topic, line, former, text)
                     : ask_log(session, topic, request, former, text);
}

static int begin_intake(struct session *session, struct handle *handle, uint64_t before,
                        struct error_text *text)
{
    struct stream *stream = stream_of(session, &stream_flow);
    struct topic *topic = handle->ring->topic;
    int rc = stream == NULL ? HERMES_ENOMEM : session_widen(session, INTAKE_INLET_BYTES);
    if (rc == 0)
        rc = intake_open(stream, handle->ring, handle->id, before, &handle->intake);
    if (rc < 0) {
        (void)handles_drop(session, handle, HANDLE_FORGOTTEN);
        return error_set(text, rc, "a publisher's stream");
    }
    sequencer_keep_line(handle->ring);          /* it may come back and ask */
    if (topic->durability == DURABILITY_MEMORY) /* from now on its line alone tells */
        origins_drop(&topic->log.origins, handle->ring->id);
    return HERMES_OK;
}

int publisher_requests_open_intake(struct session *session, const struct wire_publisher_open *request,
                                   struct error_text *text)
{
    struct topic *topic;
    struct handle *handle;
    struct wire_publisher_open wanted = *request;
    wanted.resume_ring = 0; /* its line stays: should our answer get lost, it asks again */
    struct former former;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc == 0)
        rc = check_store(topic, text);
    if (rc == 0)
        rc = want_ring(session, topic, text);
    if (rc != 0)
        return rc;
    if (!later_may_use(session, &topic->turns))
        return later_turn(session, topic, &topic->turns);
    if ((rc = find_former(session, topic, request, &former, text)) < 0)
        return rc;
    wanted.sequence = former.sequence;
    session->later.ring->id = former.id;
    if ((rc = place_ring(session, topic, &wanted, NULL, &handle, text)) == 0)
        rc = begin_intake(session, handle, former.end, text);
    if (rc != 0)
        return rc;
    uint32_t line;
    uint64_t generation; /* who is not on this host has no way to its line */
    handles_count(session, handle, &line, &generation);
    struct wire_intake opened = {.handle = handle->id,
                                 .durability = topic->durability,
                                 .topic_id = topic->id,
                                 .epoch = topic->log.epoch,
                                 .line = handle->ring->index,
                                 .ring_id = handle->ring->id,
                                 .sequence = handle->ring->sequence,
                                 .resumed = former.is_known,
                                 .shared = topic->shared,
                                 .credit = handle->intake->granted};
    answer(session, WIRE_INTAKE, &opened, sizeof opened);
    return HERMES_OK;
}

int publisher_requests_open(struct session *session, const struct wire_publisher_open *request,
                            struct error_text *text)
{
    struct topic *topic;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if ((rc = check_store(topic, text)) < 0)
        return rc;
    /* A writable window could be cut short under its readers: only for who could harm us anyway. */
    bool direct = !topic->shared && broker_trusts(session->broker, session->uid);
    if (!direct && (rc = want_ring(session, topic, text)) != 0)
        return rc;
    if (!later_may_use(session, &topic->turns))
        return later_turn(session, topic, &topic->turns);
    struct wire_publisher opened = {.topic_id = topic->id, .durability = topic->durability};
    rc = direct ? open_direct(session, topic, request, &opened, text)
                : open_ring(session, topic, request, &opened, text);
    if (rc != 0)
        return rc;
    opened.epoch = topic->log.epoch;
    answer(session, WIRE_PUBLISHER, &opened, sizeof opened);
    return HERMES_OK;
}

int publisher_requests_mapped(struct session *session, const struct wire_handle *request,
                              struct error_text *text)
{
    struct handle *handle = handles_find(session, request->handle);
    if (handle == NULL || handle->kind != HANDLE_RING)
        return error_set(text, HERMES_EINVALID, "handle %" PRIu32 " is no ring of this session",
                         request->handle);
    int rc = map_seal_future_writes(handle->ring->fd);
    if (rc < 0)
        return error_set(text, rc, "sealing a ring");
    sequencer_keep_line(handle->ring);
    answer(session, WIRE_OK, NULL, 0);
    return HERMES_OK;
}

static int find_epoch(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_epoch_find *request = (const void *)session->request.payload;
    struct epoch_record record;
    int rc = epochs_find(&topic->log.epochs, request->epoch, &record);
    if (rc < 0)
        return error_say(text, rc, "epoch %" PRIu32 " of topic '%s' is not known any more", request->epoch,
                         topic->name);
    struct wire_epoch found = {record.epoch,          record.end,          record.first_position,
                               record.first_sequence, record.end_position, record.end_sequence};
    answer(session, WIRE_EPOCH, &found, sizeof found);
    return HERMES_OK;
}

int publisher_requests_find_epoch(struct session *session, const struct wire_epoch_find *request,
                                  struct error_text *text)
{
    int rc;
    if (later_result(session, find_epoch, &rc, text))
        return rc;
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    return topic == NULL || topic->deleting ? answer_deleted(text)
                                            : later_work(session, topic, &topic->reading, find_epoch, NULL);
}
