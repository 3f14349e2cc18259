/* The log within a handle of hermes/log.h, for who sends it elsewhere in the writer's process. */
#ifndef LOG_EMBEDDED_H
#define LOG_EMBEDDED_H

#include "hermes/log.h"
#include "log/log.h"

/* Any thread, until hermes_log_close(): what is said to be any thread's of it. */
struct log *embedded_log(hermes_log_t *log);

#endif
