/* The counters as tables that fit the terminal. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/stat_page.h"
#include "log/status.h"

/* ---- words ---- */

/* Four digits at most, and K, M, G, T: powers of ten. */
static const char *human(double value, char text[CELL_BYTES])
{
    static const char *const units[] = {"", "K", "M", "G", "T", "P", "E"};
    unsigned unit = 0;
    for (; value >= 9999.5 && unit < 6; unit++)
        value /= 1000;
    snprintf(text, CELL_BYTES, value < 9.95 && unit > 0 ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return text;
}

static const char *duration(uint64_t ns, char text[CELL_BYTES])
{
    uint64_t seconds = ns / 1000000000u;
    if (seconds < 120)
        snprintf(text, CELL_BYTES, "%" PRIu64 " s", seconds);
    else if (seconds < 7200)
        snprintf(text, CELL_BYTES, "%" PRIu64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, CELL_BYTES, "%" PRIu64 " h", seconds / 3600);
    else
        snprintf(text, CELL_BYTES, "%" PRIu64 " d", seconds / 86400);
    return text;
}

static void set_number(char cell[CELL_BYTES], const struct stat_frame *frame, const struct view_row *row,
                       const char *name)
{
    uint64_t value;
    if (view_value(frame->view, row, name, &value))
        human((double)value, cell);
    else
        strcpy(cell, "-");
}

static void put_more(struct page *page, size_t count, const char *what)
{
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "... and %zu more %s (hermes stat TOPIC, --json)", count, what);
    page_line(page, line);
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
        page_line(page, line);
}

static void put_refusals(struct page *page, const struct view_row *loop)
{
    const struct view *view = page->frame->view;
    uint64_t connections = view_number(view, loop, "refused_connections");
    uint64_t tokens = view_number(view, loop, "refused_tokens");
    uint64_t requests = view_number(view, loop, "refused_requests");
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "  refused: connections %" PRIu64 "  tokens %" PRIu64 "  requests %" PRIu64,
             connections, tokens, requests);
    if (connections > 0 || tokens > 0 || requests > 0)
        page_line(page, line);
}

