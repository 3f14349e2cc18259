#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/plain.h"

static const uint64_t retry_ns = 10000000u, longest_retry_ns = 1000000000u;
/* So long a broker over a network may take to say welcome, where nobody waits for it by name. */
static const uint64_t longest_greeting_ns = 3000000000u;

/* The place whose turn it is; *turn: of its addresses. */
static struct place *place_of(const struct hermes_client *client, unsigned *turn)
{
    *turn = client->turn / client->places.count;
    return (struct place *)&client->places.at[client->turn % client->places.count];
}

/* On its way there. What can be done without waiting is done, and until then what cannot. */
static int connect_to(struct hermes_client *client, uint64_t until_ns)
{
    unsigned turn;
    int fd;
    struct channel *channel = &client->channel;
    struct place *place = place_of(client, &turn);
    if (place->path != NULL)
        return channel_connect(channel, place->path, until_ns, &client->error);
    if (identity_has_token(&client->identity) && place_is_exposed(place, turn))
        return error_say(&client->error, HERMES_EACCESS,
                         "%s: the token would cross the network in the clear: tls:// does not", place->url);
    int rc = place_connect(place, turn, &fd, &client->error);
    if (rc < 0)
        return rc;
    if (place->encrypted)
        identity_refresh(&client->identity);
    struct carrier *carrier =
        place->encrypted ? identity_encrypt(&client->identity, place, fd) : plain_new(fd);
    return channel_connect_over(channel, carrier, &client->error);
}

int client_say_hello(struct channel *channel, uint64_t until_ns, struct error_text *text)
{
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
    snprintf(hello.name, sizeof hello.name, "%s", program_invocation_short_name);
    return channel_send(channel, WIRE_HELLO, &hello, sizeof hello, until_ns, text);
}

/* Right behind the hello. Its answer is taken as the welcome is. */
static int authenticate(struct hermes_client *client, uint64_t until_ns)
{
    struct wire_authenticate proof;
    client->proof = 0;
    if (!identity_has_token(&client->identity))
        return HERMES_OK;
    int rc = identity_read_token(&client->identity, &proof, &client->error);
    if (rc == 0)
        rc =
            channel_send(&client->channel, WIRE_AUTHENTICATE, &proof, sizeof proof, until_ns, &client->error);
    if (rc == 0)
        client->proof = client->channel.correlation;
    explicit_bzero(&proof, sizeof proof);
    return rc;
}

static void note_refusal(struct hermes_client *client, int rc, const struct error_text *text)
{
    if (rc != HERMES_EACCESS && rc != HERMES_EPROTOCOL)
        return;
    client->refused = rc;
    client->refused_ns = client->last_attempt_ns;
    client->refusal = *text;
}

/* It knows us, and answers. */
static void come_in(struct hermes_client *client)
{
    client->instance = client->welcome;
    client->pause_ns = 0;
    client->refused = 0;
}

/* By way of TCP, for a session in shared memory. */
static int greet_near(struct hermes_client *client, uint64_t until_ns)
{
    client->instance = client->welcome = 0;
    client->last_attempt_ns = clock_monotonic_ns();
    int rc = near_connect(client, until_ns);
    if (rc == 0) {
        come_in(client);
        return rc;
    }
    const struct hermes_client *guide = client->near->guide;
    if (guide->refused != 0)
        note_refusal(client, guide->refused, &guide->refusal);
    return rc;
}

int client_greet(struct hermes_client *client, uint64_t until_ns)
{
    if (client->near != NULL)
        return greet_near(client, until_ns);
    struct channel *channel = &client->channel;
    client->instance = client->welcome = 0;
    channel->failure = 0;
    client->last_attempt_ns = clock_monotonic_ns();
    int rc = connect_to(client, until_ns);
    if (rc == 0) {
        rc = client_say_hello(channel, until_ns, &client->error);
        client->hello = channel->correlation;
        rc = rc < 0 ? rc : authenticate(client, until_ns);
    }
    if (rc < 0) {
        channel_close(channel);
        note_refusal(client, rc, &client->error);
    }
    return rc;
}

