#include "cli/record.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/base64.h"
#include "cli/json.h"

enum encoding { ENCODING_TEXT, ENCODING_BASE64 };

struct found {
    struct json_text payload;
    bool has_payload;
    enum encoding encoding;
};

/* error_set() appends what the code means; a sentence about a line needs no more than itself. */
static int refuse(struct error_text *text, int error, const char *sentence)
{
    snprintf(text->bytes, sizeof text->bytes, "%s", sentence);
    return error;
}

static bool is_text(const struct json_text *value, const char *text)
{
    return value->length == strlen(text) && memcmp(value->bytes, text, value->length) == 0;
}

static int take_payload(const struct json_member *member, struct found *found, struct error_text *text)
{
    if (found->has_payload)
        return refuse(text, HERMES_EINVALID, "two payloads");
    if (!member->is_string)
        return refuse(text, HERMES_EINVALID, "the payload is no string");
    found->has_payload = true;
    found->payload = member->value;
    return HERMES_OK;
}

static int take_encoding(const struct json_text *value, enum encoding *encoding, struct error_text *text)
{
    if (!is_text(value, "base64") && !is_text(value, "text"))
        return refuse(text, HERMES_EINVALID, "the encoding is neither text nor base64");
    *encoding = is_text(value, "base64") ? ENCODING_BASE64 : ENCODING_TEXT;
    return HERMES_OK;
}

/* A whole number of nanoseconds, as a message may carry it. */
static int take_timestamp(const struct json_member *member, uint64_t *timestamp, struct error_text *text)
{
    uint64_t number = 0;
    bool right = !member->is_string && member->value.length > 0;
    for (size_t i = 0; right && i < member->value.length; i++) {
        char c = member->value.bytes[i];
        right = c >= '0' && c <= '9' && !__builtin_mul_overflow(number, 10, &number) &&
                !__builtin_add_overflow(number, (uint64_t)(c - '0'), &number);
    }
    if (!right || number > INT64_MAX)
        return refuse(text, HERMES_EINVALID, "the timestamp is no whole number of nanoseconds since 1970");
    *timestamp = number;
    return HERMES_OK;
}

static int take(const struct json_member *member, struct found *found, struct record *record,
                struct error_text *text)
{
    if (json_is(member, "payload"))
        return take_payload(member, found, text);
    if (json_is(member, "payload_base64")) {
        found->encoding = ENCODING_BASE64;
        return take_payload(member, found, text);
    }
    if (json_is(member, "encoding"))
        return take_encoding(&member->value, &found->encoding, text);
    if (json_is(member, "timestamp"))
        return take_timestamp(member, &record->timestamp, text);
    return HERMES_OK;
}

int record_parse(char *line, size_t length, struct record *record, struct error_text *text)
{
    struct json json;
    struct json_member member;
    struct found found = {.has_payload = false};
    int rc;
    *record = (struct record){0};
    json_begin(&json, line, length);
    while ((rc = json_next(&json, &member)) > 0)
        if ((rc = take(&member, &found, record, text)) < 0)
            return rc;
    if (rc < 0) {
        snprintf(text->bytes, sizeof text->bytes, "no JSON object, at byte %zu",
                 (size_t)(json.at - line) + 1);
        return rc;
    }
    if (!found.has_payload)
        return refuse(text, HERMES_EINVALID, "it has neither payload nor payload_base64");
    if (found.encoding == ENCODING_BASE64 && base64_decode(found.payload.bytes, &found.payload.length) < 0)
        return refuse(text, HERMES_EMALFORMED, "the payload is no base64");
    record->payload = found.payload.bytes;
    record->length = found.payload.length;
    return HERMES_OK;
}
