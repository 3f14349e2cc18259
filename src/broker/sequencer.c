#include "broker/sequencer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/note.h"

enum {
    BATCH = 64
}; /* frames from one ring before the next one has its turn, or half a window of them: what
      stands behind the journal's position must not be overwritten */

/* A log that has no room is looked at again after so long, and then after twice as long: nobody rings. */
static const uint64_t blocked_ns = 100000, longest_blocked_ns = 2000000;

/* A ring's turn ends after so many bytes, that of all after so many: others wait for the loop. Small messages
 * cost most: 1,024 of them 100 us, and five times that from a core that is far away. */
enum { DRAIN_BYTES = 64 * 1024, TURN_BYTES = 64 * 1024 };

/* ---- rings ---- */

static uint64_t ring_bytes(const struct broker *broker)
{
    return WINDOW_HEADER_BYTES + broker->config.ring_bytes;
}

static int take_share(struct broker *broker, uid_t uid, struct error_text *text)
{
    int rc = principal_take(&broker->principals, uid, HOLDS_RINGS, 1, text);
    if (rc < 0)
        return rc;
    rc = principal_take(&broker->principals, uid, HOLDS_MEMORY, ring_bytes(broker), text);
    if (rc < 0)
        principal_give_back(&broker->principals, uid, HOLDS_RINGS, 1);
    return rc;
}

static void give_back_share(struct broker *broker, uid_t uid)
{
    principal_give_back(&broker->principals, uid, HOLDS_RINGS, 1);
    principal_give_back(&broker->principals, uid, HOLDS_MEMORY, ring_bytes(broker));
}

/* That we run again is all that it means. */
static void woken(struct poller_op *op, int result)
{
    (void)op;
    (void)result;
}

static struct ring *of_job(struct job *job)
{
    return (struct ring *)(void *)((char *)job - offsetof(struct ring, job));
}

static void unmake(struct job *job)
{
    struct ring *ring = of_job(job);
    map_release(&ring->map);
    if (ring->fd >= 0)
        close(ring->fd);
    if (ring->eventfd >= 0)
        close(ring->eventfd);
}

static void unmade(struct job *job)
{
    free(of_job(job));
}

/* Nothing is under way for it any more. Its share is free at once: whoever takes it has a ring made behind
 * this job. */
static void ring_gone(struct poller_owner *owner)
{
    struct ring *ring = (struct ring *)(void *)((char *)owner - offsetof(struct ring, owner));
    give_back_share(ring->broker, ring->uid);
    ring->job = (struct job){.work = unmake, .done = unmade, .whose = broker_whose(ring->uid)};
    if (ring->broker->stopping) { /* there may be no worker any more, and nobody waits */
        unmake(&ring->job);
        unmade(&ring->job);
    } else {
        workers_submit(&ring->broker->workers, NULL, &ring->job);
    }
}

int ring_new(struct session *session, struct ring **out, struct error_text *text)
{
    struct broker *broker = session->broker;
    int rc = take_share(broker, session->uid, text);
    if (rc < 0)
        return rc;
    struct ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        give_back_share(broker, session->uid);
        return error_set(text, HERMES_ENOMEM, "a producer's ring");
    }
    ring->broker = broker;
    ring->uid = session->uid;
    ring->fd = ring->eventfd = -1;
    ring->owner.gone = ring_gone;
    ring->wake = (struct poller_op){.done = woken, .owner = &ring->owner};
    *out = ring;
    return HERMES_OK;
}

int ring_make(struct ring *ring, struct error_text *text)
{
    uint64_t capacity = ring->broker->config.ring_bytes;
    int rc = map_create_memfd("hermes-ring", WINDOW_HEADER_BYTES + capacity, &ring->map, &ring->fd);
    if (rc < 0)
        return error_set(text, rc, "a producer's ring of %" PRIu64 " bytes", capacity);
    ring->mask = capacity - 1;
    ring->eventfd = eventfd(0, EFD_CLOEXEC);
    return ring->eventfd < 0 ? error_set_errno(text, "make", "an eventfd") : HERMES_OK;
}

void ring_free(struct ring *ring)
{
    poller_cancel(ring->broker->poller, &ring->wake);
    poller_leave(&ring->owner); /* its memory goes when nothing is under way for it */
}

/* ---- lines ---- */

