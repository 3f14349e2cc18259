/*
 * Any datagrams, at any time, to a sender and a receiver that have found one another: raw ones, and such as
 * have a good CRC, session and receiver, so that every field gets past the first look.
 */
#include <stdlib.h>
#include <string.h>

#include "mirror/receiver.h"
#include "mirror/sender.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_BYTES = 1 << 20, TOPIC = 7, TURNS = 200 };

static struct sender *sender;
static struct receiver *receiver;
static uint64_t now_ns, delivered;
static uint32_t session, name;
static struct mirror_packet packet;
static const struct mirror_address here = {{1}}, there = {{2}};

static bool source_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    (void)context;
    if (position + length > LOG_BYTES)
        abort(); /* behind the end of the log */
    *first = LOG_BYTES / 2;
    memset(to, (int)(position / 64), length);
    return position >= *first || position < LOG_BYTES / 4;
}

static uint64_t source_epoch_end(void *context, uint32_t epoch)
{
    (void)context;
    return epoch == 3 ? UINT64_MAX : epoch * 4096;
}

static uint64_t sink_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    (void)context;
    if (delivered != UINT64_MAX && position != delivered)
        abort(); /* not what comes next */
    static volatile uint8_t sum;
    for (uint64_t i = 0; i < length; i += 64)
        sum = (uint8_t)(sum + bytes[i]);                                  /* it can be read */
    uint64_t taken = position / 64 % 5 == 0 ? length / 128 * 64 : length; /* often not all of it */
    delivered = position + taken;
    return taken;
}

static void sink_lost(void *context, uint64_t position, uint64_t length)
{
    (void)context;
    delivered = position + length;
}

static void sink_epoch(void *context, uint64_t position, uint32_t epoch)
{
    (void)context;
    (void)position;
    (void)epoch;
}

static void start(bool multicast)
{
    struct sender_config sends = {.topic_id = TOPIC,
                                  .incarnation = 9,
                                  .epoch = 3,
                                  .epoch_position = 12288,
                                  .end_position = LOG_BYTES / 8,
                                  .multicast = multicast,
                                  .receivers_max = 1,
                                  .window_bytes = 1 << 18,
                                  .bytes_per_s = 1000000000,
                                  .seed = 1};
    struct receiver_config receives = {
        .topic_id = TOPIC, .sender = here, .window_bytes = 65536, .multicast = multicast, .seed = 2};
    struct mirror_source source = {NULL, source_bytes, source_epoch_end};
    struct mirror_sink sink = {NULL, sink_bytes, sink_lost, sink_epoch};
    now_ns = 1000000000;
    delivered = 0;
    session = name = 0;
    if (sender_open(&sender, &sends, &source) < 0 || receiver_open(&receiver, &receives, &sink) < 0)
        abort();
}

static void to_sender(const struct mirror_address *from, const uint8_t *bytes, size_t length);

static void to_receiver(const struct mirror_address *from, const uint8_t *bytes, size_t length)
{
    (void)receiver_receive(receiver, now_ns, from, bytes, length);
}

/* Lets both say what they have to say; what is lost is the input's choice. */
static void turn(uint8_t lost)
{
    for (int i = 0; i < TURNS && sender_next(sender, now_ns, &packet) > 0; i++) {
        struct datagram_head head;
        memcpy(&head, packet.bytes, sizeof head);
        session = head.session;
        name = head.receiver != 0 ? head.receiver : name;
        if ((lost >> i % 8 & 1) == 0)
            to_receiver(&here, packet.bytes, packet.length);
    }
    for (int i = 0; i < TURNS && receiver_next(receiver, now_ns, &packet) > 0; i++)
        to_sender(&there, packet.bytes, packet.length);
}

static void to_sender(const struct mirror_address *from, const uint8_t *bytes, size_t length)
{
    struct mirror_packet reply;
    if (sender_receive(sender, now_ns, from, bytes, length, &reply) > 0) {
        if (reply.length > length)
            abort(); /* an answer that is longer than what it answers */
        to_receiver(&here, reply.bytes, reply.length);
    }
}

/* A datagram with a good head around these bytes. */
static void forge(const uint8_t *data, size_t size, bool for_sender)
{
    _Alignas(8) static uint8_t all[DATAGRAM_BYTES_MAX];
    uint64_t position = 0, number;
    if (size < 8)
        return;
    memcpy(&position, data, 6);
    number = 1 + data[6];
    size_t body = size - 8 < 512 ? size - 8 : 512;
    memcpy(all + DATAGRAM_HEAD_BYTES, data + 8, body);
    uint32_t length =
        datagram_finish(all, (enum datagram_type)(DATAGRAM_JOIN + data[7] % 9), position / 64 * 64, now_ns,
                        number, session, name, (uint32_t)body, DATAGRAM_GUARDED_BY_CRC);
    if (for_sender)
        to_sender(&there, all, length);
    else
        to_receiver(data[7] & 64 ? &there : &here, all, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct datagram d;
    (void)datagram_check(data, size, DATAGRAM_GUARDED_BY_CRC, &d);
    (void)datagram_check(data, size, DATAGRAM_GUARDED_BY_TAG, &d);
    if (size == 0)
        return 0;
    start(data[0] & 1);
    for (int i = 0; i < 8; i++, now_ns += 3000000)
        turn(0);
    for (size_t at = 1; at + 3 <= size;) {
        uint8_t what = data[at];
        size_t length = data[at + 1] < size - at - 3 ? data[at + 1] : size - at - 3;
        const uint8_t *bytes = data + at + 3;
        now_ns += (uint64_t)data[at + 2] * 100000;
        if (what & 1)
            forge(bytes, length, what & 2);
        else if (what & 2)
            to_sender(&there, bytes, length);
        else if (what & 4)
            sender_log(sender, (uint64_t)data[at + 2] * 64, LOG_BYTES / 4 + (uint64_t)data[at + 2] * 64);
        else if (what & 8)
            receiver_overflowed(receiver, now_ns);
        turn(what);
        at += 3 + length;
    }
    if (sender_position(sender) > LOG_BYTES)
        abort();
    sender_close(sender);
    receiver_close(receiver);
    return 0;
}
