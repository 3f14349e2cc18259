#include "broker/request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "broker/group.h"
#include "broker/later.h"
#include "broker/sequencer.h"
#include "broker/topics.h"

enum { TOPICS_A_REPLY = 124 };
_Static_assert(sizeof(struct wire_topics) + TOPICS_A_REPLY * sizeof(struct wire_topic_info) <= WIRE_REPLY_MAX,
               "a full list fits a reply");

static void reply(struct session *session, enum wire_type type, const void *payload, uint32_t length)
{
    wire_header(&session->reply.header, type, session->request.header.sequence, length);
    if (length > 0 && payload != session->reply.payload)
        memcpy(session->reply.payload, payload, length);
}

static int done(struct session *session, int rc)
{
    if (rc == 0)
        reply(session, WIRE_OK, NULL, 0);
    return rc;
}

static struct handle *free_handle(struct session *session, struct error_text *text)
{
    for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
        if (session->handles[i].id == 0)
            return &session->handles[i];
    error_set(text, HERMES_ELIMIT, "a session has %d publishers and subscribers", SESSION_HANDLES_MAX);
    return NULL;
}

static struct handle *find_handle(struct session *session, uint32_t id)
{
    for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
        if (id != 0 && session->handles[i].id == id)
            return &session->handles[i];
    return NULL;
}

static int check_name(const char name[WIRE_TOPIC_BYTES], struct error_text *text)
{
    int rc = wire_topic_check(name);
    return rc < 0 ? error_set(text, rc, "topic name") : HERMES_OK;
}

static int find_topic(struct session *session, const char name[WIRE_TOPIC_BYTES], struct topic **topic,
                      struct error_text *text)
{
    int rc = check_name(name, text);
    if (rc < 0)
        return rc;
    *topic = topic_find(session->broker, name);
    if (*topic != NULL && (*topic)->opening) /* known once its creation is through */
        return later_turn(session, *topic, &(*topic)->turns);
    if (*topic == NULL && topics_is_unserved(session->broker, name))
        return error_set(text, HERMES_EIO,
                         "topic '%s' is on the disk, but is not served: see the broker's notes", name);
    return *topic == NULL || (*topic)->deleting
               ? error_set(text, HERMES_ENOTFOUND, "no topic '%s' (hermes topic create %s)", name, name)
               : HERMES_OK;
}

/* ---- requests ---- */

static int hello(struct session *session, const struct wire_hello *request, struct error_text *text)
{
    if (request->protocol != WIRE_PROTOCOL)
        return error_set(text, HERMES_EVERSION, "protocol %d; this broker speaks %d", request->protocol,
                         WIRE_PROTOCOL);
    snprintf(session->name, sizeof session->name, "%.*s", (int)sizeof request->name - 1, request->name);
    session->greeted = true;
    struct wire_welcome welcome = {
        .protocol = WIRE_PROTOCOL,
        .instance = session->broker->instance,
        .payload_max = HERMES_PAYLOAD_MAX,
        .topics_max = session->broker->config.topics_max,
        .publishers_max = STATUS_RINGS,
        .pid = (uint32_t)getpid(),
    };
    reply(session, WIRE_WELCOME, &welcome, sizeof welcome);
    return HERMES_OK;
}

static int describe_broker(struct session *session)
{
    const struct broker *broker = session->broker;
    struct turn_figures turns = poller_turns(broker->poller);
    struct wire_broker info = {
        .instance = broker->instance,
        .pid = (uint32_t)getpid(),
        .uid = (uint32_t)broker->uid,
        .membarrier = broker->membarrier,
        .sessions = broker->session_count,
        .topics = broker->topic_count,
        .uptime_ns = clock_monotonic_ns() - broker->began_ns,
        .longest_turn_ns = turns.longest_ns,
        .longest_own_ns = turns.longest_own_ns,
        .blocked_turns = turns.blocked,
        .notes_lost = note_dropped(),
    };
    snprintf(info.engine, sizeof info.engine, "%s", poller_name(broker->poller));
    reply(session, WIRE_BROKER, &info, sizeof info);
    return HERMES_OK;
}

