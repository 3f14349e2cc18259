#include "cli/feed/columns.h"

#include <string.h>

enum { LOOK_AT_LINES = 1000 };

static const uint64_t second_ns = 1000000000;

static const char *const time_names[] = {"time", "timestamp", "ts", "seconds", NULL};
static const char *const symbol_names[] = {"symbol", "ticker", "stock", NULL};
static const char *const ask_price_names[] = {"ask_price", "ask", "ask_price_1", NULL};
static const char *const ask_size_names[] = {"ask_size", "ask_size_1", NULL};
static const char *const bid_price_names[] = {"bid_price", "bid", "bid_price_1", NULL};
static const char *const bid_size_names[] = {"bid_size", "bid_size_1", NULL};

static bool is_heading(const struct csv *csv)
{
    for (size_t n = 1; n <= csv->columns; n++)
        if (field_is_number(csv_field(csv, n)))
            return false;
    return true;
}

static bool is_one_of(struct field name, const char *const names[])
{
    for (; *names != NULL; names++)
        if (field_is_name(name, *names))
            return true;
    return false;
}

/* "time_ns" is a time in nanoseconds: the name in front of the unit, which is in seconds where none is said.
 * "timens" is one as well, but not every word that ends so ("status"), nor what is a plural. */
static struct field without_unit(struct field name, uint64_t *unit_ns)
{
    static const struct {
        const char *ending;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].ending);
        if (name.length <= length ||
            strncasecmp(name.bytes + name.length - length, units[i].ending, length) != 0)
            continue;
        struct field rest = {name.bytes, name.length - length};
        bool is_apart = field_is_between_words(rest.bytes[rest.length - 1]);
        if (is_apart || (units[i].ns != second_ns && is_one_of(rest, time_names))) {
            *unit_ns = units[i].ns;
            return rest;
        }
    }
    *unit_ns = second_ns;
    return name;
}

/* The column of one of these names, with a unit or not; 0: none. Two of them are refused. */
static int find_name(const struct csv *csv, const char *const names[], bool has_unit, size_t *column,
                     struct error_text *text)
{
    *column = 0;
    for (size_t n = 1; n <= csv->columns; n++) {
        uint64_t ignored;
        struct field name = csv_field(csv, n);
        if (!is_one_of(name, names) && !(has_unit && is_one_of(without_unit(name, &ignored), names)))
            continue;
        if (*column != 0)
            return csv_refuse(csv, text, n, "a second column for %s: column %zu is one as well", names[0],
                              *column);
        *column = n;
    }
    return HERMES_OK;
}

static int find_quotes(struct columns *columns, const struct csv *csv, struct error_text *text)
{
    const struct {
        const char *const *names;
        size_t *column;
    } wanted[] = {{ask_price_names, &columns->ask_price},
                  {ask_size_names, &columns->ask_size},
                  {bid_price_names, &columns->bid_price},
                  {bid_size_names, &columns->bid_size}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int rc = find_name(csv, wanted[i].names, false, wanted[i].column, text);
        if (rc < 0)
            return rc;
        if (*wanted[i].column == 0)
            return csv_refuse(csv, text, 0,
                              "the heading has no %s: quotes are ask_price, ask_size, bid_price and bid_size",
                              wanted[i].names[0]);
    }
    return HERMES_OK;
}

/* What nobody asks for may stand there twice. */
static int find_by_heading(struct columns *columns, const struct csv *csv, struct columns_wish wish,
                           struct error_text *text)
{
    int rc = HERMES_OK;
    if (wish.time_column == NULL)
        rc = find_name(csv, time_names, true, &columns->time, text);
    if (rc == 0 && (wish.symbol || wish.quotes))
        rc = find_name(csv, symbol_names, false, &columns->symbol, text);
    if (rc == 0 && wish.quotes)
        rc = find_quotes(columns, csv, text);
    return rc;
}

/* The first column, from line to line of what has come so far; a line that is cut off says nothing. */
static bool looks_like_times(const struct csv *csv)
{
    const char *at = csv->bytes, *end = at + source_available(csv->source);
    bool has_fraction = false;
    uint64_t before = 0;
    for (int lines = 0; lines < LOOK_AT_LINES; lines++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL && lines > 0)
            break;
        const char *stop = newline != NULL ? newline : end;
        const char *comma = memchr(at, ',', (size_t)(stop - at));
        uint64_t time_ns;
        if (comma != NULL) {
            struct field first = field_trim(at, (size_t)(comma - at));
            if (field_time(first, second_ns, &time_ns) != FIELD_GOOD || time_ns < before)
                return false;
            has_fraction |= memchr(first.bytes, '.', first.length) != NULL;
            before = time_ns;
        }
        at = stop + (newline != NULL);
    }
    return has_fraction;
}

static int find_by_place(struct columns *columns, const struct csv *csv, bool quotes, struct error_text *text)
{
    if (!quotes) {
        columns->time = looks_like_times(csv) ? 1 : 0;
        return HERMES_OK;
    }
    if (csv->columns != 4 && csv->columns != 5)
        return csv_refuse(
            csv, text, 0,
            "%zu columns without a heading: quotes are ask price, ask size, bid price and bid size, "
            "a time before them or not",
            csv->columns);
    size_t before = columns->time = csv->columns - 4;
    columns->ask_price = before + 1;
    columns->ask_size = before + 2;
    columns->bid_price = before + 3;
    columns->bid_size = before + 4;
    return HERMES_OK;
}

/* The column that is asked for: by its number, or by its name. */
static int find_wish(struct columns *columns, const struct csv *csv, const char *wish,
                     struct error_text *text)
{
    struct field field = {wish, strlen(wish)};
    const char *const names[] = {wish, NULL};
    uint64_t number;
    enum field_fault fault = field_whole(field, csv->columns, &number);
    if (fault == FIELD_GOOD) {
        columns->time = (size_t)number;
        return HERMES_OK;
    }
    if (fault != FIELD_NO_NUMBER)
        return csv_refuse(csv, text, 0, "there is no column %s: there are %zu", wish, csv->columns);
    int rc = columns->has_heading ? find_name(csv, names, false, &columns->time, text) : HERMES_OK;
    if (rc == 0 && columns->time == 0)
        return csv_refuse(csv, text, 0,
                          columns->has_heading ? "the heading has no column %s"
                                               : "there is no heading with a column %s",
                          wish);
    return rc;
}

int columns_find(struct columns *columns, const struct csv *csv, struct columns_wish wish,
                 struct error_text *text)
{
    *columns = (struct columns){.has_heading = is_heading(csv), .time_unit_ns = second_ns};
    int rc = columns->has_heading ? find_by_heading(columns, csv, wish, text)
                                  : find_by_place(columns, csv, wish.quotes, text);
    if (rc == 0 && wish.time_column != NULL) {
        columns->time = 0;
        rc = find_wish(columns, csv, wish.time_column, text);
    }
    if (rc == 0 && columns->has_heading && columns->time != 0)
        (void)without_unit(csv_field(csv, columns->time), &columns->time_unit_ns);
    return rc;
}
