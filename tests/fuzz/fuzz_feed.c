/* Feeds: what is a record, which column is what, and the quotes that it amounts to. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/feed/quotes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_records(const char *path, struct feed_wish wish)
{
    struct error_text text = {{0}};
    struct feed *feed;
    struct feed_record record;
    int rc = feed_open(path, wish, &feed, &text);
    if (rc < 0)
        return;
    while ((rc = feed_next(feed, &record, &text)) > 0)
        if (record.length > CSV_LINE_BYTES)
            abort();
    if (rc < 0 && text.bytes[0] == 0)
        abort();
    feed_close(feed);
}

static void read_quotes(const char *path)
{
    struct error_text text = {{0}};
    struct quotes quotes;
    quote_t quote;
    bool timed;
    if (quotes_open(&quotes, path, (struct quotes_wish){0}, &text) < 0)
        return;
    while (quotes_next(&quotes, &quote, &timed, &text) > 0)
        if (quote.bid_price < 0 || quote.ask_price < 0)
            abort();
    quotes_close(&quotes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    /* One of them each time: they take large tables. */
    if (size % 3 == 0)
        read_records(path, (struct feed_wish){0});
    else if (size % 3 == 1)
        read_records(path, (struct feed_wish){.columns.time_column = "2", .symbol = "A"});
    else
        read_quotes(path);
    return 0;
}
