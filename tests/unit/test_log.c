/* hermes/log.h as a user sees it: writers and readers, death and recovery. */
#include "test.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "hermes/log.h"

static const hermes_log_options_t small = {
    .size = sizeof small, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};

static hermes_log_t *open_log(const char *path)
{
    hermes_log_t *log;
    int rc = hermes_log_open(path, &small, &log);
    if (rc < 0)
        print_message("%s\n", hermes_log_last_error(NULL));
    assert_int_equal(rc, 0);
    return log;
}

static void append_until(hermes_log_t *log, uint64_t last)
{
    uint8_t payload[512];
    for (uint64_t i = hermes_log_sequence(log) + 1; i <= last; i++) {
        size_t length = 8 + i % 400;
        memset(payload, (int)i, length);
        memcpy(payload, &i, 8);
        int rc;
        while ((rc = hermes_log_append(log, payload, length, NULL)) == HERMES_EAGAIN)
            assert_int_equal(hermes_log_wait_room(log, 10000000000u), 0);
        assert_int_equal(rc, 0);
    }
}

static void check(const hermes_message_t *message, uint64_t sequence)
{
    uint64_t number;
    assert_int_equal(message->sequence, sequence);
    assert_int_equal(message->length, 8 + sequence % 400);
    memcpy(&number, message->payload, 8);
    assert_int_equal(number, sequence);
    if (message->length > 8)
        assert_int_equal(((const uint8_t *)message->payload)[message->length - 1], (uint8_t)sequence);
}

/* Reads [from, last], and then at most `more` messages before nothing or the end. */
static void read_through(const char *path, uint64_t from, uint64_t last, unsigned more)
{
    hermes_log_reader_t *reader;
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_sequence(reader, from), 0);
    for (uint64_t i = from; i <= last; i++) {
        int rc = hermes_log_reader_poll(reader, &message);
        if (rc != 1)
            print_message("%s at %llu\n", hermes_log_reader_last_error(reader), (unsigned long long)i);
        assert_int_equal(rc, 1);
        check(&message, i);
    }
    while (hermes_log_reader_poll(reader, &message) > 0)
        assert_true(more-- > 0);
    hermes_log_reader_close(reader);
}

static void reopens_where_it_ended(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    for (uint64_t last = 5000; last <= 15000; last += 5000) {
        hermes_log_t *log = open_log(path);
        append_until(log, last);
        read_through(path, 1, last, 0); /* store, then window */
        read_through(path, last - 10, last, 0);
        assert_int_equal(hermes_log_close(log), 0);
        read_through(path, 1, last, 0); /* nobody writes: files alone */
    }
    test_remove(path);
}

static void claims_and_batches(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    void *payload;
    uint64_t sequence;
    assert_int_equal(hermes_log_commit(log, NULL), HERMES_EINVALID);
    assert_int_equal(hermes_log_claim(log, HERMES_PAYLOAD_MAX + 1, &payload), HERMES_ETOOLARGE);
    assert_int_equal(hermes_log_claim(log, 3, &payload), 0);
    memcpy(payload, "abc", 3);
    hermes_log_abort(log);
    assert_int_equal(hermes_log_claim(log, 65536, &payload), 0);
    memset(payload, 'z', 65536);
    assert_int_equal(hermes_log_commit(log, &sequence), 0);
    assert_int_equal(sequence, 1);
    hermes_slice_t slices[3] = {{"one", 3}, {"", 0}, {"three", 5}};
    assert_int_equal(hermes_log_append_batch(log, slices, 3), 3);
    slices[1].length = HERMES_PAYLOAD_MAX + 1;
    assert_int_equal(hermes_log_append_batch(log, slices, 3), 1);
    assert_int_equal(hermes_log_append_batch(log, slices + 1, 2), HERMES_ETOOLARGE);
    assert_int_equal(hermes_log_append(log, "", HERMES_PAYLOAD_MAX + 1, NULL), HERMES_ETOOLARGE);
    assert_int_equal(hermes_log_sync(log), 0);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &message), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    static const uint32_t lengths[] = {65536, 3, 0, 5, 3};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_int_equal(message.length, lengths[i]);
    }
    assert_int_equal(hermes_log_reader_wait(reader, &message, 1000000), 0);
    hermes_log_reader_close(reader);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

