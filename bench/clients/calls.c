/*
 * What one call costs in C: publishes and reads 1,000 messages at a time within one process, so that nothing
 * but the calls is measured. calls.rs and calls.py do the same. Prints one line of JSON: nanoseconds a
 * message, best of all laps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hermes/hermes.h"

enum { LAP = 1000, LAPS = 3000, SIZE = 64 };

static hermes_client_t *client;

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void check(int64_t rc)
{
    if (rc < 0) {
        fprintf(stderr, "calls: %s\n", hermes_last_error(client));
        exit(1);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median lap: what a quiet machine does most of the time. */
static double median(double *laps)
{
    qsort(laps, LAPS, sizeof laps[0], by_value);
    return laps[LAPS / 2] / LAP;
}

int main(void)
{
    static double send[LAPS], batch[LAPS], receive[LAPS];
    static char payload[SIZE];
    hermes_slice_t slices[LAP];
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_message_t message;
    hermes_topic_options_t options = {.size = sizeof options, .durability = HERMES_DURABILITY_MEMORY};
    check(hermes_connect(NULL, &client));
    check(hermes_topic_create(client, "c", &options));
    check(hermes_publisher_open(client, "c", NULL, &publisher));
    check(hermes_subscriber_open(client, "c", NULL, &subscriber));
    for (int i = 0; i < LAP; i++)
        slices[i] = (hermes_slice_t){payload, sizeof payload};
    for (int lap = 0; lap < LAPS; lap++) {
        double start = now_ns();
        for (int i = 0; i < LAP; i++)
            check(hermes_publish(publisher, payload, sizeof payload, NULL));
        send[lap] = now_ns() - start;
        start = now_ns();
        for (int i = 0; i < LAP; i++)
            check(hermes_poll(subscriber, &message) - 1);
        receive[lap] = now_ns() - start;
        start = now_ns();
        check(hermes_publish_batch(publisher, slices, LAP));
        batch[lap] = now_ns() - start;
        for (int i = 0; i < LAP; i++)
            check(hermes_poll(subscriber, &message) - 1);
    }
    printf("{\"send\": %.2f, \"send_many\": %.2f, \"receive\": %.2f}\n", median(send), median(batch),
           median(receive));
    hermes_disconnect(client);
    return 0;
}
