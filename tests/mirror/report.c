#include "mirror/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror/random.h"
#include "mirror/world.h"

enum { MILLION = 1000000, TIMES_MAX = 16384 };

/* How late writes were delivered, of each that was late at all: beyond what the way takes. */
struct lateness {
    uint64_t ns[TIMES_MAX];
    uint32_t count;
};

static bool ok;

static void tell(const char *what, double is, const char *sign, double bar, const char *unit)
{
    bool good = *sign == '<' ? is <= bar : is >= bar;
    ok &= good;
    printf("%-76s %10.3f %s= %.3f %s%s\n", what, is, sign, bar, unit, good ? "" : "   NOT REACHED");
}

static struct world *run(const struct scenario *scenario, struct lateness *lateness,
                         void (*delivered)(struct world *, struct host *, uint64_t, uint64_t))
{
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL)
        abort();
    world->delivered = delivered;
    world->context = lateness;
    if (!world_run(world, scenario)) {
        printf("FAILED: %s\n", world->broken);
        ok = false;
    }
    return world;
}

static void end(struct world *world)
{
    world_free(world);
    free(world);
}

static struct scenario unicast(uint64_t rtt_ns, uint32_t loss)
{
    return (struct scenario){
        .seed = 4711,
        .receivers = 1,
        .group_min = 1,
        .down = {.delay_ns = rtt_ns / 2, .loss = loss},
        .up = {.delay_ns = rtt_ns / 2, .loss = loss},
        .silence_ns = 1000000000,
        .window_bytes = 4 << 20,
    };
}

/* A log that is there at once, as fast as the pacer lets it. */
static struct scenario bulk(uint64_t rtt_ns, uint32_t loss, uint64_t log_bytes, uint64_t bytes_per_s)
{
    struct scenario s = unicast(rtt_ns, loss);
    s.log_bytes = s.write_bytes = log_bytes;
    s.write_every_ns = 1;
    s.bytes_per_s = bytes_per_s;
    return s;
}

static uint64_t begun_ns;

static void note_begin(struct world *w, struct host *host, uint64_t position, uint64_t bytes)
{
    (void)host;
    (void)bytes;
    if (position == 0)
        begun_ns = w->network.now_ns;
}

/* ---- goodput ---- */

static void report_goodput(uint32_t loss, double bar)
{
    const uint64_t bytes = 32 << 20, rate = 125000000;
    struct scenario s = bulk(100000, loss, bytes, rate);
    struct world *w = run(&s, NULL, note_begin);
    double p = (double)loss / MILLION,
           share = (double)DATAGRAM_SLICE_BYTES / (DATAGRAM_SLICE_BYTES + DATAGRAM_HEAD_BYTES);
    double took_s = (double)(w->host[0].delivered_ns - begun_ns) / 1e9;
    char what[96];
    snprintf(what, sizeof what, "goodput, 1 Gbit/s, RTT 100 us, %g %% loss: of (1-p) x rate", p * 100);
    tell(what, (double)bytes / took_s / ((double)rate * share * (1 - p)), ">", bar, "");
    snprintf(what, sizeof what, "repairs, %g %% loss: of p/(1-p)", p * 100);
    if (loss > 0)
        tell(what, (double)w->repair_bytes / (double)bytes / (p / (1 - p)), "<", 1.1, "");
    end(w);
}

/*
 * The best that any protocol can do that has this window and learns of a loss no sooner than the next
 * datagram would have been there: each loss costs one round trip, nothing else. Returns seconds.
 */
static double ideal_s(uint64_t bytes, uint64_t window_bytes, double rtt_s, double p, double bytes_per_s)
{
    uint32_t slices = (uint32_t)(bytes / DATAGRAM_SLICE_BYTES),
             window = (uint32_t)(window_bytes / DATAGRAM_SLICE_BYTES);
    double *complete = calloc(slices + 1, sizeof *complete), sent = 0,
           all = 0; /* when all up to there had arrived */
    uint64_t random = 99;
    if (complete == NULL)
        abort();
    for (uint32_t i = 0; i < slices; i++) {
        sent += (DATAGRAM_SLICE_BYTES + DATAGRAM_HEAD_BYTES) / bytes_per_s;
        if (i >= window && complete[i - window] + rtt_s / 2 > sent)
            sent = complete[i - window] + rtt_s / 2;
        double arrives = sent + rtt_s / 2;
        while ((double)random_below(&random, MILLION) < p * MILLION)
            arrives += rtt_s;
        all = arrives > all ? arrives : all;
        complete[i] = all;
    }
    free(complete);
    return all;
}

static void report_long_way(void)
{
    const uint64_t bytes = 64 << 20;
    struct scenario s = bulk(50000000, 50000, bytes, 1250000000);
    struct world *w = run(&s, NULL, note_begin);
    double took_s = (double)(w->host[0].delivered_ns - begun_ns) / 1e9;
    double ideal = ideal_s(bytes, s.window_bytes, 0.05, 0.05, 1250000000) - 0.025;
    printf("# 64 MiB over 50 ms at 5 %% loss through a window of 4 MiB: %.3f s, %.1f MB/s\n", took_s,
           (double)bytes / took_s / 1e6);
    tell("goodput there: of the best that window allows", ideal / took_s, ">", 0.85, "");
    tell("repairs there: of p/(1-p)", (double)w->repair_bytes / (double)bytes / (0.05 / 0.95), "<", 1.1, "");
    end(w);
}

