/* Mirrors over real sockets, on the loopback interface. */
#include "test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>

#include "base/clock.h"
#include "mirror/receiver.h"
#include "mirror/sender.h"
#include "mirror/socket.h"

enum { LOG_BYTES = 4 << 20, RECEIVERS = 3, TOPIC = 5 };

static uint8_t byte_at(uint64_t position)
{
    return (uint8_t)(position * 2654435761u >> 24);
}

static bool log_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    (void)context;
    *first = 0;
    for (uint32_t i = 0; i < length; i++)
        to[i] = byte_at(position + i);
    return true;
}

static uint64_t no_end(void *context, uint32_t epoch)
{
    (void)context;
    (void)epoch;
    return UINT64_MAX;
}

struct end {
    struct mirror_socket *socket;
    struct receiver *receiver; /* or */
    struct sender *sender;
    uint64_t position;
};

static uint64_t sink_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    struct end *end = context;
    assert_int_equal(position, end->position);
    for (uint64_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte_at(position + i));
    end->position += length;
    return length;
}

static void sink_lost(void *context, uint64_t position, uint64_t length)
{
    (void)context;
    (void)position;
    (void)length;
    fail();
}

static void sink_epoch(void *context, uint64_t position, uint32_t epoch)
{
    (void)context;
    (void)position;
    assert_int_equal(epoch, 1);
}

static void take(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    struct end *end = context;
    uint64_t now_ns = clock_monotonic_ns();
    if (end->receiver != NULL) {
        (void)receiver_receive(end->receiver, now_ns, from, bytes, length);
        return;
    }
    struct mirror_packet *reply = mirror_socket_slot(end->socket);
    if (reply == NULL) {
        mirror_socket_flush(end->socket);
        reply = mirror_socket_slot(end->socket);
    }
    if (sender_receive(end->sender, now_ns, from, bytes, length, reply) > 0)
        mirror_socket_put(end->socket);
}

/* What came, then what is to be sent. Returns when it wants to be called again. */
static uint64_t turn(struct end *end)
{
    while (mirror_socket_receive(end->socket, take, end))
        ;
    uint64_t now_ns = clock_monotonic_ns();
    if (end->receiver != NULL && mirror_socket_overflows(end->socket) > 0)
        receiver_overflowed(end->receiver, now_ns);
    struct mirror_packet *packet;
    while ((packet = mirror_socket_slot(end->socket)) != NULL &&
           (end->receiver != NULL ? receiver_next(end->receiver, now_ns, packet)
                                  : sender_next(end->sender, now_ns, packet)) > 0)
        mirror_socket_put(end->socket);
    bool full = packet == NULL;
    mirror_socket_flush(end->socket);
    return full ? 0 : end->receiver != NULL ? receiver_wake_ns(end->receiver) : sender_wake_ns(end->sender);
}

static void wait_for(struct end *ends, int count, uint64_t until_ns)
{
    struct pollfd polled[2 * (RECEIVERS + 1)];
    nfds_t used = 0;
    for (int i = 0; i < count; i++) {
        int descriptors[2], each = mirror_socket_descriptors(ends[i].socket, descriptors);
        for (int k = 0; k < each; k++)
            polled[used++] = (struct pollfd){.fd = descriptors[k], .events = POLLIN};
    }
    uint64_t now_ns = clock_monotonic_ns();
    struct timespec left = {0, until_ns <= now_ns              ? 0
                               : until_ns - now_ns > 900000000 ? 900000000
                                                               : (long)(until_ns - now_ns)};
    (void)ppoll(polled, used, &left, NULL);
}

static void copy_to_all(struct end *ends, int count)
{
    for (bool done = false; !done;) {
        uint64_t until_ns = UINT64_MAX;
        done = true;
        for (int i = 0; i < count; i++) {
            uint64_t wakes_ns = turn(&ends[i]);
            until_ns = wakes_ns < until_ns ? wakes_ns : until_ns;
            done &= i == 0 || receiver_state(ends[i].receiver) == RECEIVER_ENDED;
        }
        if (!done)
            wait_for(ends, count, until_ns);
    }
}

static void open_sender(struct end *end, bool multicast)
{
    struct sender_config config = {.topic_id = TOPIC,
                                   .incarnation = 1,
                                   .epoch = 1,
                                   .end_position = LOG_BYTES,
                                   .multicast = multicast,
                                   .receivers_max = multicast ? RECEIVERS : 1,
                                   .window_bytes = 1 << 18};
    struct mirror_source source = {NULL, log_bytes, no_end};
    assert_int_equal(sender_open(&end->sender, &config, &source), 0);
    sender_end(end->sender, clock_monotonic_ns());
}