static int list(struct session *session, const struct wire_list *request)
{
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply.payload;
    char after[WIRE_TOPIC_BYTES];
    snprintf(after, sizeof after, "%.*s", WIRE_TOPIC_BYTES - 1, request->after);
    *topics = (struct wire_topics){0};
    for (struct topic *topic = session->broker->topics; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, after) <= 0 || topic->opening || topic->deleting)
            continue;
        if (topics->head.count == TOPICS_A_REPLY) {
            topics->head.more = 1;
            break;
        }
        topic_describe(topic, &topics->topics[topics->head.count++]);
    }
    reply(session, WIRE_TOPICS, topics,
          (uint32_t)(sizeof *topics + topics->head.count * sizeof(struct wire_topic_info)));
    return HERMES_OK;
}

static int describe(struct session *session, const struct wire_topic *request, struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply.payload;
    *topics = (struct wire_topics){.head.count = 1};
    topic_describe(topic, &topics->topics[0]);
    reply(session, WIRE_TOPICS, topics, sizeof *topics + sizeof(struct wire_topic_info));
    return HERMES_OK;
}

/* ---- publishers ---- */

static struct handle *new_handle(struct session *session, struct topic *topic, struct error_text *text)
{
    struct handle *handle = free_handle(session, text);
    if (handle == NULL)
        return NULL;
    *handle = (struct handle){.id = ++session->broker->next_handle,
                              .correlation = session->request.header.sequence,
                              .topic = topic};
    topic_hold(topic);
    return handle;
}

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

/* The place of a publisher who may be back from a crash of ours is kept for a moment. */
static bool in_grace(const struct topic *topic)
{
    return topic->grace_until_ns != 0 && clock_monotonic_ns() < topic->grace_until_ns;
}

static void end_grace(struct topic *topic)
{
    topic->grace_until_ns = 0;
    poller_cancel(topic->broker->poller, &topic->grace_op);
}

