#include "mirror/network.h"

#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"

static bool comes_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void network_put(struct network *n, struct event event)
{
    event.order = n->order++;
    if (n->count == n->room) {
        n->room = n->room == 0 ? 1024 : 2 * n->room;
        n->heap = realloc(n->heap, n->room * sizeof *n->heap);
        if (n->heap == NULL)
            abort();
    }
    uint32_t i = n->count++;
    for (; i > 0 && comes_before(&event, &n->heap[(i - 1) / 2]); i = (i - 1) / 2)
        n->heap[i] = n->heap[(i - 1) / 2];
    n->heap[i] = event;
}

bool network_take(struct network *n, struct event *event)
{
    if (n->count == 0)
        return false;
    *event = n->heap[0];
    struct event last = n->heap[--n->count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < n->count; i = child) {
        if (child + 1 < n->count && comes_before(&n->heap[child + 1], &n->heap[child]))
            child++;
        if (!comes_before(&n->heap[child], &last))
            break;
        n->heap[i] = n->heap[child];
    }
    n->heap[i] = last;
    n->now_ns = event->at_ns;
    return true;
}

void network_free(struct network *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        free(n->heap[i].flight);
    free(n->heap);
    *n = (struct network){0};
}

bool network_chance(struct network *n, uint32_t millionths)
{
    return millionths > 0 && random_below(&n->random, 1000000) < millionths;
}

bool network_loses(struct network *n, struct link *link)
{
    if (network_chance(n, link->in_burst ? link->burst_ends : link->burst_begins))
        link->in_burst = !link->in_burst;
    return link->in_burst || network_chance(n, link->loss);
}

static void arrive(struct network *n, struct link *link, uint64_t at_ns, const struct flight *head,
                   const uint8_t *bytes)
{
    struct flight *flight = malloc(sizeof *flight + head->length);
    if (flight == NULL)
        abort();
    *flight = *head;
    memcpy(flight->bytes, bytes, head->length);
    if (network_chance(n, link->corrupt))
        flight->bytes[random_below(&n->random, head->length)] ^= (uint8_t)(1u << random_below(&n->random, 8));
    if (link->jitter_ns > 0)
        at_ns += random_below(&n->random, link->jitter_ns);
    network_put(n, (struct event){.at_ns = at_ns, .kind = EVENT_ARRIVES, .whom = head->to, .flight = flight});
}

enum fate network_send(struct network *n, struct link *link, uint64_t start_ns, const struct flight *head,
                       const uint8_t *bytes)
{
    uint64_t leaves = start_ns > link->free_ns ? start_ns : link->free_ns;
    if (link->bytes_per_s > 0) {
        if (leaves - start_ns > link->queue_ns)
            return FATE_DROPPED;
        leaves += (head->length + 28ull) * 1000000000u / link->bytes_per_s;
        link->free_ns = leaves;
    }
    if (network_loses(n, link))
        return FATE_LOST;
    arrive(n, link, leaves + link->delay_ns, head, bytes);
    if (network_chance(n, link->duplicate))
        arrive(n, link, leaves + link->delay_ns, head, bytes);
    return FATE_ARRIVES;
}