static void open_receiver(struct end *end, const struct mirror_address *sender, bool multicast, uint64_t seed)
{
    struct receiver_config config = {
        .topic_id = TOPIC, .sender = *sender, .multicast = multicast, .window_bytes = 1 << 18, .seed = seed};
    struct mirror_sink sink = {end, sink_bytes, sink_lost, sink_epoch};
    assert_int_equal(receiver_open(&end->receiver, &config, &sink), 0);
}

static void close_all(struct end *ends, int count)
{
    for (int i = 0; i < count; i++) {
        if (i > 0)
            assert_int_equal(ends[i].position, LOG_BYTES);
        receiver_close(ends[i].receiver);
        sender_close(ends[i].sender);
        mirror_socket_close(ends[i].socket);
    }
}

static void count_one(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    (void)from;
    (void)bytes;
    *(int *)context += length == 64;
}

/* Does what is sent to the group come back on this machine? Not everywhere is there such a network. */
static bool comes_back(struct mirror_socket *socket)
{
    int descriptors[2], count = 0;
    struct mirror_packet *packet = mirror_socket_slot(socket);
    memset(packet, 0, sizeof *packet);
    packet->to_group = true;
    packet->length = 64;
    mirror_socket_put(socket);
    mirror_socket_flush(socket);
    assert_int_equal(mirror_socket_descriptors(socket, descriptors), 2);
    (void)poll(&(struct pollfd){.fd = descriptors[1], .events = POLLIN}, 1, 5000);
    (void)mirror_socket_receive(socket, count_one, &count);
    return count == 1;
}

/* A log goes to so many over that address. */
static void copies(const struct mirror_socket_config *config, int receivers)
{
    struct end ends[RECEIVERS + 1] = {{0}};
    bool multicast = config->group.ss_family != 0;
    for (int i = 0; i <= receivers; i++) {
        int rc = mirror_socket_open(&ends[i].socket, config);
        if (i == 0 && rc < 0)
            skip(); /* this machine has no such network */
        if (i == 0 && multicast && !comes_back(ends[0].socket)) {
            mirror_socket_close(ends[0].socket);
            skip();
        }
        assert_int_equal(rc, 0);
    }
    struct mirror_address sender = mirror_socket_address(ends[0].socket);
    open_sender(&ends[0], multicast);
    for (int i = 1; i <= receivers; i++)
        open_receiver(&ends[i], &sender, multicast, (uint64_t)i);
    copy_to_all(ends, receivers + 1);
    close_all(ends, receivers + 1);
}

static struct mirror_socket_config over(int family, const char *local)
{
    struct mirror_socket_config config = {0};
    config.local.ss_family = (sa_family_t)family;
    if (family == AF_INET)
        assert_int_equal(inet_pton(AF_INET, local, &((struct sockaddr_in *)&config.local)->sin_addr), 1);
    else
        assert_int_equal(inet_pton(AF_INET6, local, &((struct sockaddr_in6 *)&config.local)->sin6_addr), 1);
    return config;
}

static void one_to_one_over_ipv4(void **state)
{
    (void)state;
    struct mirror_socket_config config = over(AF_INET, "127.0.0.1");
    copies(&config, 1);
}

static void one_to_one_over_ipv6(void **state)
{
    (void)state;
    struct mirror_socket_config config = over(AF_INET6, "::1");
    copies(&config, 1);
}

static void one_to_many_over_ipv4(void **state)
{
    (void)state;
    struct mirror_socket_config config = over(AF_INET, "127.0.0.1");
    struct sockaddr_in *group = (struct sockaddr_in *)&config.group;
    group->sin_family = AF_INET;
    group->sin_port = htons((uint16_t)(20000 + getpid() % 20000)); /* others test on this machine too */
    assert_int_equal(inet_pton(AF_INET, "239.255.77.1", &group->sin_addr), 1);
    config.interface = if_nametoindex("lo");
    copies(&config, RECEIVERS);
}

/* ---- pieces ---- */

struct heard {
    uint32_t count;
    uint32_t lengths[4 * MIRROR_SOCKET_BATCH];
};

/* Each is full of its own number. */
static void hear(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    struct heard *heard = context;
    const uint8_t *byte = bytes;
    (void)from;
    assert_true(heard->count < sizeof heard->lengths / sizeof heard->lengths[0]);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(byte[i], (uint8_t)heard->count);
    heard->lengths[heard->count++] = (uint32_t)length;
}

