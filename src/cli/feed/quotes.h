/*
 * A feed as quotes, for the demo: each line of a CSV is one; of ITCH, the best bid and ask of a stock each
 * time they change. Or a generated market.
 */
#ifndef CLI_FEED_QUOTES_H
#define CLI_FEED_QUOTES_H

#include "cli/feed/book.h"
#include "cli/feed/feed.h"
#include "cli/feed/generated.h"

struct quotes_wish {
    const char *symbol;                /* NULL: all */
    uint64_t generate;                 /* so many, where there is no feed */
    const volatile sig_atomic_t *stop; /* as of a feed */
};

struct quotes {
    struct feed *feed;  /* NULL: generated */
    struct books books; /* of ITCH */
    struct generated generated;
};

/* path NULL: generated ones. Errors as feed_open() has them. */
int quotes_open(struct quotes *quotes, const char *path, struct quotes_wish wish, struct error_text *text);
void quotes_close(struct quotes *quotes);

/* 1: a quote; 0: the end; errors as feed_next() has them. *timed: it has a time. */
int quotes_next(struct quotes *quotes, quote_t *quote, bool *timed, struct error_text *text);

/* At the end: says on standard error what was passed over, if anything was. */
void quotes_report(const struct quotes *quotes);

#endif