/* The claim's place is that of the next message: until it is committed or aborted nothing else goes in. */
static void an_open_claim_keeps_all_else_out(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    hermes_slice_t slices[2] = {{"one", 3}, {"two", 3}};
    uint64_t sequence;
    void *payload, *second;
    append_until(log, 1);
    assert_int_equal(hermes_log_claim(log, 300, &payload), 0);
    memset(payload, 'c', 300);
    assert_int_equal(hermes_log_append(log, "second", 6, &sequence), HERMES_EINVALID);
    assert_non_null(strstr(hermes_log_last_error(log), "commit or abort"));
    assert_int_equal(hermes_log_append_batch(log, slices, 2), HERMES_EINVALID);
    assert_int_equal(hermes_log_claim(log, 8, &second), HERMES_EINVALID);
    assert_int_equal(hermes_log_wait_room(log, 0), HERMES_EINVALID);
    assert_int_equal(hermes_log_sync(log), 0); /* what was appended before */
    for (int i = 0; i < 300; i++)
        assert_int_equal(((const char *)payload)[i], 'c');
    assert_int_equal(hermes_log_commit(log, &sequence), 0);
    assert_int_equal(sequence, 2);
    append_until(log, 3);
    assert_int_equal(hermes_log_claim(log, 60000, &payload), 0);
    memset(payload, 'c', 60000);
    assert_int_equal(hermes_log_close(log), 0); /* aborts it */
    log = open_log(path);
    assert_int_equal(hermes_log_sequence(log), 3);
    append_until(log, 10);
    assert_int_equal(hermes_log_close(log), 0);
    read_through(path, 3, 10, 0);
    test_remove(path);
}

/* Every place in a log of several segments, each of several stretches, is found, by sequence and by time. */
static void seeks_everywhere(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    enum { LAST = 14000 };
    hermes_log_t *log = open_log(path);
    append_until(log, LAST);
    assert_int_equal(hermes_log_close(log), 0);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    static uint64_t times[LAST + 1];
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    for (uint64_t i = 1; i <= LAST; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        times[i] = message.timestamp;
        assert_true(times[i] >= times[i - 1]);
    }
    for (uint64_t i = 1; i <= LAST; i += i % 5 == 0 ? 37 : 3) {
        assert_int_equal(hermes_log_reader_seek_sequence(reader, i), 0);
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        check(&message, i);
        if (i < LAST) {
            assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
            check(&message, i + 1);
        }
        uint64_t first = i; /* of those with this time */
        while (first > 1 && times[first - 1] == times[i])
            first--;
        assert_int_equal(hermes_log_reader_seek_time(reader, times[i]), 0);
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        check(&message, first);
        assert_int_equal(hermes_log_reader_seek_time(reader, times[i] - 1), 0);
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        assert_true(message.timestamp >= times[i] - 1 && message.sequence <= first);
    }
    assert_int_equal(hermes_log_reader_seek_sequence(reader, LAST + 1), 0);
    assert_true(hermes_log_reader_poll(reader, &message) <= 0);
    assert_int_equal(hermes_log_reader_seek_time(reader, times[LAST] + 1), 0);
    assert_true(hermes_log_reader_poll(reader, &message) <= 0);
    hermes_log_reader_close(reader);
    test_remove(path);
}

static void seeks_by_time_and_position(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    append_until(log, 8000);
    hermes_log_reader_t *reader;
    hermes_message_t message, again;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_sequence(reader, 4321), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
    check(&message, 4321);
    uint64_t time = message.timestamp, position = message.position;
    assert_int_equal(hermes_log_reader_seek_time(reader, time), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &again), 1);
    assert_true(again.timestamp >= time && again.sequence <= 4321);
    assert_int_equal(hermes_log_reader_seek_position(reader, position), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &again), 1);
    check(&again, 4321);
    assert_int_equal(hermes_log_reader_seek_position(reader, position + 1), HERMES_EINVALID);
    /* Beyond the end: the next one counts when it comes. */
    assert_int_equal(hermes_log_reader_seek_sequence(reader, 8003), 0);
    assert_int_equal(hermes_log_reader_poll(reader, &again), 0);
    append_until(log, 8005);
    assert_int_equal(hermes_log_reader_poll(reader, &again), 1);
    check(&again, 8003);
    hermes_log_reader_close(reader);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

