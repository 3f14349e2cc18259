/*
 * hermes/client.h - publish to and subscribe from a broker, on this host or over a network.
 *
 * A client is a session with a broker. Through it, topics are made and listed, and publishers and
 * subscribers opened. On the broker's host messages never pass through the session: publishers write to, and
 * subscribers read from, shared memory. Where there is none (tcp://, unix:PATH?shm=no) they go through the
 * connection; each call does what is said of it here, and where something differs it says so under "Over a
 * connection".
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
 * process has no descriptor left for it. These are not repeated below.
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

#include <stddef.h>
#include <stdint.h>

#include "hermes/log.h"
#include "hermes/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HERMES_FOREVER UINT64_MAX

typedef struct hermes_client hermes_client_t;
typedef struct hermes_publisher hermes_publisher_t;
typedef struct hermes_subscriber hermes_subscriber_t;

/*
 * url: one of these, or several with commas, which are tried in turn, now and whenever the connection is
 * lost:
 *
 *     shm:                             the broker found through HERMES_HOME, or in the default place
 *     unix:PATH (unix://PATH, PATH, shm:PATH)  the broker with that socket
 *     unix:PATH?shm=no                 the same, without shared memory
 *     tcp://HOST:PORT                  a name, an IPv4 address, or an IPv6 address in brackets
 *     tls://HOST:PORT                  the same, with TLS 1.3: the broker's certificate is checked
 *
 * All of them share memory, or none; beside tls:// there is no tcp://. NULL: HERMES_URL in the environment,
 * else shm:. HERMES_EDISCONNECTED: nobody listens there, or nobody knows the name. HERMES_ELIMIT: it has no
 * place for another session, or more than 8 URLs. HERMES_EVERSION: another protocol. HERMES_EINVALID: no URL;
 * HERMES_ENOTSUP: one of another kind; the sentence says what is wrong with it. HERMES_ETOOLARGE: the path is
 * too long. And what hermes_connect_with() may return, for the environment may name files and a token, too.
 *
 * Over a connection a broker that is away is looked for every 10 ms at first, less and less often down to
 * once a second, by whatever is called; names are looked up by calls that wait for the broker's answer.
 */
HERMES_API int hermes_connect(const char *url, hermes_client_t **client);

/*
 * Whom to trust, and who one is. What is NULL is what the environment says, what is empty ("") nothing at
 * all. All of it is copied. Files are PEM; they are read when the client is made, and again for a new
 * connection if they were replaced.
 */
typedef struct hermes_connect_options {
    size_t size;          /* sizeof(hermes_connect_options_t) */
    const char *tls_ca;   /* HERMES_TLS_CA: file of the authorities that may vouch for the broker; none: the
                             system's */
    const char *tls_cert; /* HERMES_TLS_CERT: file of this client's certificate, and of what stands between
                             it and its authority */
    const char *tls_key;  /* HERMES_TLS_KEY: file of its key; none: it is in tls_cert */
    const char *tls_server_name; /* HERMES_TLS_SERVER_NAME: the name or address that the broker's certificate
                                    must have; none: HOST of the URL */
    const char *token; /* HERMES_TOKEN: the secret ('hermes auth token create'), of up to 63 characters */
    const char *token_file; /* HERMES_TOKEN_FILE: a file whose first line it is, read again for each
                               connection; instead of token */
} hermes_connect_options_t;

/*
 * The same as hermes_connect(), which leaves all of it to the environment. What TLS needs is looked at for
 * tls:// alone; the token goes to brokers at Unix sockets, too, and decides there who one is. It is sent over
 * tcp:// to this host, never in the clear to another: HERMES_EACCESS.
 *
 *     hermes_connect_options_t options = {.size = sizeof options, .tls_ca = "ca.crt", .token_file = "token"};
 *     hermes_connect_with("tls://broker.example:7000", &options, &client);
 *
 * HERMES_EACCESS: one end does not trust the other, and the sentence says why and what to do: the broker's
 * certificate is over, has another name, or is nobody's who is trusted here; the broker wants a certificate,
 * does not accept it, or does not know the token (any more); a key or token_file can be read by everybody.
 * HERMES_EPROTOCOL: no TLS 1.3 is spoken there. HERMES_ENOTFOUND, HERMES_EINVALID: a file is not there, or is
 * not what it should be. HERMES_ENOTSUP: there is no OpenSSL 3 here, which is loaded for the first tls://.
 *
 * All this is checked for each connection. A client that was put out while it was connected, or meets another
 * certificate when it comes back, tries again and again as with a broker that is away, at most once a second:
 * calls that wait for the broker's answer say HERMES_EACCESS then, those that wait for as long as you say
 * HERMES_EDISCONNECTED, with the same sentence.
 */
