#include "cli/feed/quotes.h"

#include <inttypes.h>
#include <stdio.h>

/* 100 million dollar: what an actor multiplies by a size stays within 64 bits. */
static const uint64_t most_price = 1000000000000;

int quotes_open(struct quotes *quotes, const char *path, struct quotes_wish wish, struct error_text *text)
{
    struct feed_wish feed_wish = {.columns.quotes = true, .symbol = wish.symbol, .stop = wish.stop};
    quotes->feed = NULL;
    if (path == NULL) {
        generated_open(&quotes->generated, wish.generate);
        return HERMES_OK;
    }
    int rc = feed_open(path, feed_wish, &quotes->feed, text);
    if (rc == 0 && quotes->feed->is_itch && (rc = books_open(&quotes->books)) < 0) {
        feed_close(quotes->feed);
        quotes->feed = NULL;
    }
    return rc;
}

void quotes_close(struct quotes *quotes)
{
    if (quotes->feed == NULL)
        return;
    if (quotes->feed->is_itch)
        books_close(&quotes->books);
    feed_close(quotes->feed);
}

/* ---- CSV ---- */

static int refuse_number(const struct csv *csv, size_t column, const char *what, enum field_fault fault,
                         struct error_text *text)
{
    struct field field = csv_field(csv, column);
    return csv_refuse(csv, text, column, "%s: '%.*s'%s", what, (int)(field.length < 40 ? field.length : 40),
                      field.bytes,
                      fault == FIELD_NEGATIVE    ? " is below 0"
                      : fault == FIELD_TOO_LARGE ? " is too large"
                                                 : " is no whole number");
}

static int take_side(const struct csv *csv, size_t price_column, size_t size_column, int64_t *price,
                     uint32_t *size, struct error_text *text)
{
    uint64_t number;
    enum field_fault fault = field_whole(csv_field(csv, size_column), UINT32_MAX, &number);
    if (fault != FIELD_GOOD)
        return refuse_number(csv, size_column, "a size", fault, text);
    *size = (uint32_t)number;
    fault = field_whole(csv_field(csv, price_column), most_price, &number);
    /* Where nobody offers there is no price, whatever stands for it (LOBSTER: -9999999999). */
    if (fault == FIELD_GOOD || (*size == 0 && fault != FIELD_NO_NUMBER)) {
        *price = *size > 0 ? (int64_t)number : 0;
        return HERMES_OK;
    }
    return refuse_number(csv, price_column, "a price in 1/10,000 dollar", fault, text);
}

static int take_symbol(const struct csv *csv, size_t column, char symbol[8], struct error_text *text)
{
    memcpy(symbol, "FEED    ", 8);
    if (column == 0)
        return HERMES_OK;
    struct field field = csv_field(csv, column);
    if (field.length > 8)
        return csv_refuse(csv, text, column, "a symbol of more than 8 bytes");
    memset(symbol, ' ', 8);
    memcpy(symbol, field.bytes, field.length);
    return HERMES_OK;
}

static int next_of_csv(struct quotes *quotes, quote_t *quote, bool *timed, struct error_text *text)
{
    const struct csv *csv = &quotes->feed->csv;
    const struct columns *columns = &quotes->feed->columns;
    struct feed_record record;
    int rc = feed_next(quotes->feed, &record, text);
    if (rc <= 0)
        return rc;
    *timed = record.timed;
    *quote = (quote_t){.feed_time_ns = record.time_ns};
    rc = take_symbol(csv, columns->symbol, quote->symbol, text);
    if (rc == 0)
        rc = take_side(csv, columns->ask_price, columns->ask_size, &quote->ask_price, &quote->ask_size, text);
    if (rc == 0)
        rc = take_side(csv, columns->bid_price, columns->bid_size, &quote->bid_price, &quote->bid_size, text);
    return rc < 0 ? rc : 1;
}

/* ---- ITCH ---- */

static uint32_t at_most_32_bits(uint64_t size)
{
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static int next_of_itch(struct quotes *quotes, quote_t *quote, bool *timed, struct error_text *text)
{
    struct feed_record record;
    int rc, changed;
    do {
        if ((rc = feed_next(quotes->feed, &record, text)) <= 0)
            return rc;
        if ((changed = books_apply(&quotes->books, record.bytes)) < 0)
            return changed;
    } while (changed == 0);
    uint16_t stock = itch_locate(record.bytes);
    const struct book_best *best = &quotes->books.best[stock];
    *timed = true;
    *quote = (quote_t){.bid_price = best->bid_price,
                       .ask_price = best->ask_price,
                       .bid_size = at_most_32_bits(best->bid_size),
                       .ask_size = at_most_32_bits(best->ask_size),
                       .feed_time_ns = record.time_ns};
    memcpy(quote->symbol, quotes->books.names[stock], sizeof quote->symbol);
    return 1;
}

int quotes_next(struct quotes *quotes, quote_t *quote, bool *timed, struct error_text *text)
{
    if (quotes->feed == NULL) {
        *timed = true;
        return generated_next(&quotes->generated, quote);
    }
    return quotes->feed->is_itch ? next_of_itch(quotes, quote, timed, text)
                                 : next_of_csv(quotes, quote, timed, text);
}

void quotes_report(const struct quotes *quotes)
{
    if (quotes->feed != NULL && quotes->feed->is_itch && quotes->books.strange > 0)
        fprintf(stderr,
                "hermes: %" PRIu64
                " messages were passed over: they change orders that the feed has not shown, or add "
                "what is there\n",
                quotes->books.strange);
}
