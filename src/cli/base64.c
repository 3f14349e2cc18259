#include "cli/base64.h"

#include <stdint.h>

#include "hermes/error.h"

/* -1: none of the alphabet. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(char *text, size_t *length)
{
    size_t characters = *length, bytes = 0;
    if (characters % 4 != 0)
        return HERMES_EMALFORMED;
    while (characters > 0 && *length - characters < 2 && text[characters - 1] == '=')
        characters--;
    uint32_t bits = 0;
    unsigned count = 0; /* of bits that make no byte yet */
    for (size_t i = 0; i < characters; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return HERMES_EMALFORMED;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[bytes++] = (char)(bits >> count & 0xFF);
            bits &= (1u << count) - 1;
        }
    }
    if (bits != 0)
        return HERMES_EMALFORMED;
    *length = bytes;
    return HERMES_OK;
}
