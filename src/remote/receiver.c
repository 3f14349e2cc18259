/* hermes/mirror.h: a receiver without a broker. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/wait.h"
#include "hermes/mirror.h"
#include "mirror/receiver.h"
#include "remote/filter.h"
#include "remote/link.h"

enum {
    WINDOW_DEFAULT = 4 << 20,
    OTHERS_MAX = 255, /* members of a group whose NAKs are heard */
    FRAME_MAX = HERMES_PAYLOAD_MAX + HERMES_FRAME_ALIGNMENT,
    ARRIVES_MAX = 2 * MIRROR_SOCKET_ARRIVALS, /* datagrams at a time */
    JUMPS_MAX = ARRIVES_MAX + 2,              /* each may say once that something is gone */
    LOOK_EVERY = 64,                          /* messages, for what is due */
};

#define SLEEP_MOST_NS 1000000000u

/* Where bytes in the buffer are not those that follow. */
struct jump {
    uint64_t at;       /* in the buffer */
    uint64_t position; /* of what stands there */
    bool lost;
};

struct hermes_mirror_receiver {
    struct link link;
    struct receiver *receiver;
    /* What the state machine delivered, and was not returned yet: position is that of begin. A part of a
     * frame stays until the rest comes; nothing is received as long as there is a whole one. */
    uint8_t *buffer;
    uint64_t room, begin, end;
    uint64_t position, next_position; /* of begin; of what is delivered next */
    uint32_t epoch, jumps, jumps_taken;
    struct jump jump[JUMPS_MAX];
    uint64_t spin_ns;
    uint32_t returned; /* since it was last looked what is due */
    int failed;        /* for good */
    struct error_text error;
};

static __thread struct error_text open_error;

/* ---- the log, as it comes ---- */

static void add_jump(hermes_mirror_receiver_t *r, uint64_t position, bool lost)
{
    struct jump *last = r->jumps > 0 ? &r->jump[r->jumps - 1] : NULL;
    if (last != NULL && last->at == r->end) {
        last->position = position;
        last->lost |= lost;
    } else if (r->jumps < JUMPS_MAX) {
        r->jump[r->jumps++] = (struct jump){r->end, position, lost};
    }
    r->next_position = position;
}

/* There is room for a window more, and no more comes. */
static uint64_t take_bytes(void *context, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    hermes_mirror_receiver_t *r = context;
    if (position != r->next_position)
        add_jump(r, position, false); /* it began where the sender was */
    memcpy(r->buffer + r->end, bytes, length);
    r->end += length;
    r->next_position += length;
    return length;
}

static void take_loss(void *context, uint64_t position, uint64_t length)
{
    add_jump(context, position + length, true);
}

static void take_epoch(void *context, uint64_t position, uint32_t epoch)
{
    hermes_mirror_receiver_t *r = context;
    (void)position; /* what stands before it is final */
    r->epoch = epoch;
}

/* ---- opening ---- */

static int take_options(hermes_mirror_receiver_options_t *options,
                        const hermes_mirror_receiver_options_t *given)
{
    *options = (hermes_mirror_receiver_options_t){.size = sizeof *options};
    int rc = given == NULL ? HERMES_EINVALID : abi_take(options, sizeof *options, given);
    if (rc < 0)
        return error_set(&open_error, rc, "options of a receiver");
    if ((options->flags & ~HERMES_MIRROR_INSECURE) != 0)
        return error_say(&open_error, HERMES_ENOTSUP, "a flag that is not known");
    if (options->sender == NULL)
        return error_say(&open_error, HERMES_EINVALID, "a receiver needs a sender");
    bool insecure = options->flags & HERMES_MIRROR_INSECURE;
    if (insecure == (options->key != NULL))
        return error_say(&open_error, HERMES_EINVALID, "either a key, or HERMES_MIRROR_INSECURE");
    if (options->key != NULL && (options->key->id == 0 || options->key->member == 0))
        return error_say(&open_error, HERMES_EINVALID, "a key has an id and a member, which are not 0");
    if (options->socket_bytes > INT32_MAX || options->spin_us > LINK_SPIN_MAX_US)
        return error_say(&open_error, HERMES_EINVALID, "a socket's buffer of %u bytes, spinning for %u us",
                         options->socket_bytes, options->spin_us);
    if (options->window_bytes == 0)
        options->window_bytes = WINDOW_DEFAULT;
    return HERMES_OK;
}

