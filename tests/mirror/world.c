#include "mirror/world_parts.h"

#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"

/* Events that happen to the world, beside the scenario's actions. */
enum { WRITE = ACTIONS_MAX, STRANGER, BEGIN /* + host */ };

/* So long everything may take to come right, when nothing more happens. */
#define AFTER_ALL_NS 600000000000u
#define EVENTS_MAX 2000000u
#define STRANGER_EVERY_NS 700000u

static const uint8_t cookie_key[COOKIE_KEY_BYTES] = "sixteen bytes ..";

void world_breaks(struct world *w, const char *what)
{
    if (w->broken == NULL)
        w->broken = what;
}

void world_check(struct world *w, bool holds, const char *what)
{
    if (!holds)
        world_breaks(w, what);
}

struct mirror_address world_address(char kind, uint32_t index, uint32_t start)
{
    return (struct mirror_address){{(uint8_t)kind, (uint8_t)index, (uint8_t)start, (uint8_t)(start >> 8)}};
}

static bool world_is_complete(const struct host *host)
{
    return host->receiver != NULL && receiver_state(host->receiver) == RECEIVER_ENDED;
}

static void start_sender(struct world *w)
{
    const struct scenario *s = w->scenario;
    struct sender_config config = {
        .topic_id = TOPIC,
        .incarnation = s->seed * 100 + w->sender_starts + 1,
        .epoch = w->epochs,
        .epoch_position = w->epoch_begin[w->epochs],
        .first_position = w->first,
        .end_position = w->end,
        .multicast = s->multicast,
        .sealed = s->sealed,
        .congestion = s->congestion,
        .flow = s->flow,
        .group_tag = 1,
        .group_min = s->group_min,
        .receivers_max = s->multicast ? s->receivers + 2 : 1,
        .window_bytes = s->window_bytes,
        .bytes_per_s = s->bytes_per_s,
        .silence_ns = s->silence_ns,
        .seed = s->seed * 77 + w->sender_starts,
    };
    memcpy(config.cookie_key, cookie_key, sizeof cookie_key);
    struct mirror_source source = {w, world_log_bytes, world_log_epoch_end};
    if (w->sender != NULL)
        w->repair_bytes += sender_counters(w->sender)->repair_bytes;
    sender_close(w->sender);
    w->sender = NULL;
    if (sender_open(&w->sender, &config, &source) < 0)
        abort();
    w->sender_starts++;
    world_new_secret(w);
    w->sender_number = 0;
    w->asked_bytes = 0;
    w->sender_wakes_ns = UINT64_MAX;
    if (w->complete)
        sender_end(w->sender, w->network.now_ns);
}

static void count_received(struct world *w, const struct flight *flight)
{
    struct datagram d;
    bool good = datagram_check(flight->bytes, flight->length, world_guard(w), &d) == 0;
    for (uint32_t i = 0; good && d.head.header.type == DATAGRAM_NAK && i < d.ranges; i++)
        w->asked_bytes += d.nak.ranges[i].bytes;
    w->naks += good && d.head.header.type == DATAGRAM_NAK;
    if (flight->from[0] != 'R') {
        w->stranger_received += flight->length;
        return;
    }
    uint32_t index = flight->from[1];
    if (memcmp(flight->from, &w->host[index].address, sizeof flight->from) != 0)
        return;
    w->received[index] += flight->length;
    w->proven[index] |= good && d.head.header.type == DATAGRAM_JOIN && d.join.cookie != 0;
}

static void arrives_at_sender(struct world *w, struct flight *flight)
{
    struct mirror_address from;
    memcpy(&from, flight->from, sizeof from);
    count_received(w, flight);
    if (sender_receive(w->sender, w->network.now_ns, &from, flight->bytes, flight->length, &w->packet) > 0)
        world_sender_sends(w, &w->packet);
    world_pump_sender(w);
}

static void arrives(struct world *w, const struct event *event)
{
    struct flight *flight = event->flight;
    struct mirror_address from, to;
    memcpy(&from, flight->from, sizeof from);
    memcpy(&to, flight->address, sizeof to);
    if (event->whom == SENDER) {
        if (world_unseal(w, NULL, flight))
            arrives_at_sender(w, flight);
        return;
    }
    struct host *host = &w->host[event->whom];
    bool is_its = to.bytes[0] != 'R' || mirror_address_is(&to, &host->address);
    if (host->receiver == NULL || !is_its || !world_unseal(w, host, flight))
        return;
    if (host->overflowed)
        receiver_overflowed(host->receiver, w->network.now_ns);
    host->overflowed = false;
    (void)receiver_receive(host->receiver, w->network.now_ns, &from, flight->bytes, flight->length);
    world_pump_host(host);
}