/* The channel's last reply answers the hello. */
static int take_welcome(struct hermes_client *client, struct error_text *text)
{
    struct channel *channel = &client->channel;
    struct wire_welcome welcome;
    int rc = channel_read(channel, WIRE_WELCOME, sizeof welcome, text);
    if (rc < 0)
        return rc;
    memcpy(&welcome, channel->reply, sizeof welcome);
    client->welcome = welcome.instance;
    client->is_invited = (welcome.capabilities & WIRE_INVITES) != 0;
    if (client->proof == 0 && (welcome.capabilities & WIRE_AWAITS_TOKEN) != 0)
        return error_say(text, HERMES_EACCESS,
                         "the broker wants to know who this client is: by a token (HERMES_TOKEN_FILE, "
                         "--token-file), or over TLS a certificate (HERMES_TLS_CERT, --tls-cert)");
    if (client->proof == 0)
        come_in(client);
    if (client->told_fd >= 0)
        close(client->told_fd);
    client->told_fd = channel_take_fd(channel, 0);
    return HERMES_OK;
}

/* And this one, who we are. */
static int take_proof(struct hermes_client *client, struct error_text *text)
{
    int rc = channel_read(&client->channel, WIRE_OK, 0, text);
    conduit_wipe(&client->channel.conduit);
    if (rc == 0)
        come_in(client);
    return rc;
}

static int take_greeting(struct hermes_client *client, struct error_text *text)
{
    bool is_proof = client->proof != 0 && client->channel.header.sequence == client->proof;
    int rc = is_proof ? take_proof(client, text) : take_welcome(client, text);
    if (rc < 0) {
        channel_close(&client->channel);
        note_refusal(client, rc, text);
    }
    return rc;
}

bool client_take_greeting(struct hermes_client *client)
{
    struct error_text text;
    uint64_t number = client->channel.header.sequence;
    if (number != client->hello && (client->proof == 0 || number != client->proof))
        return false;
    (void)take_greeting(client, &text);
    return true;
}

int client_say_away(struct hermes_client *client, const char *topic)
{
    const char *why = client->refused != 0 ? client->refusal.bytes : "no broker came back";
    return error_say(&client->error, HERMES_EDISCONNECTED, "topic '%s': %s", topic, why);
}

static int no_broker(struct hermes_client *client)
{
    unsigned turn;
    const struct place *place = place_of(client, &turn);
    if (place->path != NULL)
        return error_say(&client->error, HERMES_EDISCONNECTED, "no broker at %s (is hermesd running?)",
                         place->path);
    /* One that is spoken to in the other way hangs up without a word. */
    return error_say(&client->error, HERMES_EDISCONNECTED,
                     "no broker at %s (is hermesd running? or is it %s?)", place->url,
                     place->encrypted ? "tcp://" : "tls://");
}

/* Of hello or token. */
static int await_greeting(struct hermes_client *client, uint64_t number, uint64_t until_ns)
{
    int rc = channel_receive(&client->channel, number, until_ns, &client->error);
    if (rc == 0)
        return take_greeting(client, &client->error);
    channel_close(&client->channel);
    note_refusal(client, rc, &client->error);
    return rc;
}

int client_await_welcome(struct hermes_client *client, uint64_t until_ns)
{
    int rc = client->welcome == 0 ? await_greeting(client, client->hello, until_ns) : HERMES_OK;
    return rc < 0 || client->proof == 0 ? rc : await_greeting(client, client->proof, until_ns);
}

/* ---- going there again ---- */

/* Up to so much, and at least half of it: those who lost the same broker do not all come at once. */
static uint64_t jitter(uint64_t most_ns)
{
    uint64_t random = clock_monotonic_ns() * 0x9E3779B97F4A7C15u ^ (uint64_t)getpid() * 0xD1B54A32D192ED03u;
    return most_ns / 2 + (random >> 32) % (most_ns / 2 + 1);
}

/* The one before this came to nothing. */
static void note_failure(struct hermes_client *client)
{
    client->turn++;
    client->pause_ns = client->pause_ns * 2 < longest_retry_ns ? client->pause_ns * 2 : longest_retry_ns;
    client->pause_ns = client->pause_ns > retry_ns ? client->pause_ns : retry_ns;
}

