/* Topics, and the broker itself: made, altered, described, deleted. */
#include <stdio.h>
#include <string.h>

#include "base/abi.h"
#include "client/client.h"

int hermes_topic_create(hermes_client_t *client, const char *topic, const hermes_topic_options_t *given)
{
    hermes_topic_options_t options = {.size = sizeof options};
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

int hermes_topic_purge(hermes_client_t *client, const char *topic)
{
    struct wire_topic request;
    int rc = client_put_topic(client, request.topic, topic);
    return rc < 0 ? rc : client_request(client, WIRE_TOPIC_PURGE, &request, sizeof request, WIRE_OK, 0);
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
        .longest_own_ns = told.longest_own_ns,
        .blocked_turns = told.blocked_turns,
    };
    memcpy(given.engine, told.engine, sizeof given.engine - 1);
    memcpy(given.version, told.version, sizeof given.version - 1);
    memcpy(given.memory, told.memory, sizeof given.memory - 1);
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

static int list(hermes_client_t *client, enum wire_type type, const char *after, hermes_topic_info_t *infos,
                size_t count)
{
    struct wire_list request = {{0}};
    snprintf(request.after, sizeof request.after, "%s", after);
    struct client_listing list = {type,           WIRE_TOPICS,   &request,
                                  sizeof request, request.after, sizeof(struct wire_topic_info),
                                  read_info};
    return client_list(client, &list, infos, count);
}

int hermes_topic_list(hermes_client_t *client, const char *after, hermes_topic_info_t *infos, size_t count)
{
    return list(client, WIRE_TOPIC_LIST, after, infos, count);
}

int hermes_topic_list_unserved(hermes_client_t *client, const char *after, hermes_topic_info_t *infos,
                               size_t count)
{
    return list(client, WIRE_UNSERVED_LIST, after, infos, count);
}