static int check_exclusive(const struct topic *topic, struct error_text *text)
{
    if (topic->publisher != NULL || topic->ring_count > 0)
        return error_set(text, HERMES_EBUSY, "topic '%s' has a publisher, and is not shared", topic->name);
    if (in_grace(topic))
        return error_set(
            text, HERMES_EBUSY,
            "topic '%s' had a publisher before the broker restarted; it may claim its place for a moment",
            topic->name);
    return HERMES_OK;
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
    int rc = resumes ? HERMES_OK : check_exclusive(topic, text);
    if (rc == 0 && !resumes)
        rc = freshen(session, topic, text);
    struct handle *handle = NULL;
    if (rc == 0 && (handle = new_handle(session, topic, text)) == NULL)
        rc = HERMES_ELIMIT;
    if (rc != 0)
        return rc;
    if ((rc = attach_direct(session, topic, text)) < 0) {
        handle->id = 0;
        topic_release(topic);
        return rc;
    }
    end_grace(topic);
    if (!resumes)
        log_take(&topic->log, WRITER_CLIENT);
    topic->publisher = session;
    handle->kind = HANDLE_PUBLISHER;
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

static int open_ring(struct session *session, struct topic *topic, const struct wire_publisher_open *request,
                     struct wire_publisher *opened, struct error_text *text)
{
    int rc = topic->shared ? HERMES_OK : check_exclusive(topic, text);
    bool sequenced = atomic_load(&topic->log.status->writer) == WRITER_OWNER;
    if (rc == 0 && !sequenced)
        rc = freshen(session, topic, text);
    struct handle *handle = NULL;
    if (rc == 0 && (handle = new_handle(session, topic, text)) == NULL)
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
    if ((rc = attach_ring(session, topic, ring, text)) == 0)
        rc = sequencer_add_ring(topic, ring, session, request->sequence == 0 ? 1 : request->sequence, text);
    if (rc < 0) {
        handle->id = 0;
        topic_release(topic);
        return rc;
    }
    session->later.ring = NULL;
    end_grace(topic);
    handle->kind = HANDLE_RING;
    handle->ring = ring;
    opened->handle = handle->id;
    opened->kind = WIRE_RING;
    opened->ring = ring->index;
    opened->ring_id = ring->id;
    opened->sequence = ring->sequence;
    return HERMES_OK;
}

static int publisher_open(struct session *session, const struct wire_publisher_open *request,
                          struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (atomic_load(&topic->log.status->state) == STATE_FAILED)
        return error_set(text, HERMES_EIO, "the store of topic '%s' failed: %s", topic->name,
                         topic->log.error.bytes);
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
    reply(session, WIRE_PUBLISHER, &opened, sizeof opened);
    return HERMES_OK;
}

static int publisher_mapped(struct session *session, const struct wire_handle *request,
                            struct error_text *text)
{
    struct handle *handle = find_handle(session, request->handle);
    if (handle == NULL || handle->kind != HANDLE_RING)
        return error_set(text, HERMES_EINVALID, "handle %" PRIu32 " is no ring of this session",
                         request->handle);
    int rc = map_seal_future_writes(handle->ring->fd);
    if (rc < 0)
        return error_set(text, rc, "sealing a ring");
    sequencer_keep_line(handle->ring);
    reply(session, WIRE_OK, NULL, 0);
    return HERMES_OK;
}

static int find_epoch(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_epoch_find *request = (const void *)session->request.payload;
    struct epoch_record record;
    int rc = epochs_find(&topic->log.epochs, request->epoch, &record);
    if (rc < 0)
        return error_set(text, rc, "epoch %" PRIu32 " of topic '%s' is not known any more", request->epoch,
                         topic->name);
    struct wire_epoch found = {record.epoch,          record.end,          record.first_position,
                               record.first_sequence, record.end_position, record.end_sequence};
    reply(session, WIRE_EPOCH, &found, sizeof found);
    return HERMES_OK;
}

/* What became of a publisher's epoch that the status page does not have any more. */
static int epoch_find(struct session *session, const struct wire_epoch_find *request, struct error_text *text)
{
    int rc;
    if (later_result(session, find_epoch, &rc, text))
        return rc;
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    return topic == NULL || topic->deleting ? error_set(text, HERMES_ECLOSED, "that topic was deleted")
                                            : later_work(session, topic, &topic->reading, find_epoch, NULL);
}

/* ---- subscribers ---- */

/* Its line is in a page that all who are waited for may write: they could hold each other's publishers up. */
static int add_reader(struct session *session, struct topic *topic,
                      const struct wire_subscriber_open *request, struct handle *handle,
                      struct wire_subscriber *opened, struct error_text *text)
{
    if (!broker_trusts(session->broker, session->uid))
        return error_set(text, HERMES_EACCESS, "publishers of topic '%s' wait for the broker's user alone",
                         topic->name);
    if (handle->group != NULL && handle->group->kept.mask != 0)
        return error_set(text, HERMES_EINVALID, "publishers do not wait for members of a group");
    int rc = topic_add_reader(topic, request->resume_reader_line, request->resume_reader,
                              &opened->reader_line, &opened->reader, text);
    if (rc < 0)
        return rc;
    if ((rc = session_attach(session, topic->readers_fd, text)) < 0)
        readers_remove(topic->readers, opened->reader_line);
    else
        handle->reader = opened->reader_line + 1;
    return rc;
}

static int make_group_for(struct session *session, struct topic *topic, struct error_text *text)
{
    return group_create_for(session, topic, (const void *)session->request.payload, text);
}

static int join(struct session *session, struct topic *topic, const struct wire_subscriber_open *request,
                struct handle *handle, struct wire_subscriber *opened, struct error_text *text)
{
    int rc;
    if (later_result(session, make_group_for, &rc, text) && rc < 0)
        return rc;
    rc = group_join(session, topic, request, handle, opened, text);
    if (rc == HERMES_ENOTFOUND)
        return later_work(session, topic, &topic->affairs, make_group_for, NULL);
    if (rc == 0 && (rc = session_attach(session, handle->group->fd, text)) < 0)
        group_drop(session->broker, handle);
    return rc;
}

static int subscriber_open(struct session *session, const struct wire_subscriber_open *request,
                           struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (request->group[0] != 0 && !later_may_use(session, &topic->affairs))
        return later_turn(session, topic, &topic->affairs);
    if (request->push_back != 0 && !later_may_use(session, &topic->turns))
        return later_turn(session, topic, &topic->turns); /* the window's end is to be known */
    struct handle *handle = free_handle(session, text);
    if (handle == NULL)
        return HERMES_ELIMIT;
    struct handle fresh = {.id = ++session->broker->next_handle,
                           .correlation = session->request.header.sequence,
                           .kind = HANDLE_SUBSCRIBER,
                           .topic = topic};
    struct wire_subscriber opened = {
        .handle = fresh.id, .durability = topic->durability, .topic_id = topic->id};
    if ((rc = session_attach(session, topic->log.status_fd, text)) < 0 ||
        (rc = session_attach(session, topic->log.doorbell_fd, text)) < 0)
        return rc;
    if (request->group[0] != 0 && (rc = join(session, topic, request, &fresh, &opened, text)) != 0) {
        session_release_fds(session);
        return rc;
    }
    if (request->push_back != 0 && (rc = add_reader(session, topic, request, &fresh, &opened, text)) < 0) {
        if (fresh.group != NULL)
            group_drop(session->broker, &fresh);
        return rc;
    }
    topic_hold(topic);
    *handle = fresh;
    topic->subscribers++;
    reply(session, WIRE_SUBSCRIBER, &opened, sizeof opened);
    return HERMES_OK;
}

/* ---- groups ---- */

enum { GROUPS_A_REPLY = 92 };
_Static_assert(sizeof(struct wire_groups) + GROUPS_A_REPLY * sizeof(struct wire_group_info) <= WIRE_REPLY_MAX,
               "a full list fits a reply");

/* The topic for dead letters is there, or made first. */
static int want_dead_letter(struct session *session, const struct topic *topic,
                            const struct wire_group *request, struct error_text *text)
{
    if (memchr(request->dead_letter, 0, sizeof request->dead_letter) == NULL)
        return error_set(text, HERMES_ENAME, "name of the dead-letter topic");
    struct topic *letters = topic_find(session->broker, request->dead_letter);
    int rc = group_check_dead_letter(topic, request->dead_letter, letters, text);
    if (rc < 0 || (letters != NULL && !letters->opening))
        return rc;
    struct topic *failed = session->later.changes;
    if (letters == NULL && failed != NULL && failed->change_result < 0) {
        *text = failed->change_text;
        return failed->change_result;
    }
    if (letters == NULL) {
        struct wire_topic_create create = {.durability = topic->durability, .shared = 1};
        snprintf(create.topic, sizeof create.topic, "%s", request->dead_letter);
        rc = topics_create(session->broker, session->uid, &create, &letters, text);
        if (rc < 0)
            return rc;
        later_change(session, letters);
        topic_release(letters);
    }
    return later_turn(session, letters, &letters->turns);
}

static int create_group(struct session *session, struct topic *topic, struct error_text *text)
{
    return group_create(session, topic, (const void *)session->request.payload, text);
}

/* The group's task was taken out for it. */
static int alter_group(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group *request = (const void *)session->request.payload;
    int rc = group_alter(session, topic, request, text);
    int on = group_go_on(session, topic, request->group);
    return rc < 0 ? rc : on;
}

static int delete_group(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group *request = (const void *)session->request.payload;
    int rc = group_delete(session, topic, request, text);
    if (rc < 0)
        (void)group_go_on(session, topic, request->group);
    return rc;
}

/* Others may have been before it: the group is looked up in the turn in which it is worked on. */
static bool group_begins(struct session *session)
{
    const struct wire_group *request = (const void *)session->request.payload;
    struct topic *topic = session->later.topic;
    struct group *group = NULL;
    struct error_text ignored;
    if (topic->deleting)
        return false;
    int rc = group_find(session, topic, request->group, &group, &ignored);
    if (rc == 0)
        job_removes(&session->later.job, &group->kept.task);
    return rc == 0 || (rc == HERMES_ENOTFOUND && session->later.work == delete_group);
}

static int administer_group(struct session *session, const struct wire_group *request, later_work_t work,
                            struct error_text *text)
{
    struct topic *topic;
    int rc;
    if (later_result(session, work, &rc, text))
        return done(session, rc);
    rc = find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (work == create_group && request->dead_letter[0] != 0 &&
        (rc = want_dead_letter(session, topic, request, text)) != 0)
        return rc;
    if (work == create_group)
        return later_work(session, topic, &topic->affairs, work, NULL);
    if (!later_may_use(session, &topic->affairs))
        return later_turn(session, topic, &topic->affairs);
    struct group *group;
    rc = group_find(session, topic, request->group, &group, text);
    if (rc < 0 && (rc != HERMES_ENOTFOUND || work != delete_group))
        return rc;
    return later_work(session, topic, &topic->affairs, work, group_begins);
}

static int list_groups(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group_list *request = (const void *)session->request.payload;
    struct wire_groups *groups = (struct wire_groups *)(void *)session->reply.payload;
    char after[WIRE_GROUP_BYTES];
    snprintf(after, sizeof after, "%.*s", WIRE_GROUP_BYTES - 1, request->after);
    *groups = (struct wire_groups){0};
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        int order = strcmp(group->name, after);
        if (request->exact != 0 ? order != 0 : order <= 0)
            continue;
        if (groups->head.count == GROUPS_A_REPLY) {
            groups->head.more = 1;
            break;
        }
        group_describe(group, &groups->groups[groups->head.count++]);
    }
    if (request->exact != 0 && groups->head.count == 0)
        return error_set(text, HERMES_ENOTFOUND, "no group '%s' of topic '%s'", after, topic->name);
    reply(session, WIRE_GROUPS, groups,
          (uint32_t)(sizeof *groups + groups->head.count * sizeof(struct wire_group_info)));
    return HERMES_OK;
}

