/*
 * Publishing. On an exclusive topic a publisher writes the topic's window itself; else a ring of its own that
 * the broker's sequencer empties. The steps are the same (log/publish.h); what differs is the gate.
 */
#include <inttypes.h>
#include <string.h>

#include "client/patience.h"
#include "client/publisher.h"

/* A publisher that sleeps looks this often whether its broker lives. */
static const uint64_t look_ns = 10000000;
/* So long a message that is out already may take to greet a broker. */
static const uint64_t greeting_ns = 20000000;

void hermes_publisher_set_wait(hermes_publisher_t *p, uint64_t wait_ns)
{
    p->wait_ns = wait_ns;
}

int publisher_claim_is_open(struct hermes_publisher *p)
{
    return error_say(&p->client->error, HERMES_EINVALID,
                     "topic '%s': a claim is open; commit or abort it first", p->topic);
}

static int no_time(struct hermes_publisher *p, uint64_t timestamp_ns)
{
    return error_say(&p->client->error, HERMES_EINVALID,
                     "topic '%s': %" PRIu64
                     " is no time stamp: that is 1 to 9223372036854775807 ns since 1970",
                     p->topic, timestamp_ns);
}

/* The time that a message has: the given one, or (0) now. */
static inline uint64_t time_of(struct hermes_publisher *p, uint64_t given_ns)
{
    return given_ns != 0 ? given_ns : hermes_clock_now(&p->clock);
}

void publisher_tell(const struct hermes_publisher *p)
{
    told_write(&p->tells,
               (const uint64_t[TOLD_VALUES]){[TOLD_REFUSED] = p->refused, [TOLD_WAITS] = p->waits});
}

/* ---- after a commit ---- */

/* All that was committed is in the window or ring, and will be in the topic; a broker that is new, or has
 * given the ring up, is greeted at once or by the next call. */
static int greet(struct hermes_publisher *p, uint64_t until_ns)
{
    uint64_t accepted = publisher_accepted(p), soon_ns = clock_deadline_ns(greeting_ns);
    if (p->asked.type != 0) /* it does not answer at once: no message waits for it a second time */
        soon_ns = 0;
    (void)publisher_settle(p, soon_ns < until_ns ? soon_ns : until_ns);
    return publisher_accepted(p) < accepted ? publisher_tell_over(p) : HERMES_OK;
}

/*
 * A commit after which not everything is as it was; rc is what window_after_commit() said, messages how many
 * it told of. HERMES_OK: they are in, or will be, and *sequence is the last one's, 0 where that is not known
 * yet. HERMES_EDISCONNECTED: they go out once there is a broker. HERMES_EFENCED: not all of them are in.
 */
static int settle_commit(struct hermes_publisher *p, int rc, uint64_t messages, uint64_t until_ns,
                         uint64_t *sequence)
{
    if (p->outflow != NULL)
        return publisher_hand_over(p, until_ns, sequence);
    *sequence = p->writer.sequence - 1;
    if (rc == 0) {
        rc = greet(p, until_ns);
        *sequence = rc == 0 ? *sequence : 0;
        return rc;
    }
    uint64_t last = publisher_accepted(p);
    p->unsettled = true;
    p->doubtful = messages;
    struct patience patience = patience_until(until_ns);
    for (;;) {
        rc = publisher_settle(p, until_ns);
        if (p->settled >= last) /* in the epoch that was sealed */
            return HERMES_OK;
        if (rc == 0) {
            *sequence = p->writer.sequence - 1;
            return HERMES_OK;
        }
        if (p->over == 0 && patience_wait(&patience))
            continue;
        *sequence = 0;
        return p->over != 0
                   ? publisher_tell_over(p)
                   : error_say(&p->client->error, HERMES_EDISCONNECTED,
                               "topic '%s': no broker came back; what was published last goes out when "
                               "one does",
                               p->topic);
    }
}

/* ---- before one ---- */

static bool waits_for_readers(const struct hermes_publisher *p, uint64_t *wanted)
{
    return !p->unsettled && window_waits_for_readers(&p->writer, wanted);
}

