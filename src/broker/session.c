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
#include "io/tcp.h"

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

/* Neither leads the other any more; that a ward ends with its guide was seen to when that began to end. */
static void part(struct session *session)
{
    if (session->guide != NULL)
        session->guide->ward = NULL;
    if (session->ward != NULL)
        session->ward->guide = NULL;
    if (session->invitation != NULL)
        explicit_bzero(session->invitation, sizeof *session->invitation);
    free(session->invitation);
}

/* There may have been a key in it. */
static void free_reply(struct session *session)
{
    if (session->reply != NULL)
        explicit_bzero(session->reply->payload, session->reply->header.length);
    free(session->reply);
    session->reply = NULL;
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
    secure_close(session->secure);
    part(session);
    if (session->flow != NULL)
        session->flow->gone(session);
    if (session->inlet != session->own_inlet)
        free(session->inlet);
    free(session->handles);
    free_reply(session);
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

int session_become(struct session *session, uid_t uid, struct error_text *text)
{
    struct principals *principals = &session->broker->principals;
    if (uid == session->uid)
        return HERMES_OK;
    int rc = principal_take(principals, uid, HOLDS_SESSIONS, 1, text);
    if (rc == 0 && session->silent && (rc = principal_add(principals, uid, HOLDS_SILENT, 1)) < 0)
        principal_give_back(principals, uid, HOLDS_SESSIONS, 1);
    if (rc < 0)
        return rc;
    principal_give_back(principals, session->uid, HOLDS_SESSIONS, 1);
    if (session->silent)
        principal_give_back(principals, session->uid, HOLDS_SILENT, 1);
    session->uid = uid;
    return HERMES_OK;
}

int session_follow(struct session *session, struct session *guide, struct error_text *text)
{
    int rc = session_become(session, guide->uid, text);
    if (rc < 0)
        return rc;
    memcpy(session->who, guide->who, sizeof session->who);
    memcpy(session->token, guide->token, sizeof session->token);
    session->has_token = guide->has_token;
    session->is_known = guide->is_known;
    session->ends_s = guide->ends_s;
    session->guide = guide;
    guide->ward = session;
    return HERMES_OK;
}

static void ended(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, end_op));
    (void)result;
    poller_cancel(session->broker->poller, &session->receive_op);
    poller_cancel(session->broker->poller, &session->send_op);
    poller_cancel(session->broker->poller, &session->linger_op);
    poller_leave(&session->owner);
}

/* At the next turn: who calls may be in the midst of what the session holds. */
void session_end(struct session *session)
{
    if (session->closing)
        return;
    session->closing = true;
    if (session->ward != NULL)
        session_end(session->ward);
    break_silence(session);
    if (session->secure != NULL && !session->sending)
        secure_take_leave(session->secure, session->fd);
    shutdown(session->fd, SHUT_RDWR);
    poller_job(session->broker->poller, &session->end_op);
    poller_post(session->broker->poller, &session->end_op, 0);
}

/* ---- what goes out ---- */

static void push(struct session *session)
{
    session->message = (struct msghdr){.msg_iov = session->parts + session->part,
                                       .msg_iovlen = session->part_count - session->part};
    if (session->sends_reply && session->fd_count > 0) { /* beside the reply's first byte */
        memset(session->control, 0, sizeof session->control);
        session->message.msg_control = session->control;
        session->message.msg_controllen = CMSG_SPACE(session->fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&session->message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(session->fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), session->fds, session->fd_count * sizeof(int));
    }
    if ((session->secure != NULL && secure_wrap(session->secure, &session->message) < 0) ||
        poller_send(session->broker->poller, &session->send_op, session->fd, &session->message) < 0) {
        session->sending = false;
        session_end(session);
    }
}

static void add_part(struct session *session, void *message, const hermes_header_t *header)
{
    session->parts[session->part_count++] = (struct iovec){message, HERMES_HEADER_BYTES + header->length};
}

