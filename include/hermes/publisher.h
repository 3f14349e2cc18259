/*
 * hermes/publisher.h - to publish: by copy, in batches, in place; and to know what is in the topic, or on
 * disk.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors.
 */
#ifndef HERMES_PUBLISHER_H
#define HERMES_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/connect.h"
#include "hermes/log.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_publisher hermes_publisher_t;

typedef struct hermes_publisher_options {
    size_t size;    /* sizeof(hermes_publisher_options_t) */
    uint32_t flags; /* HERMES_PUBLISH_...; others: HERMES_ENOTSUP */
    uint32_t reserved;
    uint64_t wait_ns; /* how long publish, claim, commit and close may wait: for room, for a broker to come
                         back, for the disk of a sync topic; 0: 10 s */
} hermes_publisher_options_t;

#define HERMES_PUBLISH_NO_CRC 1u  /* messages without checksum: their payload carries one, or needs none */
#define HERMES_PUBLISH_NO_WAIT 2u /* on a sync topic too, publish returns when the message is committed */

/* HERMES_ENOTFOUND: no such topic; HERMES_EBUSY: an exclusive topic has its publisher already, or one that
 * may come back after a restart of the broker; HERMES_ELIMIT: 256 publishers of a shared topic, or 64 handles
 * of a session; HERMES_EFULL: no room for its window or ring; HERMES_EIO: the topic's store failed;
 * HERMES_ENAME; HERMES_EINVALID; HERMES_ENOMEM. */
HERMES_API int hermes_publisher_open(hermes_client_t *client, const char *topic,
                                     const hermes_publisher_options_t *options,
                                     hermes_publisher_t **publisher);

/*
 * Publishes one message. *sequence (may be NULL): on an exclusive topic its sequence in the topic; on a
 * shared one this publisher's own count from 1; 0 where it is not known. Who is neither the broker's user nor
 * root publishes through a ring to any topic: what is said of shared ones here holds.
 *
 * 0 means, on an exclusive topic: it is in the topic, subscribers see it, and it survives this process and
 * the broker. On a shared topic: it is in this publisher's ring. From there it goes into the topic, though
 * this process die at once, or the broker; not if both do before the broker took it (hermes_publisher_wait()
 * says when it has). On a sync topic: it is in the topic, and on disk.
 *
 * Each error means one thing. Not taken, and it never will be in the topic:
 *     HERMES_ETOOLARGE  more than 65,536 bytes
 *     HERMES_EINVALID   no payload, no time stamp (hermes_publish_at()), or a claim is open
 *     HERMES_EAGAIN     no room within wait_ns, or no broker to make some
 *     HERMES_EFULL      no room on the disk, and the topic does not wait for some
 *     HERMES_EFENCED    another publisher has, or had, the topic. Messages that were taken before and did
 *                       not get in are not in it either: the sentence says how many, and
 *                       hermes_publisher_accepted() counts them no more. On a shared topic: the broker does
 *                       not know any more what it took of this publisher's last messages. For good: the
 *                       publisher can only be closed
 *     HERMES_ECLOSED    the topic was deleted. For good
 *     HERMES_EMALFORMED the broker found nonsense in this publisher's ring: something in this process
 *                       writes where it should not. For good
 * Taken: it is not to be published again:
 *     HERMES_EDISCONNECTED  no broker came back within wait_ns; it goes out, before any other, once one
 *                       comes back while the publisher is open and nobody else published in between (then
 *                       HERMES_EFENCED, from the next call). hermes_publisher_wait() goes on waiting for that
 *     HERMES_ETIMEOUT   on a sync topic: not on disk within wait_ns. It is in the topic, or on a shared one
 *                       in the ring
 * And HERMES_EIO: the topic's store failed, nothing more will be on disk; hermes_publisher_accepted() tells
 * whether this one was taken.
 *
 * Over a connection what is said of shared topics holds, and the ring is this process' own: 0 means that all
 * of it was handed to the connection, which is waited for, up to wait_ns. It is kept until the broker has
 * confirmed it, and goes once more after a connection that broke, exactly once, with the next call of
 * whatever was opened through this client; it is lost with this process. HERMES_EAGAIN also where the
 * broker's disk is full, and as long as what was published before has not gone. A broker that is killed,
 * stopped in order, or goes with its machine is no reason for HERMES_EFENCED, but where a topic in memory
 * went with the machine while messages were on their way; or messages of an async topic that were committed,
 * not durable, and are not kept here any more. HERMES_EMALFORMED: the broker found nonsense in what was sent.
 * Cost: a system call for each publish, or batch.
 *
 * Cost: about 25 ns, 15 of them checksum and clock.
 */
