#include "bench/flow.h"

#include <stdlib.h>

enum { BATCH = 32, SILENCE_NS = 500000000 };
enum { PUBLISHED = 3 }; /* what flow->ready is at the end */

static void wait_for(const struct flow *flow, uint32_t value)
{
    for (uint64_t looks = 1; atomic_load(flow->ready) != value; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
}

hermes_subscriber_t *flow_subscribe(hermes_client_t *client, const struct flow *flow)
{
    /* A group that was there before would begin with what it left, which is no part of this flow. */
    int rc = flow->group ? hermes_group_delete(client, flow->there, flow->group) : HERMES_OK;
    if (rc != HERMES_ENOTFOUND)
        bench_must(rc, flow->group, hermes_last_error(client));
    hermes_subscriber_t *subscriber;
    hermes_subscriber_options_t options = {.size = sizeof options,
                                           .group = flow->group,
                                           .ack = flow->ack,
                                           .flags = flow->push_back ? HERMES_SUBSCRIBE_PUSH_BACK : 0};
    bench_must(hermes_subscriber_open(client, flow->there, &options, &subscriber), flow->there,
               hermes_last_error(client));
    hermes_subscriber_set_verify(subscriber, flow->flags == 0);
    return subscriber;
}

static int publish(hermes_publisher_t *publisher, const struct flow *flow, const void *payload, size_t length)
{
    return flow->stamped ? hermes_publish_at(publisher, 1, payload, length, NULL)
                         : hermes_publish(publisher, payload, length, NULL);
}

static void echo(void *context)
{
    struct flow *flow = context;
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = flow_subscribe(client, flow);
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
        bench_must(publish(publisher, flow, message.payload, message.length), "publish",
                   hermes_last_error(client));
        i++;
    }
    hermes_disconnect(client);
}

void flow_round_trips(void *context, struct histogram *histogram)
{
    struct flow *flow = context;
    static uint8_t payload[65536];
    atomic_store(flow->ready, 0);
    pid_t child = bench_child(echo, flow);
    hermes_client_t *client = cli_connect();
    struct flow answers = {.there = flow->back, .flags = flow->flags, .push_back = flow->push_back};
    hermes_subscriber_t *subscriber = flow_subscribe(client, &answers);
    hermes_publisher_t *publisher = bench_publish_to(client, flow->there, flow->flags);
    hermes_message_t message;
    wait_for(flow, 1);
    for (uint64_t i = 0, looks = 1; i < flow->rounds; i++) {
        uint64_t start = cli_now_ns();
        bench_must(publish(publisher, flow, payload, flow->size), "publish", hermes_last_error(client));
        int rc;
        while ((rc = hermes_poll(subscriber, &message)) == 0) {
            cpu_relax();
            bench_other_lives(looks++);
        }
        bench_must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    bench_join(child);
    hermes_disconnect(client);
}

static void produce(void *context)
{
    struct flow *flow = context;
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
    atomic_store(flow->ready, PUBLISHED);
}

struct stream {
    struct flow *flow;
    bool may_lose;
};

/* Until the last message is there, or, where they may have been overwritten, be it all of them, for half a
 * second of silence behind the last. Returns how many came; end_ns: when the last one did. */
static uint64_t receive(hermes_client_t *client, hermes_subscriber_t *subscriber, const struct stream *stream,
                        uint64_t *end_ns)
{
    hermes_message_t message = {.sequence = 0};
    uint64_t received = 0, last = 0, sum = 0, idle_since = 0, looks = 1;
    while (last == 0 || message.sequence != last) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            bench_other_lives(looks++);
            uint64_t now = stream->may_lose ? cli_now_ns() : 0;
            if (idle_since == 0)
                idle_since = now;
            if (stream->may_lose && atomic_load(stream->flow->ready) == PUBLISHED &&
                now - idle_since > SILENCE_NS)
                break;
            continue;
        }
        idle_since = 0;
        if (rc == HERMES_EGONE && stream->may_lose)
            continue;
        bench_must(rc, "poll", hermes_last_error(client));
        sum += bench_read(message.payload, message.length);
        if (received++ == 0)
            last = message.sequence + stream->flow->count - 1;
    }
    bench_keep(sum);
    *end_ns = idle_since != 0 ? idle_since : cli_now_ns();
    return received;
}

static void measure_stream(struct bench_result *result, void *context)
{
    const struct stream *stream = context;
    struct flow *flow = stream->flow;
    atomic_store(flow->ready, 0);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = flow_subscribe(client, flow);
    pid_t child = bench_child(produce, flow);
    wait_for(flow, 1);
    uint64_t end, start = cli_now_ns();
    atomic_store(flow->ready, 2);
    uint64_t received = receive(client, subscriber, stream, &end);
    bench_join(child);
    hermes_disconnect(client);
    if (received < flow->count && !stream->may_lose)
        exit(cli_fail(flow->there, 0, "messages are missing"));
    result->messages_per_second = (double)received * 1e9 / (double)(end - start);
    result->bytes_per_second = result->messages_per_second * (double)hermes_frame_bytes(flow->size);
    result->may_lose = stream->may_lose;
    result->lost_percent = 100 - 100 * (double)received / (double)flow->count;
}

void flow_stream(struct bench *bench, struct flow *flow, const char *name, bool may_lose)
{
    struct stream stream = {flow, may_lose};
    struct bench_result *result = bench_add(bench, name, flow->size);
    bench_beside_the_line(result, measure_stream, &stream);
    bench_print(bench, result);
}