HERMES_API int hermes_connect_with(const char *url, const hermes_connect_options_t *options,
                                   hermes_client_t **client);

/*
 * Closes what was opened through the client, and frees it. Returns how many messages of its publishers are
 * not in their topics, as hermes_publisher_close() says of each, and hermes_last_error(NULL) the last
 * sentence; 0: all are in. It waits as long as the publisher that waits longest, and for a broker that does
 * not run at the moment up to 10 s more, for all members of groups, durable subscriptions, subscribers that
 * publishers wait for, and publishers together. If it answers, what the members held is for others, their
 * places are free, and nobody waits for who was slow, when this returns; else once it runs again. NULL is
 * allowed.
 */
HERMES_API int64_t hermes_disconnect(hermes_client_t *client);

/*
 * For a child after fork(2): lets go of the parent's client and of everything opened through it, and tells
 * the broker nothing. Without it the child keeps the parent's session open after the parent's death: what the
 * parent's members hold stays theirs until its lease runs out, and the place of a durable subscription is
 * busy as long as the child lives.
 */
HERMES_API void hermes_forget(hermes_client_t *client);

/*
 * For who must not be held up by a broker that does not answer - a language's runtime with signal handlers of
 * its own, a program that a user ends: where this thread has to wait for the broker's answer, in any function
 * that waits for it or for both in the list above, `ask` is asked before it sleeps, after each signal and at
 * least every 20 ms. What waits for as long as you say asks nobody: say less, and call it again.
 *
 *     0   wait on
 *     1   wait no more: HERMES_EINTERRUPTED, which leaves what HERMES_ETIMEOUT does: the session goes on, and
 *         whether a topic or group was made, altered or deleted is not known. What closes does close, and
 *         counts what is not in its topic by then; the broker hears of it when it runs again
 *     -1  the same, and say nothing to the broker: for the child, where `ask` forked
 *
 * Once it has ended a call it is asked by the rest of that call, and must say so again. It must not use what
 * the call was made for. Of this thread alone; ask NULL, as at the beginning: nobody is asked. Returns what
 * was set before.
 */
typedef struct hermes_interrupt {
    int (*ask)(void *context);
    void *context;
} hermes_interrupt_t;
HERMES_API hermes_interrupt_t hermes_set_interrupt(hermes_interrupt_t interrupt);

/* Asks the broker, and waits for its answer; connects again if need be. */
HERMES_API int hermes_ping(hermes_client_t *client);
/* 1: the session with the broker is up; 0: the broker went away, and none has been found since. What goes on
 * without it, and looks for it by itself, is said above. Never waits; costs a system call. */
HERMES_API int hermes_is_connected(hermes_client_t *client);
HERMES_API const char *hermes_last_error(const hermes_client_t *client);

/* ---- topics ---- */

enum hermes_durability {
    HERMES_DURABILITY_ASYNC = 0,  /* stored, and synced within the broker's sync interval (10 ms) */
    HERMES_DURABILITY_SYNC = 1,   /* publish returns when fdatasync has: one for all that wait */
    HERMES_DURABILITY_MEMORY = 2, /* kept in shared memory alone; survives any process, not a stop */
};

/* What is 0 is the default. */
typedef struct hermes_topic_options {
    size_t size;            /* sizeof(hermes_topic_options_t) */
    uint32_t durability;    /* enum hermes_durability */
    uint32_t shared;        /* 0: one publisher at a time, the fastest; 1: up to 256, in one order */
    uint64_t window_bytes;  /* power of two, 256 KiB to 1 GiB; 0: the broker's default (4 MiB) */
    uint64_t segment_bytes; /* a multiple of window_bytes, 1 MiB to 1 TiB; 0: the broker's default (64 MiB) */
    uint64_t keep_bytes;    /* retention: at least so much is kept, in whole segments; 0: all */
    uint64_t keep_ns;       /* and all that is younger than this; 0: whatever its age. Either is enough to
                               remove a segment */
    uint32_t full_waits;    /* on a full disk publishers 1: wait for room; 0: get HERMES_EFULL at once */
    uint32_t push_back;     /* 1: publishers wait for those subscribers that ask for it
                               (HERMES_SUBSCRIBE_PUSH_BACK); 0: for none */
} hermes_topic_options_t;

