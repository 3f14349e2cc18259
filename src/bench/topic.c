/* hermes bench topic: messages between two processes, through a broker of its own. */
#include <stdlib.h>

#include "bench/bench.h"

enum { BATCH = 32 };

struct topic_flow {
    uint64_t count, rounds;
    uint32_t size;
    uint32_t flags;
    bool batch;
    const char *there, *back;
    const char *group; /* whose member the subscriber is; NULL: none */
    uint32_t ack;
    _Atomic uint32_t *ready;
};

static void wait_for(const struct topic_flow *flow, uint32_t value)
{
    for (uint64_t looks = 1; atomic_load(flow->ready) != value; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
}

static hermes_subscriber_t *subscribe(hermes_client_t *client, const struct topic_flow *flow, bool verify)
{
    hermes_subscriber_t *subscriber;
    hermes_subscriber_options_t options = {.size = sizeof options, .group = flow->group, .ack = flow->ack};
    bench_must(hermes_subscriber_open(client, flow->there, &options, &subscriber), flow->there,
               hermes_last_error(client));
    hermes_subscriber_set_verify(subscriber, verify);
    return subscriber;
}

static void topic_echo(void *context)
{
    struct topic_flow *flow = context;
    hermes_client_t *client = cli_connect();
    bool verify = flow->flags == 0;
    hermes_subscriber_t *subscriber = subscribe(client, flow, verify);
    hermes_publisher_t *publisher = bench_publish_to(client, flow->back, flow->flags);
    hermes_message_t message;
    atomic_store(flow->ready, 1);
    for (uint64_t i = 0; i < flow->rounds;) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            continue;
        }
        bench_must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        bench_must(hermes_publish(publisher, message.payload, message.length, NULL), "publish",
                   hermes_last_error(client));
        i++;
    }
    hermes_disconnect(client);
}

static void topic_rtt(void *context, struct histogram *histogram)
{
    struct topic_flow *flow = context;
    static uint8_t payload[65536];
    atomic_store(flow->ready, 0);
    pid_t child = bench_child(topic_echo, flow);
    hermes_client_t *client = cli_connect();
    bool verify = flow->flags == 0;
    hermes_subscriber_t *subscriber = bench_subscribe(client, flow->back, verify);
    hermes_publisher_t *publisher = bench_publish_to(client, flow->there, flow->flags);
    hermes_message_t message;
    wait_for(flow, 1);
    for (uint64_t i = 0; i < flow->rounds; i++) {
        uint64_t start = cli_now_ns();
        bench_must(hermes_publish(publisher, payload, flow->size, NULL), "publish",
                   hermes_last_error(client));
        int rc;
        while ((rc = hermes_poll(subscriber, &message)) == 0)
            cpu_relax();
        bench_must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    bench_join(child);
    hermes_disconnect(client);
}

static void topic_produce(void *context)
{
    struct topic_flow *flow = context;
    static uint8_t payload[65536];
    hermes_slice_t slices[BATCH];
    for (int i = 0; i < BATCH; i++)
        slices[i] = (hermes_slice_t){payload, flow->size};
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, flow->there, flow->flags);
    atomic_store(flow->ready, 1);
    wait_for(flow, 2);
    for (uint64_t i = 0; i < flow->count; i += flow->batch ? BATCH : 1) {
        int64_t rc = flow->batch ? hermes_publish_batch(publisher, slices, BATCH)
                                 : hermes_publish(publisher, payload, flow->size, NULL);
        bench_must((int)rc, "publish", hermes_last_error(client));
    }
    bench_must(hermes_publisher_wait(publisher, HERMES_COMMITTED, 60000000000u), "commit",
               hermes_last_error(client));
    hermes_disconnect(client);
}

/*
 * A memory topic does not push back: who is overtaken skips. What counts is what the subscriber has
 * received, and its rate is what is reported; `lost` counts against it by itself.
 */
static void topic_throughput(struct bench *bench, struct topic_flow *flow, const char *name)
{
    struct bench_result *result = bench_add(bench, name, flow->size);
    result->line_rtt_ns = bench_line_rtt();
    atomic_store(flow->ready, 0);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = subscribe(client, flow, flow->flags == 0);
    pid_t child = bench_child(topic_produce, flow);
    hermes_message_t message = {.sequence = 0};
    wait_for(flow, 1);
    uint64_t received = 0, first = 0, sum = 0, start = cli_now_ns(), idle_since = 0;
    atomic_store(flow->ready, 2);
    for (;;) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            /* The last message may have been overwritten: half a second of silence is the end. */
            uint64_t now = cli_now_ns();
            if (idle_since == 0)
                idle_since = now;
            if (received > 0 && now - idle_since > 500000000)
                break;
            continue;
        }
        idle_since = 0;
        if (rc == HERMES_EGONE)
            continue;
        bench_must(rc, "poll", hermes_last_error(client));
        sum += bench_read(message.payload, message.length);
        if (received++ == 0)
            first = message.sequence;
        if (message.sequence - first + 1 >= flow->count)
            break;
    }
    uint64_t end = idle_since != 0 ? idle_since : cli_now_ns();
    bench_keep(sum);
    result->messages_per_second = (double)received * 1e9 / (double)(end - start);
    result->bytes_per_second = result->messages_per_second * (double)hermes_frame_bytes(flow->size);
    bench_join(child);
    hermes_disconnect(client);
    bench_print(bench, result);
}

