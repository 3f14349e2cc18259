#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 512, GAP = 2, NARROWEST = 8 };

void table_begin(struct table *table, const char *const headings[])
{
    *table = (struct table){.headings = headings};
    while (table->columns < TABLE_COLUMNS && headings[table->columns] != NULL)
        table->columns++;
}

static bool make_room(struct table *table, size_t bytes)
{
    if (table->used + bytes <= table->room)
        return true;
    size_t room = 2 * table->room + bytes + 4096;
    char *cells = realloc(table->cells, room);
    if (cells == NULL)
        return false;
    table->cells = cells;
    table->room = room;
    return true;
}

void table_text(struct table *table, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (table->failed || !make_room(table, bytes)) {
        table->failed = true;
        return;
    }
    memcpy(table->cells + table->used, text, bytes);
    table->used += bytes;
}

void table_print(struct table *table, const char *format, ...)
{
    char cell[CELL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cell, sizeof cell, format, arguments);
    va_end(arguments);
    table_text(table, cell);
}

/* ---- widths ---- */

static bool is_number(const struct table *table, unsigned column)
{
    return table->headings[column][0] == '#';
}

static const char *heading_of(const struct table *table, unsigned column)
{
    return table->headings[column] + is_number(table, column);
}

static void measure(const struct table *table, unsigned widths[TABLE_COLUMNS])
{
    for (unsigned i = 0; i < table->columns; i++)
        widths[i] = (unsigned)strlen(heading_of(table, i));
    unsigned column = 0;
    for (size_t at = 0; at < table->used; column = (column + 1) % table->columns) {
        unsigned length = (unsigned)strlen(table->cells + at);
        widths[column] = length > widths[column] ? length : widths[column];
        at += length + 1;
    }
}

/* One column less for the widest text, until it fits or no text is left that could give one: false. */
static bool fit(const struct table *table, unsigned widths[TABLE_COLUMNS], unsigned most)
{
    for (;;) {
        unsigned widest = table->columns, sum = (table->columns - 1) * GAP;
        for (unsigned i = 0; i < table->columns; i++) {
            sum += widths[i];
            if (!is_number(table, i) && widths[i] > NARROWEST &&
                (widest == table->columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (sum <= most || widest == table->columns)
            return sum <= most;
        widths[widest]--;
    }
}

/* ---- writing ---- */

static void write_text(FILE *file, const char *text, unsigned width, bool is_last)
{
    if (strlen(text) > width)
        fprintf(file, "%.*s\u2026", (int)width - 1, text);
    else
        fprintf(file, "%-*s", is_last ? 0 : (int)width, text);
}

static void write_cell(const struct table *table, FILE *file, unsigned column, const char *text,
                       unsigned width)
{
    bool is_last = column == table->columns - 1;
    if (is_number(table, column))
        fprintf(file, "%*s", (int)width, text);
    else
        write_text(file, text, width, is_last);
    fputs(is_last ? "\n" : "  ", file);
}

static void write_rows(const struct table *table, FILE *file, const unsigned widths[TABLE_COLUMNS])
{
    unsigned column = 0;
    for (unsigned i = 0; i < table->columns; i++)
        write_cell(table, file, i, heading_of(table, i), widths[i]);
    for (size_t at = 0; at < table->used; at += strlen(table->cells + at) + 1) {
        write_cell(table, file, column, table->cells + at, widths[column]);
        column = (column + 1) % table->columns;
    }
}

static void write_blocks(const struct table *table, FILE *file, unsigned columns)
{
    unsigned label = 0, column = 0;
    for (unsigned i = 0; i < table->columns; i++) {
        unsigned length = (unsigned)strlen(heading_of(table, i));
        label = length > label ? length : label;
    }
    unsigned width = columns > label + GAP + NARROWEST ? columns - label - GAP : NARROWEST;
    for (size_t at = 0; at < table->used; at += strlen(table->cells + at) + 1) {
        if (column == 0 && at > 0)
            fputc('\n', file);
        fprintf(file, "%-*s", (int)(label + GAP), heading_of(table, column));
        if (is_number(table, column))
            fputs(table->cells + at, file);
        else
            write_text(file, table->cells + at, width, true);
        fputc('\n', file);
        column = (column + 1) % table->columns;
    }
}

bool table_end(struct table *table, FILE *file, unsigned columns)
{
    unsigned widths[TABLE_COLUMNS];
    if (!table->failed) {
        measure(table, widths);
        if (columns == 0 || fit(table, widths, columns))
            write_rows(table, file, widths);
        else
            write_blocks(table, file, columns);
    }
    free(table->cells);
    table->cells = NULL;
    return !table->failed;
}
