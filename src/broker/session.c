#include "broker/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/note.h"
#include "broker/shared_memory.h"

static struct session *of(struct poller_op *op, size_t offset)
{
    return (struct session *)(void *)((char *)op - offset);
}

int session_attach(struct session *session, int fd, struct error_text *text)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return error_set_errno(text, "duplicate", "a descriptor");
    session->fds[session->fd_count++] = copy;
    return HERMES_OK;
}

/* ---- descriptors that have gone with a reply ---- */

struct closing {
    struct job job; /* the first */
    int fds[WIRE_FDS_MAX];
    unsigned count;
};

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static void close_slowly(struct job *job)
{
    struct closing *closing = (struct closing *)(void *)job;
    close_all(closing->fds, closing->count);
}

static void closed(struct job *job)
{
    free(job);
}

/* By now they may be the last of a window or a segment that was thrown away, and that costs: 80 ms for 512
 * MiB, or a disk that writes down what is free. So on a worker, but at the end, when nobody waits. */
void session_release_fds(struct session *session)
{
    unsigned count = session->fd_count;
    session->fd_count = 0;
    if (count == 0)
        return;
    struct closing *closing = session->broker->stopping ? NULL : malloc(sizeof *closing);
    if (closing == NULL) {
        close_all(session->fds, count);
        return;
    }
    *closing = (struct closing){
        .job = {.work = close_slowly, .done = closed, .whose = broker_whose(session->uid)}, .count = count};
    memcpy(closing->fds, session->fds, count * sizeof session->fds[0]);
    workers_submit(&session->broker->workers, NULL, &closing->job);
}

void session_free(struct session *session)
{
    struct broker *broker = session->broker;
    session_release_fds(session);
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        broker->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    broker->session_count--;
    principal_give_back(&broker->principals, session->uid, HOLDS_SESSIONS, 1);
    book_give_back(&broker->book, session->counters);
    close(session->fd);
    free(session);
}

/* Nothing is under way for it any more. */
static void gone(struct poller_owner *owner)
{
    struct session *session = (struct session *)(void *)((char *)owner - offsetof(struct session, owner));
    session->over = true;
    session->broker->leave(session);
}

/* It has greeted, or it ends. */
static void break_silence(struct session *session)
{
    if (!session->silent)
        return;
    session->silent = false;
    principal_give_back(&session->broker->principals, session->uid, HOLDS_SILENT, 1);
    poller_cancel(session->broker->poller, &session->greet_op);
}

static void ended(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, end_op));
    (void)result;
    poller_cancel(session->broker->poller, &session->receive_op);
    poller_cancel(session->broker->poller, &session->send_op);
    poller_leave(&session->owner);
}

/* At the next turn: who calls may be in the midst of what the session holds. */
void session_end(struct session *session)
{
    if (session->closing)
        return;
    session->closing = true;
    break_silence(session);
    shutdown(session->fd, SHUT_RDWR);
    poller_job(session->broker->poller, &session->end_op);
    poller_post(session->broker->poller, &session->end_op, 0);
}

static void receive_more(struct session *session);

static void send_rest(struct session *session)
{
    size_t bytes = HERMES_HEADER_BYTES + session->reply.header.length;
    session->parts[0] = (struct iovec){(uint8_t *)&session->reply + session->sent, bytes - session->sent};
    session->message = (struct msghdr){.msg_iov = session->parts, .msg_iovlen = 1};
    if (session->sent == 0 && session->fd_count > 0) {
        memset(session->control, 0, sizeof session->control);
        session->message.msg_control = session->control;
        session->message.msg_controllen = CMSG_SPACE(session->fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&session->message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(session->fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), session->fds, session->fd_count * sizeof(int));
    }
    if (poller_send(session->broker->poller, &session->send_op, session->fd, &session->message) < 0)
        session_end(session);
}

static void sent(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, send_op));
    if (result <= 0)
        session_end(session);
    if (session->closing)
        return;
    session_release_fds(session);
    session->sent += (size_t)result;
    if (session->sent < HERMES_HEADER_BYTES + session->reply.header.length)
        send_rest(session);
    else
        receive_more(session);
}

static void receive_more(struct session *session)
{
    uint8_t *to = (uint8_t *)&session->request + session->received;
    if (poller_receive(session->broker->poller, &session->receive_op, session->fd, to,
                       session->wanted - session->received) < 0)
        session_end(session);
}

/* A client that does not speak the protocol is told so once and hung up on. */
static int check_header(struct session *session)
{
    const hermes_header_t *header = &session->request.header;
    int rc = wire_header_check(header, WIRE_REQUEST_MAX);
    if (rc == 0 && wire_request_bytes(header->type) != (int)header->length)
        rc = HERMES_EPROTOCOL;
    return rc;
}

static void answer(struct session *session)
{
    session->received = 0;
    session->wanted = HERMES_HEADER_BYTES;
    shared_memory_look(&session->broker->shm); /* a request may need it */
    if (session->counters != NULL)
        counters_add(session->counters, SESSION_REQUESTS, 1);
    session->broker->answer(session);
}

void session_reply(struct session *session)
{
    if (session->closing)
        return;
    session->sent = 0;
    if (session->greeted)
        break_silence(session);
    send_rest(session);
}

