#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/udp.h"

static uint8_t payload[65536];

struct bare {
    const struct udp_flow *flow;
    int fd; /* of the side that answers */
};

/* Two sockets, each connected to the other. */
static void connect_both(int ends[2])
{
    struct sockaddr_in at[2];
    socklen_t length = sizeof at[0];
    for (int i = 0; i < 2; i++) {
        at[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        ends[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (bind(ends[i], (struct sockaddr *)&at[i], sizeof at[i]) != 0 ||
            getsockname(ends[i], (struct sockaddr *)&at[i], &length) != 0)
            exit(cli_fail("a UDP socket", 0, strerror(errno)));
    }
    for (int i = 0; i < 2; i++)
        if (connect(ends[i], (struct sockaddr *)&at[1 - i], sizeof at[i]) != 0)
            exit(cli_fail("a UDP socket", 0, strerror(errno)));
}

/* Loopback loses none as long as there is one at a time. */
static void spin_for_one(int fd, const struct udp_flow *flow, uint64_t *looks)
{
    while (recv(fd, payload, sizeof payload, MSG_DONTWAIT) != (ssize_t)flow->size)
        bench_other_lives((*looks)++);
}

static void send_one(int fd, const struct udp_flow *flow)
{
    if (send(fd, payload, flow->size, 0) != (ssize_t)flow->size)
        exit(cli_fail("a UDP socket", 0, strerror(errno)));
}

static void echo(void *context)
{
    const struct bare *bare = context;
    uint64_t looks = 1;
    for (uint64_t i = 0; i < bare->flow->count; i++) {
        spin_for_one(bare->fd, bare->flow, &looks);
        send_one(bare->fd, bare->flow);
    }
}

void udp_bare_round_trips(void *context, struct histogram *histogram)
{
    const struct udp_flow *flow = context;
    uint64_t looks = 1;
    int ends[2];
    connect_both(ends);
    struct bare bare = {flow, ends[1]};
    pid_t child = bench_child(echo, &bare);
    for (uint64_t i = 0; i < flow->count; i++) {
        uint64_t start = cli_now_ns();
        send_one(ends[0], flow);
        spin_for_one(ends[0], flow, &looks);
        bench_keep(bench_read(payload, flow->size));
        histogram_record(histogram, cli_now_ns() - start);
    }
    bench_join(child);
    for (int i = 0; i < 2; i++)
        close(ends[i]);
}
