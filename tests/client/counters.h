/* Publishers whose messages are counters from 1 on, so that what a topic holds can be told by looking. */
#ifndef TESTS_CLIENT_COUNTERS_H
#define TESTS_CLIENT_COUNTERS_H

#include "fixture.h"

#include <sys/socket.h>

#include "client/publisher.h"

static const uint64_t patience_ns = 60000000000u;
static const uint64_t soon_ns = 20000000u;

static inline hermes_client_t *connect_client(void)
{
    hermes_client_t *client;
    assert_int_equal(hermes_connect(NULL, &client), 0);
    return client;
}

static inline hermes_publisher_t *publisher_of(hermes_client_t *client, const char *topic, uint32_t flags)
{
    hermes_publisher_t *publisher;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags};
    int rc = hermes_publisher_open(client, topic, &options, &publisher);
    if (rc != 0)
        fail_msg("%d: %s", rc, hermes_last_error(client));
    return publisher;
}

/* Its predecessor's session may take a moment to be over. */
static inline hermes_publisher_t *successor_of(hermes_client_t *client, const char *topic)
{
    hermes_publisher_t *publisher;
    int rc;
    while ((rc = hermes_publisher_open(client, topic, NULL, &publisher)) == HERMES_EBUSY)
        ;
    assert_int_equal(rc, 0);
    return publisher;
}

static inline int publish(hermes_publisher_t *publisher, uint64_t number)
{
    return hermes_publish(publisher, &number, sizeof number, NULL);
}

static inline hermes_topic_info_t describe(const char *topic)
{
    hermes_client_t *client = connect_client();
    hermes_topic_info_t info = {.size = sizeof info};
    assert_int_equal(hermes_topic_describe(client, topic, &info), 0);
    hermes_disconnect(client);
    return info;
}

/* The topic holds the counters 1 to count, each once, and nothing else. */
static inline void expect_counters(const char *topic, uint64_t count)
{
    hermes_client_t *client = connect_client();
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    assert_int_equal(hermes_subscriber_open(client, topic, NULL, &subscriber), 0);
    assert_int_equal(hermes_seek_first(subscriber), 0);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number;
        assert_int_equal(hermes_wait(subscriber, &message, patience_ns), 1);
        memcpy(&number, message.payload, sizeof number);
        assert_int_equal(number, i);
    }
    assert_int_equal(hermes_poll(subscriber, &message), 0);
    hermes_disconnect(client);
    /* While a log changes hands, the broker tells where it ended when that began. */
    uint64_t told;
    for (time_t start = time(NULL); (told = describe(topic).last_sequence) != count;)
        if (told > count || time(NULL) - start > 60)
            fail_msg("the broker tells of %lu messages, and not of %lu", (unsigned long)told,
                     (unsigned long)count);
}

static inline void cut_session(hermes_client_t *client)
{
    shutdown(client->channel.fd, SHUT_RDWR);
}

#endif
