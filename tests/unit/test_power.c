/*
 * Power cuts. Every write, sync, rename and creation that the store does is recorded (the linker puts our
 * functions in place of the system's: --wrap). Then the machine fails: after any of these steps, with what
 * was not synced there, gone or torn, sector by sector, in any order. Whatever is found then, the store
 * opens, has all that was confirmed, in order and undamaged, and goes on.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "core/store.h"
#include "core/verify.h"
#include "core/window.h"

enum { SEGMENT = STORE_SEGMENT_MIN, WINDOW = 256 * 1024, SECTOR = 512, FILES_MAX = 32, EVENTS_MAX = 20000 };

enum kind { CREATE, ALLOCATE, WRITE, SYNC, RENAME, SYNC_DIRECTORY, CONFIRM };

struct event {
    enum kind kind;
    unsigned file;
    uint64_t offset, size; /* CONFIRM: position and sequence */
    uint8_t *bytes;
    char name[40];
};

static struct event events[EVENTS_MAX];
static unsigned event_count;
static ino_t inodes[FILES_MAX];
static unsigned file_count;
static bool recording;

static unsigned file_of(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    for (unsigned i = 0; i < file_count; i++)
        if (inodes[i] == status.st_ino)
            return i;
    assert_true(file_count < FILES_MAX);
    inodes[file_count] = status.st_ino;
    return file_count++;
}

static struct event *record(enum kind kind)
{
    assert_true(event_count < EVENTS_MAX);
    events[event_count].kind = kind;
    return &events[event_count++];
}

int __real_openat(int directory, const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_openat(int directory, const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    int fd = __real_openat(directory, path, flags, mode);
    if (recording && fd >= 0 && (flags & O_CREAT)) {
        struct event *event = record(CREATE);
        event->file = file_of(fd);
        snprintf(event->name, sizeof event->name, "%s", path);
    }
    return fd;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    ssize_t written = __real_pwrite(fd, bytes, count, offset);
    if (recording && written > 0) {
        struct event *event = record(WRITE);
        event->file = file_of(fd);
        event->offset = (uint64_t)offset;
        event->size = (uint64_t)written;
        event->bytes = malloc((size_t)written);
        memcpy(event->bytes, bytes, (size_t)written);
    }
    return written;
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    int rc = __real_posix_fallocate(fd, offset, size);
    if (recording && rc == 0) {
        struct event *event = record(ALLOCATE);
        event->file = file_of(fd);
        event->size = (uint64_t)(offset + size);
    }
    return rc;
}

static void record_sync(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    if (S_ISDIR(status.st_mode))
        record(SYNC_DIRECTORY);
    else
        record(SYNC)->file = file_of(fd);
}

int __wrap_fsync(int fd)
{
    int rc = __real_fsync(fd);
    if (recording && rc == 0)
        record_sync(fd);
    return rc;
}

int __wrap_fdatasync(int fd)
{
    int rc = __real_fdatasync(fd);
    if (recording && rc == 0)
        record_sync(fd);
    return rc;
}

int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    int rc = __real_renameat(from_directory, from, to_directory, to);
    if (recording && rc == 0)
        snprintf(record(RENAME)->name, sizeof events[0].name, "%s", to); /* from: to with .new behind it */
    return rc;
}

/* ---- a history ---- */

static _Alignas(64) uint8_t frames[WINDOW];

static size_t make_frames(uint64_t sequence, unsigned count, uint32_t length)
{
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *frame = frames + used;
        memset(frame, 0, hermes_frame_bytes(length));
        memset(frame + HERMES_HEADER_BYTES, (int)(sequence + i), length);
        hermes_message_encode((hermes_header_t *)(void *)frame, frame + HERMES_HEADER_BYTES, length,
                              sequence + i, 1);
        used += hermes_frame_bytes(length);
    }
    return used;
}

static void live(const char *path)
{
    struct store store;
    struct error_text text;
    uint64_t seed = 4711;
    recording = true;
    assert_int_equal(store_open(&store, path, SEGMENT, 42, STORE_WRITE, &text), 0);
    while (store.entry_count < 4) {
        for (uint64_t n = 1 + test_random(&seed) % 3; n > 0; n--) {
            /* As the persister does: whole frames, not across a multiple of the window. */
            uint64_t room = WINDOW - store.position % WINDOW;
            uint32_t length = (uint32_t)(32 + 64 * (test_random(&seed) % 40));
            uint64_t most = room / hermes_frame_bytes(length), count = 1 + test_random(&seed) % 20;
            if (most == 0) {
                length = (uint32_t)(room - HERMES_HEADER_BYTES);
                most = 1;
            }
            count = count < most ? count : most;
            size_t bytes = make_frames(store.sequence, (unsigned)count, length);
            assert_int_equal(store_append(&store, frames, bytes, store.sequence + count, 1, &text), 0);
        }
        assert_int_equal(store_sync(&store, 1, &text), 0);
        struct event *event = record(CONFIRM);
        event->offset = store.position;
        event->size = store.sequence;
    }
    recording = false;
    store_close(&store);
}

/* ---- its end ---- */

struct file {
    uint8_t *bytes;
    uint64_t size;
    char name[40]; /* "": nobody would find it */
};

static struct file disk[FILES_MAX];

