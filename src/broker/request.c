/* What each control request does. Everything in it comes from a stranger and is checked here. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/broker.h"

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

/* A duplicate of fd goes with the reply. */
static int attach(struct session *session, int fd, struct error_text *text)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return error_set_errno(text, "duplicate", "a descriptor");
    session->fds[session->fd_count++] = copy;
    return HERMES_OK;
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
    return *topic == NULL
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

static int list(struct session *session, const struct wire_list *request)
{
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply.payload;
    char after[WIRE_TOPIC_BYTES];
    snprintf(after, sizeof after, "%.*s", WIRE_TOPIC_BYTES - 1, request->after);
    *topics = (struct wire_topics){0};
    for (struct topic *topic = session->broker->topics; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, after) <= 0)
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
    if (rc < 0)
        return rc;
    struct wire_topics *topics = (struct wire_topics *)(void *)session->reply.payload;
    *topics = (struct wire_topics){.head.count = 1};
    topic_describe(topic, &topics->topics[0]);
    reply(session, WIRE_TOPICS, topics, sizeof *topics + sizeof(struct wire_topic_info));
    return HERMES_OK;
}

/* Nobody persists a topic in memory alone: its publisher maps a page that nobody sleeps on. */
static int bell_of(const struct topic *topic)
{
    return topic->durability != DURABILITY_MEMORY ? topic->persisting.bell_fd : topic->log.doorbell_fd;
}

static int open_direct(struct session *session, struct topic *topic,
                       const struct wire_publisher_open *request, struct handle *handle,
                       struct wire_publisher *opened, struct error_text *text)
{
    bool resumes = atomic_load(&topic->log.status->writer) == WRITER_CLIENT && topic->publisher == NULL &&
                   request->resume_topic_id == topic->id && request->resume_epoch == topic->log.epoch;
    if (topic->publisher != NULL)
        return error_set(text, HERMES_EBUSY, "topic '%s' has a publisher, and is not shared", topic->name);
    if (topic->grace_until_ns != 0 && !resumes && clock_monotonic_ns() < topic->grace_until_ns)
        return error_set(
            text, HERMES_EBUSY,
            "topic '%s' had a publisher before the broker restarted; it may claim its place for a moment",
            topic->name);
    int rc = resumes ? HERMES_OK : log_begin(&topic->log, WRITER_CLIENT, text);
    if (rc == 0)
        rc = attach(session, topic->log.status_fd, text);
    if (rc == 0)
        rc = attach(session, topic->log.window_fd, text);
    if (rc == 0)
        rc = attach(session, topic->log.doorbell_fd, text);
    if (rc == 0)
        rc = attach(session, bell_of(topic), text);
    if (rc == 0 && topic->readers != NULL)
        rc = attach(session, topic->readers_fd, text);
    if (rc < 0)
        return rc;
    opened->push_back = topic->readers != NULL;
    topic->grace_until_ns = 0;
    topic->publisher = session;
    topic->publisher_handle = handle->id;
    handle->kind = HANDLE_PUBLISHER;
    const struct window *window = topic->log.window;
    opened->kind = WIRE_DIRECT;
    opened->resumed = resumes;
    opened->position = atomic_load(&window->position);
    opened->sequence = atomic_load(&window->sequence);
    return HERMES_OK;
}

static int open_ring(struct session *session, struct topic *topic, const struct wire_publisher_open *request,
                     struct handle *handle, struct wire_publisher *opened, struct error_text *text)
{
    struct broker *broker = session->broker;
    if (!topic->shared && (topic->publisher != NULL || topic->ring_count > 0))
        return error_set(text, HERMES_EBUSY, "topic '%s' has a publisher, and is not shared", topic->name);
    if (!topic->shared && topic->grace_until_ns > clock_monotonic_ns())
        return error_set(text, HERMES_EBUSY, "topic '%s' had a publisher before the broker restarted",
                         topic->name);
    bool sequenced = atomic_load(&topic->log.status->writer) == WRITER_OWNER;
    int rc = sequenced ? HERMES_OK : sequencer_begin(topic, text);
    struct ring *ring = NULL;
    if (rc == 0) {
        if (request->resume_ring > 0)
            sequencer_free_line(topic, request->resume_ring - 1, request->resume_ring_id);
        uint64_t sequence = request->sequence == 0 ? 1 : request->sequence;
        rc = sequencer_add_ring(broker, topic, session, sequence, &ring, text);
    }
    if (rc < 0)
        return rc;
    if ((rc = attach(session, topic->log.status_fd, text)) < 0 ||
        (rc = attach(session, ring->fd, text)) < 0 || (rc = attach(session, ring->eventfd, text)) < 0) {
        sequencer_remove_ring(broker, ring);
        return rc;
    }
    topic->grace_until_ns = 0;
    ring->handle = handle->id;
    handle->kind = HANDLE_RING;
    handle->ring = ring;
    opened->kind = WIRE_RING;
    opened->ring = ring->index;
    opened->ring_id = ring->id;
    opened->sequence = ring->sequence;
    return HERMES_OK;
}