static void second_writer_is_refused(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path), *second;
    assert_int_equal(hermes_log_open(path, &small, &second), HERMES_EBUSY);
    assert_null(second);
    assert_int_equal(hermes_log_close(log), 0);
    hermes_log_options_t odd = small;
    odd.window_bytes = 300000;
    assert_int_equal(hermes_log_open(path, &odd, &second), HERMES_EINVALID);
    odd = small;
    odd.segment_bytes = small.window_bytes + 64;
    assert_int_equal(hermes_log_open(path, &odd, &second), HERMES_EINVALID);
    hermes_log_reader_t *reader;
    assert_int_equal(hermes_log_reader_open("/tmp/hermes-test-nothing", &reader), HERMES_ENOTFOUND);
    assert_int_equal(hermes_log_close(NULL), 0);
    test_remove(path);
}

/* Killed at a random instruction, again and again: what was appended is there, in order, once. */
static void killed_writer_loses_nothing(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    unsigned rounds = getenv("HERMES_TEST_LONG") != NULL ? 500 : 25;
    uint64_t seed = 11;
    for (unsigned round = 0; round < rounds; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = test_fork();
        if (pid == 0) {
            hermes_log_t *log;
            if (hermes_log_open(path, &small, &log) < 0)
                _exit(2);
            for (;;) {
                uint8_t payload[512];
                uint64_t next = hermes_log_sequence(log) + 1;
                memset(payload, (int)next, sizeof payload);
                memcpy(payload, &next, 8);
                int rc = hermes_log_append(log, payload, 8 + next % 400, NULL);
                if (rc == HERMES_EAGAIN)
                    hermes_log_wait_room(log, 1000000000);
                else if (rc < 0)
                    _exit(3);
                else if (write(fds[1], &next, 8) != 8)
                    _exit(4);
            }
        }
        close(fds[1]);
        uint64_t confirmed = 0, number, wanted = 1 + test_random(&seed) % 8000;
        for (uint64_t i = 0; i < wanted && read(fds[0], &number, 8) == 8; i++)
            confirmed = number;
        kill(pid, SIGKILL);
        while (read(fds[0], &number, 8) == 8)
            confirmed = number;
        close(fds[0]);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        read_through(path, 1, confirmed, 1); /* one may have been on its way */
    }
    hermes_log_t *log = open_log(path);
    uint64_t last = hermes_log_sequence(log);
    append_until(log, last + 10);
    assert_int_equal(hermes_log_close(log), 0);
    read_through(path, 1, last + 10, 0);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    assert_int_not_equal(access(shm, F_OK), 0); /* nothing stays in shared memory */
    test_remove(path);
}

struct follow {
    const char *path;
    uint64_t last;
    uint64_t received;
};

static void *follow_log(void *argument)
{
    struct follow *follow = argument;
    hermes_log_reader_t *reader;
    hermes_message_t message;
    if (hermes_log_reader_open(follow->path, &reader) < 0)
        return NULL;
    hermes_log_reader_seek_first(reader);
    while (follow->received < follow->last) {
        int rc = hermes_log_reader_wait(reader, &message, 10000000000u);
        uint64_t number = 0;
        if (rc == 1)
            memcpy(&number, message.payload, 8);
        if (rc != 1 || message.sequence != follow->received + 1 || number != message.sequence) {
            print_message("rc %d sequence %llu after %llu: %s\n", rc, (unsigned long long)message.sequence,
                          (unsigned long long)follow->received, hermes_log_reader_last_error(reader));
            break;
        }
        follow->received++;
    }
    hermes_log_reader_close(reader);
    return NULL;
}

/* Flat out, several times around window and segments: window to store and back, no gap, no repeat. */
static void reader_follows_a_writer_at_full_speed(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    append_until(log, 1);
    struct follow follow[2] = {{path, 60000, 0}, {path, 60000, 0}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, follow_log, &follow[i]), 0);
    append_until(log, 60000);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(follow[i].received, 60000);
    }
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

