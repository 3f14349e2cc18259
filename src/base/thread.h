/* A thread of our own in somebody's process: signals are the program's, never its. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

int thread_start(pthread_t *thread, void *(*body)(void *), void *argument);

#endif
