/* A log that is a copy, and whose beginning, or a part that was missed, does not exist any more. */
#include <inttypes.h>

#include "log/log.h"

/* Whoever takes this up after a crash in the middle finds an empty log there: the two words that say what is
 * stored are read one after the other by the next start alone (stored_sequence() in log.c). */
static int move_store(struct log *log, uint64_t position, uint64_t sequence, struct error_text *text)
{
    struct status *status = log->status;
    if (log->store.entry_count > 0 || log->writer.position != log->store.position)
        return error_say(text, HERMES_EINVALID,
                         "what lies between positions %" PRIu64 " and %" PRIu64
                         " does not exist any more, and what is stored can have no hole",
                         log->writer.position, position);
    store_begin_at(&log->store, position, sequence);
    /* Release pairs with readers' acquire. */
    atomic_store_explicit(&status->first, position, memory_order_release);
    atomic_store_explicit(&status->persisted_sequence, sequence, memory_order_relaxed);
    /* Release pairs with the acquire of readers, and of the writer at its gate. */
    atomic_store_explicit(&status->persisted, position, memory_order_release);
    atomic_store_explicit(&status->durable_sequence, sequence, memory_order_release);
    atomic_store_explicit(&status->durable, position, memory_order_release);
    return HERMES_OK;
}

int log_jump(struct log *log, uint64_t position, uint64_t sequence, struct error_text *text)
{
    struct window_writer *writer = &log->writer;
    if (position < writer->position || position % HERMES_FRAME_ALIGNMENT != 0)
        return error_say(text, HERMES_EINVALID, "position %" PRIu64 " is not behind the log's end, %" PRIu64,
                         position, writer->position);
    log_lock(log);
    int rc = log->durability == DURABILITY_MEMORY ? HERMES_OK : move_store(log, position, sequence, text);
    if (rc == 0)
        window_jump(writer, position, sequence);
    log_unlock(log);
    return rc;
}
