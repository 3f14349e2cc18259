/*
 * Histories of a store, by the thousand, each from a seed: it appends, rolls, syncs, retires, finds its disk
 * full, is closed, and again and again the power fails. Every write, sync, rename, creation and deletion is
 * recorded (the linker puts our functions in place of the system's: --wrap). When the machine fails, then
 * after any of these steps, with what was not synced there, gone or torn, sector by sector, in any order.
 * Whatever is found then, the store opens, has all that was ever confirmed and not retired, in order and
 * undamaged, nothing that an earlier life had lost, and goes on.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "log/frames.h"
#include "log/recovery.h"
#include "log/store.h"
#include "log/verify.h"
#include "log/window.h"

enum {
    SEGMENT = STORE_SEGMENT_MIN,
    WINDOW = 256 * 1024,
    SECTOR = 512,
    FILES_MAX = 64,
    EVENTS_MAX = 20000,
    SEQUENCES_MAX = 200000,
    TOPIC = 42,
};

enum kind { CREATE, RESIZE, GROW, WRITE, ZERO, SYNC, RENAME, UNLINK, SYNC_DIRECTORY, CONFIRM };

struct event {
    enum kind kind;
    unsigned file;
    uint64_t offset, size; /* CONFIRM: position and sequence */
    uint8_t *bytes;
    char name[40];
};

static struct event events[EVENTS_MAX];
static unsigned event_count;

/* A file, as it was when this life began; then, after a power cut, as it is found. */
struct file {
    ino_t inode;
    uint8_t *bytes;
    uint64_t size;
    char name[40]; /* "": nobody would find it */
};

static struct file files[FILES_MAX];
static unsigned file_count;
static bool recording;
static unsigned full; /* one in so many allocations fails; 0: none */
static uint64_t random_state;

static uint64_t one_of(uint64_t n)
{
    return test_random(&random_state) % n;
}

static unsigned file_of(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    for (unsigned i = 0; i < file_count; i++)
        if (files[i].inode == status.st_ino)
            return i;
    assert_true(file_count < FILES_MAX);
    files[file_count] = (struct file){.inode = status.st_ino};
    return file_count++;
}

static struct event *record(enum kind kind)
{
    assert_true(event_count < EVENTS_MAX);
    events[event_count] = (struct event){.kind = kind};
    return &events[event_count++];
}

static void record_range(enum kind kind, int fd, uint64_t offset, uint64_t size, const void *bytes)
{
    struct event *event = record(kind);
    event->file = file_of(fd);
    event->offset = offset;
    event->size = size;
    if (bytes != NULL) {
        event->bytes = malloc(size);
        memcpy(event->bytes, bytes, size);
    }
}

static void record_name(enum kind kind, const char *from, const char *to)
{
    /* The last one that has this name, in the order of creation. */
    struct event *event = record(kind);
    event->file = FILES_MAX;
    snprintf(event->name, sizeof event->name, "%s", to);
    for (unsigned i = file_count; i-- > 0 && event->file == FILES_MAX;)
        if (strcmp(files[i].name, from) == 0)
            event->file = i;
    assert_true(event->file < FILES_MAX);
}

