/* Subscribers of each kind, to a topic "t" that takes them all. */
#ifndef TESTS_CLIENT_KINDS_H
#define TESTS_CLIENT_KINDS_H

#include "fixture.h"

enum kind { PLAIN, MEMBER, DURABLE, WAITED_FOR, KINDS };

static inline hermes_subscriber_t *subscriber_of(hermes_client_t *client, enum kind kind)
{
    hermes_subscriber_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    hermes_subscriber_t *subscriber;
    options.group = kind == MEMBER ? "g" : NULL;
    options.name = kind == DURABLE ? "d" : NULL;
    options.flags = kind == WAITED_FOR ? HERMES_SUBSCRIBE_PUSH_BACK : 0;
    int rc = hermes_subscriber_open(client, "t", &options, &subscriber);
    if (rc != 0)
        fail_msg("%d: %s", rc, hermes_last_error(client));
    return subscriber;
}

static inline void make_topic_for_all(struct fixture *f)
{
    hermes_topic_options_t options = {
        .size = sizeof options, .durability = HERMES_DURABILITY_ASYNC, .push_back = 1};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
}

#endif
