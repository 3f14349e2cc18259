#include "client/asked.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static enum wire_type answer_to(enum wire_type asked)
{
    switch (asked) {
    case WIRE_PUBLISHER_OPEN:
        return WIRE_PUBLISHER;
    case WIRE_EPOCH_FIND:
        return WIRE_EPOCH;
    case WIRE_SUBSCRIBER_OPEN:
        return WIRE_SUBSCRIBER;
    case WIRE_SEGMENT_OPEN:
        return WIRE_PLACE;
    case WIRE_OUTLET_OPEN:
        return WIRE_OUTLET;
    case WIRE_INTAKE_OPEN:
        return WIRE_INTAKE;
    case WIRE_MEMBER_OPEN:
        return WIRE_MEMBER;
    default:
        return WIRE_OK;
    }
}

static uint32_t answer_bytes(enum wire_type asked)
{
    switch (asked) {
    case WIRE_PUBLISHER_OPEN:
        return sizeof(struct wire_publisher);
    case WIRE_EPOCH_FIND:
        return sizeof(struct wire_epoch);
    case WIRE_SUBSCRIBER_OPEN:
        return sizeof(struct wire_subscriber);
    case WIRE_SEGMENT_OPEN:
        return sizeof(struct wire_place);
    case WIRE_OUTLET_OPEN:
        return sizeof(struct wire_outlet);
    case WIRE_INTAKE_OPEN:
        return sizeof(struct wire_intake);
    case WIRE_MEMBER_OPEN:
        return sizeof(struct wire_member);
    default:
        return 0;
    }
}

static void clear_fds(struct asked *asked)
{
    for (unsigned i = 0; i < WIRE_FDS_MAX; i++)
        asked->fds[i] = -1;
}

void asked_init(struct asked *asked)
{
    asked->type = 0;
    clear_fds(asked);
}

int asked_take_fd(struct asked *asked, unsigned index)
{
    int fd = asked->fds[index];
    asked->fds[index] = -1;
    return fd;
}

void asked_drop(struct asked *asked)
{
    for (unsigned i = 0; i < WIRE_FDS_MAX; i++)
        if (asked->fds[i] >= 0)
            close(asked->fds[i]);
    asked_init(asked);
}

int asked_send(struct hermes_client *client, struct asked *asked, enum wire_type type, const void *request,
               uint32_t bytes)
{
    struct channel *channel = &client->channel;
    int rc = client_ensure(client);
    if (rc == 0 && channel_send(channel, type, request, bytes, 0, &client->error) < 0)
        rc = HERMES_EDISCONNECTED;
    if (rc < 0)
        return rc;
    asked_drop(asked);
    asked->type = type;
    asked->correlation = channel->correlation;
    asked->since_ns = clock_monotonic_ns();
    asked->answered = false;
    return HERMES_OK;
}

static void take_reply(struct asked *asked, struct channel *channel)
{
    memcpy(&asked->answer, channel->reply, answer_bytes(asked->type));
    for (unsigned i = 0; i < WIRE_FDS_MAX; i++)
        asked->fds[i] = channel_take_fd(channel, i);
}

bool asked_take(struct asked *asked, struct channel *channel)
{
    if (!asked_is_under_way(asked) || asked->correlation != channel->header.sequence ||
        asked->correlation <= channel->connected)
        return false;
    asked->error = channel_read(channel, answer_to(asked->type), answer_bytes(asked->type), &asked->text);
    if (asked->error == 0)
        take_reply(asked, channel);
    asked->answered = true;
    return true;
}

void asked_forget(struct hermes_client *client, struct asked *asked)
{
    if (client_opens(asked->type))
        client_forget(client, asked->correlation);
    asked_drop(asked);
}

int asked_await(struct hermes_client *client, struct asked *asked, uint64_t until_ns)
{
    if (asked->answered && asked->correlation <= client->channel.connected) {
        asked_forget(client, asked); /* what an earlier session was given ended with it */
        return HERMES_EDISCONNECTED;
    }
    if (!asked->answered) {
        int rc = channel_receive(&client->channel, asked->correlation, until_ns, &client->error);
        if (rc < 0 && rc != HERMES_ETIMEOUT && rc != HERMES_EINTERRUPTED)
            asked->type = 0;
        if (rc < 0)
            return rc == HERMES_EINTERRUPTED ? rc : HERMES_EDISCONNECTED;
        (void)asked_take(asked, &client->channel);
    }
    asked->type = 0;
    if (asked->error < 0)
        client->error = asked->text;
    return asked->error;
}

int asked_request(struct hermes_client *client, struct asked *asked, enum wire_type type, const void *request,
                  uint32_t bytes, uint64_t until_ns)
{
    asked_forget(client, asked);
    int rc =
        client_request_until(client, type, request, bytes, answer_to(type), answer_bytes(type), until_ns);
    if (rc < 0)
        return rc;
    asked->type = type;
    take_reply(asked, &client->channel);
    asked->type = 0;
    return HERMES_OK;
}
