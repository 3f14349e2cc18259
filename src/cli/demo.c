/*
 * hermes demo: a broker of its own, a feed, and the four actors of examples/, each a process.
 *
 *     feed -> market.quotes -> sniper_bot ------> orders -> trading_executor
 *                           -> risk_engine ---/
 *                           -> analytics
 *
 * The actors tell by lines on their standard output how far they are (examples/c/actor.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/cli.h"
#include "cli/feed/quotes.h"
#include "cli/parse.h"
#include "cli/schedule.h"
#include "cli/table.h"
#include "cli/terminal.h"

static const char documentation[] =
    "Run a market feed through a broker and four programs - a trading bot, a risk engine, analytics and an "
    "executor - and tell what was delivered and how fast.\v"
    "FEED is CSV (ask price, ask size, bid price, bid size; a time in seconds before them or not; or columns "
    "in any "
    "order, with a heading that has these names) or ITCH 5.0, plain or gzip-compressed: a quote for each "
    "change of a "
    "stock's best bid or ask. Without it a generated book is used. --rate R paces it at R quotes a second "
    "(default 10000), --rate feed at the feed's own times, --rate max not at all. Failed is "
    "what was not delivered exactly once and in order."
    "\n\nExamples:\n"
    "  hermes demo --count 10000 --rate max\n"
    "  hermes demo quotes.csv --rate feed" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"rate", 'r', "R|feed|max", 0, "Quotes a second (10000)", 0},
    {"count", 'n', "N", 0, "Quotes: the first N of FEED (all of it), or so many generated (50000)", 0},
    {"symbol", 'y', "S", 0, "Of the feed, stock S alone", 0},
    {"backend", 'b', "NAME", 0, "The broker's event loop: auto, io_uring or epoll", 0},
    {"actors", 'a', "DIR", 0,
     "Where sniper_bot, risk_engine, analytics and trading_executor are: programs that speak as "
     "examples/c/actor.h "
     "says (those in C that come with Hermes)",
     0},
    {0},
};

struct arguments {
    const char *feed;
    const char *symbol;
    double rate;    /* 0: max; below 0: the feed's own times */
    uint64_t count; /* 0: all of the feed */
    const char *backend;
    const char *actors;
};

enum actor_index { BOT, RISK, ANALYTICS, EXECUTOR, ACTORS };

struct child {
    const char *name;
    const char *topic; /* that it consumes */
    pid_t pid;
    int fd; /* its standard output; -1: ended */
    char line[512];
    size_t used;
    bool ready;
    uint64_t received, sequence, sent, lost, repeated, reordered, p50, p99, p999, max;
    char info[256];
};

struct demo {
    struct arguments arguments;
    struct quotes quotes; /* the feeder's */
    char home[64];
    char programs[PATH_BYTES]; /* where hermesd is */
    char actor_programs[PATH_BYTES];
    pid_t broker;
    int broker_fd;
    struct child actors[ACTORS];
    struct child feeder;
    uint64_t published, feed_ns;
    uint64_t last_movement_ns;
};

static const uint64_t patience_ns = 20000000000u;

