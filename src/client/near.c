/* Why and how: client/client.h. */
#include "client/client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/peer.h"
#include "io/tcp.h"

/* What the broker has just said over TCP it says there at once; whoever else is there may say nothing. */
static uint64_t longest_ns(const struct hermes_client *client)
{
    return client->request_timeout_ns / 4;
}

/* What is awaited, one after the other. */
static int take_invitation(struct hermes_client *client, uint64_t until_ns);
static int take_welcome(struct hermes_client *client, uint64_t until_ns);
static int take_shown(struct hermes_client *client, uint64_t until_ns);
static int come_in(struct hermes_client *client, uint64_t until_ns);

__attribute__((noinline)) static void forget_invitation(struct near *near)
{
    explicit_bzero(&near->invitation, sizeof near->invitation);
}

static int mistrust(struct hermes_client *client)
{
    return error_say(&client->error, HERMES_EACCESS, "who is at the Unix socket is not the broker");
}

/* The guide has a session, and is invited. */
static int dial(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    struct hermes_client *guide = near->guide;
    int rc = until_ns == 0 ? client_ensure(guide) : client_ensure_now(guide, until_ns);
    if (rc == 0 && guide->instance == 0) /* it has said hello, no more */
        rc = channel_is_up(&guide->channel) && guide->instance == 0 ? HERMES_ETIMEOUT : rc;
    if (rc == HERMES_ETIMEOUT)
        return error_say(&client->error, rc, "the broker gave no answer");
    if (rc < 0) {
        client->error = guide->error;
        return rc;
    }
    if (!guide->is_invited || !tcp_seems_near(guide->channel.fd))
        return error_say(&client->error, HERMES_ENOTSUP, "the broker is not on this host any more");
    near->began_ns = clock_monotonic_ns();
    rc = channel_send(&guide->channel, WIRE_INVITE, NULL, 0, until_ns, &client->error);
    near->number = guide->channel.correlation;
    near->next = take_invitation;
    return rc;
}

/* A broker may say what it likes: nothing but a socket is opened, and only one that has a place among files.
 */
static bool is_path(const char path[WIRE_PATH_BYTES])
{
    return path[0] == '/' && memchr(path, 0, WIRE_PATH_BYTES) != NULL;
}

/* Nobody is waited for there, and who is there hears no more than that we greet. */
static int go_there(struct hermes_client *client)
{
    struct near *near = client->near;
    struct channel *channel = &near->channel;
    channel->correlation = client->channel.correlation; /* no number is used twice */
    int rc = is_path(near->invitation.path)
                 ? channel_connect(channel, near->invitation.path, 0, &client->error)
                 : error_say(&client->error, HERMES_EPROTOCOL, "an invitation to nowhere");
    if (rc == 0 && !peer_is_trusted_anywhere(channel->fd))
        rc = mistrust(client);
    if (rc < 0)
        return HERMES_EACCESS;
    rc = client_say_hello(channel, 0, &client->error);
    near->number = channel->correlation;
    near->next = take_welcome;
    return rc;
}

static int take_invitation(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    struct channel *channel = &near->guide->channel;
    int rc = channel_receive(channel, near->number, until_ns, &client->error);
    if (rc < 0)
        return rc;
    rc = channel_read(channel, WIRE_INVITATION, sizeof near->invitation, &client->error);
    if (rc < 0)
        return rc;
    memcpy(&near->invitation, channel->reply, sizeof near->invitation);
    explicit_bzero(channel->reply, sizeof near->invitation);
    conduit_wipe(&channel->conduit);
    return go_there(client);
}

/* The answer to the request that is under way at the Unix socket. */
static int take(struct hermes_client *client, enum wire_type expected, uint32_t bytes, uint64_t until_ns)
{
    struct channel *channel = &client->near->channel;
    int rc = channel_receive(channel, client->near->number, until_ns, &client->error);
    return rc < 0 ? rc : channel_read(channel, expected, bytes, &client->error);
}

static int ask(struct hermes_client *client, enum wire_type type, const void *payload, uint32_t length,
               int (*next)(struct hermes_client *client, uint64_t until_ns))
{
    struct near *near = client->near;
    int rc = channel_send(&near->channel, type, payload, length, 0, &client->error);
    near->number = near->channel.correlation;
    near->next = next;
    return rc;
}

/* Another broker says so itself, most of the time. */
static int take_welcome(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    struct wire_welcome welcome;
    struct wire_show request;
    int rc = take(client, WIRE_WELCOME, sizeof welcome, until_ns);
    if (rc < 0)
        return rc;
    memcpy(&welcome, near->channel.reply, sizeof welcome);
    if (welcome.instance != near->guide->instance)
        return mistrust(client);
    memcpy(request.name, near->invitation.name, sizeof request.name);
    return ask(client, WIRE_SHOW, &request, sizeof request, take_shown);
}

/* Is it an anonymous file that nobody can change, and in it what was told over TCP? Nothing but such a file
 * has seals. */
static bool is_shown(int fd, const uint8_t expected[WIRE_KEY_BYTES])
{
    const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    uint8_t bytes[WIRE_KEY_BYTES + 1];
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & sealed) == sealed && pread(fd, bytes, sizeof bytes, 0) == WIRE_KEY_BYTES &&
           memcmp(bytes, expected, WIRE_KEY_BYTES) == 0;
}

