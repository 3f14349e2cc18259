/* The quotes that a CSV amounts to, and what is no quote. Books of ITCH: test_book.c. */
#include "test.h"

#include "cli/feed/quotes.h"

/* The last quote of a text, and how many there are; or HERMES_EMALFORMED. */
static int read_quotes(const char *content, quote_t *last, struct error_text *text)
{
    TEST_DIRECTORY(path);
    char file[64];
    struct quotes quotes;
    bool timed;
    snprintf(file, sizeof file, "%s/feed", path);
    FILE *stream = fopen(file, "w");
    fputs(content, stream);
    fclose(stream);
    int rc = quotes_open(&quotes, file, (struct quotes_wish){0}, text), count = 0;
    if (rc == 0) {
        while ((rc = quotes_next(&quotes, last, &timed, text)) > 0)
            count++;
        quotes_close(&quotes);
    }
    test_remove(path);
    return rc < 0 ? rc : count;
}

static void columns_are_found(void **state)
{
    (void)state;
    static const char *const same[] = {
        "1000200,9,1000000,7\n",
        "5.5,1000200,9,1000000,7\n",
        "5,1000200,9,1000000,7\r\n\r\n",
        "ask_price,ask_size,bid_price,bid_size\n1000200,9,1000000,7\n",
        "Bid Size;,Bid,Ask,ask-size,BID SIZE\nx,1000000,1000200,9,7\n",
        "Ask Price 1,Ask Size 1,Bid Price 1,Bid Size 1,Ask Price 2\n1000200,9,1000000,7,5\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        quote_t quote;
        struct error_text text = {{0}};
        if (read_quotes(same[i], &quote, &text) != 1)
            fail_msg("%s: %s", same[i], text.bytes);
        assert_memory_equal(quote.symbol, "FEED    ", 8);
        assert_int_equal(quote.ask_price, 1000200);
        assert_int_equal(quote.ask_size, 9);
        assert_int_equal(quote.bid_price, 1000000);
        assert_int_equal(quote.bid_size, 7);
    }
    quote_t quote;
    struct error_text text;
    assert_int_equal(
        read_quotes("symbol,time_ms,ask,ask size,bid,bid size\nHRMS,5.5,2,1,1,1\n", &quote, &text), 1);
    assert_memory_equal(quote.symbol, "HRMS    ", 8);
    assert_int_equal(quote.feed_time_ns, 5500000);
}

static void where_nobody_offers_there_is_no_price(void **state)
{
    (void)state;
    quote_t quote;
    struct error_text text;
    assert_int_equal(read_quotes("9999999999,0,-9999999999,0\n", &quote, &text), 1);
    assert_int_equal(quote.ask_price, 0);
    assert_int_equal(quote.bid_price, 0);
}

static void what_is_no_quote_is_refused_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"1,2,3,4\n5,-1,7,8\n", "line 2, column 2: a size: '-1' is below 0"},
        {"1,2,3,4\n5,4294967296,7,8\n", "line 2, column 2: a size: '4294967296' is too large"},
        {"1,2,3,4\n5,6,7,99999999999999999999\n",
         "line 2, column 4: a size: '99999999999999999999' is too large"},
        {"1,2,3,4\n5,6,7,8.5\n", "line 2, column 4: a size: '8.5' is no whole number"},
        {"1,2,3,4\n5,6,7,\n", "line 2, column 4: a size: '' is no whole number"},
        {"1,2,3,4\n-5,6,7,8\n", "line 2, column 1: a price in 1/10,000 dollar: '-5' is below 0"},
        {"1,2,3,4\n5,6,7.25,8\n", "line 2, column 3: a price in 1/10,000 dollar: '7.25' is no whole number"},
        {"1,2,3,4\n5,6,1000000000001,8\n",
         "line 2, column 3: a price in 1/10,000 dollar: '1000000000001' is too large"},
        {"1,2,3,4\n5,6,x,0\n", "line 2, column 3: a price"},
        {"1.5,1,2,3,4\n-1,1,2,3,4\n", "line 2, column 1: a time before 0"},
        {"1,2,3\n", "line 1: 3 columns without a heading"},
        {"ask,ask_size,bid\n1,2,3\n", "line 1: the heading has no bid_size"},
        {"ask,ask_price,ask_size,bid,bid_size\n1,1,2,3,4\n",
         "line 1, column 2: a second column for ask_price"},
        {"symbol,ask,ask_size,bid,bid_size\nTOOLARGES,1,2,3,4\n",
         "line 2, column 1: a symbol of more than 8 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        quote_t quote;
        struct error_text text = {{0}};
        assert_int_equal(read_quotes(cases[i].text, &quote, &text), HERMES_EMALFORMED);
        if (strstr(text.bytes, cases[i].words) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].words, text.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_found),
        cmocka_unit_test(where_nobody_offers_there_is_no_price),
        cmocka_unit_test(what_is_no_quote_is_refused_where_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