/* The time is up. */
static int no_room(struct hermes_publisher *p)
{
    struct error_text *text = &p->client->error, why = *text;
    uint64_t wanted;
    p->refused++;
    publisher_tell(p);
    if (waits_for_readers(p, &wanted))
        return error_say(text, HERMES_EAGAIN, "topic '%s': a subscriber that is waited for is behind",
                         p->topic);
    if (!channel_is_up(&p->client->channel))
        return error_say(text, HERMES_EAGAIN, "topic '%s': no broker came back", p->topic);
    if (p->unsettled)
        return error_say(text, HERMES_EAGAIN, "topic '%s' takes nothing yet (%.300s)", p->topic, why.bytes);
    return error_say(text, HERMES_EAGAIN,
                     "topic '%s' has no room (a full disk, or a subscriber that is waited for?)", p->topic);
}

static int no_disk(struct hermes_publisher *p)
{
    p->refused++;
    publisher_tell(p);
    return error_set(&p->client->error, HERMES_EFULL, "topic '%s'", p->topic);
}

/* Once for each call. */
static void count_wait(struct hermes_publisher *p, struct patience *patience)
{
    if (patience->is_counted)
        return;
    patience->is_counted = true;
    p->waits++;
    publisher_tell(p);
}

/* No message could be committed, for rc. HERMES_OK: try again; or the error to report. */
static int make_way(struct hermes_publisher *p, int rc, struct patience *patience)
{
    struct hermes_client *client = p->client;
    if (p->claimed != NULL)
        return publisher_claim_is_open(p);
    if (rc == HERMES_ETOOLARGE || rc == HERMES_EINVALID)
        return error_set(&client->error, rc, "payload for topic '%s'", p->topic);
    bool was_unsettled = p->unsettled;
    if (!publisher_is_settled(p) || !channel_is_up(&client->channel))
        (void)publisher_settle(p, patience->until_ns);
    if (p->over != 0)
        return publisher_tell_over(p);
    if (was_unsettled && !p->unsettled)
        return HERMES_OK;
    if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_FAILED)
        return error_set(&client->error, HERMES_EIO, "the store of topic '%s' failed: %s", p->topic,
                         hermes_strerror(-(int)atomic_load(&p->status->error)));
    if (atomic_load_explicit(&p->status->full, memory_order_relaxed) != 0 &&
        atomic_load_explicit(&p->status->full_waits, memory_order_relaxed) == 0)
        return no_disk(p);
    uint64_t left = clock_left_ns(patience->until_ns), wanted;
    if (left > 0)
        count_wait(p, patience);
    if (p->outflow != NULL && left > 0) {
        if (!outflow_take_news(p->outflow))
            outflow_sleep(p->outflow, left);
    } else if (left > 0 && waits_for_readers(p, &wanted))
        readers_wait(p->writer.readers, wanted, left < look_ns ? left : look_ns);
    else if (!patience_wait(patience))
        return no_room(p);
    return HERMES_OK;
}

/* ---- publishing ---- */

/* Waits until there is room, or a broker, and then publishes. */
static int publish_patiently(struct hermes_publisher *p, const void *payload, size_t length,
                             uint64_t given_ns, int rc, uint64_t until_ns, uint64_t *sequence)
{
    struct patience patience = patience_until(until_ns);
    int wrong = publish_check(payload, length);
    rc = wrong < 0 ? wrong : rc; /* what it is refused for does not pass */
    *sequence = 0;
    for (;;) {
        int stop = make_way(p, rc, &patience);
        if (stop < 0)
            return stop;
        rc = HERMES_EAGAIN;
        if (!p->unsettled)
            rc = publish_one(&p->writer, payload, length, time_of(p, given_ns), p->crc);
        if (rc == HERMES_EFENCED || (rc == 0 && p->writer.owner_changed))
            return settle_commit(p, rc, 1, until_ns, sequence);
        if (rc == 0) {
            *sequence = p->writer.sequence - 1;
            return HERMES_OK;
        }
    }
}

/* A publish that was not plainly right. */
__attribute__((noinline)) static int publish_slow(struct hermes_publisher *p, const void *payload,
                                                  size_t length, uint64_t given_ns, int rc, bool confirms,
                                                  uint64_t *sequence)
{
    uint64_t until_ns = clock_deadline_ns(p->wait_ns), number;
    if (rc == 0 || rc == HERMES_EFENCED)
        rc = settle_commit(p, rc, 1, until_ns, &number);
    else
        rc = publish_patiently(p, payload, length, given_ns, rc, until_ns, &number);
    if (sequence != NULL)
        *sequence = number;
    return confirms && rc == 0 ? publisher_await(p, UINT64_MAX, HERMES_DURABLE, until_ns) : rc;
}