static int open_link(hermes_mirror_receiver_t *r, const hermes_mirror_receiver_options_t *options)
{
    struct link_places places = {.peer = options->sender,
                                 .local = options->local,
                                 .group = options->group,
                                 .interface = options->interface,
                                 .receive_bytes = options->socket_bytes};
    struct seal_grant grant;
    if (options->key == NULL)
        return link_open(&r->link, &places, NULL, 0, &open_error);
    memcpy(grant.secret, options->key->secret, sizeof grant.secret);
    grant.id = options->key->id;
    grant.member = options->key->member;
    uint32_t members_max = options->group == NULL ? 1 : 1 + OTHERS_MAX;
    int rc = link_open(&r->link, &places, &grant, members_max, &open_error);
    explicit_bzero(&grant, sizeof grant);
    return rc;
}

static int open_receiver(hermes_mirror_receiver_t *r, const hermes_mirror_receiver_options_t *options)
{
    struct receiver_config config = {.topic_id = options->topic_id,
                                     .sender = r->link.peer,
                                     .position = options->position,
                                     .epoch = options->epoch,
                                     .multicast = options->group != NULL,
                                     .sealed = r->link.sealing != NULL,
                                     .tag = options->tag,
                                     .silence_ns = options->silence_ns,
                                     .window_bytes = options->window_bytes};
    struct mirror_sink sink = {r, take_bytes, take_loss, take_epoch};
    if (getrandom(&config.seed, sizeof config.seed, 0) != sizeof config.seed)
        return error_say(&open_error, HERMES_EIO, "no random numbers");
    int rc = receiver_open(&r->receiver, &config, &sink);
    if (rc < 0)
        return error_set(&open_error, rc, "position %llu, window of %llu bytes",
                         (unsigned long long)options->position, (unsigned long long)options->window_bytes);
    r->position = r->next_position = options->position;
    r->epoch = options->epoch;
    r->spin_ns = options->spin_us * 1000ull;
    uint64_t sockets = options->group == NULL ? 1 : 2;
    r->room = FRAME_MAX + options->window_bytes + sockets * MIRROR_SOCKET_ARRIVALS_BYTES;
    r->buffer = aligned_alloc(HERMES_FRAME_ALIGNMENT, r->room);
    return r->buffer == NULL ? error_set(&open_error, HERMES_ENOMEM, "a buffer") : HERMES_OK;
}

int hermes_mirror_receiver_open(const hermes_mirror_receiver_options_t *given,
                                hermes_mirror_receiver_t **receiver)
{
    hermes_mirror_receiver_options_t options;
    *receiver = NULL;
    int rc = take_options(&options, given);
    if (rc < 0)
        return rc;
    hermes_mirror_receiver_t *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_set(&open_error, HERMES_ENOMEM, "a receiver");
    rc = open_link(r, &options);
    if (rc == 0)
        rc = open_receiver(r, &options);
    if (rc < 0) {
        hermes_mirror_receiver_close(r);
        return rc;
    }
    *receiver = r;
    return HERMES_OK;
}

/* ---- the network ---- */

static void take_datagram(void *context, const struct mirror_address *from, const void *bytes, size_t length)
{
    hermes_mirror_receiver_t *r = context;
    (void)receiver_receive(r->receiver, clock_monotonic_ns(), from, bytes, length);
}

static void say_what_is_due(hermes_mirror_receiver_t *r)
{
    struct mirror_packet *packet;
    uint64_t now_ns = clock_monotonic_ns();
    while ((packet = link_slot(&r->link)) != NULL && receiver_next(r->receiver, now_ns, packet) > 0)
        link_put(&r->link);
    link_flush(&r->link);
}

