/* store_cut(): what nobody was shown yet is taken back. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/frames.h"
#include "log/tail.h"

/* The sequence of the next message at position, if a frame begins or the log ends there. */
static int find_sequence(const struct segment *segment, uint64_t position, uint64_t *sequence,
                         struct error_text *text)
{
    uint64_t base = segment->header.base;
    struct frames frames = {.data = segment->data,
                            .base = base,
                            .end = base + segment->header.size,
                            .position = base,
                            .sequence = segment->header.first_sequence};
    struct frame frame;
    while (frames.position < position)
        if (frames_next(&frames, &frame) <= 0)
            frames_skip_damage(&frames);
    if (frames.position != position)
        return error_set(text, HERMES_ENOTFOUND, "no frame begins at position %" PRIu64, position);
    *sequence = frames.sequence;
    if (frames.sequence == 0 && frames_next(&frames, &frame) == 1)
        *sequence = frame.header.sequence;
    return HERMES_OK;
}

/* First of all: a checkpoint that confirms what is not there is corruption. Recovery then finds what is
 * there. */
static int lower_checkpoint(struct store *store, uint64_t position, uint64_t sequence,
                            struct error_text *text)
{
    struct checkpoint lower = store->checkpoint;
    if (lower.position <= position)
        return HERMES_OK;
    lower.position = position;
    lower.sequence = sequence;
    int rc = checkpoint_write(store->checkpoint_fd, &lower);
    if (rc < 0)
        return error_set(text, rc, "cannot write the checkpoint");
    store->checkpoint = lower;
    return fdatasync(store->checkpoint_fd) == 0 ? HERMES_OK : error_set_errno(text, "sync", "the checkpoint");
}

/* From the last one on, each for good before the next: never a hole. */
static int drop_segments(struct store *store, size_t keep, struct error_text *text)
{
    while (store->entry_count > keep) {
        char name[SEGMENT_NAME_BYTES];
        uint64_t base = store->entries[store->entry_count - 1].base;
        index_name(base, name);
        unlinkat(store->directory, name, 0);
        segment_name(base, name);
        if (unlinkat(store->directory, name, 0) != 0)
            return error_set_errno(text, "delete segment", name);
        store->entry_count--;
        if (fsync(store->directory) != 0)
            return error_set_errno(text, "sync", "the directory of the store");
    }
    return HERMES_OK;
}

/* Neither the segment that was made ahead nor the open ones are the last ones any more. */
static void let_go(struct store *store, int fd)
{
    if (store->next_fd >= 0) {
        segment_discard(store->directory, store->entries[store->entry_count - 1].base + store->segment_bytes);
        close(store->next_fd);
    }
    if (store->previous_fd >= 0)
        close(store->previous_fd);
    close(store->fd);
    store->next_fd = store->previous_fd = -1;
    store->fd = fd;
}

static int cut_to(struct store *store, size_t i, const struct segment *segment, int fd, uint64_t position,
                  uint64_t sequence, struct error_text *text)
{
    struct segment_list *list = segment_list_make(store->entries, i + 1);
    if (list == NULL)
        return error_set(text, HERMES_ENOMEM, "a list of %zu segments", i + 1);
    int rc = lower_checkpoint(store, position, sequence, text);
    if (rc < 0) {
        free(list);
        return rc;
    }
    let_go(store, fd);
    store->position = position;
    store->sequence = sequence;
    atomic_store_explicit(&store->searchable, position, memory_order_relaxed);
    segments_publish(&store->segments, list);
    if (store->synced_position > position) {
        store->synced_position = position;
        store->synced_sequence = sequence;
    }
    rc = drop_segments(store, i + 1, text);
    if (rc == 0)
        rc = tail_end(store, i, segment, false, text);
    if (rc < 0)
        return rc;
    tail_index(store);
    return tail_distrust(store, text);
}

int store_cut(struct store *store, uint64_t position, uint64_t visible, struct error_text *text)
{
    struct segment segment;
    size_t i = 0;
    int fd;
    uint64_t sequence = 0;
    if (position < visible || position > store->position)
        return error_set(text, HERMES_EINVALID,
                         "cut at %" PRIu64 ": what is visible ends at %" PRIu64 ", the store at %" PRIu64,
                         position, visible, store->position);
    if (position == store->position)
        return HERMES_OK;
    int rc = tail_find(store, position, &i, text);
    if (rc == 0)
        rc = tail_map(store, i, &fd, &segment, text);
    if (rc < 0)
        return rc;
    rc = find_sequence(&segment, position, &sequence, text);
    if (rc == 0)
        rc = cut_to(store, i, &segment, fd, position, sequence, text);
    if (store->fd != fd)
        close(fd);
    segment_release(&segment);
    return rc;
}
