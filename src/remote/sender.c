/* hermes/mirror.h: a sender of an embedded log, without a broker. */
#include "mirror/sender.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/wait.h"
#include "hermes/mirror.h"
#include "log/embedded.h"
#include "log/log_source.h"
#include "remote/link.h"

enum { WINDOW_DEFAULT = 4 << 20, RECEIVERS_DEFAULT = 64, SLICE_OVER_IPV6 = 1344 };

#define SLEEP_MOST_NS 1000000000u
#define LOOK_EVERY_NS 1000000u /* while somebody is there, whether the log grew */

struct hermes_mirror_sender {
    struct link link;
    struct log_source source;
    struct sender *sender;
    bool has_source, ended;
    bool done; /* somebody was there when the log had ended, and all who were had everything */
    uint64_t spin_ns;
    bool busy; /* something was received or sent in this turn */
    struct error_text error;
};

static __thread struct error_text open_error;

/* ---- the log ---- */

static bool give_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first)
{
    return log_source_bytes(context, position, length, to, first);
}

static uint64_t give_epoch_end(void *context, uint32_t epoch)
{
    const struct log_source *source = context;
    return log_source_epoch_end(source, epoch, source->log->epoch);
}

static uint64_t epoch_position(const struct log_source *source)
{
    struct epoch_record record;
    return log_source_epoch(source, source->log->epoch, &record) ? record.first_position : 0;
}

/* ---- opening ---- */

static int take_options(hermes_mirror_sender_options_t *options, const hermes_mirror_sender_options_t *given)
{
    *options = (hermes_mirror_sender_options_t){.size = sizeof *options};
    int rc = given == NULL ? HERMES_EINVALID : abi_take(options, sizeof *options, given);
    if (rc < 0)
        return error_set(&open_error, rc, "options of a sender");
    if ((options->flags & ~HERMES_MIRROR_INSECURE) != 0)
        return error_say(&open_error, HERMES_ENOTSUP, "a flag that is not known");
    if (options->local == NULL)
        return error_say(&open_error, HERMES_EINVALID, "a sender needs an address");
    bool insecure = options->flags & HERMES_MIRROR_INSECURE;
    if (insecure == (options->key != NULL))
        return error_say(&open_error, HERMES_EINVALID, "either a key, or HERMES_MIRROR_INSECURE");
    if (options->key != NULL && (options->key->id == 0 || options->key->member != SEAL_SENDER))
        return error_say(&open_error, HERMES_EINVALID, "a sender's key has an id, and is member 0");
    if (options->socket_bytes > INT32_MAX || options->hops > UINT8_MAX ||
        options->flow > HERMES_MIRROR_MIN_GROUP || options->spin_us > LINK_SPIN_MAX_US)
        return error_say(&open_error, HERMES_EINVALID, "an option outside of its range");
    if (options->window_bytes == 0)
        options->window_bytes = WINDOW_DEFAULT;
    if (options->receivers_max == 0)
        options->receivers_max = options->group == NULL ? 1 : RECEIVERS_DEFAULT;
    return HERMES_OK;
}

static int open_link(hermes_mirror_sender_t *s, const hermes_mirror_sender_options_t *options)
{
    struct link_places places = {.local = options->local,
                                 .group = options->group,
                                 .interface = options->interface,
                                 .hops = (int)options->hops,
                                 .receive_bytes = options->socket_bytes};
    struct seal_grant grant;
    if (options->key == NULL)
        return link_open(&s->link, &places, NULL, 0, &open_error);
    memcpy(grant.secret, options->key->secret, sizeof grant.secret);
    grant.id = options->key->id;
    grant.member = SEAL_SENDER;
    int rc = link_open(&s->link, &places, &grant, options->receivers_max, &open_error);
    explicit_bzero(&grant, sizeof grant);
    return rc;
}

