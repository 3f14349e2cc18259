/* hermes bench ring|codec|log|store|topic|broker */
#include "bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char documentation[] =
    "Measure Hermes on this machine.\v"
    "WHAT is ring, mpmc, codec, log, store, topic, broker or all. Latencies are medians of round trips "
    "between two "
    "pinned "
    "processes that read every payload byte, with the round trip of a bare cache line measured just before "
    "and "
    "after beside them: where two virtual cores are changes within seconds, so compare ratios, not figures. "
    "topic and broker start a broker of their own.";

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "One JSON object with a list `results`", 0},
    {"hgrm", 'h', "FILE", 0, "Write the last latency histogram to FILE (.hgrm)", 0},
    {"plot", 'p', "FILE", 0, "Draw latency by percentile into FILE (.svg)", 0},
    {"scale", 's', "PERCENT", 0, "Do more or less work (100)", 0},
    {0},
};

struct arguments {
    const char *what;
    const char *hgrm;
    const char *plot;
    struct bench bench;
};

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
        a->bench.scale = (uint64_t)cli_number(state, "--scale", value);
        if (a->bench.scale == 0 || a->bench.scale > 10000)
            argp_error(state, "--scale %s: 1 to 10000", value);
        return 0;
    case ARGP_KEY_ARG:
        a->what = cli_argument(state, value);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- processes ---- */

void bench_pin_process(pid_t pid, int side)
{
    static cpu_set_t allowed;
    static bool known;
    if (!known) {
        known = true;
        sched_getaffinity(0, sizeof allowed, &allowed);
    }
    cpu_set_t chosen = allowed;
    int seen = 0;
    for (size_t cpu = 0; side >= 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&chosen);
            CPU_SET(cpu, &chosen);
            if (seen++ == side)
                break;
        }
    sched_setaffinity(pid, sizeof chosen, &chosen);
}

void bench_pin(int side)
{
    bench_pin_process(0, side);
}

void *bench_shared(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("hermes bench: shared memory");
        exit(EXIT_FAILED);
    }
    return memory;
}

pid_t bench_child(void (*body)(void *context), void *context)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(1);
        body(context);
        _exit(0);
    }
    return pid;
}

void bench_join(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        exit(cli_fail("benchmark", 0, "the other process failed"));
}

/* ---- the line ---- */

struct line {
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
    uint64_t rounds;
    bool pause;
};

static void line_echo(void *context)
{
    struct line *line = context;
    for (uint64_t i = 1; i <= line->rounds; i++) {
        while (atomic_load_explicit(&line->ping, memory_order_acquire) != i)
            if (line->pause)
                cpu_relax();
        atomic_store_explicit(&line->pong, i, memory_order_release);
    }
}

static double line_once(bool pause)
{
    static struct histogram histogram;
    struct line *line = bench_shared(sizeof *line);
    line->rounds = 20000;
    line->pause = pause;
    histogram_reset(&histogram);
    pid_t child = bench_child(line_echo, line);
    for (uint64_t i = 1; i <= line->rounds; i++) {
        uint64_t start = cli_now_ns();
        atomic_store_explicit(&line->ping, i, memory_order_release);
        while (atomic_load_explicit(&line->pong, memory_order_acquire) != i)
            if (pause)
                cpu_relax();
        histogram_record(&histogram, cli_now_ns() - start);
    }
    bench_join(child);
    munmap(line, sizeof *line);
    return (double)histogram_quantile(&histogram, 0.5);
}

double bench_clock_cost(void)
{
    static struct histogram histogram;
    histogram_reset(&histogram);
    for (int i = 0; i < 10000; i++) {
        uint64_t start = cli_now_ns();
        histogram_record(&histogram, cli_now_ns() - start);
    }
    return (double)histogram_quantile(&histogram, 0.5);
}

double bench_line_rtt(void)
{
    double plain = line_once(false), paused = line_once(true);
    return (plain < paused ? plain : paused) - bench_clock_cost();
}

void bench_latency(struct bench *bench, const char *name, uint64_t size_bytes,
                   void (*measure)(void *context, struct histogram *histogram), void *context)
{
    static struct histogram histogram;
    struct bench_result *result = bench_add(bench, name, size_bytes);
    for (int attempt = 0; attempt < 8; attempt++) {
        double before = bench_line_rtt();
        histogram_reset(&histogram);
        measure(context, &histogram);
        double after = bench_line_rtt(), cost = bench_clock_cost();
        result->rtt_p50_ns = (double)histogram_quantile(&histogram, 0.5) - cost;
        result->rtt_p99_ns = (double)histogram_quantile(&histogram, 0.99) - cost;
        result->line_rtt_ns = (before + after) / 2;
        result->ratio_to_line = result->rtt_p50_ns / result->line_rtt_ns;
        bench_take_quantiles(result, &histogram, cost);
        result->unsteady = before > 1.2 * after || after > 1.2 * before;
        if (!result->unsteady)
            break;
    }
    bench_print(bench, result);
    if (bench->hgrm != NULL) {
        rewind(bench->hgrm);
        if (ftruncate(fileno(bench->hgrm), 0) == 0)
            histogram_write_hgrm(&histogram, bench->hgrm);
        fflush(bench->hgrm);
    }
}

void bench_take_quantiles(struct bench_result *result, const struct histogram *histogram, double clock_cost)
{
    for (unsigned i = 0; i < BENCH_QUANTILES; i++) {
        double ns = (double)histogram_quantile(histogram, bench_quantile(i)) - clock_cost;
        result->quantiles[i] = ns < 1 ? 1 : ns;
    }
}

