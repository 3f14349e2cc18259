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

#endif
