#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "bench/udp.h"
#include "mirror/random.h"
#include "remote/filter.h"
#include "wire/datagram.h"

enum { HOST_BYTES = 32, SYNC_INTERVAL_MS = 1000, TURNS_A_SENDERS = 8, SHM_LEAST_MIB = 1024 };

/* Containers may have no more than 64 MiB of shared memory. */
static const char *ample_parent(void)
{
    struct statvfs there;
    bool is_ample = statvfs("/dev/shm", &there) == 0 &&
                    (uint64_t)there.f_bavail * there.f_frsize >= SHM_LEAST_MIB * 1048576ull;
    return is_ample ? "/dev/shm" : getenv("TMPDIR");
}

void udp_begin(struct udp_flow *flow)
{
    for (int i = 0; i < 2; i++)
        bench_directory_make_in(&flow->directories[i], ample_parent());
}

void udp_end(struct udp_flow *flow)
{
    for (int i = 1; i >= 0; i--) /* the second one's keeper has the first one's pipe */
        bench_directory_delete(&flow->directories[i]);
}

void udp_prepare(const struct udp_flow *flow)
{
    udp_reach(flow, UDP_MEETING);
    for (int i = 0; i < 2; i++)
        atomic_store(&flow->shared->port[i], 0);
}

void udp_reach(const struct udp_flow *flow, enum udp_step step)
{
    atomic_store(&flow->shared->step, step);
}

bool udp_has_reached(const struct udp_flow *flow, enum udp_step step)
{
    return atomic_load(&flow->shared->step) >= step;
}

/* ---- opening ---- */

void udp_open_sender(struct udp_side *side, int which)
{
    hermes_log_options_t kept = {.size = sizeof kept, .sync_interval_ms = SYNC_INTERVAL_MS};
    hermes_mirror_sender_options_t options = {.size = sizeof options,
                                              .local = "udp://127.0.0.1:0",
                                              .flags = HERMES_MIRROR_INSECURE,
                                              .group = side->flow->group,
                                              .interface = side->flow->group == NULL ? NULL : "lo"};
    hermes_mirror_sender_info_t info = {.size = sizeof info};
    bench_must(hermes_log_open(side->flow->directories[which].path, &kept, &side->log), "log",
               hermes_log_last_error(NULL));
    bench_must(hermes_mirror_sender_open(side->log, &options, &side->sender), "sender",
               hermes_mirror_sender_last_error(NULL));
    bench_must(hermes_mirror_sender_describe(side->sender, &info), "sender", NULL);
    atomic_store(&side->flow->shared->port[which], info.port);
}

/* A repair that is lost, too, is the same loss. */
static void note_loss(struct udp_loss *loss, uint64_t position)
{
    for (uint32_t i = 0; i < loss->count; i++)
        if (loss->pending[(loss->first + i) % UDP_LOSSES].position == position)
            return;
    if (loss->count == UDP_LOSSES)
        return;
    uint32_t at = (loss->first + loss->count++) % UDP_LOSSES;
    loss->pending[at].position = position;
    loss->pending[at].lost_ns = cli_now_ns();
}

uint64_t udp_was_lost(struct udp_loss *loss, uint64_t position)
{
    uint64_t lost_ns = 0;
    for (; loss->count > 0 && loss->pending[loss->first].position <= position; loss->count--) {
        if (loss->pending[loss->first].position == position)
            lost_ns = loss->pending[loss->first].lost_ns;
        loss->first = (loss->first + 1) % UDP_LOSSES;
    }
    return lost_ns;
}

static bool is_lost(void *context, const void *bytes, size_t length)
{
    struct udp_loss *loss = context;
    hermes_header_t header;
    if (length < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    bool lost = header.type == DATAGRAM_DATA && random_below(&loss->random, UDP_PPM) < loss->ppm;
    if (lost && loss->noted)
        note_loss(loss, header.sequence);
    return lost;
}

void udp_open_receiver(struct udp_side *side, int which)
{
    char sender[HOST_BYTES];
    uint32_t port;
    for (uint64_t looks = 1; (port = atomic_load(&side->flow->shared->port[which])) == 0; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
    snprintf(sender, sizeof sender, "udp://127.0.0.1:%u", port);
    hermes_mirror_receiver_options_t options = {.size = sizeof options,
                                                .sender = sender,
                                                .flags = HERMES_MIRROR_INSECURE,
                                                .group = side->flow->group,
                                                .interface = side->flow->group == NULL ? NULL : "lo"};
    bench_must(hermes_mirror_receiver_open(&options, &side->receiver), "receiver",
               hermes_mirror_receiver_last_error(NULL));
    side->loss =
        (struct udp_loss){.ppm = side->flow->lost_ppm, .noted = side->flow->pace_ns > 0, .random = 1};
    if (side->loss.ppm > 0)
        remote_filter(side->receiver, is_lost, &side->loss);
}

void udp_close(struct udp_side *side)
{
    hermes_mirror_receiver_close(side->receiver);
    hermes_mirror_sender_close(side->sender);
    if (side->log != NULL)
        bench_must(hermes_log_close(side->log), "log", hermes_log_last_error(NULL));
}

/* ---- running ---- */

void udp_send(struct udp_side *side)
{
    bench_must(hermes_mirror_sender_run(side->sender, 0), "send", "");
}

int udp_receive(struct udp_side *side, hermes_message_t *message)
{
    int rc = hermes_mirror_receiver_poll(side->receiver, message);
    bench_must(rc, "receive", hermes_mirror_receiver_last_error(side->receiver));
    return rc;
}

int udp_turn(struct udp_side *side, hermes_message_t *message)
{
    bool sends = side->receiver == NULL || (side->sender != NULL && side->turns++ % TURNS_A_SENDERS == 0);
    if (sends)
        udp_send(side);
    return side->receiver == NULL ? 0 : udp_receive(side, message);
}

static bool has_met(const struct udp_side *side)
{
    hermes_mirror_sender_info_t sender = {.size = sizeof sender, .receivers = side->flow->receivers};
    hermes_mirror_receiver_info_t receiver = {.size = sizeof receiver, .state = HERMES_MIRROR_RECEIVING};
    if (side->sender != NULL)
        (void)hermes_mirror_sender_describe(side->sender, &sender);
    if (side->receiver != NULL)
        (void)hermes_mirror_receiver_describe(side->receiver, &receiver);
    return sender.receivers == side->flow->receivers && receiver.state == HERMES_MIRROR_RECEIVING;
}

void udp_meet(struct udp_side *side)
{
    hermes_message_t message;
    for (uint64_t looks = 1; !has_met(side); looks++) {
        if (udp_turn(side, &message) > 0)
            exit(cli_fail("benchmark", HERMES_EPROTOCOL, "a message before there is one"));
        bench_other_lives(looks);
    }
}

static int append(struct udp_side *side, uint64_t timestamp_ns, const void *payload, uint32_t size)
{
    return timestamp_ns == 0 ? hermes_log_append(side->log, payload, size, NULL)
                             : hermes_log_append_at(side->log, timestamp_ns, payload, size, NULL);
}

void udp_append(struct udp_side *side, uint64_t timestamp_ns, const void *payload, uint32_t size)
{
    int rc;
    while ((rc = append(side, timestamp_ns, payload, size)) == HERMES_EAGAIN)
        (void)hermes_log_wait_room(side->log, 1000000000);
    bench_must(rc, "append", hermes_log_last_error(side->log));
}