/* Whoever lost its ring with a broker has reason to ask, and is asked to be quick: its line goes last. */
static uint64_t age_of(const struct topic *topic, int line)
{
    bool lost = atomic_load(&topic->log.status->rings[line].ended) == RING_LOST;
    return lost ? UINT64_MAX : topic->ring_ends[line];
}

/* A line that is free; else the one whose ring ended longest ago: its producer did not ask so far. */
static int choose_line(const struct topic *topic)
{
    int found = -1;
    for (int i = 0; i < STATUS_RINGS; i++) {
        if (topic->rings[i] != NULL)
            continue;
        if (atomic_load(&topic->log.status->rings[i].id) == 0)
            return i;
        if (found < 0 || age_of(topic, i) < age_of(topic, found))
            found = i;
    }
    return found;
}

/* Whose line it was is known by the log from now on: once that is stored. */
static void free_line(struct topic *topic, unsigned line)
{
    struct status_ring *former = &topic->log.status->rings[line];
    uint64_t position = atomic_load(&former->log_position);
    if (atomic_load(&former->id) != 0 && position > topic->unlisted)
        topic->unlisted = position;
    atomic_store(&former->id, 0);
}

/* A ring that goes on from another has its id, and both have lines if we died in between. */
int sequencer_find_line(const struct topic *topic, uint64_t id)
{
    const struct status_ring *rings = topic->log.status->rings;
    int found = -1;
    for (int i = 0; i < STATUS_RINGS; i++)
        if (atomic_load(&rings[i].id) == id &&
            (found < 0 ||
             atomic_load(&rings[i].consumed_sequence) > atomic_load(&rings[found].consumed_sequence)))
            found = i;
    return found;
}

void sequencer_free_line(struct topic *topic, uint32_t line, uint64_t id)
{
    if (line >= STATUS_RINGS || topic->rings[line] != NULL)
        return;
    const struct status_ring *former = &topic->log.status->rings[line];
    if (atomic_load(&former->id) == id &&
        atomic_load(&former->origin) == 0) /* one from afar asks for it itself */
        free_line(topic, line);
}

static void begin_line(struct topic *topic, struct ring *ring)
{
    struct status_ring *line = &topic->log.status->rings[ring->index];
    free_line(topic, ring->index);
    atomic_store(&line->consumed, 0);
    atomic_store(&line->consumed_sequence, ring->sequence - 1);
    atomic_store(&line->log_position, topic->log.writer.position);
    atomic_store(&line->log_sequence, topic->log.writer.sequence - 1);
    atomic_store(&line->refused, 0);
    atomic_store(&line->ended, RING_TAKEN_FROM);
    atomic_store(&line->origin, 0);
    atomic_store(&topic->log.status->ring_marks[ring->index], ring->id);
}

int sequencer_add_ring(struct topic *topic, struct ring *ring, struct session *session, uint64_t sequence,
                       struct error_text *text)
{
    struct broker *broker = ring->broker;
    int line = choose_line(topic);
    if (line < 0)
        return error_set(text, HERMES_ELIMIT, "topic '%s' has %d publishers", topic->name, STATUS_RINGS);
    /* Its producer holds it, too, and may fill it or change its flags: it is watched, and never read. */
    int rc = poller_watch(broker->poller, &ring->wake, ring->eventfd);
    if (rc < 0)
        return error_set(text, rc, "cannot watch an eventfd");
    ring->topic = topic;
    ring->session = session;
    ring->index = (unsigned)line;
    ring->sequence = sequence;
    if (ring->id == 0)
        ring->id = broker_next_id(broker);
    window_init(ring->map.address, ring->mask + 1, topic->id, 0, 0, sequence, !broker->membarrier);
    ring->data = ((struct window *)ring->map.address)->data;
    begin_line(topic, ring);
    topic->rings[line] = ring;
    topic->ring_count++;
    broker->rings++;
    broker->blocked_ns = blocked_ns;
    return HERMES_OK;
}

void sequencer_keep_line(struct ring *ring)
{
    struct status *status = ring->topic->log.status;
    int former = sequencer_find_line(ring->topic, ring->id);
    ring->keeps_line = true;
    atomic_store(&status->rings[ring->index].id, ring->id);
    if (former >= 0)
        atomic_store(&status->rings[former].id, 0);
}

