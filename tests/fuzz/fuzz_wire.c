/* Whole sessions: the input is what a client sends to a broker that runs in this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/loop.h"
#include "broker/sequencer.h"
#include "broker/session.h"
#include "broker/stream/streams.h"
#include "broker/topics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static struct broker *const broker = &loop.broker;

static void make_topic(const char *name, uint32_t shared)
{
    struct wire_topic_create create = {.durability = shared ? DURABILITY_MEMORY : DURABILITY_ASYNC,
                                       .shared = shared};
    struct error_text text;
    struct topic *topic;
    snprintf(create.topic, sizeof create.topic, "%s", name);
    if (topics_create(broker, 0, &create, &topic, &text) < 0)
        abort();
    while (topic->opening)
        poller_run(broker->poller, 1000000);
    topic_release(topic);
}

static void start(void)
{
    static char home[64];
    struct config config;
    struct error_text text;
    snprintf(home, sizeof home, "/dev/shm/hermes-fuzz-XXXXXX");
    if (mkdtemp(home) == NULL)
        abort();
    setenv("HERMES_HOME", home, 1);
    if (config_load(&config, NULL, &text) < 0)
        abort();
    config.window_bytes = WINDOW_MIN_BYTES;
    config.segment_bytes = STORE_SEGMENT_MIN;
    config.topics_max = 8;
    if (loop_open(&loop, &config, &text) < 0)
        abort();
    make_topic("a", 0);
    make_topic("b", 1);
}

/* What is sent. */
struct out {
    uint8_t *bytes;
    size_t used, room;
};

static bool put(struct out *out, uint8_t type, uint64_t sequence, const void *payload, size_t length)
{
    hermes_header_t header;
    if (out->used + sizeof header + length > out->room)
        return false;
    wire_header(&header, type, sequence, (uint32_t)length);
    memcpy(out->bytes + out->used, &header, sizeof header);
    if (length > 0)
        memcpy(out->bytes + out->used + sizeof header, payload, length);
    out->used += sizeof header + length;
    return true;
}

/* So many messages that are right, but for what the input changes in them. */
static bool put_frames(struct out *out, uint64_t handle, uint64_t *sequence, const uint8_t *data, size_t size)
{
    uint8_t frames[4 * HERMES_FRAME_ALIGNMENT] = {0};
    size_t count = size > 0 ? 1 + data[0] % 4 : 1;
    for (size_t i = 0; i < count; i++) {
        hermes_header_t header;
        (void)hermes_message_encode_plain(&header, size > 1 ? data[1] % 33 : 1, ++*sequence, 1);
        memcpy(frames + i * HERMES_FRAME_ALIGNMENT, &header, sizeof header);
    }
    for (size_t i = 2; i + 1 < size && i < 8; i += 2)
        frames[data[i] % (count * HERMES_FRAME_ALIGNMENT)] ^= data[i + 1];
    return put(out, WIRE_PUBLISH, handle, frames, count * HERMES_FRAME_ALIGNMENT);
}

static const uint8_t types[] = {
    WIRE_HELLO,
    WIRE_TOPIC_CREATE,
    WIRE_TOPIC_DELETE,
    WIRE_TOPIC_LIST,
    WIRE_TOPIC_DESCRIBE,
    WIRE_PUBLISHER_OPEN,
    WIRE_PUBLISHER_MAPPED,
    WIRE_CLOSE,
    WIRE_SUBSCRIBER_OPEN,
    WIRE_WINDOW_OPEN,
    WIRE_SEGMENT_OPEN,
    WIRE_PING,
    WIRE_TOPIC_ALTER,
    WIRE_GROUP_CREATE,
    WIRE_GROUP_ALTER,
    WIRE_GROUP_DELETE,
    WIRE_GROUP_LIST,
    WIRE_EPOCH_FIND,
    WIRE_FORGET,
    WIRE_UNSERVED_LIST,
    WIRE_OUTLET_OPEN,
    WIRE_INTAKE_OPEN,
    WIRE_MEMBER_OPEN,
    WIRE_BROKER_DESCRIBE,
    WIRE_AUTHENTICATE,
    WIRE_MIRROR_ADD,
    WIRE_MIRROR_REMOVE,
    WIRE_MIRROR_LIST,
    WIRE_MIRROR_KEY,
    WIRE_INVITE,
    WIRE_SHOW,
    WIRE_ENTER,
    WIRE_CREDIT,
    WIRE_PUBLISH,
    WIRE_ACK,
    WIRE_NACK,
    WIRE_RENEW,
    WIRE_LOG,
    WIRE_END,
};

