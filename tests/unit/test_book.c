/* Order books against one that looks at every order for every question, and the table and levels beneath. */
#include "test.h"

#include <endian.h>

#include "cli/feed/book.h"
#include "cli/feed/itch.h"

enum { STOCKS = 3, ORDERS = 400, STEPS = 60000 };

static void put_64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
}

static void put_32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
}

/* A message of a stock; the fields behind the reference are the caller's. */
static void begin(uint8_t m[64], char type, uint16_t stock, uint64_t reference)
{
    memset(m, 0, 64);
    m[0] = (uint8_t)type;
    m[2] = (uint8_t)stock;
    put_64(m + 11, reference);
}

static int add(struct books *books, uint16_t stock, uint64_t reference, char side, uint32_t shares,
               uint32_t price)
{
    uint8_t m[64];
    begin(m, 'A', stock, reference);
    m[19] = (uint8_t)side;
    put_32(m + 20, shares);
    memcpy(m + 24, "STOCK   ", 8);
    m[29] = (uint8_t)('0' + stock);
    put_32(m + 32, price);
    return books_apply(books, m);
}

static int execute(struct books *books, char type, uint16_t stock, uint64_t reference, uint32_t shares)
{
    uint8_t m[64];
    begin(m, type, stock, reference);
    put_32(m + 19, shares);
    return books_apply(books, m);
}

static int delete (struct books *books, uint16_t stock, uint64_t reference)
{
    uint8_t m[64];
    begin(m, 'D', stock, reference);
    return books_apply(books, m);
}

static int replace(struct books *books, uint16_t stock, uint64_t old, uint64_t new, uint32_t shares,
                   uint32_t price)
{
    uint8_t m[64];
    begin(m, 'U', stock, old);
    put_64(m + 19, new);
    put_32(m + 27, shares);
    put_32(m + 31, price);
    return books_apply(books, m);
}

/* ---- the table ---- */

static void table_holds_what_was_put(void **state)
{
    (void)state;
    enum { KEYS = 5000 };
    static uint64_t values[KEYS];
    struct hash hash;
    uint64_t seed = 7;
    size_t used = 0;
    assert_int_equal(hash_open(&hash), 0);
    memset(values, 0, sizeof values);
    for (int i = 0; i < 200000; i++) {
        uint64_t n = test_random(&seed) % KEYS, key = n << 20; /* by steps, 0 among them */
        assert_int_equal(hash_get(&hash, key), values[n]);
        uint64_t value = test_random(&seed) % 3 == 0 ? 0 : test_random(&seed) | 1;
        used += (size_t)(value != 0) - (size_t)(values[n] != 0);
        if (value == 0)
            hash_remove(&hash, key);
        else
            assert_int_equal(hash_put(&hash, key, value), 0);
        values[n] = value;
        assert_int_equal(hash.used, used);
    }
    for (uint64_t n = 0; n < KEYS; n++)
        assert_int_equal(hash_get(&hash, n << 20), values[n]);
    hash_close(&hash);
}

/* ---- books ---- */

struct order {
    uint16_t stock;
    bool sells;
    uint32_t shares, price;
};

static struct book_best best_of(const struct order *orders, uint16_t stock)
{
    struct book_best best = {0};
    for (int i = 0; i < ORDERS; i++) {
        const struct order *order = &orders[i];
        if (order->stock != stock || order->shares == 0)
            continue;
        uint32_t *price = order->sells ? &best.ask_price : &best.bid_price;
        uint64_t *size = order->sells ? &best.ask_size : &best.bid_size;
        if (*size == 0 || (order->sells ? order->price < *price : order->price > *price)) {
            *price = order->price;
            *size = 0;
        }
        if (order->price == *price)
            *size += order->shares;
    }
    return best;
}