/* ---- turning ---- */

static void condemn(struct ring *ring, int error)
{
    ring->condemned = true;
    topic_count_refused(ring->topic);
    atomic_store(&ring->topic->log.status->rings[ring->index].refused, (uint32_t)-error);
    note("topic '%s': a publisher sent a malformed frame (%s) and is cut off", ring->topic->name,
         hermes_error_name(error));
    if (ring->session != NULL)
        session_end(ring->session);
}

/* Who sequences: the broker, and no job has the log. */
static bool may_write(const struct topic *topic)
{
    return !queue_is_busy(&topic->turns) &&
           atomic_load_explicit(&topic->log.status->writer, memory_order_relaxed) == WRITER_OWNER;
}

static bool has_more(const struct ring *ring)
{
    return !ring->condemned && (!ring->left || ring->position < ring->until) &&
           atomic_load_explicit(
               (const _Atomic uint64_t *)(const void *)(ring->data + (ring->position & ring->mask)),
               memory_order_relaxed) != 0;
}

/* Persister or readers are behind: producers wait at their own gates. That readers are is said for them. */
static int wait_for_room(struct topic *topic)
{
    uint64_t wanted;
    topic->blocked = true;
    if (window_waits_for_readers(&topic->log.writer, &wanted))
        readers_say_wait(topic->log.writer.readers, wanted);
    return POLL_EMPTY;
}

static void go_on(struct topic *topic)
{
    topic->blocked = false;
    if (topic->readers != NULL)
        readers_forget_wait(topic->readers);
}

/* One frame from the ring to the log. POLL_EMPTY: none, or no room in the log; else a window_poll(). */
static int take_frame(struct ring *ring)
{
    struct window_writer *writer = &ring->topic->log.writer;
    hermes_header_t header;
    uint64_t bytes;
    int rc = window_poll(ring->data, ring->mask, ring->position, &header, &bytes);
    if (rc <= POLL_EMPTY)
        return rc;
    if (rc == POLL_DATA) {
        if (header.sequence != ring->sequence)
            return HERMES_EMALFORMED;
        uint8_t *frame = window_reserve(writer, bytes, &rc);
        if (frame == NULL)
            return wait_for_room(ring->topic);
        if (ring->topic->blocked)
            go_on(ring->topic);
        window_payload_in(frame, bytes, ring->data + (ring->position & ring->mask) + HERMES_HEADER_BYTES,
                          header.length);
        hermes_message_restamp(&header, writer->sequence, header.timestamp);
        window_header_in(frame, header.sequence, header.timestamp, header.length, header.crc);
        window_commit(writer, hermes_commit_word(HERMES_TYPE_DATA, header.flags), bytes, 1);
        ring->sequence++;
        rc = POLL_DATA;
    }
    ring->position += bytes;
    return rc;
}

static bool has_origin(const struct ring *ring)
{
    return ring->is_fed && ring->topic->durability != DURABILITY_MEMORY;
}

/*
 * The place of an ORIGIN frame, in front of what the loop's own ring has for a stored log; NULL: there is no
 * room. It is committed behind the messages that it speaks of: so a batch becomes visible as a whole, and how
 * many they are is known by then.
 */
static uint8_t *begin_origin(struct window_writer *writer)
{
    int rc;
    uint8_t *frame = window_reserve(writer, ORIGIN_FRAME_BYTES, &rc);
    if (frame != NULL)
        writer->position += ORIGIN_FRAME_BYTES;
    return frame;
}

static void end_origin(const struct ring *ring, uint8_t *frame, uint64_t first)
{
    struct window_writer *writer = &ring->topic->log.writer;
    uint64_t count = ring->sequence - first;
    if (count == 0 && writer->data + ((writer->position - ORIGIN_FRAME_BYTES) & writer->mask) == frame) {
        writer->position -= ORIGIN_FRAME_BYTES; /* nothing stands behind it: it never was */
        return;
    }
    struct origin_mark mark = {
        .id = ring->id, .first = first, .count = (uint32_t)count, .uid = (uint32_t)ring->uid};
    uint64_t word = origin_fill(frame, writer->sequence - count, &mark);
    /* Release, as window_commit(): the whole batch is complete for who sees the word. */
    atomic_store_explicit(window_commit_word(frame, 0), word, memory_order_release);
}

