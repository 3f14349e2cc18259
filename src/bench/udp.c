/* hermes bench udp: which flows. */
#include <stdio.h>
#include <sys/mman.h>

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

void bench_udp(struct bench *bench)
{
    struct udp_flow flow = {.shared = bench_shared(sizeof(struct udp_shared))};
    round_trips(bench, &flow);
    streams(bench, &flow);
    munmap(flow.shared, sizeof *flow.shared);
}
