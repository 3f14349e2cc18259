/* hermes dump FILE|TOPIC */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/terminal.h"
#include "log/origins.h"

static const char documentation[] =
    "Print the header of every frame of a segment file, or of every message of a topic, and check every "
    "checksum.\v"
    "What has a / or names an existing file is a file; anything else is a topic, read from its first message "
    "to the one that was its last when it began. "
    "A damaged frame counts as failed."
    "\n\nExamples:\n"
    "  hermes dump orders\n"
    "  hermes dump 00000000000000000000.log" CLI_EXIT_CODES;

struct arguments {
    const char *what;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
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

static const char *type_name(uint8_t type)
{
    static const char *const names[] = {"PAD", "DATA", "HEARTBEAT", "EPOCH", "ORIGIN", "EXTENT"};
    return type < sizeof names / sizeof names[0] ? names[type] : "OTHER";
}

static void print_columns(void)
{
    printf("%-20s %-9s %12s %19s %6s %8s\n", "POSITION", "TYPE", "SEQUENCE", "TIMESTAMP", "LENGTH", "CRC");
}

/* Whose the messages behind it are. */
static void print_origin(const struct frame *frame)
{
    struct origin_mark mark;
    if (!origin_read(frame, &mark))
        return;
    printf("%-20s publisher %016" PRIx64 " of user %u: %u messages from its number %" PRIu64 " on\n", "",
           mark.id, mark.uid, mark.count, mark.first);
}

static void print_frame(uint64_t position, const hermes_header_t *header, int error)
{
    printf("%-20" PRIu64 " %-9s %12" PRIu64 " %19" PRIu64 " %6u %08x%s%s\n", position,
           type_name(header->type), header->sequence, header->timestamp, header->length, header->crc,
           error < 0 ? "  DAMAGED: " : "", error < 0 ? hermes_strerror(error) : "");
}

/* Frames up to the first slot that holds none; what stands behind it is not part of the log. */
static int dump_frames(const struct segment *segment)
{
    uint64_t base = segment->header.base, messages = 0, damaged = 0;
    struct frames frames = {.data = segment->data,
                            .base = base,
                            .end = base + segment->header.size,
                            .position = base,
                            .sequence = segment->header.first_sequence,
                            .check = FRAME_CHECKSUMS};
    struct frame frame;
    int rc;
    print_columns();
    while ((rc = frames_next(&frames, &frame)) != 0 && rc != HERMES_ENOTFOUND) {
        print_frame(frame.position, &frame.header, rc);
        if (rc > 0)
            print_origin(&frame);
        if (rc < 0) {
            damaged++;
            frames_skip_damage(&frames);
        }
        messages += (rc > 0 || rc == HERMES_ECHECKSUM) && frame.header.type == HERMES_TYPE_DATA;
    }
    printf("%" PRIu64 " messages, %" PRIu64 " damaged\n", messages, damaged);
    return damaged == 0 ? EXIT_GOOD : EXIT_FAILED;
}

static void print_segment(const struct segment *segment)
{
    const struct segment_header *h = &segment->header;
    char line[256];
    snprintf(line, sizeof line,
             "segment base %" PRIu64 " first_sequence %" PRIu64 " size %" PRIu64 " epoch %u topic %016" PRIx64
             " created %" PRIu64,
             h->base, h->first_sequence, h->size, h->epoch, h->topic_id, h->created);
    terminal_print_wrapped(line, 0, terminal_columns(STDOUT_FILENO));
}

static int dump_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY |
                            O_CLOEXEC); /* a pipe, a terminal: refused, not waited for */
    if (fd < 0)
        return cli_fail(path, 0, strerror(errno));
    struct segment segment;
    struct error_text text;
    int rc = segment_map(fd, &segment, &text);
    close(fd);
    if (rc < 0)
        return cli_fail(path, rc, text.bytes);
    print_segment(&segment);
    int code = dump_frames(&segment);
    segment_release(&segment);
    return code;
}

static int dump_topic(const char *topic)
{
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = NULL;
    hermes_topic_info_t info = {.size = sizeof info};
    uint64_t messages = 0, damaged = 0;
    int rc = hermes_topic_describe(client, topic, &info);
    if (rc == 0)
        rc = hermes_subscriber_open(client, topic, NULL, &subscriber);
    if (rc == 0)
        rc = hermes_seek_first(subscriber);
    if (rc == 0)
        print_columns();
    hermes_message_t message = {.sequence = 0};
    while (rc >= 0 && message.sequence < info.last_sequence && cli_flush(false) &&
           (rc = cli_next(subscriber, &message)) != 0) {
        if (rc > 0) {
            messages++;
            printf("%-20" PRIu64 " %-9s %12" PRIu64 " %19" PRIu64 " %6u %8s\n", message.position, "DATA",
                   message.sequence, message.timestamp, message.length,
                   message.flags & HERMES_FLAG_CRC ? "ok" : "none");
        } else if (cli_is_damage(rc)) {
            damaged++;
            printf("DAMAGED: %s\n", hermes_last_error(client));
            rc = 0;
        }
    }
    if (rc < 0)
        cli_fail_topic(client, topic, rc);
    else
        printf("%" PRIu64 " messages, %" PRIu64 " damaged\n", messages, damaged);
    hermes_disconnect(client);
    return rc < 0 || damaged > 0 ? EXIT_FAILED : EXIT_GOOD;
}

int cli_dump(int argc, char **argv)
{
    struct arguments a = {0};
    const struct argp argp = {NULL, parse, "FILE|TOPIC", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    struct stat status;
    bool is_file = strchr(a.what, '/') != NULL || (stat(a.what, &status) == 0 && !S_ISDIR(status.st_mode));
    return is_file ? dump_file(a.what) : dump_topic(a.what);
}
