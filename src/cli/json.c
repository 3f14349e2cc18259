#include "cli/json.h"

#include <stdint.h>
#include <string.h>

#include "hermes/error.h"

enum { DEPTH_MOST = 32 };

void json_begin(struct json *json, char *line, size_t length)
{
    *json = (struct json){line, line + length, false};
}

bool json_is(const struct json_member *member, const char *name)
{
    return member->name.length == strlen(name) && memcmp(member->name.bytes, name, strlen(name)) == 0;
}

static void skip_space(struct json *json)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) != NULL && *json->at != 0)
        json->at++;
}

/* Is that what comes next? Then it is passed over. */
static bool take(struct json *json, char c)
{
    skip_space(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

/* ---- strings ---- */

static bool read_hex(struct json *json, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = json->at < json->end && *json->at != 0
                                ? strchr(digits, *json->at | (*json->at >= 'A' ? 0x20 : 0))
                                : NULL;
        if (digit == NULL)
            return false;
        *code = *code << 4 | (uint32_t)(digit - digits);
    }
    return true;
}

/* Behind "\u". A character beyond 16 bits is two of them; half of one is none. */
static bool read_code(struct json *json, uint32_t *code)
{
    uint32_t low;
    if (!read_hex(json, code) || (*code >= 0xDC00 && *code <= 0xDFFF))
        return false;
    if (*code < 0xD800 || *code > 0xDBFF)
        return true;
    if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u')
        return false;
    json->at += 2;
    if (!read_hex(json, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    *code = 0x10000 + ((*code - 0xD800) << 10 | (low - 0xDC00));
    return true;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(heads[more] | code >> 6 * more);
    while (more-- > 0)
        *to++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    return to;
}

/* Behind a backslash: at most as many bytes as the escape has, so that it fits where that stood. */
static char *read_escape(struct json *json, char *to)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    if (json->at == json->end || *json->at == 0)
        return NULL;
    char name = *json->at++;
    if (name == 'u')
        return read_code(json, &code) ? put_utf8(to, code) : NULL;
    const char *found = strchr(names, name);
    if (found == NULL)
        return NULL;
    *to++ = meanings[found - names];
    return to;
}

/* Behind the quote. */
static bool read_string(struct json *json, struct json_text *text)
{
    char *to = json->at;
    text->bytes = to;
    while (json->at < json->end && *json->at != '"') {
        if ((unsigned char)*json->at < 0x20)
            return false;
        if (*json->at != '\\')
            *to++ = *json->at++;
        else if (json->at++, (to = read_escape(json, to)) == NULL)
            return false;
    }
    text->length = (size_t)(to - text->bytes);
    return take(json, '"');
}

/* ---- the rest ---- */

static bool skip_digits(struct json *json)
{
    char *start = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    return json->at > start;
}

static bool skip_number(struct json *json)
{
    if (json->at < json->end && *json->at == '-')
        json->at++;
    bool zero = json->at < json->end && *json->at == '0';
    char *start = json->at;
    if (!skip_digits(json) || (zero && json->at - start > 1))
        return false;
    if (json->at < json->end && *json->at == '.' && (json->at++, !skip_digits(json)))
        return false;
    if (json->at < json->end && (*json->at | 0x20) == 'e') {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        return skip_digits(json);
    }
    return true;
}

static bool skip_word(struct json *json)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(json->end - json->at) >= length && memcmp(json->at, words[i], length) == 0) {
            json->at += length;
            return true;
        }
    }
    return false;
}

static bool skip_value(struct json *json, int depth);

/* Behind the bracket. */
static bool skip_elements(struct json *json, char close, int depth)
{
    struct json_text ignored;
    if (depth == DEPTH_MOST)
        return false;
    if (take(json, close))
        return true;
    do {
        if (close == '}' && (!take(json, '"') || !read_string(json, &ignored) || !take(json, ':')))
            return false;
        if (!skip_value(json, depth + 1))
            return false;
    } while (take(json, ','));
    return take(json, close);
}

static bool skip_value(struct json *json, int depth)
{
    struct json_text ignored;
    if (take(json, '"'))
        return read_string(json, &ignored);
    if (take(json, '['))
        return skip_elements(json, ']', depth);
    if (take(json, '{'))
        return skip_elements(json, '}', depth);
    return skip_word(json) || skip_number(json);
}

static bool read_value(struct json *json, struct json_member *member)
{
    member->is_string = take(json, '"'); /* and space is passed over */
    if (member->is_string)
        return read_string(json, &member->value);
    member->value.bytes = json->at;
    bool right = skip_value(json, 0);
    member->value.length = (size_t)(json->at - member->value.bytes);
    return right;
}

int json_next(struct json *json, struct json_member *member)
{
    bool first = !json->begun;
    if (first && !take(json, '{'))
        return HERMES_EMALFORMED;
    json->begun = true;
    if (take(json, '}')) {
        skip_space(json);
        return json->at == json->end ? 0 : HERMES_EMALFORMED;
    }
    if (!first && !take(json, ','))
        return HERMES_EMALFORMED;
    bool right =
        take(json, '"') && read_string(json, &member->name) && take(json, ':') && read_value(json, member);
    return right ? 1 : HERMES_EMALFORMED;
}
