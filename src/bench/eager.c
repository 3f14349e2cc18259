/* hermes bench eager: what publishing costs alone, and beside subscribers that never stop looking. */
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/bench.h"

enum { SIZE = 64, MOST = 8, WARM_UP = 10000 };

struct eager {
    unsigned subscribers;
    uint64_t count;
    struct eager_shared {
        _Atomic uint32_t next, reading, stop;
    } * shared;
};

/* Each on a core of its own as far as there are any beside the publisher's. */
static void read_on(void *context)
{
    const struct eager *eager = context;
    int others = bench_cpus() > 1 ? bench_cpus() - 1 : 1;
    bench_pin(1 + (int)atomic_fetch_add(&eager->shared->next, 1) % others);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = bench_subscribe(client, "eager", false);
    hermes_message_t message;
    uint64_t sum = 0;
    atomic_fetch_add(&eager->shared->reading, 1);
    /* Relaxed: nothing comes with it. */
    while (atomic_load_explicit(&eager->shared->stop, memory_order_relaxed) == 0) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0)
            cpu_relax();
        else if (rc != HERMES_EGONE) /* overtaken: it is a memory topic */
            bench_must(rc, "poll", hermes_last_error(client));
        if (rc > 0)
            sum += bench_read(message.payload, message.length);
    }
    bench_keep(sum);
    hermes_disconnect(client);
}

static void publish(hermes_client_t *client, hermes_publisher_t *publisher, uint64_t count)
{
    static const uint8_t payload[SIZE];
    for (uint64_t i = 0; i < count; i++)
        bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
}

static void measure(struct bench_result *result, void *context)
{
    struct eager *eager = context;
    pid_t children[MOST];
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, "eager", HERMES_PUBLISH_NO_CRC);
    *eager->shared = (struct eager_shared){0};
    for (unsigned i = 0; i < eager->subscribers; i++)
        children[i] = bench_child(read_on, eager);
    for (uint64_t looks = 1; atomic_load(&eager->shared->reading) < eager->subscribers; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
    publish(client, publisher, WARM_UP);
    uint64_t start = cli_now_ns();
    publish(client, publisher, eager->count);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)eager->count;
    atomic_store(&eager->shared->stop, 1);
    for (unsigned i = 0; i < eager->subscribers; i++)
        bench_join(children[i]);
    hermes_disconnect(client);
}

/* As many as there are cores for read at once. */
static void add_note(struct bench_result *result, unsigned subscribers)
{
    int others = bench_cpus() - 1;
    if (subscribers <= (unsigned)others || subscribers == 0)
        return;
    snprintf(result->note, sizeof result->note, "%u share %d core%s: at most %d read%s at any moment",
             subscribers, others, others == 1 ? "" : "s", others, others == 1 ? "s" : "");
}

void bench_eager(struct bench *bench)
{
    static const struct {
        unsigned subscribers;
        const char *name;
    } all[] = {{0, "publish, nobody reads, no checksum"},
               {1, "publish, 1 eager subscriber, no checksum"},
               {MOST, "publish, 8 eager subscribers, no checksum"}};
    struct eager eager = {.count = 50000 * bench->scale, .shared = bench_shared(sizeof *eager.shared)};
    struct bench_broker broker;
    bench_broker_start(&broker);
    hermes_client_t *client = cli_connect();
    bench_create(client, "eager", HERMES_DURABILITY_MEMORY, 0);
    hermes_disconnect(client);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct bench_result *result = bench_add(bench, all[i].name, SIZE);
        eager.subscribers = all[i].subscribers;
        bench_beside_the_line(result, measure, &eager);
        add_note(result, all[i].subscribers);
        bench_print(bench, result);
    }
    bench_broker_stop(&broker);
    munmap(eager.shared, sizeof *eager.shared);
}
