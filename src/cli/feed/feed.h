/*
 * Recorded market feeds, record by record: Nasdaq TotalView-ITCH 5.0 in its binary form, and CSV; both plain
 * or gzip-compressed. docs/reference/feeds.md says what is accepted. Each record is checked before it is
 * given out.
 */
#ifndef CLI_FEED_FEED_H
#define CLI_FEED_FEED_H

#include "cli/feed/columns.h"
#include "cli/feed/csv.h"
#include "cli/feed/itch.h"

struct feed_wish {
    struct columns_wish columns;       /* of CSV */
    const char *symbol;                /* that stock alone, and what is of none; NULL: all */
    const volatile sig_atomic_t *stop; /* raised by a signal, it ends a wait for a pipe */
};

struct feed {
    bool is_itch;
    bool is_given; /* the current line of CSV, or it is the heading */
    struct feed_wish wish;
    bool is_found;  /* a record that is wanted */
    uint64_t lines; /* that were read, without the heading */
    struct columns columns;
    struct csv csv;
    struct itch itch;
    struct source *source;
    bool is_wanted[65536]; /* by ITCH's number of a stock */
};

struct feed_record {
    const uint8_t *bytes; /* valid until the next one */
    size_t length;
    bool timed;
    uint64_t time_ns; /* since midnight, or whatever the time column counts from */
};

/*
 * Opens it, and reads as far as it takes to know what it is. path: "-" is standard input. The strings of the
 * wish must live as long. HERMES_ENOTFOUND, HERMES_EMALFORMED...: with a sentence.
 */
int feed_open(const char *path, struct feed_wish wish, struct feed **feed, struct error_text *text);
void feed_close(struct feed *feed);

/* 1: a record; 0: the end. HERMES_EMALFORMED, HERMES_EIO: the sentence says where and what.
 * HERMES_EINTERRUPTED: a signal; call again. A feed without a single record is malformed. */
int feed_next(struct feed *feed, struct feed_record *record, struct error_text *text);

/* At the end: the last line came through a pipe, without its newline. Whoever wrote it may have ended early.
 */
static inline bool feed_may_be_cut(const struct feed *feed)
{
    return feed->csv.has_no_end && !feed->source->is_file;
}

/* Where the current record stands: "line" or "byte", and which. */
static inline const char *feed_unit(const struct feed *feed)
{
    return feed->is_itch ? "byte" : "line";
}

static inline uint64_t feed_at(const struct feed *feed)
{
    return feed->is_itch ? feed->source->offset : feed->csv.line;
}

#endif
