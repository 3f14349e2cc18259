#include "cli/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "hermes/error.h"

enum { LINE_MAX_BYTES = 65536, LOCATES = 65536 };

/* ITCH orders that are open, for the top of the book. */
struct book_order {
    uint64_t reference; /* 0: free */
    int64_t price;
    uint32_t shares;
    uint16_t locate;
    char side;
};

struct feed {
    enum feed_kind kind;
    gzFile file;
    const char *path;
    int time_column;
    uint64_t records;
    uint8_t buffer[LINE_MAX_BYTES + 2];
    struct book_order *orders; /* open addressing, by reference */
    size_t order_room;
    char (*symbols)[8];
    uint64_t left; /* generated */
    uint64_t random;
    quote_t generated;
};

int feed_open(const char *path, int time_column, uint64_t generate, struct feed **out)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return HERMES_ENOMEM;
    feed->time_column = time_column;
    feed->path = path;
    if (path == NULL) {
        feed->kind = FEED_GENERATED;
        feed->left = generate;
        feed->random = 0x9E3779B97F4A7C15u;
        feed->generated = (quote_t){"HRMS    ", 1000000, 1000200, 300, 300, 34200000000000u};
        *out = feed;
        return 0;
    }
    feed->file = gzopen(path, "rb");
    if (feed->file == NULL) {
        fprintf(stderr, "hermes: %s: %s\n", path, strerror(errno));
        free(feed);
        return HERMES_ENOTFOUND;
    }
    /* ITCH begins with the high byte of a length below 256; no text begins with a zero byte. */
    int first = gzgetc(feed->file);
    feed->kind = first == 0 ? FEED_ITCH : FEED_CSV;
    if (first >= 0)
        gzungetc(first, feed->file);
    *out = feed;
    return 0;
}

void feed_close(struct feed *feed)
{
    if (feed->file != NULL)
        gzclose(feed->file);
    free(feed->orders);
    free(feed->symbols);
    free(feed);
}

static int malformed(const struct feed *feed, const char *what)
{
    fprintf(stderr, "hermes: %s: record %llu: %s\n", feed->path, (unsigned long long)feed->records + 1, what);
    return HERMES_EMALFORMED;
}

/* ---- records ---- */

static uint64_t big_endian(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | *p++;
    return value;
}

/* Bytes of an ITCH 5.0 message by its type; 0: no such type. */
static unsigned itch_length(uint8_t type)
{
    static const uint8_t lengths[128] = {
        ['S'] = 12, ['R'] = 39, ['H'] = 25, ['Y'] = 20, ['L'] = 26, ['V'] = 35, ['W'] = 12, ['K'] = 28,
        ['J'] = 35, ['h'] = 21, ['A'] = 36, ['F'] = 40, ['E'] = 31, ['C'] = 36, ['X'] = 23, ['D'] = 19,
        ['U'] = 35, ['P'] = 44, ['Q'] = 40, ['B'] = 19, ['I'] = 50, ['N'] = 20, ['O'] = 48,
    };
    return type < 128 ? lengths[type] : 0;
}

static int next_itch(struct feed *feed, struct feed_record *record)
{
    uint8_t prefix[3];
    int got = gzread(feed->file, prefix, 3);
    if (got == 0)
        return 0;
    /* Some recorders leave the length at 0: then the type tells it. */
    unsigned length = (unsigned)big_endian(prefix, 2);
    if (length == 0)
        length = itch_length(prefix[2]);
    if (got != 3 || length < 11)
        return malformed(feed, "not an ITCH 5.0 message");
    feed->buffer[0] = prefix[2];
    if (gzread(feed->file, feed->buffer + 1, length - 1) != (int)length - 1)
        return malformed(feed, "an ITCH message is cut short");
    feed->records++;
    *record = (struct feed_record){feed->buffer, length, true, big_endian(feed->buffer + 5, 6)};
    return 1;
}

