/* The counters as tables that fit the terminal. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/stat.h"
#include "log/status.h"

/* What is left of the terminal. */
struct page {
    const struct stat_frame *frame;
    int width;   /* 0: there is no terminal, and lines are as long as they are */
    int longest; /* name that there is */
    int rows;    /* INT32_MAX: as many as there are */
    bool clear;
};

/* ---- words ---- */

enum { NUMBER_BYTES = 24, NAME_BYTES = COUNTERS_LABEL_WORDS * 8 + 1, LINE_BYTES = 512 };

/* Four digits at most, and K, M, G, T: powers of ten. */
static const char *human(double value, char text[NUMBER_BYTES])
{
    static const char *const units[] = {"", "K", "M", "G", "T", "P", "E"};
    unsigned unit = 0;
    for (; value >= 9999.5 && unit < 6; unit++)
        value /= 1000;
    snprintf(text, NUMBER_BYTES, value < 9.95 && unit > 0 ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return text;
}

static const char *duration(uint64_t ns, char text[NUMBER_BYTES])
{
    uint64_t seconds = ns / 1000000000u;
    if (seconds < 120)
        snprintf(text, NUMBER_BYTES, "%" PRIu64 " s", seconds);
    else if (seconds < 7200)
        snprintf(text, NUMBER_BYTES, "%" PRIu64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, NUMBER_BYTES, "%" PRIu64 " h", seconds / 3600);
    else
        snprintf(text, NUMBER_BYTES, "%" PRIu64 " d", seconds / 86400);
    return text;
}

/* Names are clients' own, and this is a terminal. One that is too long ends in a tilde. */
static void put_name(char *to, const char *name, int width)
{
    int length = (int)strlen(name);
    for (int i = 0; i < width; i++) {
        char c = i < length ? name[i] : ' ';
        to[i] = c >= 0x20 && c < 0x7F ? c : '?';
    }
    if (length > width && width > 0)
        to[width - 1] = '~';
    to[width] = 0;
}

static const char *number_of(const struct stat_frame *frame, const struct view_row *row, const char *name,
                             char text[NUMBER_BYTES])
{
    uint64_t value;
    if (!view_value(frame->view, row, name, &value))
        return "-";
    return human((double)value, text);
}

/* ---- lines ---- */

/* false: the page is full. */
static bool put_line(struct page *page, const char *line)
{
    if (page->rows <= 0)
        return false;
    page->rows--;
    int length = (int)strnlen(line, page->width > 0 ? (size_t)page->width : LINE_BYTES);
    while (length > 0 && line[length - 1] == ' ')
        length--;
    printf("%.*s%s", length, line, page->clear ? "\033[K" : "");
    if (page->rows > 0 || !page->clear) /* the last line of a screen: behind it all would move up */
        putchar('\n');
    return true;
}

static void put_more(struct page *page, size_t count, const char *what)
{
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "... and %zu more %s (hermes stat TOPIC, --json)", count, what);
    put_line(page, line);
}

/* ---- the broker ---- */

static const struct view_row *loop_of(const struct stat_frame *frame)
{
    for (size_t i = 0; i < frame->now->count; i++)
        if (frame->now->rows[i].entry.kind == COUNTERS_LOOP)
            return &frame->now->rows[i];
    return NULL;
}

static void add_loop(const struct stat_frame *frame, const struct view_row *loop, char line[LINE_BYTES])
{
    size_t used = strlen(line);
    snprintf(line + used, LINE_BYTES - used, "  sessions %" PRIu64 "  longest turn %.3f ms (own %.3f)",
             view_number(frame->view, loop, "sessions"),
             (double)view_number(frame->view, loop, "longest_turn_ns") / 1e6,
             (double)view_number(frame->view, loop, "longest_own_turn_ns") / 1e6);
}

/* What is not as it should be is said, the rest not. */
static void put_losses(struct page *page, const struct view_row *loop)
{
    const struct view *view = page->frame->view;
    uint64_t lost = loop == NULL ? 0 : view_number(view, loop, "notes_lost");
    uint64_t missing = atomic_load_explicit(&view->header->missing, memory_order_relaxed);
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "  notes lost %" PRIu64 "  entries not counted %" PRIu64, lost, missing);
    if (lost > 0 || missing > 0)
        put_line(page, line);
}

