/* One side of test_languages.py in C: port publish|consume TOPIC SIZE,SIZE... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hermes/hermes.h"

static unsigned char payload[HERMES_PAYLOAD_MAX + 1];

static int publish(hermes_client_t *client, const char *topic, char *sizes)
{
    hermes_publisher_t *publisher;
    int rc = hermes_publisher_open(client, topic, NULL, &publisher);
    for (char *size = strtok(sizes, ","); rc == 0 && size != NULL; size = strtok(NULL, ","))
        rc = hermes_publish(publisher, payload, strtoul(size, NULL, 10), NULL);
    if (rc == 0 && hermes_publish(publisher, payload, HERMES_PAYLOAD_MAX + 1, NULL) != HERMES_ETOOLARGE)
        return HERMES_EINVALID;
    return rc < 0 ? rc : hermes_publisher_wait(publisher, HERMES_COMMITTED, 60000000000u);
}

static int consume(hermes_client_t *client, const char *topic, char *sizes)
{
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    int rc = hermes_subscriber_open(client, topic, NULL, &subscriber);
    if (rc == 0)
        rc = hermes_seek_first(subscriber);
    for (char *size = strtok(sizes, ","); rc >= 0 && size != NULL; size = strtok(NULL, ",")) {
        rc = hermes_wait(subscriber, &message, 60000000000u);
        if (rc == 0)
            return HERMES_ETIMEOUT;
        if (rc > 0 && (message.length != strtoul(size, NULL, 10) ||
                       memcmp(message.payload, payload, message.length) != 0))
            return HERMES_ECORRUPT;
    }
    return rc;
}

int main(int argc, char **argv)
{
    hermes_client_t *client;
    if (argc != 4)
        return 64;
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (unsigned char)(i * 7 % 251);
    int rc = hermes_connect(NULL, &client);
    if (rc == 0)
        rc = strcmp(argv[1], "publish") == 0 ? publish(client, argv[2], argv[3])
                                             : consume(client, argv[2], argv[3]);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", hermes_error_name(rc), hermes_last_error(client));
    else
        puts("good");
    hermes_disconnect(client);
    return rc < 0;
}
