/* A market for want of a recorded one: the same at every run. */
#ifndef CLI_FEED_GENERATED_H
#define CLI_FEED_GENERATED_H

#include "market.h"

struct generated {
    uint64_t left; /* quotes */
    uint64_t random;
    quote_t quote;
};

void generated_open(struct generated *generated, uint64_t quotes);

/* 1: a quote; 0: that was the last one. */
int generated_next(struct generated *generated, quote_t *quote);

#endif
