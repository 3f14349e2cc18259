#include "broker/own_reader.h"

static int open_window(void *context, uint32_t epoch, int *fd)
{
    return log_window_reader_fd(context, epoch, fd);
}

static int open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct log *log = context;
    struct error_text ignored; /* the reader has a sentence of its own */
    return store_find(&log->store, key, value, place, &ignored);
}

int own_reader_open(struct reader *reader, struct log *log)
{
    return reader_open(reader, log->status, NULL, (struct reader_source){open_window, open_segment, log},
                       VERIFY_ALL);
}

int own_reader_poll(struct reader *reader, hermes_message_t *message)
{
    struct log *log = reader->source.context;
    int rc;
    while ((rc = reader_poll(reader, message)) == 0 && reader->undecided) {
        log_lock(log); /* log_end() has it from the seal on until it has said where that was */
        log_unlock(log);
    }
    return rc;
}