typedef struct hermes_topic_info {
    size_t size; /* sizeof(hermes_topic_info_t), set by the caller */
    char name[128];
    uint64_t topic_id;
    uint32_t durability;
    uint32_t shared;
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint64_t first_position;     /* the oldest that exists */
    uint64_t committed_position; /* behind the last message */
    uint64_t persisted_position; /* in files, perhaps still in the page cache */
    uint64_t durable_position;   /* on disk */
    uint64_t last_sequence;      /* 0: no message yet */
    uint32_t epoch;
    uint32_t publishers;
    uint32_t subscribers;
    uint32_t failed;  /* 1: the store refused a write; the topic takes no publisher */
    uint64_t refused; /* malformed frames */
    uint64_t corrupt; /* damaged frames that were found in the store */
    uint64_t keep_bytes;
    uint64_t keep_ns;
    uint32_t full_waits;
    uint32_t full; /* 1: there is no room for the store at the moment */
    uint32_t push_back;
    uint32_t waited_for; /* subscribers that publishers wait for */
} hermes_topic_info_t;

/* options NULL, or all 0: async, exclusive, the broker's sizes. HERMES_EEXISTS, HERMES_ENAME,
 * HERMES_EINVALID, HERMES_ELIMIT, HERMES_EFULL. */
HERMES_API int hermes_topic_create(hermes_client_t *client, const char *topic,
                                   const hermes_topic_options_t *options);

/* What hermes_topic_alter() is to change: enum hermes_alter bits, and the values of those fields. */
enum hermes_alter { HERMES_ALTER_KEEP_BYTES = 1, HERMES_ALTER_KEEP_NS = 2, HERMES_ALTER_FULL_WAITS = 4 };

/* Takes effect at once, whoever publishes or reads, and stays. fields: which of options' fields are meant. */
HERMES_API int hermes_topic_alter(hermes_client_t *client, const char *topic, uint32_t fields,
                                  const hermes_topic_options_t *options);

/* What hermes_topic_verify() found. */
typedef struct hermes_verification {
    size_t size;                           /* sizeof(hermes_verification_t), set by the caller */
    uint64_t first_position, end_position; /* what was looked at: from the oldest to what was stored */
    uint64_t messages;                     /* that are right */
    uint64_t damaged;                      /* ranges that are not */
} hermes_verification_t;

/* Positions from `from` up to `to` are damaged; error: HERMES_ECHECKSUM, HERMES_EMALFORMED, HERMES_ECORRUPT
 * (a sequence that does not follow), HERMES_EIO. */
typedef void (*hermes_damage_t)(void *context, uint64_t from, uint64_t to, int error);

/*
 * Reads everything that is stored of a topic and checks header, checksum and sequence of each frame, whoever
 * publishes and reads meanwhile. damage (may be NULL) is called for each damaged range. HERMES_OK also when
 * there was damage: see result. HERMES_ENOTSUP: a memory topic. Cost: the reading, and some 15 GB/s of CPU.
 */
HERMES_API int hermes_topic_verify(hermes_client_t *client, const char *topic, hermes_damage_t damage,
                                   void *context, hermes_verification_t *result);

/* HERMES_EBUSY: it has a publisher, or one that may come back after a restart of the broker, or the broker
 * has not yet taken in what a former one of a shared topic left; HERMES_EIO: it is not served, or cannot be
 * deleted. HERMES_ENOTFOUND, HERMES_ENAME. Subscribers get HERMES_ECLOSED once they have read what there is.
 */
HERMES_API int hermes_topic_delete(hermes_client_t *client, const char *topic);

/*
 * Drops all messages of the topic that are in it when the broker comes to it, whoever publishes and reads;
 * positions and sequences go on. Who was to read one of them is told HERMES_EGONE, counts it as lost, and
 * goes on with the first that came later; so do, once there is one, members of groups and durable
 * subscriptions, which stay as they are: what was in flight is lost to them, and can be acked still. It is
 * for good when this returns: after a crash or a power cut in the middle of it all are gone, or none. Disk
 * space comes back in whole segments; the latest stays until retention takes it. On a full disk what is
 * stored goes first, and makes room for what stands in memory, which goes then. HERMES_ENOTFOUND,
 * HERMES_ENAME; HERMES_EFULL: there is no room all the same, and what stands in memory stays, or nothing has
 * gone: not even a note of it could be written; HERMES_EIO: the topic's store failed. HERMES_ETIMEOUT: the
 * disk takes its time, and it is not known yet.
 */
