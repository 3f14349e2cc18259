#include "bench/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t payload[65536];

struct bare {
    const struct net_flow *flow;
    int fd; /* of the side that answers */
};

void net_connect_both(int ends[2])
{
    const int yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0 ||
        connect(ends[0], (struct sockaddr *)&at, sizeof at) != 0 ||
        (ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        exit(cli_fail("a TCP connection", 0, strerror(errno)));
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    close(listener);
}

/* false: the other end has closed it. */
static bool spin_for(int fd, size_t bytes)
{
    for (size_t there = 0; there < bytes;) {
        ssize_t got = recv(fd, payload + there, bytes - there, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        there += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static void echo(void *context)
{
    const struct bare *bare = context;
    while (spin_for(bare->fd, bare->flow->size) &&
           send(bare->fd, payload, bare->flow->size, MSG_NOSIGNAL) == (ssize_t)bare->flow->size)
        ;
}

void net_bare_round_trips(void *context, struct histogram *histogram)
{
    const struct net_flow *flow = context;
    int ends[2];
    net_connect_both(ends);
    struct bare bare = {flow, ends[1]};
    pid_t child = bench_child(echo, &bare);
    close(ends[1]);
    for (uint64_t i = 0; i < flow->count; i++) {
        uint64_t start = cli_now_ns();
        for (int trip = 0; trip < 2; trip++)
            if (send(ends[0], payload, flow->size, MSG_NOSIGNAL) != (ssize_t)flow->size ||
                !spin_for(ends[0], flow->size))
                exit(cli_fail("a TCP connection", 0, "the other end is gone"));
        histogram_record(histogram, cli_now_ns() - start);
    }
    (void)shutdown(ends[0], SHUT_RDWR); /* the child has a copy of this end */
    close(ends[0]);
    bench_join(child);
}