/* The journal is whole whenever it names a ring; a SIGKILL keeps the order of stores. */
static void begin_batch(const struct ring *ring)
{
    const struct topic *topic = ring->topic;
    struct status *status = topic->log.status;
    atomic_store_explicit(&status->journal_ring, 0, memory_order_release);
    atomic_store_explicit(&status->journal_log_position, topic->log.writer.position, memory_order_release);
    atomic_store_explicit(&status->journal_sequence, ring->sequence - 1, memory_order_release);
    atomic_store_explicit(&status->journal_line, ring->index, memory_order_release);
    atomic_store_explicit(&status->journal_ring, ring->id, memory_order_release);
}

/* Frames that are in the log are so for who sleeps there, and in the ring's line. */
static void end_batch(const struct ring *ring)
{
    struct topic *topic = ring->topic;
    struct status_ring *line = &topic->log.status->rings[ring->index];
    (void)window_after_commit(&topic->log.writer);
    atomic_store_explicit(&line->log_position, topic->log.writer.position, memory_order_relaxed);
    atomic_store_explicit(&line->log_sequence, topic->log.writer.sequence - 1, memory_order_relaxed);
    /* Release pairs with hermes_publisher_confirmed(). */
    atomic_store_explicit(&line->consumed_sequence, ring->sequence - 1, memory_order_release);
    /* Release pairs with the producer's acquire of its gate, and of who waits for "committed". */
    atomic_store_explicit(&line->consumed, ring->position, memory_order_release);
}

/* Frames that begin before limit. Returns how many bytes of the ring were dealt with. */
static uint64_t drain(struct ring *ring, uint64_t limit)
{
    struct topic *topic = ring->topic;
    if (!has_more(ring))
        return 0;
    uint64_t before = ring->position;
    begin_batch(ring);
    int rc = POLL_DATA;
    uint64_t begin = topic->log.writer.position, most = topic->log.capacity / 2, first = ring->sequence;
    most = most < DRAIN_BYTES ? most : DRAIN_BYTES;
    if (ring->left && limit > ring->until)
        limit = ring->until;
    uint8_t *origin = NULL;
    if (has_origin(ring) && (origin = begin_origin(&topic->log.writer)) == NULL)
        rc = wait_for_room(topic);
    for (unsigned i = 0; i < BATCH && rc > POLL_EMPTY && topic->log.writer.position - begin < most; i++)
        rc = ring->position < limit ? take_frame(ring) : POLL_EMPTY;
    if (origin != NULL)
        end_origin(ring, origin, first);
    if (rc < 0)
        condemn(ring, rc);
    if (ring->position == before)
        return 0;
    end_batch(ring);
    return ring->position - before;
}

/* ---- what does not go by way of a ring ---- */

bool sequencer_begin(const struct ring *ring, struct batch *batch)
{
    struct topic *topic = ring->topic;
    if (ring->left || ring->condemned || topic->blocked || has_more(ring) || !may_write(topic))
        return false;
    begin_batch(ring);
    *batch = (struct batch){.begin = topic->log.writer.position,
                            .end = topic->log.writer.position + topic->log.capacity / 2,
                            .first = ring->sequence};
    return !has_origin(ring) || (batch->origin = begin_origin(&topic->log.writer)) != NULL;
}

bool sequencer_take(struct ring *ring, const struct batch *batch, const hermes_header_t *header,
                    const uint8_t *payload, uint64_t frame_bytes)
{
    struct window_writer *writer = &ring->topic->log.writer;
    int rc = HERMES_OK;
    if (writer->position + frame_bytes > batch->end)
        return false;
    uint8_t *frame = window_reserve(writer, frame_bytes, &rc);
    if (frame == NULL)
        return false;
    hermes_header_t taken = *header;
    window_payload_in(frame, frame_bytes, payload, header->length);
    hermes_message_restamp(&taken, writer->sequence, header->timestamp);
    window_header_in(frame, taken.sequence, taken.timestamp, taken.length, taken.crc);
    window_commit(writer, hermes_commit_word(HERMES_TYPE_DATA, taken.flags), frame_bytes, 1);
    ring->sequence++;
    ring->broker->sequenced_bytes += frame_bytes;
    return true;
}

