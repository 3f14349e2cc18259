/* How payloads are shown: as text, in JSON, in base64, on a terminal. */
#include <unistd.h>

#include "cli/cli.h"

static bool is_continuation(const uint8_t *p, size_t more)
{
    for (size_t i = 0; i < more; i++)
        if ((p[i] & 0xC0) != 0x80)
            return false;
    return true;
}

/* Bytes of the character at p, of at most left; 0: none in UTF-8 as RFC 3629 has it, with no overlong forms,
 * no surrogates, nothing above 10FFFF. */
static size_t character_bytes(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t bytes = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < bytes || !is_continuation(p + 1, bytes - 1))
        return 0;
    bool is_overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool is_surrogate = p[0] == 0xED && p[1] > 0x9F, is_above = p[0] == 0xF4 && p[1] > 0x8F;
    return is_overlong || is_surrogate || is_above ? 0 : bytes;
}

/* C0, DEL, and C1, which some terminals obey in UTF-8 as well. */
static bool is_control(const uint8_t *character, size_t bytes)
{
    return bytes == 1 ? character[0] < 0x20 || character[0] == 0x7F
                      : character[0] == 0xC2 && character[1] < 0xA0;
}

static bool is_utf8(const uint8_t *p, size_t length)
{
    for (size_t i = 0, bytes; i < length; i += bytes)
        if ((bytes = character_bytes(p + i, length - i)) == 0)
            return false;
    return true;
}

bool cli_shows_as_text(const void *bytes, size_t length, enum cli_payload how)
{
    return how == CLI_PAYLOAD_TEXT || (how == CLI_PAYLOAD_AUTO && is_utf8(bytes, length));
}

bool cli_is_terminal(FILE *file)
{
    return isatty(fileno(file)) == 1;
}

void cli_print_visible(FILE *file, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < length;) {
        size_t shown = character_bytes(p + i, length - i);
        bool is_plain = shown > 0 && (!is_control(p + i, shown) || p[i] == '\n' || p[i] == '\t');
        shown = shown == 0 ? 1 : shown;
        for (size_t end = i + shown; i < end; i++)
            fprintf(file, is_plain ? "%c" : "\\x%02x", p[i]);
    }
}

void cli_print_base64(FILE *file, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)p[i + 2] : 0);
        fputc(digits[group >> 18 & 63], file);
        fputc(digits[group >> 12 & 63], file);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', file);
        fputc(left > 2 ? digits[group & 63] : '=', file);
    }
}

/* ---- JSON ---- */

void cli_print_json_string(FILE *file, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    fputc('"', file);
    for (size_t i = 0, shown; i<length; i += shown> 0 ? shown : 1) {
        shown = character_bytes(p + i, length - i);
        if (shown == 0) {
            fputs("\\ufffd", file);
        } else if (is_control(p + i, shown)) {
            fprintf(file, "\\u%04x", p[i + shown - 1]);
        } else {
            if (p[i] == '"' || p[i] == '\\')
                fputc('\\', file);
            fwrite(p + i, 1, shown, file);
        }
    }
    fputc('"', file);
}

void cli_print_payload_json(FILE *file, const void *bytes, size_t length, enum cli_payload how)
{
    if (cli_shows_as_text(bytes, length, how)) {
        fputs("\"payload\":", file);
        cli_print_json_string(file, bytes, length);
        return;
    }
    fputs("\"encoding\":\"base64\",\"payload\":\"", file);
    cli_print_base64(file, bytes, length);
    fputc('"', file);
}

void cli_print_message_json(FILE *file, const char *topic, const hermes_message_t *message,
                            enum cli_payload how)
{
    fprintf(file, "{\"topic\":\"%s\",\"sequence\":%llu,\"timestamp\":%llu,\"length\":%u,", topic,
            (unsigned long long)message->sequence, (unsigned long long)message->timestamp, message->length);
    cli_print_payload_json(file, message->payload, message->length, how);
    fputs("}\n", file);
}
