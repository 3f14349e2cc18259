#include "actor.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void fail(const actor_t *actor, const char *what, int rc)
{
    fprintf(stderr, "%s: %s (%s)\n", what, hermes_last_error(actor->client), hermes_error_name(rc));
    exit(1);
}

static void read_arguments(actor_t *actor, int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    actor->name = slash != NULL ? slash + 1 : argv[0];
    actor->tells_progress = argc == 2 && strcmp(argv[1], "--progress") == 0;
    if (argc > 1 && !actor->tells_progress) {
        fprintf(stderr, "Usage: %s [--progress]\n", actor->name);
        exit(64);
    }
}

void actor_open(actor_t *actor, int argc, char **argv, const char *topic, const char *publish_to)
{
    struct sigaction action = {.sa_handler = on_signal};
    *actor = (actor_t){.topic = topic};
    read_arguments(actor, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    hermes_clock_init(&actor->clock);
    int rc = hermes_connect(NULL, &actor->client);
    if (rc < 0)
        fail(actor, "connect", rc);
    if ((rc = hermes_subscriber_open(actor->client, topic, NULL, &actor->subscriber)) < 0 ||
        (rc = hermes_seek_first(actor->subscriber)) < 0)
        fail(actor, topic, rc);
    if (publish_to != NULL &&
        (rc = hermes_publisher_open(actor->client, publish_to, NULL, &actor->publisher)) < 0)
        fail(actor, publish_to, rc);
    if (actor->tells_progress)
        puts("ready");
    else
        printf("%s: ready\n", actor->name);
    fflush(stdout);
}

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 64)
        return (unsigned)ns;
    unsigned shift = 58u - (unsigned)__builtin_clzll(ns);
    unsigned bucket = shift * 32 + (unsigned)(ns >> shift);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static uint64_t bucket_value(unsigned bucket)
{
    return bucket < 64 ? bucket : (uint64_t)(bucket % 32 + 32) << (bucket / 32 - 1);
}

static uint64_t quantile(const actor_t *actor, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)actor->received);
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        if ((seen += actor->latency[i]) > wanted)
            return bucket_value(i);
    return actor->latency_max;
}

static void count(actor_t *actor, const hermes_message_t *message)
{
    uint64_t now = hermes_clock_now(&actor->clock);
    uint64_t latency = now > message->timestamp ? now - message->timestamp : 0;
    actor->latency[bucket_of(latency)]++;
    if (latency > actor->latency_max)
        actor->latency_max = latency;
    actor->received++;
    if (message->sequence == actor->last_sequence)
        actor->repeated++;
    else if (message->sequence < actor->last_sequence)
        actor->reordered++;
    else
        actor->lost += message->sequence - actor->last_sequence - 1;
    if (message->sequence > actor->last_sequence)
        actor->last_sequence = message->sequence;
}

static void print_progress(actor_t *actor)
{
    uint64_t now = hermes_clock_now(&actor->clock);
    if (!actor->tells_progress || now - actor->last_progress_ns < 100000000)
        return;
    actor->last_progress_ns = now;
    printf("progress received=%" PRIu64 " sequence=%" PRIu64 " sent=%" PRIu64 "\n", actor->received,
           actor->last_sequence, actor->sent);
    fflush(stdout);
}

static void report(const actor_t *actor)
{
    const uint64_t p50 = quantile(actor, 0.5), p99 = quantile(actor, 0.99), p999 = quantile(actor, 0.999);
    if (actor->tells_progress) {
        printf("report topic=%s received=%" PRIu64 " lost=%" PRIu64 " repeated=%" PRIu64 " reordered=%" PRIu64
               " p50=%" PRIu64 " p99=%" PRIu64 " p999=%" PRIu64 " max=%" PRIu64 "\n",
               actor->topic, actor->received, actor->lost, actor->repeated, actor->reordered, p50, p99, p999,
               actor->latency_max);
        return;
    }
    actor_tell(actor,
               "received %" PRIu64 " messages of %s, lost %" PRIu64 ", repeated %" PRIu64
               ", reordered %" PRIu64,
               actor->received, actor->topic, actor->lost, actor->repeated, actor->reordered);
    actor_tell(actor, "latency: median %.1f us, 99 %% %.1f us, 99.9 %% %.1f us, maximum %.1f us",
               (double)p50 / 1e3, (double)p99 / 1e3, (double)p999 / 1e3, (double)actor->latency_max / 1e3);
}

void actor_tell(const actor_t *actor, const char *format, ...)
{
    va_list arguments;
    if (actor->tells_progress)
        printf("info ");
    else
        printf("%s: ", actor->name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void actor_run(actor_t *actor, actor_handler_t handler, void *context)
{
    hermes_message_t message;
    for (unsigned turn = 0; !stop; turn++) {
        int rc = hermes_wait(actor->subscriber, &message, 100000000);
        if (rc > 0) {
            count(actor, &message);
            handler(actor, &message, context);
        } else if (rc < 0 && rc != HERMES_EINTERRUPTED) {
            fprintf(stderr, "%s: %s\n", actor->topic, hermes_last_error(actor->client));
        }
        if (rc <= 0 || turn % 1024 == 0)
            print_progress(actor);
    }
    report(actor);
}

void actor_send_order(actor_t *actor, const order_t *order)
{
    int rc = hermes_publish(actor->publisher, order, sizeof *order, NULL);
    if (rc < 0)
        fail(actor, "order", rc);
    actor->sent++;
}

void actor_close(actor_t *actor)
{
    fflush(stdout);
    hermes_disconnect(actor->client);
}
