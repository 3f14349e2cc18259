/* The broker's directory in shared memory, and what it tells the operator of it. */
#ifndef BROKER_SHARED_MEMORY_H
#define BROKER_SHARED_MEMORY_H

#include "base/shm.h"

/* As shm_open_directory(). */
int shared_memory_open(struct shm *shm, const char *data, struct error_text *text);

/* Is the directory still there? Else it is made anew. Costs one system call. */
void shared_memory_look(struct shm *shm);

/* Removes what belongs to nobody any more. */
void shared_memory_sweep(void);

#endif