/* A connection of which nothing was heard for so long is given up. */
static bool hangs(const struct hermes_client *client)
{
    return client_streams(client) && client->instance == 0 &&
           clock_monotonic_ns() - client->last_attempt_ns > longest_greeting_ns;
}

uint64_t client_next_attempt(const struct hermes_client *client)
{
    uint64_t passed_ns = clock_monotonic_ns() - client->last_attempt_ns;
    uint64_t pause_ns = client->channel.fd < 0  ? client->attempt_pause_ns
                        : client->instance == 0 ? longest_greeting_ns
                                                : UINT64_MAX;
    return passed_ns < pause_ns ? pause_ns - passed_ns : 0;
}

int client_ensure(struct hermes_client *client)
{
    if (hangs(client))
        channel_close(&client->channel);
    if (channel_is_up(&client->channel))
        return HERMES_OK;
    note_refusal(client, client->channel.failure, &client->channel.failure_text);
    if (clock_monotonic_ns() - client->last_attempt_ns < client->attempt_pause_ns)
        return client->refused != 0
                   ? error_say(&client->error, HERMES_EDISCONNECTED, "%s", client->refusal.bytes)
                   : no_broker(client);
    if (client->refused_ns != client->last_attempt_ns) /* the last one ended otherwise */
        client->refused = 0;
    if ((client_streams(client) || client->refused != 0) && client->instance == 0)
        note_failure(client);
    client->attempt_pause_ns = client->pause_ns == 0 ? retry_ns : jitter(client->pause_ns);
    return client_greet(client, 0) < 0 ? HERMES_EDISCONNECTED : HERMES_OK;
}

/* One address after the other. */
static int try_place(struct hermes_client *client, unsigned index, uint64_t until_ns)
{
    struct places *places = &client->places;
    struct place *place = &places->at[index];
    int rc = place_look_up(place, &client->error);
    unsigned count = place->count > 0 ? place->count : 1;
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        uint64_t left = clock_left_ns(until_ns);
        uint64_t part_ns = left == UINT64_MAX ? until_ns : clock_deadline_ns(left / (count - i));
        client->turn = index + i * places->count;
        rc = client_greet(client, part_ns);
        rc = rc < 0 ? rc : client_await_welcome(client, part_ns);
        if (rc == 0 || rc == HERMES_EINTERRUPTED)
            return rc;
        if (rc == HERMES_EDISCONNECTED && client_streams(client))
            rc = no_broker(client);
        if (i + 1 < count)
            rc = HERMES_OK;
    }
    return rc;
}

/* That nobody is there says less than that somebody is, and who is not wanted. */
static int tell_refusal(struct hermes_client *client, int rc)
{
    if (rc != HERMES_EDISCONNECTED || client->refused == 0)
        return rc;
    client->error = client->refusal;
    return client->refused;
}

int client_dial(struct hermes_client *client, uint64_t until_ns)
{
    int rc = HERMES_OK;
    client->refused = 0;
    if (client->near != NULL) /* whose guide tries all that there is */
        return tell_refusal(client, client_greet(client, until_ns));
    for (unsigned i = 0, count = client->places.count; i < count; i++) {
        uint64_t left = clock_left_ns(until_ns);
        rc = try_place(client, i, left == UINT64_MAX ? until_ns : clock_deadline_ns(left / (count - i)));
        if (rc == 0 || rc == HERMES_EINTERRUPTED)
            return rc;
    }
    return tell_refusal(client, rc);
}

int client_ensure_now(struct hermes_client *client, uint64_t until_ns)
{
    bool is_up = channel_is_up(&client->channel);
    if (is_up && (client->instance != 0 || !client_streams(client)))
        return HERMES_OK;
    if (is_up && client_await_welcome(client, until_ns) == 0)
        return HERMES_OK;
    return client_dial(client, until_ns);
}

int client_miss_memory(struct hermes_client *client, const char *what)
{
    unsigned turn;
    return error_say(&client->error, HERMES_ENOTSUP, "%s: not through the connection to %s, yet", what,
                     place_of(client, &turn)->url);
}

/* May be asked a second time when it is not known whether the first was heard: changes nothing but what ends
 * with the session, and refers to nothing of an earlier one. */