static void put_broker(struct page *page)
{
    const struct stat_frame *frame = page->frame;
    const struct counters_header *header = frame->view->header;
    const struct view_row *loop = loop_of(frame);
    char line[LINE_BYTES], age[CELL_BYTES];
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
    page_line(page, line);
    put_losses(page, loop);
    if (loop != NULL)
        put_refusals(page, loop);
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
static void put_table(struct page *page, const struct column *columns, const char *what, struct keyed *rows,
                      size_t count, int room,
                      void (*put)(struct page *, const struct layout *, const struct view_row *))
{
    const struct layout layout = page_lay_out(page, columns);
    int height = layout.is_blocks ? layout.count + 1 : 1, above = layout.is_blocks ? 0 : 2;
    size_t shown = count;
    if (count == 0 || rows == NULL)
        return;
    if ((int64_t)count * height + above > room) {
        room = room < page->rows ? room : page->rows;
        shown = room > above + 1 ? (size_t)((room - above - 1) / height) : 0;
    }
    if (!layout.is_blocks)
        page_headings(page, &layout);
    for (size_t i = 0; i < shown; i++) {
        if (layout.is_blocks)
            page_line(page, "");
        put(page, &layout, rows[i].row);
    }
    if (shown < count)
        put_more(page, count - shown, what);
}

/* ---- topics ---- */

static double busy(const struct stat_frame *frame, const struct view_row *row)
{
    return stat_rate(frame, row, "head_position_bytes");
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
    char line[LINE_BYTES], name[CELL_BYTES];
    if (awaited == NULL || !is_waited_in(page->frame, topic))
        return;
    int width = (int)strlen(awaited->entry.label);
    page_name(name, awaited->entry.label, width < 32 ? width : 32);
    snprintf(line, sizeof line, "  waits for %s, process %" PRIu32, name, awaited->entry.pid);
    page_line(page, line);
}

/* What is in memory and not on disk yet. */
static void set_unstored(char cell[CELL_BYTES], const struct stat_frame *frame, const struct view_row *topic)
{
    const struct view_row *store = store_of(frame, topic);
    uint64_t head, durable;
    strcpy(cell, "-");
    if (store != NULL && view_value(frame->view, topic, "head_position_bytes", &head) &&
        view_value(frame->view, store, "durable_position_bytes", &durable))
        human(durable < head ? (double)(head - durable) : 0, cell);
}

static void put_topic(struct page *page, const struct layout *layout, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    char cells[COLUMNS_MAX][CELL_BYTES];
    unsigned i = 0, publishers, subscribers;
    uint64_t next;
    count_handles(frame, row, &publishers, &subscribers);
    strcpy(cells[i++], row->entry.label);
    if (view_value(frame->view, row, "next_sequence", &next) && next > 0)
        human((double)(next - 1), cells[i++]);
    else
        strcpy(cells[i++], "-");
    set_number(cells[i++], frame, row, "head_position_bytes");
    if (frame->before != NULL) {
        human(stat_rate(frame, row, "next_sequence"), cells[i++]);
        human(stat_rate(frame, row, "head_position_bytes"), cells[i++]);
    }
    set_unstored(cells[i++], frame, row);
    snprintf(cells[i++], CELL_BYTES, "%u", publishers);
    snprintf(cells[i++], CELL_BYTES, "%u", subscribers);
    strcpy(cells[i], state_of(frame, row));
    page_cells(page, layout, cells);
    put_awaited(page, row);
}

static void put_topics(struct page *page, int room)
{
    static const struct column columns[] = {{"TOPIC", 0}, {"MESSAGES", 8}, {"BYTES", 7},  {"UNSTORED", 8},
                                            {"PUBS", 4},  {"SUBS", 4},     {"STATE", -7}, {NULL, 0}};
    static const struct column watched[] = {{"TOPIC", 0},  {"MESSAGES", 8}, {"BYTES", 7}, {"MSG/S", 7},
                                            {"B/S", 7},    {"UNSTORED", 8}, {"PUBS", 4},  {"SUBS", 4},
                                            {"STATE", -7}, {NULL, 0}};
    size_t count;
    struct keyed *rows = select_rows(page->frame, 1u << COUNTERS_TOPIC, busy, &count);
    put_table(page, page->frame->before != NULL ? watched : columns, "topics", rows, count, room, put_topic);
    free(rows);
}

/* ---- readers: subscribers and groups ---- */

static double behind(const struct stat_frame *frame, const struct view_row *row)
{
    uint64_t bytes;
    return stat_lag(frame, row, &bytes) ? (double)bytes : -1;
}

static const char *kind_of(const struct stat_frame *frame, const struct view_row *row)
{
    if (row->entry.kind == COUNTERS_GROUP)
        return view_number(frame->view, row, "is_durable") != 0 ? "durable" : "group";
    if (view_number(frame->view, row, "group") != 0)
        return "member";
    return view_number(frame->view, row, "waited_for_line") != 0 ? "awaited" : "plain";
}

static void set_names(char cells[][CELL_BYTES], const struct stat_frame *frame, const struct view_row *row)
{
    const struct view_row *topic = stat_topic_of(frame, row);
    strcpy(cells[0], row->entry.label);
    strcpy(cells[1], topic == NULL ? "" : topic->entry.label);
    strcpy(cells[3], "-");
    if (row->entry.pid != 0)
        snprintf(cells[3], CELL_BYTES, "%" PRIu32, row->entry.pid);
}

static void put_reader(struct page *page, const struct layout *layout, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    char cells[COLUMNS_MAX][CELL_BYTES] = {"", "", "", "", "-"};
    uint64_t lag;
    set_names(cells, frame, row);
    strcpy(cells[2], kind_of(frame, row));
    if (stat_lag(frame, row, &lag))
        human((double)lag, cells[4]);
    set_number(cells[5], frame, row, "lost_messages");
    if (row->entry.kind == COUNTERS_GROUP) {
        set_number(cells[6], frame, row, "redelivered_messages");
        set_number(cells[7], frame, row, "dead_messages");
    }
    page_cells(page, layout, cells);
}

static void put_readers(struct page *page, int room)
{
    static const struct column columns[] = {{"READER", 0},  {"TOPIC", 0}, {"KIND", -7},
                                            {"PID", 7},     {"LAG", 7},   {"LOST", 6},
                                            {"REDELIV", 7}, {"DEAD", 6},  {NULL, 0}};
    size_t count;
    struct keyed *rows =
        select_rows(page->frame, 1u << COUNTERS_SUBSCRIBER | 1u << COUNTERS_GROUP, behind, &count);
    put_table(page, columns, "readers", rows, count, room, put_reader);
    free(rows);
}

/* ---- publishers ---- */

static double held_up(const struct stat_frame *frame, const struct view_row *row)
{
    return (double)view_number(frame->view, row, "refused_calls") * 1e6 +
           (double)view_number(frame->view, row, "waits");
}

static void put_publisher(struct page *page, const struct layout *layout, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    bool is_ring = view_number(frame->view, row, "ring_line") != 0;
    char cells[COLUMNS_MAX][CELL_BYTES] = {"", "", "", "", "-"};
    set_names(cells, frame, row);
    strcpy(cells[2], is_ring ? "ring" : "direct");
    if (is_ring)
        set_number(cells[4], frame, row, "taken_sequence");
    set_number(cells[5], frame, row, "waits");
    set_number(cells[6], frame, row, "refused_calls");
    page_cells(page, layout, cells);
}

static void put_publishers(struct page *page, int room)
{
    static const struct column columns[] = {{"PUBLISHER", 0}, {"TOPIC", 0}, {"WRITES", -7}, {"PID", 7},
                                            {"TAKEN", 8},     {"WAITS", 7}, {"REFUSED", 7}, {NULL, 0}};
    size_t count;
    struct keyed *rows = select_rows(page->frame, 1u << COUNTERS_PUBLISHER, held_up, &count);
    put_table(page, columns, "publishers", rows, count, room, put_publisher);
    free(rows);
}

/* ---- mirrors ---- */

static double mirror_lag(const struct stat_frame *frame, const struct view_row *row)
{
    return (double)view_number(frame->view, row, "behind_bytes");
}

/* As enum hermes_topic_mirror_state. */
static const char *mirror_state(const struct stat_frame *frame, const struct view_row *row)
{
    static const char *const names[] = {"starting", "waiting", "active", "DIVERGED", "FAILED"};
    uint64_t state = view_number(frame->view, row, "state");
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

static void put_mirror(struct page *page, const struct layout *layout, const struct view_row *row)
{
    const struct stat_frame *frame = page->frame;
    const struct view_row *topic = stat_topic_of(frame, row);
    char cells[COLUMNS_MAX][CELL_BYTES];
    double missed = (double)view_number(frame->view, row, "missed_bytes"),
           bytes = (double)view_number(frame->view, row, "log_bytes");
    bool follows = view_number(frame->view, row, "follows") != 0;
    strcpy(cells[0], row->entry.label);
    strcpy(cells[1], topic == NULL ? "" : topic->entry.label);
    strcpy(cells[2], follows ? "follows" : "serves");
    strcpy(cells[3], mirror_state(frame, row));
    if (follows)
        strcpy(cells[4], "-");
    else
        set_number(cells[4], frame, row, "receivers");
    set_number(cells[5], frame, row, "behind_bytes");
    snprintf(cells[6], CELL_BYTES, "%.0f", (double)view_number(frame->view, row, "round_trip_ns") / 1e3);
    snprintf(cells[7], CELL_BYTES, "%.2f", bytes > 0 ? 100 * missed / bytes : 0);
    set_number(cells[8], frame, row, "gone");
    page_cells(page, layout, cells);
}

static void put_mirrors(struct page *page, int room)
{
    static const struct column columns[] = {{"MIRROR", 0}, {"TOPIC", 0},  {"ROLE", -7},  {"STATE", -8},
                                            {"RECV", 4},   {"BEHIND", 7}, {"RTT us", 7}, {"LOST %", 7},
                                            {"GONE", 6},   {NULL, 0}};
    size_t count;
    struct keyed *rows = select_rows(page->frame, 1u << COUNTERS_MIRROR, mirror_lag, &count);
    put_table(page, columns, "mirrors", rows, count, room, put_mirror);
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
    put_mirrors(&page, rows > 0 ? page.rows / 2 : INT32_MAX);
    put_publishers(&page, page.rows);
}