/* Somebody sends what it likes, under an address where nobody answers. */
static void stranger(struct world *w)
{
    struct mirror_packet *packet = &w->packet;
    uint64_t *random = &w->network.random;
    struct mirror_address from = world_address('X', (uint32_t)random_below(random, 4), 0);
    struct datagram_join *join = mirror_packet_body(packet);
    *join = (struct datagram_join){.protocol = DATAGRAM_PROTOCOL,
                                   .topic_id = TOPIC,
                                   .window_bytes = 65536,
                                   .nonce = random_next(random),
                                   .cookie = random_next(random)};
    packet->length = datagram_finish(packet->bytes, DATAGRAM_JOIN, 0, w->network.now_ns, 1, 0, 0,
                                     sizeof *join, DATAGRAM_GUARDED_BY_CRC);
    packet->to = world_address('S', 0, 0);
    packet->to_group = false;
    struct flight head = world_flight(packet, &from);
    head.to = SENDER;
    if (network_chance(&w->network, 300000))
        head.length = (uint32_t)random_below(random, head.length + 1);
    struct link free_link = {.delay_ns = 1000, .corrupt = 300000};
    if (head.length > 0)
        (void)network_send(&w->network, &free_link, w->network.now_ns, &head, packet->bytes);
    head.to = (uint32_t)random_below(random, w->scenario->receivers);
    head.address[0] = 'G';
    if (head.length > 0)
        (void)network_send(&w->network, &free_link, w->network.now_ns, &head, packet->bytes);
    world_replay(w);
    if (!w->complete)
        network_put(&w->network, (struct event){.at_ns = w->network.now_ns + STRANGER_EVERY_NS,
                                                .kind = EVENT_HAPPENS,
                                                .whom = STRANGER});
}

static void log_grew(struct world *w)
{
    uint64_t keep = w->scenario->keep_bytes;
    if (keep > 0 && w->end > keep && w->end - keep > w->first)
        w->first = w->end - keep;
    sender_log(w->sender, w->first, w->end);
    if (w->complete)
        sender_end(w->sender, w->network.now_ns);
    world_pump_sender(w);
}

static void heal(struct link *link)
{
    link->in_burst = false;
    link->burst_begins = 0;
}

/* All has been written, and all has happened: now it has to come right, so bursts that last longer than
 * anybody is silent come to an end. */
static void is_over(struct world *w)
{
    w->complete = true;
    heal(&w->shared);
    for (uint32_t i = 0; i < w->scenario->receivers; i++) {
        heal(&w->host[i].down);
        heal(&w->host[i].up);
    }
}

static void write_more(struct world *w)
{
    const struct scenario *s = w->scenario;
    uint64_t left = s->log_bytes > w->end ? s->log_bytes - w->end : 0;
    w->end += s->write_bytes < left ? s->write_bytes : left;
    bool over = true;
    for (uint32_t i = 0; i < s->actions; i++)
        over &= s->action[i].at_ns + s->action[i].lasts_ns < w->network.now_ns;
    if (over && w->end >= s->log_bytes)
        is_over(w);
    log_grew(w);
    if (!w->complete)
        network_put(&w->network, (struct event){.at_ns = w->network.now_ns + s->write_every_ns,
                                                .kind = EVENT_HAPPENS,
                                                .whom = WRITE});
}

static void new_epoch(struct world *w, uint32_t cut_bytes)
{
    uint64_t low = w->epoch_begin[w->epochs] > w->first ? w->epoch_begin[w->epochs] : w->first;
    uint64_t cut = w->end > cut_bytes && w->end - cut_bytes > low ? w->end - cut_bytes : low;
    w->epoch_begin[++w->epochs] = cut;
    w->end = cut;
    sender_epoch(w->sender, w->network.now_ns, w->epochs, cut);
    world_pump_sender(w);
}

static void happens(struct world *w, uint32_t what)
{
    if (what == WRITE) {
        write_more(w);
    } else if (what == STRANGER) {
        stranger(w);
    } else if (what >= BEGIN) {
        world_start_receiver(&w->host[what - BEGIN]);
    } else {
        const struct action *action = &w->scenario->action[what];
        struct host *host = &w->host[action->whom % w->scenario->receivers];
        if (action->kind == PARTITION)
            host->cut_until_ns = w->network.now_ns + action->lasts_ns;
        else if (action->kind == RESTART_RECEIVER && host->receiver != NULL)
            world_start_receiver(host);
        else if (action->kind == RESTART_SENDER)
            start_sender(w);
        else if (action->kind == NEW_EPOCH)
            new_epoch(w, action->cut_bytes);
    }
}

