/* The bare cache line between two cores, and what is measured beside it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/line.h"
#include "bench/bench.h"

enum { ROUNDS = 20000, MOST_TRIES = 8 };

static void pin_child(void)
{
    bench_pin(1);
}

double bench_clock_cost(void)
{
    return line_clock_cost_ns();
}

double bench_line_rtt(void)
{
    double ns;
    bench_must(line_round_trip(ROUNDS, pin_child, &ns), "line", NULL);
    return ns;
}

const char *bench_placement(double line_rtt_ns)
{
    return line_rtt_ns < 100 ? "close" : line_rtt_ns < 200 ? "near" : line_rtt_ns <= 300 ? "between" : "far";
}

void bench_beside_the_line(struct bench_result *result,
                           void (*measure)(struct bench_result *result, void *context), void *context)
{
    for (unsigned tries = 0; tries < MOST_TRIES; tries++) {
        double before = bench_line_rtt();
        measure(result, context);
        double after = bench_line_rtt();
        result->line_before_ns = before;
        result->line_after_ns = after;
        result->line_rtt_ns = (before + after) / 2;
        result->unsteady = before > 1.2 * after || after > 1.2 * before;
        if (!result->unsteady)
            return;
        result->thrown_away++;
    }
}

struct latency {
    void (*measure)(void *context, struct histogram *histogram);
    void *context;
    struct histogram histogram;
};

static void measure_latency(struct bench_result *result, void *context)
{
    struct latency *latency = context;
    histogram_reset(&latency->histogram);
    latency->measure(latency->context, &latency->histogram);
    double cost = bench_clock_cost();
    result->rtt_p50_ns = (double)histogram_quantile(&latency->histogram, 0.5) - cost;
    result->rtt_p99_ns = (double)histogram_quantile(&latency->histogram, 0.99) - cost;
    bench_take_quantiles(result, &latency->histogram, cost);
}

void bench_latency(struct bench *bench, const char *name, uint64_t size_bytes,
                   void (*measure)(void *context, struct histogram *histogram), void *context)
{
    static struct latency latency;
    latency.measure = measure;
    latency.context = context;
    struct bench_result *result = bench_add(bench, name, size_bytes);
    bench_beside_the_line(result, measure_latency, &latency);
    result->ratio_to_line = result->rtt_p50_ns / result->line_rtt_ns;
    bench_print(bench, result);
}

static struct histogram last;

void bench_take_quantiles(struct bench_result *result, const struct histogram *histogram, double clock_cost)
{
    last = *histogram;
    for (unsigned i = 0; i < BENCH_QUANTILES; i++) {
        double ns = (double)histogram_quantile(histogram, bench_quantile(i)) - clock_cost;
        result->quantiles[i] = ns < 1 ? 1 : ns;
    }
}

bool bench_write_hgrm(FILE *file)
{
    if (last.count > 0)
        histogram_write_hgrm(&last, file);
    return last.count > 0;
}
