/* Sessions: the bytes of a client's socket. What a request means is request.c's business. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"

static struct session *of(struct poller_op *op, size_t offset)
{
    return (struct session *)(void *)((char *)op - offset);
}

static void release_fds(struct session *session)
{
    for (unsigned i = 0; i < session->fd_count; i++)
        close(session->fds[i]);
    session->fd_count = 0;
}

/* Nothing is under way for it any more. */
static void gone(struct poller_owner *owner)
{
    struct session *session = (struct session *)(void *)((char *)owner - offsetof(struct session, owner));
    struct broker *broker = session->broker;
    for (unsigned i = 0; i < SESSION_HANDLES_MAX; i++)
        if (session->handles[i].id != 0)
            request_drop_handle(session, &session->handles[i]);
    release_fds(session);
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        broker->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    broker->session_count--;
    close(session->fd);
    free(session);
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
    release_fds(session);
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
    session->sent = 0;
    request_answer(session);
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

void session_accept(struct broker *broker, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (broker->session_count >= broker->config.sessions_max) {
        note("refused a connection: %u sessions ([broker] sessions_max)", broker->session_count);
        close(fd);
        return;
    }
    struct session *session = NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
        session = calloc(1, sizeof *session);
    if (session == NULL) {
        close(fd);
        return;
    }
    session->broker = broker;
    session->fd = fd;
    session->uid = peer.uid;
    session->pid = peer.pid;
    session->wanted = HERMES_HEADER_BYTES;
    session->owner.gone = gone;
    session->receive_op = (struct poller_op){.done = received, .owner = &session->owner};
    session->send_op = (struct poller_op){.done = sent, .owner = &session->owner};
    session->end_op = (struct poller_op){.done = ended, .owner = &session->owner};
    session->next = broker->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    broker->sessions = session;
    broker->session_count++;
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
