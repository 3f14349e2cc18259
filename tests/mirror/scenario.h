/*
 * What happens in one history: all of it follows from a seed. A scenario can be made simpler, one aspect at a
 * time, as long as it still fails: what is left is what it takes.
 */
#ifndef TESTS_MIRROR_SCENARIO_H
#define TESTS_MIRROR_SCENARIO_H

#include "mirror/listener.h"
#include "mirror/network.h"

enum { RECEIVERS_MAX = 50, ACTIONS_MAX = 12, EPOCHS_MAX = ACTIONS_MAX + 2 };

enum action_kind { PARTITION, RESTART_RECEIVER, RESTART_SENDER, NEW_EPOCH, ACTION_KINDS };

struct action {
    enum action_kind kind;
    uint64_t at_ns, lasts_ns;
    uint32_t whom;
    uint32_t cut_bytes; /* NEW_EPOCH: so much of what was written before is not of the log */
};

struct scenario {
    uint64_t seed;
    uint32_t simpler; /* which simplifications */
    uint32_t receivers;
    bool multicast, sealed, congestion, overflows, hostile, live, late;
    enum sender_flow flow;
    uint32_t group_min;
    struct link down, up; /* of each receiver */
    struct link shared;   /* what all lose */
    uint64_t log_bytes, write_bytes, write_every_ns;
    uint64_t keep_bytes; /* of the log; 0: all */
    uint64_t window_bytes, bytes_per_s, silence_ns;
    uint32_t actions;
    struct action action[ACTIONS_MAX];
};

enum { SIMPLIFICATIONS = 16 };

void scenario_make(struct scenario *scenario, uint64_t seed, uint32_t simpler);
const char *scenario_simplification(uint32_t bit);
void scenario_print(const struct scenario *scenario);

/* All datagrams arrive in the order in which they were sent, once or not at all, undamaged; everybody is
 * there from the beginning: so nothing is to be repaired that was not lost. */
bool scenario_is_exact(const struct scenario *scenario);

#endif