static int group_list(struct session *session, const struct wire_group_list *request, struct error_text *text)
{
    struct topic *topic;
    int rc;
    if (later_result(session, list_groups, &rc, text))
        return rc;
    rc = find_topic(session, request->topic, &topic, text);
    return rc != 0 ? rc : later_work(session, topic, &topic->affairs, list_groups, NULL);
}

/* ---- windows and segments ---- */

static int window_open(struct session *session, const struct wire_window *request, struct error_text *text)
{
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL || topic->deleting)
        return error_set(text, HERMES_ECLOSED, "that topic was deleted");
    int fd;
    int rc = log_window_reader_fd(&topic->log, request->epoch, &fd);
    if (rc == HERMES_EAGAIN)
        return error_set(text, rc, "epoch %" PRIu32 " is over", request->epoch);
    if (rc < 0)
        return error_set(text, rc, "window of topic '%s'", topic->name);
    session->fds[session->fd_count++] = fd;
    reply(session, WIRE_OK, NULL, 0);
    return HERMES_OK;
}

static int find_segment(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_segment *request = (const void *)session->request.payload;
    struct store_place place;
    int rc = store_find(&topic->log.store, (enum store_key)request->key, request->value, &place, text);
    if (rc < 0)
        return rc;
    session->fds[session->fd_count++] = place.fd;
    struct wire_place found = {
        .position = place.position, .sequence = place.sequence, .indexed = place.indexed};
    reply(session, WIRE_PLACE, &found, sizeof found);
    return HERMES_OK;
}