int __real_openat(int directory, const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_ftruncate(int fd, off_t size);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __real_unlinkat(int directory, const char *path, int flags);
int __wrap_openat(int directory, const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_unlinkat(int directory, const char *path, int flags);

/* While a life goes on files[].name is the name that a file has now. */
static void set_name(unsigned file, const char *name)
{
    for (unsigned i = 0; i < file_count; i++)
        if (i != file && strcmp(files[i].name, name) == 0) {
            files[i].name[0] = 0;
            files[i].inode = 0; /* the next file may get the number */
        }
    snprintf(files[file].name, sizeof files[file].name, "%s", name);
}

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    int fd = __real_openat(directory, path, flags, mode);
    if (!recording || fd < 0 || (flags & O_CREAT) == 0)
        return fd;
    unsigned before = file_count, file = file_of(fd);
    if (file == before) {
        set_name(file, path);
        record_name(CREATE, path, path);
    } else if (flags & O_TRUNC) {
        record_range(RESIZE, fd, 0, 0, NULL);
    }
    return fd;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    ssize_t written = __real_pwrite(fd, bytes, count, offset);
    if (recording && written > 0)
        record_range(WRITE, fd, (uint64_t)offset, (uint64_t)written, bytes);
    return written;
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    if (full != 0 && one_of(full) == 0)
        return ENOSPC;
    int rc = __real_posix_fallocate(fd, offset, size);
    if (recording && rc == 0)
        record_range(GROW, fd, (uint64_t)(offset + size), 0, NULL);
    return rc;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
    int rc = __real_fallocate(fd, mode, offset, size);
    if (recording && rc == 0)
        record_range(ZERO, fd, (uint64_t)offset, (uint64_t)size, NULL);
    return rc;
}

int __wrap_ftruncate(int fd, off_t size)
{
    int rc = __real_ftruncate(fd, size);
    if (recording && rc == 0)
        record_range(RESIZE, fd, (uint64_t)size, 0, NULL);
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
    if (recording && rc == 0) {
        record_name(RENAME, from, to);
        set_name(events[event_count - 1].file, to);
    }
    return rc;
}

int __wrap_unlinkat(int directory, const char *path, int flags)
{
    int rc = __real_unlinkat(directory, path, flags);
    if (recording && rc == 0) {
        record_name(UNLINK, path, "");
        files[events[event_count - 1].file].name[0] = 0;
        files[events[event_count - 1].file].inode = 0;
    }
    return rc;
}

/* ---- the power fails ---- */

static void resize(struct file *file, uint64_t size)
{
    if (size > file->size) {
        file->bytes = realloc(file->bytes, size);
        memset(file->bytes + file->size, 0, size - file->size);
    }
    file->size = size;
}

static void put(struct file *file, const struct event *event, bool synced)
{
    if (event->offset + event->size > file->size)
        resize(file, event->offset + event->size);
    for (uint64_t at = 0, n; at < event->size; at += n) {
        n = SECTOR - (event->offset + at) % SECTOR;
        n = n < event->size - at ? n : event->size - at;
        if (!synced && one_of(2) != 0)
            continue;
        if (event->bytes != NULL)
            memcpy(file->bytes + event->offset + at, event->bytes + at, n);
        else
            memset(file->bytes + event->offset + at, 0, n);
    }
}

/* Makes of files[], as they were at the beginning of this life, what a disk may hold after that many events.
 * Returns what was confirmed by then. */
static struct event fail_after(unsigned steps, struct event confirmed, char names[FILES_MAX][40])
{
    unsigned last_sync[FILES_MAX] = {0}, last_directory_sync = 0;
    for (unsigned i = 0; i < steps; i++) {
        if (events[i].kind == SYNC)
            last_sync[events[i].file] = i;
        else if (events[i].kind == SYNC_DIRECTORY)
            last_directory_sync = i;
        else if (events[i].kind == CONFIRM)
            confirmed = events[i];
    }
    for (unsigned i = 0; i < file_count; i++)
        memcpy(files[i].name, names[i], sizeof files[i].name);
    for (unsigned i = 0; i < steps; i++) {
        const struct event *event = &events[i];
        struct file *file = &files[event->file < FILES_MAX ? event->file : 0];
        bool synced = i < last_sync[event->file < FILES_MAX ? event->file : 0];
        bool named = i < last_directory_sync;
        switch (event->kind) {
        case CREATE: /* an open file that is synced has its name; so has, here, any other */
            set_name(event->file, event->name);
            break;
        case RESIZE:
            if (synced || one_of(2) != 0)
                resize(file, event->offset);
            break;
        case GROW:
            if ((synced || one_of(2) != 0) && event->offset > file->size)
                resize(file, event->offset);
            break;
        case WRITE:
        case ZERO:
            put(file, event, synced);
            break;
        case RENAME:
        case UNLINK:
            if (named || one_of(2) != 0)
                set_name(event->file, event->name);
            break;
        default:
            break;
        }
    }
    return confirmed;
}

/* Writes files[] to the directory, which is empty, and drops those that nobody would find. */
static void write_files(const char *path)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < file_count; i++) {
        if (files[i].name[0] == 0) {
            free(files[i].bytes);
            continue;
        }
        char name[128];
        struct stat status;
        snprintf(name, sizeof name, "%s/%s", path, files[i].name);
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        if (files[i].size > 0)
            assert_int_equal(__real_pwrite(fd, files[i].bytes, files[i].size, 0), (ssize_t)files[i].size);
        assert_int_equal(fstat(fd, &status), 0);
        close(fd);
        files[kept] = files[i];
        files[kept++].inode = status.st_ino;
    }
    file_count = kept;
}

