/*
 * Sessions: the bytes of a client's socket, whichever kind it is of. One request of a client is under way at
 * a time; broker->answer() answers it, at once or later, by session_reply(). While its reply is on its way
 * the next ones are read, and one of them waits.
 *
 * What flows beside requests and replies is session->flow's. One send is under way at a time, of all that is
 * to go: the reply, then what the flow has.
 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "auth/rules.h"
#include "auth/tokens.h"
#include "broker/broker.h"
#include "broker/secure.h"
#include "wire/wire.h"

enum { SESSION_HANDLES_MAX = 64, SESSION_FLOW_PARTS = 3, SESSION_INLET_BYTES = 256 };

/* The user that all clients over TCP are, until they say who they are: (uid_t)-1 is nobody's (chown(2)). */
#define SESSION_REMOTE_USER ((uid_t)-1)

struct outlet;
struct group;
struct intake;
struct ring;

/* What a session has opened. */
struct handle {
    uint32_t id;          /* 0: free */
    uint64_t correlation; /* of the request that opened it */
    enum { HANDLE_PUBLISHER, HANDLE_RING, HANDLE_SUBSCRIBER, HANDLE_OUTLET, HANDLE_GRANT } kind;
    struct topic *topic;
    struct ring *ring;
    struct intake *intake; /* that fills the ring; NULL: its publisher does so itself */
    struct outlet *outlet;
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

/* To a session over TCP whose client is on this host: to go on in shared memory. Once, and not for long. */
struct invitation {
    struct wire_invitation told;
    uint64_t until_ns; /* monotonic */
};

/* What flows: broker/stream/stream.h. */
struct flow {
    /* Payload that has come of a message, of which `left` bytes are not taken in yet, these `count` among
     * them. How many it takes; 0: more has to be there; HERMES_EAGAIN: not before something has been sent,
     * which will be. HERMES_E...: the session is told, and ends. */
    int64_t (*take)(struct session *session, const hermes_header_t *header, const uint8_t *bytes,
                    size_t count, size_t left, struct error_text *text);
    /* The socket takes more: what goes next, at most SESSION_FLOW_PARTS, and stays where it is until sent()
     * or gone(). How many parts. */
    unsigned (*fill)(struct session *session, struct iovec *parts);
    void (*sent)(struct session *session); /* after each send, whatever it was of */
    /* The session goes. */
    void (*gone)(struct session *session);
};

struct session {
    struct session *next, *previous;
    struct broker *broker;
    struct poller_owner owner;
    int fd;
    struct secure *secure; /* TLS; NULL: bytes go as they are */
    uid_t uid;
    pid_t pid;                /* 0: not of this host */
    bool remote;              /* over TCP: no descriptors can be passed */
    uint8_t address[16];      /* remote: IPv6, or IPv4 mapped into it */
    char peer[80];            /* who it is, for notes */
    char who[RULE_WHO_BYTES]; /* and for rules, once it has greeted: "uid:1000", "cert:...", "token:...",
                                 "anonymous" */
    bool must_authenticate, is_known;
    struct invitation *invitation; /* NULL: none is open */
    struct session *guide, *ward;  /* who invited it, and who that let in: the guide's end is the ward's */
    int64_t ends_s;                /* so long, since 1970, it is that one; 0: for ever */
    unsigned reviewed;             /* security->generation by which it may stay */
    bool has_token;
    uint8_t token[TOKEN_HASH_BYTES];
    char name[64];
    uint64_t id;
    struct counters_entry *counters; /* NULL until it has greeted */
    bool greeted;
    bool silent; /* it has still to say hello */
    bool closing;
    bool over;              /* nothing is under way in its socket any more */
    struct handle *handles; /* most have one, or none */
    unsigned handle_count;  /* that there is room for, up to SESSION_HANDLES_MAX */
    struct later later;
    struct poller_op receive_op, send_op, end_op, greet_op, linger_op;

    /* What comes in: bytes [begin, end) of the inlet are still to be looked at. */
    uint8_t *inlet;
    size_t inlet_bytes, begin, end;
    uint8_t own_inlet[SESSION_INLET_BYTES]; /* until something larger comes */
    bool receiving;
    bool parsing;
    bool holds; /* a message is there, and waits until something is sent: the reply to the one before it */
    bool answering; /* the request has no answer yet */
    struct {
        hermes_header_t header;
        uint8_t payload[WIRE_REQUEST_MAX];
    } request;
    const struct flow *flow; /* NULL: nothing flows */
    struct stream *stream;   /* its */
    hermes_header_t flow_header;
    size_t flow_left; /* bytes of that message's payload */

    /* What goes out. */
    bool sending, sends_reply, sends_last_word; /* and of what */
    bool replies;                               /* there is a reply that is not sent yet */
    bool refused; /* it broke the rules: it is told so, and nothing else any more */
    struct {
        hermes_header_t header;
        struct wire_error error;
    } last_word;
    int fds[WIRE_FDS_MAX]; /* go with the reply, and are closed when it is sent */
    unsigned fd_count;
    struct iovec parts[2 + SESSION_FLOW_PARTS];
    unsigned part, part_count;
    struct msghdr message;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    struct reply *reply; /* from the request until it is sent */
};

/* Its bytes are not even zeroed: a short one costs none of the rest. */
struct reply {
    hermes_header_t header;
    uint8_t payload[WIRE_REPLY_MAX];
};

/* fd is the session's: of a Unix socket, or of TCP. There TLS is spoken if context is not NULL. */
void session_accept(struct broker *broker, int fd);
void session_accept_remote(struct broker *broker, int fd, struct tls_context *context,
                           bool must_authenticate);

/* Sends session->reply and session->fds. */
void session_reply(struct session *session);

/* Sends what there is, if nothing is being sent. How many bytes that is. */
size_t session_send(struct session *session);

/* From broker->answer(): room for so many bytes that come in. HERMES_ENOMEM. */
int session_widen(struct session *session, size_t bytes);

/* Ends the session at the next turn. */
void session_end(struct session *session);

/* Tells it why, in answer to that request (0: to none), and nothing more is heard of it; it ends when it
 * hangs up, or has had its time for that. */
void session_refuse(struct session *session, uint64_t correlation, int rc, const struct error_text *text);

/* It is known to be somebody: what it takes counts as that one's. HERMES_ELIMIT: who has enough sessions. */
int session_become(struct session *session, uid_t uid, struct error_text *text);

/* It is who its guide is, as long as that is there; and so it is in what it takes. HERMES_ELIMIT. */
int session_follow(struct session *session, struct session *guide, struct error_text *text);

/* Has it still to say who it is, before it may ask for anything? */
static inline bool session_is_awaited(const struct session *session)
{
    return session->must_authenticate && !session->is_known;
}

/* From broker->leave(), or after it: everything is given back. */
void session_free(struct session *session);

void session_close_all(struct broker *broker);

/* A duplicate of fd goes with the reply. */
int session_attach(struct session *session, int fd, struct error_text *text);
/* They are closed, on a worker: soon. */
void session_release_fds(struct session *session);

#endif