static int segment_open(struct session *session, const struct wire_segment *request, struct error_text *text)
{
    int rc;
    if (later_result(session, find_segment, &rc, text))
        return rc;
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL || topic->deleting)
        return error_set(text, HERMES_ECLOSED, "that topic was deleted");
    if (topic->durability == DURABILITY_MEMORY || request->key > STORE_BY_TIME)
        return error_set(text, HERMES_EINVALID, "topic '%s' has no store, or key %" PRIu32 " is unknown",
                         topic->name, request->key);
    return later_work(session, topic, &topic->reading, find_segment, NULL);
}

/* ---- handles ---- */

/* closed: by its client; else its session is over. LATER: the groups are busy. */
static int drop_handle(struct session *session, struct handle *handle, bool closed)
{
    struct topic *topic = handle->topic;
    switch (handle->kind) {
    case HANDLE_PUBLISHER:
        topic->publisher = NULL;
        if (!session->broker->stopping) /* then the log is closed, which ends its epoch */
            topic_end_epoch(topic, EPOCH_LEFT);
        break;
    case HANDLE_RING:
        sequencer_leave_ring(handle->ring, closed);
        break;
    case HANDLE_SUBSCRIBER:
        if (handle->group != NULL && !later_may_use(session, &topic->affairs))
            return later_turn(session, topic, &topic->affairs);
        topic->subscribers--;
        if (handle->group != NULL)
            group_drop(session->broker, handle);
        if (handle->reader != 0 && topic->readers != NULL && !session->broker->stopping)
            readers_remove(topic->readers, handle->reader - 1);
        break;
    }
    handle->id = 0;
    topic_release(topic);
    return HERMES_OK;
}

