#include "io/interrupt.h"

#include <stddef.h>

static __thread struct interrupt asked;

struct interrupt interrupt_set(struct interrupt interrupt)
{
    struct interrupt before = asked;
    asked = interrupt;
    return before;
}

int interrupt_ask(void)
{
    return asked.ask == NULL ? 0 : asked.ask(asked.context);
}

uint64_t interrupt_slice_ns(void)
{
    return asked.ask == NULL ? 1000000000u : 20000000u;
}
