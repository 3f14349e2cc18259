/*
 * history_embedded PATH LOG PUBLISHER RUN: writes an embedded log (hermes/log.h), or reads it, as its
 * standard input says, and logs each call.
 *
 *     write                       opens it for writing; what may pass is tried again for five seconds
 *     append COUNT SIZE           one by one, until one fails for another reason than that there is no room
 * yet batch COUNT SIZE claim SIZE commit|abort sync close follow                      opens it for reading;
 * tried again too read COUNT SILENCE_MS       until so many came, or none for so long, or the end is told, or
 * it is wanted until SEQUENCE SILENCE_MS seek first|end|sequence [VALUE] leave                       closes
 * the reader mix SEED COUNT              writes or reads, whichever it opened, at random
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "record.h"
#include "stamp.h"
#include "worker.h"

enum { BATCH_MAX = 256, PAYLOAD_MOST = 4000 };

static const char *path;
static uint32_t publisher, run;
static uint64_t numbered, last_sequence;
static hermes_log_t *writer;
static hermes_log_reader_t *reader;
static bool ended; /* the reader was told so */
static const uint64_t patience_ns = 5000000000, room_ns = 1000000000, slice_ns = 20000000;

static const char *why(int64_t rc)
{
    return rc >= 0 ? "" : writer != NULL ? hermes_log_last_error(writer) : hermes_log_last_error(NULL);
}

/* ---- writing ---- */

static void open_writer(char **words)
{
    (void)words;
    hermes_log_options_t options = {
        .size = sizeof options, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};
    uint64_t until = now_ns() + patience_ns;
    int rc;
    if (writer != NULL)
        return;
    record_call("write");
    while ((rc = hermes_log_open(path, &options, &writer)) < 0 && may_pass(rc) && now_ns() < until)
        pause_us(1000);
    record_outcome(rc, "%s", why(rc));
}

static size_t stamped(size_t size)
{
    return size < sizeof(struct stamp) ? sizeof(struct stamp) : size > PAYLOAD_MOST ? PAYLOAD_MOST : size;
}

/* The files cannot keep up: that is no error of ours. */
static void make_room(int64_t rc)
{
    if (rc != HERMES_EAGAIN)
        return;
    record_call("room");
    rc = hermes_log_wait_room(writer, room_ns);
    record_outcome(rc, "%s", why(rc));
}

static int do_append(size_t size)
{
    static uint8_t buffer[PAYLOAD_MOST];
    uint64_t sequence = 0;
    stamp_write(buffer, stamped(size), publisher, run, ++numbered);
    record_call("append number=%" PRIu64 " count=1", numbered);
    int rc = hermes_log_append(writer, buffer, stamped(size), &sequence);
    record_outcome(rc, "sequence=%" PRIu64 " %s", sequence, why(rc));
    make_room(rc);
    return rc;
}

static void append(char **words)
{
    int rc = HERMES_OK;
    for (uint64_t left = number(words[1]); left > 0 && writer != NULL && (rc == 0 || rc == HERMES_EAGAIN);
         left--)
        rc = do_append(number(words[2]));
}

static void do_batch(size_t count, size_t size)
{
    static uint8_t bytes[BATCH_MAX][PAYLOAD_MOST];
    static hermes_slice_t slices[BATCH_MAX];
    count = count < BATCH_MAX ? count : BATCH_MAX;
    for (size_t i = 0; i < count; i++) {
        stamp_write(bytes[i], stamped(size), publisher, run, numbered + 1 + i);
        slices[i] = (hermes_slice_t){bytes[i], stamped(size)};
    }
    record_call("append number=%" PRIu64 " count=%zu", numbered + 1, count);
    numbered += count;
    int64_t rc = hermes_log_append_batch(writer, slices, count);
    record_outcome(rc, "sequence=0 batch=1 %s", why(rc));
    make_room(rc);
}

static void batch(char **words)
{
    if (writer != NULL)
        do_batch(number(words[1]), number(words[2]));
}

static void do_claim(size_t size, bool commits)
{
    void *payload;
    uint64_t sequence = 0;
    record_call("claim");
    int rc = hermes_log_claim(writer, stamped(size), &payload);
    record_outcome(rc, "%s", why(rc));
    make_room(rc);
    if (rc < 0)
        return;
    stamp_write(payload, stamped(size), publisher, run, ++numbered);
    record_call("%s number=%" PRIu64 " count=1", commits ? "append" : "abort", numbered);
    if (commits)
        rc = hermes_log_commit(writer, &sequence);
    else
        hermes_log_abort(writer);
    record_outcome(rc, "sequence=%" PRIu64 " %s", sequence, why(rc));
}

static void claim(char **words)
{
    if (writer != NULL)
        do_claim(number(words[1]), strcmp(words[2], "commit") == 0);
}

static void sync_log(char **words)
{
    (void)words;
    if (writer == NULL)
        return;
    record_call("sync");
    int rc = hermes_log_sync(writer);
    record_outcome(rc, "%s", why(rc));
}

static void close_writer(char **words)
{
    (void)words;
    if (writer == NULL)
        return;
    record_call("finish");
    int rc = hermes_log_close(writer);
    writer = NULL;
    record_outcome(rc, "%s", why(rc));
}