static void put(struct file *file, const struct event *event, bool synced, uint64_t *seed)
{
    if (event->offset + event->size > file->size) {
        file->bytes = realloc(file->bytes, event->offset + event->size);
        memset(file->bytes + file->size, 0, event->offset + event->size - file->size);
        file->size = event->offset + event->size;
    }
    for (uint64_t at = 0, n; at < event->size; at += n) {
        n = SECTOR - (event->offset + at) % SECTOR;
        n = n < event->size - at ? n : event->size - at;
        if (synced || test_random(seed) % 2 != 0)
            memcpy(file->bytes + event->offset + at, event->bytes + at, n);
    }
}

/* What a disk may hold after the first `steps` events. Returns what was confirmed by then. */
static struct event fail_after(unsigned steps, uint64_t *seed)
{
    struct event confirmed = {.kind = CONFIRM, .size = 1};
    unsigned last_sync[FILES_MAX] = {0}, last_directory_sync = 0;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        free(disk[i].bytes);
        disk[i] = (struct file){0};
    }
    for (unsigned i = 0; i < steps; i++) {
        if (events[i].kind == SYNC)
            last_sync[events[i].file] = i;
        else if (events[i].kind == SYNC_DIRECTORY)
            last_directory_sync = i;
        else if (events[i].kind == CONFIRM)
            confirmed = events[i];
    }
    for (unsigned i = 0; i < steps; i++) {
        const struct event *event = &events[i];
        struct file *file = &disk[event->file];
        bool synced = i < last_sync[event->file];
        switch (event->kind) {
        case CREATE:
            /* The checkpoint's own name: a file system keeps what it synced. */
            snprintf(file->name, sizeof file->name, "%s", event->name);
            break;
        case ALLOCATE:
            if ((synced || test_random(seed) % 2 != 0) && event->size > file->size) {
                file->bytes = realloc(file->bytes, event->size);
                memset(file->bytes + file->size, 0, event->size - file->size);
                file->size = event->size;
            }
            break;
        case WRITE:
            put(file, event, synced, seed);
            break;
        case RENAME:
            if (i < last_directory_sync || test_random(seed) % 2 != 0)
                for (unsigned k = 0; k < file_count; k++) {
                    size_t length = strlen(event->name);
                    if (strncmp(disk[k].name, event->name, length) == 0 &&
                        strcmp(disk[k].name + length, ".new") == 0)
                        snprintf(disk[k].name, sizeof disk[k].name, "%s", event->name);
                }
            break;
        default:
            break;
        }
    }
    return confirmed;
}

static void write_disk(const char *path)
{
    for (unsigned i = 0; i < file_count; i++) {
        if (disk[i].name[0] == 0)
            continue;
        char name[128];
        snprintf(name, sizeof name, "%s/%s", path, disk[i].name);
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(__real_pwrite(fd, disk[i].bytes, disk[i].size, 0), (ssize_t)disk[i].size);
        close(fd);
    }
}

static void check(const struct store *store, const struct event *confirmed)
{
    static uint8_t buffer[WINDOW];
    assert_true(store->position >= confirmed->offset);
    assert_true(store->sequence >= confirmed->size);
    struct verify verify = {
        .capacity = WINDOW, .segment_bytes = SEGMENT, .end = store->position, .sequence = 1};
    struct error_text text;
    for (size_t i = 0; i < store->entry_count; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(store->entries[i].base, name);
        int fd = __real_openat(store->directory, name, O_RDONLY | O_CLOEXEC);
        assert_int_equal(verify_segment(&verify, fd, store->position, buffer, &text), 0);
        close(fd);
    }
    assert_int_equal(verify.damaged, 0);
    assert_int_equal(verify.messages, store->sequence - 1);
}

static void power_fails_at_any_moment(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    live(path);
    test_remove(path);
    uint64_t seed =
        getenv("HERMES_TEST_SEED") != NULL ? strtoull(getenv("HERMES_TEST_SEED"), NULL, 10) : 20261123;
    unsigned rounds = getenv("HERMES_TEST_LONG") != NULL ? 20000 : 400;
    print_message("%u events, seed %llu\n", event_count, (unsigned long long)seed);
    unsigned put_aside = 0;
    for (unsigned round = 0; round < rounds; round++) {
        assert_int_equal(mkdir(path, 0700) == 0 || errno == EEXIST, 1);
        struct event confirmed = fail_after((unsigned)(test_random(&seed) % (event_count + 1)), &seed);
        write_disk(path);
        struct store store;
        struct error_text text;
        int rc = store_open(&store, path, SEGMENT, 42, STORE_WRITE, &text);
        if (rc < 0)
            print_message("round %u: %s\n", round, text.bytes);
        assert_int_equal(rc, 0);
        check(&store, &confirmed);
        put_aside += store.cut_bytes > 0;
        /* And on: the next start finds old and new. */
        size_t bytes = make_frames(store.sequence, 1, 32);
        uint64_t sequence = store.sequence;
        assert_int_equal(store_append(&store, frames, bytes, sequence + 1, 2, &text), 0);
        assert_int_equal(store_sync(&store, 2, &text), 0);
        struct event next = {.offset = store.position, .size = sequence + 1};
        store_close(&store);
        assert_int_equal(store_open(&store, path, SEGMENT, 42, STORE_WRITE, &text), 0);
        assert_int_equal(store.sequence, sequence + 1);
        assert_int_equal(store.cut_bytes, 0);
        check(&store, &next);
        store_close(&store);
        test_remove(path);
    }
    assert_true(put_aside > rounds / 10); /* torn ends were among them */
    for (unsigned i = 0; i < event_count; i++)
        free(events[i].bytes);
    for (unsigned i = 0; i < FILES_MAX; i++)
        free(disk[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_fails_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
