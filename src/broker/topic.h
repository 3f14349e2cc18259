/*
 * A topic: its definition, its log, who publishes to it, who subscribes.
 *
 *     <data>/topics/<name>/topic.conf    the definition
 *     <data>/topics/<name>/epochs, ...   log/log.h
 *     <shm>/<id>.readers                 the lines of a push-back topic
 *
 * What may wait for a disk, or takes long, is a job on a worker, one after the other in the queue of what it
 * is about. While a job of `turns` is under way the loop leaves the log's writer and window alone, and nobody
 * publishes through the sequencer; while one of `affairs` is, definition and groups; while one of `reading`
 * is, the topic stays. A topic that was deleted goes when nobody holds it any more.
 */
#ifndef BROKER_TOPIC_H
#define BROKER_TOPIC_H

#include "broker/broker.h"
#include "group/readers.h"
#include "io/udp.h"
#include "log/log.h"
#include "wire/wire.h"

struct outlet;
struct group;
struct intake;
struct party;
struct ring;
struct stretch;

/* What of a topic streams to and from other hosts: broker/stream/. */
struct streamed {
    struct topic *next; /* in broker->streamed, as long as there are any of these: */
    struct outlet *outlets;
    struct intake *intakes;
    struct party *parties;  /* of the groups that some of the outlets are members of */
    struct stretch *latest; /* what was last copied out of the window, for all outlets; NULL: nothing */
    uint64_t seen;          /* where the log ended when outlets were last told that there is more */
    bool stirred;           /* they are to be told whether there is or not */
    unsigned awaiting;      /* outlets that have sent all that was there, and may send more */
};

/* What of a topic goes to other hosts, or comes from there, in datagrams: broker/mirror/. */
struct grants;

struct mirrored {
    unsigned count;        /* of mirrors, those that are being begun or ended as well */
    bool follows;          /* it is the copy of another broker's topic: nobody publishes to it here */
    struct grants *grants; /* of who receives it, where it is sent (mirror/grants.h); NULL: it is not */
    /* By enum mirror_role, as they are on the disk; "": none. Of jobs of `turns`. */
    char url[3][UDP_URL_BYTES];
    uint64_t asker; /* the session that asked for the latest change, and what came of that */
    int result;
    struct error_text text;
};

struct topic {
    struct topic *next;
    struct broker *broker;
    char name[WIRE_TOPIC_BYTES];
    uint64_t id;
    bool shared;
    enum log_durability durability;
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint64_t keep_bytes; /* retention; 0: all */
    uint64_t keep_ns;
    bool push_back;  /* publishers wait for those subscribers that ask for it */
    bool full_waits; /* on a full disk publishers wait for room; else they are told at once */

    struct log log;
    struct persisting persisting;
    struct scrubbing scrubbing;
    struct job_queue turns, affairs, reading;
    bool opening;   /* it is being made, or was not: nobody but its maker has it yet */
    bool deleting;  /* it takes nobody in */
    bool gone;      /* out of the list */
    unsigned holds; /* jobs, and handles of sessions */

    struct session *publisher; /* who has the window; NULL while it may come back after a crash of ours */
    uint64_t grace_until_ns;   /* 0: nobody is waited for */
    struct poller_op grace_op; /* when that is over */
    struct job end_job;        /* ends the epoch `end_epoch`, for the reason `end_why` */
    bool ends;
    uint32_t end_epoch;
    enum epoch_end end_why;
    struct job renew_job; /* a window for the rings of a topic whose own was spoilt */
    bool renews;
    int renew_result;
    struct poller_op renew_op;  /* when it is tried again */
    struct job change_job;      /* makes or deletes the topic */
    struct link *awaits_change; /* jobs that are submitted when that is through */
    int change_result;
    int close_result; /* of its log, when the broker stops */
    struct error_text change_text;

    struct map readers_map; /* push_back */
    struct readers *readers;
    int readers_fd;
    uint64_t awaited; /* lines of readers that a crash left, whose subscribers may come back */