static void put_broker(struct page *page)
{
    const struct stat_frame *frame = page->frame;
    const struct counters_header *header = frame->view->header;
    const struct view_row *loop = loop_of(frame);
    char line[LINE_BYTES], age[NUMBER_BYTES];
    uint64_t seen_ns = loop == NULL ? 0 : view_number(frame->view, loop, "seen_monotonic_ns");
    if (atomic_load_explicit(&header->state, memory_order_relaxed) == COUNTERS_STOPPED)
        snprintf(line, sizeof line, "hermesd %" PRIu32 " has stopped; what it counted last:", header->pid);
    else if (!frame->is_alive)
        snprintf(line, sizeof line,
                 "hermesd %" PRIu32 " is gone: it was last seen %s ago; what it counted last:", header->pid,
                 duration(frame->now->taken_ns - seen_ns, age));
    else
        snprintf(line, sizeof line, "hermesd %" PRIu32 "  up %s", header->pid,
                 duration(frame->now->taken_ns - header->began_ns, age));
    if (loop != NULL && frame->is_alive)
        add_loop(frame, loop, line);
    put_line(page, line);
    put_losses(page, loop);
}

/* ---- tables ---- */

struct keyed {
    const struct view_row *row;
    double key; /* the greatest first */
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    int names = strcmp(x->row->entry.label, y->row->entry.label);
    return names != 0 ? names : (x->row->index > y->row->index) - (x->row->index < y->row->index);
}

static bool is_shown(const struct stat_frame *frame, const struct view_row *row, unsigned kinds)
{
    const struct view_row *topic = stat_topic_of(frame, row);
    return row->entry.kind < 32 && (kinds >> row->entry.kind & 1) != 0 &&
           stat_wants(frame, topic == NULL ? "" : topic->entry.label);
}

/* free() it; NULL: none, or no memory. */
static struct keyed *select_rows(const struct stat_frame *frame, unsigned kinds,
                                 double (*key)(const struct stat_frame *, const struct view_row *),
                                 size_t *count)
{
    struct keyed *selected = malloc((frame->now->count + 1) * sizeof *selected);
    *count = 0;
    for (size_t i = 0; selected != NULL && i < frame->now->count; i++) {
        const struct view_row *row = &frame->now->rows[i];
        if (is_shown(frame, row, kinds))
            selected[(*count)++] = (struct keyed){row, key(frame, row)};
    }
    if (*count > 0)
        qsort(selected, *count, sizeof *selected, compare_keyed);
    return selected;
}

/* A heading, so many rows as there is room for, and how many there are beside. */
static void put_table(struct page *page, const char *heading, const char *what, struct keyed *rows,
                      size_t count, int room, void (*put)(struct page *, const struct view_row *))
{
    size_t shown = count;
    if (count == 0 || rows == NULL)
        return;
    if ((int64_t)count + 2 > room) {
        room = room < page->rows ? room : page->rows;
        shown = room > 3 ? (size_t)room - 3 : 0;
    }
    put_line(page, "");
    put_line(page, heading);
    for (size_t i = 0; i < shown; i++)
        put(page, rows[i].row);
    if (shown < count)
        put_more(page, count - shown, what);
}

/* ---- topics ---- */

static double busy(const struct stat_frame *frame, const struct view_row *row)
{
    return stat_rate(frame, row, "head_position_bytes");
}

/* No wider than names are, and on a terminal than what the other columns leave. */
static int name_width(const struct page *page, int left)
{
    int width = page->width == 0 || left > page->longest ? page->longest : left;
    return width < 12 ? 12 : width;
}

static int topic_name_width(const struct page *page)
{
    return name_width(page, page->width - (page->frame->before != NULL ? 66 : 50));
}

static void count_handles(const struct stat_frame *frame, const struct view_row *topic, unsigned *publishers,
                          unsigned *subscribers)
{
    const struct view_row *end = frame->now->rows + frame->now->count;
    *publishers = *subscribers = 0;
    for (const struct view_row *row = topic; row < end && row->entry.topic == topic->entry.topic; row++) {
        *publishers += row->entry.kind == COUNTERS_PUBLISHER;
        *subscribers += row->entry.kind == COUNTERS_SUBSCRIBER;
    }
}

static const struct view_row *store_of(const struct stat_frame *frame, const struct view_row *topic)
{
    const struct view_row *next = topic + 1, *end = frame->now->rows + frame->now->count;
    return next < end && next->entry.kind == COUNTERS_STORE && next->entry.topic == topic->entry.topic ? next
                                                                                                       : NULL;
}

/* Of those whom the publisher waits for the one that is furthest behind. */
static const struct view_row *slowest(const struct stat_frame *frame, const struct view_row *topic)
{
    const struct view_row *end = frame->now->rows + frame->now->count, *found = NULL;
    uint64_t least = UINT64_MAX, at;
    for (const struct view_row *row = topic; row < end && row->entry.topic == topic->entry.topic; row++)
        if (view_value(frame->view, row, "waited_for_at_bytes", &at) && at < least) {
            least = at;
            found = row;
        }
    return found;
}

