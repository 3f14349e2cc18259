/* hermes bench topic: messages between two processes, through a broker of its own. */
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/flow.h"

static const uint32_t sizes[] = {32, 64, 256, 1024};

enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const struct {
    const char *name;
    const char *group;
    uint32_t ack;
} kinds[] = {{"alone", NULL, HERMES_ACK_AUTO},
             {"member of a group", "risk", HERMES_ACK_AUTO},
             {"member of a group, at most once", "desk", HERMES_ACK_NONE}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* What a message costs who reads it where it stands: a window that was filled before, round after round, each
 * kind of subscriber in turn. */
static void reading_costs(struct bench *bench, bool verify)
{
    enum { MESSAGES = 30000, SIZE = 32 };
    static uint8_t payload[SIZE];
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, "there", verify ? 0 : HERMES_PUBLISH_NO_CRC);
    hermes_subscriber_t *subscribers[KINDS];
    double best[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        struct flow flow = {.there = "there",
                            .group = kinds[kind].group,
                            .ack = kinds[kind].ack,
                            .flags = verify ? 0 : HERMES_PUBLISH_NO_CRC};
        subscribers[kind] = flow_subscribe(client, &flow);
        best[kind] = INFINITY;
    }
    for (uint64_t round = 0; round < 5 + bench->scale / 2; round++) {
        for (int i = 0; i < MESSAGES; i++)
            bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
        for (int kind = 0; kind < KINDS; kind++) {
            hermes_message_t message;
            uint64_t sum = 0, start = cli_now_ns();
            for (int i = 0; i < MESSAGES; i++) {
                bench_must(hermes_poll(subscribers[kind], &message) - 1, "poll", hermes_last_error(client));
                sum += bench_read(message.payload, message.length);
            }
            double cost = (double)(cli_now_ns() - start) / MESSAGES;
            bench_keep(sum);
            best[kind] = cost < best[kind] ? cost : best[kind];
        }
    }
    for (int kind = 0; kind < KINDS; kind++) {
        struct bench_result *result = bench_add(bench, "", SIZE);
        snprintf(result->name, sizeof result->name, "poll, %s%s", kinds[kind].name,
                 verify ? ", verified" : "");
        result->ns_per_operation = best[kind];
        bench_print(bench, result);
    }
    hermes_disconnect(client);
}

/* Beside a publisher on the other core. */
static void members(struct bench *bench, const struct flow *base)
{
    struct flow flow = *base;
    flow.there = "there";
    flow.back = "back";
    flow.flags = HERMES_PUBLISH_NO_CRC;
    flow.size = 32;
    for (int kind = 0; kind < KINDS; kind++) {
        char name[64];
        flow.group = kinds[kind].group;
        flow.ack = kinds[kind].ack;
        snprintf(name, sizeof name, "topic, %s", kinds[kind].name);
        flow_stream(bench, &flow, name, true);
        snprintf(name, sizeof name, "topic round trip, %s", kinds[kind].name);
        bench_latency(bench, name, flow.size, flow_round_trips, &flow);
    }
}

/* What can be set beside a broker that pushes back: all arrives. */
static void lossless(struct bench *bench, const struct flow *base)
{
    struct flow flow = *base;
    flow.there = "push-back";
    flow.back = "push-back-answers";
    flow.flags = HERMES_PUBLISH_NO_CRC;
    flow.push_back = true;
    for (int i = 0; i < SIZES; i++) {
        flow.size = sizes[i];
        bench_latency(bench, "push-back topic round trip, no checksum", flow.size, flow_round_trips, &flow);
        flow.stamped = true;
        bench_latency(bench, "push-back topic, own stamp, round trip, no checksum", flow.size,
                      flow_round_trips, &flow);
        flow.stamped = false;
        flow.batch = false;
        flow_stream(bench, &flow, "push-back topic, one at a time, no checksum", false);
        flow.batch = true;
        flow_stream(bench, &flow, "push-back topic, batches of 32, no checksum", false);
    }
}

/* A memory topic without push-back does not wait: who is overtaken skips. */
static void lossy(struct bench *bench, const struct flow *base)
{
    struct flow flow = *base;
    flow.there = "there";
    flow.back = "back";
    for (int i = 0; i < 2; i++) {
        flow.size = 32;
        flow.flags = i == 0 ? HERMES_PUBLISH_NO_CRC : 0;
        bench_latency(bench,
                      i == 0 ? "topic round trip, no checksum" : "topic round trip, checksum and verify",
                      flow.size, flow_round_trips, &flow);
    }
    flow.flags = HERMES_PUBLISH_NO_CRC;
    for (int i = 0; i < SIZES; i++) {
        flow.size = sizes[i];
        flow_stream(bench, &flow, "topic, one at a time, no checksum", true);
    }
    flow.size = 32;
    flow.batch = true;
    flow_stream(bench, &flow, "topic, batches of 32, no checksum", true);
    flow.batch = false;
    flow.flags = 0;
    flow.size = 64;
    flow_stream(bench, &flow, "topic, one at a time, checksum and verify", true);
}

static void stored_and_shared(struct bench *bench, const struct flow *base)
{
    struct flow flow = *base;
    flow.size = 64;
    flow.count /= 10;
    flow.there = "async";
    flow_stream(bench, &flow, "stored topic, one at a time", false);
    flow.batch = true;
    flow_stream(bench, &flow, "stored topic, batches of 32", false);
    flow.batch = false;
    flow.there = "shared";
    flow.flags = HERMES_PUBLISH_NO_CRC;
    flow_stream(bench, &flow, "shared topic (three processes, two cores)", true);
}

void bench_topic(struct bench *bench)
{
    /* Whole batches. */
    struct flow flow = {.count = (50000 * bench->scale + 319) / 320 * 320,
                        .rounds = 1000 * bench->scale,
                        .ready = bench_shared(64)};
    struct bench_broker broker;
    bench_broker_start(&broker);
    hermes_client_t *client = cli_connect();
    bench_create(client, "there", HERMES_DURABILITY_MEMORY, 0);
    bench_create(client, "back", HERMES_DURABILITY_MEMORY, 0);
    bench_create_push_back(client, "push-back", HERMES_DURABILITY_MEMORY);
    bench_create_push_back(client, "push-back-answers", HERMES_DURABILITY_MEMORY);
    bench_create(client, "async", HERMES_DURABILITY_ASYNC, 0);
    bench_create(client, "shared", HERMES_DURABILITY_MEMORY, 1);
    hermes_disconnect(client);
    lossless(bench, &flow);
    lossy(bench, &flow);
    reading_costs(bench, true);
    reading_costs(bench, false);
    members(bench, &flow);
    stored_and_shared(bench, &flow);
    bench_broker_stop(&broker);
    munmap((void *)flow.ready, 64);
}
