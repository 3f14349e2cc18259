#include "bench/net.h"

#include <unistd.h>

enum { BATCH = 256 };
#define PATIENCE_NS 60000000000u

void net_reach(const struct net_flow *flow, uint32_t step)
{
    atomic_store(&flow->shared->step, step);
}

void net_await(const struct net_flow *flow, uint32_t step)
{
    for (uint64_t looks = 1; atomic_load(&flow->shared->step) < step; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
}

static hermes_subscriber_t *subscribe(hermes_client_t *client, const char *topic)
{
    hermes_subscriber_t *subscriber = bench_subscribe(client, topic, false);
    hermes_subscriber_set_spin(subscriber, 0);
    return subscriber;
}

static void next(hermes_client_t *client, hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    int rc = hermes_wait(subscriber, message, PATIENCE_NS);
    bench_must(rc == 0 ? HERMES_ETIMEOUT : rc, "receive", hermes_last_error(client));
}

static void spin_for_next(hermes_client_t *client, hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    int rc;
    while ((rc = hermes_poll(subscriber, message)) == 0)
        cpu_relax();
    bench_must(rc, "receive", hermes_last_error(client));
}

static void publish(hermes_client_t *client, hermes_publisher_t *publisher, const void *bytes, size_t length)
{
    bench_must(hermes_publish(publisher, bytes, length, NULL), "publish", hermes_last_error(client));
}

/* ---- one way ---- */

void net_publish_all(void *context)
{
    const struct net_flow *flow = context;
    static uint8_t payload[65536];
    hermes_slice_t slices[BATCH];
    for (int i = 0; i < BATCH; i++)
        slices[i] = (hermes_slice_t){payload, flow->size};
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, flow->topic, HERMES_PUBLISH_NO_CRC);
    net_reach(flow, 1);
    net_await(flow, 2);
    uint64_t before = bench_cpu_ns(getpid());
    for (uint64_t left = flow->count; left > 0;) {
        size_t some = left < BATCH ? left : BATCH;
        bench_must((int)hermes_publish_batch(publisher, slices, some), "publish", hermes_last_error(client));
        left -= some;
    }
    bench_must(hermes_publisher_wait(publisher, HERMES_COMMITTED, PATIENCE_NS), "commit",
               hermes_last_error(client));
    flow->shared->publisher_cpu_ns = bench_cpu_ns(getpid()) - before;
    hermes_disconnect(client);
}

void net_one_way(struct bench_result *result, void *context)
{
    struct net_flow *flow = context;
    hermes_message_t message;
    uint64_t sum = 0;
    net_reach(flow, 0);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = subscribe(client, flow->topic);
    pid_t child = bench_child(net_publish_all, flow);
    net_await(flow, 1);
    uint64_t cpu = bench_cpu_ns(getpid()) + bench_cpu_ns(flow->broker), start = cli_now_ns();
    net_reach(flow, 2);
    for (uint64_t i = 0; i < flow->count; i++) {
        next(client, subscriber, &message);
        sum += bench_read(message.payload, message.length);
    }
    uint64_t end = cli_now_ns();
    cpu = bench_cpu_ns(getpid()) + bench_cpu_ns(flow->broker) - cpu;
    bench_join(child);
    bench_keep(sum);
    hermes_disconnect(client);
    result->messages_per_second = (double)flow->count * 1e9 / (double)(end - start);
    result->cpu_seconds_per_million =
        (double)(cpu + flow->shared->publisher_cpu_ns) / 1e3 / (double)flow->count;
}

/* ---- there and back ---- */

struct end {
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
};

static struct end connect_to(const char *from, const char *to)
{
    hermes_client_t *client = cli_connect();
    return (struct end){client, bench_publish_to(client, to, HERMES_PUBLISH_NO_CRC), subscribe(client, from)};
}

void net_spinning_round_trips(void *context, struct histogram *histogram)
{
    const struct net_flow *flow = context;
    static uint8_t payload[65536];
    struct end asks = connect_to(flow->back, flow->topic), answers = connect_to(flow->topic, flow->back);
    hermes_message_t message;
    for (uint64_t i = 0; i < flow->count; i++) {
        uint64_t start = cli_now_ns();
        publish(asks.client, asks.publisher, payload, flow->size);
        spin_for_next(answers.client, answers.subscriber, &message);
        publish(answers.client, answers.publisher, message.payload, message.length);
        spin_for_next(asks.client, asks.subscriber, &message);
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    hermes_disconnect(asks.client);
    hermes_disconnect(answers.client);
}

static void answer_all(void *context)
{
    const struct net_flow *flow = context;
    struct end end = connect_to(flow->topic, flow->back);
    hermes_message_t message;
    net_reach(flow, 1);
    for (uint64_t i = 0; i < flow->count; i++) {
        next(end.client, end.subscriber, &message);
        publish(end.client, end.publisher, message.payload, message.length);
    }
    bench_must(hermes_publisher_wait(end.publisher, HERMES_COMMITTED, PATIENCE_NS), "commit",
               hermes_last_error(end.client));
    hermes_disconnect(end.client);
}

void net_sleeping_round_trips(void *context, struct histogram *histogram)
{
    struct net_flow *flow = context;
    static uint8_t payload[65536];
    net_reach(flow, 0);
    struct end end = connect_to(flow->back, flow->topic);
    pid_t child = bench_child(answer_all, flow);
    hermes_message_t message;
    net_await(flow, 1);
    for (uint64_t i = 0; i < flow->count; i++) {
        uint64_t start = cli_now_ns();
        publish(end.client, end.publisher, payload, flow->size);
        next(end.client, end.subscriber, &message);
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    bench_join(child);
    hermes_disconnect(end.client);
}
