/* Many subscribers in one process, each with a connection of its own, in one event loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/net.h"

enum { READY = 64, PATIENCE_MS = 60000 };

struct member {
    hermes_client_t *client;
    hermes_subscriber_t *subscriber;
};

struct crowd {
    struct member *members;
    unsigned count;
    int events;
    uint64_t sum;
};

static void join(struct crowd *crowd, struct member *member, const char *topic)
{
    member->client = cli_connect();
    member->subscriber = bench_subscribe(member->client, topic, false);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
    int fd = hermes_subscriber_fd(member->subscriber);
    bench_must(fd, "a descriptor", hermes_last_error(member->client));
    if (epoll_ctl(crowd->events, EPOLL_CTL_ADD, fd, &event) != 0)
        exit(cli_fail("an event loop", 0, strerror(errno)));
}

/* All that it has; then it is armed. */
static uint64_t read_all(struct crowd *crowd, const struct member *member)
{
    hermes_message_t message;
    uint64_t count = 0;
    int rc;
    do {
        while ((rc = hermes_poll(member->subscriber, &message)) > 0) {
            crowd->sum += bench_read(message.payload, message.length);
            count++;
        }
        bench_must(rc, "receive", hermes_last_error(member->client));
    } while (hermes_subscriber_arm(member->subscriber) > 0);
    return count;
}

void net_gather(struct net_flow *flow)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct member *members = calloc(flow->subscribers, sizeof *members);
    int events = epoll_create1(EPOLL_CLOEXEC);
    if (crowd == NULL || members == NULL || events < 0)
        exit(cli_fail("an event loop", 0, strerror(errno)));
    *crowd = (struct crowd){.members = members, .count = flow->subscribers, .events = events};
    for (unsigned i = 0; i < crowd->count; i++) {
        join(crowd, &members[i], flow->topic);
        (void)read_all(crowd, &members[i]);
    }
    flow->crowd = crowd;
}

void net_disperse(struct net_flow *flow)
{
    struct crowd *crowd = flow->crowd;
    for (unsigned i = 0; i < crowd->count; i++)
        hermes_disconnect(crowd->members[i].client);
    bench_keep(crowd->sum);
    free(crowd->members);
    close(crowd->events);
    free(crowd);
    flow->crowd = NULL;
}

static void receive(struct crowd *crowd, uint64_t wanted)
{
    struct epoll_event ready[READY];
    while (wanted > 0) {
        int count = epoll_wait(crowd->events, ready, READY, PATIENCE_MS);
        if (count == 0 || (count < 0 && errno != EINTR))
            exit(cli_fail("receive", HERMES_ETIMEOUT, "messages are missing"));
        for (int i = 0; i < count; i++) {
            uint64_t came = read_all(crowd, ready[i].data.ptr);
            if (came > wanted)
                exit(cli_fail("receive", HERMES_EPROTOCOL, "more messages than there are"));
            wanted -= came;
        }
    }
}

void net_to_all(struct bench_result *result, void *context)
{
    struct net_flow *flow = context;
    uint64_t wanted = flow->count * flow->subscribers;
    net_reach(flow, 0);
    pid_t child = bench_child(net_publish_all, flow);
    net_await(flow, 1);
    uint64_t cpu = bench_cpu_ns(getpid()) + bench_cpu_ns(flow->broker), start = cli_now_ns();
    net_reach(flow, 2);
    receive(flow->crowd, wanted);
    uint64_t end = cli_now_ns();
    cpu = bench_cpu_ns(getpid()) + bench_cpu_ns(flow->broker) - cpu;
    bench_join(child);
    result->messages_per_second = (double)wanted * 1e9 / (double)(end - start);
    result->cpu_seconds_per_million = (double)(cpu + flow->shared->publisher_cpu_ns) / 1e3 / (double)wanted;
}

void net_lone_to_all(struct bench_result *result, void *context)
{
    const struct net_flow *flow = context;
    static const uint8_t payload[65536];
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, flow->topic, HERMES_PUBLISH_NO_CRC);
    uint64_t cpu = bench_cpu_ns(flow->broker), start = cli_now_ns();
    for (uint64_t i = 0; i < flow->count; i++) {
        bench_must(hermes_publish(publisher, payload, flow->size, NULL), "publish",
                   hermes_last_error(client));
        receive(flow->crowd, flow->subscribers);
    }
    uint64_t end = cli_now_ns();
    cpu = bench_cpu_ns(flow->broker) - cpu;
    hermes_disconnect(client);
    double messages = (double)flow->count * flow->subscribers;
    result->messages_per_second = messages * 1e9 / (double)(end - start);
    result->messages_per_core_second = messages * 1e9 / (double)cpu;
}
