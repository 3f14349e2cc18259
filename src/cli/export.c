/* hermes export TOPIC: what is stored, for other programs. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/when.h"

static const char documentation[] =
    "Write the messages of a stored topic to standard output or a file.\v"
    "csv: a header line, then sequence,timestamp,length,encoding,payload; encoding is text or base64, text "
    "stands as it is, in quotes. json: as hermes sub --format json. In both a payload that is UTF-8 is text, "
    "any other base64; --payload text or base64 makes all alike. pcapng: for Wireshark, one packet a "
    "message, header and payload, "
    "link type "
    "USER0 (147), times in nanoseconds. Ends with what was there at the start. --since and --until ask for "
    "each "
    "message's own time, wherever it stands: all of the topic from the first one as late as --since is "
    "looked at."
    "\n\nExamples:\n"
    "  hermes export orders >orders.csv\n"
    "  hermes export orders --format json --since -1h\n"
    "  hermes export orders --format pcapng --output orders.pcapng" CLI_EXIT_CODES;

enum format { FORMAT_CSV, FORMAT_JSON, FORMAT_PCAPNG };

static const char *const formats[] = {"csv", "json", "pcapng", NULL};

static const struct argp_option options[] = {
    {"format", 'o', "FORMAT", 0, "csv (default), json or pcapng", 0},
    {"output", 'f', "FILE", 0, "Write to FILE", 0},
    {"since", 's', "TIME", 0, "Messages of this time and later: " WHEN_TIME, 0},
    {"until", 'u', "TIME", 0, "Messages of before this time", 0},
    {"payload", 'P', "FORM", 0, "csv and json: text, base64 or auto (as text where it is UTF-8)", 0},
    {0},
};

struct arguments {
    const char *topic;
    const char *output;
    enum format format;
    enum cli_payload payload;
    bool has_payload;
    uint64_t since, until;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'o':
        a->format = (enum format)cli_choice(state, "--format", value, formats);
        return 0;
    case 'f':
        a->output = value;
        return 0;
    case 's':
        a->since = cli_time(state, "--since", value);
        return 0;
    case 'u':
        a->until = cli_time(state, "--until", value);
        return 0;
    case 'P':
        a->payload = cli_payload(state, value);
        a->has_payload = true;
        return 0;
    case ARGP_KEY_ARG:
        a->topic = cli_argument(state, value);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (a->has_payload && a->format == FORMAT_PCAPNG)
            argp_error(state, "--payload is of csv and json");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- CSV (RFC 4180) ---- */

/* A field in quotes, in which a quote stands twice. */
static void write_text(FILE *file, const char *bytes, size_t length)
{
    bool visible = cli_is_terminal(file);
    fputc('"', file);
    for (size_t done = 0; done < length;) {
        const char *quote = memchr(bytes + done, '"', length - done);
        size_t run = quote == NULL ? length - done : (size_t)(quote - bytes) + 1 - done;
        if (visible)
            cli_print_visible(file, bytes + done, run);
        else
            fwrite(bytes + done, 1, run, file);
        if (quote != NULL)
            fputc('"', file);
        done += run;
    }
    fputc('"', file);
}

static void write_csv(FILE *file, const struct arguments *a, const hermes_message_t *message)
{
    bool text = cli_shows_as_text(message->payload, message->length, a->payload);
    fprintf(file, "%" PRIu64 ",%" PRIu64 ",%u,%s,", message->sequence, message->timestamp, message->length,
            text ? "text" : "base64");
    if (text)
        write_text(file, message->payload, message->length);
    else
        cli_print_base64(file, message->payload, message->length);
    fputs("\r\n", file);
}

/* ---- pcapng (draft-ietf-opsawg-pcapng) ---- */

static void write_block(FILE *file, uint32_t type, const void *head, uint32_t head_bytes, const void *body,
                        uint32_t body_bytes)
{
    static const uint8_t zeros[4];
    uint32_t padding = -body_bytes & 3u;
    uint32_t start[2] = {type, 12 + head_bytes + body_bytes + padding};
    fwrite(start, sizeof start, 1, file);
    fwrite(head, head_bytes, 1, file);
    fwrite(body, 1, body_bytes, file);
    fwrite(zeros, 1, padding, file);
    fwrite(&start[1], sizeof start[1], 1, file);
}

