/* hermes bench udp: which flows. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/udp.h"

enum { SMALL = 32, MIDDLE = 64, LARGE = 1024 };

static void round_trips(struct bench *bench, struct udp_flow *flow)
{
    flow->size = MIDDLE;
    flow->count = 100 * bench->scale;
    bench_latency(bench, "bare udp, round trip", flow->size, udp_bare_round_trips, flow);
    bench_latency(bench, "mirror, round trip", flow->size, udp_round_trips, flow);
}

static void streams(struct bench *bench, struct udp_flow *flow)
{
    static const uint32_t sizes[] = {SMALL, LARGE};
    static const struct {
        const char *name;
        uint32_t lost_ppm;
    } losses[] = {{"mirror, stream", 0},
                  {"mirror, stream, 1 % lost", UDP_PPM / 100},
                  {"mirror, stream, 10 % lost", UDP_PPM / 10}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t k = 0; k < sizeof losses / sizeof losses[0]; k++) {
            flow->size = sizes[i];
            flow->count = (sizes[i] == SMALL ? 20000 : 4000) * bench->scale;
            flow->lost_ppm = losses[k].lost_ppm;
            struct bench_result *result = bench_add(bench, losses[k].name, flow->size);
            bench_beside_the_line(result, udp_stream, flow);
            bench_print(bench, result);
        }
}

static void by_the_clock(struct bench *bench, struct udp_flow *flow, const char *name, uint64_t count,
                         void (*measure)(struct bench_result *result, void *context))
{
    flow->size = MIDDLE;
    flow->count = count;
    struct bench_result *result = bench_add(bench, name, flow->size);
    bench_beside_the_line(result, measure, flow);
    bench_print(bench, result);
}

static void repairs(struct bench *bench, struct udp_flow *flow)
{
    flow->lost_ppm = UDP_PPM / 100;
    flow->pace_ns = 10000;
    by_the_clock(bench, flow, "mirror, a message each 10 us, 1 % lost", 1000 * bench->scale, udp_repairs);
    flow->lost_ppm = UDP_PPM / 4;
    flow->pace_ns = 1000000;
    by_the_clock(bench, flow, "mirror, a message each ms, 25 % lost", 10 * bench->scale, udp_repairs);
}

static void to_many(struct bench *bench, struct udp_flow *flow)
{
    char group[64];
    if (!udp_has_groups()) {
        fprintf(stderr, "groups are left out: what is sent to one on this host does not come back\n");
        return;
    }
    snprintf(group, sizeof group, "udp://" UDP_GROUP ":%d", 20000 + getpid() % 20000);
    flow->group = group;
    flow->lost_ppm = UDP_PPM / 10000;
    flow->pace_ns = 50000;
    by_the_clock(bench, flow, "mirror, to three receivers of a group, 0.01 % lost", 200 * bench->scale,
                 udp_to_many);
    flow->group = NULL;
}

void bench_udp(struct bench *bench)
{
    struct udp_flow flow = {.shared = bench_shared(sizeof(struct udp_shared)), .receivers = 1};
    round_trips(bench, &flow);
    streams(bench, &flow);
    repairs(bench, &flow);
    to_many(bench, &flow);
    udp_idle(bench);
    udp_memory(bench);
    munmap(flow.shared, sizeof *flow.shared);
}
