#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/abi.h"
#include "base/clock.h"
#include "client/publisher.h"
#include "io/location.h"

static const uint64_t default_request_timeout_ns = 10000000000u;
static const uint64_t retry_ns = 10000000u;

static __thread struct error_text connect_error;

/* Connects and says hello; whoever asks for something next need not wait for the welcome. */
static int greet(struct hermes_client *client, uint64_t until_ns)
{
    struct channel *channel = &client->channel;
    int rc = channel_connect(channel, client->socket, until_ns, &client->error);
    if (rc < 0)
        return rc;
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
    snprintf(hello.name, sizeof hello.name, "%s", program_invocation_short_name);
    rc = channel_send(channel, WIRE_HELLO, &hello, sizeof hello, until_ns, &client->error);
    client->hello = channel->correlation;
    if (rc < 0)
        channel_close(channel);
    return rc;
}

static int await_welcome(struct hermes_client *client, uint64_t until_ns)
{
    int rc = channel_receive(&client->channel, client->hello, until_ns, &client->error);
    if (rc == 0)
        rc = channel_read(&client->channel, WIRE_WELCOME, sizeof(struct wire_welcome), &client->error);
    if (rc < 0)
        channel_close(&client->channel);
    return rc;
}

/* A reply that is not waited for any more. Whatever it opened is closed again, so nobody has to know of it.
 */
static void take_late(void *context, struct channel *channel)
{
    struct hermes_client *client = context;
    struct wire_handle close = {.handle = 0};
    if (channel->header.sequence == client->hello && channel->header.type != WIRE_WELCOME)
        channel_close(channel); /* no session with this broker */
    for (struct hermes_publisher *p = client->publishers; p != NULL; p = publisher_next(p))
        if (publisher_take_answer(p, channel))
            return;
    _Static_assert(offsetof(struct wire_publisher, handle) == 0 &&
                       offsetof(struct wire_subscriber, handle) == 0,
                   "both begin with the handle");
    if ((channel->header.type != WIRE_PUBLISHER && channel->header.type != WIRE_SUBSCRIBER) ||
        channel->header.length < sizeof close.handle)
        return;
    memcpy(&close.handle, channel->reply, sizeof close.handle);
    struct error_text ignored;
    if (channel_send(channel, WIRE_CLOSE, &close, sizeof close, 0, &ignored) < 0)
        channel_close(channel); /* the end of the session closes it as well */
}

/* For who wants to see what becomes of requests that nobody answers without waiting for long. */
static uint64_t request_timeout_ns(void)
{
    const char *milliseconds = getenv("HERMES_REQUEST_TIMEOUT_MS");
    uint64_t value = milliseconds == NULL ? 0 : strtoull(milliseconds, NULL, 10);
    return value > 0 && value < 3600000 ? value * 1000000 : default_request_timeout_ns;
}

/* The path in a URL; NULL: it is of another kind. */
static const char *socket_of(const char *url)
{
    static const char unix_scheme[] = "unix:";
    if (strncmp(url, unix_scheme, sizeof unix_scheme - 1) == 0) {
        url += sizeof unix_scheme - 1;
        return strncmp(url, "//", 2) == 0 ? url + 2 : url;
    }
    return strstr(url, "://") == NULL ? url : NULL;
}

int hermes_connect(const char *url, hermes_client_t **out)
{
    *out = NULL;
    struct hermes_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return HERMES_ENOMEM;
    client->channel.fd = -1;
    client->channel.late = take_late;
    client->channel.context = client;
    client->request_timeout_ns = request_timeout_ns();
    int rc = HERMES_OK;
    if (url != NULL) {
        const char *socket = socket_of(url);
        int used = snprintf(client->socket, sizeof client->socket, "%s", socket == NULL ? "" : socket);
        if (socket == NULL)
            rc = error_set(&client->error, HERMES_ENOTSUP, "'%.200s': only unix:PATH is known", url);
        else if (used < 0 || (size_t)used >= sizeof client->socket)
            rc = error_set(&client->error, HERMES_ETOOLARGE, "path of the socket");
    } else {
        struct location location;
        rc = location_find(&location, &client->error);
        if (rc == 0)
            snprintf(client->socket, sizeof client->socket, "%s", location.socket);
    }
    barrier_register();
    uint64_t until_ns = clock_deadline_ns(client->request_timeout_ns);
    if (rc == 0)
        rc = greet(client, until_ns);
    if (rc == 0)
        rc = await_welcome(client, until_ns);
    if (rc < 0) {
        connect_error = client->error;
        free(client);
        return rc;
    }
    *out = client;
    return HERMES_OK;
}