static error_t parse(int key, char *value, struct argp_state *state)
{
    static const char *const backends[] = {"auto", "io_uring", "epoll", NULL};
    struct arguments *a = state->input;
    switch (key) {
    case 'r':
        a->rate = strcmp(value, "max") == 0    ? 0
                  : strcmp(value, "feed") == 0 ? -1
                                               : cli_number(state, "--rate", value);
        if (a->rate == 0 && strcmp(value, "max") != 0)
            argp_error(state, "--rate %s: above 0, feed or max", value);
        return 0;
    case 'n':
        a->count = cli_count(state, "--count", value, UINT64_MAX);
        if (a->count == 0)
            argp_error(state, "--count 0: a demo of nothing");
        return 0;
    case 'y':
        a->symbol = value;
        return 0;
    case 'b':
        (void)cli_choice(state, "--backend", value, backends);
        a->backend = value;
        return 0;
    case 'a':
        a->actors = value;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage(state);
        a->feed = value;
        return 0;
    case ARGP_KEY_END:
        if (a->feed == NULL && a->count == 0)
            a->count = 50000;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- processes ---- */

/* Starts a program that stands beside this one; *fd reads its standard output. It dies with us. */
static pid_t start(const char *directory, const char *const argv[], int *fd)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return -1;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        char path[PATH_BYTES + 64];
        signal(SIGPIPE, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(1);
        dup2(pipe_fds[1], STDOUT_FILENO);
        snprintf(path, sizeof path, "%s/%s", directory, argv[0]);
        execv(path, (char *const *)(uintptr_t)argv);
        fprintf(stderr, "hermes demo: cannot start %s: %s\n", path, strerror(errno));
        _exit(127);
    }
    close(pipe_fds[1]);
    *fd = pipe_fds[0];
    return pid;
}

static void feed_main(struct demo *demo, int fd)
{
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher;
    struct error_text text = {{0}};
    quote_t quote;
    bool timed;
    FILE *out = fdopen(fd, "w");
    const struct arguments *a = &demo->arguments;
    int rc = hermes_publisher_open(client, TOPIC_QUOTES, NULL, &publisher);
    if (rc < 0 || out == NULL)
        _exit(cli_fail(TOPIC_QUOTES, rc, hermes_last_error(client)));
    struct schedule schedule = {.speed = 1, .unit = "quote"};
    uint64_t start_ns = cli_now_ns(), i = 0, next_progress = start_ns;
    for (; (a->count == 0 || i < a->count) && (rc = quotes_next(&demo->quotes, &quote, &timed, &text)) > 0;
         i++) {
        if (a->rate > 0)
            cli_sleep_until_due(start_ns, (double)i * 1e9 / a->rate);
        else if (a->rate < 0 && timed)
            schedule_wait(&schedule, quote.feed_time_ns, i + 1);
        if (cli_stop)
            break;
        rc = hermes_publish(publisher, &quote, sizeof quote, NULL);
        if (rc < 0)
            _exit(cli_fail(TOPIC_QUOTES, rc, hermes_last_error(client)));
        if (i % 256 == 0 && cli_now_ns() >= next_progress) {
            fprintf(out, "progress received=0 sequence=0 sent=%" PRIu64 "\n", i);
            fflush(out);
            next_progress += 100000000;
        }
    }
    if (rc < 0 && !cli_stop)
        _exit(cli_fail(a->feed, rc, text.bytes));
    schedule_report(&schedule);
    quotes_report(&demo->quotes);
    uint64_t took = cli_now_ns() - start_ns;
    rc = hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns);
    if (rc < 0)
        _exit(cli_fail(TOPIC_QUOTES, rc, hermes_last_error(client)));
    fprintf(out, "progress received=%" PRIu64 " sequence=%" PRIu64 " sent=%" PRIu64 "\n", took, i, i);
    fflush(out);
    hermes_disconnect(client);
    _exit(0);
}