/* ---- trouble ---- */

void bench_must(int rc, const char *what, const char *sentence)
{
    if (rc < 0)
        exit(cli_fail(what, rc, sentence));
}

void bench_directory(char path[32])
{
    snprintf(path, 32, "/tmp/hermes-bench-XXXXXX");
    if (mkdtemp(path) == NULL)
        exit(cli_fail("cannot make a directory in /tmp", 0, strerror(errno)));
}

/* ---- results ---- */

struct bench_result *bench_add(struct bench *bench, const char *name, uint64_t size_bytes)
{
    struct bench_result *result = &bench->results[bench->count++];
    *result = (struct bench_result){.size_bytes = size_bytes};
    snprintf(result->name, sizeof result->name, "%s", name);
    return result;
}

void bench_print(const struct bench *bench, const struct bench_result *r)
{
    if (bench->json)
        return;
    printf("%-44s %6llu B", r->name, (unsigned long long)r->size_bytes);
    if (r->rtt_p50_ns > 0)
        printf("   rtt p50 %6.0f p99 %6.0f ns   line %4.0f ns   ratio %.2f%s", r->rtt_p50_ns, r->rtt_p99_ns,
               r->line_rtt_ns, r->ratio_to_line, r->unsteady ? "  (unsteady)" : "");
    if (r->one_way_p50_ns > 0)
        printf("   one way p50 %6.0f p99 %6.0f ns", r->one_way_p50_ns, r->one_way_p99_ns);
    if (r->call_p50_ns > 0)
        printf("   a call p50 %6.0f p99 %6.0f ns", r->call_p50_ns, r->call_p99_ns);
    if (r->resident_bytes > 0)
        printf("   %.2f %% of one core, %.1f MB", r->cpu_percent, r->resident_bytes / 1e6);
    if (r->messages_per_second > 0)
        printf("   %8.2f M/s", r->messages_per_second / 1e6);
    if (r->ns_per_operation >= 1e5)
        printf("   %8.2f ms", r->ns_per_operation / 1e6);
    else if (r->ns_per_operation > 0)
        printf("   %8.2f ns", r->ns_per_operation);
    if (r->bytes_per_second > 0)
        printf("   %6.2f GB/s", r->bytes_per_second / 1e9);
    if (r->line_rtt_ns > 0 && r->rtt_p50_ns == 0)
        printf("   (line %.0f ns)", r->line_rtt_ns);
    putchar('\n');
    fflush(stdout);
}

static void print_field(const char *name, double value)
{
    if (value > 0)
        printf(",\"%s\":%.3f", name, value);
}

static void print_json(const struct bench *bench)
{
    printf("{\"results\":[");
    for (unsigned i = 0; i < bench->count; i++) {
        const struct bench_result *r = &bench->results[i];
        printf("%s\n{\"name\":\"%s\",\"size_bytes\":%llu", i > 0 ? "," : "", r->name,
               (unsigned long long)r->size_bytes);
        print_field("rtt_p50_ns", r->rtt_p50_ns);
        print_field("rtt_p99_ns", r->rtt_p99_ns);
        print_field("line_rtt_ns", r->line_rtt_ns);
        print_field("ratio_to_line", r->ratio_to_line);
        print_field("one_way_p50_ns", r->one_way_p50_ns);
        print_field("one_way_p99_ns", r->one_way_p99_ns);
        print_field("call_p50_ns", r->call_p50_ns);
        print_field("call_p99_ns", r->call_p99_ns);
        print_field("cpu_percent", r->cpu_percent);
        print_field("resident_bytes", r->resident_bytes);
        print_field("messages_per_second", r->messages_per_second);
        print_field("ns_per_operation", r->ns_per_operation);
        print_field("bytes_per_second", r->bytes_per_second);
        printf(",\"steady\":%s}", r->unsteady ? "false" : "true");
    }
    printf("]}\n");
}

int cli_bench(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *bench);
    } suites[] = {{"ring", bench_ring},   {"mpmc", bench_mpmc},   {"codec", bench_codec},  {"log", bench_log},
                  {"store", bench_store}, {"topic", bench_topic}, {"broker", bench_broker}};
    static struct arguments a = {.bench.scale = 100};
    const struct argp argp = {options, parse, "WHAT", documentation, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.hgrm != NULL && (a.bench.hgrm = fopen(a.hgrm, "w+e")) == NULL)
        return cli_fail(a.hgrm, 0, strerror(errno));
    FILE *plot = NULL;
    if (a.plot != NULL && (plot = fopen(a.plot, "we")) == NULL)
        return cli_fail(a.plot, 0, strerror(errno));
    bool found = false;
    bench_pin(0);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if (strcmp(a.what, suites[i].name) == 0 || strcmp(a.what, "all") == 0) {
            found = true;
            suites[i].run(&a.bench);
        }
    if (!found) {
        fprintf(stderr, "hermes bench: no suite '%s': ring, codec, log, store, topic, broker or all\n",
                a.what);
        return EXIT_USAGE;
    }
    if (a.bench.json)
        print_json(&a.bench);
    if (plot != NULL && !bench_plot(&a.bench, plot))
        return cli_fail(a.plot, 0, "nothing to draw: this suite measures no latency");
    if (plot != NULL && fclose(plot) != 0)
        return cli_fail(a.plot, 0, strerror(errno));
    if (a.bench.hgrm != NULL)
        fclose(a.bench.hgrm);
    return EXIT_GOOD;
}
