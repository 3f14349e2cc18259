/* The contents of a window or ring: walk it as recovery, sequencer and persister do. */
#include <stdlib.h>
#include <string.h>

#include "log/window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = WINDOW_MIN_BYTES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *window;
    if (window == NULL && (window = aligned_alloc(64, CAPACITY)) == NULL)
        abort();
    if (size < 8)
        return 0;
    uint64_t start;
    memcpy(&start, data, 8);
    start &= ~63ull;
    memset(window, 0, CAPACITY);
    /* The input lies across the end of the window, so that frames meet the boundary. */
    for (size_t i = 0; i < size - 8 && i < CAPACITY; i++)
        window[(start + i) & (CAPACITY - 1)] = data[8 + i];
    struct window_end end = window_walk(window, CAPACITY - 1, start, 1, start + CAPACITY);
    if (end.position % 64 != 0 || end.position - start > CAPACITY + FRAME_MAX_BYTES)
        abort();
    /* Everything that the walk accepted lies inside the window. */
    for (uint64_t p = start; p < end.position;) {
        hermes_header_t header;
        uint64_t bytes;
        if (window_poll(window, CAPACITY - 1, p, &header, &bytes) <= 0 ||
            (p & (CAPACITY - 1)) + HERMES_HEADER_BYTES + header.length > CAPACITY)
            abort();
        (void)hermes_message_verify(&header, window + (p & (CAPACITY - 1)) + HERMES_HEADER_BYTES,
                                    (size_t)bytes);
        p += bytes;
    }
    return 0;
}
