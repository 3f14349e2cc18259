/* Which column of a CSV is what: by its heading where it has one, else by where it stands. */
#ifndef CLI_FEED_COLUMNS_H
#define CLI_FEED_COLUMNS_H

#include "cli/feed/csv.h"

/* Columns are numbered from 1; 0: there is none. */
struct columns {
    bool has_heading;
    size_t time;
    uint64_t time_unit_ns;
    size_t symbol;
    size_t ask_price, ask_size, bid_price, bid_size; /* of quotes */
};

struct columns_wish {
    const char *time_column; /* a number, 0 for none, or a name of the heading; NULL: it is found */
    bool symbol;             /* it is of interest */
    bool quotes;             /* ask price, ask size, bid price and bid size must be there */
};

/*
 * From the first line, which is the current one. It is a heading if none of its fields is a number.
 * Without a heading, and without a wish, the first column has the times if in all lines that have come so far
 * it is a number that never goes back, and in one of them one with a fraction. HERMES_EMALFORMED: with a
 * sentence.
 */
int columns_find(struct columns *columns, const struct csv *csv, struct columns_wish wish,
                 struct error_text *text);

#endif