static bool is_repeatable(enum wire_type type)
{
    switch (type) {
    case WIRE_TOPIC_LIST:
    case WIRE_UNSERVED_LIST:
    case WIRE_TOPIC_DESCRIBE:
    case WIRE_TOPIC_ALTER:
    case WIRE_PUBLISHER_OPEN:
    case WIRE_SUBSCRIBER_OPEN:
    case WIRE_WINDOW_OPEN:
    case WIRE_SEGMENT_OPEN:
    case WIRE_GROUP_ALTER:
    case WIRE_GROUP_LIST:
    case WIRE_PING:
    case WIRE_MIRROR_KEY:
    case WIRE_OUTLET_OPEN:
    case WIRE_INTAKE_OPEN:
    case WIRE_MEMBER_OPEN:
        return true;
    default:
        return false;
    }
}

bool client_opens(enum wire_type type)
{
    return type == WIRE_PUBLISHER_OPEN || type == WIRE_SUBSCRIBER_OPEN || type == WIRE_OUTLET_OPEN ||
           type == WIRE_INTAKE_OPEN || type == WIRE_MEMBER_OPEN;
}

/* The answer may still come. */
static bool is_unanswered(int rc)
{
    return rc == HERMES_ETIMEOUT || rc == HERMES_EINTERRUPTED;
}

int client_request_until(struct hermes_client *client, enum wire_type type, const void *payload,
                         uint32_t length, enum wire_type expected, uint32_t expected_bytes, uint64_t until_ns)
{
    struct channel *channel = &client->channel;
    uint64_t last_ns = clock_deadline_ns(client->request_timeout_ns), before = channel->correlation;
    until_ns = until_ns < last_ns ? until_ns : last_ns;
    int rc = client_ensure_now(client, until_ns);
    if (rc == 0)
        rc = channel_request(channel, type, payload, length, expected, expected_bytes, until_ns,
                             &client->error);
    /* A broker that was killed may look alive for some milliseconds: its io_uring holds our connection for so
     * long after its end. Its successor is asked again. */
    if (rc == HERMES_EDISCONNECTED && is_repeatable(type) && client_ensure_now(client, until_ns) == 0)
        rc = channel_request(channel, type, payload, length, expected, expected_bytes, until_ns,
                             &client->error);
    if (is_unanswered(rc) && client_opens(type) && channel->correlation > before)
        client_forget(client, channel->correlation);
    return tell_refusal(client, rc);
}

int client_request(struct hermes_client *client, enum wire_type type, const void *payload, uint32_t length,
                   enum wire_type expected, uint32_t expected_bytes)
{
    return client_request_until(client, type, payload, length, expected, expected_bytes, UINT64_MAX);
}

void client_forget(struct hermes_client *client, uint64_t correlation)
{
    struct channel *channel = &client->channel;
    struct wire_forget request = {.correlation = correlation};
    struct error_text ignored;
    if (correlation <= channel->connected || channel->fd < 0)
        return; /* the session that asked is over, and with it what it had */
    if (channel_send(channel, WIRE_FORGET, &request, sizeof request, 0, &ignored) < 0)
        channel_close(channel);
}

int client_close_handle(struct hermes_client *client, uint32_t handle, uint64_t until_ns)
{
    struct wire_handle request = {.handle = handle};
    struct error_text ignored;
    struct channel *channel = &client->channel;
    if (handle == 0 || !channel_is_up(channel))
        return HERMES_EDISCONNECTED;
    if (client->unanswered > channel->connected)
        until_ns = 0;
    int rc = channel_request(channel, WIRE_CLOSE, &request, sizeof request, WIRE_OK, 0, until_ns, &ignored);
    if (is_unanswered(rc) && until_ns != 0)
        client->unanswered = channel->correlation;
    return rc;
}

int client_put_topic(struct hermes_client *client, char to[WIRE_TOPIC_BYTES], const char *topic)
{
    int rc = hermes_topic_name_check(topic);
    if (rc < 0)
        return error_set(&client->error, rc, "topic '%.140s'", topic == NULL ? "(null)" : topic);
    memset(to, 0, WIRE_TOPIC_BYTES);
    memcpy(to, topic, strlen(topic));
    return HERMES_OK;
}

