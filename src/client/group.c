/* Groups from outside: made, altered, listed, deleted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "client/client.h"

static int put_names(struct hermes_client *client, struct wire_group *request, const char *topic,
                     const char *group)
{
    int rc = client_put_topic(client, request->topic, topic);
    if (rc == 0 && (rc = hermes_topic_name_check(group)) < 0)
        error_set(&client->error, rc, "group '%.140s'", group == NULL ? "(null)" : group);
    if (rc == 0)
        memcpy(request->group, group, strlen(group) + 1);
    return rc;
}

/* The caller's options into a request. */
static int fill(struct hermes_client *client, struct wire_group *request, const char *topic,
                const char *group, const hermes_group_options_t *given)
{
    hermes_group_options_t options = {.size = sizeof options};
    *request = (struct wire_group){.fields = 0};
    int rc = given == NULL ? HERMES_OK : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(&client->error, rc, "options of group '%.140s'", group);
    if (options.reserved != 0)
        return error_say(&client->error, HERMES_ENOTSUP,
                         "a field of a group's options that this library does not know");
    if ((rc = put_names(client, request, topic, group)) < 0)
        return rc;
    if (options.dead_letter != NULL && (rc = hermes_topic_name_check(options.dead_letter)) < 0)
        return error_set(&client->error, rc, "dead-letter topic '%.140s'", options.dead_letter);
    if (options.dead_letter != NULL)
        memcpy(request->dead_letter, options.dead_letter, strlen(options.dead_letter) + 1);
    request->durable = options.durable;
    request->lease_ns = options.lease_ns;
    request->max_deliveries = options.max_deliveries;
    request->from = options.from;
    request->position = options.position;
    request->span_bytes = options.span_bytes;
    return HERMES_OK;
}

int hermes_group_create(hermes_client_t *client, const char *topic, const char *group,
                        const hermes_group_options_t *options)
{
    struct wire_group request;
    int rc = fill(client, &request, topic, group, options);
    return rc < 0 ? rc : client_request(client, WIRE_GROUP_CREATE, &request, sizeof request, WIRE_OK, 0);
}

int hermes_group_alter(hermes_client_t *client, const char *topic, const char *group, uint32_t fields,
                       const hermes_group_options_t *options)
{
    struct wire_group request;
    if (options == NULL)
        return error_set(&client->error, HERMES_EINVALID, "options of group '%.140s'", group);
    int rc = fill(client, &request, topic, group, options);
    request.fields = fields;
    return rc < 0 ? rc : client_request(client, WIRE_GROUP_ALTER, &request, sizeof request, WIRE_OK, 0);
}

int hermes_group_delete(hermes_client_t *client, const char *topic, const char *group)
{
    struct wire_group request = {.fields = 0};
    int rc = put_names(client, &request, topic, group);
    return rc < 0 ? rc : client_request(client, WIRE_GROUP_DELETE, &request, sizeof request, WIRE_OK, 0);
}

static int read_info(const uint8_t *bytes, void *info)
{
    struct wire_group_info wire;
    memcpy(&wire, bytes, sizeof wire);
    hermes_group_info_t told = {
        .durable = wire.durable,
        .uid = wire.uid,
        .members = wire.members,
        .max_deliveries = wire.max_deliveries,
        .lease_ns = wire.lease_ns,
        .span_bytes = wire.span_bytes,
        .position = wire.position,
        .done_position = wire.done_position,
        .last_sequence = wire.last_sequence,
        .in_flight = wire.in_flight,
        .redelivered = wire.redelivered,
        .expired = wire.expired,
        .dead = wire.dead,
        .lost = wire.lost,
    };
    snprintf(told.name, sizeof told.name, "%.*s", (int)sizeof wire.group - 1, wire.group);
    snprintf(told.dead_letter, sizeof told.dead_letter, "%.*s", (int)sizeof wire.dead_letter - 1,
             wire.dead_letter);
    return abi_give(info, &told, sizeof told);
}

int hermes_group_describe(hermes_client_t *client, const char *topic, const char *group,
                          hermes_group_info_t *info)
{
    struct wire_group names = {.fields = 0};
    struct wire_group_list request = {.exact = 1};
    int rc = put_names(client, &names, topic, group);
    if (rc < 0)
        return rc;
    memcpy(request.topic, names.topic, sizeof request.topic);
    memcpy(request.after, names.group, sizeof request.after);
    rc = client_request(client, WIRE_GROUP_LIST, &request, sizeof request, WIRE_GROUPS,
                        sizeof(struct wire_groups) + sizeof(struct wire_group_info));
    return rc < 0 ? rc : read_info(client->channel.reply + sizeof(struct wire_groups), info);
}

int hermes_group_list(hermes_client_t *client, const char *topic, const char *after,
                      hermes_group_info_t *infos, size_t count)
{
    struct wire_group_list request = {.exact = 0};
    int rc = client_put_topic(client, request.topic, topic);
    if (rc < 0)
        return rc;
    snprintf(request.after, sizeof request.after, "%s", after);
    struct client_listing list = {WIRE_GROUP_LIST, WIRE_GROUPS,   &request,
                                  sizeof request,  request.after, sizeof(struct wire_group_info),
                                  read_info};
    return client_list(client, &list, infos, count);
}
