#include "record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 512 };

static int log_fd = -1;
static int schedule_fd = -1;
static uint64_t call;
static char seen[64 * LINE];
static size_t seen_used;

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t queued_ns(void)
{
    char line[96] = "";
    unsigned long long on_cpu = 0, queued = 0;
    if (schedule_fd >= 0 && pread(schedule_fd, line, sizeof line - 1, 0) > 0)
        (void)sscanf(line, "%llu %llu", &on_cpu, &queued);
    return queued;
}

uint64_t record_number(void)
{
    return call;
}

void record_open(const char *path)
{
    schedule_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        perror(path);
        exit(1);
    }
}

static void append(const char *bytes, size_t length)
{
    if (write(log_fd, bytes, length) != (ssize_t)length) {
        perror("history log");
        exit(1);
    }
}

/* One line of at most LINE bytes; returns how many it took. */
static size_t line_of(char *line, size_t used, const char *format, va_list arguments)
{
    int more = vsnprintf(line + used, LINE - used - 1, format, arguments);
    used += more > 0 ? (size_t)more : 0;
    if (used > LINE - 2)
        used = LINE - 2;
    line[used++] = '\n';
    return used;
}

void record_call(const char *format, ...)
{
    char line[LINE];
    va_list arguments;
    int used = snprintf(line, sizeof line, "> %" PRIu64 " %" PRIu64 " ", ++call, now_ns());
    va_start(arguments, format);
    append(line, line_of(line, (size_t)used, format, arguments));
    va_end(arguments);
}

void record_outcome(int64_t rc, const char *format, ...)
{
    char line[LINE];
    va_list arguments;
    record_flush();
    int used = snprintf(line, sizeof line, "< %" PRIu64 " %" PRIu64 " %" PRId64 " ", call, now_ns(), rc);
    va_start(arguments, format);
    append(line, line_of(line, (size_t)used, format, arguments));
    va_end(arguments);
}

void record_seen(const char *format, ...)
{
    va_list arguments;
    if (seen_used + LINE > sizeof seen)
        record_flush();
    va_start(arguments, format);
    seen_used += line_of(seen + seen_used, 0, format, arguments);
    va_end(arguments);
}

void record_flush(void)
{
    if (seen_used > 0)
        append(seen, seen_used);
    seen_used = 0;
}