static void handle(struct world *w, const struct event *event)
{
    if (event->kind == EVENT_ARRIVES) {
        arrives(w, event);
    } else if (event->kind == EVENT_HAPPENS) {
        happens(w, event->whom);
    } else if (event->whom == SENDER) {
        if (event->at_ns != w->sender_wakes_ns)
            return; /* it was woken earlier */
        w->sender_wakes_ns = UINT64_MAX;
        world_pump_sender(w);
    } else {
        struct host *host = &w->host[event->whom];
        if (event->at_ns != host->wakes_ns)
            return;
        host->wakes_ns = UINT64_MAX;
        world_pump_host(host);
    }
}

static bool all_complete(const struct world *w)
{
    if (!w->complete)
        return false;
    for (uint32_t i = 0; i < w->scenario->receivers; i++)
        if (!world_is_complete(&w->host[i]))
            return false;
    return true;
}

static void begin(struct world *w, const struct scenario *s)
{
    w->scenario = s;
    w->network = (struct network){.random = s->seed ^ 0x5eed};
    w->epochs = 1;
    w->shared = s->shared;
    start_sender(w);
    for (uint32_t i = 0; i < s->receivers; i++) {
        struct host *host = &w->host[i];
        uint64_t slots = s->log_bytes / 64 + ACTIONS_MAX * 64;
        *host = (struct host){
            .world = w, .index = i, .address = world_address('R', i, 0), .down = s->down, .up = s->up};
        host->wakes_ns = UINT64_MAX;
        host->slots = calloc(slots, 1);
        if (host->slots == NULL)
            abort();
        uint64_t at_ns = s->late ? random_below(&w->network.random,
                                                s->write_every_ns * (s->log_bytes / s->write_bytes + 1))
                                 : 0;
        network_put(&w->network, (struct event){.at_ns = at_ns, .kind = EVENT_HAPPENS, .whom = BEGIN + i});
    }
    network_put(&w->network,
                (struct event){.at_ns = s->write_every_ns, .kind = EVENT_HAPPENS, .whom = WRITE});
    for (uint32_t i = 0; i < s->actions; i++)
        network_put(&w->network,
                    (struct event){.at_ns = s->action[i].at_ns, .kind = EVENT_HAPPENS, .whom = i});
    if (s->hostile)
        network_put(&w->network, (struct event){.at_ns = 1, .kind = EVENT_HAPPENS, .whom = STRANGER});
}

static uint64_t latest_ns(const struct scenario *s)
{
    uint64_t latest = s->write_every_ns * (s->log_bytes / s->write_bytes + 1);
    for (uint32_t i = 0; i < s->actions; i++)
        latest += s->action[i].lasts_ns + s->write_every_ns * s->action[i].cut_bytes / s->write_bytes;
    return latest + AFTER_ALL_NS;
}

bool world_run(struct world *w, const struct scenario *s)
{
    struct event event;
    begin(w, s);
    uint64_t latest = latest_ns(s);
    while (w->broken == NULL && !all_complete(w)) {
        if (!network_take(&w->network, &event) || event.at_ns > latest || ++w->events > EVENTS_MAX) {
            world_breaks(w, "it goes on for ever: some receiver never has everything");
            break;
        }
        handle(w, &event);
        free(event.flight);
    }
    w->ended_ns = w->network.now_ns;
    for (uint32_t i = 0; w->broken == NULL && i < s->receivers; i++)
        world_check_copy(&w->host[i]);
    w->repair_bytes += sender_counters(w->sender)->repair_bytes;
    w->repairs = sender_counters(w->sender)->repairs;
    world_check(w, receiver_memory() <= 256 * 1024,
                "a receiver needs more memory beyond its window than promised");
    world_check(w, !scenario_is_exact(s) || w->repair_bytes <= w->lost_bytes,
                "more is repaired than was lost");
    return w->broken == NULL;
}

void world_free(struct world *w)
{
    network_free(&w->network);
    world_forget_secrets(w);
    sender_close(w->sender);
    for (uint32_t i = 0; i < w->scenario->receivers; i++) {
        receiver_close(w->host[i].receiver);
        free(w->host[i].slots);
    }
}