static bool is_waited_in(const struct stat_frame *frame, const struct view_row *topic)
{
    uint64_t wanted;
    return view_value(frame->view, topic, "waits_until_bytes", &wanted);
}

static const char *state_of(const struct stat_frame *frame, const struct view_row *topic)
{
    const struct view_row *store = store_of(frame, topic);
    uint64_t state;
    if (!view_value(frame->view, topic, "state", &state))
        return "?";
    if (state == STATE_FAILED)
        return "FAILED";
    if (store != NULL && view_number(frame->view, store, "is_full") != 0)
        return "FULL";
    if (is_waited_in(frame, topic))
        return "waits";
    return store != NULL && view_number(frame->view, store, "damaged_frames") != 0 ? "damaged" : "";
}

static void put_awaited(struct page *page, const struct view_row *topic)
{
    const struct view_row *awaited = slowest(page->frame, topic);
    char line[LINE_BYTES], name[NAME_BYTES];
    if (awaited == NULL || !is_waited_in(page->frame, topic))
        return;
    int width = (int)strlen(awaited->entry.label);
    put_name(name, awaited->entry.label, width < 32 ? width : 32);
    snprintf(line, sizeof line, "  waits for %s, process %" PRIu32, name, awaited->entry.pid);
    put_line(page, line);
}

/* What is in memory and not on disk yet. */
static const char *unstored(const struct stat_frame *frame, const struct view_row *topic,
                            char text[NUMBER_BYTES])
{
    const struct view_row *store = store_of(frame, topic);
    uint64_t head, durable;
    if (store == NULL || !view_value(frame->view, topic, "head_position_bytes", &head) ||
        !view_value(frame->view, store, "durable_position_bytes", &durable))
        return "-";
    return human(durable < head ? (double)(head - durable) : 0, text);
}

static void put_topic(struct page *page, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    char line[LINE_BYTES], name[NAME_BYTES], a[NUMBER_BYTES], b[NUMBER_BYTES], c[NUMBER_BYTES],
        d[NUMBER_BYTES], e[NUMBER_BYTES];
    unsigned publishers, subscribers;
    uint64_t next;
    put_name(name, row->entry.label, topic_name_width(page));
    count_handles(frame, row, &publishers, &subscribers);
    const char *messages =
        view_value(frame->view, row, "next_sequence", &next) && next > 0 ? human((double)(next - 1), a) : "-";
    int used = snprintf(line, sizeof line, "%s %8s %7s", name, messages,
                        number_of(frame, row, "head_position_bytes", b));
    if (frame->before != NULL)
        used += snprintf(line + used, sizeof line - (size_t)used, " %7s %7s",
                         human(stat_rate(frame, row, "next_sequence"), c),
                         human(stat_rate(frame, row, "head_position_bytes"), d));
    snprintf(line + used, sizeof line - (size_t)used, " %8s %4u %4u  %s", unstored(frame, row, e), publishers,
             subscribers, state_of(frame, row));
    put_line(page, line);
    put_awaited(page, row);
}

static void put_topics(struct page *page, int room)
{
    char heading[LINE_BYTES], name[NAME_BYTES];
    size_t count;
    struct keyed *rows = select_rows(page->frame, 1u << COUNTERS_TOPIC, busy, &count);
    put_name(name, "TOPIC", topic_name_width(page));
    snprintf(heading, sizeof heading, "%s %8s %7s%s %8s %4s %4s  %s", name, "MESSAGES", "BYTES",
             page->frame->before != NULL ? "   MSG/S     B/S" : "", "UNSTORED", "PUBS", "SUBS", "STATE");
    put_table(page, heading, "topics", rows, count, room, put_topic);
    free(rows);
}

/* ---- readers: subscribers and groups ---- */

static double behind(const struct stat_frame *frame, const struct view_row *row)
{
    uint64_t bytes;
    return stat_lag(frame, row, &bytes) ? (double)bytes : -1;
}

static int reader_name_width(const struct page *page)
{
    return name_width(page, (page->width - 47) / 2);
}

static const char *kind_of(const struct stat_frame *frame, const struct view_row *row)
{
    if (row->entry.kind == COUNTERS_GROUP)
        return view_number(frame->view, row, "is_durable") != 0 ? "durable" : "group";
    if (view_number(frame->view, row, "group") != 0)
        return "member";
    return view_number(frame->view, row, "waited_for_line") != 0 ? "awaited" : "plain";
}

