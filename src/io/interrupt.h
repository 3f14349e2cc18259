/* Is what this thread waits for still wanted? As hermes_set_interrupt() in hermes/connect.h says. */
#ifndef IO_INTERRUPT_H
#define IO_INTERRUPT_H

#include <stdint.h>

struct interrupt {
    int (*ask)(void *context); /* NULL: nobody is asked */
    void *context;
};

/* Whom this thread asks from now on; returns whom it asked. */
struct interrupt interrupt_set(struct interrupt interrupt);

/* Before each sleep, which is no longer than interrupt_slice_ns(). 0: sleep; 1: wait no more; -1: nor say
 * anything to the broker, for this is another process by now. */
int interrupt_ask(void);
uint64_t interrupt_slice_ns(void);

#endif