static double publish_cost(hermes_publisher_t *publisher, uint64_t rounds, uint32_t size)
{
    static uint8_t payload[65536];
    uint64_t start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        bench_must(hermes_publish(publisher, payload, size, NULL), "publish", "");
    return (double)(cli_now_ns() - start) / (double)rounds;
}

static void publishing_alone(struct bench *bench)
{
    hermes_client_t *client = cli_connect();
    static const struct {
        const char *name;
        uint32_t flags;
    } ways[] = {{"publish, nobody reads", 0},
                {"publish without checksum, nobody reads", HERMES_PUBLISH_NO_CRC}};
    for (int i = 0; i < 2; i++) {
        hermes_publisher_t *publisher = bench_publish_to(client, "there", ways[i].flags);
        struct bench_result *result = bench_add(bench, ways[i].name, 64);
        result->ns_per_operation = publish_cost(publisher, 50000 * bench->scale, 64);
        bench_print(bench, result);
        hermes_publisher_close(publisher);
    }
    hermes_disconnect(client);
}

/* ---- groups ---- */

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
        struct topic_flow flow = {.there = "there", .group = kinds[kind].group, .ack = kinds[kind].ack};
        subscribers[kind] = subscribe(client, &flow, verify);
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
static void members(struct bench *bench, struct topic_flow *flow)
{
    for (int kind = 0; kind < KINDS; kind++) {
        char name[64];
        flow->group = kinds[kind].group;
        flow->ack = kinds[kind].ack;
        snprintf(name, sizeof name, "topic, %s", kinds[kind].name);
        topic_throughput(bench, flow, name);
        snprintf(name, sizeof name, "topic round trip, %s", kinds[kind].name);
        bench_latency(bench, name, flow->size, topic_rtt, flow);
    }
    flow->group = NULL;
    flow->ack = HERMES_ACK_AUTO;
}

void bench_topic(struct bench *bench)
{
    struct topic_flow flow = {.count = 50000 * bench->scale,
                              .rounds = 1000 * bench->scale,
                              .there = "there",
                              .back = "back",
                              .ready = bench_shared(64)};
    static const uint32_t sizes[] = {32, 64, 256, 1024};
    struct bench_broker broker;
    bench_broker_start(&broker);
    hermes_client_t *client = cli_connect();
    bench_create(client, "there", HERMES_DURABILITY_MEMORY, 0);
    bench_create(client, "back", HERMES_DURABILITY_MEMORY, 0);
    bench_create(client, "async", HERMES_DURABILITY_ASYNC, 0);
    bench_create(client, "shared", HERMES_DURABILITY_MEMORY, 1);
    hermes_disconnect(client);

    flow.size = 32;
    flow.flags = HERMES_PUBLISH_NO_CRC;
    bench_latency(bench, "topic round trip, no checksum", 32, topic_rtt, &flow);
    flow.flags = 0;
    bench_latency(bench, "topic round trip, checksum and verify", 32, topic_rtt, &flow);
    publishing_alone(bench);
    for (int i = 0; i < 4; i++) {
        flow.size = sizes[i];
        flow.flags = HERMES_PUBLISH_NO_CRC;
        topic_throughput(bench, &flow, "topic, one at a time, no checksum");
    }
    flow.size = 32;
    reading_costs(bench, true);
    reading_costs(bench, false);
    members(bench, &flow);
    flow.batch = true;
    topic_throughput(bench, &flow, "topic, batches of 32, no checksum");
    flow.batch = false;
    flow.flags = 0;
    flow.size = 64;
    topic_throughput(bench, &flow, "topic, one at a time, checksum and verify");
    flow.there = "async";
    flow.count /= 10;
    topic_throughput(bench, &flow, "stored topic, one at a time");
    flow.there = "shared";
    flow.flags = HERMES_PUBLISH_NO_CRC;
    topic_throughput(bench, &flow, "shared topic (three processes, two cores)");
    bench_broker_stop(&broker);
}