HERMES_API int hermes_topic_purge(hermes_client_t *client, const char *topic);
HERMES_API int hermes_topic_describe(hermes_client_t *client, const char *topic, hermes_topic_info_t *info);
/* Up to count topics whose names come after `after` ("": from the first), by name; returns how many. The size
 * of infos[0] is that of all. */
HERMES_API int hermes_topic_list(hermes_client_t *client, const char *after, hermes_topic_info_t *infos,
                                 size_t count);
/* The same of the topics that are on the disk, but that the broker could not load when it started, and does
 * not serve: it said why. Of each its name, and its id if that could be read (else 0); all else is 0. */
HERMES_API int hermes_topic_list_unserved(hermes_client_t *client, const char *after,
                                          hermes_topic_info_t *infos, size_t count);

/* ---- mirrors: topics of one broker on others ---- */

enum hermes_mirror_role {
    HERMES_MIRROR_SERVES = 1,  /* this broker sends the topic to others, from that address */
    HERMES_MIRROR_FOLLOWS = 2, /* the topic here is the copy of what is sent from there */
};

enum hermes_topic_mirror_state {
    HERMES_TOPIC_MIRROR_STARTING = 0,
    HERMES_TOPIC_MIRROR_WAITING = 1,  /* serves: for others; follows: for an answer */
    HERMES_TOPIC_MIRROR_ACTIVE = 2,   /* somebody is there; the copy goes on */
    HERMES_TOPIC_MIRROR_DIVERGED = 3, /* the copy has messages that its source does not have, or is of another
                                   topic: it stays as it is */
    HERMES_TOPIC_MIRROR_FAILED = 4,   /* it stays as it is, for the reason that `error` names */
};

typedef struct hermes_mirror_info {
    size_t size; /* sizeof(hermes_mirror_info_t), set by the caller */
    char topic[128];
    char url[128];
    uint32_t role;       /* enum hermes_mirror_role */
    uint32_t state;      /* enum hermes_topic_mirror_state */
    int32_t error;       /* why it waits or failed; 0: for no error */
    uint32_t receivers;  /* serves: that are there */
    uint64_t position;   /* serves: all of them have what is below; follows: so far it is copied */
    uint64_t lag_bytes;  /* from there to the end of the topic, as far as it is known */
    uint64_t rtt_ns;     /* of the slowest; 0: not measured yet */
    uint64_t datagrams;  /* with messages: serves: sent for the first time; follows: received */
    uint64_t bytes;      /* likewise */
    uint64_t lost;       /* bytes that were noticed to be missing, and asked for */
    uint64_t repaired;   /* serves: bytes that were sent again */
    uint64_t gone;       /* asked for, and not there any more: serves: how often; follows: bytes */
    uint64_t duplicates; /* follows: datagrams with what was there */
    uint64_t naks;       /* serves: received; follows: sent */
    uint64_t overruns;   /* follows: how often its socket was full */
    uint64_t refused;    /* datagrams: damaged, or strangers' */
} hermes_mirror_info_t;

/*
 * A topic of another broker, here: the same messages, at the same positions and with the same sequences, read
 * as those of any topic. url: "udp://HOST:PORT". The topic must be there.
 *
 *   - HERMES_MIRROR_SERVES: that broker sends it, from that address of its host, to up to 16 others;
 *   - HERMES_MIRROR_FOLLOWS: this broker copies it from there, from the first message that still exists, and
 *     goes on where it was after a restart of either. The topic is exclusive, has no message yet, and a
 * window not smaller than its source's. Nobody publishes to it, purges or deletes it as long as it is a
 * mirror: HERMES_EBUSY. What the source has no more when it is asked for is lost, as HERMES_EGONE says to who
 *     reads; a topic that is stored takes no such hole, and its mirror fails.
 *
 * It is for good: restarts of the broker begin it again. What is sent is neither encrypted nor authenticated:
 * HERMES_EACCESS, unless the broker's configuration has [net] insecure = true. HERMES_EEXISTS: the topic has
 * one of that role; HERMES_EINVALID: no such URL, or topic as above; HERMES_EBUSY: it has a publisher, or
 * somebody has the address; HERMES_ENOTFOUND: no such topic, or host; HERMES_ELIMIT: 64 mirrors.
 */
HERMES_API int hermes_mirror_add(hermes_client_t *client, const char *topic, enum hermes_mirror_role role,
                                 const char *url);
/* Ends it. What is copied stays, and the topic takes publishers, who go on where the copy ends. url NULL: the
 * topic has but one. HERMES_ENOTFOUND, HERMES_EINVALID. */
