#include "broker/mirror/serve.h"

#include <string.h>

#include "base/clock.h"
#include "base/note.h"
#include "base/wait.h"
#include "broker/mirror/audience.h"
#include "broker/topic.h"
#include "io/notifier.h"
#include "log/log_source.h"
#include "mirror/time.h"

enum {
    WINDOW_BYTES = 1024 * 1024, /* sent ahead of a receiver's word, at most */
    SLICE_IPV6_BYTES = 1344,    /* fits Ethernet's MTU with the larger header */
    ROUNDS_A_TURN = 8,          /* batches that are received before something is sent */
    DATAGRAMS_A_TURN = 64,      /* for one receiver, before the next has its turn */
};

/* Nobody rings when a grant is over: it is looked for. */
static const uint64_t look_ns = 1000000000;

struct serving {
    struct engine *engine;
    struct mirror_socket *socket;
    struct notifier *notifier; /* of the log's bell; NULL: this kernel has none */
    struct log_source source;
    uint32_t epoch; /* that the senders were told of */
    uint64_t now_ns;
    struct audience audience;
};

/* ---- the log ---- */

static bool log_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    return log_source_bytes(context, position, length, to, first);
}

static uint64_t epoch_end(void *context, uint32_t epoch)
{
    const struct log_source *source = context;
    return log_source_epoch_end(source, epoch, source->tail.epoch);
}

static void tell_all(struct serving *s, uint64_t end)
{
    for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;)
        sender_log(seat->sender, earlier(s->source.first, end), end);
}

/* Each epoch that began up to where the log is known, in turn; the log before it first. Those whose record is
 * gone, of many that were short, are passed over. */
static void tell_epochs(struct serving *s)
{
    const uint32_t latest = s->source.tail.epoch;
    struct epoch_record record;
    for (uint32_t epoch = s->epoch + 1; epoch <= latest && epoch != 0; epoch++) {
        if (!log_source_epoch(&s->source, epoch, &record)) {
            epoch = latest - epoch > STATUS_EPOCHS ? latest - STATUS_EPOCHS - 1 : epoch;
            continue;
        }
        if (record.first_position > log_source_end(&s->source))
            return;
        tell_all(s, record.first_position);
        for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;)
            sender_epoch(seat->sender, s->now_ns, epoch, record.first_position);
        s->audience.config.epoch = s->epoch = epoch;
        s->audience.config.epoch_position = record.first_position;
    }
}

static void tell_log(struct serving *s)
{
    if (s->epoch != s->source.tail.epoch)
        tell_epochs(s);
    tell_all(s, log_source_end(&s->source));
}

/* ---- the socket ---- */

static struct mirror_packet *slot(struct serving *s)
{
    struct mirror_packet *packet = mirror_socket_slot(s->socket);
    if (packet != NULL)
        return packet;
    mirror_socket_flush(s->socket);
    return mirror_socket_slot(s->socket);
}

/* Who is there for the first time, behind an old name or a new one, begins with the log as it is now. */
static bool seat(struct serving *s, struct seat *who)
{
    if (audience_count(&s->audience) == 0) { /* nobody was there to follow the log for */
        log_source_leap(&s->source);
        tell_log(s);
    }
    s->audience.config.end_position = log_source_end(&s->source);
    s->audience.config.first_position = earlier(s->source.first, s->audience.config.end_position);
    return audience_seat(&s->audience, who) == 0;
}

static void put(struct serving *s, struct seat *from, struct mirror_packet *packet)
{
    if (audience_seal(&s->audience, from, packet))
        mirror_socket_put(s->socket);
}

static void take(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    struct serving *s = context;
    engine_was_busy(s->engine, s->now_ns);
    /* In the socket's buffer, which is ours to write to until it receives again. */
    struct seat *of = audience_hear(&s->audience, s->now_ns, from, (void *)(uintptr_t)bytes, &length);
    if (of == NULL || !seat(s, of))
        return;
    struct mirror_packet *reply = slot(s);
    if (sender_receive(of->sender, s->now_ns, from, bytes, length, reply) > 0)
        put(s, of, reply);
}

/* true: there may be more. */
static bool receive(struct serving *s)
{
    bool more = true;
    for (int i = 0; i < ROUNDS_A_TURN && more; i++) {
        s->now_ns = clock_monotonic_ns();
        more = mirror_socket_receive(s->socket, take, s);
    }
    return more;
}

static bool send_to(struct serving *s, struct seat *to)
{
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        struct mirror_packet *packet = slot(s);
        if (sender_next(to->sender, s->now_ns, packet) <= 0)
            return false;
        put(s, to, packet);
    }
    return true;
}

/* true: there is more. */
static bool send_out(struct serving *s)
{
    bool more = false;
    s->now_ns = clock_monotonic_ns();
    for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;)
        more |= send_to(s, seat);
    mirror_socket_flush(s->socket);
    return more;
}

/* ---- figures ---- */

/* How far all have it, whom that is known of. */
static uint64_t slowest(struct serving *s)
{
    uint64_t position = log_source_end(&s->source);
    for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;)
        position = seat_slowest(seat, position);
    return position;
}