static void say(struct mirror_socket *socket, const struct mirror_address *to, uint32_t number,
                uint32_t length)
{
    struct mirror_packet *packet = mirror_socket_slot(socket);
    packet->to_group = false;
    packet->to = *to;
    packet->length = length;
    memset(packet->bytes, (int)number, length);
    mirror_socket_put(socket);
}

static void hear_all(struct mirror_socket *socket, struct heard *heard, uint32_t count)
{
    int descriptors[2];
    (void)mirror_socket_descriptors(socket, descriptors);
    while (heard->count < count) {
        assert_true(poll(&(struct pollfd){.fd = descriptors[0], .events = POLLIN}, 1, 60000) > 0);
        while (mirror_socket_receive(socket, hear, heard))
            ;
    }
}

/* Whatever goes together on the way comes out as it went in: long ones, short ones, one behind the other. */
static void what_goes_in_pieces_comes_one_by_one(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {1456, 1456, 1456, 700, 700, 701, 1, 1, 1, 2, 4160, 4160, 80, 64, 64};
    struct mirror_socket_config config = over(AF_INET, "127.0.0.1");
    struct mirror_socket *from, *to;
    struct heard heard = {.count = 0};
    uint32_t count = sizeof lengths / sizeof lengths[0];
    assert_int_equal(mirror_socket_open(&from, &config), 0);
    assert_int_equal(mirror_socket_open(&to, &config), 0);
    struct mirror_address there = mirror_socket_address(to);
    for (uint32_t i = 0; i < count; i++)
        say(from, &there, i, lengths[i]);
    mirror_socket_flush(from);
    for (uint32_t i = 0; i < MIRROR_SOCKET_BATCH; i++)
        say(from, &there, count + i, 1456);
    assert_null(mirror_socket_slot(from));
    mirror_socket_flush(from);
    hear_all(to, &heard, count + MIRROR_SOCKET_BATCH);
    assert_memory_equal(heard.lengths, lengths, sizeof lengths);
    for (uint32_t i = 0; i < MIRROR_SOCKET_BATCH; i++)
        assert_int_equal(heard.lengths[count + i], 1456);
    mirror_socket_close(from);
    mirror_socket_close(to);
}

static bool every_third(void *context, const void *bytes, size_t length)
{
    (void)bytes;
    (void)length;
    return ++*(uint32_t *)context % 3 == 0;
}

static void count_all(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    (void)from;
    (void)bytes;
    (void)length;
    ++*(uint32_t *)context;
}

/* Also of those that came in one piece. */
static void a_filter_is_shown_each_of_them(void **state)
{
    (void)state;
    struct mirror_socket_config config = over(AF_INET, "127.0.0.1");
    struct mirror_socket *from, *to;
    uint32_t shown = 0, taken = 0;
    int descriptors[2];
    assert_int_equal(mirror_socket_open(&from, &config), 0);
    assert_int_equal(mirror_socket_open(&to, &config), 0);
    struct mirror_address there = mirror_socket_address(to);
    mirror_socket_filter(to, every_third, &shown);
    for (uint32_t i = 0; i < 30; i++)
        say(from, &there, i, 1456);
    mirror_socket_flush(from);
    (void)mirror_socket_descriptors(to, descriptors);
    while (shown < 30) {
        assert_true(poll(&(struct pollfd){.fd = descriptors[0], .events = POLLIN}, 1, 60000) > 0);
        (void)mirror_socket_receive(to, count_all, &taken);
    }
    assert_int_equal(taken, 20);
    mirror_socket_close(from);
    mirror_socket_close(to);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct mirror_socket *socket;
    struct mirror_socket_config config = {0};
    assert_int_equal(mirror_socket_open(&socket, &config), HERMES_EINVALID);
    config = over(AF_INET, "127.0.0.1");
    config.group.ss_family = AF_INET6;
    assert_int_equal(mirror_socket_open(&socket, &config), HERMES_EINVALID);
    config = over(AF_INET, "203.0.113.7"); /* nobody's address (RFC 5737) */
    assert_int_equal(mirror_socket_open(&socket, &config), HERMES_EINVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_to_one_over_ipv4),
        cmocka_unit_test(one_to_one_over_ipv6),
        cmocka_unit_test(one_to_many_over_ipv4),
        cmocka_unit_test(what_goes_in_pieces_comes_one_by_one),
        cmocka_unit_test(a_filter_is_shown_each_of_them),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
