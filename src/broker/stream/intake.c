#include "broker/stream/intake.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- credit ---- */

/* Half of the ring: the other half is for what frames leave at its end, and for what is zeroed ahead. */
static uint64_t most_credit(const struct intake *intake)
{
    return (intake->ring->mask + 1) / 2;
}

/* So much more may come. */
static uint64_t free_credit(const struct intake *intake)
{
    uint64_t used = intake->writer.position - intake->ring->position + intake->granted;
    return used < most_credit(intake) ? most_credit(intake) - used : 0;
}

/* ---- what comes in ---- */

static int check_frame(const struct intake *intake, const hermes_header_t *header, uint64_t frame_bytes,
                       struct error_text *text)
{
    if (header->type != HERMES_TYPE_DATA)
        return error_set(text, HERMES_EMALFORMED, "a frame of type %u in a publish", header->type);
    if (header->sequence != intake->sequence)
        return error_set(text, HERMES_EMALFORMED, "message %" PRIu64 " where %" PRIu64 " comes next",
                         header->sequence, intake->sequence);
    if (frame_bytes > intake->granted)
        return error_set(text, HERMES_EPROTOCOL,
                         "message %" PRIu64 " is more than the credit of %" PRIu64 " bytes", header->sequence,
                         intake->granted);
    return HERMES_OK;
}

static int put(struct intake *intake, const hermes_header_t *header, const uint8_t *bytes,
               uint64_t frame_bytes)
{
    int rc = HERMES_OK;
    uint8_t *frame = window_reserve(&intake->writer, frame_bytes, &rc);
    if (frame == NULL)
        return rc;
    uint64_t used = HERMES_HEADER_BYTES + (uint64_t)header->length;
    window_copy_in(frame + 8, bytes + 8, used - 8);
    window_zero(frame + used, frame_bytes - used);
    window_commit(&intake->writer, hermes_commit_word(HERMES_TYPE_DATA, header->flags), frame_bytes, 1);
    return HERMES_OK;
}

/* Past the ring while that goes; then by way of it. */
static int hand_on(struct intake *intake, const hermes_header_t *header, const uint8_t *bytes,
                   uint64_t frame_bytes)
{
    if (intake->is_direct &&
        sequencer_take(intake->ring, &intake->batch, header, bytes + HERMES_HEADER_BYTES, frame_bytes)) {
        intake->writer.sequence++;
        return HERMES_OK;
    }
    if (intake->is_direct)
        sequencer_end_batch(intake->ring, &intake->batch);
    intake->is_direct = false;
    return put(intake, header, bytes, frame_bytes);
}

/* One frame; 0: it is not all there yet. */
static int64_t take_one(struct intake *intake, const uint8_t *bytes, size_t count, size_t left,
                        struct error_text *text)
{
    hermes_header_t header;
    if (count < sizeof header)
        return 0;
    memcpy(&header, bytes, sizeof header);
    int rc = hermes_message_decode(&header, left);
    if (rc < 0)
        return error_set(text, rc, "what should be message %" PRIu64, intake->sequence);
    uint64_t frame_bytes = hermes_frame_bytes(header.length);
    if (frame_bytes > left)
        return error_set(text, HERMES_EMALFORMED, "message %" PRIu64 " is cut short", intake->sequence);
    if ((rc = check_frame(intake, &header, frame_bytes, text)) < 0)
        return rc;
    if (count < frame_bytes)
        return 0;
    if ((rc = hermes_message_verify(&header, bytes + HERMES_HEADER_BYTES, count)) < 0)
        return error_set(text, rc, "message %" PRIu64, header.sequence);
    if ((rc = hand_on(intake, &header, bytes, frame_bytes)) < 0)
        return error_set(text, rc, "message %" PRIu64 " does not fit the ring", header.sequence);
    intake->granted -= frame_bytes;
    intake->sequence++;
    return (int64_t)frame_bytes;
}

int64_t intake_take(struct intake *intake, const uint8_t *bytes, size_t count, size_t left,
                    struct error_text *text)
{
    size_t taken = 0;
    int64_t one;
    intake->is_direct = sequencer_begin(intake->ring, &intake->batch);
    while ((one = take_one(intake, bytes + taken, count - taken, left - taken, text)) > 0)
        taken += (size_t)one;
    if (intake->is_direct)
        sequencer_end_batch(intake->ring, &intake->batch);
    else if (taken > 0)
        (void)window_after_commit(&intake->writer);
    return one < 0 ? one : (int64_t)taken;
}

