/*
 * A worker does what its standard input says, a command a line, and says "done" after each. So one program
 * serves a schedule of single steps and one of many random ones.
 */
#ifndef HISTORY_WORKER_H
#define HISTORY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "hermes/hermes.h"

enum { WORDS_MAX = 8 };

struct command {
    const char *name;
    void (*run)(char **words); /* words[0] is the name; those that are not there are "" */
};

/* Ends the process when standard input does. commands ends with a name of NULL. */
void worker_run(const struct command *commands);

/* Is there another command? What goes on for long looks between two calls, and gives way. */
bool worker_is_wanted(void);

uint64_t number(const char *word);
uint64_t random_below(uint64_t bound);
void random_seed(uint64_t seed);
void pause_us(uint64_t microseconds);

/* Connects if there is no connection yet; what is not there is waited for, up to until_ns. */
int worker_connect(const char *url, uint64_t until_ns, hermes_client_t **client);

/* Ends the client's session behind its back. HERMES_EDISCONNECTED: it has none. */
int worker_hang_up(void);

/* The next time that it connects to a broker, and before it does, the process stands still (SIGSTOP). */
void worker_stop_at_connect(void);
/* The same of the next time that it asks a broker for a window. */
void worker_stop_at_window(void);

/* May it pass by itself? */
bool may_pass(int rc);

#endif