/* Each byte of a stored log, flipped: found or harmless, and the messages around it stay readable. */
static void flipped_bytes_are_found(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    for (int i = 0; i < 8; i++)
        assert_int_equal(hermes_log_append(log, "0123456789012345678901234567890123456789", 40, NULL), 0);
    uint64_t end = hermes_log_position(log);
    assert_int_equal(hermes_log_close(log), 0);
    char file[256];
    snprintf(file, sizeof file, "%s/%020d.log", path, 0);
    FILE *stream = fopen(file, "r+");
    for (uint64_t offset = 0; offset < end; offset++) {
        fseek(stream, 64 + (long)offset, SEEK_SET);
        int byte = fgetc(stream);
        fseek(stream, 64 + (long)offset, SEEK_SET);
        fputc(byte ^ 0x41, stream);
        fflush(stream);
        hermes_log_reader_t *reader;
        hermes_message_t message;
        assert_int_equal(hermes_log_reader_open(path, &reader), 0);
        assert_int_equal(hermes_log_reader_seek_first(reader), 0);
        unsigned good = 0, errors = 0;
        int rc;
        while ((rc = hermes_log_reader_poll(reader, &message)) != HERMES_ECLOSED && good + errors < 100) {
            if (rc == 1) {
                assert_memory_equal(message.payload, "0123456789012345678901234567890123456789", 40);
                good++;
            } else {
                errors++;
            }
        }
        bool padding = offset % 128 >= 72;
        if (padding ? good != 8 || errors != 0 : good < 7 || errors == 0)
            print_message("offset %llu: %u good, %u errors\n", (unsigned long long)offset, good, errors);
        assert_true(padding ? good == 8 && errors == 0 : good == 7 && errors == 1);
        hermes_log_reader_close(reader);
        fseek(stream, 64 + (long)offset, SEEK_SET);
        fputc(byte, stream);
        fflush(stream);
    }
    fclose(stream);
    test_remove(path);
}

/* From here to `last`, then the end. */
static void reads_to_the_end(hermes_log_reader_t *reader, uint64_t from, uint64_t last)
{
    hermes_message_t message;
    for (uint64_t i = from; i <= last; i++) {
        int rc = hermes_log_reader_poll(reader, &message);
        if (rc != 1)
            print_message("%d at %llu\n", rc, (unsigned long long)i);
        assert_int_equal(rc, 1);
        check(&message, i);
    }
    assert_int_equal(hermes_log_reader_poll(reader, &message), HERMES_ECLOSED);
    assert_int_equal(hermes_log_reader_wait(reader, &message, 60000000000u), HERMES_ECLOSED); /* at once */
}

static void append_and_close(const char *path, uint64_t last)
{
    hermes_log_t *log = open_log(path);
    append_until(log, last);
    assert_int_equal(hermes_log_close(log), 0);
}

/* As at the end of a file: it is there as long as nobody adds to it. */
static void a_reader_at_the_end_goes_on_when_somebody_writes_again(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_message_t message;
    hermes_log_reader_t *followed, *late;
    hermes_log_t *log = open_log(path);
    assert_int_equal(hermes_log_reader_open(path, &followed), 0);
    append_until(log, 3000);
    assert_int_equal(hermes_log_close(log), 0);
    reads_to_the_end(followed, 1, 3000); /* it saw the writer go */
    assert_int_equal(hermes_log_reader_open(path, &late), 0);
    assert_int_equal(hermes_log_reader_seek_sequence(late, 2990), 0);
    reads_to_the_end(late, 2990, 3000); /* and it never saw one */

    log = open_log(path); /* one that stays */
    append_until(log, 3001);
    assert_int_equal(hermes_log_reader_poll(followed, &message), 1);
    check(&message, 3001);
    assert_int_equal(hermes_log_reader_poll(followed, &message), 0); /* and may go on */
    append_until(log, 5000);
    assert_int_equal(hermes_log_close(log), 0);
    reads_to_the_end(followed, 3002, 5000);

    append_and_close(path, 6000); /* one that came and went unseen */
    append_and_close(path, 7000);
    reads_to_the_end(followed, 5001, 7000);
    reads_to_the_end(late, 3001, 7000);
    hermes_log_reader_close(followed);
    hermes_log_reader_close(late);
    test_remove(path);
}

/* What is sought is sought in the log as it is now, and what is waited for is still waited for. */
static void a_reader_at_the_end_seeks_in_what_was_added(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_message_t message;
    hermes_log_reader_t *readers[6];
    append_and_close(path, 100);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(hermes_log_reader_open(path, &readers[i]), 0);
        assert_int_equal(hermes_log_reader_poll(readers[i], &message), HERMES_ECLOSED);
    }
    assert_int_equal(hermes_log_reader_seek_sequence(readers[5], 150), 0); /* not there yet */
    assert_int_equal(hermes_log_reader_poll(readers[5], &message), HERMES_ECLOSED);
    append_and_close(path, 200);
    assert_int_equal(hermes_log_reader_poll(readers[5], &message), 1);
    check(&message, 150);
    uint64_t position = message.position, time = message.timestamp;
    assert_int_equal(hermes_log_reader_seek_first(readers[0]), 0);
    reads_to_the_end(readers[0], 1, 200);
    assert_int_equal(hermes_log_reader_seek_end(readers[1]), 0);
    reads_to_the_end(readers[1], 201, 200);
    assert_int_equal(hermes_log_reader_seek_sequence(readers[2], 150), 0);
    reads_to_the_end(readers[2], 150, 200);
    assert_int_equal(hermes_log_reader_seek_time(readers[3], time), 0);
    assert_int_equal(hermes_log_reader_poll(readers[3], &message), 1);
    assert_true(message.timestamp >= time && message.sequence > 100 && message.sequence <= 150);
    assert_int_equal(hermes_log_reader_seek_position(readers[4], position), 0);
    reads_to_the_end(readers[4], 150, 200);
    for (unsigned i = 0; i < 6; i++)
        hermes_log_reader_close(readers[i]);
    test_remove(path);
}