static void forget_events(void)
{
    for (unsigned i = 0; i < event_count; i++)
        free(events[i].bytes);
    event_count = 0;
}

/* ---- a life ---- */

static _Alignas(64) uint8_t frames[WINDOW];
static uint8_t tags[SEQUENCES_MAX];    /* which life wrote that message */
static uint8_t life, tag;              /* tag: of that life, before or after it took something back */
static uint64_t places[SEQUENCES_MAX]; /* where it stands */
static unsigned taken_back;
static uint8_t former_tags[SEQUENCES_MAX];
static unsigned cut_after; /* so many events, something had been taken back; 0: nothing was in this life */
static bool
    uniform; /* all frames as long, some beginning with a sector: as what is lost and what takes its place */

static size_t make_frames(uint64_t position, uint64_t sequence, unsigned count, uint32_t length)
{
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *frame = frames + used;
        memset(frame, 0, hermes_frame_bytes(length));
        memset(frame + HERMES_HEADER_BYTES, tag, length);
        assert_true(sequence + i < SEQUENCES_MAX);
        tags[sequence + i] = tag;
        places[sequence + i] = position + used;
        hermes_message_encode((hermes_header_t *)(void *)frame, frame + HERMES_HEADER_BYTES, length,
                              sequence + i, 1000 + sequence + i - one_of(5));
        used += hermes_frame_bytes(length);
    }
    return used;
}

/* As the persister does: whole frames, not across a multiple of the window. */
static void append_some(struct store *store, unsigned most_frames)
{
    struct error_text text;
    uint64_t room = WINDOW - store->position % WINDOW;
    uint32_t length = uniform ? 160 : (uint32_t)(32 + 64 * one_of(one_of(4) == 0 ? 900 : 40));
    uint64_t most = room / hermes_frame_bytes(length), count = 1 + one_of(most_frames);
    if (most == 0) {
        length = (uint32_t)(room - HERMES_HEADER_BYTES);
        most = 1;
    }
    count = count < most ? count : most;
    size_t bytes = make_frames(store->position, store->sequence, (unsigned)count, length);
    int rc = store_append(store, frames, bytes, store->sequence + count, life, &text);
    assert_true(rc == 0 || rc == HERMES_EFULL);
}

static void confirm(const struct store *store, struct event *confirmed)
{
    struct event *event = record(CONFIRM);
    event->offset = store->position;
    event->size = store->sequence;
    *confirmed = *event;
}

static void sync_all(struct store *store, struct event *confirmed)
{
    struct error_text text;
    assert_int_equal(store_sync(store, &text), 0);
    confirm(store, confirmed);
    if (one_of(4) != 0) /* the power may fail, or the process die, between the two */
        assert_int_equal(store_checkpoint(store, life, &text), 0);
}

/*
 * Takes back some of what this life wrote, synced or not, as if nobody had been shown it. Once in a life:
 * then it is known from the moment of the cut which of two messages with one sequence it has to be.
 */
static void take_back(struct store *store, struct event *confirmed)
{
    struct error_text text;
    uint64_t first = confirmed->size > 300 ? confirmed->size - 300 : 1, end = store->position;
    if (cut_after != 0 || first >= store->sequence)
        return;
    uint64_t sequence = first + one_of(store->sequence - first), visible = places[sequence];
    if (tags[sequence] != tag || visible < store_first(store))
        return; /* an earlier life's: its place is not known here */
    assert_int_equal(store_cut(store, end + 64, visible, &text), HERMES_EINVALID);
    if (visible > 0)
        assert_int_equal(store_cut(store, visible - 64, visible, &text), HERMES_EINVALID);
    if (visible < confirmed->offset) { /* from now on only that may be asked for */
        struct event *event = record(CONFIRM);
        event->offset = visible;
        event->size = sequence;
        *confirmed = *event;
    }
    assert_int_equal(store_cut(store, visible, visible, &text), 0);
    assert_int_equal(store->position, visible);
    assert_int_equal(store->sequence, sequence);
    memcpy(former_tags, tags, sizeof tags);
    memset(tags + sequence, 0, sizeof tags - sequence);
    cut_after = event_count;
    tag = (uint8_t)(life + 100);
    taken_back++;
}

