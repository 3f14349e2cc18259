/*
 * The sequencer: takes frames from producers' rings, gives each its place in the topic's one order,
 * and appends it to the log. It runs in the event loop.
 *
 * A ring is a window of its own, written by its producer, gated by `consumed` in the status page. What
 * stands there belongs to a stranger: the header is copied once and checked, the payload copied once,
 * by a length that no longer changes. Sequence and CRC are put right without reading the payload.
 *
 * Exactly once across a crash of the broker. Before a batch the journal names the ring, the end of the
 * log, and the last message consumed from that ring; after it, the ring's line is stored. If the
 * broker dies in between, the messages behind the journal's position came from that ring and no other, so
 * counting them gives the ring's line; the next owner of the log does that before anybody can see that
 * it is there (repair_journal() in log/log.c). The producer, reconnecting, reads that line and sends
 * again what is not in the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/broker.h"

enum {
    BATCH = 64
}; /* frames from one ring before the next one has its turn, or half a window of them: what
      stands behind the journal's position must not be overwritten */

/* A log that has no room is looked at again after so long, and then after twice as long: nobody rings. */
static const uint64_t blocked_ns = 100000, longest_blocked_ns = 2000000;

int sequencer_begin(struct topic *topic, struct error_text *text)
{
    topic->log.readers = topic->readers;
    topic->log.persister_bell = topic->persisting.bell;
    int rc = log_begin(&topic->log, WRITER_OWNER, text);
    if (rc == 0)
        atomic_store(&topic->log.status->journal_ring, 0);
    return rc;
}

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

/* Nothing is under way for it any more. */
static void ring_gone(struct poller_owner *owner)
{
    struct ring *ring = (struct ring *)(void *)((char *)owner - offsetof(struct ring, owner));
    give_back_share(ring->broker, ring->uid);
    map_release(&ring->map);
    if (ring->fd >= 0)
        close(ring->fd);
    if (ring->eventfd >= 0)
        close(ring->eventfd);
    free(ring);
}

static int open_ring(struct ring *ring, uint64_t capacity, struct error_text *text)
{
    int rc = map_create_memfd("hermes-ring", WINDOW_HEADER_BYTES + capacity, &ring->map, &ring->fd);
    if (rc < 0)
        return error_set(text, rc, "a producer's ring of %" PRIu64 " bytes", capacity);
    ring->eventfd = eventfd(0, EFD_CLOEXEC);
    if (ring->eventfd < 0)
        return error_set_errno(text, "make", "an eventfd");
    /* Its producer holds it, too, and may fill it or change its flags: it is watched, and never read. */
    rc = poller_watch(ring->broker->poller, &ring->wake, ring->eventfd);
    return rc < 0 ? error_set(text, rc, "cannot watch an eventfd") : HERMES_OK;
}

static int make_ring(struct session *session, struct ring **out, struct error_text *text)
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
    rc = open_ring(ring, broker->config.ring_bytes, text);
    if (rc < 0)
        poller_leave(&ring->owner);
    else
        *out = ring;
    return rc;
}

/* A line of the status page that is free; else the oldest whose producer did not come back after a crash. */
static int find_line(const struct topic *topic)
{
    int found = -1;
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < STATUS_RINGS; i++) {
        uint64_t id = atomic_load(&topic->log.status->rings[i].id); /* free: 0 */
        if (topic->rings[i] == NULL && id < oldest) {
            found = i;
            oldest = id;
        }
    }
    return found;
}

void sequencer_free_line(struct topic *topic, uint32_t line, uint64_t id)
{
    if (line < STATUS_RINGS && topic->rings[line] == NULL &&
        atomic_load(&topic->log.status->rings[line].id) == id)
        atomic_store(&topic->log.status->rings[line].id, 0);
}

int sequencer_add_ring(struct broker *broker, struct topic *topic, struct session *session, uint64_t sequence,
                       struct ring **out, struct error_text *text)
{
    int line = find_line(topic);
    if (line < 0)
        return error_set(text, HERMES_ELIMIT, "topic '%s' has %d publishers", topic->name, STATUS_RINGS);
    struct ring *ring = NULL;
    int rc = make_ring(session, &ring, text);
    if (rc < 0)
        return rc;
    uint64_t capacity = broker->config.ring_bytes;
    ring->topic = topic;
    ring->session = session;
    ring->index = (unsigned)line;
    ring->mask = capacity - 1;
    ring->sequence = sequence;
    window_init(ring->map.address, capacity, topic->id, 0, 0, sequence, !broker->membarrier);
    ring->data = ((struct window *)ring->map.address)->data;
    struct status_ring *place = &topic->log.status->rings[line];
    atomic_store(&place->id, 0);
    atomic_store(&place->consumed, 0);
    atomic_store(&place->consumed_sequence, sequence - 1);
    atomic_store(&place->log_position, topic->log.writer.position);
    atomic_store(&place->log_sequence, topic->log.writer.sequence - 1);
    atomic_store(&place->refused, 0);
    atomic_store(&place->ended, 0);
    ring->id = ++broker->next_ring_id;
    atomic_store(&topic->log.status->ring_marks[line], ring->id);
    topic->rings[line] = ring;
    topic->ring_count++;
    broker->sequenced++;
    broker->blocked_ns = blocked_ns;
    *out = ring;
    return HERMES_OK;
}

