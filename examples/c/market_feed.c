/*
 * A market feed for want of one: quotes of a random walk.
 *
 *     market_feed [COUNT [QUOTES-A-SECOND]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hermes/hermes.h"
#include "market.h"

static const uint64_t patience_ns = 20000000000u;

static int fail(const hermes_client_t *client, const char *what, int rc)
{
    fprintf(stderr, "%s: %s (%s)\n", what, hermes_last_error(client), hermes_error_name(rc));
    return 1;
}

static uint32_t below(uint32_t bound)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % bound;
}

static quote_t next_quote(void)
{
    static const int64_t moves[] = {-100, 0, 0, 100}, spreads[] = {100, 200, 500};
    static int64_t mid = 5000000;
    mid += moves[below(4)];
    int64_t spread = spreads[below(3)];
    return (quote_t){.symbol = {'H', 'R', 'M', 'S', ' ', ' ', ' ', ' '},
                     .bid_price = mid - spread,
                     .ask_price = mid + spread,
                     .bid_size = 1 + below(499),
                     .ask_size = 1 + below(499)};
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t due_ns)
{
    struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
    while (now_ns() < due_ns)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000;
    double rate = argc > 2 ? strtod(argv[2], NULL) : 10000;
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    int rc = hermes_connect(NULL, &client);
    if (rc < 0)
        return fail(NULL, "connect", rc);
    if ((rc = hermes_publisher_open(client, TOPIC_QUOTES, NULL, &publisher)) < 0)
        return fail(client, TOPIC_QUOTES, rc);
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        quote_t quote = next_quote();
        if (rate > 0)
            sleep_until(start_ns + (uint64_t)((double)i * 1e9 / rate));
        if ((rc = hermes_publish(publisher, &quote, sizeof quote, NULL)) < 0)
            return fail(client, "publish", rc);
    }
    if ((rc = hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns)) < 0)
        return fail(client, "publish", rc);
    printf("%llu quotes published\n", (unsigned long long)count);
    hermes_disconnect(client);
    return 0;
}
