/*
 * hermes/subscriber.h - to subscribe: alone, durably or in a group; to read, wait and seek.
 *
 * A part of hermes/client.h, which says what holds for all of them: what may wait, threads, time-outs, sizes
 * of structs, errors. What a group is, and how its messages and those of a durable subscription are acked:
 * hermes/group.h.
 */
#ifndef HERMES_SUBSCRIBER_H
#define HERMES_SUBSCRIBER_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/connect.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_subscriber hermes_subscriber_t;

enum hermes_from {
    HERMES_FROM_END = 0,   /* the next message is the first published from now on */
    HERMES_FROM_FIRST = 1, /* with the oldest there is; of a memory topic that has lapped its window, with the
                              first of its newest whole lap: frames are known to begin there alone, and
                              older ones are left to those who were there before */
    HERMES_FROM_POSITION = 2, /* of hermes_group_create() and hermes_group_alter(): options.position */
};

/* When a message counts as done, for the member of a group and for a durable subscription. */
enum hermes_ack_mode {
    HERMES_ACK_AUTO = 0,   /* once the next one is asked for: what is being worked on when a program dies
                              comes again */
    HERMES_ACK_MANUAL = 1, /* hermes_ack() says so */
    HERMES_ACK_NONE = 2,   /* when it is given out: at most once, never again. Of groups only */
};

typedef struct hermes_subscriber_options {
    size_t size;       /* sizeof(hermes_subscriber_options_t) */
    const char *group; /* NULL: none. The members of a group share a topic's messages: each message goes to
                          one of them. See hermes_group_create() */
    const char *name;  /* NULL: none. A durable subscription: where it stands survives program and broker. One
                          subscriber at a time has it. Not together with group */
    uint32_t from;     /* enum hermes_from: where to begin; a group or durable subscription that exists
                          already goes on where it stands */
    uint32_t ack;      /* enum hermes_ack_mode */
    uint32_t flags;    /* HERMES_SUBSCRIBE_...; others: HERMES_ENOTSUP */
    uint32_t reserved;
} hermes_subscriber_options_t;

/*
 * On a push-back topic: publishers overwrite nothing in the window that this subscriber has not read; they
 * wait for it, as long as their wait_ns, and then get HERMES_EAGAIN. Counted from the moment it is opened;
 * not while it reads older messages from the store, where nothing is overwritten; no longer once it is closed
 * or its process ends, nor once it has neither polled nor waited for grace_ms (2 s) after the start of a
 * broker whose predecessor was killed: though it lives, it may be overtaken then, until it polls again. Of
 * the broker's user alone (HERMES_EACCESS), 64 for a topic (HERMES_ELIMIT), and not for members of a group
 * (HERMES_EINVALID, as where the topic does not allow it). Over a connection anybody may ask for it: nothing
 * is overwritten that was not sent, and up to 1 MiB may be sent and not read yet; while the connection is
 * broken nobody is waited for, but for grace_ms after the start of a broker whose predecessor was killed: so
 * long its place counts, though it be back and have another. A publisher over a connection is not told whom
 * it waits for.
 */
#define HERMES_SUBSCRIBE_PUSH_BACK 1u

/*
 * options NULL: alone, from the end. A group or durable subscription that is not there is made, with what
 * hermes_group_create() has for defaults. HERMES_ENOTFOUND: no such topic; HERMES_ENAME; HERMES_EINVALID;
 * HERMES_EBUSY: somebody has the durable subscription; HERMES_EACCESS: the group is another user's;
 * HERMES_ELIMIT: 256 members. Over a connection a subscriber takes 2 MiB, and the broker sends at most 1 MiB
 * that was not read; of a group's messages one at a time, and up to 30 to a member that is quick, ahead of
 * its asking: so of two members one may have the next message in hand that the other asks for, and what comes
 * again comes behind what was sent already.
 */
HERMES_API int hermes_subscriber_open(hermes_client_t *client, const char *topic,
                                      const hermes_subscriber_options_t *options,
                                      hermes_subscriber_t **subscriber);

