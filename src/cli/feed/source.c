#include "cli/feed/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/feed/refusal.h"

enum { MAGIC_BYTES = 4 };
static const uint8_t gzip_magic[2] = {0x1f, 0x8b};

static int open_file(const char *path)
{
    if (strcmp(path, "-") == 0)
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    /* O_NONBLOCK: nobody writes yet into a named pipe, perhaps; that is waited for where a signal ends it. */
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int source_open(const char *path, const volatile sig_atomic_t *stop, struct source **out,
                struct error_text *text)
{
    struct stat status;
    int fd = open_file(path);
    if (fd < 0)
        return feed_refuse_errno(text, "it cannot be opened");
    if (fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
        int rc = feed_refuse(text, "it is a directory");
        close(fd);
        return rc;
    }
    struct source *source = malloc(sizeof *source);
    if (source == NULL) {
        close(fd);
        return HERMES_ENOMEM;
    }
    /* Not its buffers, which are large. */
    memset(source, 0, offsetof(struct source, compressed));
    source->fd = fd;
    source->stop = stop;
    source->is_file = S_ISREG(status.st_mode);
    /* Files of /proc say that they are empty. */
    source->size = source->is_file && status.st_size > 0 ? (uint64_t)status.st_size : UINT64_MAX;
    if (source->size != UINT64_MAX) {
        off_t at = lseek(fd, 0, SEEK_CUR); /* standard input may stand in the middle of a file */
        source->read = at > 0 ? (uint64_t)at : 0;
    }
    *out = source;
    return HERMES_OK;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    if (source->is_compressed)
        inflateEnd(&source->inflater);
    close(source->fd);
    free(source);
}

bool source_has_grown(const struct source *source)
{
    struct stat status;
    return source->size != UINT64_MAX && fstat(source->fd, &status) == 0 &&
           (uint64_t)status.st_size > source->size;
}

static bool is_stopped(const struct source *source)
{
    return source->stop != NULL && *source->stop != 0;
}

/* Until a pipe or a terminal has something, or ends. A signal may come just before a call that waits: whether
 * one did is seen ten times a second. */
static int await_input(const struct source *source)
{
    struct pollfd input = {.fd = source->fd, .events = POLLIN};
    int ready = 0;
    while (ready <= 0 && !is_stopped(source)) {
        ready = poll(&input, 1, 100);
        if (ready < 0 && errno != EINTR)
            return error_from_errno(errno);
    }
    return ready > 0 ? HERMES_OK : HERMES_EINTERRUPTED;
}

/* Bytes of the file; 0: its end. */
static ssize_t read_file(struct source *source, uint8_t *to, size_t room, struct error_text *text)
{
    uint64_t left = source->size > source->read ? source->size - source->read : 0;
    ssize_t got = 0;
    if (left == 0)
        return 0;
    do {
        int rc = source->is_file ? HERMES_OK : await_input(source);
        if (rc < 0)
            return rc;
        got = read(source->fd, to, room < left ? room : (size_t)left);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return feed_refuse_errno(text, "it cannot be read");
    source->read += (uint64_t)got;
    if (got == 0 && source->size != UINT64_MAX)
        return feed_refuse(
            text, "the file became shorter while it was read: it ends at byte %" PRIu64 ", and had %" PRIu64,
            source->read, source->size);
    return got;
}

/* More compressed bytes, if none are left. 1; 0: the file ends. */
static int refill(struct source *source, struct error_text *text)
{
    if (source->inflater.avail_in > 0)
        return 1;
    ssize_t got = read_file(source, source->compressed, sizeof source->compressed, text);
    if (got <= 0)
        return (int)got;
    source->inflater.next_in = source->compressed;
    source->inflater.avail_in = (unsigned)got;
    return 1;
}

/* Members may be padded with zeros (of a tape's block); nothing else may follow them. */
static int begin_member(struct source *source)
{
    z_stream *z = &source->inflater;
    for (; z->avail_in > 0 && z->next_in[0] == 0; z->next_in++, z->avail_in--)
        ;
    if (z->avail_in == 0)
        return 0;
    source->between_members = false;
    return inflateReset(z) == Z_OK ? 1 : HERMES_EMALFORMED;
}

static int damaged(const struct source *source, struct error_text *text)
{
    uint64_t at = source->read - source->inflater.avail_in;
    return feed_refuse(text, "its gzip data are damaged at byte %" PRIu64 " (%s)", at,
                       source->inflater.msg != NULL ? source->inflater.msg : "not what deflate says");
}

static int inflate_more(struct source *source, struct error_text *text)
{
    z_stream *z = &source->inflater;
    size_t room = SOURCE_ROOM_BYTES - source->end;
    z->next_out = source->bytes + source->end;
    z->avail_out = (unsigned)room;
    while (z->avail_out == room) {
        int rc = is_stopped(source) ? HERMES_EINTERRUPTED : refill(source, text);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return source->between_members
                       ? 0
                       : feed_refuse(text, "its gzip data end too early, at byte %" PRIu64, source->read);
        if (source->between_members && (rc = begin_member(source)) <= 0) {
            if (rc < 0)
                return rc;
            continue;
        }
        rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            source->between_members = true;
        else if (rc != Z_OK && rc != Z_BUF_ERROR &&
                 z->avail_out == room) /* else what stands before it is good */
            return rc == Z_MEM_ERROR ? HERMES_ENOMEM : damaged(source, text);
    }
    source->end += room - z->avail_out;
    return 1;
}

static int read_more(struct source *source, struct error_text *text)
{
    size_t room = SOURCE_ROOM_BYTES - source->end;
    ssize_t got = read_file(source, source->bytes + source->end, room, text);
    if (got <= 0)
        return (int)got;
    source->end += (size_t)got;
    return 1;
}

/* What compresses otherwise, by its first bytes. */
static const char *other_compression(const uint8_t *bytes, size_t length)
{
    static const struct {
        const char *magic, *name;
    } kinds[] = {{"\x28\xb5\x2f\xfd", "zstd"},
                 {"\xfd"
                  "7zXZ",
                  "xz"},
                 {"BZh", "bzip2"},
                 {"PK\x03\x04", "zip"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (length >= strlen(kinds[i].magic) && memcmp(bytes, kinds[i].magic, strlen(kinds[i].magic)) == 0)
            return kinds[i].name;
    return NULL;
}

/* The first bytes say whether they are compressed: they are read to where compressed ones belong. */
static int read_first(struct source *source, struct error_text *text)
{
    size_t *there = &source->compressed_end;
    ssize_t got = 1;
    while (got > 0 && *there < MAGIC_BYTES) {
        got = read_file(source, source->compressed + *there, sizeof source->compressed - *there, text);
        *there += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return (int)got;
    source->has_begun = true;
    const char *other = other_compression(source->compressed, *there);
    if (other != NULL)
        return feed_refuse(text,
                           "it is compressed with %s, and a feed may be with gzip: uncompress it, and give "
                           "it as standard input (-)",
                           other);
    if (*there < sizeof gzip_magic || memcmp(source->compressed, gzip_magic, sizeof gzip_magic) != 0) {
        memcpy(source->bytes, source->compressed, *there);
        source->end = *there;
        return *there > 0;
    }
    if (inflateInit2(&source->inflater, MAX_WBITS + 16) != Z_OK)
        return HERMES_ENOMEM;
    source->is_compressed = source->between_members = true;
    source->inflater.next_in = source->compressed;
    source->inflater.avail_in = (unsigned)*there;
    return inflate_more(source, text);
}

int source_more(struct source *source, struct error_text *text)
{
    assert(source_available(source) < SOURCE_ROOM_BYTES);
    /* Of a file, too: there may be gigabytes in it of which nobody sees anything. */
    if (is_stopped(source))
        return HERMES_EINTERRUPTED;
    if (!source->has_begun)
        return read_first(source, text);
    memmove(source->bytes, source_bytes(source), source_available(source));
    source->end -= source->begin;
    source->begin = 0;
    return source->is_compressed ? inflate_more(source, text) : read_more(source, text);
}