HERMES_API int hermes_publish(hermes_publisher_t *publisher, const void *payload, size_t length,
                              uint64_t *sequence);

/*
 * The same with the publisher's own time stamp, in nanoseconds since the Unix epoch: the exchange's, or the
 * network card's, of a feed that has them. No clock is read, which saves 10 ns. It is what subscribers see,
 * on shared topics too. HERMES_EINVALID: 0, which is no time, or more than INT64_MAX (the year 2262).
 *
 *     hermes_publish_at(publisher, packet.received_ns, packet.data, packet.length, NULL);
 *
 * Stamps need not go forward: messages stand in the order in which they were published, whatever their
 * stamps say, and nothing but hermes_seek_time() looks at them - it says what they mean to it. Retention by
 * age (keep_ns) goes by when messages were stored, on the broker's clock.
 */
HERMES_API int hermes_publish_at(hermes_publisher_t *publisher, uint64_t timestamp_ns, const void *payload,
                                 size_t length, uint64_t *sequence);

/* How long publish, claim, commit and close may wait from now on; 0: not at all, not even for the answer of a
 * broker that came back: later calls take it. */
HERMES_API void hermes_publisher_set_wait(hermes_publisher_t *publisher, uint64_t wait_ns);

/*
 * Publishes count messages, with one time stamp for all that find room at once; on a sync topic it waits
 * once, for all of them. Returns how many were taken, the first ones; should that not be all, the next call
 * tells why. Only where none was taken, the error, as hermes_publish(). On a sync topic HERMES_ETIMEOUT and
 * HERMES_EIO come in place of the count: hermes_publisher_accepted() has it.
 */
HERMES_API int64_t hermes_publish_batch(hermes_publisher_t *publisher, const hermes_slice_t *slices,
                                        size_t count);

/* The same, message i with the time stamp timestamps_ns[i], as hermes_publish_at(). The batch ends before one
 * that is no time stamp; HERMES_EINVALID as there. */
HERMES_API int64_t hermes_publish_batch_at(hermes_publisher_t *publisher, const uint64_t *timestamps_ns,
                                           const hermes_slice_t *slices, size_t count);

/*
 * Zero-copy: room for length bytes at *payload (8-byte aligned) until commit or abort. One at a time; until
 * then, nothing else may be published. hermes_claim(): HERMES_ETOOLARGE, HERMES_EINVALID, HERMES_EAGAIN,
 * HERMES_EFULL, HERMES_EFENCED, HERMES_ECLOSED, HERMES_EMALFORMED, HERMES_EIO, as hermes_publish(); there is
 * no claim then. hermes_commit(): HERMES_EINVALID: there is none; HERMES_EFENCED, HERMES_ECLOSED,
 * HERMES_EMALFORMED, HERMES_EDISCONNECTED, HERMES_ETIMEOUT, HERMES_EIO, as hermes_publish(). *sequence as
 * there.
 */
HERMES_API int hermes_claim(hermes_publisher_t *publisher, size_t length, void **payload);
HERMES_API int hermes_commit(hermes_publisher_t *publisher, uint64_t *sequence);
/* With a time stamp as of hermes_publish_at(). HERMES_EINVALID also: it is none; the claim stays open. */
HERMES_API int hermes_commit_at(hermes_publisher_t *publisher, uint64_t timestamp_ns, uint64_t *sequence);
HERMES_API void hermes_abort(hermes_publisher_t *publisher);

