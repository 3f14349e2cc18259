/*
 * What is left of a broker when all but the sockets is taken away: a process that sends on what it receives.
 * Whatever a broker reaches that copies each message once in and once out, it is a part of this.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/net.h"

enum {
    SENT_BYTES = 64 * 1024,      /* at a time: the most that a client of ours does, and a broker */
    RECEIVED_BYTES = 128 * 1024, /* at a time, at most: as a broker of ours */
    BATCH = 256
};

static uint8_t buffer[RECEIVED_BYTES];

struct relay {
    const struct net_flow *flow;
    int from, to; /* of who does it */
};

static uint64_t bytes_of(const struct net_flow *flow)
{
    return flow->count * hermes_frame_bytes(flow->size);
}

static size_t receive(int fd)
{
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        exit(cli_fail("a TCP connection", 0, got < 0 ? strerror(errno) : "the other end is gone"));
    return (size_t)got;
}

static void send_all(int fd, size_t bytes)
{
    for (size_t sent = 0; sent < bytes;) {
        ssize_t now = send(fd, buffer + sent, bytes - sent, MSG_NOSIGNAL);
        if (now <= 0)
            exit(cli_fail("a TCP connection", 0, strerror(errno)));
        sent += (size_t)now;
    }
}

static void publish(void *context)
{
    const struct relay *relay = context;
    const struct net_flow *flow = relay->flow;
    size_t frame = hermes_frame_bytes(flow->size), most = SENT_BYTES / frame;
    size_t piece = (most < BATCH ? most : BATCH) * frame;
    net_reach(flow, 1);
    net_await(flow, 2);
    uint64_t before = bench_cpu_ns(getpid());
    for (uint64_t left = bytes_of(flow); left > 0; left -= piece) {
        piece = left < piece ? left : piece;
        send_all(relay->to, piece);
    }
    flow->shared->publisher_cpu_ns = bench_cpu_ns(getpid()) - before;
}

static void send_on(void *context)
{
    const struct relay *relay = context;
    bench_pin(-1);
    net_await(relay->flow, 2);
    uint64_t before = bench_cpu_ns(getpid());
    for (uint64_t left = bytes_of(relay->flow), some; left > 0; left -= some) {
        some = receive(relay->from);
        send_all(relay->to, some);
    }
    relay->flow->shared->relay_cpu_ns = bench_cpu_ns(getpid()) - before;
}

void net_bare_relay(struct bench_result *result, void *context)
{
    struct net_flow *flow = context;
    int in[2], out[2];
    uint64_t sum = 0;
    net_connect_both(in);
    net_connect_both(out);
    struct relay publisher = {.flow = flow, .to = in[0]}, relay = {.flow = flow, .from = in[1], .to = out[0]};
    net_reach(flow, 0);
    pid_t children[] = {bench_child(publish, &publisher), bench_child(send_on, &relay)};
    net_await(flow, 1);
    uint64_t cpu = bench_cpu_ns(getpid()), start = cli_now_ns();
    net_reach(flow, 2);
    for (uint64_t left = bytes_of(flow), some; left > 0; left -= some) {
        some = receive(out[1]);
        sum += bench_read(buffer, some);
    }
    uint64_t end = cli_now_ns();
    cpu = bench_cpu_ns(getpid()) - cpu;
    for (int i = 0; i < 2; i++) {
        bench_join(children[i]);
        close(in[i]);
        close(out[i]);
    }
    bench_keep(sum);
    cpu += flow->shared->publisher_cpu_ns + flow->shared->relay_cpu_ns;
    result->messages_per_second = (double)flow->count * 1e9 / (double)(end - start);
    result->cpu_seconds_per_million = (double)cpu / 1e3 / (double)flow->count;
}
