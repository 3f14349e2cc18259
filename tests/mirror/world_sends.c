#include "mirror/world_parts.h"

#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"

void world_wake_host(struct host *host, uint64_t at_ns)
{
    if (at_ns >= host->wakes_ns)
        return;
    host->wakes_ns = at_ns;
    network_put(&host->world->network,
                (struct event){.at_ns = at_ns, .kind = EVENT_WAKES, .whom = host->index});
}

void world_start_receiver(struct host *host)
{
    struct world *w = host->world;
    const struct scenario *s = w->scenario;
    host->has_begun |= !s->live || host->index % 2 != 0;
    if (!host->has_begun)
        host->epoch = 0;
    struct receiver_config config = {
        .topic_id = TOPIC,
        .sender = world_address('S', 0, 0),
        .position = host->has_begun ? host->position : DATAGRAM_LIVE,
        .epoch = host->epoch,
        .multicast = s->multicast,
        .sealed = s->sealed,
        .tag = 1,
        .window_bytes = s->window_bytes,
        .silence_ns = s->silence_ns,
        .seed = s->seed * 1000 + host->index * 50 + host->starts,
    };
    struct mirror_sink sink = world_sink;
    sink.context = host;
    receiver_close(host->receiver);
    host->receiver = NULL;
    host->number = 0;
    if (host->starts++ > 0)
        host->address = world_address('R', host->index, host->starts);
    w->proven[host->index] = false;
    w->received[host->index] = w->sent[host->index] = 0;
    if (receiver_open(&host->receiver, &config, &sink) < 0)
        abort();
    world_grant(host);
    host->wakes_ns = UINT64_MAX;
    world_wake_host(host, w->network.now_ns);
}

/* A receiver whose log is another than the sender's: is it? It begins anew. */
static void begin_anew(struct host *host)
{
    world_check(host->world, world_differs(host), "a receiver gives up on a log that is the sender's");
    host->has_begun = false;
    host->begin = host->position = host->epoch = 0;
    world_start_receiver(host);
}

enum datagram_guard world_guard(const struct world *w)
{
    return w->scenario->sealed ? DATAGRAM_GUARDED_BY_TAG : DATAGRAM_GUARDED_BY_CRC;
}

static bool is_cut(const struct host *host)
{
    return host->world->network.now_ns < host->cut_until_ns;
}

static void to_host(struct world *w, struct host *host, const struct flight *head, const uint8_t *bytes,
                    bool data)
{
    enum fate fate = FATE_LOST;
    struct flight flight = *head;
    flight.to = host->index;
    if (host->receiver != NULL && !is_cut(host))
        fate = network_send(&w->network, &host->down, w->network.now_ns, &flight, bytes);
    host->overflowed |= fate == FATE_DROPPED && w->scenario->overflows;
    if (fate == FATE_ARRIVES || !data)
        return;
    w->lost++;
    w->lost_bytes += head->length - DATAGRAM_HEAD_BYTES - (w->scenario->sealed ? DATAGRAM_TAG_BYTES : 0);
}

struct flight world_flight(const struct mirror_packet *packet, const struct mirror_address *from)
{
    struct flight head = {.length = packet->length};
    memcpy(head.from, from, sizeof head.from);
    struct mirror_address group = world_address('G', 0, 0);
    memcpy(head.address, packet->to_group ? &group : &packet->to, sizeof head.address);
    return head;
}

static void look_at_sent(struct world *w, const struct mirror_packet *packet, const struct datagram *d)
{
    world_check(w, d->head.number > w->sender_number, "the sender uses a number twice");
    w->sender_number = d->head.number;
    if (packet->to_group)
        return;
    uint32_t index = packet->to.bytes[1];
    bool stranger = packet->to.bytes[0] != 'R' || index >= w->scenario->receivers;
    if (!stranger && !mirror_address_is(&packet->to, &w->host[index].address))
        return; /* where somebody was, and had shown it */
    bool proven = !stranger && w->proven[index];
    uint64_t *sent = stranger ? &w->stranger_sent : &w->sent[index];
    uint64_t received = stranger ? w->stranger_received : w->received[index];
    *sent += packet->length;
    bool asks = d->head.header.type == DATAGRAM_CHALLENGE || d->head.header.type == DATAGRAM_UNKNOWN;
    world_check(w, proven || asks, "more than a challenge for who has shown no cookie");
    world_check(w, proven || *sent <= received, "more bytes for a stranger than the stranger sent");
}