/* Seconds with a fraction in column number `column` of a line. */
static bool column_time(const char *line, int column, uint64_t *time_ns)
{
    while (--column > 0) {
        line = strchr(line, ',');
        if (line == NULL)
            return false;
        line++;
    }
    char *end;
    uint64_t seconds = strtoull(line, &end, 10), nanoseconds = 0;
    if (end == line)
        return false;
    if (*end == '.') {
        uint64_t unit = 100000000;
        for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
            nanoseconds += (uint64_t)(*end - '0') * unit;
    }
    *time_ns = seconds * 1000000000u + nanoseconds;
    return *end == ',' || *end == 0;
}

static int next_line(struct feed *feed, struct feed_record *record)
{
    char *line = (char *)feed->buffer;
    if (gzgets(feed->file, line, LINE_MAX_BYTES) == NULL) {
        int number;
        (void)gzerror(feed->file, &number);
        return number != Z_OK && number != Z_STREAM_END ? malformed(feed, "cannot be read") : 0;
    }
    size_t length = strlen(line);
    if (length == LINE_MAX_BYTES - 1 && line[length - 1] != '\n')
        return malformed(feed, "a line of more than 65,534 bytes");
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = 0;
    if (feed->time_column < 0) {
        const char *point = strchr(line, '.'), *comma = strchr(line, ',');
        uint64_t ignored;
        feed->time_column = point != NULL && comma != NULL && point < comma && column_time(line, 1, &ignored);
    }
    *record = (struct feed_record){feed->buffer, length, feed->time_column > 0, 0};
    if (record->timed && !column_time(line, feed->time_column, &record->time_ns)) {
        if (feed->records > 0) /* the first line may be a heading */
            return malformed(feed, "no time in the time column");
        record->timed = false;
    }
    feed->records++;
    return 1;
}

int feed_next(struct feed *feed, struct feed_record *record)
{
    return feed->kind == FEED_ITCH ? next_itch(feed, record) : next_line(feed, record);
}

/* ---- quotes ---- */

/* The slot of an order, or the free one where it would go; grows at half full. */
static struct book_order *find_order(struct feed *feed, uint64_t reference)
{
    if (feed->orders == NULL) {
        feed->order_room = 1 << 16;
        feed->orders = calloc(feed->order_room, sizeof *feed->orders);
        feed->symbols = calloc(LOCATES, sizeof *feed->symbols);
        if (feed->orders == NULL || feed->symbols == NULL)
            return NULL;
    }
    size_t at = (size_t)(reference * 0x9E3779B97F4A7C15u) & (feed->order_room - 1);
    for (size_t tries = 0; tries < feed->order_room / 2; tries++, at = (at + 1) & (feed->order_room - 1))
        if (feed->orders[at].reference == reference || feed->orders[at].reference == 0)
            return &feed->orders[at];
    return NULL;
}

static void add_order(struct feed *feed, uint64_t reference, char side, uint32_t shares, int64_t price,
                      uint16_t locate)
{
    struct book_order *order = find_order(feed, reference);
    if (order != NULL)
        *order = (struct book_order){reference, price, shares, locate, side};
}

static void reduce_order(struct feed *feed, uint64_t reference, uint32_t shares)
{
    struct book_order *order = find_order(feed, reference);
    if (order != NULL && order->reference == reference)
        order->shares -= shares < order->shares ? shares : order->shares; /* 0: dead, its slot stays taken */
}

/* Field offsets: Nasdaq TotalView-ITCH 5.0, sections 1.2 to 1.4. */
static void apply_itch(struct feed *feed, const uint8_t *m, size_t length)
{
    uint16_t locate = (uint16_t)big_endian(m + 1, 2);
    if ((m[0] == 'A' || m[0] == 'F') && length >= 36) {
        add_order(feed, big_endian(m + 11, 8), (char)m[19], (uint32_t)big_endian(m + 20, 4),
                  (int64_t)big_endian(m + 32, 4), locate);
        if (feed->symbols != NULL)
            memcpy(feed->symbols[locate], m + 24, 8);
    } else if ((m[0] == 'E' || m[0] == 'C' || m[0] == 'X') && length >= 23) {
        reduce_order(feed, big_endian(m + 11, 8), (uint32_t)big_endian(m + 19, 4));
    } else if (m[0] == 'D' && length >= 19) {
        reduce_order(feed, big_endian(m + 11, 8), UINT32_MAX);
    } else if (m[0] == 'U' && length >= 35) {
        uint64_t old = big_endian(m + 11, 8);
        struct book_order *order = find_order(feed, old);
        char side = order != NULL && order->reference == old ? order->side : 'B';
        reduce_order(feed, old, UINT32_MAX);
        add_order(feed, big_endian(m + 19, 8), side, (uint32_t)big_endian(m + 27, 4),
                  (int64_t)big_endian(m + 31, 4), locate);
    } else if (m[0] == 'R' && length >= 19 && find_order(feed, 1) != NULL) {
        memcpy(feed->symbols[locate], m + 11, 8);
    }
}

