/* A session with a broker, from its beginning to its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/publisher.h"
#include "client/subscriber.h"
#include "io/interrupt.h"

static const uint64_t default_request_timeout_ns = 10000000000u;

static __thread struct error_text connect_error;

/* A reply that came without being waited for. What nobody wants any more was told to the broker. */
static void take_late(void *context, struct channel *channel)
{
    struct hermes_client *client = context;
    if (channel->header.sequence >= client->unanswered)
        client->unanswered = 0;
    if (client_take_greeting(client))
        return;
    for (struct hermes_publisher *p = client->publishers; p != NULL; p = p->next)
        if (asked_take(&p->asked, channel) || (p->outflow != NULL && outflow_take_reply(p->outflow, channel)))
            return;
    for (struct hermes_subscriber *s = client->subscribers; s != NULL; s = s->next)
        if (asked_take(&s->part, channel) || asked_take(&s->opening, channel) ||
            (s->inflow != NULL && inflow_take_reply(s->inflow, channel)))
            return;
}

static void tend(struct hermes_client *client)
{
    for (struct hermes_publisher *p = client->publishers; p != NULL; p = p->next)
        if (p->outflow != NULL)
            outflow_tend(p->outflow);
    for (struct hermes_subscriber *s = client->subscribers; s != NULL; s = s->next)
        if (s->inflow != NULL && s->inflow->member != NULL)
            far_member_tend(s->inflow);
}

/* A message of a flow, by its handle. What comes for one that was closed is passed over. */
static int take_flow(void *context, const hermes_header_t *header, const uint8_t *payload)
{
    struct hermes_client *client = context;
    for (struct hermes_subscriber *s = client->subscribers; s != NULL; s = s->next)
        if (s->inflow != NULL && inflow_is_for(s->inflow, header))
            return inflow_take(s->inflow, header, payload);
    for (struct hermes_publisher *p = client->publishers; p != NULL; p = p->next)
        if (p->outflow != NULL && outflow_is_for(p->outflow, header))
            return outflow_take(p->outflow, header, payload);
    return HERMES_OK;
}

/* For who wants to see what becomes of requests that nobody answers without waiting for long. */
static uint64_t request_timeout_ns(void)
{
    const char *milliseconds = getenv("HERMES_REQUEST_TIMEOUT_MS");
    uint64_t value = milliseconds == NULL ? 0 : strtoull(milliseconds, NULL, 10);
    return value > 0 && value < 3600000 ? value * 1000000 : default_request_timeout_ns;
}

int hermes_connect(const char *url, hermes_client_t **out)
{
    return hermes_connect_with(url, NULL, out);
}

int hermes_connect_with(const char *url, const hermes_connect_options_t *options, hermes_client_t **out)
{
    *out = NULL;
    struct hermes_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return HERMES_ENOMEM;
    client->channel.fd = client->told_fd = -1;
    client->channel.late = take_late;
    client->channel.flow = take_flow;
    client->channel.context = client;
    client->tend = tend;
    client->request_timeout_ns = request_timeout_ns();
    int rc = places_parse(url, &client->places, &client->error);
    if (rc == 0)
        rc = identity_take(&client->identity, options, client->places.encrypted, &client->error);
    client->channel.streams = client_streams(client);
    barrier_register();
    if (rc == 0)
        rc = client_dial(client, clock_deadline_ns(client->request_timeout_ns));
    if (rc < 0) {
        connect_error = client->error;
        client_free(client);
        return rc;
    }
    *out = near_upgrade(client);
    return HERMES_OK;
}

int64_t hermes_disconnect(hermes_client_t *client)
{
    if (client == NULL)
        return 0;
    uint64_t start_ns = clock_monotonic_ns(), until_ns = clock_deadline_ns(client->request_timeout_ns);
    const uint64_t known_ns = subscriber_goodbye_until();
    int64_t missing = 0;
    while (client->subscribers != NULL) { /* first: a member may have a publisher of its own */
        struct hermes_subscriber *s = client->subscribers;
        /* The end of the session closes them. Only what others wait for is theirs when we return: a member's
         * messages, a durable subscription's place, the room that publishers keep. */
        if (subscriber_is_plain(s) || clock_monotonic_ns() >= until_ns)
            s->handle = 0;
        subscriber_close(s, known_ns, until_ns);
    }
    while (client->publishers != NULL)
        missing += publisher_close(client->publishers, start_ns);
    if (missing > 0)
        connect_error = client->error;
    channel_take_leave(&client->channel);
    if (client->near != NULL)
        channel_take_leave(&client->near->guide->channel);
    client_free(client);
    return missing;
}

void hermes_forget(hermes_client_t *client)
{
    if (client == NULL)
        return;
    while (client->publishers != NULL)
        publisher_free(client->publishers);
    while (client->subscribers != NULL)
        subscriber_free(client->subscribers);
    client_free(client);
}

hermes_interrupt_t hermes_set_interrupt(hermes_interrupt_t interrupt)
{
    struct interrupt before = interrupt_set((struct interrupt){interrupt.ask, interrupt.context});
    return (hermes_interrupt_t){before.ask, before.context};
}

const char *hermes_last_error(const hermes_client_t *client)
{
    return client == NULL ? connect_error.bytes : client->error.bytes;
}
