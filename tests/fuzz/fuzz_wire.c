/* Whole sessions: the input is what a client sends to a broker that runs in this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"
#include "io/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct broker broker;

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
    if (broker_open(&broker, &config, &text) < 0)
        abort();
}

/*
 * Messages are framed here: type, length of what follows, payload; so the fuzzer finds requests instead
 * of spending its time on the magic. An odd first byte sends the rest as it is.
 */
static size_t frame(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    if (size > 0 && (data[0] & 1)) {
        size_t count = size - 1 < room ? size - 1 : room;
        memcpy(out, data + 1, count);
        return count;
    }
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
    hermes_header_t header;
    wire_header(&header, WIRE_HELLO, 1, sizeof hello);
    memcpy(out, &header, sizeof header);
    memcpy(out + sizeof header, &hello, sizeof hello);
    size_t used = sizeof header + sizeof hello, at = 1;
    while (at < size) {
        uint8_t type = (uint8_t)(16 + data[at++] % 20);
        int wanted = wire_request_bytes(type);
        size_t length = wanted < 0 ? 0 : (size_t)wanted;
        if (used + sizeof header + length > room)
            break;
        wire_header(&header, type, 1, (uint32_t)length);
        memcpy(out + used, &header, sizeof header);
        used += sizeof header;
        memset(out + used, 0, length);
        size_t given = size - at < length ? size - at : length;
        if (given > 0)
            memcpy(out + used, data + at, given);
        at += given;
        used += length;
    }
    return used;
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
    session_accept(&broker, pair[0]);
    size_t count = frame(data, size, bytes, sizeof bytes);
    if (send(pair[1], bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && count > 0)
        count = 0;
    for (int i = 0; i < 20; i++) {
        (void)sequencer_turn(&broker);
        poller_run(broker.poller, 0);
        while (recv(pair[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
            ; /* descriptors beside the bytes are dropped by the kernel */
    }
    close(pair[1]);
    for (int i = 0; i < 100 && broker.sessions != NULL; i++)
        poller_run(broker.poller, 1000000);
    if (broker.sessions != NULL)
        abort(); /* a session that does not end is a leak */
    return 0;
}
