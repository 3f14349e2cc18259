/* hermes_topic_verify(): the topic's segments, one after the other, as the broker hands them out. */
#include "core/verify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"

static int open_segment(hermes_client_t *client, uint64_t topic_id, uint64_t position, int *fd)
{
    struct wire_segment request = {.topic_id = topic_id, .key = STORE_BY_POSITION, .value = position};
    int rc = client_request(client, WIRE_SEGMENT_OPEN, &request, sizeof request, WIRE_OK, 0);
    *fd = rc == 0 ? channel_take_fd(&client->channel, 0) : -1;
    return rc == 0 && *fd < 0 ? HERMES_EPROTOCOL : rc;
}

static int verify_all(hermes_client_t *client, const hermes_topic_info_t *info, struct verify *verify,
                      uint8_t *buffer)
{
    const uint64_t end = info->persisted_position, size = info->segment_bytes;
    while (verify->position < end) {
        int fd;
        uint64_t base = verify->position - verify->position % size;
        int rc = open_segment(client, info->topic_id, verify->position, &fd);
        if (rc == HERMES_EGONE) { /* retention was faster */
            verify->position = base + size;
            verify->sequence = 0;
            continue;
        }
        if (rc < 0 && rc != HERMES_ENOTFOUND)
            return rc;
        if (rc == 0) {
            (void)verify_segment(verify, fd, end, info->window_bytes, buffer, &client->error);
            close(fd);
        } else { /* deleted under the broker */
            verify->damaged++;
            if (verify->damage != NULL)
                verify->damage(verify->context, verify->position, base + size < end ? base + size : end, rc);
        }
        if (verify->position < base + size && verify->position < end) { /* nothing of it could be read */
            verify->position = base + size;
            verify->sequence = 0;
        }
    }
    return HERMES_OK;
}

int hermes_topic_verify(hermes_client_t *client, const char *topic, hermes_damage_t damage, void *context,
                        hermes_verification_t *result)
{
    *result = (hermes_verification_t){0};
    hermes_topic_info_t info;
    int rc = hermes_topic_describe(client, topic, &info);
    if (rc < 0)
        return rc;
    if (info.durability == HERMES_DURABILITY_MEMORY)
        return error_set(&client->error, HERMES_ENOTSUP, "topic '%s' is kept in memory alone", topic);
    if (info.window_bytes == 0 || info.segment_bytes == 0)
        return error_set(&client->error, HERMES_EPROTOCOL, "sizes of topic '%s'", topic);
    uint8_t *buffer = malloc(info.window_bytes);
    if (buffer == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a buffer of %llu bytes",
                         (unsigned long long)info.window_bytes);
    struct verify verify = {.position = info.first_position, .damage = damage, .context = context};
    rc = verify_all(client, &info, &verify, buffer);
    free(buffer);
    *result = (hermes_verification_t){info.first_position, info.persisted_position, verify.messages,
                                      verify.damaged};
    return rc;
}