/*
 * 1: *message is the next message; its payload is valid until the next call with this subscriber.
 * 0: none now: there is none, or the broker was asked for what comes next (the next publisher's window, a
 * segment of the store, a place in a group that was reset) and has not answered yet: awaits_broker of
 * hermes_subscriber_describe() tells which. Polling goes on by itself once it has; it never waits for that.
 * HERMES_EGONE: messages of a memory topic were overwritten, or retention removed them,
 * before they were read; reading goes on with the oldest there is (HERMES_FROM_FIRST). HERMES_ECHECKSUM,
 * HERMES_ECORRUPT, HERMES_EMALFORMED: damage; the next call goes on behind it. HERMES_ECLOSED: the topic was
 * deleted, or the group or durable subscription, which may have been while no broker knew this subscriber:
 * each further call says so, though somebody have made it anew. HERMES_EDISCONNECTED: the store is needed and
 * no broker is there to open it, or it has not answered for 10 s (HERMES_REQUEST_TIMEOUT_MS). HERMES_EIO:
 * memory, or an answer of the broker, could not be had. Of the members of a group one is told what is gone or
 * damaged, for all. HERMES_EBUSY: another has the durable subscription by now; it is asked for again.
 * Over a connection it takes what has come in, with one system call where nothing is there, and 0 also while
 * there is no broker, or while something that is in the topic has not come yet: awaits_broker tells both.
 * HERMES_EGONE also where the log has lost its end (async, after a power cut). A member whose connection
 * broke joins again by itself, and is given nothing before it has.
 * Cost: one cache line transfer from the publisher's core, the checksum, and about 3 ns. While messages come
 * faster than lines travel between the cores, it stays a little behind, or both would be slowed down: then a
 * call may take 0.5 us, and a message is read at most 1 us later than it could have been. Messages that come
 * alone, at fixed rates that can be followed, or in bursts of less than 8 KiB are read at once.
 */
HERMES_API int hermes_poll(hermes_subscriber_t *subscriber, hermes_message_t *message);

/* The same, waiting up to timeout_ns and no longer, whatever the broker does: spins for spin_ns (20 us unless
 * set), then sleeps; a broker that is away or does not answer is waited for. 0: timed out.
 * HERMES_EDISCONNECTED: and there was no broker, which was needed. HERMES_EINTERRUPTED: a signal handler ran.
 * Of a group's members that sleep here a message wakes one, which wakes another in its stead before it
 * returns; what is left lying by one that was stopped asleep (SIGSTOP) the others find within 250 ms. */
HERMES_API int hermes_wait(hermes_subscriber_t *subscriber, hermes_message_t *message, uint64_t timeout_ns);

/*
 * For event loops - poll, epoll, asyncio, tokio. The descriptor becomes readable once there may be a message;
 * it is the subscriber's. Arm it when hermes_poll() has nothing, not before every wait:
 *
 *     for (;;) {
 *         while (hermes_poll(subscriber, &message) > 0) ...
 *         if (hermes_subscriber_arm(subscriber) == 0)
 *             poll(&(struct pollfd){.fd = hermes_subscriber_fd(subscriber), .events = POLLIN}, 1, -1);
 *     }
 *
 * hermes_subscriber_arm() makes it unreadable. 0: wait for it; 1: look again, there is something already.
 * Where the broker was asked for what comes next the descriptor becomes readable soon after its answer (after
 * at most twice the time that took, 10 ms more at most), and up to a hundred times a second while there is
 * none. The first call starts a thread that sleeps whenever you do; over a connection there is none, and the
 * descriptor becomes readable four times a second besides. HERMES_ENOTSUP: Linux before 5.16. Cost:
 * two wake-ups instead of hermes_wait()'s one; and of a group's members that wait so each message wakes all:
 * a loop may be busy with other things, and nobody else is to wait for it.
 */
HERMES_API int hermes_subscriber_fd(hermes_subscriber_t *subscriber);
HERMES_API int hermes_subscriber_arm(hermes_subscriber_t *subscriber);

/* Calls handler for up to most messages that are there; it returns 0 to go on. Returns how many; an error
 * that comes behind some of them is told by the next call, whichever that is. Errors as hermes_poll(). */
typedef int (*hermes_handler_t)(void *context, const hermes_message_t *message);
HERMES_API int64_t hermes_poll_many(hermes_subscriber_t *subscriber, size_t most, hermes_handler_t handler,
                                    void *context);