static void top_of_book(const struct feed *feed, uint16_t locate, quote_t *quote)
{
    for (size_t i = 0; i < feed->order_room; i++) {
        const struct book_order *order = &feed->orders[i];
        if (order->shares == 0 || order->locate != locate)
            continue;
        bool bid = order->side == 'B';
        int64_t *best = bid ? &quote->bid_price : &quote->ask_price;
        uint32_t *size = bid ? &quote->bid_size : &quote->ask_size;
        if (*best == 0 || (bid ? order->price > *best : order->price < *best)) {
            *best = order->price;
            *size = 0;
        }
        if (order->price == *best)
            *size += order->shares;
    }
}

static int quote_from_csv(const struct feed *feed, const struct feed_record *record, quote_t *quote)
{
    int64_t v[4];
    const char *at = (const char *)record->bytes;
    if (record->timed && (at = strchr(at, ',')) != NULL)
        at++;
    for (int i = 0; i < 4; i++) {
        char *end = NULL;
        v[i] = at == NULL ? 0 : strtoll(at, &end, 10);
        if (at == NULL || end == at || (i < 3 ? *end != ',' : *end != 0))
            return malformed(feed, "a quote is ask price, ask size, bid price, bid size");
        at = end + 1;
    }
    *quote = (quote_t){"AAPL    ", v[2], v[0], (uint32_t)v[3], (uint32_t)v[1], record->time_ns};
    return 1;
}

/* xorshift64 (Marsaglia, 2003): the same feed at every run. */
static uint64_t random_below(struct feed *feed, uint64_t bound)
{
    feed->random ^= feed->random << 13;
    feed->random ^= feed->random >> 7;
    feed->random ^= feed->random << 17;
    return feed->random % bound;
}

/* A book whose mid walks by ticks, whose spread breathes between one and five, whose sizes are skewed. */
static int generate(struct feed *feed, quote_t *quote)
{
    if (feed->left == 0)
        return 0;
    feed->left--;
    quote_t *q = &feed->generated;
    uint64_t what = random_below(feed, 100);
    if (what < 15) {
        int64_t step = random_below(feed, 2) == 0 ? 100 : -100;
        if (q->bid_price + step > 10000) {
            q->bid_price += step;
            q->ask_price += step;
        }
    } else if (what < 30) {
        int64_t spread = 100 * (int64_t)(1 + random_below(feed, 5));
        q->ask_price = q->bid_price + spread;
    } else if (what < 65) {
        q->bid_size = (uint32_t)(100 * (1 + random_below(feed, 4) * random_below(feed, 10)));
    } else {
        q->ask_size = (uint32_t)(100 * (1 + random_below(feed, 4) * random_below(feed, 10)));
    }
    q->feed_time_ns += 20000 + random_below(feed, 200000);
    *quote = *q;
    return 1;
}

int feed_next_quote(struct feed *feed, quote_t *quote, bool *timed)
{
    *timed = true;
    if (feed->kind == FEED_GENERATED)
        return generate(feed, quote);
    struct feed_record record;
    int rc = feed_next(feed, &record);
    if (rc <= 0)
        return rc;
    *timed = record.timed;
    if (feed->kind == FEED_CSV)
        return quote_from_csv(feed, &record, quote);
    uint16_t locate = (uint16_t)big_endian(record.bytes + 1, 2);
    apply_itch(feed, record.bytes, record.length);
    *quote = (quote_t){.feed_time_ns = record.time_ns};
    if (feed->orders != NULL) {
        memcpy(quote->symbol, feed->symbols[locate], 8);
        top_of_book(feed, locate, quote);
    }
    return 1;
}
