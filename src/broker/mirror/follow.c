#include "broker/mirror/follow.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "base/wait.h"
#include "broker/mirror/copy.h"
#include "broker/mirror/engine.h"
#include "broker/mirror/grants.h"
#include "broker/mirror/record.h"
#include "broker/topic.h"
#include "mirror/receiver.h"
#include "mirror/seal.h"
#include "mirror/time.h"

enum {
    WINDOW_BYTES = 1024 * 1024, /* that wait beyond a gap, or for room */
    ROUNDS_A_TURN = 8,
};

/* Nobody rings when the persister, or readers that are waited for, have made room. */
static const uint64_t room_ns = 1000000;

/* Nobody says when a disk has room. */
static const uint64_t record_again_ns = 100000000;

/* A log that has ended: so long its sender sees that all has come, and so long it is left in peace. */
static const uint64_t rest_ns = 1000000000;

struct following {
    struct engine *engine;
    struct lookup *lookup;
    struct lookup_answer source; /* where it is, and the key to it */
    bool moved;                  /* it is elsewhere by now */
    int error;                   /* why there may be no key any more */
    struct sealing *sealing;     /* NULL: it sends in the clear */
    struct sealing *former;      /* of a group, which others seal with until they have the next one */
    uint16_t key_id, former_id;
    struct mirror_socket *socket;
    struct receiver *receiver;
    int record_fd;
    struct mirror_record record;
    bool record_is_due; /* it is not on the disk yet */
    uint64_t record_next_try_ns;
    uint64_t now_ns;
    uint64_t refused;        /* that did not open */
    uint64_t rests_until_ns; /* at the log's end; 0: it does not */
    struct copy copy;        /* large: last */
};

/* ---- what comes ---- */

/* Before there is a byte of that epoch. A disk that is full has room again one day: until then nothing is
 * taken, and what comes waits. */
static bool write_record(struct following *f)
{
    bool safe = f->engine->topic->durability != DURABILITY_MEMORY;
    struct error_text text;
    if (f->now_ns < f->record_next_try_ns)
        return false;
    f->record_is_due = mirror_record_write(f->record_fd, &f->record, safe, &text) < 0;
    if (f->record_is_due && f->record_next_try_ns == 0)
        note("topic '%s': its mirror waits: %s", f->engine->topic->name, text.bytes);
    f->record_next_try_ns = f->record_is_due ? f->now_ns + record_again_ns : 0;
    return !f->record_is_due;
}

static uint64_t sink_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    struct following *f = context;
    (void)position; /* where the copy is: the receiver counts as it does */
    if (f->record_is_due && !write_record(f))
        return 0;
    return copy_take(&f->copy, bytes, length);
}

static void sink_lost(void *context, uint64_t position, uint64_t length)
{
    struct following *f = context;
    copy_skip(&f->copy, position + length);
}

static void sink_epoch(void *context, uint64_t position, uint32_t epoch)
{
    struct following *f = context;
    (void)position;
    f->record = (struct mirror_record){receiver_topic_id(f->receiver), epoch};
    f->record_is_due = true;
}

static int64_t open_sealed(const struct following *f, void *bytes, size_t length)
{
    if (f->sealing == NULL)
        return (int64_t)length;
    bool before = f->former != NULL && sealing_id(bytes, length) == f->former_id;
    return sealing_unseal(before ? f->former : f->sealing, bytes, length);
}

static void take(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    struct following *f = context;
    engine_was_busy(f->engine, f->now_ns);
    /* In the socket's buffer, which is ours to write to until it receives again. */
    int64_t plain = open_sealed(f, (void *)(uintptr_t)bytes, length);
    if (plain > 0)
        (void)receiver_receive(f->receiver, f->now_ns, from, bytes, (size_t)plain);
    else
        f->refused++;
}

/* ---- the source ---- */

static bool is_of_group(const struct following *f)
{
    return f->source.group.address.ss_family != 0;
}

/* Numbers of datagrams go on, and so does the stream: whoever has another key is joined anew. */
static int use_key(struct following *f)
{
    struct sealing *sealing = NULL;
    uint32_t members = is_of_group(f) ? GRANTS_MAX + 1 : 1; /* the sender, and whose NAKs are heard */
    int rc = f->source.sealed ? sealing_make(&sealing, &f->source.key, members) : HERMES_OK;
    if (rc < 0)
        return rc;
    sealing_free(f->former);
    f->former = f->sealing;
    f->former_id = f->key_id;
    f->sealing = sealing;
    f->key_id = f->source.key.id;
    return rc;
}

