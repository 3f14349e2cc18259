#include "log/status.h"

/* A line is a seqlock whose counter is the epoch: who finds the same one before and after has read one
 * record. */
void status_note_epoch(struct status *status, const struct epoch_record *record)
{
    struct status_epoch *line = &status->epochs[record->epoch % STATUS_EPOCHS];
    if (atomic_load_explicit(&line->epoch, memory_order_relaxed) != record->epoch) {
        atomic_store_explicit(&line->epoch, 0, memory_order_relaxed);
        /* Pairs with the acquire fence below: who reads a field of the new record finds the line changed. */
        atomic_thread_fence(memory_order_release);
        atomic_store_explicit(&line->end, EPOCH_OPEN, memory_order_relaxed);
    }
    atomic_store_explicit(&line->first_position, record->first_position, memory_order_relaxed);
    atomic_store_explicit(&line->first_sequence, record->first_sequence, memory_order_relaxed);
    atomic_store_explicit(&line->end_position, record->end_position, memory_order_relaxed);
    atomic_store_explicit(&line->end_sequence, record->end_sequence, memory_order_relaxed);
    /* Both releases pair with the acquires below: who sees that it is over sees where. */
    atomic_store_explicit(&line->end, record->end, memory_order_release);
    atomic_store_explicit(&line->epoch, record->epoch, memory_order_release);
}

bool status_find_epoch(const struct status *status, uint32_t epoch, struct epoch_record *record)
{
    const struct status_epoch *line = &status->epochs[epoch % STATUS_EPOCHS];
    if (epoch == 0 || atomic_load_explicit(&line->epoch, memory_order_acquire) != epoch)
        return false;
    record->epoch = epoch;
    record->end = atomic_load_explicit(&line->end, memory_order_acquire);
    record->first_position = atomic_load_explicit(&line->first_position, memory_order_relaxed);
    record->first_sequence = atomic_load_explicit(&line->first_sequence, memory_order_relaxed);
    record->end_position = atomic_load_explicit(&line->end_position, memory_order_relaxed);
    record->end_sequence = atomic_load_explicit(&line->end_sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&line->epoch, memory_order_relaxed) == epoch;
}