void sequencer_keep_line(struct ring *ring)
{
    atomic_store(&ring->topic->log.status->rings[ring->index].id, ring->id);
}

/* ---- turning ---- */

static void condemn(struct ring *ring, int error)
{
    ring->condemned = true;
    ring->topic->refused++;
    atomic_store(&ring->topic->log.status->rings[ring->index].refused, (uint32_t)-error);
    note("topic '%s': a publisher sent a malformed frame (%s) and is cut off", ring->topic->name,
         hermes_error_name(error));
    if (ring->session != NULL)
        session_end(ring->session);
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
        ring->topic->blocked = frame == NULL;
        if (frame == NULL)
            return POLL_EMPTY; /* persister or readers are behind: the producer waits at its own gate */
        uint64_t used = HERMES_HEADER_BYTES + header.length;
        window_copy_in(frame + HERMES_HEADER_BYTES,
                       ring->data + (ring->position & ring->mask) + HERMES_HEADER_BYTES, header.length);
        if (bytes > used)
            window_zero(frame + used, bytes - used);
        hermes_message_restamp(&header, writer->sequence, header.timestamp);
        window_copy_in(frame + 8, (const uint8_t *)&header + 8, HERMES_HEADER_BYTES - 8);
        window_commit(writer, hermes_commit_word(HERMES_TYPE_DATA, header.flags), bytes, 1);
        ring->sequence++;
        rc = POLL_DATA;
    }
    ring->position += bytes;
    return rc;
}

static bool drain(struct ring *ring)
{
    struct topic *topic = ring->topic;
    struct status *status = topic->log.status;
    struct status_ring *line = &status->rings[ring->index];
    if (ring->condemned ||
        atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)(ring->data + (ring->position & ring->mask)),
            memory_order_relaxed) == 0)
        return false;
    uint64_t before = ring->position;
    /* The journal is whole whenever it names a ring; a SIGKILL keeps the order of stores. */
    atomic_store_explicit(&status->journal_ring, 0, memory_order_release);
    atomic_store_explicit(&status->journal_log_position, topic->log.writer.position, memory_order_release);
    atomic_store_explicit(&status->journal_sequence, ring->sequence - 1, memory_order_release);
    atomic_store_explicit(&status->journal_line, ring->index, memory_order_release);
    atomic_store_explicit(&status->journal_ring, ring->id, memory_order_release);
    int rc = POLL_DATA;
    uint64_t begin = topic->log.writer.position, most = topic->log.capacity / 2;
    for (unsigned i = 0; i < BATCH && rc > POLL_EMPTY && topic->log.writer.position - begin < most; i++)
        rc = take_frame(ring);
    if (rc < 0)
        condemn(ring, rc);
    if (ring->position == before)
        return false;
    (void)window_after_commit(&topic->log.writer);
    atomic_store_explicit(&line->log_position, topic->log.writer.position, memory_order_relaxed);
    atomic_store_explicit(&line->log_sequence, topic->log.writer.sequence - 1, memory_order_relaxed);
    /* Release pairs with hermes_publisher_confirmed(). */
    atomic_store_explicit(&line->consumed_sequence, ring->sequence - 1, memory_order_release);
    /* Release pairs with the producer's acquire of its gate, and of who waits for "committed". */
    atomic_store_explicit(&line->consumed, ring->position, memory_order_release);
    return true;
}

void sequencer_remove_ring(struct broker *broker, struct ring *ring)
{
    struct topic *topic = ring->topic;
    /* What the producer committed counts, even if it is dead by now. */
    while (drain(ring))
        ;
    atomic_store(&topic->log.status->ring_marks[ring->index], 0);
    atomic_store(&topic->log.status->rings[ring->index].ended, 1);
    atomic_store(&topic->log.status->rings[ring->index].id, 0);
    atomic_store(&topic->log.status->journal_ring, 0);
    topic->rings[ring->index] = NULL;
    topic->ring_count--;
    broker->sequenced--;
    poller_cancel(broker->poller, &ring->wake);
    poller_leave(&ring->owner); /* its memory goes when nothing is under way for it */
}

bool sequencer_turn(struct broker *broker)
{
    bool moved = false;
    if (broker->sequenced == 0)
        return false;
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        for (unsigned i = 0, seen = 0; seen < topic->ring_count && i < STATUS_RINGS; i++)
            if (topic->rings[i] != NULL) {
                seen++;
                moved |= drain(topic->rings[i]);
            }
    if (moved)
        broker->blocked_ns = blocked_ns;
    return moved;
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
    if (broker->sequenced == 0)
        return sleep_ns;
    set_parked(broker, 1);
    /* Pairs with barrier_publisher() of every producer. Who could not register says so in the rings that it
     * makes, and producers fence. */
    bool heard = barrier_remote() || !broker->membarrier;
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        for (unsigned i = 0; topic->ring_count > 0 && i < STATUS_RINGS; i++) {
            const struct ring *ring = topic->rings[i];
            if (ring == NULL || ring->condemned ||
                atomic_load_explicit(
                    (const _Atomic uint64_t *)(const void *)(ring->data + (ring->position & ring->mask)),
                    memory_order_relaxed) == 0)
                continue;
            if (!topic->blocked)
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