/* A link of 20 MB/s with a queue of 10 ms, and nobody who says how fast it is. */
static void report_congestion(uint32_t loss, double bar)
{
    const uint64_t bytes = 64 << 20, rate = 20000000;
    struct scenario s = bulk(10000000, loss, bytes, 0);
    s.congestion = true;
    s.down.bytes_per_s = rate;
    s.down.queue_ns = 10000000;
    struct world *w = run(&s, NULL, note_begin);
    double took_s = (double)(w->host[0].delivered_ns - begun_ns) / 1e9, p = (double)loss / MILLION;
    char what[96];
    snprintf(what, sizeof what, "congestion control, 20 MB/s, RTT 10 ms, %g %% loss: of (1-p) x rate",
             p * 100);
    tell(what, (double)bytes / took_s / ((double)rate * (1 - p)), ">", bar, "");
    snprintf(what, sizeof what, "lost there: of what was sent, beyond the link's own %g %%", p * 100);
    tell(what, (double)w->lost_bytes / (double)(bytes + w->repair_bytes) - p, "<", 0.08, "");
    end(w);
}

/* ---- repairs and NAKs ---- */

static void report_crowd(void)
{
    struct scenario s = bulk(100000, 0, 4 << 20, 125000000);
    s.multicast = true;
    s.receivers = s.group_min = 50;
    s.flow = SENDER_MIN_GROUP;
    s.shared.loss = 10000;
    struct world *w = run(&s, NULL, note_begin);
    tell("NAKs for each datagram that all of 50 lost, 1 % loss", (double)w->naks / (double)w->shared_lost,
         "<", 3, "");
    tell("repairs for each of them", (double)w->repairs / (double)w->shared_lost, "<", 1.1, "");
    end(w);
}

/* ---- how late ---- */

static void note_lateness(struct world *w, struct host *host, uint64_t position, uint64_t bytes)
{
    const struct scenario *s = w->scenario;
    struct lateness *l = w->context;
    for (uint64_t at = position; at < position + bytes; at += s->write_bytes) {
        uint64_t written_ns = (at / s->write_bytes + 1) * s->write_every_ns;
        uint64_t way_ns = w->network.now_ns - written_ns, direct_ns = host->down.delay_ns;
        if (at > 0 && way_ns > direct_ns && l->count < TIMES_MAX)
            l->ns[l->count++] = way_ns - direct_ns;
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_us(struct lateness *l, double q)
{
    qsort(l->ns, l->count, sizeof l->ns[0], compare);
    return l->count == 0 ? 0 : (double)l->ns[(uint32_t)((l->count - 1) * q)] / 1000;
}

static void report_single(uint64_t rtt_ns)
{
    static struct lateness l;
    struct scenario s = unicast(rtt_ns, 1000);
    l.count = 0;
    s.write_bytes = 64;
    s.log_bytes = 64 * 20000;
    s.write_every_ns = 5000;
    end(run(&s, &l, note_lateness));
    tell("a single loss, RTT 25 us, a message every 5 us: repaired later by, p50", quantile_us(&l, 0.5), "<",
         (double)rtt_ns / 1000 + 20, "us");
}

static void report_tail(uint64_t rtt_ns)
{
    static struct lateness l;
    struct scenario s = unicast(rtt_ns, 10000);
    l.count = 0;
    s.write_bytes = 64;
    s.log_bytes = 64 * 10000;
    s.write_every_ns = 5000000;
    end(run(&s, &l, note_lateness));
    tell("a lost tail, RTT 25 us, nothing for 5 ms behind it: repaired later by, p50", quantile_us(&l, 0.5),
         "<", 400, "us");
    printf("# a lost tail: p99 %.1f us\n", quantile_us(&l, 0.99));
}

static void report_three(void)
{
    static struct lateness l;
    struct scenario s = unicast(25000, 100);
    l.count = 0;
    s.multicast = true;
    s.receivers = s.group_min = 3;
    s.flow = SENDER_MIN_GROUP;
    s.write_bytes = 64;
    s.log_bytes = 64 * 100000;
    s.write_every_ns = 10000;
    end(run(&s, &l, note_lateness));
    tell("three receivers, RTT 25 us, 0.01 % loss, a message every 10 us: later by, p90",
         quantile_us(&l, 0.9), "<", 150, "us");
}

bool report(void)
{
    ok = true;
    report_goodput(0, 0.99);
    report_goodput(10000, 0.97);
    report_goodput(100000, 0.90);
    report_goodput(300000, 0.85);
    report_long_way();
    report_congestion(0, 0.80);
    report_congestion(10000, 0.80);
    report_congestion(100000, 0.75);
    report_crowd();
    report_single(25000);
    report_tail(25000);
    report_three();
    tell("memory of a receiver beyond its window", (double)receiver_memory() / 1024, "<", 256, "KiB");
    return ok;
}