size_t session_send(struct session *session)
{
    size_t bytes = 0;
    if (session->sending || session->closing || session->sends_last_word)
        return 0;
    session->part = session->part_count = 0;
    session->sends_reply = session->replies;
    if (session->replies)
        add_part(session, session->reply, &session->reply->header);
    if (session->refused) {
        add_part(session, &session->last_word, &session->last_word.header);
        session->sends_last_word = true;
    } else if (session->flow != NULL) {
        unsigned count = session->flow->fill(session, session->parts + session->part_count);
        session->part_count += count;
    }
    for (unsigned i = 0; i < session->part_count; i++)
        bytes += session->parts[i].iov_len;
    if (bytes > 0 || (session->secure != NULL && tls_has_outgoing(session->secure->tls))) {
        session->sending = true;
        push(session);
    }
    return bytes;
}

/* What of the parts is still to be sent; false: nothing. */
static bool advance(struct session *session, size_t bytes)
{
    while (session->part < session->part_count && bytes >= session->parts[session->part].iov_len)
        bytes -= session->parts[session->part++].iov_len;
    if (session->part == session->part_count)
        return false;
    struct iovec *part = &session->parts[session->part];
    *part = (struct iovec){(uint8_t *)part->iov_base + bytes, part->iov_len - bytes};
    return true;
}

/* Closing what has not been read would throw away what we said (RFC 1122, 4.2.2.13). */
static void end_what_we_say(struct session *session)
{
    if (session->secure != NULL)
        secure_take_leave(session->secure, session->fd);
    shutdown(session->fd, SHUT_WR);
}

static void parse(struct session *session);

static void drop_reply(struct session *session)
{
    session->replies = false;
    free_reply(session);
}

static void sent(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, send_op));
    size_t bytes = (size_t)result;
    if (result <= 0)
        session_end(session);
    if (session->closing)
        return;
    if (session->sends_reply)
        session_release_fds(session);
    if ((session->secure != NULL && !secure_sent(session->secure, &bytes)) || advance(session, bytes)) {
        push(session);
        return;
    }
    session->sending = false;
    if (session->sends_reply)
        drop_reply(session);
    if (session->flow != NULL) /* behind a reply alone, too: there may be something to send since */
        session->flow->sent(session);
    session->sends_reply = false;
    if (session->sends_last_word) {
        end_what_we_say(session);
        return;
    }
    if (session->replies || session->refused ||
        (session->secure != NULL && tls_has_outgoing(session->secure->tls)))
        (void)session_send(session);
    if (session->holds) {
        session->holds = false;
        parse(session);
    }
}

void session_reply(struct session *session)
{
    if (session->closing)
        return;
    session->answering = false;
    session->replies = true;
    if (session->greeted && !session_is_awaited(session))
        break_silence(session);
    (void)session_send(session);
    if (!session->parsing)
        parse(session);
}

/* ---- what comes in ---- */

static void lingered(struct poller_op *op, int result)
{
    if (result >= 0)
        session_end(of(op, offsetof(struct session, linger_op)));
}

/*
 * Who does not keep the rules is told so once, if it has greeted, and hung up on when it has read that, or
 * has not for as long as a greeting may take.
 */
static void refuse_more(struct session *session, uint64_t correlation, int rc, const struct error_text *text)
{
    const struct broker *broker = session->broker;
    note("session of %s: %s", session->peer, text->bytes);
    if (!session->greeted ||
        poller_timer(broker->poller, &session->linger_op, broker->config.greet_ms * 1000000ull) < 0) {
        session_end(session);
        return;
    }
    session->refused = true;
    session->begin = session->end; /* and nobody listens any more */
    session->last_word.error = (struct wire_error){.code = rc};
    wire_header(&session->last_word.header, WIRE_ERROR, correlation, sizeof session->last_word.error);
    snprintf(session->last_word.error.text, sizeof session->last_word.error.text, "%.*s",
             (int)sizeof session->last_word.error.text - 1, text->bytes);
    (void)session_send(session);
}

void session_refuse(struct session *session, uint64_t correlation, int rc, const struct error_text *text)
{
    if (session->ward != NULL) /* it would stay until this one has heard why */
        session_end(session->ward);
    refuse_more(session, correlation, rc, text);
}

/* A connection that is none of TLS as it should be, or not of whom we trust: the other end is told why, and
 * has as long as a greeting may take to read that. */
