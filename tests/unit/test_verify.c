/* Damage in a stored log: every byte flipped in turn, every length to which the file may be cut. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "hermes/log.h"
#include "log/verify.h"

enum { MESSAGES = 160, WINDOW = 256 * 1024, SEGMENT = 1024 * 1024 };

struct stored {
    char directory[64];
    int fd;
    uint8_t *bytes; /* as it should be */
    uint64_t end;
    uint8_t *covered; /* for each byte of the log: is it of a message (1), or padding (0)? */
};

/* Small messages, and large ones so that a PAD is among the frames. */
static uint32_t length_of(unsigned i)
{
    return i % 10 == 0 ? 20000 : i * 7 % 150;
}

static int setup(void **state)
{
    struct stored *s = calloc(1, sizeof *s);
    strcpy(s->directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    hermes_log_options_t options = {.size = sizeof options, .window_bytes = WINDOW, .segment_bytes = SEGMENT};
    hermes_log_t *log;
    assert_int_equal(hermes_log_open(s->directory, &options, &log), 0);
    static uint8_t payload[20000];
    for (unsigned i = 0; i < MESSAGES; i++) {
        memset(payload, (int)i, sizeof payload);
        int rc;
        while ((rc = hermes_log_append(log, payload, length_of(i), NULL)) == HERMES_EAGAIN)
            hermes_log_wait_room(log, 1000000000);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(hermes_log_close(log), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/%020d.log", s->directory, 0);
    s->fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(s->fd >= 0);
    s->bytes = malloc(SEGMENT_HEADER_BYTES + SEGMENT);
    s->covered = calloc(1, SEGMENT);
    assert_int_equal(pread(s->fd, s->bytes, SEGMENT_HEADER_BYTES + SEGMENT, 0),
                     SEGMENT_HEADER_BYTES + SEGMENT);
    for (hermes_header_t header;; s->end += hermes_frame_bytes(header.length)) {
        memcpy(&header, s->bytes + SEGMENT_HEADER_BYTES + s->end, sizeof header);
        if (header.magic == 0)
            break;
        memset(s->covered + s->end, 1, HERMES_HEADER_BYTES + header.length);
    }
    assert_true(s->end > WINDOW);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stored *s = *state;
    close(s->fd);
    test_remove(s->directory);
    free(s->bytes);
    free(s->covered);
    free(s);
    return 0;
}

struct told {
    unsigned calls;
    uint64_t from, to;
};

static void note(void *context, uint64_t from, uint64_t to, int error)
{
    struct told *told = context;
    assert_true(error < 0 && from <= to);
    if (told->calls++ == 0)
        told->from = from;
    told->to = to;
}

static struct verify check(const struct stored *s, struct told *told, int *rc)
{
    static uint8_t buffer[WINDOW];
    struct error_text text;
    *told = (struct told){0};
    struct verify verify = {
        .capacity = WINDOW, .segment_bytes = SEGMENT, .end = s->end, .damage = note, .context = told};
    *rc = verify_segment(&verify, s->fd, s->end, buffer, &text);
    return verify;
}

static void nothing_is_wrong(void **state)
{
    struct told told;
    int rc;
    struct verify verify = check(*state, &told, &rc);
    assert_int_equal(rc, 0);
    assert_int_equal(verify.messages, MESSAGES);
    assert_int_equal(verify.damaged, 0);
}

/* Detected, and told where; all other messages are right; or it was padding, which nobody reads. */
static void every_byte_is_watched(void **state)
{
    const struct stored *s = *state;
    uint64_t seed = 77;
    bool is_long = getenv("HERMES_TEST_LONG") != NULL;
    for (uint64_t at = 0; at < SEGMENT_HEADER_BYTES + s->end; at++) {
        uint64_t position = at - SEGMENT_HEADER_BYTES;
        bool header = at < SEGMENT_HEADER_BYTES;
        /* In the middle of a large payload one byte is like the next. */
        if (!is_long && !header && position % 64 >= 32 && test_random(&seed) % 50 != 0)
            continue;
        if (!is_long && !header && test_random(&seed) % 4 != 0)
            continue;
        uint8_t flipped = s->bytes[at] ^ (uint8_t)(1u << test_random(&seed) % 8);
        assert_int_equal(pwrite(s->fd, &flipped, 1, (off_t)at), 1);
        struct told told;
        int rc;
        struct verify verify = check(s, &told, &rc);
        if (header) {
            assert_true(rc < 0 && told.calls == 1);
        } else if (s->covered[position]) {
            assert_int_equal(rc, 0);
            assert_int_equal(told.calls, 1);
            assert_true(told.from <= position && position < told.to);
            assert_true(verify.messages >= MESSAGES - 1); /* one is lost, or a PAD */
        } else {
            assert_int_equal(told.calls, 0);
            assert_int_equal(verify.messages, MESSAGES);
        }
        assert_int_equal(pwrite(s->fd, s->bytes + at, 1, (off_t)at), 1);
    }
}

static void every_length_is_survived(void **state)
{
    const struct stored *s = *state;
    char copy[128];
    snprintf(copy, sizeof copy, "%s/cut", s->directory);
    int whole = s->fd;
    struct stored cut = *s;
    cut.fd = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(cut.fd >= 0);
    uint64_t size = SEGMENT_HEADER_BYTES + s->end;
    assert_int_equal(pwrite(cut.fd, s->bytes, size, 0), (ssize_t)size);
    for (uint64_t length = size; length-- > 0;
         length -= length < 200 || length % 64 == 1 ? 0 : length % 977 % (length + 1)) {
        assert_int_equal(ftruncate(cut.fd, (off_t)length), 0);
        struct told told;
        int rc;
        struct verify verify = check(&cut, &told, &rc);
        assert_true(rc < 0);
        assert_true(told.calls >= 1);
        assert_true(verify.messages < MESSAGES);
        assert_true(told.to == s->end);
    }
    close(cut.fd);
    unlink(copy);
    assert_int_equal(whole, s->fd);
}

/* Cut short while it is mapped: zeros are read where the file is no more, and nothing dies. */
static void cut_under_a_mapping(void **state)
{
    const struct stored *s = *state;
    char copy[128];
    struct error_text text;
    struct segment segment, other;
    struct told told = {0};
    snprintf(copy, sizeof copy, "%s/cut", s->directory);
    int fd = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    uint64_t size = SEGMENT_HEADER_BYTES + SEGMENT;
    assert_int_equal(pwrite(fd, s->bytes, size, 0), (ssize_t)size);
    assert_int_equal(segment_map(fd, &segment, &text), 0);
    assert_int_equal(segment_map(s->fd, &other, &text), 0);
    assert_int_equal(ftruncate(fd, WINDOW / 2), 0);
    struct verify verify = {.sequence = 1, .damage = note, .context = &told};
    verify_frames(&verify, segment.data, WINDOW);
    assert_int_equal(told.calls, 1);
    assert_true(told.from < WINDOW / 2 && told.to == WINDOW);
    assert_true(verify.messages > 0 && verify.messages < MESSAGES);
    segment_release(&segment);
    verify = (struct verify){.sequence = 1};
    verify_frames(&verify, other.data, WINDOW);
    assert_int_equal(verify.damaged, 0);
    segment_release(&other);

    /* Anybody else's SIGBUS is theirs. */
    uint8_t *mine = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    pid_t child = test_fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); /* cmocka's own */
        if (segment_map(s->fd, &other, &text) == 0 && ftruncate(fd, 0) == 0)
            _exit(*(volatile uint8_t *)(mine + 4096));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    munmap(mine, 8192);
    close(fd);
    unlink(copy);
}

/* A whole frame that is gone, twice there, or from elsewhere is told by its sequence. */
static void frames_out_of_place(void **state)
{
    const struct stored *s = *state;
    hermes_header_t header;
    uint64_t first = 0, second, third;
    memcpy(&header, s->bytes + SEGMENT_HEADER_BYTES, sizeof header);
    while (hermes_frame_bytes(header.length) != 64) { /* one of 64 bytes that another one follows */
        first += hermes_frame_bytes(header.length);
        memcpy(&header, s->bytes + SEGMENT_HEADER_BYTES + first, sizeof header);
    }
    second = first + 64;
    memcpy(&header, s->bytes + SEGMENT_HEADER_BYTES + second, sizeof header);
    third = second + hermes_frame_bytes(header.length);
    assert_true(third - second == 64);
    struct told told;
    int rc;
    assert_int_equal(
        pwrite(s->fd, s->bytes + SEGMENT_HEADER_BYTES + first, 64, (off_t)(SEGMENT_HEADER_BYTES + second)),
        64);
    struct verify verify = check(s, &told, &rc); /* the first one twice */
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.from, second);
    assert_int_equal(told.to, third);
    assert_int_equal(verify.messages, MESSAGES - 1);
    static const uint8_t nothing[64];
    assert_int_equal(pwrite(s->fd, nothing, 64, (off_t)(SEGMENT_HEADER_BYTES + second)), 64);
    verify = check(s, &told, &rc); /* never written */
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.from, second);
    assert_int_equal(verify.messages, MESSAGES - 1);
    assert_int_equal(
        pwrite(s->fd, s->bytes + SEGMENT_HEADER_BYTES + second, 64, (off_t)(SEGMENT_HEADER_BYTES + second)),
        64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong),         cmocka_unit_test(every_byte_is_watched),
        cmocka_unit_test(every_length_is_survived), cmocka_unit_test(cut_under_a_mapping),
        cmocka_unit_test(frames_out_of_place),      cmocka_unit_test(nothing_is_wrong),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
