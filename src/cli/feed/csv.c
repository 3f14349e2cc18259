#include "cli/feed/csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/feed/refusal.h"

void csv_open(struct csv *csv, struct source *source)
{
    memset(csv, 0, sizeof *csv);
    csv->source = source;
}

int csv_refuse(const struct csv *csv, struct error_text *text, size_t column, const char *format, ...)
{
    char sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (column == 0)
        return feed_refuse(text, "line %" PRIu64 ": %s", csv->line, sentence);
    return feed_refuse(text, "line %" PRIu64 ", column %zu: %s", csv->line, column, sentence);
}

/* The last line has no end where nobody wrote one; or because the file is still being written. */
static int at_end(const struct csv *csv, struct error_text *text)
{
    if (source_available(csv->source) > 0 && source_has_grown(csv->source))
        return csv_refuse(csv, text, 0,
                          "the file grows while it is read, and had half of this line when it was opened");
    return HERMES_OK;
}

/* Where this line ends: *end, the bytes of it, and *taken, those with its end. */
static int find_end(struct csv *csv, size_t *end, struct error_text *text)
{
    struct source *source = csv->source;
    const uint8_t *newline = NULL;
    int rc = 1;
    for (size_t seen = 0; newline == NULL && rc > 0;) {
        size_t there = source_available(source);
        if (there > seen)
            newline = memchr(source_bytes(source) + seen, '\n', there - seen);
        seen = there;
        if (newline == NULL && there > CSV_LINE_BYTES + 1)
            return csv_refuse(csv, text, 0, "more than 65,536 bytes, which is what a message holds");
        if (newline == NULL)
            rc = source_more(source, text);
    }
    if (rc < 0)
        return rc;
    if (newline == NULL && (rc = at_end(csv, text)) < 0)
        return rc;
    *end = newline != NULL ? (size_t)(newline - source_bytes(source)) : source_available(source);
    csv->taken = *end + (newline != NULL);
    csv->has_no_end |= newline == NULL && csv->taken > 0;
    return csv->taken > 0;
}

static bool is_control(uint8_t c)
{
    return c < ' ' && c != '\t';
}

static int refuse_control(const struct csv *csv, struct error_text *text, size_t column, uint8_t c)
{
    return csv_refuse(csv, text, column, "%s",
                      c == 0      ? "a zero byte: this is no text (UTF-16? iconv makes UTF-8 of it)"
                      : c == '\r' ? "a carriage return within the line"
                                  : "a control character: this is no text");
}

/* From the quote at *at to behind the one that ends the field, and to the comma or the end of the line. */
static int pass_quoted(const struct csv *csv, size_t column, size_t *at, struct error_text *text)
{
    const uint8_t *bytes = (const uint8_t *)csv->bytes;
    size_t i = *at + 1;
    bool is_open = true;
    for (; is_open && i < csv->length; i++) {
        if (is_control(bytes[i]))
            return refuse_control(csv, text, column, bytes[i]);
        if (bytes[i] != '"')
            continue;
        if (i + 1 < csv->length && bytes[i + 1] == '"')
            i++; /* one that belongs to the field */
        else
            is_open = false;
    }
    if (is_open)
        return csv_refuse(csv, text, column, "its quote does not end on this line");
    while (i < csv->length && bytes[i] == ' ')
        i++;
    if (i < csv->length && bytes[i] != ',')
        return csv_refuse(csv, text, column, "something behind its closing quote");
    *at = i;
    return HERMES_OK;
}

static bool begins_with_blanks(const struct csv *csv, size_t column, size_t to)
{
    for (size_t i = csv->ends[column - 1]; i < to; i++)
        if (csv->bytes[i] != ' ')
            return false;
    return true;
}

/* A quote, or what is no text. *at: behind it. */
static int pass_special(const struct csv *csv, size_t column, size_t *at, struct error_text *text)
{
    uint8_t c = (uint8_t)csv->bytes[*at];
    if (is_control(c))
        return refuse_control(csv, text, column, c);
    if (c != '"') {
        (*at)++;
        return HERMES_OK;
    }
    if (!begins_with_blanks(csv, column, *at))
        return csv_refuse(csv, text, column, "a quote within a field that does not begin with one");
    return pass_quoted(csv, column, at, text);
}

/* Finds the columns. Nearly all bytes are above the comma; below are blanks, quotes and what is no text. */
static int split(struct csv *csv, size_t *columns, struct error_text *text)
{
    const uint8_t *bytes = (const uint8_t *)csv->bytes;
    size_t column = 1;
    for (size_t i = 0; i < csv->length;) {
        if (bytes[i] > ',') {
            i++;
        } else if (bytes[i] == ',') {
            if (column == CSV_COLUMNS)
                return csv_refuse(csv, text, 0, "more than %d columns", CSV_COLUMNS);
            csv->ends[column++] = (uint32_t)++i;
        } else {
            int rc = pass_special(csv, column, &i, text);
            if (rc < 0)
                return rc;
        }
    }
    csv->ends[column] = (uint32_t)csv->length + 1;
    *columns = column;
    return HERMES_OK;
}

static bool is_blank(const struct csv *csv)
{
    for (size_t i = 0; i < csv->length; i++)
        if (csv->bytes[i] != ' ' && csv->bytes[i] != '\t')
            return false;
    return true;
}

/* The next line, whatever is in it. */
static int take_line(struct csv *csv, struct error_text *text)
{
    source_take(csv->source, csv->taken);
    csv->line += csv->taken > 0 || csv->line == 0;
    csv->taken = 0;
    int rc = find_end(csv, &csv->length, text);
    csv->bytes = (const char *)source_bytes(csv->source);
    if (rc <= 0)
        return rc;
    if (csv->length > 0 && csv->bytes[csv->length - 1] == '\r')
        csv->length--;
    if (csv->length > CSV_LINE_BYTES)
        return csv_refuse(csv, text, 0, "more than 65,536 bytes, which is what a message holds");
    return 1;
}

int csv_next(struct csv *csv, struct error_text *text)
{
    size_t columns = 0;
    int rc;
    do
        if ((rc = take_line(csv, text)) <= 0)
            return rc;
    while (is_blank(csv));
    if ((rc = split(csv, &columns, text)) < 0)
        return rc;
    if (csv->columns == 0)
        csv->columns = columns;
    if (columns != csv->columns)
        return csv_refuse(csv, text, 0, "its number of columns is %zu, that of the lines before it %zu",
                          columns, csv->columns);
    return 1;
}

struct field csv_field(const struct csv *csv, size_t n)
{
    uint32_t begin = csv->ends[n - 1];
    return field_trim(csv->bytes + begin, csv->ends[n] - 1 - begin);
}
