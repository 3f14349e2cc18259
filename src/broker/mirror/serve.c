#include "broker/mirror/serve.h"

#include <string.h>

#include "base/clock.h"
#include "base/note.h"
#include "base/wait.h"
#include "broker/topic.h"
#include "io/notifier.h"
#include "log/log_source.h"
#include "mirror/sender.h"
#include "mirror/time.h"

enum {
    WINDOW_BYTES = 1024 * 1024, /* sent ahead of a receiver's word, at most */
    SLICE_IPV6_BYTES = 1344,    /* fits Ethernet's MTU with the larger header */
    ROUNDS_A_TURN = 8,          /* batches that are received before something is sent */
    DATAGRAMS_A_TURN = 64,      /* for one receiver, before the next has its turn */
};

struct serving {
    struct engine *engine;
    struct mirror_socket *socket;
    struct notifier *notifier; /* of the log's bell; NULL: this kernel has none */
    struct log_source source;
    uint32_t epoch; /* that the senders were told of */
    struct sender_config config;
    struct sender *senders[SERVE_RECEIVERS];
    unsigned count; /* of them that were made: each is for one receiver at a time */
    uint64_t now_ns;
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
    for (unsigned i = 0; i < s->count; i++)
        sender_log(s->senders[i], earlier(s->source.first, end), end);
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
        for (unsigned i = 0; i < s->count; i++)
            sender_epoch(s->senders[i], s->now_ns, epoch, record.first_position);
        s->config.epoch = s->epoch = epoch;
        s->config.epoch_position = record.first_position;
    }
}

static void tell_log(struct serving *s)
{
    if (s->epoch != s->source.tail.epoch)
        tell_epochs(s);
    tell_all(s, log_source_end(&s->source));
}

/* ---- senders ---- */

static uint32_t listening(const struct sender *sender)
{
    return sender_listeners(sender)->count;
}

static uint32_t all_listening(const struct serving *s)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < s->count; i++)
        count += listening(s->senders[i]);
    return count;
}

static struct sender *make(struct serving *s)
{
    struct mirror_source source = {&s->source, log_bytes, epoch_end};
    struct sender *sender;
    s->config.end_position = log_source_end(&s->source);
    s->config.first_position = earlier(s->source.first, s->config.end_position);
    engine_random(&s->config.seed, sizeof s->config.seed);
    if (s->config.epoch == 0 || sender_open(&sender, &s->config, &source) < 0)
        return NULL;
    s->senders[s->count++] = sender;
    return sender;
}

/* The one that knows that address; else one that nobody listens to; else, where all are taken, any, which
 * says so to itself. */
static struct sender *sender_for(struct serving *s, const struct mirror_address *from)
{
    struct sender *spare = NULL;
    for (unsigned i = 0; i < s->count; i++) {
        const struct listener *listener = &sender_listeners(s->senders[i])->all[0];
        if (listener->id != 0 && mirror_address_is(&listener->address, from))
            return s->senders[i];
        if (listener->id == 0 && spare == NULL)
            spare = s->senders[i];
    }
    if (spare == NULL && s->count < SERVE_RECEIVERS)
        spare = make(s);
    return spare != NULL || s->count == 0 ? spare : s->senders[0];
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

static void take(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    struct serving *s = context;
    engine_was_busy(s->engine, s->now_ns);
    if (all_listening(s) == 0) { /* nobody was there to follow the log for */
        log_source_leap(&s->source);
        tell_log(s);
    }
    struct sender *sender = sender_for(s, from);
    if (sender != NULL && sender_receive(sender, s->now_ns, from, bytes, length, slot(s)) > 0)
        mirror_socket_put(s->socket);
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

static bool send_to(struct serving *s, struct sender *sender)
{
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        if (sender_next(sender, s->now_ns, slot(s)) <= 0)
            return false;
        mirror_socket_put(s->socket);
    }
    return true;
}

/* true: there is more. */
static bool send_out(struct serving *s)
{
    bool more = false;
    s->now_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < s->count; i++)
        more |= send_to(s, s->senders[i]);
    mirror_socket_flush(s->socket);
    return more;
}

/* ---- figures ---- */

/* How far all have it, whom that is known of. */
static uint64_t slowest(const struct serving *s)
{
    uint64_t position = log_source_end(&s->source);
    for (unsigned i = 0; i < s->count; i++) {
        const struct listener *listener = &sender_listeners(s->senders[i])->all[0];
        if (listener->id != 0)
            position = earlier(position, listener->position);
    }
    return position;
}

static void tell_figures(struct serving *s)
{
    struct sender_counters sum = {0};
    uint64_t missed = 0, rtt_ns = 0;
    for (unsigned i = 0; i < s->count; i++) {
        const struct sender_counters *c = sender_counters(s->senders[i]);
        const struct listener *listener = &sender_listeners(s->senders[i])->all[0];
        sum.datagrams += c->datagrams;
        sum.bytes += c->bytes;
        sum.repair_bytes += c->repair_bytes;
        sum.naks += c->naks;
        sum.gone += c->gone;
        sum.refused += c->refused + c->strange + c->full;
        missed += listener->missed_bytes;
        rtt_ns = listener->id != 0 ? later(rtt_ns, listener->rtt.mean_ns) : rtt_ns;
    }
    uint32_t receivers = all_listening(s);
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

static uint64_t wake_ns(const struct serving *s)
{
    uint64_t wake = UINT64_MAX;
    for (unsigned i = 0; i < s->count; i++)
        wake = earlier(wake, sender_wake_ns(s->senders[i]));
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
    bool follows = all_listening(s) > 0;
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
        if (all_listening(s) > 0)
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

static void prepare(struct serving *s, const struct sockaddr_storage *address)
{
    const struct topic *topic = s->engine->topic;
    struct epoch_record record;
    s->config = (struct sender_config){
        .topic_id = topic->id,
        .receivers_max = 1,
        .window_bytes = WINDOW_BYTES,
        .bytes_per_s = topic->broker->config.mirror_rate,
        .slice_bytes = address->ss_family == AF_INET6 ? SLICE_IPV6_BYTES : 0,
    };
    engine_random(&s->config.incarnation, sizeof s->config.incarnation);
    engine_random(s->config.cookie_key, sizeof s->config.cookie_key);
    s->config.epoch = s->epoch = s->source.tail.epoch;
    if (log_source_epoch(&s->source, s->epoch, &record))
        s->config.epoch_position = earlier(record.first_position, log_source_end(&s->source));
    (void)notifier_start(&s->notifier);
}

void *serve_body(void *argument)
{
    struct engine *engine = argument;
    struct serving s = {.engine = engine};
    struct sockaddr_storage address;
    if (!engine_socket(engine, &s.socket, &address))
        return NULL;
    int rc = log_source_open(&s.source, &engine->topic->log);
    if (rc == 0) {
        prepare(&s, &address);
        serve(&s);
        log_source_close(&s.source);
    } else {
        note("topic '%s' is not sent to %s: %s", engine->topic->name, engine->url, hermes_strerror(rc));
        engine_tell(engine, MIRROR_FAILED, rc);
    }
    for (unsigned i = 0; i < s.count; i++)
        sender_close(s.senders[i]);
    notifier_stop(s.notifier);
    mirror_socket_close(s.socket);
    return NULL;
}
