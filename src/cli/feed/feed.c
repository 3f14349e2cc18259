#include "cli/feed/feed.h"

#include <stdlib.h>

#include "cli/feed/refusal.h"

/* A symbol as ITCH has it: 8 bytes, padded with blanks. */
static bool is_symbol(const uint8_t *padded, const char *symbol)
{
    size_t length = strlen(symbol);
    if (length > 8 || memcmp(padded, symbol, length) != 0)
        return false;
    for (; length < 8; length++)
        if (padded[length] != ' ')
            return false;
    return true;
}

/* ---- what it is ---- */

/* Of a text in UTF-16 or UTF-32, with its mark. */
static bool has_wide_mark(const uint8_t *bytes, size_t length)
{
    return length >= 2 && ((bytes[0] == 0xff && bytes[1] == 0xfe) || (bytes[0] == 0xfe && bytes[1] == 0xff));
}

static int begin_csv(struct feed *feed, struct error_text *text)
{
    csv_open(&feed->csv, feed->source);
    int rc = csv_next(&feed->csv, text);
    if (rc <= 0)
        return rc < 0 ? rc : feed_refuse(text, "there is nothing in it but blank lines");
    struct columns_wish wish = feed->wish.columns;
    wish.symbol = feed->wish.symbol != NULL;
    rc = columns_find(&feed->columns, &feed->csv, wish, text);
    if (rc == 0 && feed->wish.symbol != NULL && feed->columns.symbol == 0)
        return csv_refuse(&feed->csv, text, 0,
                          "no heading with a column symbol: there is no telling which is of %s",
                          feed->wish.symbol);
    feed->is_given = feed->columns.has_heading;
    return rc;
}

/* ITCH begins with the high byte of a length below 256; no text begins with a zero byte. */
static int begin(struct feed *feed, struct error_text *text)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf}; /* of UTF-8 */
    struct source *source = feed->source;
    int rc = 1;
    while (rc > 0 && source_available(source) < sizeof mark)
        rc = source_more(source, text);
    if (rc < 0)
        return rc;
    if (source_available(source) == 0)
        return feed_refuse(text, "it is empty");
    const uint8_t *bytes = source_bytes(source);
    if (has_wide_mark(bytes, source_available(source)))
        return feed_refuse(text, "line 1: this is UTF-16: iconv -f UTF-16 -t UTF-8 makes a feed of it");
    feed->is_itch = bytes[0] == 0;
    feed->itch.source = source;
    if (feed->is_itch)
        return HERMES_OK;
    if (source_available(source) >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0)
        source_take(source, sizeof mark);
    return begin_csv(feed, text);
}

int feed_open(const char *path, struct feed_wish wish, struct feed **out, struct error_text *text)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return HERMES_ENOMEM;
    feed->wish = wish;
    int rc = source_open(path, wish.stop, &feed->source, text);
    if (rc == 0)
        rc = begin(feed, text);
    if (rc < 0) {
        feed_close(feed);
        return rc;
    }
    *out = feed;
    return HERMES_OK;
}

void feed_close(struct feed *feed)
{
    source_close(feed->source);
    free(feed);
}

/* ---- CSV ---- */

static int refuse_time(const struct feed *feed, enum field_fault fault, struct error_text *text)
{
    size_t column = feed->columns.time;
    struct field field = csv_field(&feed->csv, column);
    const char *what = fault == FIELD_NEGATIVE ? "a time before 0"
                       : fault == FIELD_TOO_LARGE
                           ? "a time of more than 584 years (a heading time_ns, time_us or "
                             "time_ms says that it is not in seconds)"
                           : "no time (a number, with a fraction or not)";
    return csv_refuse(&feed->csv, text, column, "%s: '%.*s'", what,
                      (int)(field.length < 40 ? field.length : 40), field.bytes);
}

static bool has_other_separators(const struct csv *csv)
{
    return csv->columns == 1 &&
           (memchr(csv->bytes, ';', csv->length) != NULL || memchr(csv->bytes, '\t', csv->length) != NULL);
}

/* The first line behind the heading is a feed's if a number is in it. */
static int check_first(const struct csv *csv, struct error_text *text)
{
    for (size_t n = 1; n <= csv->columns; n++)
        if (field_is_number(csv_field(csv, n)))
            return HERMES_OK;
    if (has_other_separators(csv))
        return csv_refuse(csv, text, 0, "its columns are not separated by commas");
    return csv_refuse(csv, text, 0,
                      "no feed: there is no number in it (hermes pub -f FILE publishes lines of any kind)");
}

static bool is_of_symbol(const struct feed *feed)
{
    if (feed->wish.symbol == NULL)
        return true;
    struct field field = csv_field(&feed->csv, feed->columns.symbol);
    return field.length == strlen(feed->wish.symbol) &&
           memcmp(field.bytes, feed->wish.symbol, field.length) == 0;
}

static int next_line(struct feed *feed, struct feed_record *record, struct error_text *text)
{
    struct csv *csv = &feed->csv;
    int rc;
    do {
        if (feed->is_given && (rc = csv_next(csv, text)) <= 0)
            return rc;
        feed->is_given = true;
        if (feed->lines++ == 0 && (rc = check_first(csv, text)) < 0)
            return rc;
        *record = (struct feed_record){(const uint8_t *)csv->bytes, csv->length, feed->columns.time != 0, 0};
        if (record->timed) {
            struct field field = csv_field(csv, feed->columns.time);
            enum field_fault fault = field_time(field, feed->columns.time_unit_ns, &record->time_ns);
            if (fault != FIELD_GOOD)
                return refuse_time(feed, fault, text);
        }
    } while (!is_of_symbol(feed));
    feed->is_found = true;
    return 1;
}

/* ---- ITCH ---- */

/* Which number is the symbol's is learnt from the messages that have both; each stock's first one does. */
static bool is_message_wanted(struct feed *feed, const uint8_t *message)
{
    if (feed->wish.symbol == NULL) {
        feed->is_found = true;
        return true;
    }
    uint16_t stock = itch_locate(message);
    const uint8_t *name = itch_stock(message);
    if (name != NULL)
        feed->is_wanted[stock] = is_symbol(name, feed->wish.symbol);
    feed->is_found |= feed->is_wanted[stock];
    return stock == 0 || feed->is_wanted[stock];
}

static int next_message(struct feed *feed, struct feed_record *record, struct error_text *text)
{
    const uint8_t *message;
    size_t length;
    int rc;
    do
        if ((rc = itch_next(&feed->itch, &message, &length, text)) <= 0)
            return rc;
    while (!is_message_wanted(feed, message));
    *record = (struct feed_record){message, length, true, itch_time(message)};
    return 1;
}

int feed_next(struct feed *feed, struct feed_record *record, struct error_text *text)
{
    int rc = feed->is_itch ? next_message(feed, record, text) : next_line(feed, record, text);
    if (rc == 0 && !feed->is_found)
        return feed->wish.symbol != NULL ? feed_refuse(text, "nothing in it is of %s", feed->wish.symbol)
                                         : feed_refuse(text, "there is nothing behind its heading");
    return rc;
}
