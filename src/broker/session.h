/*
 * Sessions: the bytes of a client's socket. A client has one request under way at a time; broker->answer()
 * answers it, at once or later, by session_reply().
 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "broker/broker.h"
#include "wire/wire.h"

enum { SESSION_HANDLES_MAX = 64 };

struct group;
struct ring;

/* What a session has opened. */
struct handle {
    uint32_t id;          /* 0: free */
    uint64_t correlation; /* of the request that opened it */
    enum { HANDLE_PUBLISHER, HANDLE_RING, HANDLE_SUBSCRIBER } kind;
    struct topic *topic;
    struct ring *ring;
    struct group *group; /* of a subscriber that is a member; NULL: it is none */
    unsigned line;
    uint64_t member;
    bool resumed;                    /* that had the line before */
    unsigned reader;                 /* 1 + its line in the readers page; 0: it is not waited for */
    struct counters_entry *counters; /* NULL: not yet */
};

/* Why its request, or its end, is not through yet: of later.c. */
struct later {
    struct job job;
    bool waits;                   /* the job is out */
    struct topic *topic;          /* of the job; held until it is done */
    const struct job_queue *turn; /* while the request is handled in that queue's turn */
    int (*work)(struct session *session, struct topic *topic, struct error_text *text);
    bool (*begins)(struct session *session);
    bool worked; /* and this came of it */
    int result;
    struct error_text text;
    struct topic *changes; /* that the request makes or deletes; held until it is answered */
    uint32_t epoch;        /* that is to have a successor */
    struct ring *ring;     /* that the request wants; nobody has it yet */
};

struct session {
    struct session *next, *previous;
    struct broker *broker;
    struct poller_owner owner;
    int fd;
    uid_t uid;
    pid_t pid;
    char name[64];
    uint64_t id;
    struct counters_entry *counters; /* NULL until it has greeted */
    bool greeted;
    bool silent; /* it has still to say hello */
    bool closing;
    bool over; /* nothing is under way in its socket any more */
    struct handle handles[SESSION_HANDLES_MAX];
    struct later later;
    struct poller_op receive_op, send_op, end_op, greet_op;
    size_t received;
    size_t wanted;
    struct {
        hermes_header_t header;
        uint8_t payload[WIRE_REQUEST_MAX];
    } request;
    size_t sent;
    int fds[WIRE_FDS_MAX]; /* go with the reply, and are closed when it is sent */
    unsigned fd_count;
    struct iovec parts[1];
    struct msghdr message;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    /* The last, and not even zeroed: who only connects costs none of it. */
    struct {
        hermes_header_t header;
        uint8_t payload[WIRE_REPLY_MAX];
    } reply;
};

/* fd is the session's. */
void session_accept(struct broker *broker, int fd);

/* Sends session->reply and session->fds. */
void session_reply(struct session *session);

/* Ends the session at the next turn. */
void session_end(struct session *session);

/* From broker->leave(), or after it: everything is given back. */
void session_free(struct session *session);

void session_close_all(struct broker *broker);

/* A duplicate of fd goes with the reply. */
int session_attach(struct session *session, int fd, struct error_text *text);
/* They are closed, on a worker: soon. */
void session_release_fds(struct session *session);

#endif
