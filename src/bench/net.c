/* hermes bench net: which brokers, which flows. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "bench/net.h"

/* A topic in memory drops what a subscriber has not got when its window has been filled once more. What is
 * measured fits into it: nothing can be lost, as nothing is where other brokers queue. */
#define WINDOW_BYTES (256ull << 20)
enum { SMALL = 64, LARGE = 1024 };

#define LISTENS "[net]\nlisten = tcp://127.0.0.1:0\n"
#define MANY "[broker]\nsessions_max = 4096\n[limits]\nsilent_per_address = 64\n"
#define SLEEPS "[broker]\nspin_us = 0\n"

static uint64_t at_most_a_window(uint64_t count, uint32_t size)
{
    uint64_t most = WINDOW_BYTES / hermes_frame_bytes(size) / 10 * 9;
    return count < most ? count : most;
}

static void create(const char *topic, uint32_t durability, uint64_t window_bytes)
{
    hermes_client_t *client = cli_connect();
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = durability,
                                      .window_bytes = window_bytes,
                                      .segment_bytes = window_bytes};
    bench_must(hermes_topic_create(client, topic, &options), topic, hermes_last_error(client));
    hermes_disconnect(client);
}

static void beside_the_line(struct bench *bench, const char *name, struct net_flow *flow,
                            void (*measure)(struct bench_result *result, void *context))
{
    struct bench_result *result = bench_add(bench, name, flow->size);
    bench_beside_the_line(result, measure, flow);
    bench_print(bench, result);
}

/* ---- what goes one way ---- */

static void one_way(struct bench *bench, struct net_flow *flow)
{
    static const uint32_t sizes[] = {SMALL, LARGE};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        flow->size = sizes[i];
        flow->count = at_most_a_window((sizes[i] == SMALL ? 10000 : 2000) * bench->scale, sizes[i]);
        beside_the_line(bench, "bare tcp through a relay, batched", flow, net_bare_relay);
        flow->topic = "memory";
        beside_the_line(bench, "tcp, one way, batched, no checksum", flow, net_one_way);
        flow->topic = "stored";
        beside_the_line(bench, "tcp, one way, batched, stored, no checksum", flow, net_one_way);
    }
}

static void to_all(struct bench *bench, struct net_flow *flow)
{
    static const unsigned subscribers[] = {1, 10, 100};
    flow->topic = "memory";
    flow->size = SMALL;
    for (size_t i = 0; i < sizeof subscribers / sizeof subscribers[0]; i++) {
        char name[64];
        flow->subscribers = subscribers[i];
        flow->count = at_most_a_window(10000 * bench->scale / subscribers[i], SMALL);
        snprintf(name, sizeof name, "tcp, to %u subscriber%s, no checksum", subscribers[i],
                 subscribers[i] == 1 ? "" : "s");
        net_gather(flow);
        beside_the_line(bench, name, flow, net_to_all);
        net_disperse(flow);
    }
}

static void streams(struct bench *bench, struct net_flow *flow)
{
    struct bench_broker broker;
    bench_broker_start_listening(&broker, LISTENS MANY);
    flow->broker = broker.pid;
    create("memory", HERMES_DURABILITY_MEMORY, WINDOW_BYTES);
    create("stored", HERMES_DURABILITY_ASYNC, 0);
    one_way(bench, flow);
    to_all(bench, flow);
    bench_broker_stop(&broker);
}

static void encrypted(struct bench *bench, struct net_flow *flow)
{
    struct bench_broker broker;
    bench_broker_start_listening(&broker, "[net]\nlisten = tls://127.0.0.1:0\n");
    flow->broker = broker.pid;
    flow->topic = "memory";
    flow->size = LARGE;
    flow->count = at_most_a_window(2000 * bench->scale, LARGE);
    create("memory", HERMES_DURABILITY_MEMORY, WINDOW_BYTES);
    beside_the_line(bench, "tls, one way, batched, no checksum", flow, net_one_way);
    bench_broker_stop(&broker);
}

/* ---- there and back ---- */

static void round_trips(struct bench *bench, struct net_flow *flow, const char *configuration, int side,
                        const char *name, void (*measure)(void *context, struct histogram *histogram))
{
    struct bench_broker broker;
    bench_broker_start_listening(&broker, configuration);
    bench_pin_process(broker.pid, side);
    flow->broker = broker.pid;
    flow->topic = "questions";
    flow->back = "answers";
    flow->size = SMALL;
    create(flow->topic, HERMES_DURABILITY_MEMORY, 0);
    create(flow->back, HERMES_DURABILITY_MEMORY, 0);
    bench_latency(bench, name, flow->size, measure, flow);
    bench_broker_stop(&broker);
}

static void questions(struct bench *bench, struct net_flow *flow)
{
    flow->size = SMALL;
    flow->count = 100 * bench->scale;
    bench_latency(bench, "bare tcp, twice, request and reply, spinning", flow->size, net_bare_round_trips,
                  flow);
    round_trips(bench, flow, LISTENS "[broker]\nwait = spin\n", 1,
                "tcp, request and reply, spinning, no checksum", net_spinning_round_trips);
    flow->count = 30 * bench->scale;
    round_trips(bench, flow, LISTENS SLEEPS, -1, "tcp, request and reply, all asleep, no checksum",
                net_sleeping_round_trips);
}

/* ---- one event loop beside the other ---- */

static void lone(struct bench *bench, struct net_flow *flow, const char *backend)
{
    static const unsigned subscribers[] = {1, 64, 1000};
    struct bench_broker broker;
    char configuration[256];
    snprintf(configuration, sizeof configuration, LISTENS "backend = %s\n" MANY "%s", backend,
             "[broker]\nspin_us = 0\n");
    bench_broker_start_listening(&broker, configuration);
    flow->broker = broker.pid;
    flow->topic = "memory";
    flow->size = SMALL;
    create("memory", HERMES_DURABILITY_MEMORY, 0);
    for (size_t i = 0; i < sizeof subscribers / sizeof subscribers[0]; i++) {
        char name[64];
        flow->subscribers = subscribers[i];
        flow->count = 200 * bench->scale / subscribers[i] + 5;
        snprintf(name, sizeof name, "tcp on %s, lone messages to %u", backend, subscribers[i]);
        net_gather(flow);
        beside_the_line(bench, name, flow, net_lone_to_all);
        net_disperse(flow);
    }
    bench_broker_stop(&broker);
}

/* By turns would be better than one after the other; but a broker has one. */
static void loops(struct bench *bench, struct net_flow *flow)
{
    struct bench_broker broker;
    bench_broker_start(&broker);
    bool has_uring = strcmp(broker.backend, "io_uring") == 0;
    bench_broker_stop(&broker);
    if (has_uring)
        lone(bench, flow, "io_uring");
    else
        fprintf(stderr, "io_uring is left out: it cannot be had here\n");
    lone(bench, flow, "epoll");
}

void bench_net(struct bench *bench)
{
    struct net_flow flow = {.shared = bench_shared(sizeof(struct net_shared))};
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* a thousand connections are here, too */
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    streams(bench, &flow);
    encrypted(bench, &flow);
    questions(bench, &flow);
    loops(bench, &flow);
    munmap(flow.shared, sizeof *flow.shared);
    unsetenv("HERMES_URL");
    unsetenv("HERMES_TLS_CA");
}