static void refuse_connection(struct session *session)
{
    struct tls *tls = session->secure->tls;
    if (tls_state(tls) == TLS_ENDED || session->greeted) {
        if (tls_state(tls) != TLS_ENDED)
            note("session of %s: %s", session->peer, tls_error(tls));
        session_end(session);
        return;
    }
    counters_add(session->broker->counters, LOOP_REFUSED_CONNECTIONS, 1);
    note("refused a connection of %s: %s", session->peer, tls_error(tls));
    session->refused = session->sends_last_word = true;
    if (!session->sending)
        end_what_we_say(session);
}

/* What came is decrypted into the inlet, as much as there is room for. How much that is. */
static size_t decrypt(struct session *session)
{
    int64_t count =
        tls_read(session->secure->tls, session->inlet + session->end, session->inlet_bytes - session->end);
    if (count < 0) {
        refuse_connection(session);
        return 0;
    }
    if (tls_has_outgoing(session->secure->tls)) /* the handshake's next step */
        (void)session_send(session);
    session->end += (size_t)count;
    return (size_t)count;
}

/* true: there is more already, that came encrypted with what was before it. */
static bool receive_more(struct session *session)
{
    if (session->receiving || session->closing)
        return false;
    /* What it is full of is not a whole message, or there is much to come. */
    if (session->end - session->begin == session->inlet_bytes &&
        session_widen(session, HERMES_HEADER_BYTES + WIRE_REQUEST_MAX) < 0) {
        session_end(session);
        return false;
    }
    if (session->begin > 0)
        memmove(session->inlet, session->inlet + session->begin, session->end - session->begin);
    session->end -= session->begin;
    session->begin = 0;
    void *to = session->inlet + session->end;
    size_t room = session->inlet_bytes - session->end;
    if (session->secure != NULL) {
        if (!session->refused && decrypt(session) > 0)
            return true;
        to = session->secure->received;
        room = sizeof session->secure->received;
    }
    if (session->closing)
        return false;
    session->receiving = true;
    if (poller_receive(session->broker->poller, &session->receive_op, session->fd, to, room) < 0)
        session_end(session);
    return false;
}

int session_widen(struct session *session, size_t bytes)
{
    if (bytes <= session->inlet_bytes)
        return HERMES_OK;
    uint8_t *wide = malloc(bytes);
    if (wide == NULL)
        return HERMES_ENOMEM;
    memcpy(wide, session->inlet + session->begin, session->end - session->begin);
    session->end -= session->begin;
    session->begin = 0;
    if (session->inlet != session->own_inlet)
        free(session->inlet);
    session->inlet = wide;
    session->inlet_bytes = bytes;
    return HERMES_OK;
}

enum step { STEP_NEEDS_MORE, STEP_TAKEN, STEP_HOLDS };

static enum step take_request(struct session *session, const hermes_header_t *header)
{
    struct error_text text;
    int rc = wire_header_check(header, WIRE_REQUEST_MAX);
    if (rc == 0 && wire_request_bytes(header->type) != (int)header->length)
        rc = HERMES_EPROTOCOL;
    if (rc < 0) {
        error_set(&text, rc, "a message of type %u and %u bytes", header->type, header->length);
        refuse_more(session, header->magic == HERMES_MAGIC ? header->sequence : 0, rc, &text);
        return STEP_TAKEN;
    }
    if (session->end - session->begin < HERMES_HEADER_BYTES + (size_t)header->length)
        return STEP_NEEDS_MORE;
    if (session->replies)
        return STEP_HOLDS;
    session->reply = malloc(sizeof *session->reply);
    if (session->reply == NULL) {
        session_end(session);
        return STEP_TAKEN;
    }
    session->reply->header.length = 0;
    memcpy(&session->request, session->inlet + session->begin, HERMES_HEADER_BYTES + (size_t)header->length);
    session->begin += HERMES_HEADER_BYTES + (size_t)header->length;
    session->answering = true;
    shared_memory_look(&session->broker->shm); /* a request may need it */
    if (session->counters != NULL)
        counters_add(session->counters, SESSION_REQUESTS, 1);
    session->broker->answer(session);
    return STEP_TAKEN;
}

