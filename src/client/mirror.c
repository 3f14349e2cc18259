/* Mirrors of topics: added, removed, listed. */
#include <stdio.h>
#include <string.h>

#include "base/abi.h"
#include "client/client.h"

static int put_url(hermes_client_t *client, char to[WIRE_URL_BYTES], const char *url)
{
    size_t length = url == NULL ? 0 : strlen(url);
    if (length >= WIRE_URL_BYTES)
        return error_say(&client->error, HERMES_EINVALID, "'%.200s' is too long for an address", url);
    memcpy(to, url == NULL ? "" : url, length + 1);
    return HERMES_OK;
}

int hermes_mirror_add(hermes_client_t *client, const char *topic, enum hermes_mirror_role role,
                      const char *url)
{
    struct wire_mirror_add request = {.role = (uint32_t)role};
    int rc = client_put_topic(client, request.topic, topic);
    if (rc == 0)
        rc = put_url(client, request.url, url);
    return rc < 0 ? rc : client_request(client, WIRE_MIRROR_ADD, &request, sizeof request, WIRE_OK, 0);
}

int hermes_mirror_remove(hermes_client_t *client, const char *topic, const char *url)
{
    struct wire_mirror_remove request = {.url = ""};
    int rc = client_put_topic(client, request.topic, topic);
    if (rc == 0)
        rc = put_url(client, request.url, url);
    return rc < 0 ? rc : client_request(client, WIRE_MIRROR_REMOVE, &request, sizeof request, WIRE_OK, 0);
}

int hermes_mirror_key(hermes_client_t *client, const char *topic, hermes_mirror_grant_t *grant)
{
    struct wire_topic request;
    struct wire_mirror_grant wire;
    int rc = client_put_topic(client, request.topic, topic);
    if (rc == 0)
        rc =
            client_request(client, WIRE_MIRROR_KEY, &request, sizeof request, WIRE_MIRROR_GRANT, sizeof wire);
    if (rc < 0)
        return rc;
    memcpy(&wire, client->channel.reply, sizeof wire);
    explicit_bzero(client->channel.reply, sizeof wire);
    conduit_wipe(&client->channel.conduit);
    if (wire_mirror_grant_check(&wire) < 0)
        return error_set(&client->error, HERMES_EPROTOCOL, "a key to the mirror of topic '%s'", topic);
    hermes_mirror_grant_t told = {
        .topic_id = wire.topic_id, .lasts_ns = wire.lasts_ns, .id = wire.id, .member = wire.member};
    memcpy(told.url, wire.url, sizeof told.url);
    memcpy(told.secret, wire.secret, sizeof told.secret);
    explicit_bzero(&wire, sizeof wire);
    rc = abi_give(grant, &told, sizeof told);
    explicit_bzero(&told, sizeof told);
    return rc;
}

static int read_info(const uint8_t *bytes, void *info)
{
    struct wire_mirror_info wire;
    memcpy(&wire, bytes, sizeof wire);
    hermes_mirror_info_t told = {
        .role = wire.role,
        .state = wire.state,
        .error = wire.error,
        .receivers = wire.receivers,
        .position = wire.position,
        .lag_bytes = wire.lag_bytes,
        .rtt_ns = wire.rtt_ns,
        .datagrams = wire.datagrams,
        .bytes = wire.bytes,
        .lost = wire.lost,
        .repaired = wire.repaired,
        .gone = wire.gone,
        .duplicates = wire.duplicates,
        .naks = wire.naks,
        .overruns = wire.overruns,
        .refused = wire.refused,
    };
    snprintf(told.topic, sizeof told.topic, "%.*s", (int)sizeof wire.topic - 1, wire.topic);
    snprintf(told.url, sizeof told.url, "%.*s", (int)sizeof wire.url - 1, wire.url);
    return abi_give(info, &told, sizeof told);
}

int hermes_mirror_list(hermes_client_t *client, hermes_mirror_info_t *infos, size_t count)
{
    char ignored[WIRE_TOPIC_BYTES]; /* all come at once */
    struct client_listing list = {
        WIRE_MIRROR_LIST, WIRE_MIRRORS, NULL, 0, ignored, sizeof(struct wire_mirror_info), read_info};
    return client_list(client, &list, infos, count);
}
