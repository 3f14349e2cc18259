/* The page that hermes stat fills: lines and rows of tables that fit the terminal. No number is ever cut. */
#ifndef CLI_STAT_PAGE_H
#define CLI_STAT_PAGE_H

#include "cli/stat.h"

enum { CELL_BYTES = COUNTERS_LABEL_WORDS * 8 + 1, LINE_BYTES = 512, COLUMNS_MAX = 9 };

/* What is left of the terminal. */
struct page {
    const struct stat_frame *frame;
    int width;   /* 0: there is no terminal, and lines are as long as they are */
    int longest; /* name that there is */
    int rows;    /* INT32_MAX: as many as there are */
    bool clear;
};

/* One that is too long goes on in the next. */
void page_line(struct page *page, const char *line);

/* At most width characters of a name, which are clients' own; one that is too long ends in a tilde. */
void page_name(char to[CELL_BYTES], const char *name, int width);

struct column {
    const char *heading; /* NULL: behind the last one */
    int width;           /* of a number; below 0: of a text, to the left; 0: a name, with what is left */
};

struct layout {
    const struct column *columns;
    int count, label; /* columns; the longest heading */
    int name;         /* width of a name */
    bool is_blocks;   /* the page is too narrow for a row: a line for each cell */
};

struct layout page_lay_out(const struct page *page, const struct column *columns);
void page_headings(struct page *page, const struct layout *layout);
void page_cells(struct page *page, const struct layout *layout, char cells[][CELL_BYTES]);

#endif
