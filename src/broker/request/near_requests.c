#include "broker/request/near_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/map.h"
#include "broker/request/answer.h"
#include "io/tcp.h"

bool near_requests_invites(const struct session *session)
{
    const char *path = session->broker->config.location.socket;
    return session->remote && path[0] == '/' && strlen(path) < WIRE_PATH_BYTES && tcp_seems_near(session->fd);
}

/* The three keys, of the kernel's randomness. */
static int draw(struct wire_invitation *told, const char *path)
{
    uint8_t keys[3 * WIRE_KEY_BYTES];
    if (getrandom(keys, sizeof keys, 0) != sizeof keys)
        return error_from_errno(errno);
    *told = (struct wire_invitation){.reserved = 0};
    memcpy(told->name, keys, WIRE_KEY_BYTES);
    memcpy(told->shown, keys + WIRE_KEY_BYTES, WIRE_KEY_BYTES);
    memcpy(told->said, keys + 2 * (size_t)WIRE_KEY_BYTES, WIRE_KEY_BYTES);
    memcpy(told->path, path, strlen(path) + 1);
    explicit_bzero(keys, sizeof keys);
    return HERMES_OK;
}

int near_requests_invite(struct session *session, struct error_text *text)
{
    const struct broker *broker = session->broker;
    if (!near_requests_invites(session) || session->ward != NULL)
        return error_say(text, HERMES_ENOTSUP, "nobody is invited to shared memory here");
    if (session->invitation == NULL)
        session->invitation = malloc(sizeof *session->invitation);
    if (session->invitation == NULL)
        return error_set(text, HERMES_ENOMEM, "an invitation");
    int rc = draw(&session->invitation->told, broker->config.location.socket);
    if (rc < 0) {
        free(session->invitation);
        session->invitation = NULL;
        return error_set(text, rc, "random bytes");
    }
    session->invitation->until_ns = clock_monotonic_ns() + broker->config.greet_ms * 1000000ull;
    answer(session, WIRE_INVITATION, &session->invitation->told, sizeof session->invitation->told);
    return HERMES_OK;
}

/* In a time that does not tell where they differ. */
static bool are_same(const uint8_t a[WIRE_KEY_BYTES], const uint8_t b[WIRE_KEY_BYTES])
{
    unsigned differ = 0;
    for (unsigned i = 0; i < WIRE_KEY_BYTES; i++)
        differ |= (unsigned)(a[i] ^ b[i]);
    return differ == 0;
}

/* Who has the invitation of that name, and may stay. */
static struct session *find_guide(struct session *session, const uint8_t name[WIRE_KEY_BYTES])
{
    uint64_t now_ns = clock_monotonic_ns();
    for (struct session *guide = session->broker->sessions; guide != NULL; guide = guide->next)
        if (guide->invitation != NULL && are_same(guide->invitation->told.name, name))
            return guide->invitation->until_ns > now_ns && !guide->closing && !guide->refused ? guide : NULL;
    return NULL;
}

static int refuse(struct session *session, struct error_text *text)
{
    (void)error_say(text, HERMES_EACCESS, "that invitation is not known, or is over");
    session_refuse(session, session->request.header.sequence, HERMES_EACCESS, text);
    return HERMES_EACCESS;
}

int near_requests_show(struct session *session, const struct wire_show *request, struct error_text *text)
{
    const struct session *guide = find_guide(session, request->name);
    if (guide == NULL)
        return refuse(session, text);
    int fd, rc = map_seal_bytes("hermes-shown", guide->invitation->told.shown, WIRE_KEY_BYTES, &fd);
    if (rc < 0)
        return error_set(text, rc, "a descriptor to show");
    session->fds[session->fd_count++] = fd;
    return answer_done(session, HERMES_OK);
}

static bool has_opened(const struct session *session)
{
    for (unsigned i = 0; i < session->handle_count; i++)
        if (session->handles[i].id != 0)
            return true;
    return false;
}

int near_requests_enter(struct session *session, const struct wire_enter *request, struct error_text *text)
{
    if (session->remote || session->guide != NULL || has_opened(session))
        return error_say(text, HERMES_ENOTSUP, "who enters does so first, and on the Unix socket");
    struct session *guide = find_guide(session, request->name);
    if (guide == NULL || !are_same(guide->invitation->told.said, request->said))
        return refuse(session, text);
    int rc = session_follow(session, guide, text);
    if (rc < 0)
        return rc;
    explicit_bzero(guide->invitation, sizeof *guide->invitation);
    free(guide->invitation);
    guide->invitation = NULL;
    return answer_done(session, HERMES_OK);
}