/*
 * Where to read next. After an error the subscriber stands where it stood, and goes on there:
 * HERMES_EDISCONNECTED when no broker is there to open what is stored; HERMES_ECLOSED when the topic was
 * deleted. Members of a group stand where the group does: HERMES_EINVALID for them (see
 * hermes_group_alter()). Of a durable subscription the reader moves, and the place with what is acked from
 * there on; HERMES_EBUSY: another has it by now. After an orderly stop of the broker what is sought is in the
 * log of the next one, though the subscriber did not read the former one's to the end; while there is none,
 * in what the former one left (HERMES_EDISCONNECTED with a durable subscription, whose place nobody knows
 * then). On a stored topic a durable subscription that was sought goes on from there over stops of the
 * broker, too: what was given out since, and neither it nor anything behind it was acked, comes again. A
 * reset of it (hermes_group_alter()) ends that, and another that had it since. Over a connection a durable
 * subscription cannot seek: HERMES_ENOTSUP; a subscriber without one beside it can.
 */
HERMES_API int hermes_seek_first(hermes_subscriber_t *subscriber);
HERMES_API int hermes_seek_end(hermes_subscriber_t *subscriber);
/* The next message is the first, in the order of the topic, whose sequence (time stamp) is not below the
 * value, of those that HERMES_FROM_FIRST begins with. Where clocks were set back, publishers' clocks differ,
 * or they give time stamps of their own (hermes_publish_at()), times are not in order, and messages behind it
 * may be earlier again. One that lies far in the future is found for every time up to its own; who wants
 * others asks for a sequence or a position.
 * Cost in the store: a request to the broker and a walk over at most 64 KiB of headers, 50 to 90 us, however
 * much is stored; in the window, a walk over the headers in front of it. But once retention has removed a
 * message whose time stamp lies in the future, seeks to times below that go over the headers of all that is
 * stored in front of what they look for. */
HERMES_API int hermes_seek_sequence(hermes_subscriber_t *subscriber, uint64_t sequence);
HERMES_API int hermes_seek_time(hermes_subscriber_t *subscriber, uint64_t timestamp_ns);
/*
 * To a position that a message had, or a subscriber (hermes_subscriber_describe()): also behind the last
 * message. HERMES_EINVALID: not a multiple of 64. HERMES_ENOTFOUND: no message begins there: it is behind the
 * end (as a position may be that was saved before a power cut), or within a message. HERMES_EGONE: it is
 * older than what is kept; of a memory topic, than the last multiple of the window's size that is not
 * overwritten yet. Cost: as by sequence; in the window, a walk over the headers in front of it.
 */
HERMES_API int hermes_seek_position(hermes_subscriber_t *subscriber, uint64_t position);

/* Off: the checksums of messages read from the window are not checked (from the store they always are). */
HERMES_API void hermes_subscriber_set_verify(hermes_subscriber_t *subscriber, int on);
HERMES_API void hermes_subscriber_set_spin(hermes_subscriber_t *subscriber, uint64_t spin_ns);

typedef struct hermes_subscriber_counters {
    size_t size;       /* sizeof(hermes_subscriber_counters_t), set by the caller */
    uint64_t position; /* of the next message, or of what fills up the log in front of it; behind the last
                          message, where the next one, or what was sought, is not there yet. To it one may
                          seek. Of a member: of what it looks at next, and another may have */
    uint64_t lost;     /* overwritten (memory topics) or removed by retention before they were read. Who began
                          at the end, or sought what was not there yet, and was overtaken before its first
                          message is told (HERMES_EGONE), but how many these were is not known, and not
                          counted. Of a member: what it found gone, for its group */
    uint64_t corrupt;  /* frames that were damaged */
    uint64_t awaits_broker; /* 1: hermes_poll() had nothing because the broker has not answered yet; 0:
                               there is nothing */
} hermes_subscriber_counters_t;

HERMES_API int hermes_subscriber_describe(const hermes_subscriber_t *subscriber,
                                          hermes_subscriber_counters_t *counters);
/* Of a member: what it has not acked goes to others. For members, durable subscriptions and those that
 * publishers wait for the broker's answer is waited for, at most 10 s; not again for others that are closed
 * before it has answered: they are free once it does. NULL is allowed. */
HERMES_API void hermes_subscriber_close(hermes_subscriber_t *subscriber);

#ifdef __cplusplus
}
#endif
#endif
