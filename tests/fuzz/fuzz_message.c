/* Message headers and payloads: decode, verify and re-stamp whatever comes. */
#include <stdlib.h>
#include <string.h>

#include "hermes/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HERMES_HEADER_BYTES)
        return 0;
    hermes_header_t header;
    memcpy(&header, data, sizeof header);
    int rc = hermes_message_verify(&header, data + HERMES_HEADER_BYTES, size);
    if (rc < 0)
        return 0;
    /* What verified stays right when it is stamped anew. */
    hermes_message_restamp(&header, header.sequence + 1, ~header.timestamp);
    if (hermes_message_verify(&header, data + HERMES_HEADER_BYTES, size) < 0)
        abort();
    return 0;
}
