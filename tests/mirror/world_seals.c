#include "mirror/world_parts.h"

#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"

enum { OTHERS_MAX = RECEIVERS_MAX };

/* ---- sets ---- */

static uint64_t *slot_for(const struct numbers *numbers, uint64_t number)
{
    uint64_t state = number, at = random_next(&state);
    while (numbers->slots[at % numbers->room] != 0 && numbers->slots[at % numbers->room] != number)
        at++;
    return &numbers->slots[at % numbers->room];
}

static void grow(struct numbers *numbers)
{
    struct numbers larger = {.room = numbers->room == 0 ? 1024 : 2 * numbers->room, .count = numbers->count};
    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (larger.slots == NULL)
        abort();
    for (uint64_t i = 0; i < numbers->room; i++)
        if (numbers->slots[i] != 0)
            *slot_for(&larger, numbers->slots[i]) = numbers->slots[i];
    free(numbers->slots);
    *numbers = larger;
}

/* false: it is there. */
static bool add(struct numbers *numbers, uint64_t number)
{
    if (2 * numbers->count >= numbers->room)
        grow(numbers);
    uint64_t *slot = slot_for(numbers, number);
    if (*slot == number)
        return false;
    *slot = number;
    numbers->count++;
    return true;
}

/* ---- secrets ---- */

void world_grant(struct host *host)
{
    struct world *w = host->world;
    if (!w->scenario->sealed)
        return;
    struct seal_grant grant = w->grant;
    sealing_free(host->sealing);
    if (host->member != 0)
        sealing_dismiss(w->sealing, host->member);
    host->member = grant.member = ++w->grant.member;
    if (sealing_make(&host->sealing, &grant, 1 + OTHERS_MAX) < 0 ||
        sealing_admit(w->sealing, host->member) < 0)
        abort();
}

void world_new_secret(struct world *w)
{
    if (!w->scenario->sealed)
        return;
    struct seal_grant grant = {.id = ++w->grant.id, .member = SEAL_SENDER};
    uint64_t state = w->scenario->seed * 100 + w->sender_starts;
    for (int i = 0; i < SEAL_SECRET_BYTES; i++)
        grant.secret[i] = (uint8_t)random_next(&state);
    sealing_free(w->sealing);
    if (sealing_make(&w->sealing, &grant, w->scenario->receivers) < 0)
        abort();
    memcpy(w->grant.secret, grant.secret, sizeof grant.secret);
    for (uint32_t i = 0; i < w->scenario->receivers; i++)
        if (w->host[i].receiver != NULL)
            world_grant(&w->host[i]);
}

void world_forget_secrets(struct world *w)
{
    sealing_free(w->sealing);
    for (uint32_t i = 0; i < w->scenario->receivers; i++)
        sealing_free(w->host[i].sealing);
    free(w->key_streams.slots);
    free(w->opened.slots);
}

/* ---- sealing, and opening ---- */

static uint64_t first_word(const struct mirror_packet *packet)
{
    uint64_t word;
    memcpy(&word, packet->bytes + DATAGRAM_HEAD_BYTES, sizeof word);
    return word;
}

static void record(struct world *w, const struct mirror_address *from, const struct mirror_packet *packet)
{
    uint32_t at = w->taped < TAPE_MAX ? w->taped++ : (uint32_t)random_below(&w->network.random, TAPE_MAX);
    w->tape[at].from = *from;
    w->tape[at].packet = *packet;
}

/* What encrypts a body is plain text XOR cipher text: who sees it twice can read both. */
void world_seal(struct world *w, struct sealing *by, const struct mirror_address *from,
                struct mirror_packet *packet)
{
    if (!w->scenario->sealed)
        return;
    uint64_t plain = first_word(packet);
    bool has_body = packet->length >= DATAGRAM_HEAD_BYTES + sizeof plain;
    int64_t length = sealing_seal(by, packet->bytes, packet->length);
    world_check(w, length > 0, "what is to be sent cannot be sealed");
    packet->length = (uint32_t)length;
    uint64_t stream = plain ^ first_word(packet);
    world_check(w, !has_body || add(&w->key_streams, stream), "a nonce is used twice");
    if (w->scenario->hostile)
        record(w, from, packet);
}

/* Who opened what, of whom. 12, 8, 12 and 32 bits. */
static uint64_t opening_of(const struct host *host, const struct datagram_head *head)
{
    uint16_t label[2]; /* id, member */
    memcpy(label, &head->header.crc, sizeof label);
    uint64_t self = host == NULL ? 0 : host->member;
    return self << 52 | (uint64_t)label[0] << 44 | (uint64_t)label[1] << 32 | head->number;
}

bool world_unseal(struct world *w, struct host *host, struct flight *flight)
{
    if (!w->scenario->sealed)
        return true;
    struct datagram_head head = {0};
    memcpy(&head, flight->bytes, flight->length < sizeof head ? flight->length : sizeof head);
    int64_t length = sealing_unseal(host == NULL ? w->sealing : host->sealing, flight->bytes, flight->length);
    if (length < 0)
        return false;
    flight->length = (uint32_t)length;
    world_check(w, add(&w->opened, opening_of(host, &head)), "the same datagram is opened twice");
    return true;
}

/* ---- somebody on the way ---- */

void world_replay(struct world *w)
{
    uint64_t *random = &w->network.random;
    if (w->taped == 0)
        return;
    const struct recorded *recorded = &w->tape[random_below(random, w->taped)];
    struct flight head = world_flight(&recorded->packet, &recorded->from);
    struct link free_link = {.delay_ns = 1000, .corrupt = 500000};
    bool to_sender = recorded->packet.to_group ? random_below(random, 2) == 0 : head.address[0] == 'S';
    head.to = to_sender                   ? SENDER
              : recorded->packet.to_group ? (uint32_t)random_below(random, w->scenario->receivers)
                                          : head.address[1];
    if (network_chance(&w->network, 100000))
        head.length = 1 + (uint32_t)random_below(random, head.length);
    (void)network_send(&w->network, &free_link, w->network.now_ns, &head, recorded->packet.bytes);
}