static void received(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, receive_op));
    if (result <= 0)
        session_end(session);
    if (session->closing)
        return;
    session->received += (size_t)result;
    if (session->received == HERMES_HEADER_BYTES) {
        int rc = check_header(session);
        if (rc < 0) {
            note("session of uid %u, pid %d: %s", (unsigned)session->uid, (int)session->pid,
                 hermes_strerror(rc));
            session_end(session);
            return;
        }
        session->wanted = HERMES_HEADER_BYTES + session->request.header.length;
    }
    if (session->received < session->wanted)
        receive_more(session);
    else
        answer(session);
}

/* ---- who gets in ---- */

static void said_nothing(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, greet_op));
    if (result < 0 || session->closing)
        return;
    note("a connection of user %u, pid %d has not said hello for %u ms ([limits] greet_ms) and is closed",
         (unsigned)session->uid, (int)session->pid, session->broker->config.greet_ms);
    session_end(session);
}

/* Of more silent connections than a user may have the oldest goes: whoever means it greets at once. */
static void make_room_for_silence(struct broker *broker, uid_t uid)
{
    struct session *oldest = NULL;
    if (principal_holds(&broker->principals, uid, HOLDS_SILENT) < broker->principals.most[HOLDS_SILENT])
        return;
    for (struct session *session = broker->sessions; session != NULL; session = session->next)
        if (session->uid == uid && session->silent)
            oldest = session; /* the list begins with the newest */
    if (oldest == NULL)
        return;
    note("user %u has %" PRIu64 " connections that have not said hello ([limits] %s): the oldest is closed",
         (unsigned)uid, broker->principals.most[HOLDS_SILENT], principal_setting(HOLDS_SILENT));
    session_end(oldest);
}

static int take_places(struct broker *broker, uid_t uid, struct error_text *text)
{
    bool trusted = uid == broker->uid || uid == 0;
    unsigned most = broker->config.sessions_max - (trusted ? 0 : broker->config.sessions_reserved);
    if (broker->session_count >= most)
        return error_set(text, HERMES_ELIMIT, "%u connections%s ([broker] sessions_max)",
                         broker->session_count,
                         trusted ? "" : ", and the others are for root and the broker's user");
    make_room_for_silence(broker, uid);
    int rc = principal_take(&broker->principals, uid, HOLDS_SESSIONS, 1, text);
    if (rc < 0)
        return rc;
    rc = principal_take(&broker->principals, uid, HOLDS_SILENT, 1, text);
    if (rc < 0)
        principal_give_back(&broker->principals, uid, HOLDS_SESSIONS, 1);
    return rc;
}

/* An answer to the hello that the client has sent, or is about to send; and the end. */
static void refuse(int fd, const struct ucred *peer, int rc, const struct error_text *text)
{
    struct {
        hermes_header_t header;
        struct wire_error error;
    } answer = {.error.code = rc};
    wire_header(&answer.header, WIRE_ERROR, 1, sizeof answer.error);
    snprintf(answer.error.text, sizeof answer.error.text, "%.*s", (int)sizeof answer.error.text - 1,
             text->bytes);
    (void)send(fd, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    note("refused a connection of user %u, pid %d: %s", (unsigned)peer->uid, (int)peer->pid, text->bytes);
}

static struct session *new_session(struct broker *broker, int fd, const struct ucred *peer)
{
    struct session *session = malloc(sizeof *session);
    if (session == NULL)
        return NULL;
    memset(session, 0, offsetof(struct session, reply));
    session->broker = broker;
    session->fd = fd;
    session->uid = peer->uid;
    session->pid = peer->pid;
    session->silent = true;
    session->wanted = HERMES_HEADER_BYTES;
    session->owner.gone = gone;
    session->receive_op = (struct poller_op){.done = received, .owner = &session->owner};
    session->send_op = (struct poller_op){.done = sent, .owner = &session->owner};
    session->end_op = (struct poller_op){.done = ended, .owner = &session->owner};
    session->greet_op = (struct poller_op){.done = said_nothing, .owner = &session->owner};
    return session;
}

void session_accept(struct broker *broker, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    struct error_text text;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        close(fd);
        return;
    }
    int rc = take_places(broker, peer.uid, &text);
    struct session *session = rc < 0 ? NULL : new_session(broker, fd, &peer);
    if (rc == 0 && session == NULL) {
        principal_give_back(&broker->principals, peer.uid, HOLDS_SESSIONS, 1);
        principal_give_back(&broker->principals, peer.uid, HOLDS_SILENT, 1);
        rc = error_set(&text, HERMES_ENOMEM, "a session");
    }
    if (rc < 0) {
        refuse(fd, &peer, rc, &text);
        return;
    }
    session->next = broker->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    broker->sessions = session;
    broker->session_count++;
    if (poller_timer(broker->poller, &session->greet_op, broker->config.greet_ms * 1000000ull) < 0)
        session_end(session);
    else
        receive_more(session);
}

void session_close_all(struct broker *broker)
{
    for (struct session *session = broker->sessions; session != NULL; session = session->next)
        session_end(session);
    /* What is cancelled ends at once; the bound is for a kernel that does not keep that promise. */
    for (int turn = 0; broker->sessions != NULL && turn < 1000; turn++)
        poller_run(broker->poller, 1000000);
}
