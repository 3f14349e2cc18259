/* What a mirror takes while nothing happens, and what memory. */
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/udp.h"
#include "mirror/receiver.h"

#define REST_NS 1500000000u

/* One that nobody has now. */
static unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        exit(cli_fail("a UDP socket", HERMES_EIO, "no port"));
    close(fd);
    return ntohs(at.sin_port);
}

static void mirror(hermes_client_t *client)
{
    char url[64];
    snprintf(url, sizeof url, "udp://127.0.0.1:%u", free_port());
    bench_create(client, "source", HERMES_DURABILITY_ASYNC, 0);
    bench_create(client, "copy", HERMES_DURABILITY_ASYNC, 0);
    bench_must(hermes_mirror_add(client, "source", HERMES_MIRROR_SERVES, url), url,
               hermes_last_error(client));
    bench_must(hermes_mirror_add(client, "copy", HERMES_MIRROR_FOLLOWS, url), url, hermes_last_error(client));
}

static double percent_of_a_core(const struct bench_broker *broker, uint64_t span_ns)
{
    cli_sleep_until(cli_now_ns() + REST_NS);
    uint64_t before = bench_cpu_ns(broker->pid), start = cli_now_ns();
    cli_sleep_until(start + span_ns);
    uint64_t ran = bench_cpu_ns(broker->pid) - before;
    return 100.0 * (double)ran / (double)(cli_now_ns() - start);
}

void udp_idle(struct bench *bench)
{
    struct bench_broker broker;
    bench_broker_start_listening(&broker, "[net]\nlisten = tcp://127.0.0.1:0\ninsecure = true\n");
    unsetenv("HERMES_URL");
    hermes_client_t *client = cli_connect();
    double before = percent_of_a_core(&broker, 20000000 * bench->scale);
    mirror(client);
    double with = percent_of_a_core(&broker, 20000000 * bench->scale);
    struct bench_result *result = bench_add(bench, "mirror, idle, both ends in one broker", 0);
    result->cpu_percent = with;
    snprintf(result->note, sizeof result->note, "%.3f %% without", before);
    bench_print(bench, result);
    hermes_disconnect(client);
    bench_broker_stop(&broker);
}

void udp_memory(struct bench *bench)
{
    enum { WINDOW_BYTES = 1 << 20 };
    hermes_mirror_receiver_options_t options = {.size = sizeof options,
                                                .sender = "udp://127.0.0.1:1",
                                                .window_bytes = WINDOW_BYTES,
                                                .flags = HERMES_MIRROR_INSECURE};
    hermes_mirror_receiver_t *receiver;
    struct mallinfo2 before = mallinfo2();
    bench_must(hermes_mirror_receiver_open(&options, &receiver), "receiver",
               hermes_mirror_receiver_last_error(NULL));
    struct mallinfo2 with = mallinfo2();
    struct bench_result *result = bench_add(bench, "mirror, memory of a receiver beside its window", 0);
    snprintf(result->note, sizeof result->note,
             "%zu KiB for gaps and state; else sockets, and what is delivered", receiver_memory() / 1024);
    result->resident_bytes =
        (double)(with.uordblks + with.hblkhd - before.uordblks - before.hblkhd) - WINDOW_BYTES;
    bench_print(bench, result);
    hermes_mirror_receiver_close(receiver);
}
