#include "cli/stat_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NARROWEST_NAME = 12, NARROWEST_IN_BLOCK = 4 };

void page_name(char to[CELL_BYTES], const char *name, int width)
{
    int length = (int)strlen(name);
    for (int i = 0; i < width; i++) {
        char c = i < length ? name[i] : ' ';
        to[i] = c >= 0x20 && c < 0x7F ? c : '?';
    }
    if (length > width && width > 0)
        to[width - 1] = '~';
    to[width] = 0;
}

/* ---- lines ---- */

/* Where a line that is too long ends: before a wide gap, or any, or within a word. */
static int break_of(const char *line, int width)
{
    int any = 0, wide = 0;
    for (int at = 0; at <= width && line[at] != 0; at++) {
        bool is_gap = at > 2 && line[at] == ' '; /* an indent is none */
        any = is_gap ? at : any;
        wide = is_gap && line[at + 1] == ' ' ? at : wide;
    }
    return wide > 0 ? wide : any > 0 ? any : width;
}

void page_line(struct page *page, const char *line)
{
    do {
        int length = (int)strlen(line);
        int taken = page->width == 0 || length <= page->width ? length : break_of(line, page->width);
        int shown = taken;
        while (shown > 0 && line[shown - 1] == ' ')
            shown--;
        if (page->rows-- <= 0)
            return;
        printf("%.*s%s", shown, line, page->clear ? "\033[K" : "");
        if (page->rows > 0 || !page->clear) /* the last line of a screen: behind it all would move up */
            putchar('\n');
        line += taken;
        line += strspn(line, " ");
    } while (*line != 0);
}

/* ---- rows ---- */

/* Between a number, which ends there, and a text, which begins there, more. */
static int gap_before(const struct column *columns, int i)
{
    return i == 0 ? 0 : columns[i].width <= 0 && columns[i - 1].width > 0 ? 2 : 1;
}

struct layout page_lay_out(const struct page *page, const struct column *columns)
{
    struct layout layout = {columns, 0, 0, page->longest, false};
    int fixed = 0, names = 0;
    for (int i = 0; columns[i].heading != NULL; i++, layout.count++) {
        int heading = (int)strlen(columns[i].heading);
        layout.label = heading > layout.label ? heading : layout.label;
        fixed += abs(columns[i].width) + gap_before(columns, i);
        names += columns[i].width == 0;
    }
    int left = names > 0 ? (page->width - fixed) / names : 0;
    layout.is_blocks = page->width > 0 && left < NARROWEST_NAME;
    int narrowest = layout.is_blocks ? NARROWEST_IN_BLOCK : NARROWEST_NAME;
    if (layout.is_blocks)
        left = page->width - layout.label - 2;
    if (page->width > 0 && left < layout.name)
        layout.name = left;
    if (layout.name < narrowest)
        layout.name = narrowest;
    return layout;
}

void page_cells(struct page *page, const struct layout *layout, char cells[][CELL_BYTES])
{
    char line[LINE_BYTES], name[CELL_BYTES];
    int used = 0;
    for (int i = 0; i < layout->count; i++) {
        const struct column *column = &layout->columns[i];
        bool is_name = column->width == 0;
        if (is_name)
            page_name(name, cells[i], layout->name);
        const char *text = is_name ? name : cells[i];
        if (!layout->is_blocks) {
            used += snprintf(line + used, sizeof line - (size_t)used, "%*s%*s",
                             gap_before(layout->columns, i), "", column->width, text);
            continue;
        }
        snprintf(line, sizeof line, "%-*s  %s", layout->label, column->heading, text);
        if (cells[i][0] != 0)
            page_line(page, line);
    }
    if (!layout->is_blocks)
        page_line(page, line);
}

void page_headings(struct page *page, const struct layout *layout)
{
    char headings[COLUMNS_MAX][CELL_BYTES];
    for (int i = 0; i < layout->count; i++)
        snprintf(headings[i], sizeof headings[i], "%s", layout->columns[i].heading);
    page_line(page, "");
    page_cells(page, layout, headings);
}
