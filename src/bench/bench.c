/* hermes bench SUITE: which, how much, how often. */
#include "bench/bench.h"
#include "cli/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
    int cores;
} suites[] = {{"ring", bench_ring, 2}, {"mpmc", bench_mpmc, 2},   {"codec", bench_codec, 1},
              {"log", bench_log, 2},   {"store", bench_store, 1}, {"topic", bench_topic, 2},
              {"rate", bench_rate, 2}, {"eager", bench_eager, 2}, {"broker", bench_broker, 2},
              {"net", bench_net, 2},   {"udp", bench_udp, 2}};

enum { SUITES = sizeof suites / sizeof suites[0] };

static const char documentation[] =
    "Measure Hermes on this machine.\v"
    "WHAT is ring, mpmc, codec, log, store, topic, rate, eager, broker, net, udp or all. Two pinned "
    "processes, and every payload byte is read. Where two virtual cores are in the machine changes "
    "within seconds, so beside each figure stands what a bare cache line's round trip took just "
    "before and just after: compare what was measured in the same placement, latencies as ratios to "
    "the line. Placements are named close (a line below 100 ns), near (to 200), between (to 300) "
    "and far. What was measured while the cores moved (two lines that differ by more than a fifth) "
    "is thrown away and measured again, up to eight times. Only codec and store run on one core. "
    "What is stored, is stored in a directory in TMPDIR (/tmp), which goes with the benchmark.\n\n"
    "rate: messages that are due at given moments, and how late they come, from when they were due, "
    "beside loops that only look at the clock by the same schedule. eager: what publishing costs "
    "alone and beside subscribers that never stop looking. net: topics over TCP on this host. udp: "
    "mirrors without a broker, what is lost repaired. topic, rate, eager, broker and net start "
    "brokers of their own.\n\n"
    "--json with --runs or --minutes makes a document that `./run bench --compare OLD NEW` "
    "reads." CLI_EXIT_CODES;

enum { OPTION_ARRIVALS = 256, OPTION_RUNS, OPTION_MINUTES };

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "One JSON object: version, machine, and a list `results`", 0},
    {"hgrm", 'h', "FILE", 0, "Write the last latency histogram to FILE (.hgrm)", 0},
    {"plot", 'p', "FILE", 0, "Draw latency by percentile into FILE (.svg)", 0},
    {"scale", 's', "PERCENT", 0, "Do more or less work (100)", 0},
    {"runs", OPTION_RUNS, "N", 0, "Measure all of it N times (1)", 0},
    {"minutes", OPTION_MINUTES, "N", 0, "Measure again and again for N minutes", 0},
    {"rate", 'r', "N", 0, "rate: N messages a second, as 250k, 1M or 1000 (all of 0.1, 1, 2 and 5 M)", 0},
    {"arrivals", OPTION_ARRIVALS, "KIND", 0,
     "rate: even, poisson, quotes (the bursts of a market feed), or a file whose lines begin with "
     "rising times in seconds, whose pattern is brought to the rate (poisson)",
     0},
    {0},
};

struct arguments {
    const char *what;
    const char *hgrm;
    const char *plot;
    double runs, minutes;
    struct bench bench;
};

/* "250k", "1M", "1000". */
static double per_second(struct argp_state *state, const char *value)
{
    char digits[32];
    size_t length = strlen(value);
    double unit = 1;
    if (length > 0 && length < sizeof digits && strchr("kKM", value[length - 1]) != NULL)
        unit = value[--length] == 'M' ? 1e6 : 1e3;
    snprintf(digits, sizeof digits, "%.*s", (int)length, value);
    double rate = cli_number(state, "--rate", digits) * unit;
    if (rate < 1 || rate > 1e8)
        argp_error(state, "--rate %s: 1 to 100M", value);
    return rate;
}

static bool is_wanted(const struct arguments *a, size_t suite)
{
    return strcmp(a->what, suites[suite].name) == 0 || strcmp(a->what, "all") == 0;
}