/* ---- reading ---- */

static void follow(char **words)
{
    (void)words;
    uint64_t until = now_ns() + patience_ns;
    int rc;
    if (reader != NULL)
        return;
    record_call("follow");
    while ((rc = hermes_log_reader_open(path, &reader)) < 0 && rc == HERMES_ENOTFOUND && now_ns() < until)
        pause_us(1000);
    record_outcome(rc, "%s", rc < 0 ? hermes_log_reader_last_error(NULL) : "");
    last_sequence = 0;
    ended = false;
}

static void see(int rc, const hermes_message_t *message)
{
    struct stamp stamp;
    if (rc < 0) {
        record_seen("e %d", rc);
        return;
    }
    last_sequence = message->sequence;
    if (stamp_read(message->payload, message->length, &stamp))
        record_seen("m %" PRIu64 " %" PRIu64 " %u %u %" PRIu64, message->sequence, message->position,
                    stamp.publisher, stamp.run, stamp.number);
    else
        record_seen("t %" PRIu64 " %" PRIu64 " %u", message->sequence, message->position, message->length);
}

/* until: that message. */
static void do_read(uint64_t count, uint64_t until, uint64_t silence_ns)
{
    uint64_t heard_ns = now_ns();
    hermes_message_t message;
    int rc = 0;
    ended = false;
    if (until > 0)
        record_call("until sequence=%" PRIu64, until);
    else
        record_call("read count=%" PRIu64, count);
    while (count > 0 && (until == 0 || last_sequence < until) && !(until == 0 && worker_is_wanted())) {
        rc = hermes_log_reader_wait(reader, &message, slice_ns);
        if (rc != 0) {
            see(rc, &message);
            heard_ns = now_ns();
            count--;
        }
        ended = rc == HERMES_ECLOSED;
        if (ended || now_ns() - heard_ns >= silence_ns)
            break;
    }
    record_outcome(0, "last=%" PRIu64 " position=%" PRIu64, last_sequence,
                   hermes_log_reader_position(reader));
}

static void read_some(char **words)
{
    if (reader != NULL)
        do_read(number(words[1]), 0, number(words[2]) * 1000000);
}

static void read_until(char **words)
{
    if (reader != NULL)
        do_read(UINT64_MAX, number(words[1]), number(words[2]) * 1000000);
}

static void do_seek(const char *where, uint64_t value)
{
    record_call("seek where=%s value=%" PRIu64, where, value);
    int rc = strcmp(where, "first") == 0 ? hermes_log_reader_seek_first(reader)
             : strcmp(where, "end") == 0 ? hermes_log_reader_seek_end(reader)
                                         : hermes_log_reader_seek_sequence(reader, value);
    record_outcome(rc, "%s", rc < 0 ? hermes_log_reader_last_error(reader) : "");
    last_sequence = 0;
}

static void seek(char **words)
{
    if (reader != NULL)
        do_seek(words[1], number(words[2]));
}

static void leave(char **words)
{
    (void)words;
    if (reader == NULL)
        return;
    record_call("unsubscribe");
    hermes_log_reader_close(reader);
    record_outcome(0, "%s", "");
    reader = NULL;
}

/* ---- at random ---- */

static void any_writing(void)
{
    char *none[WORDS_MAX] = {NULL};
    uint64_t kind = random_below(100), size = random_below(random_below(8) == 0 ? PAYLOAD_MOST : 600);
    if (kind < 50)
        do_append(size);
    else if (kind < 75)
        do_batch(2 + random_below(60), size);
    else if (kind < 90)
        do_claim(size, kind < 87);
    else if (kind < 97)
        sync_log(none);
    else
        close_writer(none);
}

/* Who was told the end begins anew: what is written then is another reader's to see. */
static void any_reading(void)
{
    char *none[WORDS_MAX] = {NULL};
    uint64_t kind = random_below(100);
    if (ended)
        leave(none);
    else if (kind < 80)
        do_read(1 + random_below(300), 0, 50000000);
    else if (kind < 85)
        do_seek("first", 0);
    else if (kind < 88)
        do_seek("end", 0);
    else if (kind < 95)
        do_seek("sequence", 1 + random_below(last_sequence + 10));
    else
        leave(none);
}

static void mix(char **words)
{
    char *none[WORDS_MAX] = {NULL};
    bool writes = writer != NULL;
    random_seed(number(words[1]));
    for (uint64_t left = number(words[2]); left > 0 && !worker_is_wanted(); left--) {
        if (writes && writer == NULL)
            open_writer(none);
        else if (!writes && reader == NULL)
            follow(none);
        if (writer != NULL)
            any_writing();
        else if (reader != NULL)
            any_reading();
        pause_us(random_below(4000));
    }
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"write", open_writer}, {"append", append},      {"batch", batch},   {"claim", claim},
        {"sync", sync_log},     {"close", close_writer}, {"follow", follow}, {"read", read_some},
        {"until", read_until},  {"seek", seek},          {"leave", leave},   {"mix", mix},
        {NULL, NULL},
    };
    if (argc < 5)
        return 64;
    path = argv[1];
    record_open(argv[2]);
    publisher = (uint32_t)number(argv[3]);
    run = (uint32_t)number(argv[4]);
    worker_run(commands);
}
