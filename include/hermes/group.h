/*
 * hermes/group.h - groups, and what their members and durable subscriptions say of messages.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors.
 *
 * The members of a group share the messages of a topic: each message goes to one of them, and again to one of
 * them until it is acked:
 *
 *     a member that dies gives back what it had when its session ends, at once
 *     a member that hangs gives back what it had when the lease runs out: after 1 to 1.25 times its length,
 *     but where so much is in flight that a look at it takes the broker long (docs/reference/limits.md)
 *     what was given out max_deliveries times without an ack goes to the dead-letter topic: the broker puts
 *     it there, in an envelope that says whence it comes (hermes/letter.h), whether there are members or not.
 *     That counts from the moment a member takes a message, or has read one that comes again, though it, or
 *     the broker, ends before it is told
 *
 * Messages are given out in order; one that comes again, before those that nobody had yet (over a connection
 * behind what was sent already, and of two members one may have the later message first). Members are
 * processes of one user: the one who made the group (and root). A group survives its members, and the broker.
 * One that is killed takes nothing from members that call poll, ack, nack or renew within a lease (and
 * grace_ms, for the place of a durable subscription) once the next one runs: they greet it by themselves.
 * After an orderly stop what was in flight comes again, as after a death of its member, or is dead; after a
 * power cut what was done within the last tenth of a second before it, too, and so it is with groups of
 * another user than the broker's (but root; over TCP all are, who do not say who they are) when the broker is
 * killed. A memory topic begins anew after an
 * orderly stop, and its groups and durable subscriptions with it.
 *
 *     hermes_subscriber_open(client, "orders", &(hermes_subscriber_options_t){
 *         .size = sizeof(hermes_subscriber_options_t), .group = "risk", .ack = HERMES_ACK_MANUAL}, &member);
 *     while (hermes_wait(member, &message, HERMES_FOREVER) > 0)
 *         if (check(&message)) hermes_ack(member, &message); else hermes_nack(member, &message);
 */
#ifndef HERMES_GROUP_H
#define HERMES_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/subscriber.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_group_options {
    size_t size;             /* sizeof(hermes_group_options_t) */
    uint64_t lease_ns;       /* how long a member may have a message; 10 ms to 24 h; 0: 30 s */
    const char *dead_letter; /* a shared topic for what reached max_deliveries, made if it is not there;
                                NULL: such messages are dropped, and counted */
    uint32_t max_deliveries; /* up to 2,047; 0: no limit */
    uint32_t durable;        /* 1: a durable subscription, which has none of all this but from and position:
                                HERMES_EINVALID */
    uint32_t from;           /* enum hermes_from */
    uint32_t reserved;
    uint64_t position;   /* HERMES_FROM_POSITION: of a message of the topic */
    uint64_t span_bytes; /* messages in flight stand so close together in the log; beyond, members wait for
                            the oldest. Rounded up to a power of two, 256 KiB to 256 MiB; 0: 4 MiB */
} hermes_group_options_t;

typedef struct hermes_group_info {
    size_t size; /* sizeof(hermes_group_info_t), set by the caller */
    char name[128];
    char dead_letter[128]; /* "": none */
    uint32_t durable;      /* 1: a durable subscription */
    uint32_t uid;          /* whose it is */
    uint32_t members;
    uint32_t max_deliveries;
    uint64_t lease_ns;
    uint64_t span_bytes;
    uint64_t position;      /* all messages below it were given out; durable: acked */
    uint64_t done_position; /* and below this, all are done */
    uint64_t last_sequence; /* about: of the last message that was given out for the first time */
    uint64_t in_flight;     /* given out, or to be given out again, or dead letters to be, and not done */
    uint64_t redelivered;   /* how many times a message was given out again */
    uint64_t expired;       /* leases that ran out, also of what came again and could not be read yet */
    uint64_t dead;          /* messages that reached max_deliveries */
    uint64_t lost;          /* messages that were gone before anybody got them, or when they were to come
                               again; each counted once, when it is found, and given to nobody then */
} hermes_group_info_t;

/* options NULL: the defaults, from the end. HERMES_EEXISTS, HERMES_ENAME, HERMES_EINVALID, HERMES_ELIMIT (256
 * groups in a topic), HERMES_EFULL. HERMES_ENOTFOUND, here and below: no such topic, or no such group. */
HERMES_API int hermes_group_create(hermes_client_t *client, const char *topic, const char *group,
                                   const hermes_group_options_t *options);

/* What hermes_group_alter() is to change: enum hermes_group_alter bits, and the values of those fields. */
enum hermes_group_alter { HERMES_GROUP_LEASE = 1, HERMES_GROUP_DELIVERIES = 2, HERMES_GROUP_POSITION = 4 };