/* A part of a frame, if there is one, goes to the beginning of the buffer. */
static void compact(hermes_mirror_receiver_t *r)
{
    memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
    for (uint32_t i = r->jumps_taken; i < r->jumps; i++) {
        r->jump[i - r->jumps_taken] = r->jump[i];
        r->jump[i - r->jumps_taken].at -= r->begin;
    }
    r->jumps -= r->jumps_taken;
    r->jumps_taken = 0;
    r->end -= r->begin;
    r->begin = 0;
}

static void receive(hermes_mirror_receiver_t *r)
{
    compact(r);
    (void)link_receive(&r->link, take_datagram, r);
    if (mirror_socket_overflows(r->link.socket) > 0)
        receiver_overflowed(r->receiver, clock_monotonic_ns());
    say_what_is_due(r);
}

/* ---- messages ---- */

static int fail(hermes_mirror_receiver_t *r, int error, const char *what)
{
    r->failed = error;
    return error_say(&r->error, error, "%s at position %llu", what, (unsigned long long)r->position);
}

/* Up to where bytes follow one another. */
static uint64_t run_end(const hermes_mirror_receiver_t *r)
{
    return r->jumps_taken < r->jumps ? r->jump[r->jumps_taken].at : r->end;
}

/* What stands before is not going to be whole. */
static int take_jump(hermes_mirror_receiver_t *r)
{
    const struct jump *jump = &r->jump[r->jumps_taken++];
    r->begin = jump->at;
    r->position = jump->position;
    return jump->lost ? error_say(&r->error, HERMES_EGONE, "the sender goes on at position %llu",
                                  (unsigned long long)jump->position)
                      : 0;
}

/* 1: a message; 0: a frame that is none; HERMES_EAGAIN: the frame is not whole. */
static int take_frame(hermes_mirror_receiver_t *r, hermes_message_t *message)
{
    const hermes_header_t *header = (const void *)(r->buffer + r->begin);
    uint64_t there = run_end(r) - r->begin, position = r->position;
    if (there < HERMES_HEADER_BYTES)
        return HERMES_EAGAIN;
    if (hermes_message_decode(header, HERMES_HEADER_BYTES + HERMES_PAYLOAD_MAX) < 0)
        return fail(r, HERMES_EMALFORMED, "what came is no frame");
    uint64_t bytes = hermes_frame_bytes(header->length);
    if (there < bytes)
        return HERMES_EAGAIN;
    r->begin += bytes;
    r->position += bytes;
    if (header->type != HERMES_TYPE_DATA)
        return 0;
    int rc = hermes_message_verify(header, header + 1, bytes);
    if (rc < 0)
        return error_set(&r->error, rc, "the message at position %llu", (unsigned long long)position);
    *message = (hermes_message_t){.position = position,
                                  .sequence = header->sequence,
                                  .timestamp = header->timestamp,
                                  .payload = header + 1,
                                  .length = header->length,
                                  .flags = header->flags};
    return 1;
}

/* 1, or an error; 0: nothing more is there. */
static int next_message(hermes_mirror_receiver_t *r, hermes_message_t *message)
{
    for (;;) {
        int rc = take_frame(r, message);
        if (rc == HERMES_EAGAIN && r->jumps_taken == r->jumps)
            return 0;
        if (rc == HERMES_EAGAIN)
            rc = take_jump(r);
        if (rc != 0)
            return rc;
    }
}

/* Nothing is left of what came. */
static int at_end(hermes_mirror_receiver_t *r)
{
    switch (receiver_state(r->receiver)) {
    case RECEIVER_ENDED:
        return error_say(&r->error, HERMES_ECLOSED, "the log has ended");
    case RECEIVER_DIVERGED:
        return fail(r, HERMES_EFENCED, "the sender's log is another");
    default:
        return 0;
    }
}