void world_sender_sends(struct world *w, struct mirror_packet *packet)
{
    struct datagram d;
    struct mirror_address self = world_address('S', 0, 0);
    if (datagram_check(packet->bytes, packet->length, world_guard(w), &d) < 0) {
        world_breaks(w, "the sender sends what is no datagram");
        return;
    }
    look_at_sent(w, packet, &d);
    world_seal(w, w->sealing, &self, packet);
    struct flight head = world_flight(packet, &self);
    bool data = d.head.header.type == DATAGRAM_DATA;
    bool all_lose = packet->to_group && network_loses(&w->network, &w->shared);
    w->shared_lost += all_lose && data;
    for (uint32_t i = 0; i < w->scenario->receivers; i++) {
        struct host *host = &w->host[i];
        bool for_it = packet->to_group || mirror_address_is(&packet->to, &host->address);
        if (for_it && !all_lose)
            to_host(w, host, &head, packet->bytes, data);
        else if (for_it && data) {
            w->lost++;
            w->lost_bytes += d.slice_bytes;
        }
    }
}

static void world_wake_sender(struct world *w, uint64_t at_ns)
{
    if (at_ns >= w->sender_wakes_ns)
        return;
    w->sender_wakes_ns = at_ns;
    network_put(&w->network, (struct event){.at_ns = at_ns, .kind = EVENT_WAKES, .whom = SENDER});
}

/* How far any receiver ever was. */
static uint64_t furthest(struct world *w)
{
    if (w->first > w->furthest)
        w->furthest = w->first;
    for (uint32_t i = 0; i < w->scenario->receivers; i++) {
        const struct host *host = &w->host[i];
        uint64_t position = !host->has_begun && w->scenario->live ? w->end : host->position;
        if (position > w->furthest)
            w->furthest = position;
    }
    return w->furthest;
}

void world_pump_sender(struct world *w)
{
    uint64_t before = sender_position(w->sender);
    while (w->broken == NULL && sender_next(w->sender, w->network.now_ns, &w->packet) > 0)
        world_sender_sends(w, &w->packet);
    const struct sender_counters *counters = sender_counters(w->sender);
    uint64_t after = sender_position(w->sender);
    world_check(w, after <= before || after <= furthest(w) + w->scenario->window_bytes,
                "the sender is further ahead than a window");
    world_check(w, counters->repair_bytes <= w->asked_bytes, "more is repaired than was asked for");
    uint64_t wake = sender_wake_ns(w->sender);
    if (wake != UINT64_MAX)
        world_wake_sender(w, wake > w->network.now_ns ? wake : w->network.now_ns + 100);
}

/* A receiver that promises what it cannot hold. */
static void lie(struct world *w, struct host *host, struct mirror_packet *packet, struct datagram *d)
{
    if (!w->scenario->hostile || host->index != 0 || d->head.header.type != DATAGRAM_STATUS)
        return;
    struct datagram_status *status = mirror_packet_body(packet);
    uint64_t position = d->head.header.sequence;
    status->window_bytes = DATAGRAM_WINDOW_MAX;
    if (network_chance(&w->network, 100000))
        position += DATAGRAM_WINDOW_MAX;
    (void)datagram_finish(packet->bytes, DATAGRAM_STATUS, position, w->network.now_ns, d->head.number,
                          d->head.session, d->head.receiver, sizeof *status, world_guard(w));
}

static void host_sends(struct host *host, struct mirror_packet *packet)
{
    struct world *w = host->world;
    struct datagram d;
    if (datagram_check(packet->bytes, packet->length, world_guard(w), &d) < 0) {
        world_breaks(w, "a receiver sends what is no datagram");
        return;
    }
    world_check(w, d.head.number == host->number + 1, "a receiver uses a number twice");
    host->number = d.head.number;
    host->naks += d.head.header.type == DATAGRAM_NAK;
    lie(w, host, packet, &d);
    world_seal(w, host->sealing, &host->address, packet);
    struct flight head = world_flight(packet, &host->address);
    head.to = SENDER;
    if (is_cut(host) || (packet->to_group && network_loses(&w->network, &host->up)))
        return;
    struct link up = host->up;
    if (packet->to_group)
        up.loss = up.burst_begins = 0; /* it was not lost */
    (void)network_send(&w->network, packet->to_group ? &up : &host->up, w->network.now_ns, &head,
                       packet->bytes);
    for (uint32_t i = 0; packet->to_group && i < w->scenario->receivers; i++)
        if (i != host->index)
            to_host(w, &w->host[i], &head, packet->bytes, false);
}

void world_pump_host(struct host *host)
{
    struct world *w = host->world;
    if (host->receiver == NULL)
        return;
    if (receiver_state(host->receiver) == RECEIVER_DIVERGED)
        begin_anew(host);
    while (w->broken == NULL && receiver_next(host->receiver, w->network.now_ns, &w->packet) > 0)
        host_sends(host, &w->packet);
    host->duplicates = receiver_counters(host->receiver)->duplicates;
    uint64_t wake = receiver_wake_ns(host->receiver);
    if (wake != UINT64_MAX)
        world_wake_host(host, wake > w->network.now_ns ? wake : w->network.now_ns + 100);
}