static void live(struct store *store, struct event *confirmed)
{
    struct error_text text;
    full = one_of(3) == 0 ? 4 : 0;
    unsigned most_frames = one_of(2) == 0 ? 20 : 300, seldom = one_of(2) == 0 ? 1 : 20;
    for (uint64_t steps = one_of(120); steps > 0 && event_count < EVENTS_MAX - 1000; steps--) {
        switch (one_of(7)) {
        case 0:
            if (one_of(seldom) == 0)
                sync_all(store, confirmed);
            break;
        case 1:
            (void)store_prepare(store, &text);
            break;
        case 2: {
            uint64_t next = store_retires(store, SEGMENT, 0);
            if (next != 0 && next <= confirmed->offset && one_of(3) == 0)
                assert_int_equal(store_retire(store, &text), 0);
            break;
        }
        case 3:
            if (one_of(8) == 0)
                take_back(store, confirmed);
            break;
        default:
            append_some(store, most_frames);
        }
    }
    full = 0;
}

/*
 * Of what was not confirmed a power cut may leave a message whose payload lost sectors, with whole ones
 * behind it. That is told as damage, now and later; nothing that was confirmed ever is.
 */
enum { DAMAGE_MAX = 5000 };
static struct range {
    uint64_t from, to;
} known_damage[DAMAGE_MAX];
static unsigned known_damage_count, damages;

static void note_damage(void *context, uint64_t from, uint64_t to, int error)
{
    const struct event *confirmed = context;
    assert_true(error == HERMES_ECHECKSUM || error == HERMES_EMALFORMED);
    for (unsigned i = 0; i < known_damage_count; i++)
        if (known_damage[i].from == from && known_damage[i].to == to)
            return;
    assert_true(from >= confirmed->offset);
    assert_true(known_damage_count < DAMAGE_MAX);
    known_damage[known_damage_count++] = (struct range){from, to};
    damages++;
}

static void check_tags(const struct segment *segment, uint64_t end)
{
    uint64_t base = segment->header.base;
    struct frames walk = {
        .data = segment->data, .base = base, .end = end, .position = base, .check = FRAME_CHECKSUMS};
    struct frame frame;
    int rc;
    while ((rc = frames_next(&walk, &frame)) != 0)
        if (rc > 0)
            assert_int_equal(*frame.payload, tags[frame.header.sequence]);
        else
            frames_skip_damage(&walk);
}

/* All frames, from the first to the last, and who wrote them; and the index leads to them. */
static void check(struct store *store, struct event *confirmed)
{
    static uint8_t buffer[WINDOW];
    struct error_text text;
    assert_true(store->position >= confirmed->offset);
    assert_true(store->sequence >= confirmed->size);
    assert_int_equal(store->holes, 0);
    if (store->entry_count == 0)
        return;
    struct verify verify = {.capacity = WINDOW,
                            .segment_bytes = SEGMENT,
                            .end = store->position,
                            .position = store->entries[0].base,
                            .damage = note_damage,
                            .context = confirmed};
    for (size_t i = 0; i < store->entry_count; i++) {
        int fd;
        assert_int_equal(store_open_segment(store, i, O_RDONLY, &fd, &text), 0);
        assert_int_equal(verify_segment(&verify, fd, store->position, buffer, &text), 0);
        struct segment segment;
        assert_int_equal(segment_map(fd, &segment, &text), 0);
        uint64_t end = segment.header.base + SEGMENT;
        check_tags(&segment, end < store->position ? end : store->position);
        segment_release(&segment);
        close(fd);
    }
    assert_true(store_know(store, 0));
    uint64_t first = store->entries[0].first_sequence;
    uint64_t missing = store->sequence - first - verify.messages;
    assert_true(verify.damaged == 0 ? missing == 0 : missing >= verify.damaged);
    for (int i = 0; i < 4 && store->sequence > first; i++) {
        uint64_t sequence = first + one_of(store->sequence - first);
        struct store_place place;
        hermes_header_t header;
        assert_int_equal(store_find(store, STORE_BY_SEQUENCE, sequence, &place, &text), 0);
        assert_true(place.sequence <= sequence);
        off_t at = (off_t)(SEGMENT_HEADER_BYTES + place.position % SEGMENT);
        assert_int_equal(pread(place.fd, &header, sizeof header, at), sizeof header);
        if (verify.damaged == 0) /* else that frame may be gone, and who searches sees that */
            assert_int_equal(header.sequence, place.sequence);
        close(place.fd);
    }
}