/* Another key, or why there is none any more: what there is holds on until the source says otherwise. */
static void hear_of_source(struct following *f)
{
    struct lookup_answer answer;
    if (!engine_hear(f->engine, f->lookup, &answer))
        return;
    f->error = answer.error;
    if (answer.error < 0)
        return;
    f->moved = memcmp(&answer.there, &f->source.there, sizeof answer.there) != 0 ||
               memcmp(&answer.group.address, &f->source.group.address, sizeof answer.group.address) != 0;
    bool same = memcmp(&answer.key, &f->source.key, sizeof answer.key) == 0; /* it was away for a moment */
    f->source = answer;
    OPENSSL_cleanse(&answer.key, sizeof answer.key);
    if (!f->moved && !same)
        f->error = use_key(f);
}

/* While it cannot be followed: it may be elsewhere again. Nothing was opened that another key were for. */
static void hear_anew(struct following *f)
{
    struct lookup_answer answer;
    if (engine_hear(f->engine, f->lookup, &answer) && answer.error == 0)
        f->source = answer;
    OPENSSL_cleanse(&answer.key, sizeof answer.key);
}

/* ---- turns ---- */

static bool receive(struct following *f)
{
    bool more = true;
    for (int i = 0; i < ROUNDS_A_TURN && more; i++) {
        f->now_ns = clock_monotonic_ns();
        more = mirror_socket_receive(f->socket, take, f);
    }
    uint32_t overruns = mirror_socket_overflows(f->socket);
    if (overruns > 0)
        receiver_overflowed(f->receiver, f->now_ns);
    return more;
}

/* false: as if it were lost. */
static bool seal(struct following *f, struct mirror_packet *packet)
{
    if (f->sealing == NULL)
        return true;
    int64_t length = sealing_seal(f->sealing, packet->bytes, packet->length);
    if (length > 0)
        packet->length = (uint32_t)length;
    return length > 0;
}

static void send_out(struct following *f)
{
    struct mirror_packet *packet;
    f->now_ns = clock_monotonic_ns();
    for (;;) {
        if ((packet = mirror_socket_slot(f->socket)) == NULL) {
            mirror_socket_flush(f->socket);
            continue;
        }
        if (receiver_next(f->receiver, f->now_ns, packet) <= 0)
            break;
        if (seal(f, packet))
            mirror_socket_put(f->socket);
    }
    mirror_socket_flush(f->socket);
}

static void tell_figures(struct following *f)
{
    const struct receiver_counters *c = receiver_counters(f->receiver);
    uint64_t position = f->copy.topic->log.writer.position, announced = receiver_announced(f->receiver);
    const uint64_t figures[MIRROR_FIGURES] = {
        [MIRROR_POSITION] = position,
        [MIRROR_LAG_BYTES] = announced > position ? announced - position : 0,
        [MIRROR_RTT_NS] = receiver_rtt_ns(f->receiver),
        [MIRROR_DATAGRAMS] = c->datagrams,
        [MIRROR_BYTES] = c->bytes,
        [MIRROR_LOST] = c->missed_bytes,
        [MIRROR_GONE] = f->copy.gone,
        [MIRROR_DUPLICATES] = c->duplicates,
        [MIRROR_NAKS] = c->naks,
        [MIRROR_OVERRUNS] = c->overflows,
        [MIRROR_REFUSED] = c->refused + c->strange + f->refused,
    };
    engine_figures(f->engine, figures);
}

static void tell_state(struct following *f)
{
    bool receives = receiver_state(f->receiver) == RECEIVER_RECEIVING;
    engine_tell(f->engine, receives ? MIRROR_ACTIVE : MIRROR_WAITING, receives ? HERMES_OK : f->error);
}

/* Says why, once, and does nothing more until it is ended. */
static void stop(struct following *f, enum mirror_state state, int error, const char *why)
{
    note("topic '%s' follows %s no more: %s", f->engine->topic->name, f->engine->url, why);
    engine_tell(f->engine, state, error);
    while (!engine_stops(f->engine))
        engine_sleep(f->engine, NULL, -1, UINT64_MAX);
}

/* There is room when the store has taken what is there; one that has failed never does. */
static void look_at_store(struct following *f)
{
    if (atomic_load_explicit(&f->engine->topic->log.status->state, memory_order_relaxed) == STATE_FAILED)
        f->copy.error = error_set(&f->copy.text, HERMES_EIO, "its store failed");
}

/* Its sender may wait until nobody is there, and another go on with that log: it leaves, and comes again. */
static void rest_at_end(struct following *f)
{
    enum receiver_state state = receiver_state(f->receiver);
    bool rests = state == RECEIVER_ENDED || state == RECEIVER_LEFT;
    if (rests && f->rests_until_ns == 0)
        f->rests_until_ns = f->now_ns + rest_ns;
    if (rests && f->now_ns < f->rests_until_ns)
        return;
    f->rests_until_ns = state == RECEIVER_ENDED ? f->now_ns + rest_ns : 0;
    if (state == RECEIVER_ENDED)
        receiver_leave(f->receiver, f->now_ns);
    else if (state == RECEIVER_LEFT)
        receiver_return(f->receiver, f->now_ns);
}