enum hermes_confirmation {
    HERMES_COMMITTED = 0, /* in the topic, in its order: at once on exclusive topics */
    HERMES_DURABLE = 1,   /* on disk */
};

/* Waits until everything that was taken so far is that, however long a broker is away. HERMES_ETIMEOUT: not
 * within timeout_ns; HERMES_EIO: the store failed; HERMES_EFENCED, HERMES_ECLOSED, HERMES_EMALFORMED: not
 * everything will be, as hermes_publish() says; HERMES_ENOTSUP: a memory topic is never durable;
 * HERMES_EINVALID: there is no such confirmation, or a claim is open. */
HERMES_API int hermes_publisher_wait(hermes_publisher_t *publisher, enum hermes_confirmation confirmation,
                                     uint64_t timeout_ns);

/* The same, up to the message that hermes_publish() numbered so. HERMES_EINVALID: it was not published yet.
 */
HERMES_API int hermes_publisher_wait_for(hermes_publisher_t *publisher, uint64_t sequence,
                                         enum hermes_confirmation confirmation, uint64_t timeout_ns);

/*
 * Up to which of this publisher's messages is that? As hermes_publish() numbers them; on an exclusive
 * topic also what former publishers sent. A few loads: ask as often as you like. What was confirmed stays
 * confirmed. 0 where there is no such confirmation. Over a connection: of its own messages alone, and a
 * system call, for what has come in is looked at.
 */
HERMES_API uint64_t hermes_publisher_confirmed(hermes_publisher_t *publisher,
                                               enum hermes_confirmation confirmation);

/*
 * Calls handler(context, sequence), from hermes_publisher_poll() on its thread, whenever more of this
 * publisher's messages are that: up to sequence. NULL: no more calls. One handler for each confirmation.
 * With HERMES_PUBLISH_NO_WAIT that is how to have many messages on their way to the disk:
 *
 *     hermes_publisher_notify(publisher, HERMES_DURABLE, on_durable, &orders);
 *     for (;;) { ... hermes_publish(publisher, ...); hermes_publisher_poll(publisher); }
 */
typedef void (*hermes_confirmed_t)(void *context, uint64_t sequence);
HERMES_API void hermes_publisher_notify(hermes_publisher_t *publisher, enum hermes_confirmation confirmation,
                                        hermes_confirmed_t handler, void *context);

/* Makes the calls that are due, and greets a broker that came back. Returns how many calls, or
 * HERMES_EFENCED, HERMES_ECLOSED or HERMES_EMALFORMED as hermes_publish(). Never waits. */
HERMES_API int hermes_publisher_poll(hermes_publisher_t *publisher);

/* The sequence in the topic of the last message that is committed, as far as this publisher knows. Over a
 * connection: 0, it is not known. */
HERMES_API uint64_t hermes_publisher_sequence(const hermes_publisher_t *publisher);

/*
 * How many messages of this publisher were taken, all in all: they stand in the topic, or wait in its ring or
 * for a broker to go in. What was refused or fenced does not count. So after any error: what it has grown by
 * is what the call achieved, and the first ones of a batch are those.
 */
HERMES_API uint64_t hermes_publisher_accepted(const hermes_publisher_t *publisher);

/*
 * Waits, as long as publish would, until all that was taken is in the topic; aborts a claim; frees the
 * publisher. Returns how many messages are not in and no call has told of yet; never less than 0. 0:
 * all are (but for those that a call has told of: HERMES_EFENCED, HERMES_ECLOSED, HERMES_EMALFORMED), on a
 * sync topic not necessarily on disk yet (hermes_publisher_wait()). hermes_last_error(client) says what
 * becomes of the others: those in a ring are left to the broker, if there is one, and go in when there is
 * room; without a broker they are lost with this publisher. Over a connection those are left to the broker
 * that had reached it, which nobody knows any more, and the others lost. NULL is allowed.
 */
HERMES_API int64_t hermes_publisher_close(hermes_publisher_t *publisher);

#ifdef __cplusplus
}
#endif
#endif