int hermes_mirror_receiver_poll(hermes_mirror_receiver_t *r, hermes_message_t *message)
{
    if (r->failed < 0)
        return r->failed;
    int rc = next_message(r, message);
    if (rc != 0) {
        bool look = ++r->returned % LOOK_EVERY == 0;
        if (look && clock_monotonic_ns() >= receiver_wake_ns(r->receiver))
            say_what_is_due(r);
        return rc;
    }
    receive(r);
    rc = next_message(r, message);
    return rc != 0 ? rc : at_end(r);
}

uint64_t hermes_mirror_receiver_patience_ns(const hermes_mirror_receiver_t *r)
{
    uint64_t wake_ns = receiver_wake_ns(r->receiver), now_ns = clock_monotonic_ns();
    uint64_t left_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
    return left_ns < SLEEP_MOST_NS ? left_ns : SLEEP_MOST_NS;
}

int hermes_mirror_receiver_wait(hermes_mirror_receiver_t *r, hermes_message_t *message, uint64_t timeout_ns)
{
    uint64_t began_ns = clock_monotonic_ns();
    for (;;) {
        int rc = hermes_mirror_receiver_poll(r, message);
        if (rc != 0)
            return rc;
        uint64_t gone_ns = clock_monotonic_ns() - began_ns;
        if (gone_ns >= timeout_ns)
            return 0;
        if (gone_ns < r->spin_ns) {
            cpu_relax();
            continue;
        }
        uint64_t patience_ns = hermes_mirror_receiver_patience_ns(r), left_ns = timeout_ns - gone_ns;
        rc = link_sleep(&r->link, left_ns < patience_ns ? left_ns : patience_ns);
        if (rc < 0)
            return error_set(&r->error, rc, "waiting");
    }
}

/* ---- the rest ---- */

void remote_filter(hermes_mirror_receiver_t *r, mirror_socket_loses *loses, void *context)
{
    mirror_socket_filter(r->link.socket, loses, context);
}

int hermes_mirror_receiver_descriptors(const hermes_mirror_receiver_t *r, int descriptors[2])
{
    return mirror_socket_descriptors(r->link.socket, descriptors);
}

void hermes_mirror_receiver_place(const hermes_mirror_receiver_t *r, uint64_t *position, uint32_t *epoch)
{
    *position = r->position;
    *epoch = r->epoch;
}

int hermes_mirror_receiver_describe(const hermes_mirror_receiver_t *r, hermes_mirror_receiver_info_t *info)
{
    static const struct seal_counters none;
    const struct receiver_counters *c = receiver_counters(r->receiver);
    const struct seal_counters *seal = r->link.sealing == NULL ? &none : sealing_counters(r->link.sealing);
    hermes_mirror_receiver_info_t all = {.size = sizeof all,
                                         .state = (uint32_t)receiver_state(r->receiver),
                                         .sealed = r->link.sealing != NULL,
                                         .datagrams = c->datagrams,
                                         .bytes = c->bytes,
                                         .missed = c->missed,
                                         .missed_bytes = c->missed_bytes,
                                         .late = c->late,
                                         .lost_bytes = c->lost_bytes,
                                         .duplicates = c->duplicates,
                                         .beyond = c->beyond,
                                         .naks = c->naks,
                                         .joins = c->joins,
                                         .overflows = c->overflows,
                                         .refused = c->refused + seal->malformed,
                                         .strange = c->strange + seal->strange,
                                         .forged = seal->forged,
                                         .repeated = seal->repeated};
    return abi_give(info, &all, sizeof all);
}

void hermes_mirror_receiver_close(hermes_mirror_receiver_t *r)
{
    if (r == NULL)
        return;
    if (r->receiver != NULL && r->link.socket != NULL) {
        receiver_leave(r->receiver, clock_monotonic_ns());
        say_what_is_due(r);
    }
    receiver_close(r->receiver);
    link_close(&r->link);
    free(r->buffer);
    free(r);
}

const char *hermes_mirror_receiver_last_error(const hermes_mirror_receiver_t *r)
{
    return r == NULL ? open_error.bytes : r->error.bytes;
}