static bool is_trusted(const struct session *session)
{
    return session->uid == session->broker->uid || session->uid == 0;
}

static int publisher_open(struct session *session, const struct wire_publisher_open *request,
                          struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc < 0)
        return rc;
    if (atomic_load(&topic->log.status->state) == STATE_FAILED)
        return error_set(text, HERMES_EIO, "the store of topic '%s' failed: %s", topic->name,
                         topic->log.error.bytes);
    struct handle *handle = free_handle(session, text);
    if (handle == NULL)
        return HERMES_ELIMIT;
    *handle = (struct handle){.id = ++session->broker->next_handle, .topic = topic};
    struct wire_publisher opened = {
        .handle = handle->id, .topic_id = topic->id, .durability = topic->durability};
    /* A writable window could be cut short under its readers: only for who could harm us anyway. */
    rc = topic->shared || !is_trusted(session) ? open_ring(session, topic, request, handle, &opened, text)
                                               : open_direct(session, topic, request, handle, &opened, text);
    if (rc < 0) {
        handle->id = 0;
        return rc;
    }
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

/* Its line is in a page that all who are waited for may write: they could hold each other's publishers up. */
static int add_reader(struct session *session, struct topic *topic,
                      const struct wire_subscriber_open *request, struct handle *handle,
                      struct wire_subscriber *opened, struct error_text *text)
{
    if (!is_trusted(session))
        return error_set(text, HERMES_EACCESS, "publishers of topic '%s' wait for the broker's user alone",
                         topic->name);
    if (handle->group != NULL && handle->group->kept.mask != 0)
        return error_set(text, HERMES_EINVALID, "publishers do not wait for members of a group");
    int rc = topic_add_reader(session->broker, topic, request->resume_reader_line, request->resume_reader,
                              &opened->reader_line, &opened->reader, text);
    if (rc < 0)
        return rc;
    if ((rc = attach(session, topic->readers_fd, text)) < 0)
        readers_remove(topic->readers, opened->reader_line);
    else
        handle->reader = opened->reader_line + 1;
    return rc;
}

static int subscriber_open(struct session *session, const struct wire_subscriber_open *request,
                           struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc < 0)
        return rc;
    struct handle *handle = free_handle(session, text);
    if (handle == NULL)
        return HERMES_ELIMIT;
    struct handle fresh = {.id = ++session->broker->next_handle, .kind = HANDLE_SUBSCRIBER, .topic = topic};
    struct wire_subscriber opened = {
        .handle = fresh.id, .durability = topic->durability, .topic_id = topic->id};
    if ((rc = attach(session, topic->log.status_fd, text)) < 0 ||
        (rc = attach(session, topic->log.doorbell_fd, text)) < 0)
        return rc;
    if (request->group[0] != 0) {
        rc = group_join(session, topic, request, &fresh, &opened, text);
        if (rc == 0 && (rc = attach(session, fresh.group->fd, text)) < 0)
            group_drop(session->broker, &fresh);
        if (rc < 0)
            return rc;
    }
    if (request->push_back != 0 && (rc = add_reader(session, topic, request, &fresh, &opened, text)) < 0) {
        if (fresh.group != NULL)
            group_drop(session->broker, &fresh);
        return rc;
    }
    *handle = fresh;
    topic->subscribers++;
    reply(session, WIRE_SUBSCRIBER, &opened, sizeof opened);
    return HERMES_OK;
}

/* ---- groups ---- */

enum { GROUPS_A_REPLY = 92 };
_Static_assert(sizeof(struct wire_groups) + GROUPS_A_REPLY * sizeof(struct wire_group_info) <= WIRE_REPLY_MAX,
               "a full list fits a reply");

static int administer_group(struct session *session, const struct wire_group *request,
                            int (*act)(struct session *, struct topic *, const struct wire_group *,
                                       struct error_text *),
                            struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    return rc < 0 ? rc : done(session, act(session, topic, request, text));
}

