/* Store files: a segment and a checkpoint made of the input, recovered and read. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hermes/log.h"
#include "log/recovery.h"
#include "log/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 4096 };

/* A header that is right, so that the input reaches the frames behind it. */
static void write_segment(const char *file, const uint8_t *data, size_t size)
{
    static uint8_t bytes[SEGMENT_HEADER_BYTES + SEGMENT];
    struct segment_header header = {.first_sequence = 1, .size = SEGMENT};
    segment_header_finish(&header);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &header, sizeof header);
    if (size > 0 && (data[0] & 1)) /* or the whole file is the input's */
        memcpy(bytes, data + 1, size - 1 < sizeof bytes ? size - 1 : sizeof bytes);
    else if (size > 0)
        memcpy(bytes + SEGMENT_HEADER_BYTES, data + 1, size - 1 < SEGMENT ? size - 1 : SEGMENT);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64], file[128], checkpoint[128];
    if (path[0] == 0) {
        snprintf(path, sizeof path, "/dev/shm/hermes-fuzz-XXXXXX");
        if (mkdtemp(path) == NULL)
            abort();
        snprintf(file, sizeof file, "%s/%020d.log", path, 0);
        snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", path);
    }
    write_segment(file, data, size);
    unlink(checkpoint);
    if (size > 130) {
        int fd = open(checkpoint, O_WRONLY | O_CREAT, 0600);
        if (fd >= 0 && write(fd, data + size - 128, 128) < 0)
            abort();
        close(fd);
    }
    hermes_log_reader_t *reader;
    hermes_message_t message;
    if (hermes_log_reader_open(path, &reader) == 0) {
        uint64_t sum = 0;
        int rc = hermes_log_reader_seek_first(reader);
        for (int i = 0; rc == 0 && i < 1000; i++) {
            rc = hermes_log_reader_poll(reader, &message);
            for (uint32_t k = 0; rc > 0 && k < message.length; k++)
                sum += ((const uint8_t *)message.payload)[k];
            if (rc == HERMES_ECLOSED)
                break;
            rc = 0;
        }
        (void)sum;
        hermes_log_reader_close(reader);
    }
    struct store store;
    struct error_text text;
    if (store_open(&store, path, SEGMENT, 0, STORE_WRITE, &text) == 0)
        store_close(&store);
    return 0;
}
