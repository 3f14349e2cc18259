/*
 * history_administrator URL LOG: makes, alters, resets and describes groups and durable subscriptions, and
 * logs each call.
 *
 *     create TOPIC NAME first|end LEASE_MS MAX_DELIVERIES SPAN_BYTES LETTERS|-      a group
 *     create TOPIC NAME first|end durable
 *     lease TOPIC NAME MS
 *     deliveries TOPIC NAME MAX
 *     reset TOPIC NAME first|end|SEQUENCE
 *     describe TOPIC NAME
 *     delete TOPIC NAME
 *     disconnect
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "record.h"
#include "worker.h"

static const char *url;
static hermes_client_t *client;
static const uint64_t patience_ns = 10000000000;

static const char *why(int rc)
{
    return rc < 0 && client != NULL ? hermes_last_error(client) : "";
}

static bool connected(void)
{
    return worker_connect(url, now_ns() + patience_ns, &client) == 0;
}

static void create(char **words)
{
    hermes_group_options_t options = {.size = sizeof options};
    options.from = strcmp(words[3], "first") == 0 ? HERMES_FROM_FIRST : HERMES_FROM_END;
    options.durable = strcmp(words[4], "durable") == 0;
    if (!options.durable) {
        options.lease_ns = number(words[4]) * 1000000;
        options.max_deliveries = (uint32_t)number(words[5]);
        options.span_bytes = number(words[6]);
        options.dead_letter = strcmp(words[7], "-") == 0 ? NULL : words[7];
    }
    if (!connected())
        return;
    record_call("create topic=%s name=%s from=%s durable=%u lease_ms=%" PRIu64 " max=%u letters=%s", words[1],
                words[2], words[3], options.durable, options.lease_ns / 1000000, options.max_deliveries,
                options.dead_letter == NULL ? "-" : words[7]);
    int rc = hermes_group_create(client, words[1], words[2], &options);
    record_outcome(rc, "%s", why(rc));
}

static void alter(char **words, uint32_t fields, const hermes_group_options_t *options)
{
    if (!connected())
        return;
    record_call("alter topic=%s name=%s fields=%u lease_ms=%" PRIu64 " max=%u", words[1], words[2], fields,
                options->lease_ns / 1000000, options->max_deliveries);
    int rc = hermes_group_alter(client, words[1], words[2], fields, options);
    record_outcome(rc, "%s", why(rc));
}

static void lease(char **words)
{
    hermes_group_options_t options = {.size = sizeof options, .lease_ns = number(words[3]) * 1000000};
    alter(words, HERMES_GROUP_LEASE, &options);
}

static void deliveries(char **words)
{
    hermes_group_options_t options = {.size = sizeof options, .max_deliveries = (uint32_t)number(words[3])};
    alter(words, HERMES_GROUP_DELIVERIES, &options);
}

/* Where that message stands. */
static int position_of(const char *topic, uint64_t sequence, uint64_t *position)
{
    hermes_subscriber_t *subscriber;
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    int rc = hermes_subscriber_open(client, topic, NULL, &subscriber);
    if (rc < 0)
        return rc;
    rc = hermes_seek_sequence(subscriber, sequence);
    if (rc == 0)
        rc = hermes_subscriber_describe(subscriber, &counters);
    hermes_subscriber_close(subscriber);
    *position = counters.position;
    return rc;
}

static void reset(char **words)
{
    hermes_group_options_t options = {.size = sizeof options, .from = HERMES_FROM_FIRST};
    if (!connected())
        return;
    if (strcmp(words[3], "end") == 0) {
        options.from = HERMES_FROM_END;
    } else if (strcmp(words[3], "first") != 0) {
        options.from = HERMES_FROM_POSITION;
        if (position_of(words[1], number(words[3]), &options.position) < 0)
            return;
    }
    record_call("reset topic=%s name=%s from=%s position=%" PRIu64, words[1], words[2], words[3],
                options.position);
    int rc = hermes_group_alter(client, words[1], words[2], HERMES_GROUP_POSITION, &options);
    record_outcome(rc, "%s", why(rc));
}

static void describe(char **words)
{
    hermes_group_info_t info = {.size = sizeof info};
    if (!connected())
        return;
    record_call("describe topic=%s name=%s", words[1], words[2]);
    int rc = hermes_group_describe(client, words[1], words[2], &info);
    record_outcome(rc,
                   "members=%u position=%" PRIu64 " done=%" PRIu64 " last=%" PRIu64 " in_flight=%" PRIu64
                   " redelivered=%" PRIu64 " expired=%" PRIu64 " dead=%" PRIu64 " lost=%" PRIu64 " %s",
                   info.members, info.position, info.done_position, info.last_sequence, info.in_flight,
                   info.redelivered, info.expired, info.dead, info.lost, why(rc));
}

static void delete_group(char **words)
{
    if (!connected())
        return;
    record_call("delete topic=%s name=%s", words[1], words[2]);
    int rc = hermes_group_delete(client, words[1], words[2]);
    record_outcome(rc, "%s", why(rc));
}

static void disconnect(char **words)
{
    (void)words;
    hermes_disconnect(client);
    client = NULL;
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"create", create},     {"lease", lease},         {"deliveries", deliveries}, {"reset", reset},
        {"describe", describe}, {"delete", delete_group}, {"disconnect", disconnect}, {NULL, NULL},
    };
    if (argc < 3)
        return 64;
    url = argv[1];
    record_open(argv[2]);
    worker_run(commands);
}
