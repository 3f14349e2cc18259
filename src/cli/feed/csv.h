/*
 * Lines of CSV (RFC 4180, with LF or CRLF): split at their commas and checked before anybody sees anything of
 * them. Each line has as many columns as the first. Blank lines are passed over. A quoted field ends on its
 * line.
 */
#ifndef CLI_FEED_CSV_H
#define CLI_FEED_CSV_H

#include "cli/feed/field.h"
#include "cli/feed/source.h"

enum { CSV_LINE_BYTES = 65536, CSV_COLUMNS = 1024 };

struct csv {
    struct source *source;
    uint64_t line;   /* number of this line, from 1 */
    size_t columns;  /* of each line; 0: before the first */
    size_t taken;    /* bytes of this line, with its end */
    bool has_no_end; /* this line, the last one */
    const char *bytes;
    size_t length;                  /* of this line, without its end */
    uint32_t ends[CSV_COLUMNS + 1]; /* [0] is 0; column n is from ends[n - 1] to one before ends[n] */
};

void csv_open(struct csv *csv, struct source *source);

/* The next line: 1, valid until the next call; 0: the end; HERMES_EMALFORMED, HERMES_EINTERRUPTED...: as
 * source_more() has it. The sentence says line and column, and what is wrong. */
int csv_next(struct csv *csv, struct error_text *text);

/* Column n of this line, from 1. */
struct field csv_field(const struct csv *csv, size_t n);

/* "line 3, column 2: " and the sentence. HERMES_EMALFORMED. */
__attribute__((format(printf, 4, 5))) int csv_refuse(const struct csv *csv, struct error_text *text,
                                                     size_t column, const char *format, ...);

#endif