/* One step of the books and of the model; what it says is returned. */
static int step(struct books *books, struct order *orders, uint64_t *seed)
{
    uint64_t reference = test_random(seed) % ORDERS, other = test_random(seed) % ORDERS;
    struct order *order = &orders[reference];
    uint32_t shares = 1 + (uint32_t)(test_random(seed) % 300),
             price = 1000 + (uint32_t)(test_random(seed) % 60);
    if (order->shares == 0) {
        *order = (struct order){(uint16_t)(1 + test_random(seed) % STOCKS), test_random(seed) % 2 == 0,
                                shares, price};
        return add(books, order->stock, reference, order->sells ? 'S' : 'B', shares, price);
    }
    if (test_random(seed) % 3 == 0) {
        char type = "ECX"[test_random(seed) % 3];
        order->shares -= shares < order->shares ? shares : order->shares;
        return execute(books, type, order->stock, reference, shares);
    }
    if (test_random(seed) % 2 == 0 && orders[other].shares == 0) {
        orders[other] = (struct order){order->stock, order->sells, shares, price};
        order->shares = 0;
        return replace(books, order->stock, reference, other, shares, price);
    }
    order->shares = 0;
    return delete (books, order->stock, reference);
}

static void best_prices_are_those_of_each_stock(void **state)
{
    (void)state;
    struct books books;
    static struct order orders[ORDERS];
    struct book_best before[STOCKS + 1] = {0};
    uint64_t seed = 11;
    assert_int_equal(books_open(&books), 0);
    for (int i = 0; i < STEPS; i++) {
        int changed = step(&books, orders, &seed);
        int differs = 0;
        for (uint16_t stock = 1; stock <= STOCKS; stock++) {
            struct book_best best = best_of(orders, stock);
            assert_memory_equal(&books.best[stock], &best, sizeof best);
            differs += memcmp(&best, &before[stock], sizeof best) != 0;
            before[stock] = best;
        }
        assert_int_equal(changed, differs);
    }
    assert_int_equal(books.strange, 0);
    assert_memory_equal(books.names[2], "STOCK2  ", 8);
    books_close(&books);
}

static void more_orders_than_there_are_stocks_are_kept(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    struct books books;
    assert_int_equal(books_open(&books), 0);
    for (uint32_t i = 1; i <= MANY; i++)
        assert_int_equal(add(&books, 1, i, 'B', 100, i), 1);
    assert_int_equal(books.best[1].bid_price, MANY);
    for (uint32_t i = MANY; i > 1; i--) {
        assert_int_equal(delete (&books, 1, i), 1);
        assert_int_equal(books.best[1].bid_price, i - 1);
    }
    assert_int_equal(books.orders.used, 1);
    assert_int_equal(books.levels.by_price.used, 1);
    books_close(&books);
}

static void what_names_no_order_changes_nothing(void **state)
{
    (void)state;
    struct books books;
    assert_int_equal(books_open(&books), 0);
    assert_int_equal(add(&books, 1, 7, 'S', 100, 5000), 1);
    struct book_best best = books.best[1];
    assert_int_equal(replace(&books, 1, 8, 9, 50, 4000), 0);
    assert_int_equal(delete (&books, 1, 9), 0);
    assert_int_equal(execute(&books, 'E', 1, 8, 10), 0);
    assert_int_equal(add(&books, 1, 7, 'B', 100, 6000), 0); /* it is open */
    assert_int_equal(add(&books, 1, 10, 'B', 0, 6000), 0);
    assert_int_equal(books.strange, 5);
    assert_memory_equal(&books.best[1], &best, sizeof best);
    books_close(&books);
}

static void prices_at_the_ends_of_their_range(void **state)
{
    (void)state;
    struct books books;
    assert_int_equal(books_open(&books), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(add(&books, 255, 10 + i, 'B', UINT32_MAX, i * UINT32_MAX) >= 0);
        assert_true(add(&books, 255, 20 + i, 'S', UINT32_MAX, i * UINT32_MAX) >= 0);
    }
    const struct book_best *best = &books.best[255];
    assert_int_equal(best->bid_price, UINT32_MAX);
    assert_int_equal(best->ask_price, 0);
    assert_int_equal(add(&books, 255, 30, 'B', UINT32_MAX, UINT32_MAX), 1);
    assert_int_equal(best->bid_size, 2 * (uint64_t)UINT32_MAX);
    books_close(&books);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_holds_what_was_put),
        cmocka_unit_test(best_prices_are_those_of_each_stock),
        cmocka_unit_test(more_orders_than_there_are_stocks_are_kept),
        cmocka_unit_test(what_names_no_order_changes_nothing),
        cmocka_unit_test(prices_at_the_ends_of_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