void request_leave(struct session *session)
{
    if (session->later.waits)
        return; /* comes again */
    for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
        if (session->handles[i].id != 0 && drop_handle(session, &session->handles[i], false) == LATER)
            return;
    later_forget(session);
    session_free(session);
}

static int close_handle(struct session *session, const struct wire_handle *request, struct error_text *text)
{
    struct handle *handle = find_handle(session, request->handle);
    if (handle == NULL)
        return error_set(text, HERMES_EINVALID, "handle %" PRIu32 " is not open", request->handle);
    return done(session, drop_handle(session, handle, true));
}

/* Requests are answered in their order: what that one was to open is open by now, or never will be. */
static int forget(struct session *session, const struct wire_forget *request)
{
    for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++) {
        struct handle *handle = &session->handles[i];
        if (handle->id != 0 && handle->correlation == request->correlation)
            return done(session, drop_handle(session, handle, true));
    }
    return done(session, HERMES_OK);
}

/* ---- topics ---- */

/* What came of the creation or deletion that this request began; false: it did not begin one, or that is not
 * through. */
static bool is_changed(const struct session *session, int *rc, struct error_text *text)
{
    const struct topic *topic = session->later.changes;
    if (topic == NULL || (!topic->gone && (topic->opening || topic->deleting)))
        return false;
    *rc = topic->change_result;
    if (*rc < 0)
        *text = topic->change_text;
    return true;
}

static int create(struct session *session, const struct wire_topic_create *request, struct error_text *text)
{
    int rc;
    if (is_changed(session, &rc, text))
        return done(session, rc);
    if ((rc = check_name(request->topic, text)) < 0)
        return rc;
    struct topic *topic = topic_find(session->broker, request->topic);
    if (topic != NULL && (topic->opening || topic->deleting)) /* let us see what comes of it */
        return later_turn(session, topic, &topic->turns);
    if (topic != NULL)
        return error_set(text, HERMES_EEXISTS, "topic '%s'", request->topic);
    if ((rc = topics_create(session->broker, session->uid, request, &topic, text)) < 0)
        return rc;
    later_change(session, topic);
    topic_release(topic);
    return later_turn(session, topic, &topic->turns);
}

static int alter_topic(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_topic_alter *request = (const void *)session->request.payload;
    uint64_t keep_bytes = topic->keep_bytes, keep_ns = topic->keep_ns;
    bool full_waits = topic->full_waits;
    if (request->fields & WIRE_ALTER_KEEP_BYTES)
        topic->keep_bytes = request->keep_bytes;
    if (request->fields & WIRE_ALTER_KEEP_NS)
        topic->keep_ns = request->keep_ns;
    if (request->fields & WIRE_ALTER_FULL_WAITS)
        topic->full_waits = request->full_waits != 0;
    int rc = topic_write_definition(topic, text);
    if (rc < 0) {
        topic->keep_bytes = keep_bytes; /* as the file still has it */
        topic->keep_ns = keep_ns;
        topic->full_waits = full_waits;
    }
    return rc;
}

