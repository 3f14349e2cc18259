/*
 * A reader of a log that this broker has: windows and segments are opened here, where clients ask for them.
 * May wait for a disk: on a worker.
 */
#ifndef BROKER_OWN_READER_H
#define BROKER_OWN_READER_H

#include "log/log.h"
#include "log/reader.h"

/* The log stays until reader_close(). Begins at the end. HERMES_ELIMIT, HERMES_ENOMEM, ... */
int own_reader_open(struct reader *reader, struct log *log);

/* As reader_poll(), but 0: nothing stands there. While an epoch ends, that is waited for: nobody knows before
 * what counts of it. */
int own_reader_poll(struct reader *reader, hermes_message_t *message);

#endif
