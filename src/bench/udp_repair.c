/* How late what was lost is, and what stands behind it. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/udp.h"

enum { RECEIVERS = 3, ANSWER_MS = 2000 };

static uint8_t payload[65536];

/* One message after the other, each when it is due, and stamped with that: a moment of the clock that both
 * sides have. */
static void send_by_the_clock(void *context)
{
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    udp_open_sender(&side, 0);
    udp_meet(&side);
    udp_reach(flow, UDP_MET);
    while (!udp_has_reached(flow, UDP_GOES))
        udp_send(&side);
    uint64_t due_ns = cli_now_ns();
    for (uint64_t i = 0; i < flow->count; i++) {
        due_ns += flow->pace_ns;
        do
            udp_send(&side);
        while (cli_now_ns() < due_ns);
        udp_append(&side, due_ns, payload, flow->size);
        udp_send(&side);
    }
    while (!udp_has_reached(flow, UDP_DONE))
        udp_send(&side);
    udp_close(&side);
}

static void meet_all(struct udp_flow *flow, struct udp_side *sides, unsigned count)
{
    hermes_message_t message;
    for (unsigned i = 0; i < count; i++) {
        sides[i].flow = flow;
        udp_open_receiver(&sides[i], 0);
        sides[i].loss.random = i + 1;
    }
    for (uint64_t looks = 1; !udp_has_reached(flow, UDP_MET); looks++) {
        for (unsigned i = 0; i < count; i++)
            (void)udp_turn(&sides[i], &message);
        bench_other_lives(looks);
    }
}

/* ---- a loss, and its repair ---- */

void udp_repairs(struct bench_result *result, void *context)
{
    static struct histogram histogram;
    struct udp_flow *flow = context;
    struct udp_side side = {.flow = flow};
    hermes_message_t message;
    histogram_reset(&histogram);
    udp_begin(flow);
    udp_prepare(flow);
    pid_t child = bench_child(send_by_the_clock, flow);
    meet_all(flow, &side, 1);
    udp_reach(flow, UDP_GOES);
    for (uint64_t i = 0, looks = 1; i < flow->count;) {
        if (udp_receive(&side, &message) == 0) {
            bench_other_lives(looks++);
            continue;
        }
        bench_keep(bench_read(message.payload, message.length));
        uint64_t lost_ns = udp_was_lost(&side.loss, message.position);
        if (lost_ns != 0)
            histogram_record(&histogram, cli_now_ns() - lost_ns);
        i++;
    }
    udp_reach(flow, UDP_DONE);
    bench_join(child);
    udp_close(&side);
    udp_end(flow);
    result->repair_p50_ns = (double)histogram_quantile(&histogram, 0.5);
    result->repair_p99_ns = (double)histogram_quantile(&histogram, 0.99);
    snprintf(result->note, sizeof result->note, "%llu of %llu lost", (unsigned long long)histogram.count,
             (unsigned long long)flow->count);
}

/* ---- to many ---- */

/* All that has come to each, until all have everything. */
static void receive_all(struct udp_side *sides, uint64_t wanted, struct histogram *histogram)
{
    hermes_message_t message;
    for (uint64_t looks = 1; wanted > 0; bench_other_lives(looks++))
        for (unsigned i = 0; i < RECEIVERS; i++)
            while (udp_receive(&sides[i], &message) > 0) {
                uint64_t now_ns = cli_now_ns();
                histogram_record(histogram, now_ns > message.timestamp ? now_ns - message.timestamp : 0);
                bench_keep(bench_read(message.payload, message.length));
                wanted--;
            }
}

void udp_to_many(struct bench_result *result, void *context)
{
    static struct histogram histogram;
    struct udp_flow *flow = context;
    struct udp_side sides[RECEIVERS] = {{.flow = flow}};
    histogram_reset(&histogram);
    udp_begin(flow);
    udp_prepare(flow);
    flow->receivers = RECEIVERS;
    pid_t child = bench_child(send_by_the_clock, flow);
    meet_all(flow, sides, RECEIVERS);
    udp_reach(flow, UDP_GOES);
    receive_all(sides, RECEIVERS * flow->count, &histogram);
    udp_reach(flow, UDP_DONE);
    bench_join(child);
    for (unsigned i = 0; i < RECEIVERS; i++)
        udp_close(&sides[i]);
    udp_end(flow);
    flow->receivers = 1;
    result->delay = (struct bench_tail){.p50_ns = (double)histogram_quantile(&histogram, 0.5),
                                        .p99_ns = (double)histogram_quantile(&histogram, 0.99),
                                        .p999_ns = (double)histogram_quantile(&histogram, 0.999),
                                        .p9999_ns = (double)histogram_quantile(&histogram, 0.9999)};
}

/* Not everywhere does what is sent to a group on this host come back to it. */
bool udp_has_groups(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(UDP_GROUP)};
    struct ip_mreqn loopback = {.imr_multiaddr = at.sin_addr, .imr_ifindex = (int)if_nametoindex("lo")};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
               getsockname(fd, (struct sockaddr *)&at, &length) == 0 &&
               setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback) == 0 &&
               setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &loopback, sizeof loopback) == 0 &&
               sendto(fd, payload, 1, 0, (struct sockaddr *)&at, sizeof at) == 1 &&
               poll(&polled, 1, ANSWER_MS) == 1;
    if (fd >= 0)
        close(fd);
    return has;
}