static void tell_figures(struct serving *s)
{
    struct sender_counters sum = audience_counters(&s->audience);
    uint64_t missed = 0, rtt_ns = 0;
    for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;) {
        missed += seat_missed(seat);
        rtt_ns = later(rtt_ns, seat_rtt_ns(seat));
    }
    uint32_t receivers = audience_count(&s->audience);
    uint64_t position = slowest(s);
    const uint64_t figures[MIRROR_FIGURES] = {
        [MIRROR_RECEIVERS] = receivers,
        [MIRROR_POSITION] = position,
        [MIRROR_LAG_BYTES] = receivers == 0 ? 0 : log_source_end(&s->source) - position,
        [MIRROR_RTT_NS] = rtt_ns,
        [MIRROR_DATAGRAMS] = sum.datagrams,
        [MIRROR_BYTES] = sum.bytes,
        [MIRROR_LOST] = missed,
        [MIRROR_REPAIRED] = sum.repair_bytes,
        [MIRROR_GONE] = sum.gone,
        [MIRROR_NAKS] = sum.naks,
        [MIRROR_REFUSED] = sum.refused,
        [MIRROR_OVERRUNS] = 0,
    };
    engine_figures(s->engine, figures);
    engine_tell(s->engine, receivers > 0 ? MIRROR_ACTIVE : MIRROR_WAITING, HERMES_OK);
}

/* ---- the thread ---- */

static uint64_t wake_ns(struct serving *s)
{
    uint64_t wake = s->now_ns + look_ns;
    for (struct seat *seat = NULL; (seat = audience_next(&s->audience, seat)) != NULL;)
        wake = earlier(wake, sender_wake_ns(seat->sender));
    return wake;
}

/* Asks the topic's publisher to ring, as a reader that sleeps does. false: there is something to do. */
static bool park(struct serving *s, uint64_t *until_ns)
{
    struct reader *tail = &s->source.tail;
    uint32_t bell;
    if (reader_park(tail, &bell))
        return false;
    uint64_t longest_ns = reader_longest_sleep(tail);
    if (s->notifier != NULL)
        notifier_arm(s->notifier, &(struct futex_word){&tail->window->bell, bell}, 1, longest_ns);
    else
        longest_ns = earlier(longest_ns, BARRIER_LOOK_NS);
    *until_ns = earlier(*until_ns, clock_monotonic_ns() + longest_ns);
    return true;
}

static void sleep_until_something(struct serving *s)
{
    uint64_t until_ns = wake_ns(s);
    bool follows = audience_count(&s->audience) > 0;
    if (until_ns <= s->now_ns || (follows && !park(s, &until_ns)))
        return;
    engine_sleep(s->engine, s->socket, follows && s->notifier != NULL ? notifier_fd(s->notifier) : -1,
                 until_ns);
}

/* true: there may be more. */
static bool follow_log(struct serving *s)
{
    uint64_t before = log_source_end(&s->source);
    bool more = log_source_follow(&s->source);
    if (log_source_end(&s->source) != before)
        engine_was_busy(s->engine, s->now_ns);
    tell_log(s);
    return more;
}

static void serve(struct serving *s)
{
    while (!engine_stops(s->engine)) {
        bool more = receive(s);
        s->now_ns = clock_monotonic_ns();
        audience_look(&s->audience, s->now_ns);
        if (audience_count(&s->audience) > 0)
            more |= follow_log(s);
        more |= send_out(s);
        tell_figures(s);
        if (more)
            continue;
        if (engine_spins(s->engine, s->now_ns))
            cpu_relax();
        else
            sleep_until_something(s);
    }
}

static void prepare(struct serving *s, const struct lookup_answer *here)
{
    const struct topic *topic = s->engine->topic;
    struct epoch_record record;
    struct sender_config *config = &s->audience.config;
    s->audience.grants = s->engine->grants;
    s->audience.open = topic->broker->config.insecure;
    s->audience.group = here->group.address.ss_family != 0;
    s->audience.here = mirror_socket_address(s->socket);
    s->audience.source = (struct mirror_source){&s->source, log_bytes, epoch_end};
    *config = (struct sender_config){
        .topic_id = topic->id,
        .multicast = s->audience.group,
        .receivers_max = s->audience.group ? AUDIENCE_GROUP : 1,
        .window_bytes = WINDOW_BYTES,
        .bytes_per_s = topic->broker->config.mirror_rate,
        .slice_bytes = here->there.ss_family == AF_INET6 ? SLICE_IPV6_BYTES : 0,
    };
    engine_random(&config->incarnation, sizeof config->incarnation);
    engine_random(config->cookie_key, sizeof config->cookie_key);
    config->epoch = s->epoch = s->source.tail.epoch;
    if (log_source_epoch(&s->source, s->epoch, &record))
        config->epoch_position = earlier(record.first_position, log_source_end(&s->source));
    (void)notifier_start(&s->notifier);
}

void *serve_body(void *argument)
{
    struct engine *engine = argument;
    struct serving s = {.engine = engine};
    struct lookup_answer here;
    if (!engine_socket(engine, &s.socket, &here))
        return NULL;
    int rc = log_source_open(&s.source, &engine->topic->log);
    if (rc == 0) {
        prepare(&s, &here);
        serve(&s);
        log_source_close(&s.source);
    } else {
        note("topic '%s' is not sent to %s: %s", engine->topic->name, engine->url, hermes_strerror(rc));
        engine_tell(engine, MIRROR_FAILED, rc);
    }
    audience_leave(&s.audience);
    notifier_stop(s.notifier);
    mirror_socket_close(s.socket);
    return NULL;
}
