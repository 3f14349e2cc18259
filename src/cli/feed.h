/*
 * Recorded market feeds, record by record: Nasdaq TotalView-ITCH 5.0 in its binary form (two-byte
 * big-endian length, then the message) and CSV, both plain or gzip-compressed. And, for the demo, the
 * best bid and ask that a feed amounts to.
 */
#ifndef CLI_FEED_H
#define CLI_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "market.h"

enum feed_kind { FEED_CSV, FEED_ITCH, FEED_GENERATED };

struct feed;

struct feed_record {
    const uint8_t *bytes; /* valid until the next record */
    size_t length;
    bool timed;
    uint64_t time_ns; /* since midnight, or whatever the time column counts from */
};

/*
 * time_column: of a CSV, from 1; 0: none; -1: the first, if it looks like seconds of a day with a
 * fraction. NULL path: a generated feed of `generate` quotes. Returns 0 or a HERMES_E..., having said why.
 */
int feed_open(const char *path, int time_column, uint64_t generate, struct feed **feed);

/* 1: a record; 0: the end; HERMES_EMALFORMED, having said where. */
int feed_next(struct feed *feed, struct feed_record *record);

/* The same as quotes: a CSV of four columns (ask price, ask size, bid price, bid size), with a time before
 * them or not; of ITCH, the top of the book after each message. */
int feed_next_quote(struct feed *feed, quote_t *quote, bool *timed);

void feed_close(struct feed *feed);

#endif
