/* Publishing that a signal ends: at once, and what was taken still has two seconds to get in. */
#ifndef CLI_PUBLISHING_H
#define CLI_PUBLISHING_H

#include "cli/cli.h"

/* To a topic that is there, with flags of hermes_publisher_options_t; *syncs: it is a sync topic. Signals are
 * caught from here on, not before: a broker that stands does not keep anybody. */
int publishing_open(hermes_client_t *client, const char *topic, uint32_t flags,
                    hermes_publisher_t **publisher, bool *syncs);

/* hermes_publish_at(), or with 0 hermes_publish(). HERMES_EINTERRUPTED: cli_stop was raised while it waited,
 * and whether the message was taken hermes_publisher_accepted() knows. */
int publishing_send(hermes_publisher_t *publisher, const void *payload, size_t length, uint64_t timestamp_ns);

/* Until all that was taken is in, or durable. HERMES_EINTERRUPTED. */
int publishing_confirm(hermes_publisher_t *publisher, enum hermes_confirmation confirmation);

/* Prints the sequence of the last message that is in. Over a connection a publisher does not know that of its
 * own: it is the topic's then, where on a shared topic another publisher's may stand behind it; nothing, if
 * the broker has gone away, for what was confirmed is in all the same. */
void publishing_tell_sequence(hermes_client_t *client, const hermes_publisher_t *publisher,
                              const char *topic);

/* Closes it and says what was taken and is not in; after a signal, how much is. HERMES_EAGAIN: not all is. */
int publishing_close(hermes_client_t *client, hermes_publisher_t *publisher, const char *topic);

#endif