static uint64_t wake_ns(const struct following *f, bool waits)
{
    uint64_t until_ns = receiver_wake_ns(f->receiver);
    if (f->rests_until_ns != 0)
        until_ns = earlier(until_ns, f->rests_until_ns);
    return waits ? earlier(until_ns, f->now_ns + room_ns) : until_ns;
}

static void follow(struct following *f)
{
    while (!engine_stops(f->engine) && !f->moved) {
        hear_of_source(f);
        bool more = receive(f);
        bool waits = receiver_offer(f->receiver, f->now_ns);
        if (waits)
            look_at_store(f);
        tell_figures(f); /* what was lost is counted also where that is the end of it */
        if (f->copy.error < 0) {
            stop(f, MIRROR_FAILED, f->copy.error, f->copy.text.bytes);
            return;
        }
        if (receiver_state(f->receiver) == RECEIVER_DIVERGED) {
            stop(f, MIRROR_DIVERGED, HERMES_ECORRUPT,
                 "it has messages that its source does not have, or is of another topic; delete it and add "
                 "the mirror again to begin anew");
            return;
        }
        rest_at_end(f);
        send_out(f);
        tell_state(f);
        if (more)
            continue;
        if (engine_spins(f->engine, f->now_ns))
            cpu_relax();
        else
            engine_sleep(f->engine, f->socket, lookup_fd(f->lookup), wake_ns(f, waits));
    }
    receiver_leave(f->receiver, f->now_ns);
    send_out(f);
}

/* ---- the thread ---- */

static int begin(struct following *f)
{
    struct topic *topic = f->engine->topic;
    char path[PATH_BYTES];
    copy_begin(&f->copy, topic);
    topic_path(topic->broker, topic->name, "mirror.epoch", path);
    int rc = mirror_record_open(path, &f->record_fd, &f->record, &f->copy.text);
    if (rc < 0) {
        f->record_fd = -1;
        return rc;
    }
    if (f->copy.position == 0) /* nothing of any log is here, whatever was told of */
        f->record = (struct mirror_record){0};
    else if (f->record.topic_id == 0)
        return error_say(&f->copy.text, HERMES_EINVALID, "it has messages of its own");
    struct receiver_config config = {
        .known_topic_id = f->record.topic_id,
        .sender = mirror_address_of(&f->source.there),
        .sealed = f->source.sealed,
        .multicast = is_of_group(f),
        .position = f->copy.position,
        .epoch = f->record.epoch,
        .window_bytes = WINDOW_BYTES,
    };
    engine_random(&config.seed, sizeof config.seed);
    struct mirror_sink sink = {f, sink_bytes, sink_lost, sink_epoch};
    rc = receiver_open(&f->receiver, &config, &sink);
    return rc < 0 ? error_set(&f->copy.text, rc, "a receiver") : rc;
}

/* From where the source is now, until it is elsewhere or the thread is to end. */
static void follow_there(struct following *f)
{
    struct sockaddr_storage here = udp_any(&f->source.there);
    f->moved = false;
    f->rests_until_ns = f->record_next_try_ns = 0;
    f->record_is_due = false;
    f->record_fd = -1;
    f->receiver = NULL;
    if ((is_of_group(f) && udp_own(&f->source.there, &here) < 0) ||
        engine_bind(f->engine, &here, &f->source.group, &f->socket) < 0) {
        engine_pause(f->engine);
        hear_anew(f);
        return;
    }
    int rc = begin(f);
    if (rc == 0 && (rc = use_key(f)) < 0)
        (void)error_set(&f->copy.text, rc, "a key");
    if (rc == 0)
        follow(f);
    else
        stop(f, MIRROR_FAILED, rc, f->copy.text.bytes);
    receiver_close(f->receiver);
    sealing_free(f->sealing);
    sealing_free(f->former);
    f->sealing = f->former = NULL;
    mirror_socket_close(f->socket);
    if (f->record_fd >= 0)
        close(f->record_fd);
}

void *follow_body(void *argument)
{
    struct engine *engine = argument;
    struct following *f = aligned_alloc(HERMES_FRAME_ALIGNMENT, sizeof *f);
    if (f == NULL) {
        engine_tell(engine, MIRROR_FAILED, HERMES_ENOMEM);
        return NULL;
    }
    memset(f, 0, offsetof(struct following, copy));
    f->engine = engine;
    if (engine_look_up(engine, &f->lookup) == 0 && engine_await(engine, f->lookup, &f->source))
        while (!engine_stops(engine))
            follow_there(f);
    lookup_close(f->lookup);
    OPENSSL_cleanse(&f->source.key, sizeof f->source.key);
    free(f);
    return NULL;
}
