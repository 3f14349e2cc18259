#include "cli/feed/itch.h"

#include <inttypes.h>

#include "cli/feed/refusal.h"

static const uint64_t day_ns = 86400000000000;

/* Bytes of a message, and where its stock's name stands (0: it has none), by its type. */
static const struct kind {
    uint8_t length, stock;
} kinds[256] = {
    ['S'] = {12, 0},  ['R'] = {39, 11}, ['H'] = {25, 11}, ['Y'] = {20, 11}, ['L'] = {26, 15},
    ['V'] = {35, 0},  ['W'] = {12, 0},  ['K'] = {28, 11}, ['J'] = {35, 11}, ['h'] = {21, 11},
    ['A'] = {36, 24}, ['F'] = {40, 24}, ['E'] = {31, 0},  ['C'] = {36, 0},  ['X'] = {23, 0},
    ['D'] = {19, 0},  ['U'] = {35, 0},  ['P'] = {44, 24}, ['Q'] = {40, 19}, ['B'] = {19, 0},
    ['I'] = {50, 28}, ['N'] = {20, 11}, ['O'] = {48, 11},
};

const uint8_t *itch_stock(const uint8_t *message)
{
    uint8_t at = kinds[message[0]].stock;
    return at != 0 ? message + at : NULL;
}

/* At least so many bytes: 1; 0: fewer came before the end. */
static int await(struct source *source, size_t bytes, struct error_text *text)
{
    int rc = 1;
    while (rc > 0 && source_available(source) < bytes)
        rc = source_more(source, text);
    return rc;
}

static int refuse_type(const struct source *source, uint8_t type, struct error_text *text)
{
    if (type > ' ' && type < 0x7f)
        return feed_refuse(text, "byte %" PRIu64 ": ITCH 5.0 has no message of type '%c'", source->offset,
                           type);
    return feed_refuse(text, "byte %" PRIu64 ": ITCH 5.0 has no message of type 0x%02x", source->offset,
                       type);
}

static int refuse_end(const struct source *source, struct error_text *text)
{
    return feed_refuse(text, "byte %" PRIu64 ": an ITCH message is cut short by the end of the feed%s",
                       source->offset, source_has_grown(source) ? ", which still grows" : "");
}

static int check(const struct source *source, const uint8_t *message, struct error_text *text)
{
    uint8_t type = message[0];
    if (itch_time(message) >= day_ns)
        return feed_refuse(text,
                           "byte %" PRIu64 ": its time, %" PRIu64 " ns after midnight, is not of that day",
                           source->offset, itch_time(message));
    if ((type == 'A' || type == 'F') && message[19] != 'B' && message[19] != 'S')
        return feed_refuse(text,
                           "byte %" PRIu64 ": an order that neither buys nor sells (its side is 0x%02x)",
                           source->offset, message[19]);
    return 1;
}

int itch_next(struct itch *itch, const uint8_t **message, size_t *length, struct error_text *text)
{
    struct source *source = itch->source;
    source_take(source, itch->taken);
    itch->taken = 0;
    int rc = await(source, 3, text);
    if (rc < 0)
        return rc;
    size_t there = source_available(source), said = there < 2 ? 0 : itch_16(source_bytes(source));
    if (there == 0 || (there == 2 && said == 0))
        return 0;
    if (there < 3)
        return refuse_end(source, text);
    uint8_t type = source_bytes(source)[2];
    size_t due = kinds[type].length;
    if (due == 0)
        return refuse_type(source, type, text);
    if (said != 0 && said != due)
        return feed_refuse(text,
                           "byte %" PRIu64 ": a message of type '%c' has %zu bytes, and its length says %zu",
                           source->offset, type, due, said);
    if ((rc = await(source, 2 + due, text)) <= 0)
        return rc < 0 ? rc : refuse_end(source, text);
    *message = source_bytes(source) + 2;
    *length = due;
    itch->taken = 2 + due;
    return check(source, *message, text);
}