int client_miss_fd(struct hermes_client *client)
{
    return client->channel.fds_lost
               ? error_say(&client->error, HERMES_ELIMIT,
                           "this process has no descriptors left for what the broker gives it (ulimit -n)")
               : error_say(&client->error, HERMES_EPROTOCOL, "the broker's answer has too few descriptors");
}

int client_map_fd(struct hermes_client *client, int fd, size_t bytes, enum map_access access, struct map *map)
{
    uint64_t size = 0;
    if (fd < 0)
        return client_miss_fd(client);
    int rc = map_file_size(fd, &size);
    if (rc == 0 && size < bytes)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(fd, bytes == 0 ? (size_t)size : bytes, access, MAP_PREFAULT, map);
    close(fd);
    return rc < 0 ? error_set(&client->error, rc, "shared memory from the broker") : rc;
}

void client_map_told(struct hermes_client *client, uint32_t line, uint64_t generation, struct map *map,
                     struct told *told)
{
    uint64_t size, offset = ((uint64_t)line - 1) * TOLD_LINE_BYTES;
    map_release(map);
    *told = (struct told){.line = NULL};
    if (line == 0 || client->told_fd < 0 || map_file_size(client->told_fd, &size) < 0 ||
        size < offset + TOLD_LINE_BYTES || map_page(client->told_fd, offset, map) < 0)
        return;
    told->line = (void *)((uint8_t *)map->address + offset % map->size);
    told->generation = generation;
}

int client_open_segment(struct hermes_client *client, uint64_t topic_id, enum store_key key, uint64_t value,
                        struct store_place *place)
{
    struct wire_segment request = {.topic_id = topic_id, .key = key, .value = value};
    struct wire_place found;
    int rc = client_request(client, WIRE_SEGMENT_OPEN, &request, sizeof request, WIRE_PLACE, sizeof found);
    *place = (struct store_place){.fd = -1};
    if (rc < 0)
        return rc;
    memcpy(&found, client->channel.reply, sizeof found);
    *place = (struct store_place){channel_take_fd(&client->channel, 0), found.position, found.sequence,
                                  found.indexed != 0};
    return place->fd < 0 ? client_miss_fd(client) : HERMES_OK;
}

int hermes_ping(hermes_client_t *client)
{
    return client_request(client, WIRE_PING, NULL, 0, WIRE_OK, 0);
}

int hermes_is_connected(hermes_client_t *client)
{
    return channel_is_up(&client->channel) && client->instance != 0; /* it said welcome */
}

const char *hermes_transport(const hermes_client_t *client)
{
    unsigned turn;
    const struct place *place = place_of(client, &turn);
    if (!client_streams(client))
        return "shm";
    return place->path != NULL ? "unix" : place->encrypted ? "tls" : "tcp";
}

void client_free(struct hermes_client *client)
{
    channel_close(&client->channel);
    if (client->told_fd >= 0)
        close(client->told_fd);
    near_free(client->near);
    identity_drop(&client->identity);
    free(client);
}

int client_list(struct hermes_client *client, const struct client_listing *list, void *infos, size_t count)
{
    size_t done = 0, size = 0;
    if (count > 0)
        memcpy(&size, infos, sizeof size);
    for (bool more = true; more && done < count;) {
        struct wire_list_head head;
        int rc =
            client_request(client, list->type, list->request, list->request_bytes, list->reply, sizeof head);
        if (rc < 0)
            return rc;
        memcpy(&head, client->channel.reply, sizeof head);
        size_t there = (client->channel.header.length - sizeof head) / list->item_bytes;
        for (size_t i = 0; i < head.count && i < there && done < count; i++) {
            const uint8_t *told = client->channel.reply + sizeof head + i * list->item_bytes;
            void *info = (char *)infos + done++ * size;
            memcpy(info, &size, sizeof size);
            if ((rc = list->read(told, info)) < 0)
                return rc;
            memcpy(list->after, told, WIRE_TOPIC_BYTES);
        }
        more = head.more != 0 && head.count > 0;
    }
    return (int)done;
}
