/* hermes stat */
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/stat.h"
#include "cli/terminal.h"
#include "counters/find.h"

static const char documentation[] =
    "Show the counters of topics, readers and publishers, of all or of those whose topics match TOPIC "
    "(patterns as of the shell)."
    "\vCounters are read from shared memory: the broker is not asked, and what it was counting when it was "
    "killed is shown as well. A lag is how many bytes a reader has still to read, or a group to finish, at "
    "most; K, M, G are powers of ten. docs/reference/counters.md says what each number is, and who writes "
    "it.\n"
    "\nExamples:\n"
    "  hermes stat\n"
    "  hermes stat 'orders*' --watch\n"
    "  hermes stat --json\n\n"
    "Exit codes: 0 shown; 1 no broker keeps counters here, or no topic matches; 64 wrong usage.";

enum { KEY_DATA = 256 };

static const struct argp_option options[] = {
    {"watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL, "Show them again and again, with rates (every 2 s)", 0},
    {"json", 'j', NULL, 0, "One JSON document; with --watch one a line", 0},
    {"data", KEY_DATA, "DIR", 0, "Of the broker with that data directory", 0},
    {0},
};

struct arguments {
    bool json;
    bool watches;
    uint64_t interval_ns;
    const char *data;
    char **patterns;
    int pattern_count;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    double seconds;
    switch (key) {
    case 'w':
        seconds = value == NULL ? 2 : cli_number(state, "--watch", value);
        if (seconds < 0.05 || seconds > 86400)
            argp_error(state, "--watch %s: from 0.05 to 86400 seconds", value);
        a->watches = true;
        a->interval_ns = (uint64_t)(seconds * 1e9);
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case KEY_DATA:
        a->data = value;
        return 0;
    case ARGP_KEY_ARGS:
        a->patterns = state->argv + state->next;
        a->pattern_count = state->argc - state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- what a sample comes to ---- */

bool stat_wants(const struct stat_frame *frame, const char *topic)
{
    for (int i = 0; i < frame->pattern_count; i++)
        if (fnmatch(frame->patterns[i], topic, 0) == 0)
            return true;
    return frame->pattern_count == 0;
}

const struct view_row *stat_topic_of(const struct stat_frame *frame, const struct view_row *row)
{
    return row->topic_row == 0 ? NULL : &frame->now->rows[row->topic_row - 1];
}

static bool position_of(const struct stat_frame *frame, const struct view_row *row, uint64_t *position)
{
    if (row->entry.kind == COUNTERS_GROUP)
        return view_value(frame->view, row, "done_position_bytes", position);
    return view_value(frame->view, row, "waited_for_at_bytes", position) ||
           view_value(frame->view, row, "position_bytes", position);
}

bool stat_lag(const struct stat_frame *frame, const struct view_row *row, uint64_t *bytes)
{
    const struct view_row *topic = stat_topic_of(frame, row);
    uint64_t head, position;
    if (topic == NULL || !view_value(frame->view, topic, "head_position_bytes", &head) ||
        !position_of(frame, row, &position))
        return false;
    *bytes = position < head ? head - position : 0;
    /* It may have gone on since the head was looked at, but not for long. */
    return position <= head || position - head <= view_number(frame->view, topic, "window_bytes");
}

double stat_rate(const struct stat_frame *frame, const struct view_row *row, const char *name)
{
    const struct view_row *before = frame->before == NULL ? NULL : view_find(frame->before, row);
    uint64_t from, to;
    if (before == NULL || !view_value(frame->view, before, name, &from) ||
        !view_value(frame->view, row, name, &to) || to < from ||
        frame->now->taken_ns <= frame->before->taken_ns)
        return 0;
    return (double)(to - from) * 1e9 / (double)(frame->now->taken_ns - frame->before->taken_ns);
}

static bool finds_topic(const struct stat_frame *frame)
{
    for (size_t i = 0; i < frame->now->count; i++)
        if (frame->now->rows[i].entry.kind == COUNTERS_TOPIC &&
            stat_wants(frame, frame->now->rows[i].entry.label))
            return true;
    return frame->pattern_count == 0;
}

/* ---- showing ---- */

/* A screen of its own, so that what was there is there again at the end. */
static void enter_screen(void)
{
    fputs("\033[?1049h\033[?25l", stdout);
}

static void leave_screen(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

static void print_frame(const struct stat_frame *frame, const struct arguments *a, bool on_screen)
{
    struct winsize size = {.ws_col = 0};
    if (a->json) {
        stat_print_json(frame);
        return;
    }
    int width = (int)terminal_columns(STDOUT_FILENO);
    if (on_screen)
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    if (on_screen)
        fputs("\033[H", stdout);
    stat_print_table(frame, width, on_screen ? size.ws_row : 0, on_screen);
    if (on_screen)
        fputs("\033[J", stdout);
    else if (a->watches)
        putchar('\n');
}

/* A broker that was started again keeps other counters: found anew, nothing of the last ones counts. */
static void follow_successor(struct view *view, const struct arguments *a, struct view_sample *before)
{
    struct view successor;
    struct error_text ignored;
    if (!view_is_replaced(view) || find_counters(&successor, a->data, &ignored) < 0)
        return;
    view_close(view);
    *view = successor;
    before->count = 0;
}

static int fail_to_match(const struct arguments *a)
{
    char sentence[192];
    snprintf(sentence, sizeof sentence, "no topic matches '%.127s'%s", a->patterns[0],
             a->pattern_count > 1 ? ", or another of the patterns" : "");
    return cli_fail(NULL, 0, sentence);
}

static int show(struct view *view, const struct arguments *a)
{
    struct view_sample samples[2] = {{0}};
    bool on_screen = a->watches && !a->json && isatty(STDOUT_FILENO);
    int rc = HERMES_OK, code = EXIT_GOOD;
    if (on_screen)
        enter_screen();
    for (unsigned i = 0; !cli_stop && rc == 0; i++) {
        struct view_sample *now = &samples[i % 2], *before = &samples[(i + 1) % 2];
        follow_successor(view, a, before);
        rc = view_take(view, now);
        struct stat_frame frame = {view,
                                   now,
                                   before->count > 0 ? before : NULL,
                                   a->patterns,
                                   a->pattern_count,
                                   view_is_alive(view, now)};
        if (rc == 0 && !a->watches && !finds_topic(&frame))
            code = fail_to_match(a);
        else if (rc == 0)
            print_frame(&frame, a, on_screen);
        if (!cli_flush(true) || !a->watches)
            break;
        cli_sleep_until(cli_now_ns() + a->interval_ns);
    }
    if (on_screen)
        leave_screen();
    if (rc < 0)
        code = cli_fail("stat", rc, NULL);
    view_release(&samples[0]);
    view_release(&samples[1]);
    return code;
}

int cli_stat(int argc, char **argv)
{
    struct arguments a = {0};
    const struct argp argp = {options, parse, "[TOPIC...]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    struct view view;
    struct error_text text;
    int rc = find_counters(&view, a.data, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    if (a.watches)
        cli_catch_signals();
    int code = show(&view, &a);
    view_close(&view);
    return code;
}
