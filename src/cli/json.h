/*
 * A line of JSON (RFC 8259) that is one object, member by member:
 *
 *     struct json json;
 *     struct json_member member;
 *     json_begin(&json, line, length);
 *     while ((rc = json_next(&json, &member)) > 0)
 *         if (json_is(&member, "payload")) ...
 *
 * Strings are decoded in place, so the line is spoilt, and no memory is needed. What a member holds that is
 * no string is checked, and given as it stands.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
    char *at, *end;
    bool begun;
};

struct json_text {
    char *bytes; /* not terminated; a string may hold anything, zeros too */
    size_t length;
};

struct json_member {
    struct json_text name;
    struct json_text value;
    bool is_string; /* else value is a number, true, false, null, an array or an object, as it stands */
};

void json_begin(struct json *json, char *line, size_t length);

/* 1: a member; 0: the object has ended, and the line with it; HERMES_EMALFORMED: json->at is where. */
int json_next(struct json *json, struct json_member *member);

bool json_is(const struct json_member *member, const char *name);

#endif