/* Handles that the session may get soon, and those that it may have. */
static uint64_t some_handle(uint8_t which)
{
    return broker->next_handle + 1 + which % 4;
}

static void frame_member(struct wire_member_open *request, uint8_t which)
{
    snprintf(request->subscriber.group, sizeof request->subscriber.group, "%c", 'g' + which % 2);
    request->subscriber.durable = which & 1;
    request->subscriber.from = WIRE_FROM_FIRST;
    request->credit = (uint64_t)which << 6;
}

/*
 * Messages are framed here: type, handle, length of what follows, payload; so the fuzzer finds requests
 * instead of spending its time on the magic. An odd first byte sends the rest as it is; another bit of it
 * leaves the greeting out.
 */
static void frame(const uint8_t *data, size_t size, struct out *out)
{
    _Alignas(8) static uint8_t payload[WIRE_REQUEST_MAX];
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
    uint64_t sequence = 0;
    if (size > 0 && (data[0] & 1)) {
        out->used = size - 1 < out->room ? size - 1 : out->room;
        memcpy(out->bytes, data + 1, out->used);
        return;
    }
    bool fits = (size > 0 && (data[0] & 2)) || put(out, WIRE_HELLO, 1, &hello, sizeof hello);
    for (size_t at = 1; fits && at + 3 <= size;) {
        uint8_t type = types[data[at] % sizeof types];
        uint64_t handle = some_handle(data[at + 1]);
        size_t given = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
        const uint8_t *from = data + at + 3;
        bool acks = type == WIRE_ACK || type == WIRE_NACK || type == WIRE_RENEW;
        int wanted = type == WIRE_CREDIT ? (int)sizeof(struct wire_credit)
                     : acks              ? (int)sizeof(struct wire_ack) * (1 + data[at + 1] % 3)
                                         : wire_request_bytes(type);
        size_t length = wanted < 0 ? 0 : (size_t)wanted;
        at += 3 + given;
        if (type == WIRE_PUBLISH) {
            fits = put_frames(out, handle, &sequence, from, given);
            continue;
        }
        memset(payload, 0, length);
        memcpy(payload, from, given < length ? given : length);
        if (given > 0 && length > WIRE_TOPIC_BYTES) /* a topic that there is */
            snprintf((char *)payload, WIRE_TOPIC_BYTES, "%c", 'a' + from[0] % 3);
        if (given > 0 && type == WIRE_MEMBER_OPEN) /* a group, with some credit */
            frame_member((struct wire_member_open *)(void *)payload, from[0]);
        fits = put(out, type, handle, payload, length);
    }
}

static void turn(void)
{
    (void)sequencer_turn(broker);
    (void)streams_turn(broker);
    (void)streams_park(broker);
    poller_run(broker->poller, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    static uint8_t bytes[8192], sink[65536];
    if (!started)
        start();
    started = true;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    struct out out = {bytes, 0, sizeof bytes};
    frame(data, size, &out);
    session_accept(broker, pair[0]);
    if (send(pair[1], bytes, out.used, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && out.used > 0)
        out.used = 0;
    for (int i = 0; i < 30; i++) {
        turn();
        while (recv(pair[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
            ; /* descriptors beside the bytes are dropped by the kernel */
    }
    close(pair[1]);
    for (int i = 0; i < 1000 && broker->sessions != NULL; i++) {
        turn();
        poller_run(broker->poller, 1000000);
    }
    if (broker->sessions != NULL)
        abort(); /* a session that does not end is a leak */
    return 0;
}
