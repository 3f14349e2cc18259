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