static int open_sender(hermes_mirror_sender_t *s, const hermes_mirror_sender_options_t *options)
{
    static const enum sender_flow flows[] = {SENDER_ALL, SENDER_MAX, SENDER_MIN_GROUP};
    struct sender_config config = {.topic_id = options->topic_id,
                                   .epoch = s->source.log->epoch,
                                   .epoch_position = epoch_position(&s->source),
                                   .first_position = s->source.first,
                                   .end_position = log_source_end(&s->source),
                                   .multicast = options->group != NULL,
                                   .sealed = s->link.sealing != NULL,
                                   .flow = flows[options->flow],
                                   .group_tag = options->group_tag,
                                   .group_min = options->group_min,
                                   .silence_ns = options->silence_ns,
                                   .slice_bytes = options->slice_bytes,
                                   .receivers_max = options->receivers_max,
                                   .window_bytes = options->window_bytes,
                                   .bytes_per_s = options->bytes_per_s};
    struct mirror_source source = {&s->source, give_bytes, give_epoch_end};
    if (options->slice_bytes == 0 && link_address(&s->link).ss_family == AF_INET6)
        config.slice_bytes = SLICE_OVER_IPV6;
    if (getrandom(&config.seed, sizeof config.seed, 0) != sizeof config.seed ||
        getrandom(&config.incarnation, sizeof config.incarnation, 0) != sizeof config.incarnation ||
        getrandom(config.cookie_key, sizeof config.cookie_key, 0) != sizeof config.cookie_key)
        return error_say(&open_error, HERMES_EIO, "no random numbers");
    int rc = sender_open(&s->sender, &config, &source);
    return rc < 0 ? error_set(&open_error, rc, "%u receivers, window of %llu bytes, slices of %u",
                              options->receivers_max, (unsigned long long)options->window_bytes,
                              options->slice_bytes)
                  : HERMES_OK;
}

static int open_all(hermes_mirror_sender_t *s, hermes_log_t *log,
                    const hermes_mirror_sender_options_t *options)
{
    int rc = open_link(s, options);
    if (rc < 0)
        return rc;
    if ((rc = log_source_open(&s->source, embedded_log(log))) < 0)
        return error_set(&open_error, rc, "the log");
    s->has_source = true;
    s->spin_ns = options->spin_us * 1000ull;
    return open_sender(s, options);
}

int hermes_mirror_sender_open(hermes_log_t *log, const hermes_mirror_sender_options_t *given,
                              hermes_mirror_sender_t **sender)
{
    hermes_mirror_sender_options_t options;
    *sender = NULL;
    int rc = take_options(&options, given);
    if (rc < 0)
        return rc;
    hermes_mirror_sender_t *s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63); /* a reader's lines */
    if (s == NULL)
        return error_set(&open_error, HERMES_ENOMEM, "a sender");
    memset(s, 0, sizeof *s);
    if ((rc = open_all(s, log, &options)) < 0) {
        hermes_mirror_sender_close(s);
        return rc;
    }
    *sender = s;
    return HERMES_OK;
}

/* ---- running ---- */

static void take_datagram(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    hermes_mirror_sender_t *s = context;
    s->busy = true;
    if (link_slot(&s->link) == NULL)
        link_flush(&s->link);
    if (sender_receive(s->sender, clock_monotonic_ns(), from, bytes, length, link_slot(&s->link)) > 0)
        link_put(&s->link);
}

static void send_what_is_due(hermes_mirror_sender_t *s)
{
    struct mirror_packet *packet;
    uint64_t now_ns = clock_monotonic_ns();
    while ((packet = link_slot(&s->link)) != NULL && sender_next(s->sender, now_ns, packet) > 0) {
        link_put(&s->link);
        s->busy = true;
    }
    link_flush(&s->link);
}

/* What is new, a batch of what is to be sent, and what came: a message that was just appended waits for no
 * look at an empty socket. */
static bool turn(hermes_mirror_sender_t *s)
{
    bool more = log_source_follow(&s->source);
    s->busy = false;
    sender_log(s->sender, s->source.first, log_source_end(&s->source));
    if (s->ended && !more)
        sender_end(s->sender, clock_monotonic_ns());
    s->done |= sender_is_done(s->sender) && sender_listeners(s->sender)->count > 0;
    send_what_is_due(s);
    more |= link_receive(&s->link, take_datagram, s);
    bool was_there = sender_listeners(s->sender)->count > 0 || sender_counters(s->sender)->complete > 0;
    s->done |= was_there && sender_is_done(s->sender);
    link_flush(&s->link); /* answers */
    return more || s->busy;
}

