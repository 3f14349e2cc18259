#include "client/settling.h"

#include <string.h>

/* Said at a time. */
enum { SAID_AT_ONCE = 64 };

static struct saying *saying_at(struct settling *settling, uint64_t number)
{
    return &settling->sayings[(number - 1) % SETTLING_MOST];
}

uint64_t settling_say(struct settling *settling, struct saying saying)
{
    *saying_at(settling, ++settling->said) = saying;
    return settling->said;
}

void settling_reclaim(struct settling *settling, uint16_t claim)
{
    for (uint64_t number = settling->settled + 1; number <= settling->said; number++)
        saying_at(settling, number)->what.claim = claim;
}

void settling_begin(struct settling *settling)
{
    settling->before = settling->sent = settling->settled;
}

/* Those of one kind that come next; how many. */
static unsigned gather(struct settling *settling, struct wire_ack acks[SAID_AT_ONCE], enum wire_type *type)
{
    unsigned count = 0;
    *type = saying_at(settling, settling->sent + 1)->type;
    for (; count < SAID_AT_ONCE && settling->sent + count < settling->said; count++) {
        const struct saying *saying = saying_at(settling, settling->sent + count + 1);
        if (saying->type != *type)
            break;
        acks[count] = saying->what;
    }
    return count;
}

void settling_send(struct settling *settling, struct hermes_client *client, uint32_t handle)
{
    while (settling->sent < settling->said) {
        struct wire_ack acks[SAID_AT_ONCE];
        enum wire_type type;
        unsigned count = gather(settling, acks, &type);
        const struct iovec part = {acks, count * sizeof acks[0]};
        if (channel_send_flow(&client->channel, type, handle, &part) < 0)
            return;
        settling->sent += count;
    }
}

static void settle(struct settling *settling, uint64_t number, int code, settling_own_t own, void *context)
{
    const struct saying *saying = saying_at(settling, number);
    settling->settled = number;
    if (saying->is_own)
        own(context, saying, code);
    if (settling->awaited == number)
        settling->outcome = code;
}

int settling_take(struct settling *settling, const hermes_header_t *header, const uint8_t *payload,
                  settling_own_t own, void *context)
{
    struct wire_settled head;
    struct wire_refusal refusal = {.number = 0};
    if (header->length < sizeof head)
        return HERMES_EMALFORMED;
    memcpy(&head, payload, sizeof head);
    if (head.refused > (header->length - sizeof head) / sizeof refusal)
        return HERMES_EMALFORMED;
    if (head.settled > settling->sent - settling->before ||
        head.settled < settling->settled - settling->before)
        return HERMES_EPROTOCOL;
    uint64_t through = settling->before + head.settled;
    for (uint32_t i = 0; i < head.refused; i++) {
        memcpy(&refusal, payload + sizeof head + i * sizeof refusal, sizeof refusal);
        if (refusal.number > head.settled || refusal.number <= settling->settled - settling->before ||
            refusal.code >= 0)
            return HERMES_EPROTOCOL;
        uint64_t number = settling->before + refusal.number;
        while (settling->settled + 1 < number)
            settle(settling, settling->settled + 1, HERMES_OK, own, context);
        settle(settling, number, refusal.code, own, context);
    }
    while (settling->settled < through)
        settle(settling, settling->settled + 1, HERMES_OK, own, context);
    return HERMES_OK;
}
