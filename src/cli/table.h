/*
 * A table for people: columns as wide as what is in them.
 *
 *     struct table table;
 *     table_begin(&table, (const char *const[]){"TOPIC", "#MESSAGES", NULL});
 *     table_text(&table, name);
 *     table_print(&table, "%llu", messages);         row by row, cell by cell
 *     ok = table_end(&table, stdout);
 *
 * A heading that begins with # is of numbers, which stand to the right; so does its heading, without the #.
 * On a terminal that is too narrow the longest texts are cut, an ellipsis in place of the rest. Where that is
 * not enough, each row is a block of lines, one for each cell, so that no line ever wraps and no number is
 * cut (as psql's \x auto has it). Where there is no terminal lines are as long as they are.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 12 };

struct table {
    const char *const *headings;
    unsigned columns;
    char *cells; /* each ends with a zero, row by row */
    size_t used, room;
    bool failed; /* there is no memory */
};

void table_begin(struct table *table, const char *const headings[]);
void table_text(struct table *table, const char *text);
__attribute__((format(printf, 2, 3))) void table_print(struct table *table, const char *format, ...);

/* Writes it, and frees its memory. columns: of the terminal, 0: none. false: there was no memory for all
 * rows, and nothing is written. */
bool table_end(struct table *table, FILE *file, unsigned columns);

#endif