int64_t hermes_disconnect(hermes_client_t *client)
{
    if (client == NULL)
        return 0;
    uint64_t start_ns = clock_monotonic_ns();
    int64_t missing = 0;
    while (client->subscribers != NULL) /* first: a member may have a publisher of its own */
        hermes_subscriber_close(client->subscribers);
    while (client->publishers != NULL)
        missing += publisher_close(client->publishers, start_ns);
    if (missing > 0)
        connect_error = client->error;
    channel_close(&client->channel);
    free(client);
    return missing;
}

void hermes_forget(hermes_client_t *client)
{
    if (client == NULL)
        return;
    while (client->publishers != NULL)
        publisher_free(client->publishers);
    while (client->subscribers != NULL)
        subscriber_free(client->subscribers);
    channel_close(&client->channel);
    free(client);
}

const char *hermes_last_error(const hermes_client_t *client)
{
    return client == NULL ? connect_error.bytes : client->error.bytes;
}

int client_ensure(struct hermes_client *client)
{
    if (channel_is_up(&client->channel))
        return HERMES_OK;
    uint64_t now = clock_monotonic_ns();
    if (now - client->last_attempt_ns < retry_ns)
        return error_set(&client->error, HERMES_EDISCONNECTED, "no broker at %s (is hermesd running?)",
                         client->socket);
    client->last_attempt_ns = now;
    return greet(client, 0) < 0 ? HERMES_EDISCONNECTED : HERMES_OK;
}

/* Asked for outright: at once, not at most every so often. */
static int ensure_now(struct hermes_client *client, uint64_t until_ns)
{
    if (channel_is_up(&client->channel))
        return HERMES_OK;
    int rc = greet(client, until_ns);
    return rc < 0 ? rc : await_welcome(client, until_ns);
}

/* May be asked a second time when it is not known whether the first was heard: changes nothing but what ends
 * with the session, and refers to nothing of an earlier one. */
static bool is_repeatable(enum wire_type type)
{
    switch (type) {
    case WIRE_TOPIC_LIST:
    case WIRE_TOPIC_DESCRIBE:
    case WIRE_TOPIC_ALTER:
    case WIRE_PUBLISHER_OPEN:
    case WIRE_SUBSCRIBER_OPEN:
    case WIRE_WINDOW_OPEN:
    case WIRE_SEGMENT_OPEN:
    case WIRE_GROUP_ALTER:
    case WIRE_GROUP_LIST:
    case WIRE_PING:
        return true;
    default:
        return false;
    }
}

int client_request(struct hermes_client *client, enum wire_type type, const void *payload, uint32_t length,
                   enum wire_type expected, uint32_t expected_bytes)
{
    struct channel *channel = &client->channel;
    uint64_t until_ns = clock_deadline_ns(client->request_timeout_ns);
    int rc = ensure_now(client, until_ns);
    if (rc == 0)
        rc = channel_request(channel, type, payload, length, expected, expected_bytes, until_ns,
                             &client->error);
    /* A broker that was killed may look alive for some milliseconds: its io_uring holds our connection for so
     * long after its end. Its successor is asked again. */
    if (rc == HERMES_EDISCONNECTED && is_repeatable(type) && ensure_now(client, until_ns) == 0)
        rc = channel_request(channel, type, payload, length, expected, expected_bytes, until_ns,
                             &client->error);
    return rc;
}

void client_close_handle(struct hermes_client *client, uint32_t handle, uint64_t until_ns)
{
    struct wire_handle request = {.handle = handle};
    struct error_text ignored;
    if (handle != 0 && channel_is_up(&client->channel))
        (void)channel_request(&client->channel, WIRE_CLOSE, &request, sizeof request, WIRE_OK, 0, until_ns,
                              &ignored);
}