static enum step take_flow(struct session *session)
{
    struct error_text text;
    size_t there = session->end - session->begin;
    size_t count = there < session->flow_left ? there : session->flow_left;
    int64_t taken = session->flow->take(session, &session->flow_header, session->inlet + session->begin,
                                        count, session->flow_left, &text);
    if (taken == HERMES_EAGAIN)
        return STEP_HOLDS;
    if (taken < 0) {
        refuse_more(session, session->flow_header.sequence, (int)taken, &text);
        return STEP_TAKEN;
    }
    session->begin += (size_t)taken;
    session->flow_left -= (size_t)taken;
    return taken > 0 ? STEP_TAKEN : STEP_NEEDS_MORE;
}

static enum step begin_flow(struct session *session, const hermes_header_t *header)
{
    struct error_text text;
    int rc = wire_flow_check(header);
    if (rc < 0)
        error_set(&text, rc, "a message of type %u and %u bytes", header->type, header->length);
    else if (session->flow == NULL)
        rc = error_set(&text, HERMES_EPROTOCOL, "a message of type %u, and nothing was opened for it",
                       header->type);
    if (rc < 0) {
        refuse_more(session, header->sequence, rc, &text);
        return STEP_TAKEN;
    }
    session->begin += HERMES_HEADER_BYTES;
    session->flow_header = *header;
    session->flow_left = header->length;
    return STEP_TAKEN;
}

static enum step take_message(struct session *session)
{
    hermes_header_t header;
    if (session->flow_left > 0)
        return take_flow(session);
    if (session->end - session->begin < sizeof header)
        return STEP_NEEDS_MORE;
    memcpy(&header, session->inlet + session->begin, sizeof header);
    return wire_flows(header.type) ? begin_flow(session, &header) : take_request(session, &header);
}

static void parse(struct session *session)
{
    enum step step;
    session->parsing = true;
    do {
        step = STEP_TAKEN;
        while (step == STEP_TAKEN && !session->closing && !session->refused && !session->answering)
            step = take_message(session);
    } while ((step == STEP_NEEDS_MORE || session->refused) && receive_more(session));
    session->parsing = false;
    session->holds = step == STEP_HOLDS;
}

static void received(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, receive_op));
    session->receiving = false;
    if (result <= 0)
        session_end(session);
    if (session->closing)
        return;
    if (session->secure == NULL)
        session->end += (size_t)result;
    else if (!session->refused)
        tls_feed(session->secure->tls, session->secure->received, (size_t)result);
    if (session->refused)
        session->begin = session->end;
    parse(session);
}

/* ---- who gets in ---- */

static void said_nothing(struct poller_op *op, int result)
{
    struct session *session = of(op, offsetof(struct session, greet_op));
    if (result < 0 || session->closing)
        return;
    if (session->refused) { /* it was told why, and had as long to read that */
        session_end(session);
        return;
    }
    note("a connection of %s has not said %s for %u ms ([limits] greet_ms) and is closed", session->peer,
         session->greeted ? "who it is" : "hello", session->broker->config.greet_ms);
    session_end(session);
}

/* One of these two: of that user, or of that address. */
struct whose {
    uid_t uid;
    const uint8_t *address; /* NULL: the user's */
};

static bool is_silent_one(const struct session *session, const struct whose *whose)
{
    return session->silent && session->uid == whose->uid &&
           (whose->address == NULL || memcmp(session->address, whose->address, sizeof session->address) == 0);
}

/* Of more silent connections than he may have the oldest goes: whoever means it greets at once. */
static void make_room_for_silence(struct broker *broker, const struct whose *whose, uint64_t most,
                                  const char *setting)
{
    struct session *oldest = NULL;
    uint64_t count = 0;
    for (struct session *session = broker->sessions; session != NULL; session = session->next)
        if (is_silent_one(session, whose)) {
            oldest = session; /* the list begins with the newest */
            count++;
        }
    if (oldest == NULL || count < most)
        return;
    note("%s has %" PRIu64 " connections that have not said hello ([limits] %s): the oldest is closed",
         oldest->peer, most, setting);
    session_end(oldest);
}

static void make_room(struct broker *broker, const struct session *newcomer)
{
    struct whose user = {newcomer->uid, NULL}, address = {newcomer->uid, newcomer->address};
    uint64_t most = broker->principals.most[HOLDS_SILENT];
    if (newcomer->remote)
        make_room_for_silence(broker, &address, broker->config.silent_per_address, "silent_per_address");
    if (principal_holds(&broker->principals, newcomer->uid, HOLDS_SILENT) >= most)
        make_room_for_silence(broker, &user, most, principal_setting(HOLDS_SILENT));
}