static void check(struct argp_state *state, const struct arguments *a)
{
    const char *names[SUITES + 2] = {NULL};
    for (size_t i = 0; i < SUITES; i++)
        names[i] = suites[i].name;
    names[SUITES] = "all";
    (void)cli_choice(state, "suite", a->what, names);
    if ((a->bench.per_second > 0 || a->bench.arrivals != NULL) && strcmp(a->what, "rate") != 0 &&
        strcmp(a->what, "all") != 0)
        argp_error(state, "--rate and --arrivals are of the suite rate");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->bench.json = true;
        return 0;
    case 'h':
        a->hgrm = value;
        return 0;
    case 'p':
        a->plot = value;
        return 0;
    case 's':
        a->bench.scale = cli_count(state, "--scale", value, 10000);
        if (a->bench.scale == 0)
            argp_error(state, "--scale %s: 1 to 10000", value);
        return 0;
    case 'r':
        a->bench.per_second = per_second(state, value);
        return 0;
    case OPTION_ARRIVALS:
        a->bench.arrivals = value;
        return 0;
    case OPTION_RUNS:
        a->runs = cli_number(state, "--runs", value);
        if (a->runs < 1)
            argp_error(state, "--runs %s: 1 or more", value);
        return 0;
    case OPTION_MINUTES:
        a->minutes = cli_number(state, "--minutes", value);
        if (a->minutes > 1e6)
            argp_error(state, "--minutes %s: at most a million", value);
        return 0;
    case ARGP_KEY_ARG:
        a->what = cli_argument(state, value);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        check(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Two processes that spin on one core take turns of milliseconds: that measures nothing, and takes hours. */
static bool has_cores(const struct arguments *a)
{
    for (size_t i = 0; i < SUITES; i++)
        if (is_wanted(a, i) && suites[i].cores > bench_cpus())
            return false;
    return true;
}

static void run_suites(struct arguments *a)
{
    for (size_t i = 0; i < SUITES; i++)
        if (is_wanted(a, i))
            suites[i].run(&a->bench);
}

/* As many times, or for as long, as was asked for; no more than there is room for. */
static void run_again_and_again(struct arguments *a)
{
    uint64_t end = cli_now_ns() + (uint64_t)(a->minutes * 6e10);
    unsigned most_of_a_run = 0;
    for (double run = 0; run < a->runs || cli_now_ns() < end; run++) {
        unsigned before = a->bench.count;
        if (before + most_of_a_run > BENCH_RESULTS)
            break;
        run_suites(a);
        most_of_a_run = a->bench.count - before;
    }
}

/* What was asked for beside the figures: a file that is open before hours are spent on them. */
static FILE *open_output(const char *path)
{
    FILE *file = path == NULL ? NULL : fopen(path, "we");
    if (path != NULL && file == NULL)
        exit(cli_fail(path, 0, strerror(errno)));
    return file;
}

static int finish_output(const char *path, FILE *file, bool has_latency)
{
    if (file == NULL)
        return EXIT_GOOD;
    bool is_written = fflush(file) == 0 && ferror(file) == 0;
    int error = errno;
    fclose(file);
    if (!has_latency)
        return cli_fail(path, 0, "nothing to draw or to write: this suite measures no latency");
    return is_written ? EXIT_GOOD : cli_fail(path, 0, strerror(error));
}

int cli_bench(int argc, char **argv)
{
    static struct arguments a = {.bench.scale = 100, .runs = 1};
    const struct argp argp = {options, parse, "WHAT", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    if (!has_cores(&a))
        return cli_fail(
            a.what, 0, "two cores are needed, and this process may run on one; codec and store need no more");
    FILE *hgrm = open_output(a.hgrm), *plot = open_output(a.plot);
    bench_pin(0);
    run_again_and_again(&a);
    if (a.bench.json)
        bench_print_document(&a.bench);
    int drawn = finish_output(a.plot, plot, plot != NULL && bench_plot(&a.bench, plot));
    int written = finish_output(a.hgrm, hgrm, hgrm != NULL && bench_write_hgrm(hgrm));
    return drawn != EXIT_GOOD ? drawn : written;
}