static int alter(struct session *session, const struct wire_topic_alter *request, struct error_text *text)
{
    struct topic *topic;
    int rc, altered;
    bool through = later_result(session, alter_topic, &altered, text);
    rc = find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (request->fields == 0 || (request->fields & ~(uint32_t)(WIRE_ALTER_KEEP_BYTES | WIRE_ALTER_KEEP_NS |
                                                               WIRE_ALTER_FULL_WAITS)) != 0)
        return error_set(text, HERMES_EINVALID, "nothing that can be altered in topic '%s'", topic->name);
    if (!through)
        return later_work(session, topic, &topic->affairs, alter_topic, NULL);
    if (altered == 0) {
        topic_apply(topic);
        if (topic->durability != DURABILITY_MEMORY)
            persister_ring(&topic->persisting);
    }
    return done(session, altered);
}

/* Subscribers read what they have mapped and are then told that it is closed. */
void request_let_go(struct topic *topic)
{
    for (struct session *session = topic->broker->sessions; session != NULL; session = session->next)
        for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
            if (session->handles[i].id != 0 && session->handles[i].topic == topic) {
                session->handles[i].id = 0;
                topic_release(topic);
            }
}

static int delete (struct session *session, const struct wire_topic *request, struct error_text *text)
{
    struct topic *topic = session->later.changes;
    int rc;
    if (topic == NULL) {
        rc = find_topic(session, request->topic, &topic, text);
        if (rc != 0)
            return rc;
        if ((rc = topics_delete(topic, text)) < 0)
            return rc;
        later_change(session, topic);
    }
    if (is_changed(session, &rc, text))
        return done(session, rc);
    /* Behind whatever step the deletion is at. */
    struct job_queue *queue = queue_is_busy(&topic->reading)   ? &topic->reading
                              : queue_is_busy(&topic->affairs) ? &topic->affairs
                                                               : &topic->turns;
    return later_turn(session, topic, queue);
}

/* The payload's size was checked against its type (wire_request_bytes) when it was read. */
static int dispatch(struct session *session, struct error_text *text)
{
    const void *payload = session->request.payload;
    uint8_t type = session->request.header.type;
    if (!session->greeted && type != WIRE_HELLO)
        return error_set(text, HERMES_EPROTOCOL, "the first request must be a hello");
    switch (type) {
    case WIRE_HELLO:
        return hello(session, payload, text);
    case WIRE_TOPIC_CREATE:
        return create(session, payload, text);
    case WIRE_TOPIC_ALTER:
        return alter(session, payload, text);
    case WIRE_TOPIC_DELETE:
        return delete (session, payload, text);
    case WIRE_TOPIC_LIST:
        return list(session, payload);
    case WIRE_TOPIC_DESCRIBE:
        return describe(session, payload, text);
    case WIRE_PUBLISHER_OPEN:
        return publisher_open(session, payload, text);
    case WIRE_PUBLISHER_MAPPED:
        return publisher_mapped(session, payload, text);
    case WIRE_SUBSCRIBER_OPEN:
        return subscriber_open(session, payload, text);
    case WIRE_WINDOW_OPEN:
        return window_open(session, payload, text);
    case WIRE_SEGMENT_OPEN:
        return segment_open(session, payload, text);
    case WIRE_GROUP_CREATE:
        return administer_group(session, payload, create_group, text);
    case WIRE_GROUP_ALTER:
        return administer_group(session, payload, alter_group, text);
    case WIRE_GROUP_DELETE:
        return administer_group(session, payload, delete_group, text);
    case WIRE_GROUP_LIST:
        return group_list(session, payload, text);
    case WIRE_EPOCH_FIND:
        return epoch_find(session, payload, text);
    case WIRE_CLOSE:
        return close_handle(session, payload, text);
    case WIRE_FORGET:
        return forget(session, payload);
    case WIRE_BROKER_DESCRIBE:
        return describe_broker(session);
    case WIRE_PING:
        reply(session, WIRE_OK, NULL, 0);
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
    if (rc < 0) {
        session_release_fds(session);
        struct wire_error error = {.code = rc};
        snprintf(error.text, sizeof error.text, "%.*s", (int)sizeof error.text - 1, text.bytes);
        reply(session, WIRE_ERROR, &error, sizeof error);
    }
    session_reply(session);
}