static int take_places(struct broker *broker, const struct session *newcomer, struct error_text *text)
{
    uid_t uid = newcomer->uid;
    bool trusted = broker_trusts(broker, uid);
    unsigned most = broker->config.sessions_max - (trusted ? 0 : broker->config.sessions_reserved);
    if (broker->session_count >= most)
        return error_set(text, HERMES_ELIMIT, "%u connections%s ([broker] sessions_max)",
                         broker->session_count,
                         trusted ? "" : ", and the others are for root and the broker's user");
    make_room(broker, newcomer);
    int rc = principal_take(&broker->principals, uid, HOLDS_SESSIONS, 1, text);
    if (rc < 0)
        return rc;
    rc = principal_take(&broker->principals, uid, HOLDS_SILENT, 1, text);
    if (rc < 0)
        principal_give_back(&broker->principals, uid, HOLDS_SESSIONS, 1);
    return rc;
}

/* An answer to the hello that the client has sent, or is about to send; and the end. */
static void refuse(const struct session *session, int rc, const struct error_text *text)
{
    struct {
        hermes_header_t header;
        struct wire_error error;
    } answer = {.error.code = rc};
    wire_header(&answer.header, WIRE_ERROR, 1, sizeof answer.error);
    snprintf(answer.error.text, sizeof answer.error.text, "%.*s", (int)sizeof answer.error.text - 1,
             text->bytes);
    if (session->secure == NULL) /* hands are not shaken for that */
        (void)send(session->fd, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(session->fd);
    note("refused a connection of %s: %s", session->peer, text->bytes);
}

static struct session *new_session(struct broker *broker, int fd)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->broker = broker;
    session->fd = fd;
    session->silent = true;
    session->inlet = session->own_inlet;
    session->inlet_bytes = sizeof session->own_inlet;
    session->owner.gone = gone;
    session->receive_op = (struct poller_op){.done = received, .owner = &session->owner};
    session->send_op = (struct poller_op){.done = sent, .owner = &session->owner};
    session->end_op = (struct poller_op){.done = ended, .owner = &session->owner};
    session->greet_op = (struct poller_op){.done = said_nothing, .owner = &session->owner};
    session->linger_op = (struct poller_op){.done = lingered, .owner = &session->owner};
    return session;
}

static int name_local_peer(struct session *session)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(session->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return -1;
    session->uid = peer.uid;
    session->pid = peer.pid;
    snprintf(session->peer, sizeof session->peer, "user %u, pid %d", (unsigned)peer.uid, (int)peer.pid);
    return 0;
}

static int name_remote_peer(struct session *session)
{
    session->uid = SESSION_REMOTE_USER;
    session->remote = true;
    return tcp_name_peer(session->fd, session->address, session->peer, sizeof session->peer);
}

/* context: of TLS; NULL: none. */
static void enter(struct broker *broker, int fd, int (*name_peer)(struct session *session),
                  struct tls_context *context, bool must_authenticate)
{
    struct error_text text;
    struct session *session = new_session(broker, fd);
    if (session == NULL || name_peer(session) < 0 || /* who is gone already has no name */
        (context != NULL && secure_open(context, &session->secure, &text) < 0)) {
        close(fd);
        free(session);
        return;
    }
    session->must_authenticate = must_authenticate;
    int rc = take_places(broker, session, &text);
    if (rc < 0) {
        refuse(session, rc, &text);
        secure_close(session->secure);
        free(session);
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
        (void)receive_more(session);
}

void session_accept(struct broker *broker, int fd)
{
    enter(broker, fd, name_local_peer, NULL, false);
}

void session_accept_remote(struct broker *broker, int fd, struct tls_context *context, bool must_authenticate)
{
    tcp_tune(fd);
    enter(broker, fd, name_remote_peer, context, must_authenticate);
}

void session_close_all(struct broker *broker)
{
    for (struct session *session = broker->sessions; session != NULL; session = session->next)
        session_end(session);
    /* What is cancelled ends at once; the bound is for a kernel that does not keep that promise. */
    for (int turn = 0; broker->sessions != NULL && turn < 1000; turn++)
        poller_run(broker->poller, 1000000);
}
