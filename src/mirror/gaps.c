#include "mirror/gaps.h"

bool gaps_append(struct gaps *gaps, const struct gap *gap)
{
    if (gaps->count == GAPS_MAX)
        return false;
    *gaps_at(gaps, gaps->count++) = *gap;
    return true;
}

uint32_t gaps_find(struct gaps *gaps, uint64_t position)
{
    uint32_t low = 0, high = gaps->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gaps_at(gaps, middle)->end > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void take_out(struct gaps *gaps, uint32_t index)
{
    if (index < gaps->count / 2) {
        for (uint32_t i = index; i > 0; i--)
            *gaps_at(gaps, i) = *gaps_at(gaps, i - 1);
        gaps->first = (gaps->first + 1) % GAPS_MAX;
    } else {
        for (uint32_t i = index; i + 1 < gaps->count; i++)
            *gaps_at(gaps, i) = *gaps_at(gaps, i + 1);
    }
    gaps->count--;
}

/* Makes two of one: index and index + 1. */
static void double_up(struct gaps *gaps, uint32_t index)
{
    gaps->count++;
    if (index < gaps->count / 2) {
        gaps->first = (gaps->first + GAPS_MAX - 1) % GAPS_MAX;
        for (uint32_t i = 0; i <= index; i++)
            *gaps_at(gaps, i) = *gaps_at(gaps, i + 1);
    } else {
        for (uint32_t i = gaps->count - 1; i > index; i--)
            *gaps_at(gaps, i) = *gaps_at(gaps, i - 1);
    }
}

int64_t gaps_close(struct gaps *gaps, uint64_t begin, uint64_t end)
{
    int64_t closed = 0;
    uint32_t index = gaps_find(gaps, begin);
    while (index < gaps->count && gaps_at(gaps, index)->begin < end) {
        struct gap *gap = gaps_at(gaps, index);
        uint64_t from = gap->begin > begin ? gap->begin : begin, to = gap->end < end ? gap->end : end;
        if (from > gap->begin && to < gap->end) {
            if (gaps->count == GAPS_MAX)
                return -1;
            double_up(gaps, index);
            gaps_at(gaps, index)->end = from;
            gaps_at(gaps, ++index)->begin = to;
        } else if (from > gap->begin) {
            gap->end = from;
            index++;
        } else if (to < gap->end) {
            gap->begin = to;
        } else {
            take_out(gaps, index);
        }
        closed += (int64_t)(to - from);
    }
    return closed;
}