/* It has lost its end, in a power cut, or is another one of that name. */
static void a_reader_of_more_than_there_is_says_so_and_goes_on_at_the_end(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_message_t message;
    hermes_log_reader_t *reader;
    append_and_close(path, 1000);
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    reads_to_the_end(reader, 1, 1000);
    test_remove(path);
    assert_int_equal(hermes_log_reader_poll(reader, &message), HERMES_ECLOSED); /* there is none */
    append_and_close(path, 500);
    assert_int_equal(hermes_log_reader_poll(reader, &message), HERMES_EGONE);
    assert_non_null(strstr(hermes_log_reader_last_error(reader), "going on at its end"));
    assert_int_equal(hermes_log_reader_poll(reader, &message), HERMES_ECLOSED);
    append_and_close(path, 1100);
    reads_to_the_end(reader, 501, 1100);
    hermes_log_reader_close(reader);
    test_remove(path);
}

/* Nobody can know that it will not come back; the next one takes up what it left. */
static void readers_wait_for_a_writer_that_died(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_message_t message;
    pid_t pid = test_fork();
    if (pid == 0) {
        append_until(open_log(path), 10);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    hermes_log_reader_t *reader;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
        check(&message, i);
    }
    assert_int_equal(hermes_log_reader_poll(reader, &message), 0);
    append_and_close(path, 20);
    reads_to_the_end(reader, 11, 20);
    hermes_log_reader_close(reader);
    test_remove(path);
}

/* A writer that appended up to `last` and was killed. */
static void die_after(const char *path, const hermes_log_options_t *options, uint64_t last)
{
    pid_t pid = test_fork();
    if (pid == 0) {
        hermes_log_t *log;
        if (hermes_log_open(path, options, &log) < 0)
            _exit(1);
        append_until(log, last);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* How large the log's one window in shared memory is; 0: there is no shared memory of it. */
static uint64_t window_size(const char *path)
{
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    DIR *directory = opendir(shm);
    if (directory == NULL)
        return 0;
    uint64_t size = 0;
    for (struct dirent *item; (item = readdir(directory)) != NULL;) {
        struct stat status;
        if (strstr(item->d_name, ".window") == NULL)
            continue;
        assert_int_equal(size, 0);
        assert_int_equal(fstatat(dirfd(directory), item->d_name, &status, 0), 0);
        size = (uint64_t)status.st_size - 4096;
    }
    closedir(directory);
    return size;
}

static void reopened_with_another_window(uint64_t before, uint64_t after)
{
    TEST_DIRECTORY(path);
    hermes_log_options_t first = small, second = small;
    first.window_bytes = before;
    second.window_bytes = after;
    die_after(path, &first, 900);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    for (uint64_t i = 1; i <= 900; i++)
        assert_int_equal(hermes_log_reader_poll(reader, &message), 1);
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &second, &log), 0);
    assert_int_equal(hermes_log_sequence(log), 900);
    assert_int_equal(window_size(path), before);
    append_until(log, 5000);
    assert_int_equal(hermes_log_close(log), 0);
    reads_to_the_end(reader, 901, 5000);
    hermes_log_reader_close(reader);
    assert_int_equal(window_size(path), 0);
    assert_int_equal(hermes_log_open(path, &second, &log), 0);
    assert_int_equal(window_size(path), after);
    append_until(log, 9000);
    assert_int_equal(hermes_log_close(log), 0);
    read_through(path, 1, 9000, 0);
    test_remove(path);
}

/* What the window held was told 0: it is taken up as it is, and the new size counts from the next time on. */
static void another_window_size_takes_up_what_a_killed_writer_left(void **state)
{
    (void)state;
    reopened_with_another_window(small.window_bytes, 2 * small.window_bytes);
    reopened_with_another_window(4 * small.window_bytes, small.window_bytes);
}