static int list_groups(struct session *session, const struct wire_group_list *request,
                       struct error_text *text)
{
    struct topic *topic;
    int rc = find_topic(session, request->topic, &topic, text);
    if (rc < 0)
        return rc;
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

static int window_open(struct session *session, const struct wire_window *request, struct error_text *text)
{
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL)
        return error_set(text, HERMES_ECLOSED, "that topic was deleted");
    if (request->epoch != topic->log.epoch)
        return error_set(text, HERMES_EAGAIN, "epoch %" PRIu32 " is over", request->epoch);
    int fd;
    int rc = log_window_reader_fd(&topic->log, &fd);
    if (rc < 0)
        return error_set(text, rc, "window of topic '%s'", topic->name);
    session->fds[session->fd_count++] = fd;
    reply(session, WIRE_OK, NULL, 0);
    return HERMES_OK;
}

static int segment_open(struct session *session, const struct wire_segment *request, struct error_text *text)
{
    struct topic *topic = topic_by_id(session->broker, request->topic_id);
    if (topic == NULL)
        return error_set(text, HERMES_ECLOSED, "that topic was deleted");
    if (topic->durability == DURABILITY_MEMORY || request->key > STORE_BY_TIME)
        return error_set(text, HERMES_EINVALID, "topic '%s' has no store, or key %" PRIu32 " is unknown",
                         topic->name, request->key);
    struct store_place place;
    log_lock(&topic->log);
    int rc = store_find(&topic->log.store, (enum store_key)request->key, request->value, &place, text);
    log_unlock(&topic->log);
    if (rc < 0)
        return rc;
    session->fds[session->fd_count++] = place.fd;
    struct wire_place found = {
        .position = place.position, .sequence = place.sequence, .indexed = place.indexed};
    reply(session, WIRE_PLACE, &found, sizeof found);
    return HERMES_OK;
}

/* ---- handles ---- */

void request_drop_handle(struct session *session, struct handle *handle)
{
    struct topic *topic = handle->topic;
    switch (handle->kind) {
    case HANDLE_PUBLISHER:
        topic->publisher = NULL;
        log_end(&topic->log, EPOCH_LEFT);
        break;
    case HANDLE_RING:
        sequencer_remove_ring(session->broker, handle->ring);
        break;
    case HANDLE_SUBSCRIBER:
        topic->subscribers--;
        if (handle->group != NULL)
            group_drop(session->broker, handle);
        if (handle->reader != 0 && topic->readers != NULL && !session->broker->stopping)
            readers_remove(topic->readers, handle->reader - 1);
        break;
    }
    handle->id = 0;
}

static int close_handle(struct session *session, const struct wire_handle *request, struct error_text *text)
{
    struct handle *handle = find_handle(session, request->handle);
    if (handle == NULL)
        return error_set(text, HERMES_EINVALID, "handle %" PRIu32 " is not open", request->handle);
    request_drop_handle(session, handle);
    return done(session, HERMES_OK);
}

static int create(struct session *session, const struct wire_topic_create *request, struct error_text *text)
{
    int rc = check_name(request->topic, text);
    return rc < 0 ? rc : done(session, topic_create(session->broker, request, text));
}

static int alter(struct session *session, const struct wire_topic_alter *request, struct error_text *text)
{
    int rc = check_name(request->topic, text);
    return rc < 0 ? rc : done(session, topic_alter(session->broker, request, text));
}

static int delete (struct session *session, const struct wire_topic *request, struct error_text *text)
{
    int rc = check_name(request->topic, text);
    return rc < 0 ? rc : done(session, topic_delete(session->broker, request->topic, text));
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
        return administer_group(session, payload, group_create, text);
    case WIRE_GROUP_ALTER:
        return administer_group(session, payload, group_alter, text);
    case WIRE_GROUP_DELETE:
        return administer_group(session, payload, group_delete, text);
    case WIRE_GROUP_LIST:
        return list_groups(session, payload, text);
    case WIRE_CLOSE:
        return close_handle(session, payload, text);
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
    if (rc == 0)
        return;
    for (unsigned i = 0; i < session->fd_count; i++)
        close(session->fds[i]);
    session->fd_count = 0;
    struct wire_error error = {.code = rc};
    snprintf(error.text, sizeof error.text, "%.*s", (int)sizeof error.text - 1, text.bytes);
    reply(session, WIRE_ERROR, &error, sizeof error);
}