static void open_store(struct store *store, const char *path)
{
    struct error_text text;
    int rc = store_open(store, path, SEGMENT, TOPIC, STORE_WRITE, &text);
    if (rc < 0)
        print_message("%s\n", text.bytes);
    assert_int_equal(rc, 0);
}

static unsigned put_aside, cuts, retired, resumed;

/*
 * What the dead one had written and not synced is known to nobody. With a window the next one knows how far
 * it had stored; without, it walks, and what it finds counts as durable from then on.
 */
static void take_over(struct store *store, const char *path, struct event *confirmed)
{
    struct error_text text;
    uint64_t position = store->position, sequence = store->sequence;
    bool window = one_of(2) == 0;
    store_close(store);
    if (window) {
        assert_int_equal(store_open(store, path, SEGMENT, TOPIC, STORE_RESUME, &text), 0);
        assert_int_equal(store_resume(store, position, sequence, &text), 0);
        resumed++;
    } else {
        open_store(store, path);
        confirm(store, confirmed);
    }
    assert_int_equal(store->position, position);
    assert_int_equal(store->sequence, sequence);
    if (one_of(2) == 0) /* there need be nothing new to be synced */
        sync_all(store, confirmed);
    live(store, confirmed);
}

static void history(const char *path)
{
    struct event confirmed = {.kind = CONFIRM, .size = 1};
    char names[FILES_MAX][40];
    uniform = one_of(2) == 0;
    known_damage_count = 0;
    for (life = 1; life <= 5; life++) {
        struct store store;
        tag = life;
        cut_after = 0;
        memset(names, 0, sizeof names);
        for (unsigned i = 0; i < file_count; i++)
            memcpy(names[i], files[i].name, sizeof names[i]);
        struct event then = confirmed;
        recording = true;
        open_store(&store, path);
        check(&store, &confirmed);
        confirm(&store, &then);
        put_aside += store.cut_bytes > 0;
        memset(tags + store.sequence, 0, sizeof tags - store.sequence); /* lost: they must not come back */
        live(&store, &then);
        if (one_of(3) == 0) /* the process dies, and another one takes over before the power fails */
            take_over(&store, path, &then);
        if (one_of(4) == 0) { /* in good order, and again */
            sync_all(&store, &then);
            store_close(&store);
            open_store(&store, path);
            assert_int_equal(store.cut_bytes, 0);
            check(&store, &then);
            live(&store, &then);
        }
        retired += store.entry_count > 0 && store.entries[0].base > 0;
        recording = false;
        store_close(&store);
        unsigned soon = event_count < 30 ? event_count : 30; /* on the heels of recovery */
        unsigned steps = (unsigned)one_of((one_of(3) == 0 ? soon : event_count) + 1);
        confirmed = fail_after(steps, confirmed, names);
        if (steps < cut_after)
            memcpy(tags, former_tags, sizeof tags);
        cuts++;
        forget_events();
        test_remove(path);
        assert_int_equal(mkdir(path, 0700), 0);
        write_files(path);
    }
    for (unsigned i = 0; i < file_count; i++)
        free(files[i].bytes);
    file_count = 0;
    test_remove(path);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void power_fails_at_any_moment(void **state)
{
    (void)state;
    TEST_DIRECTORY(path);
    unsigned long long seed =
        getenv("HERMES_TEST_SEED") != NULL ? strtoull(getenv("HERMES_TEST_SEED"), NULL, 10) : 20261123;
    unsigned rounds = getenv("HERMES_TEST_LONG") != NULL ? 3000 : 200;
    for (unsigned round = 0; round < rounds; round++) {
        if (round == 0 || round % 1000 == 999)
            print_message("history %u, HERMES_TEST_SEED=%llu\n", round, seed + round);
        random_state = seed + round;
        history(path);
    }
    print_message(
        "%u power cuts; %u times something was put aside, %u times old segments were gone, %u times "
        "a window had survived; %u stretches that were not confirmed were damaged; %u times something was "
        "taken back\n",
        cuts, put_aside, retired, resumed, damages, taken_back);
    /* that was among it */
    assert_true(put_aside > cuts / 10 && retired > cuts / 20 && resumed > cuts / 20 && damages > 0 &&
                taken_back > cuts / 20);
    test_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_fails_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