    struct ring *rings[STATUS_RINGS];
    uint64_t ring_ends[STATUS_RINGS]; /* the order in which rings left their lines; 0: before our start */
    uint64_t last_ring_end;
    unsigned ring_count;
    unsigned rings_left; /* of them, whose publishers have gone */
    unsigned ring_turn;  /* where the sequencer begins */
    uint64_t unlisted;   /* whoever has no line (any more) may have something in the log up to here */
    bool blocked;        /* the sequencer found no room in the log when it last looked */

    struct streamed streamed;
    struct mirrored mirrored;

    unsigned subscribers;
    struct group *groups;
    struct lane records; /* of the groups */
    unsigned group_count;
    bool groups_unread; /* one is on the disk that could not be loaded */
    uint64_t refused;
    struct counters_entry *counters, *store_counters; /* NULL while it is being made; of a memory topic */
    uint64_t told_position, told_sequence;            /* the end, when it was last known */
    uint64_t told_first;                              /* of a memory topic: the oldest position then */
};

/* A job of that queue is under way, or waits. */
static inline bool queue_is_busy(const struct job_queue *queue)
{
    return queue->busy;
}

struct topic *topic_find(struct broker *broker, const char *name);
struct topic *topic_by_id(struct broker *broker, uint64_t id);
struct topic *topic_new(struct broker *broker, const char *name);
void topic_link(struct topic *topic);
void topic_unlink(struct topic *topic);

/* Whoever refers to it beyond a call; within a job's done() as well. topic_release() may free it. */
void topic_hold(struct topic *topic);
void topic_release(struct topic *topic);

void topic_path(const struct broker *broker, const char *name, const char *file, char path[PATH_BYTES]);

/* Over what is there, synced; what was longer stays so. */
int topic_write_whole(const char *path, const char *bytes, size_t length, struct error_text *text);

/* From <topic>/topic.conf. HERMES_ENOTFOUND: there is none. */
int topic_read_definition(struct topic *topic, struct error_text *text);
/* Written, and safe, or as it was. Any thread, in the turn of topic->affairs. */
int topic_write_definition(const struct topic *topic, struct error_text *text);
/* What a creation or a deletion leaves that a crash cut short. Any thread. */
void topic_remove_remains(const struct broker *broker, const char *name);

/* Makes the log, or takes it up, and the readers page. Any thread, of a topic that nobody else has. */
int topic_open_log(struct topic *topic, struct error_text *text);
/* The loop's part of it: tasks, grace, limits. */
int topic_begin(struct topic *topic, struct error_text *text);
/* Ends the tasks; blocks until they are out. */
void topic_end_tasks(struct topic *topic);
/* keep: the log stays in shared memory, and who reads it with it. */
void topic_close_readers(struct topic *topic, bool keep);

/* HERMES_EBUSY: somebody publishes to it, may be back to do so from a crash of ours, or has left what is not
 * in the log yet. */
int topic_check_free(const struct topic *topic, struct error_text *text);

/* Whoever writes the epoch can no longer: a job. note: its publisher spoilt the window. */
void topic_end_epoch(struct topic *topic, enum epoch_end why);
/* A publisher sent nonsense. */
void topic_count_refused(struct topic *topic);
/* A window for the rings, and the sequencer for its writer, as soon as there is room: a job. */
void topic_renew(struct topic *topic);

/* What may be altered while the topic is served. */
void topic_apply(struct topic *topic);

/* A subscriber that is to be waited for: *line is its line, and *id goes into it. */
int topic_add_reader(struct topic *topic, uint32_t resume_line, uint64_t resume_id, uint32_t *line,
                     uint64_t *id, struct error_text *text);
/* Somebody else has its place now: its publisher of before a crash is waited for no longer. */
void topic_forgo_grace(struct topic *topic);
/* Subscribers that did not come back in time after a crash are waited for no longer. */
void topic_end_grace(struct broker *broker);

/* The epoch that readers see, whoever has the turn. Acquire pairs with the release of status.h's (6). */
static inline uint32_t topic_epoch(const struct topic *topic)
{
    return atomic_load_explicit(&topic->log.status->epoch, memory_order_acquire);
}

/* Where the log ends, for who asks while it changes hands: before a job of topic->turns is submitted. */
void topic_look(struct topic *topic);
/* Never waits: while the log changes hands it says where it ended when that began. */
void topic_describe(struct topic *topic, struct wire_topic_info *info);

#endif
