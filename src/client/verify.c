/* hermes_topic_verify(): the topic's segments, one after the other, as the broker hands them out. */
#include "log/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/abi.h"
#include "client/client.h"
#include "io/interrupt.h"

/* What is left of a segment, a window at a time. */
static int verify_rest(struct verify *verify, int fd, uint8_t *buffer, struct error_text *text)
{
    uint64_t segment = verify->position / verify->segment_bytes;
    while (verify->position < verify->end && verify->position / verify->segment_bytes == segment) {
        if (interrupt_ask() != 0)
            return error_set(text, HERMES_EINTERRUPTED, "at position %" PRIu64, verify->position);
        uint64_t until = (verify->position | (verify->capacity - 1)) + 1;
        (void)verify_segment(verify, fd, until < verify->end ? until : verify->end, buffer, text);
    }
    return HERMES_OK;
}

static int verify_all(hermes_client_t *client, uint64_t topic_id, struct verify *verify, uint8_t *buffer)
{
    while (verify->position < verify->end) {
        struct store_place place;
        int rc = client_open_segment(client, topic_id, STORE_BY_POSITION, verify->position, &place);
        if (rc == HERMES_EGONE) { /* retention was faster */
            verify->position += verify->segment_bytes - verify->position % verify->segment_bytes;
            verify->sequence = 0;
            continue;
        }
        if (rc < 0 && rc != HERMES_ENOTFOUND)
            return rc;
        rc = verify_rest(verify, place.fd, buffer, &client->error);
        if (place.fd >= 0)
            close(place.fd);
        if (rc < 0)
            return rc;
    }
    return HERMES_OK;
}

int hermes_topic_verify(hermes_client_t *client, const char *topic, hermes_damage_t damage, void *context,
                        hermes_verification_t *result)
{
    hermes_verification_t told = {0};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = abi_give(result, &told, sizeof told);
    rc = rc < 0 ? rc : hermes_topic_describe(client, topic, &info);
    if (rc < 0)
        return rc;
    if (info.durability == HERMES_DURABILITY_MEMORY)
        return error_say(&client->error, HERMES_ENOTSUP,
                         "topic '%s' is kept in memory alone: nothing of it is stored", topic);
    if (client_streams(client)) /* segments are files that the broker would pass */
        return client_miss_memory(client, "verifying what is stored");
    if (info.window_bytes == 0 || info.segment_bytes == 0)
        return error_set(&client->error, HERMES_EPROTOCOL, "sizes of topic '%s'", topic);
    uint8_t *buffer = malloc(info.window_bytes);
    if (buffer == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a buffer of %llu bytes",
                         (unsigned long long)info.window_bytes);
    struct verify verify = {.capacity = info.window_bytes,
                            .segment_bytes = info.segment_bytes,
                            .end = info.persisted_position,
                            .position = info.first_position,
                            .damage = damage,
                            .context = context};
    rc = verify_all(client, info.topic_id, &verify, buffer);
    free(buffer);
    told = (hermes_verification_t){0, info.first_position, info.persisted_position, verify.messages,
                                   verify.damaged};
    (void)abi_give(result, &told, sizeof told);
    return rc;
}