int client_put_topic(struct hermes_client *client, char to[WIRE_TOPIC_BYTES], const char *topic)
{
    int rc = hermes_topic_name_check(topic);
    if (rc < 0)
        return error_set(&client->error, rc, "topic '%.140s'", topic == NULL ? "(null)" : topic);
    memset(to, 0, WIRE_TOPIC_BYTES);
    memcpy(to, topic, strlen(topic));
    return HERMES_OK;
}

int client_map_fd(struct hermes_client *client, int fd, size_t bytes, enum map_access access, struct map *map)
{
    uint64_t size = 0;
    int rc = fd < 0 ? HERMES_EPROTOCOL : map_file_size(fd, &size);
    if (rc == 0 && size < bytes)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(fd, bytes == 0 ? (size_t)size : bytes, access, MAP_PREFAULT, map);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? error_set(&client->error, rc, "shared memory from the broker") : rc;
}

int client_map(struct hermes_client *client, unsigned index, size_t bytes, enum map_access access,
               struct map *map)
{
    return client_map_fd(client, channel_take_fd(&client->channel, index), bytes, access, map);
}

int client_open_segment(struct hermes_client *client, uint64_t topic_id, enum store_key key, uint64_t value,
                        struct store_place *place)
{
    struct wire_segment request = {.topic_id = topic_id, .key = key, .value = value};
    struct wire_place found;
    int rc = client_request(client, WIRE_SEGMENT_OPEN, &request, sizeof request, WIRE_PLACE, sizeof found);
    *place = (struct store_place){.fd = -1};
    if (rc < 0)
        return rc;
    memcpy(&found, client->channel.reply, sizeof found);
    *place = (struct store_place){channel_take_fd(&client->channel, 0), found.position, found.sequence,
                                  found.indexed != 0};
    return place->fd < 0 ? HERMES_EPROTOCOL : HERMES_OK;
}

int hermes_ping(hermes_client_t *client)
{
    return client_request(client, WIRE_PING, NULL, 0, WIRE_OK, 0);
}

/* ---- topics ---- */

int hermes_topic_create(hermes_client_t *client, const char *topic, const hermes_topic_options_t *given)
{
    hermes_topic_options_t options = {.size = sizeof options, .durability = HERMES_DURABILITY_ASYNC};
    int rc = given == NULL ? HERMES_OK : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(&client->error, rc, "options of topic '%.140s'", topic);
    struct wire_topic_create request = {
        .durability = options.durability,
        .shared = options.shared,
        .window_bytes = options.window_bytes,
        .segment_bytes = options.segment_bytes,
        .keep_bytes = options.keep_bytes,
        .keep_ns = options.keep_ns,
        .full_waits = options.full_waits,
        .push_back = options.push_back,
    };
    rc = client_put_topic(client, request.topic, topic);
    return rc < 0 ? rc : client_request(client, WIRE_TOPIC_CREATE, &request, sizeof request, WIRE_OK, 0);
}

int hermes_topic_alter(hermes_client_t *client, const char *topic, uint32_t fields,
                       const hermes_topic_options_t *given)
{
    hermes_topic_options_t options = {.size = sizeof options};
    int rc = given == NULL ? HERMES_EINVALID : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(&client->error, rc, "options of topic '%.140s'", topic);
    struct wire_topic_alter request = {
        .fields = fields,
        .full_waits = options.full_waits,
        .keep_bytes = options.keep_bytes,
        .keep_ns = options.keep_ns,
    };
    rc = client_put_topic(client, request.topic, topic);
    return rc < 0 ? rc : client_request(client, WIRE_TOPIC_ALTER, &request, sizeof request, WIRE_OK, 0);
}

int hermes_topic_delete(hermes_client_t *client, const char *topic)
{
    struct wire_topic request;
    int rc = client_put_topic(client, request.topic, topic);
    return rc < 0 ? rc : client_request(client, WIRE_TOPIC_DELETE, &request, sizeof request, WIRE_OK, 0);
}