/* A publish to a sync topic is complete when this is. */
static int confirm(struct hermes_publisher *p)
{
    return publisher_await(p, UINT64_MAX, HERMES_DURABLE, clock_deadline_ns(p->wait_ns));
}

/* given_ns: a time that is one, or 0: now. */
__attribute__((always_inline)) static inline int publish(struct hermes_publisher *p, const void *payload,
                                                         size_t length, uint64_t given_ns, bool confirms,
                                                         uint64_t *sequence)
{
    int rc = HERMES_EAGAIN;
    if (__builtin_expect(!p->unsettled, 1))
        rc = publish_one(&p->writer, payload, length, time_of(p, given_ns), p->crc);
    if (__builtin_expect(rc < 0 || p->writer.owner_changed, 0))
        return publish_slow(p, payload, length, given_ns, rc, confirms, sequence);
    if (sequence != NULL)
        *sequence = p->writer.sequence - 1;
    return __builtin_expect(confirms, 0) ? confirm(p) : rc;
}

int hermes_publish(hermes_publisher_t *p, const void *payload, size_t length, uint64_t *sequence)
{
    return publish(p, payload, length, 0, p->confirms, sequence);
}

int hermes_publish_at(hermes_publisher_t *p, uint64_t timestamp_ns, const void *payload, size_t length,
                      uint64_t *sequence)
{
    if (__builtin_expect(!publish_is_time(timestamp_ns), 0))
        return no_time(p, timestamp_ns);
    return publish(p, payload, length, timestamp_ns, p->confirms, sequence);
}

static bool slice_is_legal(const hermes_slice_t *slice)
{
    return slice->length <= HERMES_PAYLOAD_MAX && (slice->data != NULL || slice->length == 0);
}

/* What times says of message i; NULL: they are all of now. */
static inline bool time_is_legal(const uint64_t *times_ns, size_t i)
{
    return times_ns == NULL || publish_is_time(times_ns[i]);
}

/*
 * What is left of a batch, and what became of the part that was committed: the last `messages` of it with rc.
 * Says how many were taken, however it ended; only for none there is an error.
 */
__attribute__((noinline)) static int64_t batch_slow(struct hermes_publisher *p, const hermes_slice_t *slices,
                                                    const uint64_t *times_ns, size_t count, size_t done,
                                                    size_t messages, int rc)
{
    uint64_t before = publisher_accepted(p) - done, until_ns = clock_deadline_ns(p->wait_ns), number;
    if (rc == HERMES_EFENCED || (rc == 0 && p->writer.owner_changed))
        rc = settle_commit(p, rc, messages, until_ns, &number);
    else
        rc = HERMES_OK;
    /* What did not fit goes the slow way, which waits, and names the error if there is one. */
    for (; rc == 0 && done < count; done++)
        rc = time_is_legal(times_ns, done) ? publish(p, slices[done].data, slices[done].length,
                                                     times_ns != NULL ? times_ns[done] : 0, false, NULL)
                                           : no_time(p, times_ns[done]);
    uint64_t after = publisher_accepted(p);
    if (after <= before)
        return rc;
    rc = HERMES_OK;
    if (p->confirms) /* what is in counts as published when it is durable, whatever stopped the others */
        rc = publisher_await(p, p->over != 0 ? p->confirmed[HERMES_COMMITTED] : UINT64_MAX, HERMES_DURABLE,
                             until_ns);
    return rc < 0 ? rc : (int64_t)(after - before);
}

