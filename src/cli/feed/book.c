#include "cli/feed/book.h"

#include <stdlib.h>
#include <string.h>

#include "cli/feed/itch.h"
#include "hermes/error.h"

enum { STOCKS = 65536 };

int books_open(struct books *books)
{
    *books = (struct books){.best = calloc(STOCKS, sizeof *books->best),
                            .names = calloc(STOCKS, sizeof *books->names)};
    int rc = books->best != NULL && books->names != NULL ? hash_open(&books->orders) : HERMES_ENOMEM;
    if (rc == 0 && (rc = levels_open(&books->levels)) < 0)
        hash_close(&books->orders);
    if (rc < 0) {
        free(books->best);
        free(books->names);
    }
    return rc;
}

void books_close(struct books *books)
{
    hash_close(&books->orders);
    levels_close(&books->levels);
    free(books->best);
    free(books->names);
}

static int add(struct books *books, uint64_t reference, uint32_t side, uint32_t price, uint32_t shares)
{
    uint32_t number;
    if (shares == 0 || hash_get(&books->orders, reference) != 0) {
        books->strange++;
        return HERMES_OK;
    }
    int rc = levels_add(&books->levels, side, price, shares, &number);
    if (rc < 0)
        return rc;
    rc = hash_put(&books->orders, reference, (uint64_t)shares << 32 | number);
    if (rc < 0)
        levels_reduce(&books->levels, number, shares);
    return rc;
}

/* Takes shares from an order, at most all; it is gone with the last one. The side that it is on; UINT32_MAX:
 * there is no such order. */
static uint32_t reduce(struct books *books, uint64_t reference, uint32_t shares)
{
    uint64_t order = hash_get(&books->orders, reference);
    if (order == 0) {
        books->strange++;
        return UINT32_MAX;
    }
    uint32_t left = (uint32_t)(order >> 32), number = (uint32_t)order;
    uint32_t taken = shares < left ? shares : left;
    levels_reduce(&books->levels, number, taken);
    if (taken == left)
        hash_remove(&books->orders, reference);
    else
        (void)hash_put(&books->orders, reference, order - ((uint64_t)taken << 32)); /* it is there */
    return books->levels.levels[number].side;
}

/* The new order stands where the old one stood. */
static int replace(struct books *books, const uint8_t *m)
{
    uint32_t side = reduce(books, itch_64(m + 11), UINT32_MAX);
    return side == UINT32_MAX ? HERMES_OK
                              : add(books, itch_64(m + 19), side, itch_32(m + 31), itch_32(m + 27));
}

static int change(struct books *books, const uint8_t *m)
{
    switch (m[0]) {
    case 'A':
    case 'F':
        return add(books, itch_64(m + 11), levels_side(itch_locate(m), m[19] == 'S'), itch_32(m + 32),
                   itch_32(m + 20));
    case 'E':
    case 'C':
    case 'X':
        (void)reduce(books, itch_64(m + 11), itch_32(m + 19));
        return HERMES_OK;
    case 'D':
        (void)reduce(books, itch_64(m + 11), UINT32_MAX);
        return HERMES_OK;
    case 'U':
        return replace(books, m);
    default:
        return HERMES_OK;
    }
}

/* Has it changed? */
static bool look_at_best(struct books *books, uint16_t stock)
{
    const struct level *bid = levels_best(&books->levels, levels_side(stock, false));
    const struct level *ask = levels_best(&books->levels, levels_side(stock, true));
    struct book_best now = {0}, *best = &books->best[stock];
    if (bid != NULL) {
        now.bid_price = bid->price;
        now.bid_size = bid->shares;
    }
    if (ask != NULL) {
        now.ask_price = ask->price;
        now.ask_size = ask->shares;
    }
    bool has_changed = memcmp(&now, best, sizeof now) != 0;
    *best = now;
    return has_changed;
}

int books_apply(struct books *books, const uint8_t *message)
{
    uint16_t stock = itch_locate(message);
    const uint8_t *name = itch_stock(message);
    if (name != NULL)
        memcpy(books->names[stock], name, sizeof books->names[stock]);
    int rc = change(books, message);
    return rc < 0 ? rc : look_at_best(books, stock);
}