static bool start_feed(struct demo *demo)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return false;
    demo->feeder.pid = fork();
    if (demo->feeder.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        feed_main(demo, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    demo->feeder.fd = pipe_fds[0];
    return demo->feeder.pid > 0;
}

/* ---- lines ---- */

static uint64_t field(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static void take_line(struct child *child, const char *line)
{
    if (strcmp(line, "ready") == 0) {
        child->ready = true;
    } else if (strncmp(line, "progress ", 9) == 0) {
        child->received = field(line, " received=");
        child->sequence = field(line, " sequence=");
        child->sent = field(line, " sent=");
    } else if (strncmp(line, "report ", 7) == 0) {
        child->received = field(line, " received=");
        child->lost = field(line, " lost=");
        child->repeated = field(line, " repeated=");
        child->reordered = field(line, " reordered=");
        child->p50 = field(line, " p50=");
        child->p99 = field(line, " p99=");
        child->p999 = field(line, " p999=");
        child->max = field(line, " max=");
    } else if (strncmp(line, "info ", 5) == 0) {
        snprintf(child->info, sizeof child->info, "%s", line + 5);
    }
}

static void read_lines(struct child *child)
{
    ssize_t got = read(child->fd, child->line + child->used, sizeof child->line - 1 - child->used);
    if (got <= 0) {
        close(child->fd);
        child->fd = -1;
        return;
    }
    child->used += (size_t)got;
    child->line[child->used] = 0;
    char *begin = child->line, *end;
    while ((end = strchr(begin, '\n')) != NULL) {
        *end = 0;
        take_line(child, begin);
        begin = end + 1;
    }
    child->used -= (size_t)(begin - child->line);
    memmove(child->line, begin, child->used);
    if (child->used == sizeof child->line - 1)
        child->used = 0; /* no line of ours is that long */
}

/* Reads what the children say for up to a tenth of a second. */
static void listen_to_children(struct demo *demo)
{
    struct pollfd fds[ACTORS + 1];
    struct child *who[ACTORS + 1];
    nfds_t count = 0;
    for (int i = 0; i <= ACTORS; i++) {
        struct child *child = i < ACTORS ? &demo->actors[i] : &demo->feeder;
        if (child->fd >= 0) {
            fds[count] = (struct pollfd){.fd = child->fd, .events = POLLIN};
            who[count++] = child;
        }
    }
    if (poll(fds, count, 100) > 0)
        for (nfds_t i = 0; i < count; i++)
            if (fds[i].revents != 0) {
                read_lines(who[i]);
                demo->last_movement_ns = cli_now_ns();
            }
}

static uint64_t orders_sent(const struct demo *demo)
{
    return demo->actors[BOT].sent + demo->actors[RISK].sent;
}

static void show_progress(const struct demo *demo, bool last)
{
    static uint64_t next;
    char line[256];
    unsigned columns = terminal_columns(STDERR_FILENO);
    if (columns == 0 || (!last && cli_now_ns() < next))
        return;
    next = cli_now_ns() + 250000000;
    const bool wide = columns >= 120;
    snprintf(line, sizeof line,
             "%" PRIu64 " quotes%s bot %" PRIu64 ", risk %" PRIu64 ", analytics %" PRIu64
             "; orders %s%" PRIu64 "%s%" PRIu64,
             demo->feeder.sent, wide ? " published; received by" : ";", demo->actors[BOT].received,
             demo->actors[RISK].received, demo->actors[ANALYTICS].received, wide ? "executed " : "",
             demo->actors[EXECUTOR].received, wide ? " of " : "/", orders_sent(demo));
    terminal_show(line);
    if (last)
        terminal_end_line();
}

/* ---- the run ---- */

static bool start_broker(struct demo *demo)
{
    const char *argv[4] = {"hermesd", demo->arguments.backend != NULL ? "--backend" : NULL,
                           demo->arguments.backend, NULL};
    char line[512] = "";
    demo->broker = start(demo->programs, argv, &demo->broker_fd);
    if (demo->broker < 0 || read(demo->broker_fd, line, sizeof line - 1) <= 0) {
        fprintf(stderr, "hermes demo: the broker did not start\n");
        return false;
    }
    printf("%s", line);
    return true;
}

static bool create_topics(void)
{
    hermes_client_t *client = cli_connect();
    hermes_topic_options_t shared = {
        .size = sizeof shared, .durability = HERMES_DURABILITY_ASYNC, .shared = 1};
    int rc = hermes_topic_create(client, TOPIC_QUOTES, NULL);
    rc = rc < 0 ? rc : hermes_topic_create(client, TOPIC_ORDERS, &shared);
    if (rc < 0)
        cli_fail("create topics", rc, hermes_last_error(client));
    hermes_disconnect(client);
    return rc == 0;
}

static const char *const actors[ACTORS] = {"sniper_bot", "risk_engine", "analytics", "trading_executor"};

/* Packages of the clients have this program, and not them. */
static bool check_actors(const struct demo *demo)
{
    for (int i = 0; i < ACTORS; i++) {
        char path[PATH_BYTES + 64];
        snprintf(path, sizeof path, "%s/%s", demo->actor_programs, actors[i]);
        if (access(path, X_OK) == 0)
            continue;
        fprintf(
            stderr,
            "hermes demo: %s: %s\nThe four actors are built from a checkout of Hermes, by ./run demo, or by "
            "./run actors into build/actors: --actors DIR says where they are.\n",
            path, strerror(errno));
        return false;
    }
    return true;
}

static bool start_actors(struct demo *demo)
{
    for (int i = 0; i < ACTORS; i++) {
        struct child *child = &demo->actors[i];
        const char *argv[3] = {actors[i], "--progress", NULL};
        child->name = actors[i];
        child->topic = i == EXECUTOR ? TOPIC_ORDERS : TOPIC_QUOTES;
        child->pid = start(demo->actor_programs, argv, &child->fd);
        while (child->pid > 0 && !child->ready && child->fd >= 0)
            read_lines(child);
        if (!child->ready)
            return false;
    }
    return true;
}

static bool everything_arrived(const struct demo *demo)
{
    for (int i = 0; i < EXECUTOR; i++)
        if (demo->actors[i].sequence < demo->published)
            return false;
    return demo->actors[EXECUTOR].received >= orders_sent(demo);
}

/* Until the feed has ended and everybody has everything, or nobody has moved for long. */
static bool follow(struct demo *demo)
{
    demo->last_movement_ns = cli_now_ns();
    unsigned calm = 0;
    while (!cli_stop && cli_now_ns() - demo->last_movement_ns < patience_ns) {
        listen_to_children(demo);
        show_progress(demo, false);
        for (int i = 0; i < ACTORS; i++)
            if (demo->actors[i].fd < 0) {
                fprintf(stderr, "hermes demo: %s ended too early\n", demo->actors[i].name);
                return false;
            }
        if (demo->feeder.fd >= 0)
            continue;
        demo->published = demo->feeder.sequence;
        demo->feed_ns = demo->feeder.received;
        if (demo->published == 0)
            return false;
        /* The progress lines of sender and receiver must agree twice: one may be older than the other. */
        calm = everything_arrived(demo) ? calm + 1 : 0;
        if (calm >= 20)
            return true;
    }
    return everything_arrived(demo);
}

static void stop_actors(struct demo *demo)
{
    for (int i = 0; i < ACTORS; i++)
        if (demo->actors[i].pid > 0)
            kill(demo->actors[i].pid, SIGTERM);
    for (int i = 0; i < ACTORS; i++) {
        while (demo->actors[i].fd >= 0)
            read_lines(&demo->actors[i]);
        if (demo->actors[i].pid > 0)
            waitpid(demo->actors[i].pid, NULL, 0);
    }
    if (demo->feeder.pid > 0) {
        kill(demo->feeder.pid, SIGTERM);
        waitpid(demo->feeder.pid, NULL, 0);
    }
}

static int stop_broker(struct demo *demo)
{
    int status = 0;
    if (demo->broker > 0) {
        kill(demo->broker, SIGTERM);
        waitpid(demo->broker, &status, 0);
    }
    return status;
}

static void end_table(struct table *table)
{
    table_end(table, stdout, terminal_columns(STDOUT_FILENO));
    putchar('\n');
}

static void print_topics(const struct demo *demo)
{
    static const char *const headings[] = {"TOPIC", "#PUBLISHED", "#MESSAGES/S", "#BYTES STORED", NULL};
    hermes_client_t *client = cli_connect();
    const double seconds = (double)demo->feed_ns / 1e9;
    const char *const topics[] = {TOPIC_QUOTES, TOPIC_ORDERS};
    const uint64_t published[] = {demo->published, orders_sent(demo)};
    struct table table;
    table_begin(&table, headings);
    for (int i = 0; i < 2; i++) {
        hermes_topic_info_t info = {.size = sizeof info};
        (void)hermes_topic_describe(client, topics[i], &info);
        table_text(&table, topics[i]);
        table_print(&table, "%" PRIu64, published[i]);
        table_print(&table, "%.0f", seconds > 0 ? (double)published[i] / seconds : 0);
        table_print(&table, "%" PRIu64, info.persisted_position);
    }
    hermes_disconnect(client);
    end_table(&table);
}

static uint64_t distinct(const struct child *child)
{
    return child->received - child->repeated - child->reordered;
}

/* How many that consumer should have. */
static uint64_t expected_of(const struct demo *demo, int actor)
{
    return actor == EXECUTOR ? orders_sent(demo) : demo->published;
}

static void print_deliveries(const struct demo *demo)
{
    static const char *const headings[] = {"CONSUMER",  "TOPIC",      "#RECEIVED", "#LOST",
                                           "#REPEATED", "#REORDERED", NULL};
    struct table table;
    table_begin(&table, headings);
    for (int i = 0; i < ACTORS; i++) {
        const struct child *c = &demo->actors[i];
        table_text(&table, c->name);
        table_text(&table, c->topic);
        table_print(&table, "%" PRIu64, c->received);
        table_print(&table, "%" PRIu64, expected_of(demo, i) - distinct(c));
        table_print(&table, "%" PRIu64, c->repeated);
        table_print(&table, "%" PRIu64, c->reordered);
    }
    end_table(&table);
}

static void print_latencies(const struct demo *demo)
{
    static const char *const headings[] = {"LATENCY, us", "#MEDIAN", "#99 %", "#99.9 %", "#MAXIMUM", NULL};
    struct table table;
    table_begin(&table, headings);
    for (int i = 0; i < ACTORS; i++) {
        const struct child *c = &demo->actors[i];
        const uint64_t ns[] = {c->p50, c->p99, c->p999, c->max};
        table_text(&table, c->name);
        for (int j = 0; j < 4; j++)
            table_print(&table, "%.1f", (double)ns[j] / 1e3);
    }
    end_table(&table);
}

static int report(const struct demo *demo)
{
    uint64_t delivered = 0, wanted = 0, repeated = 0, reordered = 0;
    putchar('\n');
    print_topics(demo);
    print_deliveries(demo);
    print_latencies(demo);
    for (int i = 0; i < ACTORS; i++) {
        const struct child *c = &demo->actors[i];
        delivered += distinct(c);
        wanted += expected_of(demo, i);
        repeated += c->repeated;
        reordered += c->reordered;
        if (c->info[0] != 0) {
            int name = printf("%s: ", c->name);
            terminal_print_wrapped(c->info, (unsigned)name, terminal_columns(STDOUT_FILENO));
        }
    }
    uint64_t lost = wanted - delivered;
    printf("\ndelivered %" PRIu64 " of %" PRIu64 " messages, lost %" PRIu64 ", repeated %" PRIu64 "\n",
           delivered, wanted, lost, repeated);
    return lost == 0 && repeated == 0 && reordered == 0 && wanted > 0 ? EXIT_GOOD : EXIT_FAILED;
}

/* hermesd stands beside this program; the actors too where it was built, else in ../libexec/hermes. */
static bool find_programs(struct demo *demo)
{
    static const char installed[] = "/../libexec/hermes", actor[] = "/analytics";
    ssize_t length = readlink("/proc/self/exe", demo->programs, sizeof demo->programs - 1);
    char *slash = length > 0 ? strrchr(demo->programs, '/') : NULL;
    if (slash == NULL)
        return false;
    *slash = 0;
    if (demo->arguments.actors != NULL) {
        snprintf(demo->actor_programs, sizeof demo->actor_programs, "%s", demo->arguments.actors);
        return true;
    }
    char path[PATH_BYTES + sizeof actor];
    snprintf(path, sizeof path, "%s%s", demo->programs, actor);
    snprintf(demo->actor_programs, sizeof demo->actor_programs, "%.4000s%s", demo->programs,
             access(path, X_OK) == 0 ? "" : installed);
    return true;
}

static void remove_home(const struct demo *demo)
{
    char path[PATH_BYTES];
    static const char *const topics[] = {TOPIC_QUOTES, TOPIC_ORDERS};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/data/topics/%s", demo->home, topics[i]);
        path_sweep(path, "");
    }
    snprintf(path, sizeof path, "%s/data/topics", demo->home);
    path_sweep(path, "");
    snprintf(path, sizeof path, "%s/data", demo->home);
    path_sweep(path, "");
    path_sweep(demo->home, "");
}

int cli_demo(int argc, char **argv)
{
    static struct demo demo = {.arguments = {.rate = 10000}, .broker_fd = -1};
    const struct argp argp = {options, parse, "[FEED]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &demo.arguments);
    if (demo.arguments.symbol != NULL && demo.arguments.feed == NULL) {
        fprintf(stderr, "hermes demo: --symbol is for a feed\n");
        return EXIT_USAGE;
    }
    struct error_text text = {{0}};
    const struct quotes_wish wish = {demo.arguments.symbol, demo.arguments.count, &cli_stop};
    int rc = quotes_open(&demo.quotes, demo.arguments.feed, wish, &text);
    if (rc < 0)
        return cli_fail(demo.arguments.feed, rc, text.bytes);
    for (int i = 0; i < ACTORS; i++)
        demo.actors[i].fd = -1;
    demo.feeder.fd = -1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN); /* what was started is put away, though nobody reads what we print */
    cli_catch_signals();
    snprintf(demo.home, sizeof demo.home, "/tmp/hermes-demo-XXXXXX");
    if (!find_programs(&demo))
        return cli_fail("cannot read /proc/self/exe", 0, strerror(errno));
    if (!check_actors(&demo))
        return EXIT_FAILED;
    if (mkdtemp(demo.home) == NULL || setenv("HERMES_HOME", demo.home, 1) != 0 || unsetenv("HERMES_URL") != 0)
        return cli_fail("cannot make a directory in /tmp", 0, strerror(errno));

    int code = EXIT_FAILED;
    if (start_broker(&demo) && create_topics() && start_actors(&demo) && start_feed(&demo)) {
        (void)follow(&demo);
        show_progress(&demo, true);
        stop_actors(&demo);
        if (demo.published > 0)
            code = report(&demo);
    } else {
        stop_actors(&demo);
    }
    if (stop_broker(&demo) != 0) {
        fprintf(stderr, "hermes demo: the broker did not stop in good order\n");
        code = EXIT_FAILED;
    }
    remove_home(&demo);
    quotes_close(&demo.quotes);
    return code;
}
