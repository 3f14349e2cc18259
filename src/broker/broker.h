/*
 * hermesd: one event loop (control, sessions, sequencer), and workers for all that may wait for a disk.
 *
 *     session   a connected client: reads a request, has it answered, sends the reply (session.c)
 *     request   what each request does (request.c)
 *     topic     a topic: its log, who publishes to it, who subscribes (topic.c)
 *     sequencer producers' rings -> topic logs, in the event loop (sequencer.c)
 *     workers   threads for jobs and standing tasks (workers.c)
 *     persister windows -> stores, a task for each log (persister.c, watch.c)
 *     scrubber  reads what is stored, a task for each log (scrubber.c)
 *     group     consumer groups: who is a member, where the page is (group.c)
 *     keeper    groups' leases and records, a task for each group (keeper.c)
 *
 * All of it belongs to the event loop's thread but what log.h locks and the tasks' headers share.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>

#include "base/note.h"
#include "broker/config.h"
#include "broker/group.h"
#include "broker/persister.h"
#include "broker/principal.h"
#include "broker/scrubber.h"
#include "broker/workers.h"
#include "io/listener.h"
#include "io/poller.h"
#include "log/log.h"
#include "wire/wire.h"

enum { SESSION_HANDLES_MAX = 64 };

struct session;

/* A producer's ring of a topic whose log the broker writes. */
struct ring {
    struct topic *topic;
    struct session *session;
    unsigned index; /* in the status page, and in topic->rings */
    uint64_t id;
    uint32_t handle;
    struct map map;
    int fd;
    int eventfd;
    const uint8_t *data;
    uint64_t mask;
    uint64_t position;
    uint64_t sequence; /* of its next message */
    bool condemned;    /* it sent something malformed */
    struct broker *broker;
    uid_t uid; /* whose share of rings and memory it is of */
    struct poller_owner owner;
    struct poller_op wake;
};

struct topic {
    struct topic *next;
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
    struct session *publisher; /* who has the window; NULL while it may come back after a crash of ours */
    uint32_t publisher_handle;
    uint64_t grace_until_ns;
    bool blocked;           /* the sequencer found no room in the log when it last looked */
    struct map readers_map; /* push_back */
    struct readers *readers;
    int readers_fd;
    uint64_t awaited; /* lines of readers that a crash left, whose subscribers may come back */
    struct ring *rings[STATUS_RINGS];
    unsigned ring_count;
    unsigned subscribers;
    struct group *groups;
    unsigned group_count;
    bool groups_unread; /* one is on the disk that could not be loaded */
    uint64_t refused;
};

struct broker {
    struct config config;
    struct poller *poller;
    struct topic *topics;
    unsigned topic_count;
    struct topic *unserved; /* known by name and id alone, while topics are loaded */
    bool unread;            /* a definition could not be read: nobody knows what belongs to its topic */
    struct session *sessions;
    unsigned session_count;
    struct principals principals;
    unsigned sequenced; /* rings in all: is there anything to poll? */
    bool parked;
    uint64_t blocked_ns; /* how long to leave a log alone that has no room */
    bool stopping;
    uint32_t instance;
    int lock_fd;
    int socket_lock_fd;
    int listen_fd;
    int signal_fd;
    int trouble_fd; /* the persister found something for the loop to do */
    bool bound;
    char topics_path[PATH_BYTES];
    char shm[SHM_PATH_BYTES];
    bool membarrier;
    uid_t uid;
    uint32_t next_handle;
    uint64_t grace_until_ns; /* while subscribers of before a crash may come back; 0: that is over */
    uint64_t next_ring_id;
    struct workers workers;
    struct persister persister;
    struct scrubber scrubber;
    struct listener listener;
    struct poller_op signal_op, trouble_op, workers_op;
    uint64_t trouble_buffer, workers_buffer;
    uint8_t signal_buffer[128];
    struct error_text error;
};

int broker_open(struct broker *broker, const struct config *config, struct error_text *text);
/* Serves until SIGTERM or SIGINT. */
void broker_run(struct broker *broker);
int broker_close(struct broker *broker, struct error_text *text);

