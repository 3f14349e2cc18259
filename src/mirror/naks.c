#include "mirror/naks.h"

#include "mirror/backoff.h"
#include "mirror/random.h"

enum { PATIENT_TRIES = 4, DOUBLINGS = 3, SILENT_DOUBLINGS = 8 };

static uint64_t group_backoff_ns(struct naks *naks)
{
    if (!naks->multicast || naks->receivers <= 1)
        return 0;
    uint64_t mean = naks->rtt.mean_ns == 0 ? RTT_FIRST_NS : naks->rtt.mean_ns;
    return backoff_ns(random_next(&naks->random), BACKOFF_ROUND_TRIPS * mean, naks->receivers);
}

uint64_t naks_first_due(struct naks *naks, uint64_t now_ns)
{
    return now_ns + naks->reorder_ns + group_backoff_ns(naks);
}

static bool asks_twice(const struct naks *naks)
{
    return !naks->multicast && naks->rtt.mean_ns >= NAKS_LONG_WAY_NS;
}

/* Losses are independent of one another, so the first tries are as close together as answers can come; who
 * gets none asks less often, and who hears nothing at all less and less. */
static uint64_t again_ns(struct naks *naks, uint64_t now_ns, uint64_t asked)
{
    uint64_t wait = rtt_overdue_ns(&naks->rtt) + naks->reorder_ns, apart = naks->rtt.mean_ns / 8;
    bool silent = now_ns - naks->heard_ns > 2 * wait;
    if (asks_twice(naks)) {
        if (asked % 2 == 1)
            return apart;
        asked /= 2;
        wait -= apart;
    }
    uint64_t doublings = asked <= PATIENT_TRIES ? 0 : asked - PATIENT_TRIES,
             most = silent ? SILENT_DOUBLINGS : DOUBLINGS;
    wait <<= doublings < most ? doublings : most;
    return (wait < NAKS_LATEST_NS ? wait : NAKS_LATEST_NS) + group_backoff_ns(naks);
}

void naks_noticed(struct naks *naks, struct gaps *gaps)
{
    uint64_t due_ns = gaps->count > 0 ? gaps_at(gaps, gaps->count - 1)->due_ns : UINT64_MAX;
    if (due_ns < naks->due_ns)
        naks->due_ns = due_ns;
}

void naks_closing(struct naks *naks, const struct gap *gap, uint64_t number, uint64_t now_ns)
{
    uint64_t late = now_ns - gap->noticed_ns;
    if (number > gap->number) {
        naks->reorder_ns -= naks->reorder_ns / 32; /* it was lost: waiting was in vain */
        return;
    }
    late += late / 4;
    uint64_t most = naks->rtt.mean_ns == 0 ? RTT_FIRST_NS : naks->rtt.mean_ns;
    if (late > naks->reorder_ns)
        naks->reorder_ns = late < most ? late : most;
}

void naks_overheard(struct naks *naks, struct gaps *gaps, const struct datagram_range *ranges, uint32_t count,
                    uint64_t now_ns)
{
    for (uint32_t r = 0; r < count; r++) {
        uint64_t end = ranges[r].position + ranges[r].bytes;
        uint32_t i = gaps_find(gaps, ranges[r].position);
        for (; i < gaps->count && gaps_at(gaps, i)->begin < end; i++) {
            struct gap *gap = gaps_at(gaps, i);
            if (gap->begin < ranges[r].position || gap->end > end)
                continue; /* not all of it was asked for */
            uint64_t due = now_ns + again_ns(naks, now_ns, ++gap->asked);
            if (due > gap->due_ns)
                gap->due_ns = due;
        }
    }
}

uint32_t naks_collect(struct naks *naks, struct gaps *gaps, uint64_t now_ns, struct datagram_range *ranges)
{
    uint64_t soon = now_ns + naks->rtt.mean_ns / 16;
    uint32_t count = 0, i = gaps_find(gaps, naks->resume);
    if (naks->resume == 0)
        naks->next_ns = UINT64_MAX;
    for (; i < gaps->count && count < DATAGRAM_RANGES_MAX; i++) {
        struct gap *gap = gaps_at(gaps, i);
        if (gap->due_ns <= soon) {
            ranges[count++] = (struct datagram_range){gap->begin, gap->end - gap->begin};
            gap->due_ns = now_ns + again_ns(naks, now_ns, ++gap->asked);
        }
        if (gap->due_ns < naks->next_ns)
            naks->next_ns = gap->due_ns;
    }
    naks->resume = i < gaps->count ? gaps_at(gaps, i)->begin : 0;
    naks->due_ns = naks->resume != 0 ? now_ns : naks->next_ns;
    return count;
}
