#include "mirror/world_parts.h"

#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"

static uint64_t word_at(const struct world *w, uint64_t position)
{
    uint64_t state = w->scenario->seed ^ position * 0x9E3779B97F4A7C15u;
    return random_next(&state);
}

static uint32_t world_epoch_at(const struct world *w, uint64_t position)
{
    uint32_t epoch = w->epochs;
    while (epoch > 1 && position < w->epoch_begin[epoch])
        epoch--;
    return epoch;
}

bool world_log_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    struct world *w = context;
    world_check(w, position + length <= w->end, "the sender reads behind the end of the log");
    if (position < w->first) {
        *first = w->first;
        return false;
    }
    for (uint64_t at = position; at < position + length; at += 8, to += 8) {
        uint64_t word = word_at(w, at) ^ world_epoch_at(w, at);
        memcpy(to, &word, sizeof word);
    }
    return true;
}

uint64_t world_log_epoch_end(void *context, uint32_t epoch)
{
    struct world *w = context;
    return epoch >= w->epochs ? UINT64_MAX : w->epoch_begin[epoch + 1];
}

/* Of which epoch are these 64 bytes? SLOT_NOTHING: they are not of the log. */
static uint8_t slot_epoch(const struct world *w, uint64_t position, const uint8_t *bytes)
{
    uint64_t epoch = 0;
    for (uint64_t at = 0; at < 64; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word ^= word_at(w, position + at);
        if (word == 0 || word > EPOCHS_MAX || (at > 0 && word != epoch))
            return SLOT_NOTHING;
        epoch = word;
    }
    return (uint8_t)epoch;
}

static void begin_at(struct host *host, uint64_t position)
{
    if (!host->has_begun)
        host->begin = host->position = position;
    host->has_begun = true;
}

static uint64_t sink_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    struct host *host = context;
    struct world *w = host->world;
    begin_at(host, position);
    world_check(w, position == host->position, "bytes are delivered that do not follow those before");
    world_check(w, length % 64 == 0 && position + length <= w->scenario->log_bytes + 64 * ACTIONS_MAX * 64,
                "bytes behind the end of the log");
    if (w->broken != NULL)
        return length;
    for (uint64_t at = 0; at < length; at += 64) {
        uint8_t epoch = slot_epoch(w, position + at, bytes + at);
        world_check(w, epoch != SLOT_NOTHING, "bytes are delivered that never stood in the log");
        host->slots[(position + at) / 64] = epoch;
    }
    host->position = position + length;
    host->delivered_ns = w->network.now_ns;
    if (w->delivered != NULL)
        w->delivered(w, host, position, length);
    return length;
}

static void sink_lost(void *context, uint64_t position, uint64_t length)
{
    struct host *host = context;
    struct world *w = host->world;
    begin_at(host, position);
    world_check(w, position == host->position && position + length <= w->first,
                "what is said to be lost exists");
    if (w->broken != NULL)
        return;
    memset(host->slots + position / 64, SLOT_LOST, length / 64);
    host->position = position + length;
}

static void sink_epoch(void *context, uint64_t position, uint32_t epoch)
{
    struct host *host = context;
    struct world *w = host->world;
    world_check(w, epoch <= w->epochs && epoch > host->epoch, "an epoch is told that does not come next");
    if (w->broken != NULL)
        return;
    uint64_t begins = w->epoch_begin[epoch];
    world_check(w, !host->has_begun || position == (begins > host->position ? begins : host->position),
                "an epoch is told where it does not begin");
    host->epoch = epoch;
}

const struct mirror_sink world_sink = {NULL, sink_bytes, sink_lost, sink_epoch};

bool world_differs(const struct host *host)
{
    const struct world *w = host->world;
    bool differs = host->position > w->end || !host->has_begun;
    for (uint64_t at = host->begin; at < host->position && !differs; at += 64)
        differs = host->slots[at / 64] != SLOT_LOST && host->slots[at / 64] != world_epoch_at(w, at);
    return differs;
}

void world_check_copy(struct host *host)
{
    struct world *w = host->world;
    world_check(w, !host->has_begun || host->position == w->end, "a receiver that ended has not everything");
    for (uint64_t at = host->begin; at < host->position; at += 64)
        if (host->slots[at / 64] != SLOT_LOST)
            world_check(w, host->slots[at / 64] == world_epoch_at(w, at),
                        "a receiver has bytes that were cut off the log");
}