void sequencer_end_batch(const struct ring *ring, const struct batch *batch)
{
    if (batch->origin != NULL)
        end_origin(ring, batch->origin, batch->first);
    bool is_empty = ring->sequence == batch->first && ring->topic->log.writer.position == batch->begin;
    if (!is_empty)
        end_batch(ring);
}

/* ---- turning, on ---- */

/* The same of a ring whose producer lives, and is let go ahead while its messages come faster than lines
 * travel: for what is left to come the loop comes again. */
static uint64_t drain_paced(struct ring *ring)
{
    const struct window *window = ring->map.address;
    if (!has_more(ring)) {
        if (ring->position >= ring->pace.judge_at)
            pace_judge(&ring->pace, &window->position, ring->position, ring->sequence);
        return 0;
    }
    return pace_leaves(&ring->pace, &window->position, ring->position, ring->sequence)
               ? 0
               : drain(ring, ring->pace.until);
}

/* One frame of our own. HERMES_EAGAIN: no room. */
static int append_frame(struct window_writer *writer, const uint8_t *from, uint64_t *bytes)
{
    hermes_header_t header;
    int rc = HERMES_OK;
    memcpy(&header, from, sizeof header);
    *bytes = hermes_frame_bytes(header.length);
    uint8_t *frame = window_reserve(writer, *bytes, &rc);
    if (frame == NULL)
        return HERMES_EAGAIN;
    window_copy_in(frame + HERMES_HEADER_BYTES, from + HERMES_HEADER_BYTES, *bytes - HERMES_HEADER_BYTES);
    hermes_message_restamp(&header, writer->sequence, header.timestamp);
    window_header_in(frame, header.sequence, header.timestamp, header.length, header.crc);
    window_commit(writer, hermes_commit_word(HERMES_TYPE_DATA, header.flags), *bytes, 1);
    return HERMES_OK;
}

int sequencer_append(struct topic *topic, const uint8_t *frames, size_t bytes, unsigned *appended)
{
    struct status *status = topic->log.status;
    int rc = HERMES_OK;
    *appended = 0;
    if (atomic_load(&status->state) == STATE_FAILED)
        return HERMES_EIO;
    if (!queue_is_busy(&topic->turns) && !log_has_writer(&topic->log))
        topic_renew(topic); /* nobody has published to it since we have it */
    if (!may_write(topic))
        return HERMES_EAGAIN;
    /* What stands behind the journal's position from here on came from no ring. */
    atomic_store_explicit(&status->journal_ring, 0, memory_order_release);
    uint64_t frame_bytes;
    for (size_t at = 0; at < bytes && rc == 0; at += frame_bytes) {
        rc = append_frame(&topic->log.writer, frames + at, &frame_bytes);
        *appended += rc == 0;
    }
    if (*appended > 0)
        (void)window_after_commit(&topic->log.writer);
    return rc;
}

/* Everything that counts is in the log. */
static void remove_ring(struct ring *ring)
{
    struct topic *topic = ring->topic;
    struct status *status = topic->log.status;
    if (atomic_load(&status->journal_ring) == ring->id)
        atomic_store(&status->journal_ring, 0);
    if (!ring->keeps_line)
        free_line(topic, ring->index);
    /* Release pairs with the producer's acquire: consumed_sequence is final. */
    atomic_store_explicit(&status->rings[ring->index].ended, RING_ENDED, memory_order_release);
    topic->ring_ends[ring->index] = ++topic->last_ring_end;
    topic->rings[ring->index] = NULL;
    topic->ring_count--;
    if (topic->ring_count == 0 && topic->blocked)
        go_on(topic);
    topic->rings_left -= ring->left;
    ring->broker->rings--;
    ring->broker->rings_fed -= ring->is_fed;
    topic_release(topic);
    ring_free(ring);
}

void sequencer_feed(struct ring *ring)
{
    ring->broker->rings_fed += !ring->is_fed;
    ring->is_fed = true;
    atomic_store(&ring->topic->log.status->rings[ring->index].origin, 1 + (uint64_t)ring->uid);
}

