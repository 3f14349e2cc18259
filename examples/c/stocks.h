/* What an actor remembers of each stock: found by its symbol, in a tree of the C library. */
#ifndef EXAMPLES_STOCKS_H
#define EXAMPLES_STOCKS_H

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int stocks_compare(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

/* That of this symbol; at first, zeros. *stocks: NULL to begin with. What is remembered, of size bytes,
 * begins with the symbol. */
static inline void *stocks_find(void **stocks, const char symbol[8], size_t size)
{
    void *const *found = tfind(symbol, stocks, stocks_compare);
    if (found != NULL)
        return *found;
    char *stock = calloc(1, size);
    if (stock != NULL)
        memcpy(stock, symbol, 8);
    if (stock == NULL || tsearch(stock, stocks, stocks_compare) == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return stock;
}

#endif
