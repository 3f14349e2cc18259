/*
 * A log in memory, a sender of it on a loopback socket, and somebody on the way who loses, repeats and
 * overtakes: what tests of mirror receivers stand on. One thread: each gets its turn.
 */
#ifndef TESTS_UNIT_MIRROR_RIG_H
#define TESTS_UNIT_MIRROR_RIG_H

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "hermes/message.h"
#include "mirror/seal.h"
#include "mirror/sender.h"
#include "mirror/socket.h"

enum { RIG_TOPIC = 5, RIG_WINDOW = 1 << 18, RIG_DATAGRAM = DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES };

#define RIG_SILENCE_NS 60000000000u /* nobody is gone because this machine is busy */

/* ---- a log ---- */

struct rig_log {
    uint8_t *bytes;
    uint64_t first, end; /* positions */
    uint64_t messages;   /* so many in all */
};

static inline uint32_t rig_length(uint64_t sequence)
{
    return sequence % 97 == 0 ? HERMES_PAYLOAD_MAX : (uint32_t)(sequence * 2654435761u % 900);
}

static inline uint8_t rig_byte(uint64_t sequence, uint32_t at)
{
    return (uint8_t)(sequence * 31 + at * 7);
}

static inline void rig_frame(struct rig_log *log, uint64_t sequence)
{
    hermes_header_t *header = (void *)(log->bytes + log->end);
    uint8_t *payload = (uint8_t *)(header + 1);
    uint32_t length = rig_length(sequence);
    for (uint32_t i = 0; i < length; i++)
        payload[i] = rig_byte(sequence, i);
    assert_int_equal(hermes_message_encode(header, payload, length, sequence, 1000 + sequence), 0);
    log->end += hermes_frame_bytes(length);
}

/* So many messages more, with something that is none in between. */
static inline void rig_append(struct rig_log *log, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        rig_frame(log, ++log->messages);
        if (log->messages % 50 == 0) {
            hermes_header_t *pad = (void *)(log->bytes + log->end);
            assert_int_equal(hermes_message_encode_plain(pad, 96, log->messages + 1, 0), 0);
            pad->type = HERMES_TYPE_PAD;
            log->end += hermes_frame_bytes(96);
        }
    }
}

static inline void rig_make_log(struct rig_log *log)
{
    *log = (struct rig_log){.bytes = calloc(1, 32 << 20)};
    assert_non_null(log->bytes);
}

/* ---- a sender ---- */

struct rig_sender {
    struct rig_log *log;
    struct mirror_socket *socket;
    struct sender *sender;
    struct sealing *sealing; /* NULL: none */
    uint16_t port;
    uint32_t starts;
};

static inline bool rig_source(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    const struct rig_log *log = context;
    *first = log->first;
    if (position < log->first)
        return false;
    memcpy(to, log->bytes + position, length);
    return true;
}

static inline uint64_t rig_epoch_end(void *context, uint32_t epoch)
{
    (void)context;
    (void)epoch;
    return UINT64_MAX;
}

static inline struct sockaddr_in rig_loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* At the port that it had, if it was there before. */
static inline void rig_start(struct rig_sender *s)
{
    struct mirror_socket_config places = {.receive_bytes = 1 << 20};
    struct sockaddr_in here = rig_loopback(s->port);
    memcpy(&places.local, &here, sizeof here);
    assert_int_equal(mirror_socket_open(&s->socket, &places), 0);
    struct mirror_address address = mirror_socket_address(s->socket);
    memcpy(&here, &address, sizeof here);
    s->port = ntohs(here.sin_port);
    struct sender_config config = {.topic_id = RIG_TOPIC,
                                   .incarnation = ++s->starts,
                                   .seed = s->starts,
                                   .epoch = 1,
                                   .first_position = s->log->first,
                                   .end_position = s->log->end,
                                   .sealed = s->sealing != NULL,
                                   .receivers_max = 1,
                                   .silence_ns = RIG_SILENCE_NS,
                                   .bytes_per_s = 200000000,
                                   .window_bytes = RIG_WINDOW};
    struct mirror_source source = {s->log, rig_source, rig_epoch_end};
    assert_int_equal(sender_open(&s->sender, &config, &source), 0);
}

static inline void rig_stop(struct rig_sender *s)
{
    sender_close(s->sender);
    mirror_socket_close(s->socket);
    s->sender = NULL;
    s->socket = NULL;
}

