#include "base/thread.h"

#include <errno.h>
#include <signal.h>

#include "base/error.h"

int thread_start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number == EAGAIN ? HERMES_ELIMIT : error_from_errno(number); /* pthread_create(3): of threads */
}