/* ---- topic.c ---- */
int topic_create(struct broker *broker, const struct wire_topic_create *request, struct error_text *text);
/* Takes effect at once, and is on disk when this returns. */
int topic_alter(struct broker *broker, const struct wire_topic_alter *request, struct error_text *text);
int topic_delete(struct broker *broker, const char *name, struct error_text *text);
struct topic *topic_find(struct broker *broker, const char *name);
struct topic *topic_by_id(struct broker *broker, uint64_t id);
/* Opens all topics under the data directory; sweeps from shared memory what belongs to none. */
int topic_load_all(struct broker *broker, struct error_text *text);
int topic_close_all(struct broker *broker, struct error_text *text);
/* Lets go of all topics and leaves what they have in shared memory, as a crash does: after a start that
 * failed. */
void topic_abandon_all(struct broker *broker);
/* A subscriber that is to be waited for: *line is its line, and *id goes into it. */
int topic_add_reader(struct broker *broker, struct topic *topic, uint32_t resume_line, uint64_t resume_id,
                     uint32_t *line, uint64_t *id, struct error_text *text);
/* Subscribers that did not come back in time after a crash are waited for no longer. */
void topic_end_grace(struct broker *broker);
void topic_describe(struct topic *topic, struct wire_topic_info *info);

/* ---- sequencer.c ---- */
int sequencer_begin(struct topic *topic, struct error_text *text);
int sequencer_add_ring(struct broker *broker, struct topic *topic, struct session *session, uint64_t sequence,
                       struct ring **ring, struct error_text *text);
/* Its producer knows of it: from here on its line outlives a crash of ours. A line whose producer never
 * learned of it is free after one. */
void sequencer_keep_line(struct ring *ring);
/* Takes in what the ring still holds, then frees it. */
void sequencer_remove_ring(struct broker *broker, struct ring *ring);
/* The producer of a line that a crash left behind has another one now. */
void sequencer_free_line(struct topic *topic, uint32_t line, uint64_t id);
/* One turn over all rings; true if anything moved. */
bool sequencer_turn(struct broker *broker);
/* Announces that producers must wake us; returns how long to sleep: 0: there is something to do after all. */
uint64_t sequencer_park(struct broker *broker);
void sequencer_unpark(struct broker *broker);

/* ---- session.c ---- */
struct handle {
    uint32_t id; /* 0: free */
    enum { HANDLE_PUBLISHER, HANDLE_RING, HANDLE_SUBSCRIBER } kind;
    struct topic *topic;
    struct ring *ring;
    struct group *group; /* of a subscriber that is a member; NULL: it is none */
    unsigned line;
    uint64_t member;
    unsigned reader; /* 1 + its line in the readers page; 0: it is not waited for */
};

struct session {
    struct session *next, *previous;
    struct broker *broker;
    struct poller_owner owner;
    int fd;
    uid_t uid;
    pid_t pid;
    char name[64];
    bool greeted;
    bool closing;
    struct handle handles[SESSION_HANDLES_MAX];
    bool silent; /* it has still to say hello */
    struct poller_op receive_op, send_op, end_op, greet_op;
    size_t received;
    size_t wanted;
    struct {
        hermes_header_t header;
        uint8_t payload[WIRE_REQUEST_MAX];
    } request;
    struct {
        hermes_header_t header;
        uint8_t payload[WIRE_REPLY_MAX];
    } reply;
    size_t sent;
    int fds[WIRE_FDS_MAX];
    unsigned fd_count;
    struct iovec parts[1];
    struct msghdr message;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
};

void session_accept(struct broker *broker, int fd);
void session_close_all(struct broker *broker);
/* Ends the session at the next turn. */
void session_end(struct session *session);

/* ---- request.c ---- */
/* Answers session->request: fills in session->reply and session->fds (which sending closes). */
void request_answer(struct session *session);
void request_drop_handle(struct session *session, struct handle *handle);

#endif
