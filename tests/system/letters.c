/*
 * letters TOPIC GROUP DEAD SEQUENCE DELIVERIES PAYLOAD [BYTES]: writes a letter for test_letters.py by hand,
 * as the broker would. BYTES: how long the message was, if PAYLOAD is only what fitted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hermes/hermes.h"
#include "hermes/letter.h"

int main(int argc, char **argv)
{
    static union {
        hermes_letter_t letter;
        char bytes[HERMES_PAYLOAD_MAX];
    } paper;
    hermes_topic_info_t info = {.size = sizeof info};
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    if (argc < 7 || strlen(argv[6]) > HERMES_PAYLOAD_MAX - HERMES_LETTER_BYTES)
        return 64;
    size_t length = strlen(argv[6]);
    int rc = hermes_connect(NULL, &client);
    if (rc == 0)
        rc = hermes_topic_describe(client, argv[1], &info);
    if (rc == 0)
        rc = hermes_publisher_open(client, argv[3], NULL, &publisher);
    if (rc == 0) {
        paper.letter = (hermes_letter_t){
            .magic = HERMES_LETTER_MAGIC,
            .version = HERMES_LETTER_VERSION,
            .reason = HERMES_LETTER_DELIVERIES,
            .deliveries = (uint32_t)strtoul(argv[5], NULL, 10),
            .payload_bytes = argc > 7 ? (uint32_t)strtoul(argv[7], NULL, 10) : (uint32_t)length,
            .topic_id = info.topic_id,
            .position = 64 * strtoull(argv[4], NULL, 10),
            .sequence = strtoull(argv[4], NULL, 10),
            .timestamp = 1000000000000000000u,
            .buried_ns = 1700000000123456789u,
        };
        snprintf(paper.letter.topic, sizeof paper.letter.topic, "%s", argv[1]);
        snprintf(paper.letter.group, sizeof paper.letter.group, "%s", argv[2]);
        memcpy(paper.bytes + HERMES_LETTER_BYTES, argv[6], length);
        rc = hermes_publish(publisher, paper.bytes, HERMES_LETTER_BYTES + length, NULL);
    }
    if (rc < 0)
        fprintf(stderr, "%s\n", hermes_last_error(client));
    return hermes_disconnect(client) != 0 || rc < 0;
}