static int read_info(const uint8_t *bytes, void *info)
{
    struct wire_topic_info wire;
    memcpy(&wire, bytes, sizeof wire);
    hermes_topic_info_t told = {
        .topic_id = wire.topic_id,
        .durability = wire.durability,
        .shared = wire.shared,
        .window_bytes = wire.window_bytes,
        .segment_bytes = wire.segment_bytes,
        .first_position = wire.first_position,
        .committed_position = wire.committed_position,
        .persisted_position = wire.persisted_position,
        .durable_position = wire.durable_position,
        .last_sequence = wire.last_sequence,
        .epoch = wire.epoch,
        .publishers = wire.publishers,
        .subscribers = wire.subscribers,
        .failed = wire.state == STATE_FAILED,
        .refused = wire.refused,
        .corrupt = wire.corrupt,
        .keep_bytes = wire.keep_bytes,
        .keep_ns = wire.keep_ns,
        .full_waits = wire.full_waits,
        .full = wire.full,
        .push_back = wire.push_back,
        .waited_for = wire.waited_for,
    };
    snprintf(told.name, sizeof told.name, "%.*s", (int)sizeof wire.topic - 1, wire.topic);
    return abi_give(info, &told, sizeof told);
}

int hermes_broker_describe(hermes_client_t *client, hermes_broker_info_t *info)
{
    struct wire_broker told;
    int rc = client_request(client, WIRE_BROKER_DESCRIBE, NULL, 0, WIRE_BROKER, sizeof told);
    if (rc < 0)
        return rc;
    memcpy(&told, client->channel.reply, sizeof told);
    hermes_broker_info_t given = {
        .size = sizeof given,
        .pid = told.pid,
        .uid = told.uid,
        .sessions = told.sessions,
        .topics = told.topics,
        .uptime_ns = told.uptime_ns,
        .longest_turn_ns = told.longest_turn_ns,
        .notes_lost = told.notes_lost,
        .membarrier = told.membarrier,
        .instance = told.instance,
    };
    memcpy(given.engine, told.engine, sizeof given.engine - 1);
    return abi_give(info, &given, sizeof given);
}

int hermes_topic_describe(hermes_client_t *client, const char *topic, hermes_topic_info_t *info)
{
    struct wire_topic request;
    int rc = client_put_topic(client, request.topic, topic);
    if (rc == 0)
        rc = client_request(client, WIRE_TOPIC_DESCRIBE, &request, sizeof request, WIRE_TOPICS,
                            sizeof(struct wire_topics) + sizeof(struct wire_topic_info));
    return rc < 0 ? rc : read_info(client->channel.reply + sizeof(struct wire_topics), info);
}

int client_list(struct hermes_client *client, const struct client_listing *list, void *infos, size_t count)
{
    size_t done = 0, size = 0;
    if (count > 0)
        memcpy(&size, infos, sizeof size);
    for (bool more = true; more && done < count;) {
        struct wire_list_head head;
        int rc =
            client_request(client, list->type, list->request, list->request_bytes, list->reply, sizeof head);
        if (rc < 0)
            return rc;
        memcpy(&head, client->channel.reply, sizeof head);
        size_t there = (client->channel.header.length - sizeof head) / list->item_bytes;
        for (size_t i = 0; i < head.count && i < there && done < count; i++) {
            const uint8_t *told = client->channel.reply + sizeof head + i * list->item_bytes;
            void *info = (char *)infos + done++ * size;
            memcpy(info, &size, sizeof size);
            if ((rc = list->read(told, info)) < 0)
                return rc;
            memcpy(list->after, told, WIRE_TOPIC_BYTES);
        }
        more = head.more != 0 && head.count > 0;
    }
    return (int)done;
}

int hermes_topic_list(hermes_client_t *client, const char *after, hermes_topic_info_t *infos, size_t count)
{
    struct wire_list request = {{0}};
    snprintf(request.after, sizeof request.after, "%s", after);
    struct client_listing list = {WIRE_TOPIC_LIST, WIRE_TOPICS,   &request,
                                  sizeof request,  request.after, sizeof(struct wire_topic_info),
                                  read_info};
    return client_list(client, &list, infos, count);
}