/*
 * Takes effect at once, whoever is a member, and is on disk when this returns. HERMES_GROUP_POSITION sets the
 * group to from and position: what members hold then counts no more (HERMES_EEXPIRED); one over a connection
 * hears of it a moment later, and what it is handed until then, of what it had been sent, is no more than
 * that. What is dead before it is put into the dead-letter topic first; HERMES_EBUSY: that takes longer than
 * a second, or cannot be, and nothing was altered. While it is written down, nobody is given anything, and
 * what is acked is HERMES_EEXPIRED; a broker that dies over it has altered the group or has not, which the
 * next one tells. HERMES_EINVALID: no field, another one, one that a durable subscription does not have, or a
 * value outside its range; a lease has no default here. HERMES_GROUP_DELIVERIES: what waits and was given out
 * that often already is dead; who has such a message may still ack it. Only the group's owner may, root, and
 * the broker's user: HERMES_EACCESS.
 */
HERMES_API int hermes_group_alter(hermes_client_t *client, const char *topic, const char *group,
                                  uint32_t fields, const hermes_group_options_t *options);

/* HERMES_EBUSY: it has members, those that the broker awaits after a crash among them, or dead letters that
 * cannot be put into their topic. HERMES_EACCESS as hermes_group_alter(). Members that are away are told
 * HERMES_ECLOSED when they come back. */
HERMES_API int hermes_group_delete(hermes_client_t *client, const char *topic, const char *group);
HERMES_API int hermes_group_describe(hermes_client_t *client, const char *topic, const char *group,
                                     hermes_group_info_t *info);
/* Up to count groups and durable subscriptions of the topic whose names come after `after` ("": from the
 * first), by name; returns how many. The size of infos[0] is that of all. */
HERMES_API int hermes_group_list(hermes_client_t *client, const char *topic, const char *after,
                                 hermes_group_info_t *infos, size_t count);

/* ---- what becomes of a message that was given out ---- */

/*
 * A member's message is done: nobody gets it again, but after a reset. The message may be any that this
 * subscriber was given, in any order, and several may be held at a time; of a copy, position, sequence,
 * length and claim are looked at. 0 as well for what was acked so before, for a message whose lease ran out
 * and that nobody took yet, and for one that the group has done with since so long (another message, a span
 * further on, was given out since) that it is not known any more how: acked by another, a dead letter, gone.
 *
 *     HERMES_EEXPIRED  it is not this subscriber's any more: the lease ran out and another has it, or it is
 *                      a dead letter; the group was reset; the broker stopped. It may come again: what was
 *                      acked just when a broker stopped counts or does not
 *     HERMES_EINVALID  it was never given out, or this is no member
 *
 * With a durable subscription all messages before it are done, too: an ack of one that is done already
 * changes nothing and returns 0. HERMES_EEXPIRED then: it was given out before a reset or a stop of the
 * broker, before another had the subscription, or by another one. HERMES_EINVALID: it was never given out,
 * as a copy may say whose position, length or sequence was changed; nothing is done then. That is looked up
 * in the log, but for the message that was given out last: what is overwritten or removed by now is believed,
 * and what is done already where it stands in neither the window nor the segment that is being read. For
 * another of those the broker is asked, as by a seek; HERMES_EDISCONNECTED: it was not there, and nothing is
 * done.
 * One limit: a claim has three bits of the number of deliveries. What is said of one delivery eight (or 16,
 * 24...) deliveries later, when the same member has the message again, is taken for said of the later one.
 * Over a connection it waits for the broker's answer, also for a broker that is away, or comes back
 * meanwhile: 0 says no less than here. HERMES_EDISCONNECTED: there was none in time; HERMES_EINTERRUPTED: or
 * it was not wanted any more. It is said all the same, as soon as there is a broker. A connection that breaks
 * ends the member, as its death would, and what it held is for others: what it has acked holds as long as
 * nobody has the message again, else it is HERMES_EEXPIRED; of a durable subscription, as long as nobody else
 * had that, and then nothing comes again either. A broker that was killed awaits the member, and its
 * successor knows what it holds. Of a durable subscription what has left the window is believed.
 * Cost: one compare-and-swap, no system call; once after each start of a broker, a greeting. Over a
 * connection a round trip; none in HERMES_ACK_AUTO, where asking for the next message says so in passing.
 */
HERMES_API int hermes_ack(hermes_subscriber_t *subscriber, const hermes_message_t *message);

/* This member cannot deal with the message: another gets it, or the same again, at once; after max_deliveries
 * it is dead. Of groups only; errors as hermes_ack(), and HERMES_EEXPIRED for what is done. Cost: that, and a
 * wake-up. */
HERMES_API int hermes_nack(hermes_subscriber_t *subscriber, const hermes_message_t *message);

/* The lease on the message begins anew: for work that takes longer. Errors as hermes_nack(). */
HERMES_API int hermes_renew(hermes_subscriber_t *subscriber, const hermes_message_t *message);

/* How often the message had been given out when this subscriber was given it so, that time included; 1 for
 * who is no member; 0: not known any more. What a member had taken again and was not given yet when it left,
 * or its lease ran out, does not count. Beyond 2,047 it says some number from 2,033 to 2,047. Of eight
 * deliveries back it says the later one: see hermes_ack(). Over a connection a message counts as given out
 * once it was sent to a member's process, whether that asked for it or died before.
 */
HERMES_API unsigned hermes_deliveries(const hermes_subscriber_t *subscriber, const hermes_message_t *message);

#ifdef __cplusplus
}
#endif
#endif
