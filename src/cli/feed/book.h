/*
 * The order books of an ITCH feed, one for each stock: every order that is open by its reference, and the
 * best bid and ask of each stock after each message.
 */
#ifndef CLI_FEED_BOOK_H
#define CLI_FEED_BOOK_H

#include "cli/feed/levels.h"

/* Of one stock; price 0: nobody offers. Prices in 1/10,000 dollar. */
struct book_best {
    uint32_t bid_price, ask_price;
    uint64_t bid_size, ask_size;
};

struct books {
    struct hash orders; /* by reference: the shares, above the number of their level */
    struct levels levels;
    struct book_best *best; /* by stock */
    char (*names)[8];       /* by stock */
    uint64_t strange; /* messages that were passed over: of orders that are not there, of ones that were */
};

int books_open(struct books *books); /* HERMES_ENOMEM; then there is nothing to close */
void books_close(struct books *books);

/* A message that itch_next() gave. 1: the best bid or ask of its stock has changed; 0: it has not.
 * HERMES_ENOMEM. */
int books_apply(struct books *books, const uint8_t *message);

#endif