__attribute__((always_inline)) static inline int64_t publish_batch(struct hermes_publisher *p,
                                                                   const hermes_slice_t *slices,
                                                                   const uint64_t *times_ns, size_t count)
{
    uint64_t now = times_ns != NULL ? 0 : hermes_clock_now(&p->clock);
    size_t done = 0, checked = 0, last = 0;
    const size_t step = p->batch_step;
    int rc = HERMES_OK;
    /* Each is committed by itself, so readers begin at once; what follows a commit is done once a step. */
    while (rc == 0 && !p->unsettled && done < count && slice_is_legal(&slices[done]) &&
           time_is_legal(times_ns, done)) {
        uint32_t length = (uint32_t)slices[done].length;
        uint64_t bytes = hermes_frame_bytes(length);
        uint8_t *frame = window_reserve(&p->writer, bytes, &rc);
        if (frame == NULL)
            break;
        uint64_t word = publish_fill(frame, slices[done].data, length, p->writer.sequence,
                                     times_ns != NULL ? times_ns[done] : now, p->crc);
        window_commit(&p->writer, word, bytes, 1);
        if (++done - checked == step || done == count) {
            last = done - checked;
            checked = done;
            rc = window_after_commit(&p->writer);
        }
    }
    if (checked < done) {
        last = done - checked;
        rc = window_after_commit(&p->writer);
    }
    if (__builtin_expect(done < count || rc < 0 || p->writer.owner_changed, 0))
        return batch_slow(p, slices, times_ns, count, done, last, rc);
    if (p->confirms && count > 0 && (rc = confirm(p)) < 0)
        return rc;
    return (int64_t)count;
}

int64_t hermes_publish_batch(hermes_publisher_t *p, const hermes_slice_t *slices, size_t count)
{
    return publish_batch(p, slices, NULL, count);
}

int64_t hermes_publish_batch_at(hermes_publisher_t *p, const uint64_t *timestamps_ns,
                                const hermes_slice_t *slices, size_t count)
{
    return timestamps_ns == NULL && count > 0 ? no_time(p, 0)
                                              : publish_batch(p, slices, timestamps_ns, count);
}

/* ---- claims ---- */

int hermes_claim(hermes_publisher_t *p, size_t length, void **payload)
{
    if (length > HERMES_PAYLOAD_MAX)
        return error_set(&p->client->error, HERMES_ETOOLARGE, "claim on topic '%s'", p->topic);
    uint8_t *frame = NULL;
    struct patience patience = {.until_ns = 0};
    for (;;) {
        int rc = HERMES_EAGAIN;
        if (!p->unsettled)
            frame = window_reserve(&p->writer, hermes_frame_bytes((uint32_t)length), &rc);
        if (frame != NULL)
            break;
        if (patience.until_ns == 0)
            patience = patience_until(clock_deadline_ns(p->wait_ns));
        if ((rc = make_way(p, rc, &patience)) < 0)
            return rc;
    }
    p->unsettled = true;
    p->claimed = frame;
    p->claimed_length = (uint32_t)length;
    *payload = frame + HERMES_HEADER_BYTES;
    return HERMES_OK;
}

__attribute__((always_inline)) static inline int commit(struct hermes_publisher *p, uint64_t given_ns,
                                                        uint64_t *sequence)
{
    if (p->claimed == NULL)
        return error_say(&p->client->error, HERMES_EINVALID, "commit without a claim");
    uint64_t word =
        publish_fill(p->claimed, NULL, p->claimed_length, p->writer.sequence, time_of(p, given_ns), p->crc);
    window_commit(&p->writer, word, hermes_frame_bytes(p->claimed_length), 1);
    p->claimed = NULL;
    p->unsettled = false;
    uint64_t number = p->writer.sequence - 1;
    int rc = window_after_commit(&p->writer);
    if (__builtin_expect(rc < 0 || p->writer.owner_changed, 0))
        rc = settle_commit(p, rc, 1, clock_deadline_ns(p->wait_ns), &number);
    if (sequence != NULL)
        *sequence = number;
    return p->confirms && rc == 0 ? confirm(p) : rc;
}

int hermes_commit(hermes_publisher_t *p, uint64_t *sequence)
{
    return commit(p, 0, sequence);
}

int hermes_commit_at(hermes_publisher_t *p, uint64_t timestamp_ns, uint64_t *sequence)
{
    return publish_is_time(timestamp_ns) ? commit(p, timestamp_ns, sequence) : no_time(p, timestamp_ns);
}

void hermes_abort(hermes_publisher_t *p)
{
    if (p->claimed == NULL)
        return;
    window_abort(p->claimed, p->claimed_length);
    p->claimed = NULL;
    p->unsettled = false;
}