static void put_reader(struct page *page, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    const struct view_row *topic = stat_topic_of(frame, row);
    char line[LINE_BYTES], name[NAME_BYTES], of[NAME_BYTES], a[NUMBER_BYTES], b[NUMBER_BYTES],
        c[NUMBER_BYTES], d[NUMBER_BYTES], pid[NUMBER_BYTES] = "-";
    uint64_t lag;
    int width = reader_name_width(page);
    put_name(name, row->entry.label, width);
    put_name(of, topic == NULL ? "" : topic->entry.label, width);
    if (row->entry.pid != 0)
        snprintf(pid, sizeof pid, "%" PRIu32, row->entry.pid);
    bool is_group = row->entry.kind == COUNTERS_GROUP;
    snprintf(line, sizeof line, "%s %s %-7s %7s %7s %6s %7s %6s", name, of, kind_of(frame, row), pid,
             stat_lag(frame, row, &lag) ? human((double)lag, a) : "-",
             number_of(frame, row, "lost_messages", b),
             is_group ? number_of(frame, row, "redelivered_messages", c) : "",
             is_group ? number_of(frame, row, "dead_messages", d) : "");
    put_line(page, line);
}

static void put_readers(struct page *page, int room)
{
    char heading[LINE_BYTES], name[NAME_BYTES], of[NAME_BYTES];
    size_t count;
    struct keyed *rows =
        select_rows(page->frame, 1u << COUNTERS_SUBSCRIBER | 1u << COUNTERS_GROUP, behind, &count);
    put_name(name, "READER", reader_name_width(page));
    put_name(of, "TOPIC", reader_name_width(page));
    snprintf(heading, sizeof heading, "%s %s %-7s %7s %7s %6s %7s %6s", name, of, "KIND", "PID", "LAG",
             "LOST", "REDELIV", "DEAD");
    put_table(page, heading, "readers", rows, count, room, put_reader);
    free(rows);
}

/* ---- publishers ---- */

static double held_up(const struct stat_frame *frame, const struct view_row *row)
{
    return (double)view_number(frame->view, row, "refused_calls") * 1e6 +
           (double)view_number(frame->view, row, "waits");
}

static void put_publisher(struct page *page, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    const struct view_row *topic = stat_topic_of(frame, row);
    char line[LINE_BYTES], name[NAME_BYTES], of[NAME_BYTES], a[NUMBER_BYTES], b[NUMBER_BYTES],
        c[NUMBER_BYTES];
    int width = reader_name_width(page);
    put_name(name, row->entry.label, width);
    put_name(of, topic == NULL ? "" : topic->entry.label, width);
    bool is_ring = view_number(frame->view, row, "ring_line") != 0;
    snprintf(line, sizeof line, "%s %s %-7s %7" PRIu32 " %8s %7s %7s", name, of, is_ring ? "ring" : "direct",
             row->entry.pid, is_ring ? number_of(frame, row, "taken_sequence", a) : "-",
             number_of(frame, row, "waits", b), number_of(frame, row, "refused_calls", c));
    put_line(page, line);
}

static void put_publishers(struct page *page, int room)
{
    char heading[LINE_BYTES], name[NAME_BYTES], of[NAME_BYTES];
    size_t count;
    struct keyed *rows = select_rows(page->frame, 1u << COUNTERS_PUBLISHER, held_up, &count);
    put_name(name, "PUBLISHER", reader_name_width(page));
    put_name(of, "TOPIC", reader_name_width(page));
    snprintf(heading, sizeof heading, "%s %s %-7s %7s %8s %7s %7s", name, of, "WRITES", "PID", "TAKEN",
             "WAITS", "REFUSED");
    put_table(page, heading, "publishers", rows, count, room, put_publisher);
    free(rows);
}

static int longest_name(const struct stat_frame *frame)
{
    size_t longest = 0;
    for (size_t i = 0; i < frame->now->count; i++) {
        const struct view_row *row = &frame->now->rows[i];
        size_t length = strlen(row->entry.label);
        if (is_shown(frame, row, ~(1u << COUNTERS_SESSION)) && length > longest)
            longest = length;
    }
    return (int)longest;
}

void stat_print_table(const struct stat_frame *frame, int width, int rows, bool clear)
{
    struct page page = {frame, width < LINE_BYTES ? width : LINE_BYTES - 1, longest_name(frame),
                        rows > 0 ? rows : INT32_MAX, clear};
    put_broker(&page);
    put_topics(&page, rows > 0 ? page.rows / 2 : INT32_MAX);
    put_readers(&page, rows > 0 ? page.rows * 2 / 3 : INT32_MAX);
    put_publishers(&page, page.rows);
}