uint64_t hermes_mirror_sender_patience_ns(const hermes_mirror_sender_t *s)
{
    uint64_t most_ns = sender_listeners(s->sender)->count > 0 ? LOOK_EVERY_NS : SLEEP_MOST_NS;
    uint64_t wake_ns = sender_wake_ns(s->sender), now_ns = clock_monotonic_ns();
    uint64_t left_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
    return left_ns < most_ns ? left_ns : most_ns;
}

int hermes_mirror_sender_run(hermes_mirror_sender_t *s, uint64_t timeout_ns)
{
    if (timeout_ns == 0) /* who spins reads no clock for it */
        return turn(s);
    uint64_t began_ns = clock_monotonic_ns();
    while (!turn(s)) {
        uint64_t gone_ns = clock_monotonic_ns() - began_ns;
        if (gone_ns >= timeout_ns)
            return 0;
        if (gone_ns < s->spin_ns) {
            cpu_relax();
            continue;
        }
        uint64_t patience_ns = hermes_mirror_sender_patience_ns(s), left_ns = timeout_ns - gone_ns;
        int rc = link_sleep(&s->link, left_ns < patience_ns ? left_ns : patience_ns);
        if (rc < 0)
            return error_set(&s->error, rc, "waiting");
    }
    return 1;
}

void hermes_mirror_sender_end(hermes_mirror_sender_t *s)
{
    s->ended = true;
}

/* ---- the rest ---- */

static int without_key(hermes_mirror_sender_t *s)
{
    return error_say(&s->error, HERMES_EINVALID, "a sender without a key has no members");
}

int hermes_mirror_sender_admit(hermes_mirror_sender_t *s, uint16_t member)
{
    if (s->link.sealing == NULL)
        return without_key(s);
    int rc = sealing_admit(s->link.sealing, member);
    return rc < 0 ? error_set(&s->error, rc, "member %u", member) : HERMES_OK;
}

int hermes_mirror_sender_dismiss(hermes_mirror_sender_t *s, uint16_t member)
{
    if (s->link.sealing == NULL)
        return without_key(s);
    sealing_dismiss(s->link.sealing, member);
    return HERMES_OK;
}

int hermes_mirror_sender_descriptors(const hermes_mirror_sender_t *s, int descriptors[2])
{
    return mirror_socket_descriptors(s->link.socket, descriptors);
}

int hermes_mirror_sender_describe(const hermes_mirror_sender_t *s, hermes_mirror_sender_info_t *info)
{
    static const struct seal_counters none;
    const struct sender_counters *c = sender_counters(s->sender);
    const struct seal_counters *seal = s->link.sealing == NULL ? &none : sealing_counters(s->link.sealing);
    hermes_mirror_sender_info_t all = {.size = sizeof all,
                                       .receivers = sender_listeners(s->sender)->count,
                                       .done = s->done,
                                       .position = sender_position(s->sender),
                                       .datagrams = c->datagrams,
                                       .bytes = c->bytes,
                                       .repairs = c->repairs,
                                       .repair_bytes = c->repair_bytes,
                                       .naks = c->naks,
                                       .joins = c->joins,
                                       .full = c->full,
                                       .gone = c->gone,
                                       .refused = c->refused + seal->malformed,
                                       .strange = c->strange + seal->strange,
                                       .forged = seal->forged,
                                       .repeated = seal->repeated};
    struct sockaddr_storage here = link_address(&s->link);
    all.port = link_port(&here);
    return abi_give(info, &all, sizeof all);
}

void hermes_mirror_sender_close(hermes_mirror_sender_t *s)
{
    if (s == NULL)
        return;
    sender_close(s->sender);
    if (s->has_source)
        log_source_close(&s->source);
    if (s->link.socket != NULL)
        link_close(&s->link);
    free(s);
}

const char *hermes_mirror_sender_last_error(const hermes_mirror_sender_t *s)
{
    return s == NULL ? open_error.bytes : s->error.bytes;
}
