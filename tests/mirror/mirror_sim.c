/*
 * Histories of mirrors: mirror_sim [--histories N] [--seed FIRST] [--simpler BITS] [--as-it-is] [--report]
 *
 * Each seed is a history. The first that does not hold is made as simple as it stays wrong, and printed with
 * the command that repeats it (--as-it-is: it is only named). --report: what the protocol achieves, in
 * virtual time, against what is asked of it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror/report.h"
#include "mirror/world.h"

enum { HISTORIES = 300 };

/* What was wrong; NULL: nothing. */
static const char *run(uint64_t seed, uint32_t simpler)
{
    struct scenario scenario;
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL)
        abort();
    scenario_make(&scenario, seed, simpler);
    (void)world_run(world, &scenario);
    const char *broken = world->broken;
    world_free(world);
    free(world);
    return broken;
}

static uint32_t shrink(uint64_t seed, uint32_t simpler)
{
    for (uint32_t bit = 0; bit < SIMPLIFICATIONS; bit++)
        if (run(seed, simpler | 1u << bit) != NULL)
            simpler |= 1u << bit;
    return simpler;
}

static void explain(uint64_t seed, uint32_t simpler)
{
    struct scenario scenario;
    simpler = shrink(seed, simpler);
    scenario_make(&scenario, seed, simpler);
    scenario_print(&scenario);
    for (uint32_t bit = 0; bit < SIMPLIFICATIONS; bit++)
        if (simpler >> bit & 1)
            printf("  also with: %s\n", scenario_simplification(bit));
    printf("FAILED: %s\n  repeat with: mirror_sim --seed %" PRIu64 " --simpler %#x\n", run(seed, simpler),
           seed, simpler);
}

static bool run_all(uint64_t first, uint64_t histories, uint32_t simpler, bool as_it_is)
{
    for (uint64_t seed = first; seed < first + histories; seed++) {
        const char *broken = run(seed, simpler);
        if (broken != NULL && as_it_is)
            printf("FAILED: %s, seed %" PRIu64 "\n", broken, seed);
        else if (broken != NULL)
            explain(seed, simpler);
        if (broken != NULL)
            return false;
    }
    printf("%" PRIu64 " histories from seed %" PRIu64 " on: every byte where it belongs\n", histories, first);
    return true;
}

static const struct option options[] = {
    {"histories", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
    {"simpler", required_argument, NULL, 'b'},   {"as-it-is", no_argument, NULL, 'a'},
    {"report", no_argument, NULL, 'r'},          {0},
};

int main(int argc, char **argv)
{
    uint64_t first = 0, histories = 0;
    uint32_t simpler = 0;
    bool as_it_is = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'n') {
            histories = strtoull(optarg, NULL, 0);
        } else if (option == 's') {
            first = strtoull(optarg, NULL, 0);
        } else if (option == 'b') {
            simpler = (uint32_t)strtoul(optarg, NULL, 0);
        } else if (option == 'a') {
            as_it_is = true;
        } else if (option == 'r') {
            return report() ? 0 : 1;
        } else {
            fputs(
                "usage: mirror_sim [--histories N] [--seed FIRST] [--simpler BITS] [--as-it-is] | --report\n",
                stderr);
            return 64;
        }
    }
    if (histories == 0)
        histories = first != 0 ? 1 : HISTORIES;
    return run_all(first != 0 ? first : 1, histories, simpler, as_it_is) ? 0 : 1;
}
