/*
 * A message as a line of JSON, as hermes sub --format json writes it:
 *
 *     {"payload": "text"}
 *     {"payload": "aGVsbG8=", "encoding": "base64", "timestamp": 1764156845000000000}
 *     {"payload_base64": "aGVsbG8="}
 *
 * payload, as UTF-8, or in base64 where encoding says so; or payload_base64. timestamp: nanoseconds since
 * 1970. Other members (topic, sequence, length...) are passed over.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct record {
    const char *payload; /* within the line */
    size_t length;
    uint64_t timestamp; /* 0: none was given */
};

/* The line is spoilt, and holds the payload. HERMES_EMALFORMED, HERMES_EINVALID, with a sentence. */
int record_parse(char *line, size_t length, struct record *record, struct error_text *text);

#endif
