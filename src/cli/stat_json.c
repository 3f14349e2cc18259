/* The counters as JSON: all entries of each kind, with the columns that the broker says there are. */
#include <inttypes.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/stat.h"

/* Names are clients' own: what is no text is shown as question marks. */
static void print_text(const char *text)
{
    char plain[COUNTERS_PATH_BYTES];
    snprintf(plain, sizeof plain, "%s", text);
    bool is_text = cli_shows_as_text(plain, strlen(plain), CLI_PAYLOAD_AUTO);
    for (char *at = plain; !is_text && *at != 0; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    cli_print_json_string(stdout, plain, strlen(plain));
}

/* Numbers of 64 bits that stand for themselves: as text, for readers whose numbers are doubles, and as in
 * the names of files. */
static void print_id(const char *name, uint64_t id)
{
    printf(",\"%s\":\"%016" PRIx64 "\"", name, id);
}

static void print_broker(const struct stat_frame *frame)
{
    const struct counters_header *header = frame->view->header;
    printf("\"broker\":{\"is_alive\":%s,\"pid\":%" PRIu32 ",\"uid\":%" PRIu32 ",\"instance\":%" PRIu32
           ",\"began_ns\":%" PRIu64 ",\"age_ns\":%" PRIu64 ",\"missing_entries\":%" PRIu64 ",\"socket\":",
           frame->is_alive ? "true" : "false", header->pid, header->uid, header->instance,
           header->began_at_ns, frame->now->taken_ns - header->began_ns,
           atomic_load_explicit(&header->missing, memory_order_relaxed));
    print_text(header->socket);
    fputs(",\"data\":", stdout);
    print_text(header->data);
    putchar('}');
}

static void print_columns(const struct stat_frame *frame, const struct view_row *row)
{
    const struct view *view = frame->view;
    unsigned at = 0;
    for (unsigned i = 0; i < view->column_count && at < VIEW_VALUES_MAX; i++) {
        const struct counters_column *column = &view->columns[i];
        if (column->kind != row->entry.kind)
            continue;
        bool known = (row->known >> at & 1) != 0;
        if (known && strcmp(column->unit, "id") == 0)
            print_id(column->name, row->value[at]);
        else if (known && strcmp(column->unit, "flag") == 0)
            printf(",\"%s\":%s", column->name, row->value[at] != 0 ? "true" : "false");
        else if (known)
            printf(",\"%s\":%" PRIu64, column->name, row->value[at]);
        else
            printf(",\"%s\":null", column->name);
        at++;
    }
}

static void print_lag(const struct stat_frame *frame, const struct view_row *row)
{
    uint64_t bytes;
    if (stat_lag(frame, row, &bytes))
        printf(",\"lag_at_most_bytes\":%" PRIu64, bytes);
    else
        fputs(",\"lag_at_most_bytes\":null", stdout);
}

static void print_row(const struct stat_frame *frame, const struct view_row *row)
{
    const struct counters_copy *entry = &row->entry;
    const struct view_row *topic = stat_topic_of(frame, row);
    fputs("{\"name\":", stdout);
    print_text(entry->label);
    print_id("id", entry->id);
    if (entry->topic != 0 && entry->kind != COUNTERS_TOPIC) {
        fputs(",\"topic\":", stdout);
        print_text(topic == NULL ? "" : topic->entry.label);
    }
    if (entry->topic != 0)
        print_id("topic_id", entry->topic);
    if (entry->session != 0)
        print_id("session_id", entry->session);
    if (entry->pid != 0)
        printf(",\"pid\":%" PRIu32, entry->pid);
    if (entry->pid != 0 || entry->kind == COUNTERS_GROUP)
        printf(",\"uid\":%" PRIu32, entry->uid);
    printf(",\"age_ns\":%" PRIu64, frame->now->taken_ns - entry->began_ns);
    print_columns(frame, row);
    if (entry->kind == COUNTERS_SUBSCRIBER || entry->kind == COUNTERS_GROUP)
        print_lag(frame, row);
    putchar('}');
}

static bool is_wanted(const struct stat_frame *frame, const struct view_row *row)
{
    const struct view_row *topic = stat_topic_of(frame, row);
    return row->entry.topic == 0 || stat_wants(frame, topic == NULL ? "" : topic->entry.label);
}

void stat_print_json(const struct stat_frame *frame)
{
    const struct counters_header *header = frame->view->header;
    printf("{\"hermes_counters\":%d,\"time_ns\":%" PRIu64 ",\"monotonic_ns\":%" PRIu64 ",", COUNTERS_VERSION,
           clock_realtime_ns(), frame->now->taken_ns);
    print_broker(frame);
    for (unsigned kind = 0; kind < COUNTERS_KINDS; kind++) {
        if (header->kinds[kind][0] == 0)
            continue;
        printf(",\"%.*ss\":[", (int)sizeof header->kinds[kind], header->kinds[kind]);
        bool any = false;
        for (size_t i = 0; i < frame->now->count; i++) {
            const struct view_row *row = &frame->now->rows[i];
            if (row->entry.kind != kind || !is_wanted(frame, row))
                continue;
            if (any)
                putchar(',');
            any = true;
            print_row(frame, row);
        }
        putchar(']');
    }
    puts("}");
}
