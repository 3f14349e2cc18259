#include "mirror/receiver.h"

#include <stdlib.h>

#include "mirror/random.h"
#include "mirror/receiver_state.h"

enum {
    WINDOW_MIN = 65536,
    WINDOW_FLOOR = 8192, /* overflows make it no smaller */
};

#define SILENCE_NS 1000000000u

void receiver_join(struct receiver *r, uint64_t now_ns)
{
    r->state = RECEIVER_JOINING;
    r->session = r->receiver = 0;
    r->cookie = 0;
    r->joins_sent = 0;
    r->nonce = random_next(&r->random);
    r->join_due_ns = now_ns;
    r->join_wait_ns = JOIN_FIRST_NS;
}

int receiver_open(struct receiver **receiver, const struct receiver_config *config,
                  const struct mirror_sink *sink)
{
    uint64_t window = config->window_bytes;
    bool good = window >= WINDOW_MIN && window <= DATAGRAM_WINDOW_MAX && (window & (window - 1)) == 0 &&
                (config->position == DATAGRAM_LIVE ||
                 (config->position <= DATAGRAM_POSITION_MAX && config->position % DATAGRAM_SLOT_BYTES == 0));
    if (!good)
        return HERMES_EINVALID;
    struct receiver *r = calloc(1, sizeof *r);
    uint8_t *staging = malloc(window);
    if (r == NULL || staging == NULL) {
        free(r);
        free(staging);
        return HERMES_ENOMEM;
    }
    r->config = *config;
    r->sink = *sink;
    r->random = config->seed;
    r->topic_id = config->known_topic_id;
    r->naks = (struct naks){
        .multicast = config->multicast, .random = random_next(&r->random), .due_ns = UINT64_MAX};
    if (r->config.silence_ns == 0)
        r->config.silence_ns = SILENCE_NS;
    r->window_bytes = window;
    r->image.sink = &r->sink;
    r->image.staging = staging;
    r->image.window_bytes = window;
    image_start(&r->image, config->position, config->epoch);
    receiver_join(r, 0);
    *receiver = r;
    return HERMES_OK;
}

void receiver_close(struct receiver *receiver)
{
    if (receiver == NULL)
        return;
    free(receiver->image.staging);
    free(receiver);
}

void receiver_overflowed(struct receiver *r, uint64_t now_ns)
{
    uint64_t half = r->window_bytes / 2 / DATAGRAM_SLOT_BYTES * DATAGRAM_SLOT_BYTES;
    r->window_bytes = half > WINDOW_FLOOR ? half : WINDOW_FLOOR;
    r->overflowed = true;
    r->counters.overflows++;
    r->status_due_ns = now_ns;
}

void receiver_leave(struct receiver *r, uint64_t now_ns)
{
    if (!receiver_is_joined(r)) {
        r->state = RECEIVER_LEFT;
        return;
    }
    r->leaving = true;
    r->status_due_ns = now_ns;
}

void receiver_return(struct receiver *r, uint64_t now_ns)
{
    r->leaving = false;
    receiver_join(r, now_ns);
}

enum receiver_state receiver_state(const struct receiver *r)
{
    return r->state;
}

uint64_t receiver_position(const struct receiver *r)
{
    return r->image.position;
}

uint64_t receiver_announced(const struct receiver *r)
{
    return r->image.announced;
}

uint64_t receiver_topic_id(const struct receiver *r)
{
    return r->topic_id;
}

uint64_t receiver_rtt_ns(const struct receiver *r)
{
    return r->naks.rtt.mean_ns;
}

const struct receiver_counters *receiver_counters(const struct receiver *r)
{
    return &r->counters;
}

size_t receiver_memory(void)
{
    return sizeof(struct receiver);
}