static void make_file(const char *directory, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

/* One that died while it made a window, between the record of its epoch and the status page; or while it made
 * the status page. Nobody will ever ask for them. */
static void what_a_writer_left_half_made_is_swept_by_the_next(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    for (unsigned round = 0; round < 2; round++) {
        if (round == 0)
            die_after(path, &small, 100); /* its status page is taken up */
        else
            append_and_close(path, 200); /* or there is none */
        assert_int_equal(path_shm_for(path, shm, &text), 0);
        mkdir(shm, 0700);
        make_file(shm, "log.77.window");
        make_file(shm, "log.4000000000.window");
        make_file(shm, "log.status.new");
        make_file(shm, "something.else"); /* not ours */
        hermes_log_t *log = open_log(path);
        assert_int_equal(hermes_log_sequence(log), (round + 1) * 100);
        assert_int_equal(window_size(path), small.window_bytes); /* and there is one only */
        append_until(log, (round + 1) * 100 + 50);
        char other[SHM_PATH_BYTES + 32];
        snprintf(other, sizeof other, "%s/something.else", shm);
        assert_int_equal(unlink(other), 0);
        assert_int_equal(hermes_log_close(log), 0);
        assert_int_not_equal(access(shm, F_OK), 0);
    }
    test_remove(path);
}

/* With every number of them that is too small. */
static void an_opening_without_descriptors_leaves_nothing_in_shared_memory(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int rc = HERMES_ELIMIT;
    unsigned failures = 0;
    for (rlim_t most = 3; rc < 0; most++) {
        hermes_log_t *log;
        low = (struct rlimit){.rlim_cur = most, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        rc = hermes_log_open(path, &small, &log);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (rc == 0) {
            assert_int_equal(hermes_log_close(log), 0);
            break;
        }
        assert_int_equal(rc, HERMES_ELIMIT);
        assert_null(log);
        assert_int_equal(window_size(path), 0);
        failures++;
    }
    assert_true(failures >= 8);
    test_remove(path);
}

/* ---- each code that the header names ---- */

static int open_code(const char *path, const hermes_log_options_t *options)
{
    hermes_log_t *log;
    int rc = hermes_log_open(path, options, &log);
    if (rc < 0)
        assert_null(log);
    else
        assert_int_equal(hermes_log_close(log), 0);
    return rc;
}

static void an_opening_refuses_what_is_out_of_range(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char nested[64], longest[5000];
    assert_int_equal(open_code(NULL, &small), HERMES_EINVALID);
    assert_int_equal(open_code("", &small), HERMES_EINVALID);
    hermes_log_options_t odd = small;
    odd.size = 0;
    assert_int_equal(open_code(path, &odd), HERMES_EINVALID);
    struct {
        hermes_log_options_t known;
        uint64_t news;
    } newer = {small, 0};
    newer.known.size = sizeof newer;
    assert_int_equal(open_code(path, &newer.known), 0);
    newer.news = 1;
    assert_int_equal(open_code(path, &newer.known), HERMES_ENOTSUP);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(open_code(longest, &small), HERMES_ETOOLARGE);
    make_file(path, "file");
    snprintf(nested, sizeof nested, "%s/file", path);
    assert_int_equal(open_code(nested, &small), HERMES_ENOTFOUND);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    assert_int_equal(mkdir(shm, 0700), 0);
    assert_int_equal(chmod(shm, 0755), 0); /* open to others */
    assert_int_equal(open_code(path, &small), HERMES_EACCESS);
    test_remove(path);
}

/* A log's segments are all of one size, from the first message on; with another nothing is changed. */
static void another_segment_size_is_refused(void **state)
{
    (void)state;
    for (unsigned killed = 0; killed < 2; killed++) {
        static const uint64_t ends[] = {0, 200, 3500, 9000, 11000}; /* of none to three segments */
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            uint64_t last = ends[i];
            TEST_DIRECTORY(path);
            hermes_log_options_t other = small;
            if (killed)
                die_after(path, &small, last);
            else
                append_and_close(path, last);
            other.segment_bytes = small.segment_bytes / 2;
            int wanted = last == 0 && !killed ? 0 : HERMES_EINVALID; /* it has none yet */
            assert_int_equal(open_code(path, &other), wanted);
            other.segment_bytes = small.segment_bytes * 4;
            assert_int_equal(open_code(path, &other), wanted);
            hermes_log_t *log = open_log(path);
            assert_int_equal(hermes_log_sequence(log), last);
            append_until(log, last + 100);
            assert_int_equal(hermes_log_close(log), 0);
            read_through(path, 1, last + 100, 0);
            test_remove(path);
        }
    }
}

/* Writes a byte over one of the file. */
static void overwrite(const char *directory, const char *name, long offset, int byte)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

static void an_opening_says_what_is_wrong_with_what_is_there(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    static const char segment[] = "00000000000000000000.log";
    static const struct {
        long offset;
        int code;
    } wrong[] = {{0, HERMES_ECORRUPT}, {4, HERMES_EVERSION}, {16, HERMES_ECORRUPT}};
    append_and_close(path, 100);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char file[PATH_BYTES];
        snprintf(file, sizeof file, "%s/%s", path, segment);
        FILE *stream = fopen(file, "r");
        assert_non_null(stream);
        fseek(stream, wrong[i].offset, SEEK_SET);
        int byte = fgetc(stream);
        fclose(stream);
        overwrite(path, segment, wrong[i].offset, byte ^ 0x55);
        assert_int_equal(open_code(path, &small), wrong[i].code);
        hermes_log_reader_t *reader;
        assert_int_equal(hermes_log_reader_open(path, &reader), wrong[i].code);
        overwrite(path, segment, wrong[i].offset, byte);
    }
    die_after(path, &small, 200);
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    DIR *directory = opendir(shm);
    assert_non_null(directory);
    for (struct dirent *item; (item = readdir(directory)) != NULL;)
        if (strstr(item->d_name, ".window") != NULL)
            overwrite(shm, item->d_name, 0, 0x55);
    closedir(directory);
    hermes_log_reader_t *reader;
    assert_int_equal(hermes_log_reader_open(path, &reader), HERMES_EMALFORMED);
    assert_null(reader);
    assert_int_equal(open_code(path, &small), HERMES_EMALFORMED);
    test_remove(path);
    assert_int_equal(hermes_log_reader_open(path, &reader), HERMES_ENOTFOUND);
    assert_int_equal(hermes_log_reader_open(NULL, &reader), HERMES_EINVALID);
}