static inline void rig_put(struct rig_sender *s, struct mirror_packet *packet)
{
    if (s->sealing != NULL)
        packet->length = (uint32_t)sealing_seal(s->sealing, packet->bytes, packet->length);
    mirror_socket_put(s->socket);
}

static inline void rig_take(void *context, const struct mirror_address *from, const void *bytes,
                            size_t length)
{
    struct rig_sender *s = context;
    static _Alignas(8) uint8_t copy[RIG_DATAGRAM];
    memcpy(copy, bytes, length);
    int64_t plain = s->sealing == NULL ? (int64_t)length : sealing_unseal(s->sealing, copy, length);
    if (plain < 0)
        return;
    if (mirror_socket_slot(s->socket) == NULL)
        mirror_socket_flush(s->socket);
    struct mirror_packet *reply = mirror_socket_slot(s->socket);
    if (sender_receive(s->sender, clock_monotonic_ns(), from, copy, (size_t)plain, reply) > 0)
        rig_put(s, reply);
}

/* One turn: what came, then a batch of what is to be sent. */
static inline void rig_turn(struct rig_sender *s)
{
    struct mirror_packet *packet;
    if (s->sender == NULL)
        return;
    sender_log(s->sender, s->log->first, s->log->end);
    (void)mirror_socket_receive(s->socket, rig_take, s);
    while ((packet = mirror_socket_slot(s->socket)) != NULL &&
           sender_next(s->sender, clock_monotonic_ns(), packet) > 0)
        rig_put(s, packet);
    mirror_socket_flush(s->socket);
}

/* ---- somebody on the way ---- */

/* To receivers it is the sender, to the sender a receiver. */
struct rig_proxy {
    int front, back;
    uint16_t port; /* of the front */
    uint64_t random;
    unsigned loses, repeats, overtakes; /* in percent */
    bool known;
    struct sockaddr_in receiver;
    size_t held; /* bytes of one that others overtake; 0: there is none */
    uint8_t kept[RIG_DATAGRAM];
};

static inline int rig_socket(struct sockaddr_in address, uint16_t *port)
{
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = 1 << 20;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static inline void rig_open_proxy(struct rig_proxy *p, uint16_t sender_port)
{
    uint16_t unused;
    struct sockaddr_in sender = rig_loopback(sender_port);
    p->front = rig_socket(rig_loopback(0), &p->port);
    p->back = rig_socket(rig_loopback(0), &unused);
    assert_int_equal(connect(p->back, (struct sockaddr *)&sender, sizeof sender), 0);
}

static inline void rig_close_proxy(struct rig_proxy *p)
{
    close(p->front);
    close(p->back);
}

static inline bool rig_percent(struct rig_proxy *p, unsigned percent)
{
    return test_random(&p->random) % 100 < percent;
}

static inline void rig_forward(struct rig_proxy *p, bool down, const uint8_t *bytes, size_t length)
{
    for (int i = rig_percent(p, p->repeats) ? 2 : 1; i > 0; i--)
        (void)(down ? sendto(p->front, bytes, length, 0, (struct sockaddr *)&p->receiver, sizeof p->receiver)
                    : send(p->back, bytes, length, 0));
}

static inline void rig_pass_on(struct rig_proxy *p, bool down, const uint8_t *bytes, size_t length)
{
    if (rig_percent(p, p->loses))
        return;
    if (down && p->held == 0 && rig_percent(p, p->overtakes)) {
        memcpy(p->kept, bytes, length);
        p->held = length;
        return;
    }
    rig_forward(p, down, bytes, length);
    if (down && p->held > 0)
        rig_forward(p, true, p->kept, p->held);
    p->held = down ? 0 : p->held;
}

static inline void rig_proxy_turn(struct rig_proxy *p)
{
    uint8_t bytes[RIG_DATAGRAM];
    socklen_t size = sizeof p->receiver;
    ssize_t count;
    while ((count = recvfrom(p->front, bytes, sizeof bytes, 0, (struct sockaddr *)&p->receiver, &size)) > 0) {
        p->known = true;
        rig_pass_on(p, false, bytes, (size_t)count);
    }
    while ((count = recv(p->back, bytes, sizeof bytes, 0)) > 0)
        if (p->known)
            rig_pass_on(p, true, bytes, (size_t)count);
}

#endif