static int take_shown(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    struct wire_enter request;
    int rc = take(client, WIRE_OK, 0, until_ns);
    if (rc < 0)
        return rc;
    int fd = channel_take_fd(&near->channel, 0);
    bool is_broker = fd >= 0 && is_shown(fd, near->invitation.shown);
    if (fd >= 0)
        close(fd);
    if (!is_broker)
        return mistrust(client);
    memcpy(request.name, near->invitation.name, sizeof request.name);
    memcpy(request.said, near->invitation.said, sizeof request.said);
    rc = ask(client, WIRE_ENTER, &request, sizeof request, come_in);
    explicit_bzero(&request, sizeof request);
    forget_invitation(near);
    return rc;
}

static int come_in(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    int rc = take(client, WIRE_OK, 0, until_ns);
    if (rc < 0)
        return rc;
    channel_move(&near->channel, &client->channel);
    client->welcome = client->instance = near->guide->instance;
    near->has_led = true;
    near->next = NULL;
    return HERMES_OK;
}

/* ---- the whole way ---- */

static bool is_unanswered(const struct hermes_client *client, int rc)
{
    const struct near *near = client->near;
    bool waits = rc == HERMES_ETIMEOUT || rc == HERMES_EINTERRUPTED;
    return waits && (near->next == dial || clock_monotonic_ns() - near->began_ns < longest_ns(client));
}

/* Who is silent leaves time for the other way. */
static uint64_t before_too_long(const struct hermes_client *client, uint64_t until_ns)
{
    uint64_t last_ns = client->near->began_ns + longest_ns(client);
    return until_ns < last_ns ? until_ns : last_ns;
}

/* As far as it goes. HERMES_OK: to the end. HERMES_ETIMEOUT, HERMES_EINTERRUPTED: not yet. Any other error:
 * not at all. */
static int go(struct hermes_client *client, uint64_t until_ns)
{
    struct near *near = client->near;
    int rc = HERMES_OK;
    if (near->next == NULL) {
        if (near->has_led) /* and that session is over: it is not known whether the broker is the same */
            channel_close(&near->guide->channel);
        near->has_led = false;
        near->next = dial;
    }
    while (rc == 0 && near->next != NULL)
        rc = near->next(client, near->next == dial ? until_ns : before_too_long(client, until_ns));
    if (rc == 0 || is_unanswered(client, rc))
        return rc;
    channel_close(&near->channel);
    forget_invitation(near);
    near->next = NULL;
    return rc == HERMES_ETIMEOUT ? HERMES_EDISCONNECTED : rc;
}

/* Nothing is open that would need shared memory: the guide's session is the client's. */
static void come_back(struct hermes_client *client)
{
    struct near *near = client->near;
    struct hermes_client *guide = near->guide;
    struct identity none = client->identity;
    client->places.streams = true;
    client->identity = guide->identity;
    guide->identity = none;
    client->turn = guide->turn;
    client->unanswered = 0;
    client->hello = guide->hello;
    client->proof = guide->proof;
    client->welcome = client->instance = guide->instance;
    channel_move(&guide->channel, &client->channel);
    client->near = NULL;
    near_free(near);
}

int near_connect(struct hermes_client *client, uint64_t until_ns)
{
    struct hermes_client *guide = client->near->guide;
    int rc = go(client, until_ns);
    if (rc == 0 || client->near->next != NULL || !channel_is_up(&guide->channel) || guide->instance == 0)
        return rc;
    if (client->publishers == NULL && client->subscribers == NULL) {
        come_back(client);
        return HERMES_OK;
    }
    return error_say(
        &client->error, HERMES_EDISCONNECTED,
        "the broker at %s is out of reach for shared memory, in which topics were opened (%s?shm=no "
        "goes without)",
        client->places.at[0].url, client->places.at[0].url);
}

/* Asked: a broker that was killed may look alive for some milliseconds. */
void near_settle(struct hermes_client *client, uint64_t until_ns)
{
    if (client->near != NULL && client->publishers == NULL && client->subscribers == NULL)
        (void)client_request_until(client, WIRE_PING, NULL, 0, WIRE_OK, 0, until_ns);
}

static bool may_go(const struct hermes_client *guide)
{
    const struct places *places = &guide->places;
    return guide->is_invited && places->count == 1 && places->at[0].path == NULL && !places->at[0].stays &&
           tcp_seems_near(guide->channel.fd);
}

static struct hermes_client *client_for(struct hermes_client *guide)
{
    struct hermes_client *client = calloc(1, sizeof *client);
    struct near *near = calloc(1, sizeof *near);
    if (client == NULL || near == NULL) {
        free(client);
        free(near);
        return NULL;
    }
    near->guide = guide;
    near->channel.fd = client->channel.fd = client->told_fd = -1;
    near->next = dial;
    client->near = near;
    client->channel.late = guide->channel.late;
    client->channel.flow = guide->channel.flow;
    client->channel.context = client;
    client->tend = guide->tend;
    client->request_timeout_ns = guide->request_timeout_ns;
    client->places = guide->places;
    client->places.at[0].url = client->places.bytes;
    client->places.streams = false;
    return client;
}

struct hermes_client *near_upgrade(struct hermes_client *guide)
{
    struct hermes_client *client = may_go(guide) ? client_for(guide) : NULL;
    if (client == NULL)
        return guide;
    if (go(client, clock_deadline_ns(longest_ns(guide))) == 0)
        return client;
    client->near->guide = NULL;
    client_free(client);
    return guide;
}

void near_free(struct near *near)
{
    if (near == NULL)
        return;
    channel_close(&near->channel);
    if (near->guide != NULL)
        client_free(near->guide);
    forget_invitation(near);
    free(near);
}