static void begin_pcapng(FILE *file)
{
    const struct {
        uint32_t byte_order;
        uint16_t major, minor;
        int64_t section_bytes;
    } section = {0x1A2B3C4D, 1, 0, -1};
    const struct {
        uint16_t link_type, reserved;
        uint32_t snap_bytes;
        uint16_t resolution_option, resolution_bytes;
        uint8_t resolution[4]; /* 9: nanoseconds */
        uint16_t end_option, end_bytes;
    } interface = {147, 0, 0, 9, 1, {9}, 0, 0};
    write_block(file, 0x0A0D0D0A, &section, sizeof section, "", 0);
    write_block(file, 1, &interface, sizeof interface, "", 0);
}

static void write_packet(FILE *file, const hermes_message_t *message)
{
    static uint8_t packet[HERMES_HEADER_BYTES + HERMES_PAYLOAD_MAX];
    uint32_t bytes = HERMES_HEADER_BYTES + message->length;
    hermes_header_t header;
    memcpy(packet + HERMES_HEADER_BYTES, message->payload, message->length);
    if (message->flags & HERMES_FLAG_CRC)
        hermes_message_encode(&header, message->payload, message->length, message->sequence,
                              message->timestamp);
    else
        hermes_message_encode_plain(&header, message->length, message->sequence, message->timestamp);
    memcpy(packet, &header, sizeof header);
    const uint32_t head[5] = {0, (uint32_t)(message->timestamp >> 32), (uint32_t)message->timestamp, bytes,
                              bytes};
    write_block(file, 6, head, sizeof head, packet, bytes);
}

/* The topic is there, and can be read: *last is the sequence to end with. */
static int begin(const struct arguments *a, hermes_client_t *client, hermes_subscriber_t **subscriber,
                 uint64_t *last)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, a->topic, &info);
    if (rc == 0)
        rc = hermes_subscriber_open(client, a->topic, NULL, subscriber);
    if (rc == 0)
        rc = a->since != 0 ? hermes_seek_time(*subscriber, a->since) : hermes_seek_first(*subscriber);
    *last = info.last_sequence;
    return rc;
}

static int export(const struct arguments *a, hermes_client_t *client, hermes_subscriber_t *subscriber,
                  uint64_t end, FILE *file, bool *damaged)
{
    hermes_message_t message;
    int rc;
    if (a->format == FORMAT_CSV)
        fputs("sequence,timestamp,length,encoding,payload\r\n", file);
    else if (a->format == FORMAT_PCAPNG)
        begin_pcapng(file);
    for (uint64_t last = 0; last < end && !cli_stop && !ferror(file);) {
        rc = cli_next(subscriber, &message);
        if (rc == 0)
            break;
        if (cli_is_damage(rc)) {
            *damaged = true;
            cli_fail(a->topic, rc, hermes_last_error(client));
            continue;
        }
        if (rc < 0)
            return rc;
        last = message.sequence;
        if (last > end) /* published since */
            break;
        /* Clocks step back, and publishers have their own: a later time says nothing about what comes next.
         */
        if (message.timestamp < a->since || (a->until != UINT64_MAX && message.timestamp >= a->until))
            continue;
        if (a->format == FORMAT_CSV)
            write_csv(file, a, &message);
        else if (a->format == FORMAT_JSON)
            cli_print_message_json(file, a->topic, &message, a->payload);
        else
            write_packet(file, &message);
    }
    return cli_stop ? HERMES_EINTERRUPTED : 0;
}

/* 0, or errno of what failed. */
static int close_file(FILE *file)
{
    errno = 0;
    bool failed = fflush(file) != 0 || ferror(file);
    int error = errno;
    failed |= fclose(file) != 0;
    return failed ? (error != 0 ? error : errno != 0 ? errno : EIO) : 0;
}

int cli_export(int argc, char **argv)
{
    struct arguments a = {.until = UINT64_MAX};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber;
    uint64_t last;
    int rc = begin(&a, client, &subscriber, &last);
    if (rc < 0)
        return cli_fail_topic(client, a.topic, rc);
    /* Only now: a file that is there is emptied for what can be written. */
    FILE *file = stdout;
    if (a.output != NULL && (file = fopen(a.output, "we")) == NULL)
        return cli_fail(a.output, 0, strerror(errno));
    bool damaged = false;
    cli_catch_signals();
    rc = export(&a, client, subscriber, last, file, &damaged);
    if (rc == HERMES_EINTERRUPTED)
        cli_fail(a.topic, rc, "stopped by a signal: not all of it is written");
    else if (rc < 0)
        cli_fail(a.topic, rc, hermes_last_error(client));
    hermes_disconnect(client);
    int error = file != stdout ? close_file(file) : 0;
    if (error != 0)
        rc = cli_fail(a.output, 0, strerror(error));
    return rc != 0 || damaged ? EXIT_FAILED : EXIT_GOOD;
}
