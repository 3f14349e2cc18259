/*
 * What all parts of the broker share. hermesd is one event loop (control, sessions, sequencer), and workers
 * for all that may wait for a disk. Lowest first:
 *
 *     workers    threads for jobs and standing tasks
 *     persister  windows -> stores, a task for each log (and watch)
 *     scrubber   reads what is stored, a task for each log
 *     letters    groups' dead messages, read and posted to the loop
 *     keeper     groups' leases and records, a task for each group
 *     principal  who may hold how much
 *     security   certificates, tokens and rules, as they were read
 *     secure     TLS beneath a session
 *     broker     this
 *     session    a connected client: reads a request, has it answered, sends the reply
 *     topic      a topic: its definition, its log, who publishes to it, who subscribes
 *     sequencer  producers' rings -> topic logs, in the event loop
 *     group*     consumer groups: made, joined, where the page is
 *     topics     all topics: loaded, created, deleted, closed; what a crash left behind
 *     mirror/    topics that are sent to other brokers in datagrams, or come from there
 *     delivery   dead letters -> topic logs, in the event loop
 *     later      requests whose answer has to wait
 *     stream/    topics through the connection itself: outlets, intakes, and whose turn it is
 *     request    what each request does
 *     loop       the event loop: start, serve, stop
 *
 * A part knows what stands above it in this list, and nothing below: what must be told downwards is a return
 * value or one of the functions here. All belongs to the event loop's thread but what a header says is
 * shared.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/path.h"
#include "base/shm.h"
#include "broker/config.h"
#include "broker/letters.h"
#include "broker/persister.h"
#include "broker/principal.h"
#include "broker/scrubber.h"
#include "broker/stream/bells.h"
#include "broker/workers.h"
#include "counters/book.h"
#include "io/poller.h"

struct mirror;
struct security;
struct session;
struct topic;

struct broker {
    struct config config;
    uint32_t instance; /* another at each start, never 0 */
    uid_t uid;
    bool membarrier;
    bool stopping;
    uint64_t began_ns; /* monotonic */
    char topics_path[PATH_BYTES];
    struct shm shm;
    _Atomic uint64_t last_id; /* of rings, readers, members, pages: none is used twice */
    uint32_t next_handle;

    struct poller *poller;
    struct workers workers;
    struct persister persister;
    struct scrubber scrubber;
    struct principals principals;
    struct security *security; /* another after each SIGHUP */
    struct post post;
    struct counters_book book;
    struct counters_entry *counters; /* of the loop */

    struct topic *topics; /* by name */
    unsigned topic_count;
    struct mirror *mirrors;
    unsigned mirror_count;
    struct topic *unserved;  /* that could not be loaded, by name */
    uint64_t grace_until_ns; /* while subscribers of before a crash may come back; 0: that is over */

    struct session *sessions; /* the newest first */
    unsigned session_count;
    /* Of who stands above sessions: answers session->request; the session is over, nothing is under way for
     * it. */
    void (*answer)(struct session *session);
    void (*leave)(struct session *session);
    /* That topic is deleted: sessions let go of it. */
    void (*let_go)(struct topic *topic);

    unsigned rings;           /* in all topics: is there anything to sequence? */
    unsigned rings_fed;       /* of them, that the loop fills itself */
    uint64_t sequenced_bytes; /* that went past rings since the sequencer's last turn */
    struct topic *sequenced;  /* where the sequencer's next turn begins; NULL: at the first */
    bool parked;
    uint64_t blocked_ns; /* how long to leave a log alone that has no room */

    struct topic *streamed; /* those with outlets or intakes */
    struct rounds streams;  /* connections that may have something to send, whose turn it is first */
    struct bells bells;
};

static inline uint64_t broker_next_id(struct broker *broker)
{
    return atomic_fetch_add_explicit(&broker->last_id, 1, memory_order_relaxed) + 1;
}

/* Of a job for that user: job.whose. */
static inline uint64_t broker_whose(uid_t uid)
{
    return 1 + (uint64_t)uid;
}

/* Who could harm us anyway. */
static inline bool broker_trusts(const struct broker *broker, uid_t uid)
{
    return uid == broker->uid || uid == 0;
}

#endif
