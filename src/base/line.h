/* The bare cache line between two CPUs: what no exchange between two processes can be faster than. */
#ifndef BASE_LINE_H
#define BASE_LINE_H

/*
 * Median time of one line each way, `rounds` times, between this process and a child of it that calls
 * place_child first (to pin itself); the better of with and without `pause`, less what reading the clock
 * costs. Both spin: on one CPU it takes a time slice each way. HERMES_ENOMEM, HERMES_ELIMIT: there is no
 * child.
 */
int line_round_trip(unsigned rounds, void (*place_child)(void), double *ns);

/* What reading the monotonic clock before and after adds to a latency. */
double line_clock_cost_ns(void);

#endif