/* Somebody removed the window alone: what is stored is what there is, and the new size counts at once. */
static void a_log_whose_window_was_removed_goes_on_with_what_is_stored(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    char shm[SHM_PATH_BYTES];
    struct error_text text;
    append_and_close(path, 100);
    die_after(path, &small, 100);
    assert_int_equal(path_shm_for(path, shm, &text), 0);
    DIR *directory = opendir(shm);
    assert_non_null(directory);
    for (struct dirent *item; (item = readdir(directory)) != NULL;)
        if (strstr(item->d_name, ".window") != NULL)
            unlinkat(dirfd(directory), item->d_name, 0);
    closedir(directory);
    hermes_log_options_t larger = small;
    larger.window_bytes *= 2;
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(path, &larger, &log), 0);
    assert_int_equal(window_size(path), larger.window_bytes);
    append_until(log, 5000);
    assert_int_equal(hermes_log_close(log), 0);
    read_through(path, 1, 5000, 0);
    test_remove(path);
}

static void an_append_refuses_what_is_no_message(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    static uint8_t large[HERMES_PAYLOAD_MAX + 1];
    hermes_slice_t slices[2] = {{"one", 3}, {NULL, 5}};
    assert_int_equal(hermes_log_append(log, NULL, 5, NULL), HERMES_EINVALID);
    assert_non_null(strstr(hermes_log_last_error(log), "no payload"));
    assert_int_equal(hermes_log_append(log, large, sizeof large, NULL), HERMES_ETOOLARGE);
    assert_non_null(strstr(hermes_log_last_error(log), "65537"));
    assert_int_equal(hermes_log_append_batch(log, slices, 2), 1);
    assert_int_equal(hermes_log_append_batch(log, slices + 1, 1), HERMES_EINVALID);
    assert_int_equal(hermes_log_append_batch(log, slices + 1, 1), HERMES_EINVALID);
    assert_int_equal(hermes_log_append_batch(log, slices, 0), 0);
    assert_int_equal(hermes_log_append(log, NULL, 0, NULL), 0); /* an empty message */
    assert_int_equal(hermes_log_sequence(log), 2);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

static void remove_file(const char *directory, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static void a_sync_says_that_somebody_deleted_what_was_stored(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    append_until(log, 10);
    assert_int_equal(hermes_log_sync(log), 0);
    assert_int_equal(hermes_log_close(log), 0);
    hermes_log_options_t idle = small;
    idle.sync_interval_ms = 3600000; /* so that it is we who find out */
    assert_int_equal(hermes_log_open(path, &idle, &log), 0);
    assert_int_equal(hermes_log_sync(log), 0);
    remove_file(path, "00000000000000000000.log");
    append_until(log, 20);
    assert_int_equal(hermes_log_sync(log), HERMES_ECORRUPT);
    assert_int_equal(hermes_log_sync(log), HERMES_EIO);
    assert_int_equal(hermes_log_close(log), HERMES_EIO);
    test_remove(path);
}

/* The first code that is not 1, from the first message on. */
static int first_error(const char *path)
{
    hermes_log_reader_t *reader;
    hermes_message_t message;
    int rc;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_first(reader), 0);
    while ((rc = hermes_log_reader_poll(reader, &message)) == 1)
        ;
    hermes_log_reader_close(reader);
    return rc;
}

static void a_reader_says_what_is_wrong(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    static const char first[] = "00000000000000000000.log", second[] = "00000000000001048576.log";
    append_and_close(path, 9000);
    assert_int_equal(first_error(path), HERMES_ECLOSED);
    overwrite(path, first, 64 + 32 + 1, 0x55); /* in the payload */
    assert_int_equal(first_error(path), HERMES_ECHECKSUM);
    overwrite(path, first, 64 + 5, 0x55); /* what kind of a frame it is */
    assert_int_equal(first_error(path), HERMES_EMALFORMED);
    overwrite(path, first, 64 + 5, HERMES_TYPE_DATA);
    overwrite(path, first, 64 + 32 + 1, 0);
    remove_file(path, second);
    assert_int_equal(first_error(path), HERMES_ECORRUPT);
    remove_file(path, first);
    hermes_log_reader_t *reader;
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(hermes_log_reader_seek_position(reader, 0), HERMES_EGONE);
    assert_int_equal(hermes_log_reader_seek_position(reader, 65), HERMES_EINVALID);
    assert_int_equal(hermes_log_reader_seek_position(reader, 1ull << 40), HERMES_ENOTFOUND);
    hermes_log_reader_close(reader);
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(hermes_log_reader_open(path, &reader), HERMES_ELIMIT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(hermes_log_reader_open(longest, &reader), HERMES_ETOOLARGE);
    test_remove(path);
}

static void on_signal(int number)
{
    (void)number;
}

static void a_wait_that_a_signal_ends_says_so(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    hermes_log_t *log = open_log(path);
    hermes_log_reader_t *reader;
    hermes_message_t message;
    struct sigaction action = {.sa_handler = on_signal}, before;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(hermes_log_reader_open(path, &reader), 0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(hermes_log_reader_wait(reader, &message, 3600000000000u), HERMES_EINTERRUPTED);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    hermes_log_reader_close(reader);
    assert_int_equal(hermes_log_close(log), 0);
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reopens_where_it_ended),
        cmocka_unit_test(claims_and_batches),
        cmocka_unit_test(an_open_claim_keeps_all_else_out),
        cmocka_unit_test(seeks_everywhere),
        cmocka_unit_test(seeks_by_time_and_position),
        cmocka_unit_test(second_writer_is_refused),
        cmocka_unit_test(killed_writer_loses_nothing),
        cmocka_unit_test(reader_follows_a_writer_at_full_speed),
        cmocka_unit_test(flipped_bytes_are_found),
        cmocka_unit_test(a_reader_at_the_end_goes_on_when_somebody_writes_again),
        cmocka_unit_test(a_reader_at_the_end_seeks_in_what_was_added),
        cmocka_unit_test(a_reader_of_more_than_there_is_says_so_and_goes_on_at_the_end),
        cmocka_unit_test(readers_wait_for_a_writer_that_died),
        cmocka_unit_test(another_window_size_takes_up_what_a_killed_writer_left),
        cmocka_unit_test(what_a_writer_left_half_made_is_swept_by_the_next),
        cmocka_unit_test(an_opening_refuses_what_is_out_of_range),
        cmocka_unit_test(another_segment_size_is_refused),
        cmocka_unit_test(an_opening_says_what_is_wrong_with_what_is_there),
        cmocka_unit_test(a_log_whose_window_was_removed_goes_on_with_what_is_stored),
        cmocka_unit_test(an_append_refuses_what_is_no_message),
        cmocka_unit_test(a_sync_says_that_somebody_deleted_what_was_stored),
        cmocka_unit_test(a_reader_says_what_is_wrong),
        cmocka_unit_test(a_wait_that_a_signal_ends_says_so),
        cmocka_unit_test(an_opening_without_descriptors_leaves_nothing_in_shared_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