void sequencer_leave_ring(struct ring *ring, bool closed)
{
    atomic_store(&ring->topic->log.status->ring_marks[ring->index], 0);
    barrier_remote(); /* who still saw its mark after a commit has committed before this */
    ring->left = true;
    ring->topic->rings_left++;
    ring->until = ring->position + ring->mask + 1;
    ring->keeps_line &= !closed;
    ring->session = NULL;
    topic_hold(ring->topic); /* instead of its handle */
    for (uint64_t moved = 1, all = 0; moved > 0 && all < TURN_BYTES && may_write(ring->topic); all += moved)
        moved = drain(ring, UINT64_MAX);
    if (!has_more(ring))
        remove_ring(ring);
}

/* Begins where the last turn had to stop, so that no ring waits for ever. */
static uint64_t turn_topic(struct topic *topic, uint64_t budget, bool paced)
{
    uint64_t moved = 0;
    unsigned first = topic->ring_turn;
    topic->ring_turn = 0;
    for (unsigned i = 0, seen = 0, rings = topic->ring_count; seen < rings && i < STATUS_RINGS; i++) {
        struct ring *ring = topic->rings[(first + i) % STATUS_RINGS];
        if (ring == NULL)
            continue;
        seen++;
        moved += paced && !ring->left && !ring->is_fed ? drain_paced(ring) : drain(ring, UINT64_MAX);
        if (ring->left && !has_more(ring))
            remove_ring(ring);
        if (moved >= budget) {
            topic->ring_turn = (first + i + 1) % STATUS_RINGS;
            break;
        }
    }
    return moved;
}

/* To the end of the list, or as far as the budget goes: then the next turn begins there. */
static uint64_t turn_topics(struct broker *broker)
{
    uint64_t moved = 0;
    if (broker->rings == 0)
        return 0;
    struct topic *topic = broker->sequenced != NULL ? broker->sequenced : broker->topics;
    bool from_the_first = topic == broker->topics;
    for (; topic != NULL && moved < TURN_BYTES; topic = topic->next)
        if (topic->ring_count > 0 && may_write(topic))
            moved += turn_topic(topic, TURN_BYTES - moved, true);
    broker->sequenced = topic;
    if (moved > 0)
        broker->blocked_ns = blocked_ns;
    else if (!from_the_first) /* nothing in the rest: there may be something in the others */
        return turn_topics(broker);
    return moved;
}

uint64_t sequencer_turn(struct broker *broker)
{
    uint64_t taken = broker->sequenced_bytes;
    broker->sequenced_bytes = 0;
    return taken + turn_topics(broker);
}

bool sequencer_end(struct topic *topic)
{
    if (topic->durability != DURABILITY_MEMORY)
        topic->log.writer.readers = NULL; /* they find in the store what they have still to read */
    while (topic->ring_count > 0 && may_write(topic))
        if (turn_topic(topic, UINT64_MAX, false) == 0 && log_persist(&topic->log, topic->log.capacity) <= 0)
            break;
    bool left = topic->ring_count > 0;
    for (unsigned i = 0; i < STATUS_RINGS; i++)
        if (topic->rings[i] != NULL)
            remove_ring(topic->rings[i]);
    return left;
}

static void set_parked(struct broker *broker, uint32_t parked)
{
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        if (topic->ring_count > 0)
            atomic_store_explicit(&topic->log.status->sequencer_parked, parked, memory_order_relaxed);
    broker->parked = parked != 0;
}

uint64_t sequencer_park(struct broker *broker)
{
    uint64_t sleep_ns = UINT64_MAX;
    if (broker->rings == 0)
        return sleep_ns;
    set_parked(broker, 1);
    /* Pairs with barrier_publisher() of every producer. Who could not register says so in the rings that it
     * makes, and producers fence. */
    bool heard = broker->rings == broker->rings_fed || barrier_remote() || !broker->membarrier;
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        for (unsigned i = 0; topic->ring_count > 0 && i < STATUS_RINGS; i++) {
            const struct ring *ring = topic->rings[i];
            if (ring == NULL || !has_more(ring) || queue_is_busy(&topic->turns))
                continue;
            if (!topic->blocked && may_write(topic))
                return 0;
            sleep_ns = broker->blocked_ns;
        }
    if (sleep_ns == broker->blocked_ns && broker->blocked_ns < longest_blocked_ns)
        broker->blocked_ns *= 2;
    return heard || sleep_ns < BARRIER_LOOK_NS ? sleep_ns : BARRIER_LOOK_NS;
}

void sequencer_unpark(struct broker *broker)
{
    if (broker->parked)
        set_parked(broker, 0);
}
