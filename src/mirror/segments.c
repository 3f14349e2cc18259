#include "mirror/segments.h"

static bool go_together(const struct mirror_packet *one, const struct mirror_packet *other)
{
    return one->to_group == other->to_group && (one->to_group || mirror_address_is(&one->to, &other->to));
}

uint32_t segments_join(const struct mirror_packet *packets, uint32_t count)
{
    uint32_t joined = 1, each = packets[0].length, most = SEGMENTS_BYTES_MAX / each;
    most = most < SEGMENTS_JOINED_MAX ? most : SEGMENTS_JOINED_MAX;
    count = count < most ? count : most;
    while (joined < count && packets[joined - 1].length == each && packets[joined].length <= each &&
           go_together(&packets[0], &packets[joined]))
        joined++;
    return joined;
}

bool segments_next(struct segments *segments, const uint8_t **bytes, size_t *length)
{
    if (segments->left == 0 || segments->taken == SEGMENTS_SPLIT_MAX)
        return false;
    bool is_last = segments->each == 0 || segments->each > segments->left;
    *bytes = segments->bytes;
    *length = is_last ? segments->left : segments->each;
    segments->bytes += *length;
    segments->left -= *length;
    segments->taken++;
    return true;
}