HERMES_API int hermes_mirror_remove(hermes_client_t *client, const char *topic, const char *url);
/* Up to count of the broker's mirrors; returns how many. The size of infos[0] is that of all. */
HERMES_API int hermes_mirror_list(hermes_client_t *client, hermes_mirror_info_t *infos, size_t count);
enum { HERMES_MIRRORS_MAX = 64 };

/* ---- the broker itself ---- */

typedef struct hermes_broker_info {
    size_t size;     /* sizeof(hermes_broker_info_t), set by the caller */
    char engine[16]; /* what its event loop stands on: "io_uring" or "epoll" */
    uint32_t pid;
    uint32_t uid;
    uint32_t sessions;
    uint32_t topics;
    uint64_t uptime_ns;
    uint64_t longest_turn_ns; /* of its event loop: so long everybody else had to wait for one thing */
    uint64_t notes_lost;      /* notes to the operator that standard error did not take */
    uint32_t membarrier;      /* 0: membarrier(2) is refused to it, and publishers fence for themselves */
    uint32_t instance;        /* another at each start */
    uint64_t longest_own_ns;  /* of what one thing took the loop itself, less what other processes took */
    uint64_t blocked_turns;   /* how often it slept over one thing: 0, or something is wrong */
    char version[16];         /* of hermesd, as "0.1.0" */
    char memory[128];         /* its directory in shared memory: /dev/shm/hermes-... */
} hermes_broker_info_t;

/* HERMES_EDISCONNECTED, HERMES_EPROTOCOL. */
HERMES_API int hermes_broker_describe(hermes_client_t *client, hermes_broker_info_t *info);

/* ---- publishing ---- */

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
 * broker's disk is full, and as long as what was published before has not gone. HERMES_EFENCED also where a
 * broker was stopped in order while messages were on their way. HERMES_EMALFORMED: the broker found nonsense
 * in what was sent. Cost: a system call for each publish, or batch.
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

/* ---- subscribing ---- */

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
 * broken nobody is waited for.
 */
#define HERMES_SUBSCRIBE_PUSH_BACK 1u

/*
 * options NULL: alone, from the end. A group or durable subscription that is not there is made, with what
 * hermes_group_create() has for defaults. HERMES_ENOTFOUND: no such topic; HERMES_ENAME; HERMES_EINVALID;
 * HERMES_EBUSY: somebody has the durable subscription; HERMES_EACCESS: the group is another user's;
 * HERMES_ELIMIT: 256 members. Over a connection a subscriber takes 2 MiB, and the broker sends at most 1 MiB
 * that was not read; of a group's messages one at a time, and up to 30 to a member that is quick.
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

/* ---- groups ----
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
 * Messages are given out in order; one that comes again, before those that nobody had yet. Members are
 * processes of one user: the one who made the group (and root). A group survives its members, and the broker.
 * One that is killed takes nothing from members that call poll, ack, nack or renew within a lease (and
 * grace_ms, for the place of a durable subscription) once the next one runs: they greet it by themselves.
 * After an orderly stop what was in flight comes again, as after a death of its member, or is dead; after a
 * power cut what was done within the last tenth of a second before it, too, and so it is with groups of
 * another user than the broker's (but root) when the broker is killed. A memory topic begins anew after an
 * orderly stop, and its groups and durable subscriptions with it.
 *
 *     hermes_subscriber_open(client, "orders", &(hermes_subscriber_options_t){
 *         .size = sizeof(hermes_subscriber_options_t), .group = "risk", .ack = HERMES_ACK_MANUAL}, &member);
 *     while (hermes_wait(member, &message, HERMES_FOREVER) > 0)
 *         if (check(&message)) hermes_ack(member, &message); else hermes_nack(member, &message);
 */
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
 * group to from and position: what members hold then counts no more (HERMES_EEXPIRED). What is dead before it
 * is put into the dead-letter topic first; HERMES_EBUSY: that takes longer than a second, or cannot be, and
 * nothing was altered. While it is written down, nobody is given anything, and what is acked is
 * HERMES_EEXPIRED; a broker that dies over it has altered the group or has not, which the next one tells.
 * HERMES_EINVALID: no field, another one, one that a durable subscription does not have, or a value outside
 * its range; a lease has no default here. HERMES_GROUP_DELIVERIES: what waits and was given out that often
 * already is dead; who has such a message may still ack it. Only the group's owner may, root, and the
 * broker's user: HERMES_EACCESS.
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

#ifdef __cplusplus
}
#endif
#endif
