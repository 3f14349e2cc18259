#include "cli/publishing.h"

/* So long a call may wait before it is seen whether a signal came. */
static const uint64_t slice_ns = 100000000;

/* And so long what was taken may take to get in when one did. */
static const uint64_t farewell_ns = 2000000000;

static const uint64_t publish_wait_ns = 10000000000u, confirm_wait_ns = 60000000000u;

/* What a wait that a signal ended says; other failures are what they are. */
static int unless_stopped(int rc)
{
    bool waited = rc == HERMES_EAGAIN || rc == HERMES_EDISCONNECTED || rc == HERMES_ETIMEOUT;
    return waited && cli_stop ? HERMES_EINTERRUPTED : rc;
}

static int publish_once(hermes_publisher_t *publisher, const void *payload, size_t length,
                        uint64_t timestamp_ns)
{
    return timestamp_ns != 0 ? hermes_publish_at(publisher, timestamp_ns, payload, length, NULL)
                             : hermes_publish(publisher, payload, length, NULL);
}

int publishing_send(hermes_publisher_t *publisher, const void *payload, size_t length, uint64_t timestamp_ns)
{
    uint64_t until = cli_now_ns() + publish_wait_ns;
    int rc = publish_once(publisher, payload, length, timestamp_ns);
    while (rc == HERMES_EAGAIN && !cli_stop && cli_now_ns() < until)
        rc = publish_once(publisher, payload, length, timestamp_ns);
    while (rc == HERMES_EDISCONNECTED && !cli_stop &&
           cli_now_ns() < until) /* it goes out with the next broker */
        if ((rc = hermes_publisher_wait(publisher, HERMES_COMMITTED, slice_ns)) == HERMES_ETIMEOUT)
            rc = HERMES_EDISCONNECTED;
    return unless_stopped(rc);
}

int publishing_confirm(hermes_publisher_t *publisher, enum hermes_confirmation confirmation)
{
    uint64_t until = cli_now_ns() + confirm_wait_ns;
    bool stops = false;
    int rc;
    do {
        if (cli_stop && !stops) {
            stops = true;
            until = cli_now_ns() + farewell_ns;
        }
        rc = hermes_publisher_wait(publisher, confirmation, slice_ns);
    } while (rc == HERMES_ETIMEOUT && cli_now_ns() < until);
    return unless_stopped(rc);
}

int publishing_open(hermes_client_t *client, const char *topic, uint32_t flags,
                    hermes_publisher_t **publisher, bool *syncs)
{
    hermes_publisher_options_t how = {.size = sizeof how, .flags = HERMES_PUBLISH_NO_WAIT | flags};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, topic, &info);
    if (rc == 0)
        rc = hermes_publisher_open(client, topic, &how, publisher);
    if (rc < 0)
        return rc;
    *syncs = info.durability == HERMES_DURABILITY_SYNC;
    hermes_publisher_set_wait(*publisher, slice_ns);
    cli_catch_signals();
    return HERMES_OK;
}

void publishing_tell_sequence(hermes_client_t *client, const hermes_publisher_t *publisher, const char *topic)
{
    hermes_topic_info_t info = {.size = sizeof info, .last_sequence = hermes_publisher_sequence(publisher)};
    if (info.last_sequence != 0 || hermes_topic_describe(client, topic, &info) == 0)
        printf("%llu\n", (unsigned long long)info.last_sequence);
}

int publishing_close(hermes_client_t *client, hermes_publisher_t *publisher, const char *topic)
{
    uint64_t accepted = hermes_publisher_accepted(publisher);
    if (cli_stop)
        hermes_publisher_set_wait(publisher, farewell_ns);
    int64_t missing = hermes_publisher_close(publisher);
    if (missing > 0)
        cli_fail(NULL, 0, hermes_last_error(client));
    if (missing > 0 || cli_stop)
        fprintf(stderr, "hermes: %llu of %llu messages are in topic %s\n",
                (unsigned long long)(accepted - (uint64_t)missing), (unsigned long long)accepted, topic);
    return missing > 0 ? HERMES_EAGAIN : HERMES_OK;
}
