/*
 * hermes/client.h - publish to and subscribe from a broker, on this host or over a network.
 *
 * A client is a session with a broker. Through it, topics are made and listed, and publishers and
 * subscribers opened. On the broker's host messages never pass through the session: publishers write to, and
 * subscribers read from, shared memory. Where there is none (tcp:// from elsewhere, ?shm=no) they go through
 * the connection; each call does what is said of it here, and where something differs it says so under "Over
 * a connection".
 *
 *     hermes_client_t *client;
 *     if (hermes_connect(NULL, &client) < 0) { puts(hermes_last_error(NULL)); ... }
 *     hermes_publisher_t *publisher;
 *     hermes_publisher_open(client, "market.quotes", NULL, &publisher);
 *     hermes_publish(publisher, "hello", 5, NULL);
 *
 *     hermes_subscriber_t *subscriber;
 *     hermes_subscriber_open(client, "market.quotes", NULL, &subscriber);
 *     hermes_message_t message;
 *     while (hermes_wait(subscriber, &message, 1000000000) > 0)
 *         fwrite(message.payload, 1, message.length, stdout);
 *     hermes_disconnect(client);            // closes what was opened through it
 *
 * When the broker dies, publishers and subscribers go on through shared memory; when it is back, they
 * greet it by themselves and go on at their position. What was published counts exactly once.
 *
 * What may wait, and for what:
 *
 *   - never: hermes_poll(), hermes_poll_many(), hermes_subscriber_arm(), hermes_ack(), hermes_nack(),
 *     hermes_renew(), hermes_publisher_poll(), hermes_abort(), hermes_forget(), and whatever only counts or
 *     sets. What these need of the broker is asked for, and later calls find the answer. Two exceptions: the
 *     hermes_ack() of a durable subscription that has to look in the store, and over a connection
 *     hermes_ack(), hermes_nack() and hermes_renew();
 *   - for as long as you say: hermes_wait(), for a message or that answer; hermes_publisher_wait(),
 *     hermes_publisher_wait_for(); hermes_publish(), hermes_publish_batch(), hermes_claim() and
 *     hermes_commit(), for wait_ns: for room, a broker, the disk of a sync topic (a broker that came back is
 *     given 20 ms of it, once, to answer); with 0 never;
 *   - for the broker's answer: hermes_connect(), opening, seeking, topics, groups, hermes_ping(),
 *     hermes_broker_describe(), those exceptions, and hermes_subscriber_close() of a member, a durable
 *     subscription or who is waited for by publishers: of the first two up to 200 ms more, for a broker that
 *     came back to know them;
 *   - for both: hermes_publisher_close(), hermes_disconnect().
 *
 * A signal ends hermes_wait() alone; the others go on waiting when its handler has run, but for those that
 * wait for the broker's answer in a thread that says whether it still wants it: hermes_set_interrupt().
 *
 * A request to the broker - opening, closing, topics, groups - waits for its answer at most 10 s
 * (HERMES_REQUEST_TIMEOUT_MS in the environment of hermes_connect() makes it so many milliseconds), then
 * HERMES_ETIMEOUT: the session goes on, whatever the request may still open is closed again, and whether it
 * took effect otherwise is not known. HERMES_EDISCONNECTED from any of them: there is no broker.
 * HERMES_EPROTOCOL: it does not speak our language. HERMES_EIO from any that names a topic: it is on the
 * disk, but the broker could not load it and does not serve it. HERMES_ELIMIT from any that needs shared
 * memory or files of the broker (opening, hermes_poll(), hermes_wait(), seeking, hermes_topic_verify()): this
 * process has no descriptor left for it. These are not repeated there.
 *
 * The parts, each of which may be included by itself: hermes/connect.h (sessions, and the broker itself),
 * hermes/topic.h, hermes/topic_mirror.h, hermes/publisher.h, hermes/subscriber.h, hermes/group.h (groups,
 * acks, durable subscriptions).
 *
 * Threads: a client and everything opened through it belong to one thread at a time; use one client a
 * thread. After fork(2) only the parent may go on using them.
 * Time-outs are in nanoseconds; HERMES_FOREVER waits without end.
 * Structs begin with their size: {.size = sizeof options} keeps a program and a library of different age
 * compatible. HERMES_EINVALID where it is missing; HERMES_ENOTSUP: a field or flag is set that this library
 * does not know.
 * Errors: negative enum hermes_error; hermes_last_error(client) is the sentence that goes with the last
 * one of the client or of anything opened through it; NULL: of the last hermes_connect() of this thread.
 */
#ifndef HERMES_CLIENT_H
#define HERMES_CLIENT_H

#include "hermes/connect.h"
#include "hermes/group.h"
#include "hermes/log.h"
#include "hermes/message.h"
#include "hermes/publisher.h"
#include "hermes/subscriber.h"
#include "hermes/topic.h"
#include "hermes/topic_mirror.h"

#endif