/* ---- what it is told ---- */

static void mark(struct intake *intake, uint64_t sequence, uint64_t position)
{
    if (intake->mark_count == INTAKE_MARKS)
        intake->mark_count--; /* the last one comes true with this one */
    intake->marks[intake->mark_count++] = (struct intake_mark){sequence, position};
}

static void look_for_durable(struct intake *intake)
{
    if (intake->topic->durability == DURABILITY_MEMORY) {
        intake->durable = intake->committed;
        return;
    }
    /* Acquire pairs with the release in log_sync(). */
    uint64_t durable = atomic_load_explicit(&intake->topic->log.status->durable, memory_order_acquire);
    unsigned done = 0;
    for (; done < intake->mark_count && intake->marks[done].position <= durable; done++)
        intake->durable = intake->marks[done].sequence;
    intake->mark_count -= done;
    memmove(intake->marks, intake->marks + done, intake->mark_count * sizeof intake->marks[0]);
}

bool intake_look(struct intake *intake)
{
    const struct status *status = intake->topic->log.status;
    const struct status_ring *line = &status->rings[intake->ring->index];
    /* Relaxed: these are ours. */
    uint64_t committed = atomic_load_explicit(&line->consumed_sequence, memory_order_relaxed);
    if (committed != intake->committed) {
        intake->committed = committed;
        intake->position = atomic_load_explicit(&line->log_position, memory_order_relaxed);
        if (intake->topic->durability != DURABILITY_MEMORY)
            mark(intake, committed, intake->position);
    }
    if (intake_awaits_durable(intake))
        look_for_durable(intake);
    if (intake->code == 0 && atomic_load_explicit(&status->state, memory_order_relaxed) == STATE_FAILED)
        intake->code = HERMES_EIO;
    return intake->committed != intake->told_committed || intake->durable != intake->told_durable ||
           free_credit(intake) >= most_credit(intake) / 4 || (intake->code != 0 && !intake->told);
}

struct wire_confirm intake_confirm(struct intake *intake)
{
    struct wire_confirm confirm = {
        .committed = intake->committed,
        .durable = intake->durable,
        .position = intake->position,
        .credit = free_credit(intake),
    };
    intake->told_committed = confirm.committed;
    intake->told_durable = confirm.durable;
    intake->granted += confirm.credit;
    return confirm;
}

/* ---- opening and closing ---- */

int intake_open(struct stream *stream, struct ring *ring, uint32_t handle, uint64_t before,
                struct intake **out)
{
    struct topic *topic = ring->topic;
    struct status *status = topic->log.status;
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        return HERMES_ENOMEM;
    intake->stream = stream;
    intake->topic = topic;
    intake->ring = ring;
    intake->handle = handle;
    intake->sequence = ring->sequence;
    intake->committed = intake->durable = intake->told_committed = intake->told_durable = ring->sequence - 1;
    intake->position = before;
    if (before > 0 && topic->durability != DURABILITY_MEMORY) {
        intake->durable = intake->told_durable = 0;
        mark(intake, intake->committed, before);
    }
    struct window_writer_options options = {
        .window = ring->map.address,
        .mark = &status->ring_marks[ring->index],
        .seal = ring->id,
        .gate = &status->rings[ring->index].consumed,
        .parked = &status->sequencer_parked,
        .eventfd = -1, /* the loop does not wake itself */
        .membarrier = true,
    };
    window_writer_init(&intake->writer, &options, 0, ring->sequence);
    sequencer_feed(ring);
    intake->granted = most_credit(intake);
    intake->next = stream->intakes;
    stream->intakes = intake;
    intake->next_of_topic = topic->streamed.intakes;
    topic->streamed.intakes = intake;
    stream_list(topic);
    *out = intake;
    return HERMES_OK;
}

void intake_close(struct intake *intake)
{
    struct intake **at = &intake->stream->intakes;
    while (*at != intake)
        at = &(*at)->next;
    *at = intake->next;
    for (at = &intake->topic->streamed.intakes; *at != intake;)
        at = &(*at)->next_of_topic;
    *at = intake->next_of_topic;
    stream_unlist(intake->topic);
    free(intake);
}
