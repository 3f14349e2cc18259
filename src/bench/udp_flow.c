#include <stdlib.h>

#include "bench/udp.h"

enum { BATCH = 32, AHEAD_BYTES = 128 * 1024 };

static uint8_t payload[65536];

/* ---- there and back ---- */

static void answer(void *context)
{
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    hermes_message_t message;
    udp_open_sender(&side, 1);
    udp_open_receiver(&side, 0);
    udp_meet(&side);
    udp_reach(flow, UDP_MET);
    while (!udp_has_reached(flow, UDP_DONE))
        if (udp_turn(&side, &message) > 0) {
            udp_append(&side, 0, message.payload, (uint32_t)message.length);
            udp_send(&side);
        }
    udp_close(&side);
}

void udp_round_trips(void *context, struct histogram *histogram)
{
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    hermes_message_t message;
    udp_prepare(flow);
    flow->lost_ppm = 0;
    udp_begin(flow);
    pid_t child = bench_child(answer, flow);
    udp_open_sender(&side, 0);
    udp_open_receiver(&side, 1);
    udp_meet(&side);
    for (uint64_t looks = 1; !udp_has_reached(flow, UDP_MET); looks++) {
        (void)udp_turn(&side, &message);
        bench_other_lives(looks);
    }
    for (uint64_t i = 0, looks = 1; i < flow->count; i++) {
        uint64_t start = cli_now_ns();
        udp_append(&side, 0, payload, flow->size);
        udp_send(&side);
        while (udp_turn(&side, &message) == 0)
            bench_other_lives(looks++);
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    udp_reach(flow, UDP_DONE);
    bench_join(child);
    udp_close(&side);
    udp_end(flow);
}

/* ---- one way ---- */

static uint64_t sent(const struct udp_side *side)
{
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    (void)hermes_mirror_sender_describe(side->sender, &info);
    return info.position;
}

/* Not far ahead of what is sent: a log that is longer than its window is read from the store. */
static void produce(struct udp_side *side, const hermes_slice_t *slices)
{
    hermes_message_t none;
    for (uint64_t left = side->flow->count; left > 0; (void)udp_turn(side, &none)) {
        uint64_t position = sent(side);
        while (left > 0 && hermes_log_position(side->log) < position + AHEAD_BYTES) {
            int64_t taken = hermes_log_append_batch(side->log, slices, left < BATCH ? left : BATCH);
            if (taken == HERMES_EAGAIN)
                break;
            bench_must((int)taken, "append", hermes_log_last_error(side->log));
            left -= (uint64_t)taken;
        }
    }
}

static void stream_out(void *context)
{
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    hermes_slice_t slices[BATCH];
    hermes_message_t none;
    for (int i = 0; i < BATCH; i++)
        slices[i] = (hermes_slice_t){payload, flow->size};
    udp_open_sender(&side, 0);
    udp_meet(&side);
    udp_reach(flow, UDP_MET);
    while (!udp_has_reached(flow, UDP_GOES))
        (void)udp_turn(&side, &none);
    produce(&side, slices);
    while (!udp_has_reached(flow, UDP_DONE))
        (void)udp_turn(&side, &none);
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    (void)hermes_mirror_sender_describe(side.sender, &info);
    flow->shared->bytes = info.bytes;
    flow->shared->repair_bytes = info.repair_bytes;
    flow->shared->naks = info.naks;
    udp_close(&side);
}

void udp_stream(struct bench_result *result, void *context)
{
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    hermes_message_t message;
    uint64_t sum = 0, looks = 1;
    udp_prepare(flow);
    udp_begin(flow);
    pid_t child = bench_child(stream_out, flow);
    udp_open_receiver(&side, 0);
    udp_meet(&side);
    for (; !udp_has_reached(flow, UDP_MET); bench_other_lives(looks++))
        (void)udp_turn(&side, &message);
    uint64_t start = cli_now_ns();
    udp_reach(flow, UDP_GOES);
    for (uint64_t i = 0; i < flow->count;) {
        if (udp_turn(&side, &message) == 0) {
            bench_other_lives(looks++);
            continue;
        }
        sum += bench_read(message.payload, message.length);
        i++;
    }
    uint64_t end = cli_now_ns();
    udp_reach(flow, UDP_DONE);
    bench_join(child);
    bench_keep(sum);
    udp_close(&side);
    udp_end(flow);
    const struct udp_shared *shared = flow->shared;
    result->messages_per_second = (double)flow->count * 1e9 / (double)(end - start);
    result->bytes_per_second = result->messages_per_second * flow->size;
    if (flow->lost_ppm > 0)
        snprintf(result->note, sizeof result->note, "%.2f %% sent again, %llu NAKs",
                 100 * (double)shared->repair_bytes / (double)shared->bytes,
                 (unsigned long long)shared->naks);
}
